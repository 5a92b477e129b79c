#include "edgevc/ed25519.h"

#include <array>
#include <cstring>

namespace edgevc {

namespace {

__extension__ using uint128 = unsigned __int128;
using Bytes = std::array<uint8_t, 32>;

constexpr uint64_t kMask = (uint64_t{1} << 51) - 1;

// A number modulo p = 2^255 - 19 as five limbs of 51 bits, each kept below 2^54 between operations.
struct Field {
  std::array<uint64_t, 5> limbs{};
};

constexpr Field kZero{{0, 0, 0, 0, 0}};
constexpr Field kOne{{1, 0, 0, 0, 0}};

Field Carried(std::array<uint64_t, 5> v) noexcept {
  for (size_t i = 0; i < 4; ++i) {
    v[i + 1] += v[i] >> 51;
    v[i] &= kMask;
  }
  v[0] += 19 * (v[4] >> 51);
  v[4] &= kMask;
  return Field{v};
}

Field Add(const Field& a, const Field& b) noexcept {
  std::array<uint64_t, 5> v{};
  for (size_t i = 0; i < 5; ++i) v[i] = a.limbs[i] + b.limbs[i];
  return Carried(v);
}

Field Subtract(const Field& a, const Field& b) noexcept {
  // 8 p, so that no limb goes below zero
  constexpr std::array<uint64_t, 5> kEightP{(kMask - 18) * 8, kMask * 8, kMask * 8, kMask * 8, kMask * 8};
  std::array<uint64_t, 5> v{};
  for (size_t i = 0; i < 5; ++i) v[i] = a.limbs[i] + kEightP[i] - b.limbs[i];
  return Carried(v);
}

Field Multiply(const Field& a, const Field& b) noexcept {
  const auto& x = a.limbs;
  const auto& y = b.limbs;
  std::array<uint128, 5> sums{};
  for (size_t i = 0; i < 5; ++i) {
    for (size_t j = 0; j < 5; ++j) {
      // 2^255 is 19
      const uint64_t factor = i + j >= 5 ? 19 * y[j] : y[j];
      sums[(i + j) % 5] += static_cast<uint128>(x[i]) * factor;
    }
  }
  std::array<uint64_t, 5> v{};
  uint128 carry = 0;
  for (size_t i = 0; i < 5; ++i) {
    sums[i] += carry;
    v[i] = static_cast<uint64_t>(sums[i]) & kMask;
    carry = sums[i] >> 51;
  }
  const uint128 low = v[0] + carry * 19;
  v[0] = static_cast<uint64_t>(low) & kMask;
  v[1] += static_cast<uint64_t>(low >> 51);
  return Field{v};
}

Field Square(const Field& a) noexcept { return Multiply(a, a); }

Bytes ToBytes(const Field& a) noexcept {
  Field f = Carried(Carried(a.limbs).limbs);
  // The only representative: q is 1 where f >= p
  uint64_t q = (f.limbs[0] + 19) >> 51;
  for (size_t i = 1; i < 5; ++i) q = (f.limbs[i] + q) >> 51;
  f.limbs[0] += 19 * q;
  for (size_t i = 0; i < 4; ++i) {
    f.limbs[i + 1] += f.limbs[i] >> 51;
    f.limbs[i] &= kMask;
  }
  f.limbs[4] &= kMask;
  Bytes bytes{};
  for (size_t bit = 0; bit < 255; ++bit) {
    const uint64_t set = (f.limbs[bit / 51] >> (bit % 51)) & 1;
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] | (set << (bit % 8)));
  }
  return bytes;
}

// The lower 255 bits.
Field FromBytes(const uint8_t* bytes) noexcept {
  Field f;
  for (size_t bit = 0; bit < 255; ++bit) {
    const uint64_t set = (bytes[bit / 8] >> (bit % 8)) & 1;
    f.limbs[bit / 51] |= set << (bit % 51);
  }
  return f;
}

bool Equal(const Field& a, const Field& b) noexcept { return ToBytes(a) == ToBytes(b); }
bool IsNegative(const Field& a) noexcept { return (ToBytes(a)[0] & 1) != 0; }

Field SquaredTimes(Field a, int times) noexcept {
  for (int i = 0; i < times; ++i) a = Square(a);
  return a;
}

// a^(2^250 - 1), from which both exponents below are a few steps away.
Field PowerOf250Ones(const Field& a) noexcept {
  const Field ones2 = Multiply(Square(a), a);
  const Field ones4 = Multiply(SquaredTimes(ones2, 2), ones2);
  const Field ones5 = Multiply(Square(ones4), a);
  const Field ones10 = Multiply(SquaredTimes(ones5, 5), ones5);
  const Field ones20 = Multiply(SquaredTimes(ones10, 10), ones10);
  const Field ones40 = Multiply(SquaredTimes(ones20, 20), ones20);
  const Field ones50 = Multiply(SquaredTimes(ones40, 10), ones10);
  const Field ones100 = Multiply(SquaredTimes(ones50, 50), ones50);
  const Field ones200 = Multiply(SquaredTimes(ones100, 100), ones100);
  return Multiply(SquaredTimes(ones200, 50), ones50);
}

// a^((p - 5) / 8) = a^(2^252 - 3)
Field RootPower(const Field& a) noexcept { return Multiply(SquaredTimes(PowerOf250Ones(a), 2), a); }

// 1 / a = a^(p - 2) = a^(2^255 - 21)
Field Inverse(const Field& a) noexcept {
  const Field eleven = Multiply(SquaredTimes(a, 3), Multiply(Square(a), a));
  return Multiply(SquaredTimes(PowerOf250Ones(a), 5), eleven);
}

