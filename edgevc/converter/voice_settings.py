"""How a stream speaks, apart from whose voice it is."""

from __future__ import annotations

from dataclasses import dataclass

from edgevc.arrays import within
from edgevc.limits import FORMANT_SEMITONES, GAIN_DB, SEMITONES


@dataclass(frozen=True)
class VoiceSettings:
    """What can be set of a voice; every field may change while a stream runs.

    Example:
        >>> from edgevc import VoiceSettings
        >>> VoiceSettings(semitones=2).semitones
        2
    """

    semitones: float = 0.0
    """Raises or lowers the pitch, -24 to 24."""
    formant_semitones: float = 0.0
    """Shifts the formants, pitch unchanged, -12 to 12: above 0 as of a smaller head."""
    gain_db: float = 0.0
    """Of the output, -40 to 40 dB."""
    gate: bool = True
    """Turns down by 30 dB what the encoder takes for no speech, after 0.2 s without any."""
    mark: bool = True
    """Puts the watermark into the sound, which says that it was made (docs/mark.md); turning it off is logged."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value is outside its range.
        """
        within(self.semitones, SEMITONES, "semitones")
        within(self.formant_semitones, FORMANT_SEMITONES, "formant_semitones")
        within(self.gain_db, GAIN_DB, "gain_db")
