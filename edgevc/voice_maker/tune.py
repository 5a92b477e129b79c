"""Tunes a voice: low-rank adapters on the decoder's layers, offsets of its output, and the row of conditioning."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (as everywhere)
from torch import Tensor

from edgevc.bundle import AdapterLayer, Adapters, ModelBundle
from edgevc.limits import HOP_LENGTH
from edgevc.voice_maker.material import CONTEXT_FRAMES, FloatArray, Material
from edgevc.voice_maker.networks import Decoder, Encoder
from edgevc.voice_maker.sound import N_BINS, N_FFT, LogMels, pulses, spectral_distance, synthesize
from edgevc.voice_maker.speaker import SpeakerEncoder

KEEP = slice(CONTEXT_FRAMES * HOP_LENGTH, -2 * HOP_LENGTH)
"""Samples of a crop that count."""
BATCH, FRAMES = 3, 152
OTHERS, OTHER_FRAMES = 2, 130
"""Crops of other speakers in a step, and their frames: 1.3 s, as the speaker's vector needs."""
EVERY = 2
"""Steps from one with other speakers to the next."""
SAVE_EVERY = 50
WARM_UP = 30
"""Steps."""


@dataclass(frozen=True)
class Recipe:
    """How a voice is tuned; the defaults were measured, see docs/own-voice.md."""

    steps: int = 300
    rank: int = 8
    rate: float = 3e-3
    """Of the adapters, at its highest."""
    row_rate: float = 5e-3
    """Of row and offsets."""
    speaker: float = 2.0
    """Weight of the distance to the recordings' speaker; 0 where no speaker encoder is there."""
    words: float = 1.0
    """Weight of the divergence of phones."""
    seed: int = 0


class Tuned:
    """The decoder with what is learnt: a row, offsets, and two matrices for each layer."""

    def __init__(self, decoder: Decoder, row: FloatArray, recipe: Recipe) -> None:
        """Start as the voice of `row`, (1, V)."""
        self.decoder = decoder
        generator = torch.Generator().manual_seed(recipe.seed)
        self.row = torch.from_numpy(row.copy()).requires_grad_()
        self.offsets = torch.zeros(len(decoder.layers[-1][1]), requires_grad=True)
        self.down, self.up, self.sizes = [], [], []
        for weight, _ in decoder.layers:
            outputs, inputs = weight.shape
            down = torch.randn(recipe.rank, inputs, generator=generator) / inputs**0.5
            self.down.append(down.requires_grad_())
            self.up.append(torch.zeros(outputs, recipe.rank, requires_grad=True))
            # a step changes every layer by the same share, whatever was folded into its weights
            self.sizes.append(float(weight.square().mean().sqrt()) * inputs**0.5)

    def slow(self) -> list[Tensor]:
        """Return the adapters."""
        return [*self.down, *self.up]

    def learning(self) -> list[Tensor]:
        """Return all that is learnt, in an order that stays."""
        return [self.row, self.offsets, *self.slow()]

    def __call__(self, batch: dict[str, Tensor], generator: torch.Generator | None = None) -> Tensor:
        """Return the sound (B, 160 W) of a `Material.batch`, at the reference level."""
        with torch.autocast("cpu", torch.bfloat16, enabled=_bfloat16()):
            layers = [self._layer(i) for i in range(len(self.sizes))]
            filters = self.decoder(batch["content"], batch["pitch"], self.row, layers)
        size, width = batch["f0"].shape
        noise = (torch.rand(size, HOP_LENGTH * (width + 1), generator=generator) - 0.5) * math.sqrt(12)
        return synthesize(filters.float() + self.offsets, pulses(batch["f0"]), noise) / batch["gain"]

    def _layer(self, i: int) -> Callable[[Tensor], Tensor]:
        weight, bias = self.decoder.layers[i]
        up = self.up[i] * self.sizes[i]
        return lambda x: F.linear(x, weight, bias) + F.linear(F.linear(x, self.down[i]), up)

    def adapters(self) -> Adapters:
        """Return what is to be written into a file."""
        with torch.no_grad():
            layers = tuple(
                AdapterLayer((up * size).numpy().copy(), down.numpy().copy())
                for up, down, size in zip(self.up, self.down, self.sizes, strict=True)
            )
            return Adapters(layers, self.offsets.numpy().copy(), "")

    def take(self, values: list[Tensor]) -> None:
        """Overwrite what is learnt."""
        with torch.no_grad():
            for target, value in zip(self.learning(), values, strict=True):
                target.copy_(value)


def _bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16; without, it would be slower by far."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def brightness(tuned: Tuned, material: Material, seed: int, batches: int) -> tuple[FloatArray, FloatArray]:
    """Return by how much the recordings are louder than what is spoken, in each bin: log-magnitudes (bins,), twice.

    For voiced frames and for the others.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    sums = torch.zeros(2, N_BINS)
    counts = torch.zeros(2, 1)
    with torch.no_grad():
        for _ in range(batches):
            batch = material.batch(rng, BATCH, FRAMES)
            magnitudes = [_magnitudes(sound[:, KEEP]) for sound in (batch["target"], tuned(batch, generator))]
            differs = magnitudes[0].log() - magnitudes[1].log()
            f0 = batch["f0"][:, CONTEXT_FRAMES : CONTEXT_FRAMES + differs.shape[1]]
            loud = magnitudes[0].mean(-1) > 0.1 * magnitudes[0].mean()
            for i, frames in enumerate(((f0 > 0) & loud, (f0 == 0) & loud)):
                sums[i] += differs[frames].sum(0)
                counts[i] += frames.sum()
    found = (sums / (counts + 50)).clamp(-2, 2).numpy()
    return found[0], found[1]


def _magnitudes(sound: Tensor) -> Tensor:
    """Return (B, N, bins) of sound, a frame for each hop."""
    spectrum = torch.stft(sound, N_FFT, HOP_LENGTH, window=torch.hann_window(N_FFT), return_complex=True)
    return spectrum.abs().clamp(min=1e-4).transpose(1, 2)


def distance_of(tuned: Tuned, material: Material, seed: int, batches: int) -> float:
    """Return the mean spectral distance to the recordings, over the same crops for the same seed."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        found = []
        for _ in range(batches):
            batch = material.batch(rng, BATCH, FRAMES)
            sound = tuned(batch, generator)[:, KEEP]
            found.append(float(spectral_distance(sound, batch["target"][:, KEEP])))
    return float(np.mean(found))


