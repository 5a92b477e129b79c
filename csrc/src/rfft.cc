#include "edgevc/rfft.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "edgevc/math.h"

namespace edgevc {

namespace {

struct Butterfly {
  float r0, i0, r1, i1, r2, i2, r3, i3;
};

// The four-point DFT of a, b, c, d, before the twiddles.
inline Butterfly Radix4(float ar, float ai, float br, float bi, float cr, float ci, float dr, float di) {
  const float sum_r = ar + cr, sum_i = ai + ci, diff_r = ar - cr, diff_i = ai - ci;
  const float odd_r = br + dr, odd_i = bi + di, turn_r = br - dr, turn_i = bi - di;
  return {sum_r + odd_r, sum_i + odd_i, diff_r + turn_i, diff_i - turn_r,
          sum_r - odd_r, sum_i - odd_i, diff_r - turn_i, diff_i + turn_r};
}

// Stride 1: neighbouring butterflies, not neighbouring columns, fill the vector registers; the four results of each
// are stored side by side.
void FirstStage(int m, const float* __restrict xr, const float* __restrict xi, float* __restrict yr,
                float* __restrict yi, const float* __restrict w) {
  for (int p = 0; p < m; ++p) {
    const Butterfly t =
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

// One butterfly over `stride` columns; its four twiddled results go to four consecutive blocks of y.
template <int kStride>
void Columns(int stride, int m, const float* __restrict xr, const float* __restrict xi, float* __restrict yr,
             float* __restrict yi, const float* __restrict w) {
  const int s = kStride > 0 ? kStride : stride;
  const float w1r = w[0], w1i = w[m], w2r = w[2 * m], w2i = w[3 * m], w3r = w[4 * m], w3i = w[5 * m];
  const int step = s * m;
  for (int q = 0; q < s; ++q) {
    const Butterfly t = Radix4(xr[q], xi[q], xr[q + step], xi[q + step], xr[q + 2 * step], xi[q + 2 * step],
                               xr[q + 3 * step], xi[q + 3 * step]);
    yr[q] = t.r0;
    yi[q] = t.i0;
    yr[q + s] = t.r1 * w1r - t.i1 * w1i;
    yi[q + s] = t.r1 * w1i + t.i1 * w1r;
    yr[q + 2 * s] = t.r2 * w2r - t.i2 * w2i;
    yi[q + 2 * s] = t.r2 * w2i + t.i2 * w2r;
    yr[q + 3 * s] = t.r3 * w3r - t.i3 * w3i;
    yi[q + 3 * s] = t.r3 * w3i + t.i3 * w3r;
  }
}

// The last stage: one butterfly whose twiddles are all 1.
void LastRadix4(int stride, const float* __restrict xr, const float* __restrict xi, float* __restrict yr,
                float* __restrict yi) {
  for (int q = 0; q < stride; ++q) {
    const Butterfly t = Radix4(xr[q], xi[q], xr[q + stride], xi[q + stride], xr[q + 2 * stride], xi[q + 2 * stride],
                               xr[q + 3 * stride], xi[q + 3 * stride]);
    yr[q] = t.r0;
    yi[q] = t.i0;
    yr[q + stride] = t.r1;
    yi[q + stride] = t.i1;
    yr[q + 2 * stride] = t.r2;
    yi[q + 2 * stride] = t.i2;
    yr[q + 3 * stride] = t.r3;
    yi[q + 3 * stride] = t.i3;
  }
}

void LastRadix2(int stride, const float* __restrict xr, const float* __restrict xi, float* __restrict yr,
                float* __restrict yi) {
  for (int q = 0; q < stride; ++q) {
    yr[q] = xr[q] + xr[q + stride];
    yi[q] = xi[q] + xi[q + stride];
    yr[q + stride] = xr[q] - xr[q + stride];
    yi[q + stride] = xi[q] - xi[q + stride];
  }
}

void Split(int half, const float* __restrict signal, float* __restrict real, float* __restrict imag) {
  for (int k = 0; k < half; ++k) {
    real[k] = signal[2 * k];
    imag[k] = signal[2 * k + 1];
  }
}

// Bins 1 .. half - 1 of the real signal's spectrum from z, the spectrum of its even (real part) and odd samples.
void Unpack(int half, const float* __restrict zr, const float* __restrict zi, const float* __restrict cosine,
            const float* __restrict sine, float* __restrict real, float* __restrict imag) {
  for (int k = 1; k < half; ++k) {
    const float even_r = 0.5f * (zr[k] + zr[half - k]), even_i = 0.5f * (zi[k] - zi[half - k]);
    const float odd_r = 0.5f * (zi[k] + zi[half - k]), odd_i = 0.5f * (zr[half - k] - zr[k]);
    real[k] = even_r + odd_r * cosine[k] - odd_i * sine[k];
    imag[k] = even_i + odd_r * sine[k] + odd_i * cosine[k];
  }
}

// The inverse of Unpack; z comes out conjugated, so that the forward transform does the inverse's work.
void Pack(int half, const float* __restrict real, const float* __restrict imag, const float* __restrict cosine,
          const float* __restrict sine, float* __restrict zr, float* __restrict zi) {
  for (int k = 1; k < half; ++k) {
    const float even_r = 0.5f * (real[k] + real[half - k]), even_i = 0.5f * (imag[k] - imag[half - k]);
    const float diff_r = 0.5f * (real[k] - real[half - k]), diff_i = 0.5f * (imag[k] + imag[half - k]);
    const float odd_r = diff_r * cosine[k] + diff_i * sine[k], odd_i = diff_i * cosine[k] - diff_r * sine[k];
    zr[k] = even_r - odd_i;
    zi[k] = -(even_i + odd_r);
  }
}

void Join(int half, float scale, const float* __restrict real, const float* __restrict imag, float* __restrict signal) {
  for (int k = 0; k < half; ++k) {
    signal[2 * k] = real[k] * scale;
    signal[2 * k + 1] = -imag[k] * scale;
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
      for (int p = 0; p < m; ++p) Columns<4>(4, m, xr + 4 * p, xi + 4 * p, yr + 16 * p, yi + 16 * p, w + p);
    } else {
      for (int p = 0; p < m; ++p) {
        const int in = stride * p, out = 4 * stride * p;
        Columns<0>(stride, m, xr + in, xi + in, yr + out, yi + out, w + p);
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
  Unpack(half_, zr, zi, pack_cos_.data(), pack_sin_.data(), real, imag);
}

void Rfft::Inverse(const float* real, const float* imag, float* signal) noexcept {
  a_real_[0] = 0.5f * (real[0] + real[half_]);
  a_imag_[0] = -0.5f * (real[0] - real[half_]);
  Pack(half_, real, imag, pack_cos_.data(), pack_sin_.data(), a_real_.data(), a_imag_.data());
  Transform();
  Join(half_, 1.0f / static_cast<float>(half_), a_real_.data(), a_imag_.data(), signal);
}

}  // namespace edgevc
