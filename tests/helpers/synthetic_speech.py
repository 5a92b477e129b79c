"""Words as clear phone posteriors: a small dictionary, a grammar of a few lamps, and who says its sentences."""

import numpy as np

from edgevc.recognition.lexicon import Lexicon
from edgevc.recognition.phones import PHONE_SHARES

PHONES = tuple(PHONE_SHARES)
PHONE_INDEX = {phone: i for i, phone in enumerate(PHONES)}
UNIFORM = np.full(len(PHONES), np.log(1 / len(PHONES)))

GRAMMAR = """
context:
  expressions:
    light:
      - "(please) [switch, turn] @onoff $room:place lamp"
      - "$room:place lamp @onoff"
    music:
      - "play (some) music (in the $room:place)"
  slots:
    room: ["kitchen", "living room", "bed room"]
  macros:
    onoff: ["on", "off"]
"""

LEXICON = Lexicon(
    {
        "bed": ["B EH D"],
        "garage": ["G ER AA ZH"],
        "go": ["G OW"],
        "in": ["IH N"],
        "kitchen": ["K IH CH AH N"],
        "lamp": ["L AE M P"],
        "living": ["L IH V IH NG"],
        "music": ["M Y UW Z IH K"],
        "off": ["AO F"],
        "on": ["AA N", "AO N"],
        "play": ["P L EY"],
        "please": ["P L IY Z"],
        "room": ["R UW M", "R UH M"],
        "some": ["S AH M"],
        "stop": ["S T AA P"],
        "switch": ["S W IH CH"],
        "the": ["DH AH", "DH IY"],
        "tomorrow": ["T AH M AA R OW"],
        "turn": ["T ER N"],
        "weather": ["W EH DH ER"],
    }
)


def sound(words, frames=6, pause=8, right=0.9, rng=None, tail=0):
    """Return log-posteriors (L, 40) that say the words clearly, with silence around and between them."""
    columns = [0] * pause
    for word in words.split():
        columns += [PHONE_INDEX[p] for p in LEXICON[word][0] for _ in range(frames)] + [0] * pause
    columns += [0] * tail
    wrong = np.full(len(PHONES), (1 - right) / len(PHONES))
    posteriors = np.tile(wrong, (len(columns), 1))
    if rng is not None:
        posteriors *= np.exp(rng.normal(0, 1, posteriors.shape))
    posteriors[np.arange(len(columns)), columns] += right
    return np.log(posteriors / posteriors.sum(1, keepdims=True)).astype(np.float32)
