#include "edgevc/pitch_network.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"
#include "pitch_network_weights.h"

namespace edgevc {

namespace {

float Sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

}  // namespace

PitchNetwork::Weights::Weights(const PitchNetworkWeights& from) {
  const auto make = [](const QuantizedLayer& quantized) {
    Layer layer;
    const int inputs = quantized.inputs, outputs = quantized.outputs;
    layer.bias.assign(quantized.bias, quantized.bias + outputs);
    layer.weights.resize(Index(inputs) * Index(outputs));
    for (int i = 0; i < inputs; ++i) {
      for (int j = 0; j < outputs; ++j) {
        layer.weights[Index(i * outputs + j)] =
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

void PitchNetwork::Apply(const Layer& layer, const float* input, float* output) noexcept {
  const int outputs = static_cast<int>(layer.bias.size());
  const int inputs = static_cast<int>(layer.weights.size()) / outputs;
  std::copy(layer.bias.begin(), layer.bias.end(), output);
  const float* weights = layer.weights.data();
  for (int i = 0; i < inputs; ++i, weights += outputs) {
    const float x = input[i];
    for (int j = 0; j < outputs; ++j) output[j] += x * weights[j];
  }
}

const float* PitchNetwork::Process(const float* features) noexcept {
  Apply(weights_->input, features, hidden_.data());
  for (float& x : hidden_) x = std::max(x, 0.0f);
  Apply(weights_->from_input, hidden_.data(), gates_.data());
  Apply(weights_->from_state, state_.data(), recurrent_.data());
  for (size_t i = 0; i < kHidden; ++i) {
    const float reset = Sigmoid(gates_[i] + recurrent_[i]);
    const float update = Sigmoid(gates_[kHidden + i] + recurrent_[kHidden + i]);
    const float candidate = std::tanh(gates_[2 * kHidden + i] + reset * recurrent_[2 * kHidden + i]);
    state_[i] = candidate + update * (state_[i] - candidate);
  }
  Apply(weights_->output, state_.data(), probabilities_.data());
  const float greatest = *std::max_element(probabilities_.begin(), probabilities_.end());
  float sum = 0.0f;
  for (float& x : probabilities_) sum += x = std::exp(x - greatest);
  for (float& x : probabilities_) x /= sum;
  return probabilities_.data();
}

}  // namespace edgevc
