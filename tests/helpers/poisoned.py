"""A real model, one of whose graphs goes wrong when the test says so."""

import numpy as np

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.engines import Graph
from helpers.live_doubles import QUIET, Stage, playing


class PoisonedState:
    """A graph's state that holds a NaN until it is cleared."""

    def __init__(self, real):
        self.real, self.hops, self.bad = real, 0, False

    def reset(self):
        self.real.reset()
        self.bad = False

    def arrays(self):
        return self.real.arrays()

    def load(self, arrays):
        self.real.load(arrays)


class Poisoned(Graph):
    """A graph whose state becomes NaN by itself after so many hops, as a counter in a hostile graph may do it."""

    def __init__(self, graph, at_hops):
        super().__init__(graph.spec, graph.engine, graph.engine_version, graph.chunk_hops)
        self.graph, self.at_hops = graph, at_hops

    def new_state(self):
        return PoisonedState(self.graph.new_state())

    def run(self, state, *inputs):
        state.hops += self.chunk_hops
        state.bad |= state.hops in self.at_hops
        outputs = self.graph.run(state.real, *inputs)
        return tuple(np.full_like(output, np.nan) for output in outputs) if state.bad else outputs


def stage_of(samples, at_hops):
    bundle = ModelBundle.default()
    whole = VoiceConverter(bundle, "litert")
    converter = VoiceConverter.of_graphs(bundle, whole.encoder, Poisoned(whole.decoder, at_hops))
    return Stage(playing(samples), QUIET, {1: converter})
