// The small recurrent network that judges voicing and F0 from the features of PitchAnalysis.
#pragma once

#include <array>
#include <vector>

#include "edgevc/pitch_analysis.h"

namespace edgevc {

struct PitchNetworkWeights;

// A dense layer, a gated recurrent unit (K. Cho et al., 2014, in the form of cuDNN and PyTorch) and a dense layer.
// Weights: csrc/src/pitch_network_weights_*.cc, written by tools/train_pitch.py, a set for each latency.
class PitchNetwork {
 public:
  static constexpr int kHidden = 64;
  static constexpr int kOutputs = 1 + PitchAnalysis::kGridSize;

  // Throws std::invalid_argument unless latency is PitchAnalysis::kLatency or kLowLatency.
  explicit PitchNetwork(int latency = PitchAnalysis::kLatency) : weights_(&Learnt(latency)) {}

  // features: (PitchAnalysis::kFeatures,). Advances by one hop. Returns the probabilities (kOutputs,), which add up to
  // 1: of "unvoiced" and of each F0 on PitchAnalysis's grid, for the frame centred `latency` before the newest
  // sample. Valid until the next call. Allocates nothing.
  const float* Process(const float* features) noexcept;

  void Reset() noexcept { state_.fill(0.0f); }

 private:
  // Outputs that are summed at once, as many as registers hold.
  static constexpr int kBlock = 32;
  // Outputs are filled up to whole blocks, with zeros.
  static constexpr int kPaddedOutputs = (kOutputs + kBlock - 1) / kBlock * kBlock;
  // Transposed, so that the inner loops run along the outputs and need no sum to be reordered.
  struct Layer {
    int inputs = 0;
    std::vector<float> weights;  // (padded outputs / kBlock, inputs, kBlock), in the order in which they are read
    std::vector<float> bias;     // (padded outputs,)
  };
  struct Weights {
    explicit Weights(const PitchNetworkWeights& from);
    Layer input, from_input, from_state, output;
  };
  static const Weights& Learnt(int latency);
  static void Apply(const Layer& layer, const float* __restrict input, float* __restrict output) noexcept;

  // Shared by all objects.
  const Weights* weights_;
  std::array<float, kHidden> state_{};
  std::array<float, kHidden> hidden_{};
  std::array<float, 3 * kHidden> gates_{}, recurrent_{};
  std::array<float, kPaddedOutputs> probabilities_{};
};

}  // namespace edgevc
