#include "edgevc/feedback_guard.h"

#include <algorithm>
#include <cmath>

#include "edgevc/math.h"

namespace edgevc {

namespace {

// Samples at 16 kHz: 100 ms, and the 200 ms of input that are compared. A shorter window finds voices that resemble
// their own past; a longer one finds a howl later.
constexpr int kInterval = 1600;
constexpr int kWindow = 2 * kInterval;
// The smallest power of two that leaves room for every delay of a room with a sound server in it: up to 312 ms.
constexpr int kFftSize = 8192;
constexpr int kMaxDelay = kFftSize - kWindow;

// dB re full scale, power of the input. A microphone's own noise lies below; a loop that howls does not stay there.
constexpr float kQuietDb = -50.0f;
// Normalised: two voices, or one and its echo in a room without a loop, stay below.
constexpr float kCorrelated = 0.5f;
// Samples. The delay of a loop stays; a voice's own similarity to its past moves with its pitch.
constexpr int kDelayTolerance = 8;
// Intervals with the same delay until a loop is suspected: 600 ms, longer than any vowel stays as it is.
constexpr int kSamePlace = 6;
// dB. An echo that has become quieter by as much since the first of them dies away.
constexpr float kNotQuieterDb = -1.0f;
// Share of the input's power, within that many bins of 2 Hz to each side of the strongest one: a howl is one tone. The
// window's own main lobe has 3.
constexpr float kDominant = 0.8f;
constexpr size_t kDominantBins = 8;
// dB re full scale. What grows and is this loud will be at its limit soon, whatever it sounds like.
constexpr float kLoudDb = -20.0f;
// Intervals, and dB in that time: a loop that grows is suspected after 300 ms.
constexpr int kSamePlaceGrowing = 3;
constexpr float kGrowthDb = 3.0f;

// Factors: a step of -6 dB, and -48 dB, below which nobody hears anything.
constexpr float kStep = 0.5011872f;
constexpr float kLowestGain = 0.00398107f;
// Intervals until the answer to a step must have come: 600 ms, of which the longest delay and the window behind it take
// 512.
constexpr int kProbe = 6;
// dB: the input must fall by half of the step, or follow the output within half of it.
constexpr float kAnsweredDb = 3.0f;
constexpr float kSamePathDb = 3.0f;
// Of full scale. An input at its limit cannot show that it fell.
constexpr float kOverdriven = 0.98f;
// dB per interval: a loop that is still there has 1 s for each step up to be noticed again.
constexpr float kReleaseDb = 0.5f;
// Intervals for which the gain stays after an event: 2 s, twice as long after each further one up to 32 s.
constexpr int kFirstHold = 20, kLongestHold = 320;
// Intervals without a suspicion after one that was wrong: 2 s, and up to 30 s where a steady tone goes on.
constexpr int kFirstBlind = 20, kLongestBlind = 300;
// Intervals without an event after which both begin anew: a minute.
constexpr int64_t kForgetAfter = 600;

float ToDb(double power) noexcept { return static_cast<float>(10.0 * std::log10(power + 1e-20)); }

}  // namespace

FeedbackGuard::FeedbackGuard()
    : fft_(kFftSize),
      input_(kWindow),
      output_(kFftSize),
      work_(kFftSize),
      real_(kFftSize / 2 + 1),
      imag_(kFftSize / 2 + 1),
      input_real_(kFftSize / 2 + 1),
      input_imag_(kFftSize / 2 + 1) {
  Reset();
}

void FeedbackGuard::Reset() noexcept {
  std::fill(input_.begin(), input_.end(), 0.0f);
  std::fill(output_.begin(), output_.end(), 0.0f);
  previous_input_ = previous_output_ = 0.0f;
  fill_ = 0;
  peak_ = 0.0f;
  energy_ = previous_energy_ = 0.0;
  correlation_ = 0.0f;
  delay_ = 0;
  level_ = -200.0f;
  dominance_ = 0.0f;
  same_delay_ = 0;
  first_level_ = 0.0f;
  path_ = path_before_ = 0.0f;
  state_ = State::kListening;
  gain_ = gain_before_ = 1.0f;
  level_before_ = 0.0f;
  wait_ = blind_ = 0;
  next_hold_ = kFirstHold;
  next_blind_ = kFirstBlind;
  quiet_ = 0;
  events_ = 0;
}

float FeedbackGuard::Process(const float* input, const float* output, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    if (fill_ == 0) {
      // Room for an interval at the end.
      std::copy(input_.begin() + kInterval, input_.end(), input_.begin());
      std::copy(output_.begin() + kInterval, output_.end(), output_.begin());
    }
    const float in = std::isfinite(input[i]) ? input[i] : 0.0f;
    const float out = std::isfinite(output[i]) ? output[i] : 0.0f;
    input_[Index(kWindow - kInterval + fill_)] = in - previous_input_;
    output_[Index(kFftSize - kInterval + fill_)] = out - previous_output_;
    previous_input_ = in;
    previous_output_ = out;
    energy_ += static_cast<double>(in) * in;
    peak_ = std::max(peak_, std::abs(in));
    if (++fill_ == kInterval) {
      Compare();
      fill_ = 0;
      peak_ = 0.0f;
      previous_energy_ = energy_;
      energy_ = 0.0;
    }
  }
  return gain_;
}