// RFC 8032, section 5.1: d, a square root of -1, the base point, the group's order.
constexpr Bytes kCurveD{0xa3, 0x78, 0x59, 0x13, 0xca, 0x4d, 0xeb, 0x75, 0xab, 0xd8, 0x41, 0x41, 0x4d, 0x0a, 0x70, 0x00,
                        0x98, 0xe8, 0x79, 0x77, 0x79, 0x40, 0xc7, 0x8c, 0x73, 0xfe, 0x6f, 0x2b, 0xee, 0x6c, 0x03, 0x52};
constexpr Bytes kRootOfMinusOne{0xb0, 0xa0, 0x0e, 0x4a, 0x27, 0x1b, 0xee, 0xc4, 0x78, 0xe4, 0x2f,
                                0xad, 0x06, 0x18, 0x43, 0x2f, 0xa7, 0xd7, 0xfb, 0x3d, 0x99, 0x00,
                                0x4d, 0x2b, 0x0b, 0xdf, 0xc1, 0x4f, 0x80, 0x24, 0x83, 0x2b};
constexpr Bytes kBase{0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                      0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66};
constexpr Bytes kOrder{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                       0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10};

// In extended coordinates: x = X / Z, y = Y / Z, x y = T / Z.
struct Point {
  Field x = kZero, y = kOne, z = kOne, t = kZero;
};

// "add-2008-hwcd-3" of the Explicit-Formulas Database; complete, so that it also doubles and takes the neutral point.
Point Sum(const Point& p, const Point& q, const Field& twice_d) noexcept {
  const Field a = Multiply(Subtract(p.y, p.x), Subtract(q.y, q.x));
  const Field b = Multiply(Add(p.y, p.x), Add(q.y, q.x));
  const Field c = Multiply(Multiply(p.t, twice_d), q.t);
  const Field d = Multiply(Add(p.z, p.z), q.z);
  const Field e = Subtract(b, a), f = Subtract(d, c), g = Add(d, c), h = Add(b, a);
  return {Multiply(e, f), Multiply(g, h), Multiply(f, g), Multiply(e, h)};
}

// "dbl-2008-hwcd".
Point Double(const Point& p) noexcept {
  const Field a = Square(p.x), b = Square(p.y), zz = Square(p.z);
  const Field e = Subtract(Subtract(Square(Add(p.x, p.y)), a), b);
  const Field g = Subtract(b, a), h = Subtract(kZero, Add(a, b));
  const Field f = Subtract(g, Add(zz, zz));
  return {Multiply(e, f), Multiply(g, h), Multiply(f, g), Multiply(e, h)};
}

bool IsNeutral(const Point& p) noexcept { return Equal(p.x, kZero) && Equal(p.y, p.z); }

Bytes Encoded(const Point& p) noexcept {
  const Field scale = Inverse(p.z);
  Bytes bytes = ToBytes(Multiply(p.y, scale));
  if (IsNegative(Multiply(p.x, scale))) bytes[31] = static_cast<uint8_t>(bytes[31] | 0x80);
  return bytes;
}

// RFC 8032, section 5.1.3; false where the bytes are no point, or another encoding of one.
bool Decode(const uint8_t* bytes, Point* point) noexcept {
  const Field d = FromBytes(kCurveD.data());
  const Field y = FromBytes(bytes);
  const Bytes canonical = ToBytes(y);
  const bool negative = (bytes[31] & 0x80) != 0;
  if (std::memcmp(canonical.data(), bytes, 31) != 0 || canonical[31] != (bytes[31] & 0x7f)) return false;
  // x^2 = u / v
  const Field yy = Square(y);
  const Field u = Subtract(yy, kOne), v = Add(Multiply(d, yy), kOne);
  const Field v3 = Multiply(Square(v), v), v7 = Multiply(Square(v3), v);
  Field x = Multiply(Multiply(u, v3), RootPower(Multiply(u, v7)));
  const Field check = Multiply(v, Square(x));
  if (!Equal(check, u)) {
    if (!Equal(check, Subtract(kZero, u))) return false;
    x = Multiply(x, FromBytes(kRootOfMinusOne.data()));
  }
  if (Equal(x, kZero) && negative) return false;
  if (IsNegative(x) != negative) x = Subtract(kZero, x);
  *point = {x, y, kOne, Multiply(x, y)};
  return true;
}

bool BelowOrder(const uint8_t* s) noexcept {
  for (size_t i = 32; i-- > 0;) {
    if (s[i] != kOrder[i]) return s[i] < kOrder[i];
  }
  return false;
}

}  // namespace

bool Ed25519Holds(const uint8_t* public_key, const uint8_t* r, const uint8_t* s, const uint8_t* h) noexcept {
  Point key, base;
  if (!BelowOrder(s) || !Decode(public_key, &key) || !Decode(kBase.data(), &base)) return false;
  if (IsNeutral(Double(Double(Double(key))))) return false;
  const Field d = FromBytes(kCurveD.data());
  const Field twice_d = Add(d, d);
  const Point minus_key{Subtract(kZero, key.x), key.y, key.z, Subtract(kZero, key.t)};
  // Both products at once, bit by bit from the top (Shamir's trick): the table is what two bits add.
  const std::array<Point, 4> table{Point{}, base, minus_key, Sum(base, minus_key, twice_d)};
  Point sum;
  for (size_t bit = 256; bit-- > 0;) {
    sum = Double(sum);
    const auto of = [bit](const uint8_t* scalar) { return static_cast<size_t>((scalar[bit / 8] >> (bit % 8)) & 1); };
    const size_t chosen = of(s) + 2 * of(h);
    if (chosen != 0) sum = Sum(sum, table[chosen], twice_d);
  }
  const Bytes found = Encoded(sum);
  return std::memcmp(found.data(), r, found.size()) == 0;
}

}  // namespace edgevc
