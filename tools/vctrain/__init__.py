"""Training, distillation and export of edgevc models (PyTorch). Never imported by `edgevc`."""