void FeedbackGuard::Compare() noexcept {
  level_ = ToDb((energy_ + previous_energy_) / kWindow);
  // Nothing to hear, and nothing to compute.
  if (level_ <= kQuietDb) correlation_ = 0.0f;
  const bool input_is_output = level_ > kQuietDb && InputIsOutput();
  Decide(input_is_output, Suspicious(input_is_output));
}

bool FeedbackGuard::InputIsOutput() noexcept {
  double input_energy = 0.0;
  for (float sample : input_) input_energy += static_cast<double>(sample) * sample;

  std::copy(input_.begin(), input_.end(), work_.begin());
  std::fill(work_.begin() + kWindow, work_.end(), 0.0f);
  fft_.Forward(work_.data(), input_real_.data(), input_imag_.data());
  fft_.Forward(output_.data(), real_.data(), imag_.data());
  size_t strongest = 0;
  double total = 0.0, largest = -1.0;
  const size_t bins = real_.size();
  for (size_t k = 0; k < bins; ++k) {
    const float a = input_real_[k], b = input_imag_[k], c = real_[k], d = imag_[k];
    const double power = static_cast<double>(a) * a + static_cast<double>(b) * b;
    total += power;
    if (power > largest) {
      largest = power;
      strongest = k;
    }
    // Output times the conjugate of the input.
    real_[k] = c * a + d * b;
    imag_[k] = d * a - c * b;
  }
  double narrow = 0.0;
  const size_t lowest = strongest < kDominantBins ? 0 : strongest - kDominantBins;
  for (size_t k = lowest; k <= std::min(bins - 1, strongest + kDominantBins); ++k) {
    narrow +=
        static_cast<double>(input_real_[k]) * input_real_[k] + static_cast<double>(input_imag_[k]) * input_imag_[k];
  }
  dominance_ = static_cast<float>(narrow / (total + 1e-20));
  fft_.Inverse(real_.data(), imag_.data(), work_.data());

  // work_[s] is the sum over n < kWindow of input_[n] * output_[n + s]; s = kMaxDelay is a delay of 0.
  double output_energy = 0.0;
  for (size_t n = 0; n < kWindow; ++n) output_energy += static_cast<double>(output_[n]) * output_[n];
  float best = -1.0f, best_there = -1.0f, path = 0.0f, path_there = 0.0f;
  int best_delay = 0;
  const float *products = work_.data(), *played = output_.data();
  for (int s = 0; s <= kMaxDelay; ++s) {
    const double scale = input_energy * output_energy;
    const float correlation = scale > 1e-12 ? static_cast<float>(products[s] / std::sqrt(scale)) : 0.0f;
    const int delay = kMaxDelay - s;
    const float gain = static_cast<float>(products[s] / (output_energy + 1e-12));
    if (correlation > best) {
      best = correlation;
      best_delay = delay;
      path = gain;
    }
    if (std::abs(delay - delay_) <= kDelayTolerance && correlation > best_there) {
      best_there = correlation;
      path_there = gain;
    }
    if (s < kMaxDelay) {
      const double leaving = played[s], entering = played[s + kWindow];
      output_energy = std::max(0.0, output_energy + entering * entering - leaving * leaving);
    }
  }
  if (same_delay_ > 0 && best_there >= kCorrelated) {
    // A steady tone has many best delays; the first one counts as long as it is as good as any.
    correlation_ = best_there;
    path_ = path_there;
    return true;
  }
  same_delay_ = 0;
  correlation_ = best;
  path_ = path;
  delay_ = best_delay;
  return best >= kCorrelated;
}

