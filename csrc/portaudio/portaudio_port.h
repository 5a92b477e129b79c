// A sound device under PortAudio: queues that its callback fills and empties without Python.
#pragma once

#include <portaudio.h>
#include <semaphore.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "edgevc/ring_buffer.h"

namespace edgevc {

// Mono queues on our side, any number of channels on the device's: averaged on the way in, repeated on the way out.
//
// Input and output on one device at one rate are one stream with one clock; otherwise they are two streams. The
// callback copies samples and counts; it neither allocates nor locks, and wakes a waiting thread with a semaphore. One
// thread reads, waits and writes; counters may be read from any thread. Start() and Stop() exclude everything else.
class PortAudioPort {
 public:
  struct Side {
    // PortAudio's index.
    int device;
    int channels;
    // Hz.
    int sample_rate;
    // Samples per callback.
    int block_length;
    // Seconds, a wish.
    double latency;
    // Of the queue, in samples; a power of two.
    int64_t capacity;
  };

  // Why the device no longer works.
  enum class Fault {
    kNone,
    // It ended the stream.
    kEnded,
    // It has exchanged no samples for 1 s.
    kStalled,
    // Its driver takes processor time and grows late since it missed samples.
    kSpinning,
  };

  struct Counters {
    int64_t blocks, input_overflows, output_underflows, captured_samples_lost, silent_samples_played;
  };

  static constexpr int kMaxChannels = 64;
  // Seconds: 11 days.
  static constexpr double kLongestWait = 1e6;

  // Throws std::invalid_argument for values out of range, and std::runtime_error with PortAudio's reason if the device
  // does not open. Initialises PortAudio for as long as the streams are open.
  PortAudioPort(const Side& input, const Side& output);
  ~PortAudioPort();

  PortAudioPort(const PortAudioPort&) = delete;
  PortAudioPort& operator=(const PortAudioPort&) = delete;

  // Throws std::runtime_error with PortAudio's reason.
  void Start();

  // Closes the streams and empties the queues. May be called twice.
  void Stop() noexcept;

  // Sleeps until n captured samples can be read; false after `timeout` seconds, a failure or a signal. A timeout that
  // is not above 0 is none, and more than kLongestWait is that.
  bool Wait(int64_t n, double timeout) noexcept;

  int64_t Available() const noexcept { return captured_.Available(); }
  int64_t Read(float* samples, int64_t n) noexcept { return captured_.Read(samples, n); }
  int64_t Discard(int64_t n) noexcept { return captured_.Discard(n); }
  // Appends what has room.
  int64_t Write(const float* samples, int64_t n) noexcept;
  int64_t PlaybackFill() const noexcept { return playback_.Available(); }

  Counters counters() const noexcept;

  Fault Failure() noexcept;

  // Seconds that PortAudio states.
  double input_latency() const noexcept { return input_latency_; }
  double output_latency() const noexcept { return output_latency_; }

 private:
  static int Duplex(const void* input, void* output, unsigned long length, const PaStreamCallbackTimeInfo* time,
                    PaStreamCallbackFlags flags, void* self);
  static int InputOnly(const void* input, void* output, unsigned long length, const PaStreamCallbackTimeInfo* time,
                       PaStreamCallbackFlags flags, void* self);
  static int OutputOnly(const void* input, void* output, unsigned long length, const PaStreamCallbackTimeInfo* time,
                        PaStreamCallbackFlags flags, void* self);
  static void Finished(void* self);

  // Looks at the threads' processor time twice a second.
  bool Spins(int64_t now) noexcept;
  void Open();
  void OpenStream(const PaStreamParameters* input, const PaStreamParameters* output, const Side& side,
                  PaStreamCallback* callback);
  void Capture(const float* input, int64_t length, bool device_lost_samples) noexcept;
  void Play(float* output, int64_t length, bool device_missed_samples) noexcept;
  void CloseStreams() noexcept;

  // Samples mixed at a time in the callback.
  static constexpr int kPiece = 512;

  const Side input_, output_;
  RingBuffer captured_, playback_;
  // One for each thread of PortAudio.
  std::array<float, kPiece> capture_scratch_, playback_scratch_;
  sem_t captured_block_;

  std::array<PaStream*, 2> streams_{};
  bool initialised_ = false;
  double input_latency_ = 0.0, output_latency_ = 0.0;

  std::atomic<bool> playing_{false}, finished_{false};
  bool running_ = false;
  // Nanoseconds of the monotonic clock.
  std::atomic<int64_t> last_input_{0}, last_output_{0};
  // When Failure() was last asked, and since when a device can be blamed for silence.
  int64_t last_look_ = 0, blame_from_ = 0;

  // Processor time of PortAudio's threads in nanoseconds, and whether the device ever missed or lost samples: after
  // that ALSA's plugins for sound servers may turn in circles, cost a whole core and grow late.
  std::atomic<int64_t> input_spent_{0}, output_spent_{0};
  std::atomic<bool> device_slipped_{false};
  int64_t window_from_ = 0, window_spent_ = 0;
  bool spinning_ = false;

  std::atomic<int64_t> blocks_{0}, input_overflows_{0}, output_underflows_{0}, samples_lost_{0}, silent_samples_{0};
};

}  // namespace edgevc
