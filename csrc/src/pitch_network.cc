#include "edgevc/pitch_network.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "edgevc/exp4.h"
#include "edgevc/float4.h"
#include "edgevc/math.h"
#include "pitch_network_weights.h"

namespace edgevc {

PitchNetwork::Weights::Weights(const PitchNetworkWeights& from) {
  const auto make = [](const QuantizedLayer& quantized) {
    Layer layer;
    const int inputs = quantized.inputs, outputs = quantized.outputs;
    layer.inputs = inputs;
    layer.bias.assign(quantized.bias, quantized.bias + outputs);
    layer.bias.resize(Index((outputs + kBlock - 1) / kBlock * kBlock));
    layer.weights.resize(Index(inputs) * layer.bias.size());
    for (int i = 0; i < inputs; ++i) {
      for (int j = 0; j < outputs; ++j) {
        layer.weights[Index((j / kBlock * inputs + i) * kBlock + j % kBlock)] =
            quantized.scales[j] * static_cast<float>(quantized.weights[j * inputs + i]);
      }
    }
    return layer;
  };
  input = make(from.input);
  from_input = make(from.from_input);
  from_state = make(from.from_state);
  output = make(from.output);
}

const PitchNetwork::Weights& PitchNetwork::Learnt(int latency) {
  if (latency == PitchAnalysis::kLatency) {
    static const Weights weights(kPitchNetwork480);
    return weights;
  }
  if (latency == PitchAnalysis::kLowLatency) {
    static const Weights weights(kPitchNetwork240);
    return weights;
  }
  throw std::invalid_argument("no pitch network has a latency of " + std::to_string(latency) + " samples");
}

void PitchNetwork::Apply(const Layer& layer, const float* __restrict input, float* __restrict output) noexcept {
  constexpr int kLanes = 4, kSums = kBlock / kLanes;
  const int inputs = layer.inputs, outputs = static_cast<int>(layer.bias.size());
  const float* __restrict weights = layer.weights.data();
  for (int j = 0; j < outputs; j += kBlock) {
    Float4 sums[kSums];
    for (int k = 0; k < kSums; ++k) sums[k] = Load4(layer.bias.data() + j + kLanes * k);
    for (int i = 0; i < inputs; ++i, weights += kBlock) {
      const Float4 x = All4(input[i]);
#pragma GCC unroll 8
      for (int k = 0; k < kSums; ++k) sums[k] += x * Load4(weights + kLanes * k);
    }
    for (int k = 0; k < kSums; ++k) Store4(output + j + kLanes * k, sums[k]);
  }
}

const float* PitchNetwork::Process(const float* features) noexcept {
  Apply(weights_->input, features, hidden_.data());
  Map4(kHidden, hidden_.data(), hidden_.data(), [](Float4 x) { return x > 0.0f ? x : Float4{}; });
  Apply(weights_->from_input, hidden_.data(), gates_.data());
  Apply(weights_->from_state, state_.data(), recurrent_.data());
  for (int i = 0; i < kHidden; i += 4) {
    const float *gates = gates_.data() + i, *recurrent = recurrent_.data() + i;
    const Float4 reset = Sigmoid4(Load4(gates) + Load4(recurrent));
    const Float4 update = Sigmoid4(Load4(gates + kHidden) + Load4(recurrent + kHidden));
    const Float4 candidate = Tanh4(Load4(gates + 2 * kHidden) + reset * Load4(recurrent + 2 * kHidden));
    const Float4 state = Load4(state_.data() + i);
    Store4(state_.data() + i, candidate + update * (state - candidate));
  }
  Apply(weights_->output, state_.data(), probabilities_.data());
  const float greatest = *std::max_element(probabilities_.begin(), probabilities_.begin() + kOutputs);
  Map4(kOutputs, probabilities_.data(), probabilities_.data(), [greatest](Float4 x) { return Exp4(x - greatest); });
  float sum = 0.0f;
  for (size_t i = 0; i < kOutputs; ++i) sum += probabilities_[i];
  for (size_t i = 0; i < kOutputs; ++i) probabilities_[i] /= sum;
  return probabilities_.data();
}

}  // namespace edgevc
