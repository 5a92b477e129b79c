// Real FFT with a plan made once.
#pragma once

#include <vector>

namespace edgevc {

// Forward and inverse DFT of real signals whose length is a power of two.
//
// Spectra are split: separate arrays of size() / 2 + 1 real and imaginary parts, bin k at k * sample_rate / size().
// Forward is unscaled; Inverse divides by size(), so Inverse(Forward(x)) == x.
// One object serves one thread: the calls share a work area.
class Rfft {
 public:
  // Throws std::invalid_argument unless size is a power of two in [8, 65536].
  explicit Rfft(int size);

  int size() const { return size_; }
  int bins() const { return size_ / 2 + 1; }

  // signal: size() samples. real, imag: bins() values. Allocates nothing.
  void Forward(const float* signal, float* real, float* imag) noexcept;

  // real, imag: bins() values; the imaginary parts of the first and the last bin are ignored. Allocates nothing.
  void Inverse(const float* real, const float* imag, float* signal) noexcept;

  // Inverse of a spectrum whose imaginary parts are all zero, at less cost.
  void InverseOfReal(const float* real, float* signal) noexcept;

 private:
  void Transform() noexcept;

  int size_;
  int half_;
  // Twiddles of each radix-4 stage, in the order in which they are read: for a stage of m butterflies six rows of m,
  // the real and imaginary parts of w, w^2 and w^3.
  std::vector<float> twiddles_;
  // exp(-2 pi i k / size), for packing two half-length spectra into one.
  std::vector<float> pack_cos_, pack_sin_;
  // Ping-pong work areas; the transform reads a_ and leaves its result there.
  std::vector<float> a_real_, a_imag_, b_real_, b_imag_;
};

}  // namespace edgevc