bool FeedbackGuard::Suspicious(bool input_is_output) noexcept {
  if (!input_is_output) {
    same_delay_ = 0;
    return false;
  }
  if (same_delay_++ == 0) first_level_ = level_;
  const float growth = level_ - first_level_;
  if (growth < kNotQuieterDb) {
    // Dying away: count anew from here.
    same_delay_ = 1;
    first_level_ = level_;
    return false;
  }
  const bool growing = growth >= kGrowthDb && (dominance_ >= kDominant || level_ >= kLoudDb);
  return same_delay_ >= (growing ? kSamePlaceGrowing : kSamePlace);
}

void FeedbackGuard::StepDown() noexcept {
  gain_before_ = gain_;
  level_before_ = level_;
  path_before_ = path_;
  gain_ = std::max(gain_ * kStep, kLowestGain);
  state_ = State::kProbing;
  wait_ = kProbe;
  // That it becomes quieter by the step is no sign of a loop that dies away.
  same_delay_ = 1;
  first_level_ = level_ + ToDb(kStep * kStep);
}

void FeedbackGuard::RaiseDb(float db) noexcept { gain_ = std::min(1.0f, gain_ * std::pow(10.0f, db / 20.0f)); }

// Has the input followed the output down? A growing loop need not have become quieter, but the path from the output to
// the input is what it was; what comes from elsewhere now looks louder beside the output by the step.
bool FeedbackGuard::Answered(bool input_is_output) const noexcept {
  if (level_ <= level_before_ - kAnsweredDb || peak_ >= kOverdriven) return true;
  if (wait_ > 1 || !input_is_output) return false;
  return std::abs(ToDb(static_cast<double>(path_) * path_) - ToDb(static_cast<double>(path_before_) * path_before_)) <
         kSamePathDb;
}

void FeedbackGuard::Decide(bool input_is_output, bool suspicious) noexcept {
  if (++quiet_ >= kForgetAfter) {
    next_hold_ = kFirstHold;
    next_blind_ = kFirstBlind;
  }
  if (blind_ > 0) --blind_;
  switch (state_) {
    case State::kListening:
      if (suspicious && blind_ == 0) {
        StepDown();
      } else if (!input_is_output) {
        RaiseDb(kReleaseDb);
      }
      break;
    case State::kProbing:
      if (Answered(input_is_output)) {
        ++events_;
        quiet_ = 0;
        state_ = State::kHolding;
        wait_ = next_hold_;
        next_hold_ = std::min(2 * next_hold_, kLongestHold);
        next_blind_ = kFirstBlind;
      } else if (--wait_ == 0) {
        gain_ = gain_before_;
        state_ = State::kListening;
        blind_ = next_blind_;
        next_blind_ = std::min(2 * next_blind_, kLongestBlind);
      }
      break;
    case State::kHolding:
      if (suspicious) {
        StepDown();
      } else if (--wait_ <= 0) {
        state_ = State::kListening;
      }
      break;
  }
}

}  // namespace edgevc
