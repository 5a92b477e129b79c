"""Float and int8 against the clock: in turns, in one process, on one thread, so that both meet the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence

from edgevc.quantize.float_model import Files, FloatModel
from edgevc.quantize.runners import Calls, Runner

ROUNDS = 24
BLOCK = 10
"""Calls of one model before the other one's turn."""
WARM_UP = 5


def race(model: FloatModel, engine: str, entrants: Sequence[Files], hops: int, rounds: int = ROUNDS) -> list[float]:
    """Return the median time of one call of all graphs, in microseconds, for each entrant.

    The first one's is that of the quietest quarter of its turns. The others' are that times the median of their ratios
    to it, turn by turn: what else runs on the machine comes and goes in seconds and meets the neighbours alike, so that
    ratios hold where times do not. Time in which another program had the processor does not count.

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
    order = list(zip(teams, medians, strict=True))
    for turn in range(rounds + 1):
        # who goes first changes: something that begins in the middle of a round shall not favour one
        for team, turns in order if turn % 2 else reversed(order):
            spent = _seconds(team, range(WARM_UP) if turn == 0 else range(turn * BLOCK, (turn + 1) * BLOCK))
            if turn:
                turns.append(spent)
    first = statistics.median(sorted(medians[0])[: max(1, rounds // 4)]) * 1e6
    ratios = [[one / other for one, other in zip(turns, medians[0], strict=True)] for turns in medians]
    return [first * statistics.median(turns) for turns in ratios]


def _seconds(team: Sequence[tuple[Runner, Calls]], numbers: Iterable[int]) -> float:
    """Return the median processor time of calls by their numbers, which begin anew where there are no more."""
    spent = []
    for number in numbers:
        inputs = [(runner, played[number % len(played)]) for runner, played in team]
        started = time.thread_time()
        for runner, values in inputs:
            runner.run(values)
        spent.append(time.thread_time() - started)
    return statistics.median(spent)
