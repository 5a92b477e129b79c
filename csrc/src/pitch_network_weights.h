// The learnt weights of PitchNetwork.
#pragma once

namespace edgevc {

// Output j is bias[j] + scales[j] * sum over i of weights[j * inputs + i] * input[i].
struct QuantizedLayer {
  int inputs, outputs;
  const signed char* weights;
  const float* scales;
  const float* bias;
};

struct PitchNetworkWeights {
  QuantizedLayer input, from_input, from_state, output;
};

// By the latency in samples.
extern const PitchNetworkWeights kPitchNetwork480, kPitchNetwork240;

}  // namespace edgevc
