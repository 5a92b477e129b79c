#include "portaudio_port.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"

namespace edgevc {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
// A device that has not called for this long is gone. Longer than any buffer, shorter than a person's patience.
constexpr int64_t kStall = kSecond;
// Who asks less often than this was itself asleep (a debugger, a laptop's lid) and cannot blame the device.
constexpr int64_t kAsleep = kSecond / 2;
// The longest sleep in one piece: a finished stream posts nothing.
constexpr int64_t kLongestSleep = kSecond / 10;
// Of a core, by a thread of PortAudio's: 0.01 where all is well, on a small board 0.03; 0.2 to 1 where it spins.
constexpr double kMaxShare = 0.15;

int64_t Now() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

void Require(bool holds, const char* rule, int64_t found) {
  if (!holds) throw std::invalid_argument(std::string(rule) + ", got " + std::to_string(found));
}

PortAudioPort::Side Checked(const PortAudioPort::Side& side) {
  Require(side.channels >= 1 && side.channels <= PortAudioPort::kMaxChannels, "channels must be in [1, 64]",
          side.channels);
  Require(side.sample_rate >= 4000 && side.sample_rate <= 192000, "sample_rate must be in [4000, 192000] Hz",
          side.sample_rate);
  Require(side.block_length >= 1 && side.block_length <= 65536, "block_length must be in [1, 65536]",
          side.block_length);
  if (!(side.latency >= 0.0 && side.latency <= 10.0)) throw std::invalid_argument("latency must be in [0, 10] s");
  return side;
}

void RequireNoError(PaError error) {
  if (error >= 0) return;
  std::string reason = Pa_GetErrorText(error);
  if (error == paUnanticipatedHostError) {
    const PaHostErrorInfo* host = Pa_GetLastHostErrorInfo();
    if (host && host->errorText && host->errorText[0]) reason += std::string(": ") + host->errorText;
  }
  throw std::runtime_error(reason);
}

// Relaxed: a counter or a time says nothing about other memory.
void Add(std::atomic<int64_t>* counter, int64_t n) noexcept { counter->fetch_add(n, std::memory_order_relaxed); }
int64_t Get(const std::atomic<int64_t>& counter) noexcept { return counter.load(std::memory_order_relaxed); }

}  // namespace

PortAudioPort::PortAudioPort(const Side& input, const Side& output)
    : input_(Checked(input)), output_(Checked(output)), captured_(input.capacity), playback_(output.capacity) {
  if (sem_init(&captured_block_, 0, 0) != 0) throw std::runtime_error("no semaphore");
  try {
    Open();
  } catch (...) {
    CloseStreams();
    sem_destroy(&captured_block_);
    throw;
  }
}

PortAudioPort::~PortAudioPort() {
  Stop();
  sem_destroy(&captured_block_);
}

void PortAudioPort::Open() {
  RequireNoError(Pa_Initialize());
  initialised_ = true;
  const int count = Pa_GetDeviceCount();
  Require(input_.device >= 0 && input_.device < count, "the input device must exist", input_.device);
  Require(output_.device >= 0 && output_.device < count, "the output device must exist", output_.device);
  const PaStreamParameters in = {input_.device, input_.channels, paFloat32, input_.latency, nullptr};
  const PaStreamParameters out = {output_.device, output_.channels, paFloat32, output_.latency, nullptr};
  if (input_.device == output_.device && input_.sample_rate == output_.sample_rate) {
    OpenStream(&in, &out, input_, &Duplex);
  } else {
    OpenStream(&in, nullptr, input_, &InputOnly);
    OpenStream(nullptr, &out, output_, &OutputOnly);
  }
}

void PortAudioPort::OpenStream(const PaStreamParameters* input, const PaStreamParameters* output, const Side& side,
                               PaStreamCallback* callback) {
  PaStream*& stream = streams_[streams_[0] ? 1 : 0];
  // Without clipping by PortAudio: what goes out is limited already.
  RequireNoError(Pa_OpenStream(&stream, input, output, side.sample_rate, static_cast<unsigned long>(side.block_length),
                               paClipOff, callback, this));
  RequireNoError(Pa_SetStreamFinishedCallback(stream, &Finished));
  if (const PaStreamInfo* info = Pa_GetStreamInfo(stream)) {
    if (input) input_latency_ = info->inputLatency;
    if (output) output_latency_ = info->outputLatency;
  }
}

