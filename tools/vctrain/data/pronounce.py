"""Pronunciations of words that pocketsphinx's dictionary lacks: one such word would drop a whole recording.

By gruut (MIT), a lexicon and a model from letters to phones, both inside Python packages.
"""

from __future__ import annotations

from functools import cache

_TABLE = """
ɑ AA æ AE ʌ AH ə AH ɔ AO aʊ AW aɪ AY ɛ EH ɚ ER eɪ EY ɪ IH i IY oʊ OW ɔɪ OY ʊ UH u UW
b B t͡ʃ CH d D ð DH f F ɡ G h HH d͡ʒ JH k K l L m M n N ŋ NG p P ɹ R s S ʃ SH t T θ TH v V w W j Y z Z ʒ ZH
"""  # noqa: RUF001
_PAIRS = _TABLE.split()
IPA_TO_ARPABET = dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True))
"""Phones of gruut's US English, stress marks left out, to those of pocketsphinx's dictionary."""


def arpabet(ipa: list[str]) -> str | None:
    """Phones of one word in pocketsphinx's names, spaces between them; None where one has no counterpart."""
    phones = [IPA_TO_ARPABET.get(phone.lstrip("ˈˌ")) for phone in ipa]
    return " ".join(phone for phone in phones if phone) if phones and all(phones) else None


@cache
def pronunciation(word: str) -> str | None:
    """How a word that stands in no dictionary is said, as `arpabet`; None where gruut does not know either."""
    import gruut

    found = [w.phonemes for sentence in gruut.sentences(word, lang="en-us") for w in sentence if w.is_spoken]
    return arpabet([phone for phones in found for phone in phones or ()])
