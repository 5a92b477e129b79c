// What the pitch tracker hears: bands of the newest samples, their self-similarity by lag, and the features of its
// network.
#pragma once

#include <array>
#include <vector>

#include "edgevc/log_mel.h"
#include "edgevc/rfft.h"

namespace edgevc {

// Follows a signal in hops of 160 samples at 16 kHz.
//
// Two bands are kept at 8 kHz: the fundamental's (90 to 245 Hz at -3 dB, 12 dB per octave, so that 500 Hz still
// passes) and the speech band (90 to 1000 Hz). The similarity of each is the Hann-weighted normalised square
// difference of its newest 40 ms (P. McLeod and G. Wyvill, "A smarter way to find pitch", ICMC 2005), in [-1, 1].
//
// All but the level is relative: a gain changes nothing as long as the signal stays above the floors named in the
// source. Samples beyond +-8 are limited there and NaN and infinity count as 0, so no input can spoil the state.
class PitchAnalysis {
 public:
  static constexpr int kHopLength = 160;
  static constexpr int kWinLength = 640;  // at 16 kHz, of both similarities
  static constexpr int kBandRate = 8000;
  static constexpr int kMaxLag = 161;  // samples at kBandRate

  // Samples from the newest one to the centre of the frame that is judged. The judged similarities' windows are centred
  // there with the first, and 80 samples before it with the second.
  static constexpr int kLatency = kWinLength / 2 + kHopLength;
  static constexpr int kLowLatency = 240;

  // Log-spaced F0 at which the features sample a similarity: kGridMin 2^(k / kGridPerOctave) Hz.
  static constexpr int kGridSize = 50;
  static constexpr int kGridPerOctave = 16;
  static constexpr float kGridMin = 60.0f;
  static constexpr int kBands = 20;
  static constexpr int kFeatures = 2 * kGridSize + kBands + 1;

  // Throws std::invalid_argument unless latency is kLatency or kLowLatency.
  explicit PitchAnalysis(int latency = kLatency);

  int latency() const { return latency_; }

  // hop: kHopLength samples. Allocates nothing.
  void Push(const float* hop) noexcept;

  void Reset() noexcept;

  // What follows belongs to the frame centred latency() before the newest sample.

  // Of the fundamental's band by lag in samples at kBandRate, [0, kMaxLag].
  const float* fundamental_similarity() const noexcept { return judged().fundamental.data(); }

  // False where the fundamental's band holds less than the rounding of 16-bit samples.
  bool audible() const noexcept { return judged().audible; }

  // The speech band's similarity at the period of f0 (Hz), in [0, 1]: that band is wider than the fundamental's, so
  // breath and friction count.
  float Periodicity(float f0) const noexcept;

  // dB: 10 log10(1e-10 + mean over 400 samples of Hann-weighted squares); full scale is 1.
  float Level() const noexcept;

  // The network's input (kFeatures,), from the newest windows: both similarities on the grid, band levels below the
  // loudest, level change.
  const std::array<float, kFeatures>& features() const noexcept { return features_; }

 private:
  // Second-order section in transposed direct form II. In double: at 90 Hz the poles are close to 1.
  struct Biquad {
    double b0 = 0.0, b1 = 0.0, b2 = 0.0, a1 = 0.0, a2 = 0.0;
  };
  struct BiquadState {
    double s1 = 0.0, s2 = 0.0;
  };
  // Of one window of kWinLength.
  struct Window {
    std::array<float, kMaxLag + 1> fundamental{}, speech{};  // similarities by lag
    bool audible = false;
  };
  // All that a stream remembers apart from the sample buffers, so that Reset() cannot forget a part.
  struct State {
    BiquadState high_pass, speech_band, fundamental_band;
    float peak = 0.0f;   // loudest band of the past, decaying
    float level = 0.0f;  // mean band of the frame before
    bool started = false;
  };

  const Window& judged() const noexcept { return latency_ == kLatency ? before_ : newest_; }

  // A place between two lags, and the whole lags within half a step of the grid round it.
  struct GridPoint {
    int below = 0;       // the lag below the place
    float share = 0.0f;  // of the lag above
    int first = 0, end = 0;
  };

  void MakeGrid();
  void MakeTurns();
  static Biquad Butterworth(double cutoff, bool high_pass);
  static double Filter(const Biquad& section, double x, BiquadState* state) noexcept;
  void FilterHop(const float* hop) noexcept;
  float Energies(const std::vector<float>& band) noexcept;
  float Similarity(const std::vector<float>& band, float* similarity) noexcept;
  void SampleOnGrid(const float* similarity, float* features) const noexcept;
  void BandFeatures(float* features) noexcept;

  int latency_;
  Rfft fft_;
  LogMel log_mel_;
  Biquad high_pass_, speech_band_, fundamental_band_;
  std::array<GridPoint, kGridSize> grid_{};
  std::vector<float> band_window_;   // (320,)
  std::vector<float> level_window_;  // (400,)
  // Of the band window, four values each: (320, 4) of its sample 1, cosine, sine, 0; (162, 4) of its lag.
  std::vector<float> window_turns_, lag_turns_;
  // The newest samples: as given (680,), and both bands at 8 kHz (320,).
  std::vector<float> raw_, speech_, fundamental_;
  // Work areas.
  std::vector<float> weighted_;      // (512,)
  std::vector<float> real_, imag_;   // (257,)
  std::vector<float> running_sums_;  // (321, 4)
  std::vector<float> energy_;        // (162,) by lag
  std::array<float, kFeatures> features_{};
  Window before_, newest_;
  State state_;
};

}  // namespace edgevc