void PortAudioPort::Start() {
  if (!streams_[0]) throw std::runtime_error("the streams are closed");
  const int64_t now = Now();
  last_input_.store(now, std::memory_order_relaxed);
  last_output_.store(now, std::memory_order_relaxed);
  last_look_ = blame_from_ = now;
  // PortAudio starts its threads after this, which orders it before what they do.
  finished_.store(false, std::memory_order_relaxed);
  running_ = true;
  for (PaStream* stream : streams_) {
    if (stream) RequireNoError(Pa_StartStream(stream));
  }
}

void PortAudioPort::CloseStreams() noexcept {
  for (PaStream*& stream : streams_) {
    if (!stream) continue;
    // Abort, not stop: that would wait for a device which may be gone.
    Pa_AbortStream(stream);
    Pa_CloseStream(stream);
    stream = nullptr;
  }
  if (initialised_) Pa_Terminate();
  initialised_ = false;
}

void PortAudioPort::Stop() noexcept {
  running_ = false;
  CloseStreams();
  captured_.Reset();
  playback_.Reset();
  playing_.store(false, std::memory_order_relaxed);
}

bool PortAudioPort::Wait(int64_t n, double timeout) noexcept {
  // NaN compares as false.
  const double seconds = timeout > 0.0 ? std::min(timeout, kLongestWait) : 0.0;
  const int64_t deadline = Now() + static_cast<int64_t>(seconds * static_cast<double>(kSecond));
  for (;;) {
    // First forget the blocks that came before, then look: what comes after the look wakes the sleep.
    while (sem_trywait(&captured_block_) == 0) {
    }
    if (captured_.Available() >= n) return true;
    const int64_t now = Now();
    if (now >= deadline || finished_.load(std::memory_order_acquire)) return false;
    const int64_t until = std::min(deadline, now + kLongestSleep);
    const timespec end = {static_cast<time_t>(until / kSecond), static_cast<long>(until % kSecond)};
    if (sem_clockwait(&captured_block_, CLOCK_MONOTONIC, &end) != 0 && errno == EINTR) {
      return captured_.Available() >= n;
    }
  }
}

int64_t PortAudioPort::Write(const float* samples, int64_t n) noexcept {
  const int64_t written = playback_.Write(samples, n);
  if (written > 0) playing_.store(true, std::memory_order_release);
  return written;
}

PortAudioPort::Counters PortAudioPort::counters() const noexcept {
  return {Get(blocks_), Get(input_overflows_), Get(output_underflows_), Get(samples_lost_), Get(silent_samples_)};
}

PortAudioPort::Fault PortAudioPort::Failure() noexcept {
  if (!running_) return Fault::kNone;
  if (finished_.load(std::memory_order_acquire)) return Fault::kEnded;
  const int64_t now = Now();
  if (now - last_look_ > kAsleep) blame_from_ = now;
  last_look_ = now;
  const int64_t last = std::max(blame_from_, std::min(Get(last_input_), Get(last_output_)));
  if (now - last > kStall) return Fault::kStalled;
  return Spins(now) ? Fault::kSpinning : Fault::kNone;
}

bool PortAudioPort::Spins(int64_t now) noexcept {
  const int64_t spent = Get(input_spent_) + Get(output_spent_);
  if (!device_slipped_.load(std::memory_order_relaxed)) {
    window_from_ = now;
    window_spent_ = spent;
  } else if (now - window_from_ >= kSecond / 2) {
    spinning_ =
        spinning_ || static_cast<double>(spent - window_spent_) > kMaxShare * static_cast<double>(now - window_from_);
    window_from_ = now;
    window_spent_ = spent;
  }
  return spinning_;
}

// On a thread of PortAudio from here on.

