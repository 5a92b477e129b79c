// Source-filter synthesis: a pulse train and noise, each shaped by a filter that changes every hop.
#pragma once

#include <cstdint>
#include <vector>

#include "edgevc/overlap_add.h"
#include "edgevc/rfft.h"
#include "edgevc/watermark.h"

namespace edgevc {

// Turns the decoder's filters into sound, one hop per call.
//
// Each frame stands for a segment of kSegmentLength samples centred on it. The excitation is a band-limited pulse train
// at the frame's F0 (K equal cosines, unit power) and continuous white noise of unit variance, each under a periodic
// Hann window; both are filtered in the frequency domain, added, and overlap-added without a second window, so a
// filter's response may ring kFftSize - kSegmentLength samples beyond its segment. The training code holds the same
// definitions in torch (tools/vctrain/synthesis.py); a test keeps the two together.
//
// The hop returned for a frame is the sound from kHopLength samples before the frame's centre up to the centre.
class SourceFilter {
 public:
  static constexpr int kSampleRate = 16000;
  static constexpr int kHopLength = 160;
  static constexpr int kSegmentLength = 320;
  static constexpr int kFftSize = 512;
  static constexpr int kBins = kFftSize / 2 + 1;
  // Log-magnitude and phase of the harmonic filter, log-magnitude of the noise filter.
  static constexpr int kFilters = 3 * kBins;

  static constexpr double kMinFormantRatio = 0.5;
  static constexpr double kMaxFormantRatio = 2.0;

  // seed: start of the noise; the same seed gives the same sound.
  explicit SourceFilter(uint32_t seed = 1);

  // filters: kFilters values, natural log of magnitudes (kept within [-14, 4]) and radians; a frame with a value that
  // is not finite is silent. f0: Hz, 0 when unvoiced, kept within [20, 3800]. out: kHopLength samples.
  // Allocates nothing.
  void Process(const float* filters, float f0, float* out) noexcept;

  // Moves the resonances: from the next frame on, what the filters have at frequency f / ratio is used at f, and above
  // the highest frequency what they have there. Kept within [kMinFormantRatio, kMaxFormantRatio]; NaN is ignored. At 1
  // the filters are used as they are, bit for bit. Reset() leaves it.
  void SetFormantRatio(double ratio) noexcept;
  double formant_ratio() const { return formant_ratio_; }

  // Whether the next frames carry the watermark, which they do unless told otherwise. It is laid over the filters when
  // they are as they will be heard, moved resonances and all, and goes on from frame to frame while it is off, so that
  // it does not depend on when it was. Without it the filters are used as they are, bit for bit. Reset() leaves the
  // choice.
  void SetMarked(bool marked) noexcept;
  bool marked() const { return marked_; }

  // Frames whose filters were not finite since the last Reset().
  int64_t bad_frames() const { return bad_frames_; }

  void Reset() noexcept;

 private:
  void FillPulses(double f0) noexcept;
  void FillNoise() noexcept;
  const float* Stretched(const float* values) noexcept;
  void StretchTurns() noexcept;
  void TurnPulses(const float* log_magnitude, const float* phase) noexcept;

  uint32_t seed_;
  uint32_t random_;
  double phase_ = 0.0;
  double previous_f0_ = 0.0;
  int64_t bad_frames_ = 0;
  double formant_ratio_ = 1.0;
  Rfft fft_;
  OverlapAdd overlap_add_;
  std::vector<float> window_;
  // The last two hops of noise; the older half is shared with the frame before.
  std::vector<float> noise_;
  std::vector<float> segment_, pulse_real_, pulse_imag_, noise_real_, noise_imag_;
  bool marked_ = true;
  Watermark watermark_;
  // Factors of the magnitudes, by bin.
  std::vector<float> steps_;
  // Work areas, by bin.
  std::vector<float> gains_, stretched_, turn_cos_, turn_sin_, stretched_cos_, stretched_sin_;
  // Where bin k of a stretched filter comes from: the bin below, and the share of the one above it.
  std::vector<int> from_bin_;
  std::vector<float> from_share_;
};

}  // namespace edgevc
