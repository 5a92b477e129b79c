#include "edgevc/rfft.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "edgevc/float4.h"
#include "edgevc/math.h"

namespace edgevc {

namespace {

template <typename Value>
struct Butterfly {
  Value r0, i0, r1, i1, r2, i2, r3, i3;
};

// The four-point DFT of a, b, c, d, before the twiddles.
template <typename Value>
inline Butterfly<Value> Radix4(Value ar, Value ai, Value br, Value bi, Value cr, Value ci, Value dr, Value di) {
  const Value sum_r = ar + cr, sum_i = ai + ci, diff_r = ar - cr, diff_i = ai - ci;
  const Value odd_r = br + dr, odd_i = bi + di, turn_r = br - dr, turn_i = bi - di;
  return {sum_r + odd_r, sum_i + odd_i, diff_r + turn_i, diff_i - turn_r,
          sum_r - odd_r, sum_i - odd_i, diff_r - turn_i, diff_i + turn_r};
}

// The same of four columns whose first is at xr, xi and whose parts lie `step` apart.
inline Butterfly<Float4> ReadRadix4(const float* xr, const float* xi, int step) {
  return Radix4(Load4(xr), Load4(xi), Load4(xr + step), Load4(xi + step), Load4(xr + 2 * step), Load4(xi + 2 * step),
                Load4(xr + 3 * step), Load4(xi + 3 * step));
}

// Stride 1: neighbouring butterflies, not neighbouring columns, fill the vector registers; the four results of each
// are stored side by side.
void FirstStage(int m, const float* __restrict xr, const float* __restrict xi, float* __restrict yr,
                float* __restrict yi, const float* __restrict w) {
  for (int p = 0; p < m; ++p) {
    const Butterfly<float> t =
        Radix4(xr[p], xi[p], xr[p + m], xi[p + m], xr[p + 2 * m], xi[p + 2 * m], xr[p + 3 * m], xi[p + 3 * m]);
    yr[4 * p] = t.r0;
    yi[4 * p] = t.i0;
    yr[4 * p + 1] = t.r1 * w[p] - t.i1 * w[p + m];
    yi[4 * p + 1] = t.r1 * w[p + m] + t.i1 * w[p];
    yr[4 * p + 2] = t.r2 * w[p + 2 * m] - t.i2 * w[p + 3 * m];
    yi[4 * p + 2] = t.r2 * w[p + 3 * m] + t.i2 * w[p + 2 * m];
    yr[4 * p + 3] = t.r3 * w[p + 4 * m] - t.i3 * w[p + 5 * m];
    yi[4 * p + 3] = t.r3 * w[p + 5 * m] + t.i3 * w[p + 4 * m];
  }
}

// One butterfly over `stride` columns, a multiple of four; its four twiddled results go to four consecutive blocks of
// y.
inline void Columns(int stride, int m, const float* __restrict xr, const float* __restrict xi, float* __restrict yr,
                    float* __restrict yi, const float* __restrict w) {
  const Float4 w1r = All4(w[0]), w1i = All4(w[m]), w2r = All4(w[2 * m]), w2i = All4(w[3 * m]), w3r = All4(w[4 * m]),
               w3i = All4(w[5 * m]);
  const int step = stride * m;
  for (int q = 0; q < stride; q += 4) {
    const Butterfly<Float4> t = ReadRadix4(xr + q, xi + q, step);
    Store4(yr + q, t.r0);
    Store4(yi + q, t.i0);
    Store4(yr + q + stride, t.r1 * w1r - t.i1 * w1i);
    Store4(yi + q + stride, t.r1 * w1i + t.i1 * w1r);
    Store4(yr + q + 2 * stride, t.r2 * w2r - t.i2 * w2i);
    Store4(yi + q + 2 * stride, t.r2 * w2i + t.i2 * w2r);
    Store4(yr + q + 3 * stride, t.r3 * w3r - t.i3 * w3i);
    Store4(yi + q + 3 * stride, t.r3 * w3i + t.i3 * w3r);
  }
}

// The last stage: one butterfly whose twiddles are all 1.
void LastRadix4(int stride, const float* __restrict xr, const float* __restrict xi, float* __restrict yr,
                float* __restrict yi) {
  if (stride == 1) {
    const Butterfly<float> t = Radix4(xr[0], xi[0], xr[1], xi[1], xr[2], xi[2], xr[3], xi[3]);
    yr[0] = t.r0, yr[1] = t.r1, yr[2] = t.r2, yr[3] = t.r3;
    yi[0] = t.i0, yi[1] = t.i1, yi[2] = t.i2, yi[3] = t.i3;
    return;
  }
  for (int q = 0; q < stride; q += 4) {
    const Butterfly<Float4> t = ReadRadix4(xr + q, xi + q, stride);
    Store4(yr + q, t.r0);
    Store4(yi + q, t.i0);
    Store4(yr + q + stride, t.r1);
    Store4(yi + q + stride, t.i1);
    Store4(yr + q + 2 * stride, t.r2);
    Store4(yi + q + 2 * stride, t.i2);
    Store4(yr + q + 3 * stride, t.r3);
    Store4(yi + q + 3 * stride, t.i3);
  }
}

// At stride 4 at least, because sizes begin at 8.
void LastRadix2(int stride, const float* __restrict xr, const float* __restrict xi, float* __restrict yr,
                float* __restrict yi) {
  for (int q = 0; q < stride; q += 4) {
    const Float4 ar = Load4(xr + q), ai = Load4(xi + q), br = Load4(xr + q + stride), bi = Load4(xi + q + stride);
    Store4(yr + q, ar + br);
    Store4(yi + q, ai + bi);
    Store4(yr + q + stride, ar - br);
    Store4(yi + q + stride, ai - bi);
  }
}

void Split(int half, const float* __restrict signal, float* __restrict real, float* __restrict imag) {
  for (int k = 0; k < half; k += 4) {
    const Float4 a = Load4(signal + 2 * k), b = Load4(signal + 2 * k + 4);
    Store4(real + k, Even4(a, b));
    Store4(imag + k, Odd4(a, b));
  }
}

// Bins k and half - k of the real signal's spectrum from those of z, the spectrum of its even (real part) and odd
// samples. `cosine` and `sine` are of -2 pi k / (2 half); of half - k the first is the negative, the second the same.
template <typename Value>
struct TwoBins {
  Value real, imag, mirror_real, mirror_imag;
};

template <typename Value>
inline TwoBins<Value> UnpackTwo(Value zr, Value zi, Value mirror_zr, Value mirror_zi, Value cosine, Value sine) {
  const Value even_r = 0.5f * (zr + mirror_zr), even_i = 0.5f * (zi - mirror_zi);
  const Value odd_r = 0.5f * (zi + mirror_zi), odd_i = 0.5f * (mirror_zr - zr);
  const Value turned_r = odd_r * cosine - odd_i * sine, turned_i = odd_r * sine + odd_i * cosine;
  return {even_r + turned_r, turned_i + even_i, even_r - turned_r, turned_i - even_i};
}

// The inverse of UnpackTwo; z comes out conjugated, so that the forward transform does the inverse's work.
template <typename Value>
inline TwoBins<Value> PackTwo(Value real, Value imag, Value mirror_real, Value mirror_imag, Value cosine, Value sine) {
  const Value even_r = 0.5f * (real + mirror_real), even_i = 0.5f * (imag - mirror_imag);
  const Value diff_r = 0.5f * (real - mirror_real), diff_i = 0.5f * (imag + mirror_imag);
  const Value odd_r = diff_r * cosine + diff_i * sine, odd_i = diff_i * cosine - diff_r * sine;
  return {even_r - odd_i, -even_i - odd_r, even_r + odd_i, even_i - odd_r};
}

// PackTwo where every imaginary part is zero.
template <typename Value>
inline TwoBins<Value> PackTwoReal(Value real, Value, Value mirror_real, Value, Value cosine, Value sine) {
  const Value even = 0.5f * (real + mirror_real), diff = 0.5f * (real - mirror_real);
  const Value odd_r = diff * cosine, odd_i = diff * sine;
  return {even + odd_i, -odd_r, even - odd_i, -odd_r};
}

// Two(...) of bins 1 .. half - 1, four and their four mirror images at a time: in_r, in_i, out_r, out_i by bin.
template <typename One, typename Four>
inline void EachTwo(int half, const float* __restrict in_r, const float* __restrict in_i,
                    const float* __restrict cosine, const float* __restrict sine, float* __restrict out_r,
                    float* __restrict out_i, const One& one, const Four& four) {
  if (half == 4) {
    for (int k = 1; k <= 2; ++k) {
      const auto two = one(in_r[k], in_i[k], in_r[4 - k], in_i[4 - k], cosine[k], sine[k]);
      out_r[k] = two.real, out_i[k] = two.imag, out_r[4 - k] = two.mirror_real, out_i[4 - k] = two.mirror_imag;
    }
    return;
  }
  for (int k = 1; k < half / 2; k += 4) {
    const int mirror = half - k - 3;
    const auto two = four(Load4(in_r + k), Load4(in_i + k), Reverse4(Load4(in_r + mirror)),
                          Reverse4(Load4(in_i + mirror)), Load4(cosine + k), Load4(sine + k));
    Store4(out_r + k, two.real);
    Store4(out_i + k, two.imag);
    Store4(out_r + mirror, Reverse4(two.mirror_real));
    Store4(out_i + mirror, Reverse4(two.mirror_imag));
  }
}

void Join(int half, float scale, const float* __restrict real, const float* __restrict imag, float* __restrict signal) {
  for (int k = 0; k < half; k += 4) {
    const Float4 even = Load4(real + k) * scale, odd = Load4(imag + k) * -scale;
    Store4(signal + 2 * k, FirstPairs4(even, odd));
    Store4(signal + 2 * k + 4, LastPairs4(even, odd));
  }
}

}  // namespace

Rfft::Rfft(int size) : size_(size), half_(size / 2) {
  if (size < 8 || size > 65536 || (size & (size - 1)) != 0) {
    throw std::invalid_argument("FFT size must be a power of two in [8, 65536], got " + std::to_string(size));
  }
  for (int n = half_; n >= 4; n /= 4) {
    for (int power = 1; power <= 3; ++power) {
      const double step = -2.0 * kPi * power / n;
      for (int p = 0; p < n / 4; ++p) twiddles_.push_back(static_cast<float>(std::cos(step * p)));
      for (int p = 0; p < n / 4; ++p) twiddles_.push_back(static_cast<float>(std::sin(step * p)));
    }
  }
  for (int k = 0; k <= half_; ++k) {
    const double angle = -2.0 * kPi * k / size;
    pack_cos_.push_back(static_cast<float>(std::cos(angle)));
    pack_sin_.push_back(static_cast<float>(std::sin(angle)));
  }
  a_real_.resize(Index(half_));
  a_imag_.resize(Index(half_));
  b_real_.resize(Index(half_));
  b_imag_.resize(Index(half_));
}

// Stockham's autosort FFT of half_ complex points, radix 4 with one radix-2 stage at the end where half_ is not a power
// of four: no bit reversal. C. Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992,
// sections 1.7, 2.4.
void Rfft::Transform() noexcept {
  const float* w = twiddles_.data();
  float *xr = a_real_.data(), *xi = a_imag_.data(), *yr = b_real_.data(), *yi = b_imag_.data();
  int stride = 1;
  for (int n = half_; n > 1; n /= 4) {
    const int m = n / 4;
    if (n == 2) {
      LastRadix2(stride, xr, xi, yr, yi);
    } else if (n == 4) {
      LastRadix4(stride, xr, xi, yr, yi);
    } else if (stride == 1) {
      FirstStage(m, xr, xi, yr, yi, w);
    } else if (stride == 4) {
      // a constant: the loop over the columns disappears
      for (int p = 0; p < m; ++p) Columns(4, m, xr + 4 * p, xi + 4 * p, yr + 16 * p, yi + 16 * p, w + p);
    } else {
      for (int p = 0; p < m; ++p) {
        const int in = stride * p, out = 4 * stride * p;
        Columns(stride, m, xr + in, xi + in, yr + out, yi + out, w + p);
      }
    }
    w += 6 * m;
    stride *= 4;
    std::swap(xr, yr);
    std::swap(xi, yi);
  }
  if (xr != a_real_.data()) {
    a_real_.swap(b_real_);
    a_imag_.swap(b_imag_);
  }
}

void Rfft::Forward(const float* signal, float* real, float* imag) noexcept {
  Split(half_, signal, a_real_.data(), a_imag_.data());
  Transform();
  const float* zr = a_real_.data();
  const float* zi = a_imag_.data();
  real[0] = zr[0] + zi[0];
  imag[0] = 0.0f;
  real[half_] = zr[0] - zi[0];
  imag[half_] = 0.0f;
  EachTwo(half_, zr, zi, pack_cos_.data(), pack_sin_.data(), real, imag, UnpackTwo<float>, UnpackTwo<Float4>);
}

void Rfft::Inverse(const float* real, const float* imag, float* signal) noexcept {
  a_real_[0] = 0.5f * (real[0] + real[half_]);
  a_imag_[0] = -0.5f * (real[0] - real[half_]);
  EachTwo(half_, real, imag, pack_cos_.data(), pack_sin_.data(), a_real_.data(), a_imag_.data(), PackTwo<float>,
          PackTwo<Float4>);
  Transform();
  Join(half_, 1.0f / static_cast<float>(half_), a_real_.data(), a_imag_.data(), signal);
}

void Rfft::InverseOfReal(const float* real, float* signal) noexcept {
  float *zr = a_real_.data(), *zi = a_imag_.data();
  zr[0] = 0.5f * (real[0] + real[half_]);
  zi[0] = -0.5f * (real[0] - real[half_]);
  EachTwo(half_, real, real, pack_cos_.data(), pack_sin_.data(), zr, zi, PackTwoReal<float>, PackTwoReal<Float4>);
  Transform();
  Join(half_, 1.0f / static_cast<float>(half_), a_real_.data(), a_imag_.data(), signal);
}

}  // namespace edgevc
