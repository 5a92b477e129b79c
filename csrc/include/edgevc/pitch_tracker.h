// Streaming fundamental frequency, periodicity and level of speech.
#pragma once

#include "edgevc/pitch_analysis.h"
#include "edgevc/pitch_network.h"

namespace edgevc {

struct PitchFrame {
  float f0 = 0.0f;           // Hz, within [f0_min, f0_max]; 0 when unvoiced
  float periodicity = 0.0f;  // 0 to 1, also meaningful when unvoiced
  float level = -100.0f;     // dB, as PitchAnalysis::Level()
};

// Tracks F0 in hops of 160 samples at 16 kHz.
//
// After hop m (0-based), samples [0, 160 (m + 1)) are known and the returned frame is centred at sample
// 160 (m + 1) - latency(); samples before the start count as zeros.
//
// A small recurrent network, taught by WORLD's harvest (M. Morise, "Harvest: A high-performance fundamental frequency
// estimator from speech signals", Interspeech 2017), says from the features of PitchAnalysis whether the frame is
// voiced and about which F0 it has; the peak of the fundamental's similarity that is nearest to that gives the exact
// F0, where the similarity's window has the frame in its middle. Accuracy: docs/f0.md.
class PitchTracker {
 public:
  static constexpr float kLowestF0 = 60.0f;    // Hz: what the network was taught
  static constexpr float kHighestF0 = 500.0f;  // Hz

  // Throws std::invalid_argument unless sample_rate == 16000, hop_length == 160,
  // kLowestF0 <= f0_min < f0_max <= kHighestF0, and latency is PitchAnalysis::kLatency or kLowLatency.
  PitchTracker(int sample_rate, int hop_length, float f0_min, float f0_max, int latency = PitchAnalysis::kLatency);

  int sample_rate() const { return sample_rate_; }
  int hop_length() const { return hop_length_; }
  float f0_min() const { return f0_min_; }
  float f0_max() const { return f0_max_; }
  // Samples from the newest sample to the centre of the returned frame.
  int latency() const { return analysis_.latency(); }

  // hop: hop_length() samples. frame: receives one frame. Allocates nothing.
  void Process(const float* hop, PitchFrame* frame) noexcept;

  // Makes the object equal to a new one.
  void Reset() noexcept;

 private:
  // Hz: the centre of mass of the probabilities round the greatest of those within the limits.
  float Coarse(const float* probabilities) const noexcept;
  // Hz: the similarity's peak next to a coarse F0, or the coarse one where there is none.
  float Refine(float coarse) const noexcept;

  int sample_rate_;
  int hop_length_;
  float f0_min_;
  float f0_max_;
  int first_, last_;  // of the grid, within the limits
  PitchAnalysis analysis_;
  PitchNetwork network_;
};

}  // namespace edgevc
