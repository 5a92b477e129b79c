"""Commands behind a wake phrase: one of its phrases is heard as a command is, without training.

Until then only the phrases are searched for, a few hundred states. What was said since a phrase's last word is kept, so
that phrase and command may be said in one breath.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ConfigError
from edgevc.recognition.recognizer import CommandRecognizer, Heard

_OVERLAP = 5
"""Frames before a phrase's last one that the command may have begun with: the border is not that exact."""


@dataclass(frozen=True)
class WakeSettings:
    """How wake phrases are taken."""

    armed_seconds: float = 8.0
    """Commands are heard for so long behind a phrase; one that has begun by then is heard to its end."""
    least_certainty: float = 1.0
    """Phrases whose `Evidence.certainty` is below are not taken."""


class ArmedRecognizer:
    """Hears one stream: commands for a while behind a wake phrase, or always where there are no phrases."""

    def __init__(
        self, commands: CommandRecognizer, wake: CommandRecognizer | None, settings: WakeSettings | None = None
    ) -> None:
        """Start a stream; `wake` hears the phrases.

        Raises:
            ConfigError: armed_seconds is not above 0 and at most 600.
        """
        chosen = settings if settings is not None else WakeSettings()
        if not 0 < chosen.armed_seconds <= 600:
            raise ConfigError(f"armed_seconds: expected above 0 and at most 600, got {chosen.armed_seconds}")
        self._commands = commands
        self._wake = wake
        self._armed_frames = round(100 * chosen.armed_seconds)
        self._recent: NDArray[np.float32] | None = None
        self._n_frames = 0
        self._armed_until = -1
        self.woken: list[Heard] = []
        """Phrases that ended in the last call of `process`; the intent of their meaning is the phrase's text."""

    @property
    def armed(self) -> bool:
        """Whether commands are heard."""
        return self._wake is None or self._armed_until >= 0

    @property
    def least_certainty(self) -> float:
        """Commands below it are refused; may be changed at any time."""
        return self._commands.least_certainty

    @least_certainty.setter
    def least_certainty(self, certainty: float) -> None:
        self._commands.least_certainty = certainty

    def process(self, log_posteriors: NDArray[np.float32]) -> list[Heard]:
        """Hear frames (L, n_phones), any L; return the sentences that ended in them."""
        self.woken = []
        if self._wake is None:
            return self._commands.process(log_posteriors)
        heard: list[Heard] = []
        start = 0
        while start < len(log_posteriors):
            rest = log_posteriors[start:]
            if self._armed_until < 0:
                start += self._wait(self._wake, rest, heard)
            else:
                start += self._listen(self._wake, rest, heard)
        return heard

    @property
    def speaking(self) -> bool:
        """Whether a sentence has begun and not ended, or is waited for behind a phrase."""
        return self._commands.speaking or self._armed_until >= 0 or (self._wake is not None and self._wake.speaking)

    def reset(self, at: int = 0) -> None:
        """Forget everything heard, like a new object; the next frame is number `at` of the stream."""
        self._commands.reset(at)
        if self._wake is not None:
            self._wake.reset(at)
        self._recent = None
        self._n_frames = at
        self._armed_until = -1
        self.woken = []

    def _wait(self, wake: CommandRecognizer, frames: NDArray[np.float32], heard: list[Heard]) -> int:
        """Hear up to the end of a phrase; return how many frames."""
        taken, phrase = wake.hear(frames)
        self._n_frames += taken
        recent = frames[:taken] if self._recent is None else np.concatenate([self._recent, frames[:taken]])
        self._recent = recent[-wake.longest_end - _OVERLAP :].copy()
        if phrase is None or phrase.refusal is not None or phrase.recognition is None:
            return taken
        self.woken.append(phrase)
        last = phrase.begin + phrase.recognition.ends[-1]
        self._armed_until = last + self._armed_frames
        since = self._recent[-min(self._n_frames - 1 - last + _OVERLAP, len(self._recent)) :]
        self._recent = None
        self._commands.reset(at=self._n_frames - len(since))
        # frames that were heard before: a command cannot have ended in them, but for one of a single short word
        done = 0
        while done < len(since) and self._armed_until >= 0:
            done += self._command(since[done:], heard)
        if self._armed_until < 0:
            wake.reset(at=self._n_frames)
        return taken

    def _listen(self, wake: CommandRecognizer, frames: NDArray[np.float32], heard: list[Heard]) -> int:
        """Hear a command; return how many frames were heard, 0 where commands are no longer waited for."""
        left = self._armed_until - self._n_frames
        if left > 0:
            taken = self._command(frames[:left], heard)
        elif self._commands.speaking:
            # one frame at a time, as it may fall silent with any
            taken = self._command(frames[:1], heard)
        else:
            taken = 0
            self._armed_until = -1
        self._n_frames += taken
        if self._armed_until < 0:
            wake.reset(at=self._n_frames)
        return taken

    def _command(self, frames: NDArray[np.float32], heard: list[Heard]) -> int:
        taken, sentence = self._commands.hear(frames)
        if sentence is not None:
            heard.append(sentence)
            if sentence.refusal is None:
                self._armed_until = -1
        return taken
