// Streaming fundamental frequency, periodicity and level of speech.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "edgevc/rfft.h"

namespace edgevc {

struct PitchFrame {
  float f0 = 0.0f;           // Hz, within [f0_min, f0_max]; 0 when unvoiced.
  float periodicity = 0.0f;  // 0 to 1, also meaningful when unvoiced.
  float level = -100.0f;     // dB: 10 log10(1e-10 + mean over 400 samples of Hann-weighted squares); full scale is 1.
};

// Tracks F0 in hops of 160 samples at 16 kHz.
//
// After hop m (0-based), samples [0, 160 (m + 1)) are known and the returned frame is centred at sample
// 160 (m + 1) - latency(); samples before the start count as zeros. The latency of 480 samples is half of the 640-sample
// analysis window plus one hop, by which the decision waits for the next frame.
//
// Candidates are the peaks of a Hann-weighted normalised square difference (P. McLeod and G. Wyvill, "A smarter way to
// find pitch", ICMC 2005); a Viterbi search with the octave, jump and voicing costs of P. Boersma ("Accurate short-term
// analysis of the fundamental frequency...", IFA Proceedings 17, 1993) chooses among them and "unvoiced".
class PitchTracker {
 public:
  // Throws std::invalid_argument unless sample_rate == 16000, hop_length == 160 and 50 <= f0_min < f0_max <= 1000 Hz.
  PitchTracker(int sample_rate, int hop_length, float f0_min, float f0_max);

  int sample_rate() const { return sample_rate_; }
  int hop_length() const { return hop_length_; }
  float f0_min() const { return f0_min_; }
  float f0_max() const { return f0_max_; }
  // Samples from the newest sample to the centre of the returned frame.
  int latency() const;

  // hop: hop_length() samples; NaN and infinity count as 0. frame: receives one frame. Allocates nothing.
  void Process(const float* hop, PitchFrame* frame) noexcept;

  // Makes the object equal to a new one.
  void Reset() noexcept;

  struct Tuning {
    float octave = 0.02f, jump = 0.35f, vuv = 0.14f, threshold = 0.45f, gate_db = 30.0f, gate_slope = 0.02f;
    float peak_decay = 0.02f, hp = 50, lp = 1000, win = 640;
  };
  static Tuning tuning;

 private:
  static constexpr int kMaxCandidates = 8;

  struct Candidate {
    float f0 = 0.0f;  // 0 for the unvoiced state.
    float periodicity = 0.0f;
    float score = 0.0f;  // of the best path that ends here
    int previous = 0;
  };

  struct Column {
    std::array<Candidate, kMaxCandidates + 1> candidates{};  // [0] is the unvoiced state
    int n_candidates = 1;
  };

  // Second-order section, transposed direct form II, in double.
  struct Biquad {
    double b0 = 0, b1 = 0, b2 = 0, a1 = 0, a2 = 0;
    double s1 = 0, s2 = 0;
  };

  // All that a stream remembers apart from the sample buffers, so that Reset() cannot forget a part.
  struct State {
    std::array<Column, 2> columns{};
    int newest = 0;
    double high_pass_1 = 0, high_pass_2 = 0, low_pass_1 = 0, low_pass_2 = 0;
    float peak_level = -100.0f;
  };

  void Filter(const float* hop) noexcept;
  void FindCandidates(Column* column) noexcept;
  void Advance(const Column& before, Column* now) noexcept;
  float Level() const noexcept;

  int sample_rate_;
  int hop_length_;
  float f0_min_;
  float f0_max_;
  int lag_min_;
  int lag_max_;
  Rfft fft_;
  Biquad high_pass_;
  Biquad low_pass_;
  std::vector<float> window_;        // (640,)
  std::vector<float> level_window_;  // (400,)
  // Spectrum of window_, centred conventions as the signal's.
  std::vector<float> window_real_, window_imag_;
  std::vector<float> raw_;       // newest samples as given, for the level
  std::vector<float> filtered_;  // (640,) newest filtered samples
  std::vector<float> work_, weighted_real_, weighted_imag_, energy_real_, energy_imag_;
  std::vector<float> product_, energy_;
  std::vector<float> similarity_;  // (lag_max_ + 2,)
  State state_;
};

}  // namespace edgevc
