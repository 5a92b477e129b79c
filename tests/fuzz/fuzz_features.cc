// Any options of the front end: refused, or finite frames that do not depend on the cut.
#include <stdexcept>

#include "edgevc/mfcc.h"
#include "edgevc/samples.h"
#include "input.h"

namespace {

constexpr int kLargest = 2147483647;

edgevc::MfccOptions Options(Input* input) {
  edgevc::MfccOptions options;
  edgevc::LogMelOptions& mel = options.log_mel;
  mel.mel.n_fft = 8 << input->Int(0, 8);
  mel.win_length = input->Int(0, mel.mel.n_fft + 1);
  mel.hop_length = input->Int(0, mel.win_length + 1);
  mel.window = input->Int(0, 1) ? edgevc::WindowType::kHann : edgevc::WindowType::kPovey;
  mel.remove_dc = input->Int(0, 1) == 1;
  mel.preemphasis = input->Number(0.0, 1.0);
  mel.input_scale = input->Number(0.0, 65536.0);
  mel.mel.sample_rate = input->Int(0, 192000);
  mel.mel.n_mels = input->Int(0, 130);
  mel.mel.fmin = input->Number(0.0, 4000.0);
  mel.mel.fmax = input->Number(0.0, 8000.0);
  mel.mel.scale = input->Int(0, 1) ? edgevc::MelScale::kHtk : edgevc::MelScale::kSlaney;
  mel.mel.interpolation = input->Int(0, 1) ? edgevc::MelInterpolation::kHertz : edgevc::MelInterpolation::kMel;
  mel.mel.norm = input->Int(0, 1) ? edgevc::MelNorm::kNone : edgevc::MelNorm::kSlaney;
  mel.log_floor = input->Number(1e-30, 1.0);
  mel.floor_mode = input->Int(0, 1) ? edgevc::LogFloor::kAdd : edgevc::LogFloor::kMax;
  mel.primed = input->Int(0, 1) == 1;
  options.n_mfcc = input->Int(0, 7) ? input->Int(0, 130) : kLargest;
  options.lifter_type = static_cast<edgevc::LifterType>(input->Int(0, 2));
  options.lifter = input->Number(0.0, 50.0);
  return options;
}

void Append(edgevc::Mfcc* stream, const std::vector<float>& samples, std::vector<float>* output) {
  const int64_t count = static_cast<int64_t>(samples.size());
  const int64_t n_frames = stream->log_mel().FramesFor(count);
  std::vector<float> part(static_cast<size_t>(n_frames * stream->n_mfcc()));
  REQUIRE(stream->Process(samples.data(), count, part.data()) == n_frames);
  output->insert(output->end(), part.begin(), part.end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  try {
    const edgevc::MfccOptions options = Options(&input);
    edgevc::Mfcc in_pieces(options), in_one(options);
    std::vector<float> all, pieces, whole;
    while (!input.empty() && all.size() < 4096) {
      const std::vector<float> samples = input.Samples(input.Int(0, 300));
      Append(&in_pieces, samples, &pieces);
      all.insert(all.end(), samples.begin(), samples.end());
    }
    Append(&in_one, all, &whole);
    REQUIRE(Same(pieces, whole));
    REQUIRE(AllFinite(whole));
    const int64_t n_bad = edgevc::CountBeyond(all.data(), static_cast<int64_t>(all.size()), edgevc::kLargestSample);
    REQUIRE(n_bad == in_one.log_mel().n_bad_samples());
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
