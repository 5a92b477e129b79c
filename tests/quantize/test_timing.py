"""Float and int8 against a clock that is as wrong as that of a busy machine."""

import numpy as np
import pytest

from edgevc.quantize import timing


class Machine:
    """Its clock, and what comes over it: other programs, for seconds or for a moment."""

    def __init__(self, seed):
        self.now, self._rng, self._slow, self._left = 0.0, np.random.default_rng(seed), 1.0, 0

    def work(self, seconds):
        if not self._left:
            self._slow, self._left = self._rng.choice([1.0, 1.6, 2.5]), int(self._rng.integers(20, 400))
        self._left -= 1
        torn = 0.004 if self._rng.random() < 0.05 else 0.0
        self.now += seconds * self._slow * self._rng.uniform(0.95, 1.1) + torn


class Model:
    """Entrants are their seconds for each call."""

    def __init__(self, machine):
        self.machine = machine

    def calls(self, graph, part, hops):
        yield [()] * 7

    def runner(self, engine, graph, seconds, hops):
        machine = self.machine

        class Runner:
            def run(self, inputs):
                machine.work(seconds)

        return Runner()


@pytest.mark.parametrize("seed", range(12))
def test_ratios_hold_while_times_do_not(seed, monkeypatch):
    machine = Machine(seed)
    monkeypatch.setattr(timing.time, "thread_time", lambda: machine.now)
    cost = (1.0, 0.68, 1.03, 1.1)
    entrants = [{"g": 0.7e-3 * share} for share in cost]
    found = timing.race(Model(machine), "onnx", entrants, 1)
    assert np.array(found) / found[0] == pytest.approx(cost, rel=0.06)


def test_time_of_other_programs_does_not_count():
    """Sleep stands for a program that takes the processor away."""
    machine = Machine(0)
    machine.work = lambda seconds: timing.time.sleep(seconds)
    for us in timing.race(Model(machine), "onnx", [{"g": 0.002}] * 2, 1, rounds=2):
        assert us < 1_000
