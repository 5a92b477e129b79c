// Streaming fundamental frequency, periodicity and level of speech.
#pragma once

#include <array>
#include <vector>

#include "edgevc/rfft.h"

namespace edgevc {

struct PitchFrame {
  float f0 = 0.0f;           // Hz, within [f0_min, f0_max]; 0 when unvoiced
  float periodicity = 0.0f;  // 0 to 1, also meaningful when unvoiced
  float level = -100.0f;     // dB: 10 log10(1e-10 + mean over 400 samples of Hann-weighted squares); full scale is 1
};

// Tracks F0 in hops of 160 samples at 16 kHz.
//
// After hop m (0-based), samples [0, 160 (m + 1)) are known and the returned frame is centred at sample
// 160 (m + 1) - latency(); samples before the start count as zeros. The latency of 480 samples is half of the
// 640-sample analysis window plus one hop, by which the decision waits for the next frame.
//
// The band of the fundamental (90 to 245 Hz at -3 dB, 12 dB per octave, so that 500 Hz still passes) gives candidates:
// the peaks of a Hann-weighted normalised square difference (P. McLeod and G. Wyvill, "A smarter way to find pitch",
// ICMC 2005). A Viterbi search with octave, jump and voicing costs (P. Boersma, "Accurate short-term analysis of the
// fundamental frequency and the harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993) chooses among
// them and "unvoiced", which gains where the level is near the noise floor or far below the speaker's, and where high
// frequencies outweigh the band. A running mean of clear frames makes far-off octaves dearer.
//
// All of that is relative: a gain changes only the level, as long as the band of quiet frames stays above -120 dB.
// Samples beyond +-8 are limited there and NaN and infinity count as 0, so no input can spoil the state.
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

  // hop: hop_length() samples. frame: receives one frame. Allocates nothing.
  void Process(const float* hop, PitchFrame* frame) noexcept;

  // Makes the object equal to a new one.
  void Reset() noexcept;

 private:
  static constexpr int kMaxCandidates = 8;
  static constexpr float kUnknownFloor = 1000.0f;

  struct Candidate {
    float f0 = 0.0f;           // Hz; 0 for the unvoiced state
    float log_f0 = 0.0f;       // octaves above 1 Hz
    float periodicity = 0.0f;  // of the fundamental's band
    float score = 0.0f;        // of the best path that ends here
    int previous = 0;          // that path's place in the column before
  };

  // Voiced candidates follow the unvoiced state at [0].
  struct Column {
    std::array<Candidate, kMaxCandidates + 1> candidates{};
    int n_candidates = 1;
  };

  // Second-order section in transposed direct form II. In double: at 90 Hz the poles are close to 1.
  struct Biquad {
    double b0 = 0.0, b1 = 0.0, b2 = 0.0, a1 = 0.0, a2 = 0.0;
  };

  struct BiquadState {
    double s1 = 0.0, s2 = 0.0;
  };

  // All that a stream remembers apart from the sample buffers, so that Reset() cannot forget a part.
  struct State {
    std::array<Column, 2> columns{};
    int newest_column = 0;
    BiquadState high_pass, speech_band, fundamental_band;
    int n_audible = 0;  // frames since the last silent one, counted up to kWindowHops
    // Least levels in dB of the current block of frames and the blocks before it.
    std::array<float, 4> block_minima{kUnknownFloor, kUnknownFloor, kUnknownFloor, kUnknownFloor};
    int n_in_block = 0;
    float peak_level = -100.0f;  // dB
    float usual_log_f0 = 0.0f;
    float usual_weight = 0.0f;  // 0 to 1: how much is known of usual_log_f0
  };

  static Biquad Butterworth(double cutoff, bool high_pass);
  static float Filter(const Biquad& section, float x, BiquadState* state) noexcept;

  void Push(const float* hop) noexcept;
  void Analyse(const Column& before, Column* now) noexcept;
  void FindPeaks(Column* column) noexcept;
  void AddContinuation(const Column& before, Column* now) noexcept;
  float UnvoicedScore(float level, float periodicity) noexcept;
  void LearnUsual(const Column& column) noexcept;
  void Advance(const Column& before, Column* now) noexcept;
  Candidate MakeCandidate(float lag, float similarity) const noexcept;
  float SpeechBandPeriodicity(float f0) const noexcept;
  float Level() const noexcept;

  int sample_rate_;
  int hop_length_;
  float f0_min_;
  float f0_max_;
  int lag_min_;
  int lag_max_;
  Rfft fft_;
  Biquad high_pass_, speech_band_, fundamental_band_;
  std::vector<float> window_;                     // (640,)
  std::vector<float> band_window_;                // (320,)
  std::vector<float> window_real_, window_imag_;  // (257,) the band window's spectrum
  std::vector<float> level_window_;               // (400,)
  // The newest samples: as given (680,), up to 1 kHz (800,), the fundamental's band at 8 kHz (320,).
  std::vector<float> raw_, speech_, fundamental_;
  std::vector<float> weighted_, energy_;                                          // (512,) work areas
  std::vector<float> weighted_real_, weighted_imag_, energy_real_, energy_imag_;  // (257,) work areas
  std::vector<float> similarity_;                                                 // (lag_max_ + 2,) by lag at 8 kHz
  State state_;
};

}  // namespace edgevc
