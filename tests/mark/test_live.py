"""A live session carries the mark, and one that does not says so wherever it is looked at."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.live_doubles import QUIET, RATE, PlainConverter, Stage, playing

import edgevc
from edgevc import LiveSession, VoiceConverter
from edgevc.live.stats import LiveStats
from edgevc.monitoring.metrics import families_of
from edgevc.terminal.status_line import status_line


@pytest.mark.parametrize("mark", [True, False])
def test_a_session_says_whether_its_voice_is_marked(mark):
    converter = PlainConverter()
    config = dataclasses.replace(QUIET, mark=mark, voice="half")
    session = LiveSession(config, converters={1: converter}, open_port=lambda: None)
    assert converter.streams[0].settings.mark is mark
    assert session.stats().marked is mark
    assert session.stats().as_dict()["marked"] is mark
    session.stop()


@pytest.mark.parametrize("marked", [True, False])
def test_the_status_line_and_the_metrics_show_it(marked):
    stats = LiveStats(state="running", marked=marked)
    assert ("no mark" in status_line(stats, 160)) is not marked
    (family,) = [family for family in families_of(stats) if family.name == "edgevc_live_marked"]
    assert family.samples == (({}, float(marked)),)


def test_a_session_marks_unless_told_otherwise():
    assert QUIET.mark is True
    assert LiveStats().marked is True


def test_a_voice_that_is_muted_and_changed_is_marked_before_and_after():
    sentence, rate = edgevc.read(Path(__file__).resolve().parents[2] / "examples" / "sentence.wav")
    assert rate == RATE
    stage = Stage(playing(np.tile(sentence, 4)), converters={1: VoiceConverter("tiny")})
    stage.session.set_voice("slt")
    stage.run(3.5)
    stage.session.set_mode("mute")
    stage.run(1.3)
    stage.session.set_mode("convert")
    stage.run(1.5)
    stage.session.set_voice("bdl")
    stage.run(2.0)
    output = stage.tape.samples
    assert not output[4 * RATE : round(4.7 * RATE)].any()
    # the second piece begins in one voice and ends in another
    for start, end in ((0.5, 3.0), (5.2, 8.2)):
        assert edgevc.detect(output[round(start * RATE) : round(end * RATE)]).marked
    stage.session.stop()
