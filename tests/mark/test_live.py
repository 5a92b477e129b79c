"""A live session carries the mark, and one that does not says so wherever it is looked at."""

import dataclasses

import pytest
from helpers.live_doubles import QUIET, PlainConverter

from edgevc import LiveSession
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
