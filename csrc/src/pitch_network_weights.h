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

extern const QuantizedLayer kPitchInput, kPitchFromInput, kPitchFromState, kPitchOutput;

}  // namespace edgevc
