// A few bells that raise or lower parts of the spectrum, moved without a click.
#pragma once

#include <array>
#include <cstdint>

namespace edgevc {

// Cascade of peaking filters (R. Bristow-Johnson, "Cookbook formulae for audio EQ biquad filter coefficients"), latency
// 0. New settings are approached in a straight line of the coefficients over 20 ms; that stays stable, since the stable
// coefficients of a biquad form a triangle. Filters of 0 dB are left out once they have settled, so with none the input
// comes out bit for bit. One object serves one thread at a time.
class PeakingEq {
 public:
  static constexpr int kMaxFilters = 8;
  static constexpr double kMaxGainDb = 24.0;
  static constexpr double kMinQ = 0.1;
  static constexpr double kMaxQ = 20.0;

  // sample_rate in hertz. Throws std::invalid_argument unless it is in [4000, 192000].
  explicit PeakingEq(int sample_rate);

  int sample_rate() const { return sample_rate_; }

  // Sets filter `index`, in [0, kMaxFilters): centre in (0, 0.49 * sample_rate] Hz, gain in [-kMaxGainDb, kMaxGainDb]
  // dB, quality in [kMinQ, kMaxQ]. Throws std::invalid_argument otherwise. Allocates nothing.
  void Set(int index, double centre, double gain_db, double quality);

  // Takes filter `index` out, as smoothly.
  void Clear(int index);

  // in, out: n samples; out may be in. Allocates nothing.
  void Process(const float* in, float* out, int64_t n) noexcept;

  // Forgets the signal; the settings stay, and are reached at once.
  void Reset() noexcept;

 private:
  // b0, b1, b2, a1, a2, with a0 = 1.
  using Coefficients = std::array<double, 5>;

  struct Filter {
    Coefficients now, target, step;
    // Of the transposed direct form II, which hardly reacts to moving coefficients.
    double state1, state2;
    // Samples until now is target.
    int moving;
    bool neutral;
  };

  void Move(Filter* filter, const Coefficients& target, bool neutral) const noexcept;
  Filter& At(int index);

  int sample_rate_;
  int glide_length_;
  std::array<Filter, kMaxFilters> filters_;
};

}  // namespace edgevc
