"""Float and int8 against the clock: in turns, in one process, on one thread, so that both meet the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from edgevc.quantize.float_model import Files, FloatModel

ROUNDS = 24
BLOCK = 10
"""Calls of one model before the other one's turn."""
WARM_UP = 5


def race(model: FloatModel, engine: str, entrants: Sequence[Files], hops: int, rounds: int = ROUNDS) -> list[float]:
    """Return the median time of one call of all graphs, in microseconds, for each entrant.

    The median over the quietest quarter of its turns: what else runs on the machine comes and goes in seconds, and
    meets all entrants alike.

    Args:
        model: gives the calls, from held-out speech.
        engine: of all files.
        entrants: the models; an entrant may hold some of the graphs only.
        hops: per call.
        rounds: each entrant's turns of BLOCK calls.
    """
    graphs = tuple(entrants[0])
    calls = {graph: next(model.calls(graph, "held_out", hops)) for graph in graphs}
    teams = [[(model.runner(engine, g, files[g], hops), calls[g]) for g in graphs] for files in entrants]
    medians: list[list[float]] = [[] for _ in entrants]
    for turn in range(rounds + 1):
        for team, turns in zip(teams, medians, strict=True):
            spent = []
            for k in range(WARM_UP if turn == 0 else BLOCK):
                inputs = [(runner, played[(turn * BLOCK + k) % len(played)]) for runner, played in team]
                started = time.perf_counter()
                for runner, values in inputs:
                    runner.run(values)
                spent.append(time.perf_counter() - started)
            if turn:
                turns.append(statistics.median(spent))
    return [statistics.median(sorted(turns)[: max(1, len(turns) // 4)]) * 1e6 for turns in medians]
