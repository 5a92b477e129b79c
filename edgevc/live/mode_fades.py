"""Which of the converted voice, the dry voice and silence is heard, and how one follows the other without a click."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevc import _core

FADE_LENGTH = 320
"""Samples from one mode to another: 20 ms."""
WARM_UP_HOPS = 10
"""The converter hears so much again after a rest before it is heard itself."""

_CUT_LENGTH = 64
# What the equaliser and the limiter still give after their input has ended is below hearing.
_QUIET_HOPS = 20


class ModeFades:
    """Two fades, one of the converted and one of the dry voice, and what each chunk makes of them.

    For each chunk: `choose`, then run the converter where `wet_needed` says so, then `mix`.
    """

    def __init__(self, mode: str, when_overloaded: str) -> None:
        """Start as if `mode` had been heard for long.

        Args:
            mode: convert, bypass or mute.
            when_overloaded: bypass or mute; what is heard where there is no time for the converter.
        """
        wet = mode == "convert"
        self._when_overloaded = when_overloaded
        self._wet = _core.FadeGain(FADE_LENGTH, 1.0 if wet else 0.0)
        self._dry = _core.FadeGain(FADE_LENGTH, 1.0 if mode == "bypass" else 0.0)
        # what is heard while the converter is not
        self._instead = "mute" if wet else mode
        # until the converter may be heard
        self._cold_hops = 0 if wet else WARM_UP_HOPS
        # of silence, whatever is wanted
        self._hold_hops = 0
        self._silent_hops = 0
        self._last_wet = np.float32(0)
        self.settled = False
        """Whether the converted voice alone is heard, and no fade is left."""

    @property
    def wet_needed(self) -> bool:
        """Whether anything of the converted voice is still heard."""
        return self._wet.gain > 0

    @property
    def died_away(self) -> bool:
        """Whether it has been silent for so long that nothing rings any more."""
        return self._silent_hops >= _QUIET_HOPS

    def stay_silent(self, hops: int) -> None:
        """Give silence for so many hops, whatever is wanted."""
        self._hold_hops = hops

    def choose(self, mode: str, hops: int, *, converting: bool, convert: bool) -> None:
        """Set what is to be heard of the next chunk, and for how long the converter has yet to warm up.

        Args:
            mode: that is wanted.
            hops: of the chunk.
            converting: whether the converter is needed for it.
            convert: False where there is no time for the converter.
        """
        if self.settled and convert and mode == "convert" and self._hold_hops <= 0:
            return
        if not convert:
            self._instead = self._when_overloaded
        elif mode != "convert":
            self._instead = mode
        if not (convert and converting):
            self._cold_hops = WARM_UP_HOPS
        held = self._hold_hops > 0
        self._hold_hops -= hops if held else 0
        self._turn(
            wet=mode == "convert" and self._cold_hops <= 0 and not held,
            dry=self._instead == "bypass" and not held,
            hops=hops,
        )
        if convert and converting:
            self._cold_hops = max(0, self._cold_hops - hops)

    def _turn(self, *, wet: bool, dry: bool, hops: int) -> None:
        dry = dry and not wet
        self._wet.set_target(1.0 if wet else 0.0)
        self._dry.set_target(1.0 if dry else 0.0)
        self.settled = wet and not (self._wet.remaining or self._dry.gain)
        heard = wet or dry or self._wet.gain > 0 or self._dry.gain > 0
        self._silent_hops = 0 if heard else self._silent_hops + hops

    def mix(self, wet: NDArray[np.float32] | None, late: NDArray[np.float32], *, convert: bool) -> NDArray[np.float32]:
        """Return what is heard.

        Args:
            wet: the converted voice, float32 (n,); None where the converter did not run.
            late: the dry voice in step with it, float32 (n,).
            convert: False where there was no time for the converter.
        """
        if wet is not None:
            self._last_wet = wet[-1]
            if self.settled:
                return wet
            wet = self._wet.process(wet)
        elif not convert:
            wet = self._cut(len(late))
        if self._dry.gain or self._dry.target:
            output = self._dry.process(late)
            return output if wet is None else output + wet
        return np.zeros(len(late), np.float32) if wet is None else wet

    def _cut(self, n: int) -> NDArray[np.float32] | None:
        """Stop the converted voice where it is, rounded off, since there is no time to fade it out."""
        gain = self._wet.gain
        if not gain:
            return None
        self._wet = _core.FadeGain(FADE_LENGTH, 0.0)
        end = np.zeros(n, np.float32)
        end[:_CUT_LENGTH] = self._last_wet * gain * np.linspace(1, 0, _CUT_LENGTH, dtype=np.float32)
        return end