def nearest(bundle: ModelBundle, decoder: Decoder, material: Material, recipe: Recipe) -> str:
    """Return the name of the model's voice that is nearest to the recordings."""
    found = {}
    for spec in bundle.voices:
        tuned = Tuned(decoder, bundle.voice(spec.name).conditioning, recipe)
        found[spec.name] = distance_of(tuned, material, 5, 3)
    return min(found, key=lambda name: found[name])


class Tuner:
    """The loop; it can be stopped and goes on from its last save."""

    def __init__(
        self,
        bundle: ModelBundle,
        row: FloatArray,
        own: Material,
        others: Material,
        recipe: Recipe,
        speaker: tuple[SpeakerEncoder, FloatArray] | None,
    ) -> None:
        """Prepare.

        Args:
            bundle: the model.
            row: to begin with.
            own: the recordings.
            others: other speakers, moved to the recordings' pitch.
            recipe: how.
            speaker: an encoder of speakers and the recordings' vector; None: no such loss.
        """
        self.recipe, self.own, self.others = recipe, own, others
        self.tuned = Tuned(Decoder(bundle), row, recipe)
        self._encoder, self._mels = Encoder(bundle), LogMels()
        voiced, unvoiced = brightness(self.tuned, own, recipe.seed, 4)
        with torch.no_grad():
            self.tuned.offsets[:N_BINS] = torch.from_numpy(voiced)
            self.tuned.offsets[2 * N_BINS :] = torch.from_numpy(unvoiced)
        self._speaker = speaker
        self._behind = own.latency
        slow = self.tuned.slow()
        self._rates = (recipe.row_rate, recipe.rate)
        groups = [{"params": [self.tuned.row, self.tuned.offsets]}, {"params": slow}]
        self._optimizer = torch.optim.AdamW(groups, 1e-3, betas=(0.8, 0.99), weight_decay=0)
        self._average = [value.detach().clone() for value in self.tuned.learning()]
        self.step = 0

    def run(self, told: Callable[[int, float], None], save: Path | None = None) -> None:
        """Tune to the end; `told` hears of each step and its spectral loss. Ends with the averaged weights.

        Args:
            told: see above.
            save: file that is written every 50 steps, and read where it is there; see `load`.
        """
        while self.step < self.recipe.steps:
            loss = self._one()
            told(self.step, loss)
            if save is not None and self.step % SAVE_EVERY == 0:
                self._save(save)
        self.tuned.take(self._average)

    def _one(self) -> float:
        recipe, step = self.recipe, self.step
        # each step draws from its own seed, so that one that goes on draws what it would have drawn
        rng = np.random.default_rng([recipe.seed, step])
        generator = torch.Generator().manual_seed(1_000_003 * recipe.seed + step)
        batch = self.own.batch(rng, BATCH, FRAMES)
        loss = spectral_distance(self.tuned(batch, generator)[:, KEEP], batch["target"][:, KEEP])
        spectral = float(loss.detach())
        if step % EVERY == 0 and (recipe.words or self._speaker is not None):
            loss = loss + self._of_others(rng, generator)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.tuned.learning(), 5.0)
        share = min(1.0, (step + 1) / WARM_UP) * (0.05 + 0.95 * math.cos(step / recipe.steps * math.pi / 2))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self._optimizer.step()
        keep = min(0.99, step / (step + 10))
        with torch.no_grad():
            for average, value in zip(self._average, self.tuned.learning(), strict=True):
                average.lerp_(value, 1 - keep)
        self.step += 1
        return spectral

    def _of_others(self, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        """Return the losses of other speakers' words in this voice: it must be this speaker, and the same words."""
        batch = self.others.batch(rng, OTHERS, OTHER_FRAMES)
        sound = self.tuned(batch, generator)
        loss = sound.new_zeros(())
        if self._speaker is not None and self.recipe.speaker:
            encoder, centre = self._speaker
            loss = loss + self.recipe.speaker * (1 - (encoder(sound[:, KEEP]) @ torch.from_numpy(centre)).mean())
        if self.recipe.words:
            # both are behind their frames by the same
            part = slice(CONTEXT_FRAMES, -5)
            wanted, heard = batch["phones"][:, part], self._phones(sound)[:, part]
            loss = loss + self.recipe.words * (wanted.exp() * (wanted - heard)).sum(-1).mean()
        return loss

    def _phones(self, sound: Tensor) -> Tensor:
        mels = self._mels(sound)
        with torch.autocast("cpu", torch.bfloat16, enabled=_bfloat16()):
            return self._encoder(mels)[1].float()

    def _save(self, path: Path) -> None:
        from edgevc.files import AtomicFile

        state: dict[str, Any] = {
            "step": self.step,
            "values": [value.detach() for value in self.tuned.learning()],
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
        }
        target = AtomicFile(path)
        try:
            torch.save(state, target.file)
            target.commit()
        finally:
            target.abort()

    def load(self, path: Path) -> None:
        """Go on from a saved step."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.tuned.take(state["values"])
        self._average = state["average"]
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
