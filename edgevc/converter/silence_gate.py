"""Keeps silence silent: what the encoder takes for no speech is turned down."""

from __future__ import annotations

OPEN_BELOW = 0.5
"""Probability of silence under which a frame is speech. The default model's gate then cuts 0.3 % of the frames of an
unseen speaker that the alignment calls speech, and is shut for 0.94 to 0.99 of white, pink and brown noise
(tools/evaluate_gate.py)."""
HOLD_HOPS = 20
"""Hops after the last speech before the gate begins to close: as long as a stop within a word."""
CLOSING_DB_PER_HOP = 2.0
DEPTH_DB = 30.0


class SilenceGate:
    """Follows the encoder's probability of silence, one hop of 10 ms after the other; opens at once, closes slowly."""

    def __init__(self) -> None:
        """Make an open gate."""
        self._quiet_hops = 0
        self._gain_db = 0.0

    def process(self, silence: float) -> float:
        """Take a frame's probability of silence, 0 to 1; return its gain in dB, -DEPTH_DB to 0."""
        if silence < OPEN_BELOW:
            self._quiet_hops = 0
            self._gain_db = 0.0
        else:
            self._quiet_hops += 1
            if self._quiet_hops > HOLD_HOPS:
                self._gain_db = max(-DEPTH_DB, self._gain_db - CLOSING_DB_PER_HOP)
        return self._gain_db
