#include "edgevc/rfft.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace edgevc {

namespace {

constexpr double kPi = 3.14159265358979323846;

}  // namespace

Rfft::Rfft(int size) : size_(size), half_(size / 2) {
  if (size < 8 || size > 65536 || (size & (size - 1)) != 0) {
    throw std::invalid_argument("FFT size must be a power of two in [8, 65536], got " + std::to_string(size));
  }
  for (int n = half_; n > 1; n /= 2) {
    for (int p = 0; p < n / 2; ++p) {
      const double angle = -2.0 * kPi * p / n;
      stage_cos_.push_back(static_cast<float>(std::cos(angle)));
      stage_sin_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  for (int k = 0; k <= half_; ++k) {
    const double angle = -2.0 * kPi * k / size;
    pack_cos_.push_back(static_cast<float>(std::cos(angle)));
    pack_sin_.push_back(static_cast<float>(std::sin(angle)));
  }
  a_real_.resize(half_);
  a_imag_.resize(half_);
  b_real_.resize(half_);
  b_imag_.resize(half_);
}

// Stockham's autosort FFT, radix 2, of half_ complex points: no bit reversal, unit stride in the inner loop.
// C. Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992, section 1.7.
void Rfft::Transform() noexcept {
  const float* cosine = stage_cos_.data();
  const float* sine = stage_sin_.data();
  float *xr = a_real_.data(), *xi = a_imag_.data(), *yr = b_real_.data(), *yi = b_imag_.data();
  int stride = 1;
  for (int n = half_; n > 1; n /= 2) {
    const int m = n / 2;
    for (int p = 0; p < m; ++p) {
      const float wr = cosine[p], wi = sine[p];
      const float* __restrict ar = xr + stride * p;
      const float* __restrict ai = xi + stride * p;
      const float* __restrict br = xr + stride * (p + m);
      const float* __restrict bi = xi + stride * (p + m);
      float* __restrict cr = yr + stride * 2 * p;
      float* __restrict ci = yi + stride * 2 * p;
      float* __restrict dr = cr + stride;
      float* __restrict di = ci + stride;
      for (int q = 0; q < stride; ++q) {
        const float sr = ar[q] - br[q], si = ai[q] - bi[q];
        cr[q] = ar[q] + br[q];
        ci[q] = ai[q] + bi[q];
        dr[q] = sr * wr - si * wi;
        di[q] = sr * wi + si * wr;
      }
    }
    cosine += m;
    sine += m;
    stride *= 2;
    std::swap(xr, yr);
    std::swap(xi, yi);
  }
  if (xr != a_real_.data()) {
    a_real_.swap(b_real_);
    a_imag_.swap(b_imag_);
  }
}

void Rfft::Forward(const float* signal, float* real, float* imag) noexcept {
  for (int k = 0; k < half_; ++k) {
    a_real_[k] = signal[2 * k];
    a_imag_[k] = signal[2 * k + 1];
  }
  Transform();
  const float* zr = a_real_.data();
  const float* zi = a_imag_.data();
  real[0] = zr[0] + zi[0];
  imag[0] = 0.0f;
  real[half_] = zr[0] - zi[0];
  imag[half_] = 0.0f;
  for (int k = 1; k < half_; ++k) {
    const float er = 0.5f * (zr[k] + zr[half_ - k]), ei = 0.5f * (zi[k] - zi[half_ - k]);
    const float orr = 0.5f * (zi[k] + zi[half_ - k]), oi = -0.5f * (zr[k] - zr[half_ - k]);
    real[k] = er + orr * pack_cos_[k] - oi * pack_sin_[k];
    imag[k] = ei + orr * pack_sin_[k] + oi * pack_cos_[k];
  }
}

void Rfft::Inverse(const float* real, const float* imag, float* signal) noexcept {
  const float scale = 1.0f / static_cast<float>(half_);
  // Conjugated before and after, so that the forward transform does the inverse's work.
  a_real_[0] = 0.5f * (real[0] + real[half_]);
  a_imag_[0] = -0.5f * (real[0] - real[half_]);
  for (int k = 1; k < half_; ++k) {
    const float er = 0.5f * (real[k] + real[half_ - k]), ei = 0.5f * (imag[k] - imag[half_ - k]);
    const float dr = 0.5f * (real[k] - real[half_ - k]), di = 0.5f * (imag[k] + imag[half_ - k]);
    const float orr = dr * pack_cos_[k] + di * pack_sin_[k], oi = di * pack_cos_[k] - dr * pack_sin_[k];
    a_real_[k] = er - oi;
    a_imag_[k] = -(ei + orr);
  }
  Transform();
  for (int k = 0; k < half_; ++k) {
    signal[2 * k] = a_real_[k] * scale;
    signal[2 * k + 1] = -a_imag_[k] * scale;
  }
}

}  // namespace edgevc
