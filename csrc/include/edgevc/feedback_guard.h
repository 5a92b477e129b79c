// Detects acoustic feedback (a microphone that hears its own loudspeaker), and says how far to turn down.
#pragma once

#include <cstdint>
#include <vector>

#include "edgevc/rfft.h"

namespace edgevc {

// Every 100 ms the last 200 ms of input are compared with the output of up to 312 ms before, whatever the loop's delay:
// the normalised correlation of both, after a first difference that keeps low voices from looking alike. The loop is
// suspected when the input has been the output at one and the same delay (correlation above 0.5) and has not become
// quieter for 600 ms; when it grows and is loud, or one narrow band holds nearly all of it, 300 ms are enough. A loop
// with a gain below 1 dies away instead, and a person who speaks is not what was played.
//
// A suspicion lowers the gain by 6 dB. If within 600 ms the input falls by 3 dB or more, or follows the output at the
// same gain as before, or is overdriven, it was the loop: an event. Further steps follow as long as it goes on, down to
// -48 dB. Otherwise (a steady tone from somewhere else) the gain comes back at once and the next suspicion must wait,
// longer each time. After an event the gain stays for 2 s, twice as long after each further one up to 32 s, then rises
// by 0.5 dB per 100 ms while nothing looks like a loop.
//
// gain() must be applied to the output behind everything that limits it, and output must be what is really played.
// 16 kHz; what is not finite counts as silence. One object serves one thread at a time.
class FeedbackGuard {
 public:
  static constexpr int kSampleRate = 16000;

  FeedbackGuard();

  // input: n samples as captured; output: the n samples played in the meantime. Returns gain(). Allocates nothing.
  float Process(const float* input, const float* output, int64_t n) noexcept;

  // Factor for the output, in [0.004, 1]; it moves in steps, so fade it (FadeGain).
  float gain() const { return gain_; }
  // Confirmed howls since the last reset.
  int64_t events() const { return events_; }
  // Of the last comparison: the largest correlation, in [-1, 1], and its delay in samples.
  float correlation() const { return correlation_; }
  int delay() const { return delay_; }

  // Equal to a new object.
  void Reset() noexcept;

 private:
  enum class State { kListening, kProbing, kHolding };

  void Compare() noexcept;
  // Finds the best delay, and whether it is the one of the comparisons before. True where the input is the output.
  bool InputIsOutput() noexcept;
  bool Suspicious(bool input_is_output) noexcept;
  bool Answered(bool input_is_output) const noexcept;
  void Decide(bool input_is_output, bool suspicious) noexcept;
  void StepDown() noexcept;
  void RaiseDb(float db) noexcept;

  Rfft fft_;
  // The last kWindow samples of input and kFftSize of output, oldest first, as differences.
  std::vector<float> input_, output_;
  float previous_input_ = 0.0f, previous_output_ = 0.0f;
  // Filled with the newest samples, up to kInterval of them.
  int fill_ = 0;
  float peak_ = 0.0f;
  // Of the undifferenced input, in the interval now and in the one before.
  double energy_ = 0.0, previous_energy_ = 0.0;
  std::vector<float> work_, real_, imag_, input_real_, input_imag_;

  float correlation_ = 0.0f;
  int delay_ = 0;
  // dB re full scale, of the last 200 ms.
  float level_ = -200.0f;
  // Share of the energy in the narrow band around the strongest frequency.
  float dominance_ = 0.0f;
  // Comparisons in a row with the same delay, and the level at the first of them.
  int same_delay_ = 0;
  float first_level_ = 0.0f;
  // Amplitude of the output in the input, at that delay, and before the last step.
  float path_ = 0.0f, path_before_ = 0.0f;

  State state_ = State::kListening;
  float gain_ = 1.0f;
  float gain_before_ = 1.0f;
  float level_before_ = 0.0f;
  // Comparisons until the state may change, until a suspicion counts again, and the lengths of the next such waits.
  int wait_ = 0, blind_ = 0, next_hold_ = 0, next_blind_ = 0;
  // Comparisons since the last event.
  int64_t quiet_ = 0;
  int64_t events_ = 0;
};

}  // namespace edgevc
