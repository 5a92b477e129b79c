// Look-ahead limiter: no output sample above the ceiling, and nothing else touched.
#pragma once

#include <cstdint>
#include <vector>

namespace edgevc {

// Delays by latency() samples, 1 ms, in which the gain falls before a peak arrives; it comes back with a time constant
// of 50 ms. The gain is the least that any sample within the look-ahead needs, recovering exponentially, averaged over
// the look-ahead, so it has neither steps nor corners and is in time for every peak. Samples whose gain is 1 come out
// bit for bit, so below the ceiling the limiter is a pure delay.
//
// The ceiling holds for samples; what a converter or a later resampler interpolates between them may be higher.
// Samples that are not finite count as silence. One object serves one thread at a time.
class Limiter {
 public:
  static constexpr double kCeilingDb = -0.3;

  // sample_rate in hertz. Throws std::invalid_argument unless it is in [4000, 192000] and ceiling_db in [-60, 0].
  explicit Limiter(int sample_rate, double ceiling_db = kCeilingDb);

  // Samples: sample_rate / 1000, rounded down.
  int latency() const { return latency_; }
  // Largest magnitude that comes out.
  float ceiling() const { return ceiling_; }

  // in, out: n samples; out may be in. Allocates nothing.
  void Process(const float* in, float* out, int64_t n) noexcept;

  // Samples that came out with a gain below 1 since the last reset.
  int64_t limited_samples() const { return limited_samples_; }

  // Equal to a new object.
  void Reset() noexcept;

 private:
  float Gain(float needed) noexcept;

  int latency_;
  float ceiling_;
  double recovery_;
  // Rings of latency_ + 1 values: samples, the gains that they need, and the recovering gain.
  std::vector<float> delay_, needed_, recovering_;
  int position_ = 0;
  // In double: in float the last steps towards 1 would be rounded away.
  double current_ = 1.0;
  // Samples until every value in the rings is 1 again, if no peak comes.
  int active_ = 0;
  int64_t limited_samples_ = 0;
};

}  // namespace edgevc