void PortAudioPort::Capture(const float* input, int64_t length, bool device_lost_samples) noexcept {
  last_input_.store(Now(), std::memory_order_relaxed);
  const int channels = input_.channels;
  const float share = 1.0f / static_cast<float>(channels);
  int64_t written = 0;
  for (int64_t done = 0; done < length && input;) {
    const int64_t n = std::min<int64_t>(kPiece, length - done);
    const float* from = input + done * channels;
    if (channels == 1) {
      written += captured_.Write(from, n);
    } else {
      for (int64_t i = 0; i < n; ++i) {
        float sum = 0.0f;
        for (int channel = 0; channel < channels; ++channel) sum += from[i * channels + channel];
        capture_scratch_[Index(i)] = sum * share;
      }
      written += captured_.Write(capture_scratch_.data(), n);
    }
    done += n;
  }
  const int64_t lost = input ? length - written : 0;
  if (lost > 0) Add(&samples_lost_, lost);
  if (lost > 0 || device_lost_samples) Add(&input_overflows_, 1);
  sem_post(&captured_block_);
}

void PortAudioPort::Play(float* output, int64_t length, bool device_missed_samples) noexcept {
  last_output_.store(Now(), std::memory_order_relaxed);
  const int channels = output_.channels;
  // Before the queue is read: a write in between is a start, not a gap.
  const bool playing = playing_.load(std::memory_order_acquire);
  int64_t played = 0;
  for (int64_t done = 0; done < length;) {
    const int64_t n = std::min<int64_t>(kPiece, length - done);
    const int64_t got = playback_.Read(playback_scratch_.data(), n);
    std::fill(playback_scratch_.begin() + got, playback_scratch_.begin() + n, 0.0f);
    float* to = output + done * channels;
    for (int64_t i = 0; i < n; ++i) std::fill_n(to + i * channels, channels, playback_scratch_[Index(i)]);
    played += got;
    done += n;
  }
  if (!playing) return;
  if (played < length) Add(&silent_samples_, length - played);
  if (played < length || device_missed_samples) Add(&output_underflows_, 1);
}

namespace {

// Nanoseconds of processor time that the calling thread has used.
int64_t ThreadTime() noexcept {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<int64_t>(time.tv_sec) * kSecond + time.tv_nsec;
}

// Whether the device says that it missed or lost samples.
bool Slipped(PaStreamCallbackFlags flags) noexcept {
  return flags & (paInputUnderflow | paInputOverflow | paOutputUnderflow | paOutputOverflow);
}

}  // namespace

int PortAudioPort::Duplex(const void* input, void* output, unsigned long length, const PaStreamCallbackTimeInfo*,
                          PaStreamCallbackFlags flags, void* self) {
  auto* port = static_cast<PortAudioPort*>(self);
  Add(&port->blocks_, 1);
  // Play first: Capture wakes the worker, which must find both queues as they are after the block, or what waits in
  // them is a block more at one look than at the next.
  port->Play(static_cast<float*>(output), static_cast<int64_t>(length), flags & paOutputUnderflow);
  port->Capture(static_cast<const float*>(input), static_cast<int64_t>(length), flags & paInputOverflow);
  port->input_spent_.store(ThreadTime(), std::memory_order_relaxed);
  if (Slipped(flags)) port->device_slipped_.store(true, std::memory_order_relaxed);
  return paContinue;
}

int PortAudioPort::InputOnly(const void* input, void*, unsigned long length, const PaStreamCallbackTimeInfo*,
                             PaStreamCallbackFlags flags, void* self) {
  auto* port = static_cast<PortAudioPort*>(self);
  Add(&port->blocks_, 1);
  port->Capture(static_cast<const float*>(input), static_cast<int64_t>(length), flags & paInputOverflow);
  port->input_spent_.store(ThreadTime(), std::memory_order_relaxed);
  if (Slipped(flags)) port->device_slipped_.store(true, std::memory_order_relaxed);
  return paContinue;
}

int PortAudioPort::OutputOnly(const void*, void* output, unsigned long length, const PaStreamCallbackTimeInfo*,
                              PaStreamCallbackFlags flags, void* self) {
  auto* port = static_cast<PortAudioPort*>(self);
  port->Play(static_cast<float*>(output), static_cast<int64_t>(length), flags & paOutputUnderflow);
  port->output_spent_.store(ThreadTime(), std::memory_order_relaxed);
  if (Slipped(flags)) port->device_slipped_.store(true, std::memory_order_relaxed);
  return paContinue;
}

void PortAudioPort::Finished(void* self) {
  auto* port = static_cast<PortAudioPort*>(self);
  // Release: with Wait and Failure, which acquire, what the last block counted is seen.
  port->finished_.store(true, std::memory_order_release);
  sem_post(&port->captured_block_);
}

}  // namespace edgevc
