"""Float and int8 against the clock: in turns, in one process, on one thread, so that both meet the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

from edgevc.quantize.subject import Files, Subject

ROUNDS = 24
BLOCK = 10
"""Calls of one model before the other one's turn."""
WARM_UP = 5


def race(subject: Subject, engine: str, entrants: Sequence[Files], hops: int, rounds: int = ROUNDS) -> list[float]:
    """Return the median time of one call of all graphs, in microseconds, for each entrant.

    Args:
        subject: gives the calls, from held-out speech.
        engine: of all files.
        entrants: the models; an entrant may hold some of the graphs only.
        hops: per call.
        rounds: each entrant's turns of BLOCK calls.
    """
    graphs = tuple(entrants[0])
    calls = {graph: next(subject.calls(graph, "held_out", hops)) for graph in graphs}
    teams = [[(subject.runner(engine, g, files[g], hops), calls[g]) for g in graphs] for files in entrants]
    times: list[list[float]] = [[] for _ in entrants]
    for turn in range(rounds + 1):
        for team, spent in zip(teams, times, strict=True):
            for k in range(WARM_UP if turn == 0 else BLOCK):
                inputs = [(runner, played[(turn * BLOCK + k) % len(played)]) for runner, played in team]
                started = time.perf_counter()
                for runner, values in inputs:
                    runner.run(values)
                if turn:
                    spent.append(time.perf_counter() - started)
    return [statistics.median(spent) * 1e6 for spent in times]


def times_by_hops(subject: Subject, engine: str, entrants: Sequence[Files]) -> list[Mapping[int, float]]:
    """Return, for each entrant, hops per call to median microseconds."""
    columns = {hops: race(subject, engine, entrants, hops) for hops in subject.hops}
    return [{hops: column[i] for hops, column in columns.items()} for i in range(len(entrants))]
