"""Limits are read as written, and figures judged by them."""

import math

import numpy as np
import pytest

from edgevc.errors import ConfigError
from edgevc.quantize.float_model import mel_distance
from edgevc.quantize.quality_gate import DEFAULT, complaint, drift_ratio, parse


def test_limits_are_read_with_and_without_blanks():
    gate = parse("mel<=0.1, tensor >= 35,drift<=1.05", "bundle")
    assert gate.limits == {"mel": 0.1, "tensor": 35.0, "drift": 1.05}


@pytest.mark.parametrize("kind", ["bundle", "graph"])
def test_the_default_gate_can_be_read(kind):
    assert parse(DEFAULT[kind], kind).limits["tensor"] == 35


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read"),
        ("mel", "cannot read 'mel'"),
        ("mel<0.1", "cannot read"),
        ("mel<=much", "cannot read"),
        ("mel<=1e999", "cannot read"),
        ("loudness>=3", "got 'loudness'"),
        ("mel>=0.1", "mel is good when small"),
        ("tensor<=35", "tensor is good when large"),
    ],
)
def test_a_gate_that_cannot_be_meant_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse(text, "bundle")


def test_a_bare_graph_has_no_sound_to_judge():
    with pytest.raises(ConfigError, match="a graph has the figures tensor, drift, got 'mel'"):
        parse("mel<=0.1", "graph")


def test_figures_are_judged_and_those_without_a_limit_are_shown():
    figures = parse("tensor>=35,mel<=0.1", "bundle").judge({"tensor": 35.0, "mel": 0.11, "snr": 3.0})
    assert [(f.name, f.passed, f.limit) for f in figures] == [
        ("tensor", True, 35.0),
        ("mel", False, 0.1),
        ("snr", True, None),
    ]
    assert complaint(figures) == "mel 0.11 (must be at most 0.1)"


def test_a_figure_that_is_no_number_fails():
    assert not parse("tensor>=35", "bundle").judge({"tensor": math.nan})[0].passed


def test_drift_is_the_last_minute_over_the_first():
    assert drift_ratio((0.02, 0.05, 0.03)) == pytest.approx(1.5)
    assert drift_ratio((0.0, 0.0)) == 1.0
    assert drift_ratio((0.0, 0.1)) == math.inf


def test_the_mel_distance_of_a_gain_is_that_gain(rng):
    samples = (0.1 * rng.standard_normal(16_000)).astype(np.float32)
    # natural log of power
    assert mel_distance([samples], [samples * np.float32(0.9)]) == pytest.approx(2 * math.log(1 / 0.9), rel=1e-3)
    assert mel_distance([samples], [np.full_like(samples, np.nan)]) == math.inf
