"""What a person sees of a session: rendered from stored snapshots, and driven in a real pseudo-terminal."""

import dataclasses
import io
import json
import re
import threading

import pytest

from edgevc.errors import ConfigError
from edgevc.limits import GAIN_DB
from edgevc.live.config import LiveConfig
from edgevc.live.stats import LatencyParts, LiveStats, Percentiles
from edgevc.terminal.advice import advice
from edgevc.terminal.keys import Keys
from edgevc.terminal.status_line import bar, level_fraction, plain, status_line, status_spans
from edgevc.terminal.tui import COUNTERS, MIN_HEIGHT, MIN_WIDTH, Scene, render
from edgevc.terminal.view import json_line, run_view, use_colour

STORED = LiveStats(
    seconds=754.2,
    state="running",
    voice="kathleen",
    hops=75_420,
    drift_corrections=12,
    input_level=-23.0,
    output_level=-18.4,
    load=0.031,
    processing_ms=Percentiles(0.2, 0.31, 0.42, 1.3),
    playback_fill_ms=Percentiles(12.0, 17.0, 19.0, 21.0),
    latency=LatencyParts(10.0, 4.2, 0.0, 40.0, 0.0, 1.3, 12.1, 10.0),
)
VOICES = ("kathleen", "slt", "bdl", "anon")
TIME_LIMIT_S = 20


def changed(**values):
    return dataclasses.replace(STORED, **values)


class Session:
    """Answers like a session, and remembers what was asked of it."""

    def __init__(self, stats=STORED, voices=VOICES):
        self.now = stats
        self.voices = voices
        self.asked = []
        self.gain_db = self.semitones = 0.0

    @property
    def wishes(self):
        return self

    def stats(self):
        return self.now

    @property
    def mode(self):
        return self.now.mode

    @mode.setter
    def mode(self, mode):
        self.asked.append(mode)
        self.now = dataclasses.replace(self.now, mode=mode)

    @property
    def voice(self):
        return self.now.voice

    @voice.setter
    def voice(self, voice):
        self.asked.append(voice)
        self.now = dataclasses.replace(self.now, voice=voice)


def test_the_line_says_levels_voice_latency_load_and_xruns():
    assert status_line(STORED, 110) == (
        "kathleen  mic ███████▍····   -23 dB  out ████████▍···   -18 dB  78 ms  load 3 %  xruns 0"
    )


@pytest.mark.parametrize("width", range(0, 160, 7))
def test_the_line_is_never_wider_than_the_terminal(width):
    worst = changed(
        mode="mute", output_underflows=12345, deadlines_missed=999, hops_dropped=5, feedback_events=3, load=12.34
    )
    for stats in (STORED, worst, LiveStats()):
        assert len(status_line(stats, width)) <= width


def test_a_narrow_line_keeps_voice_and_latency_longest():
    assert status_line(STORED, 24) == "kathleen  78 ms  xruns 0"
    assert status_line(STORED, 16) == "kathleen  78 ms"
    assert status_line(STORED, 8) == "kathleen"


def test_the_line_says_when_it_is_not_the_voice_that_is_heard():
    assert status_line(changed(mode="mute"), 100).startswith("muted ")
    assert status_line(changed(mode="bypass"), 100).startswith("dry voice ")
    assert status_line(changed(state="reconnecting"), 100).startswith("reconnecting ")


def test_what_was_counted_stands_out():
    spans = status_spans(changed(output_underflows=2, input_overflows=1, hops_dropped=4), 100)
    assert ("3", "warn") in spans
    assert ("4", "warn") in spans
    assert not any(style == "warn" for _, style in status_spans(STORED, 100))


def test_colours_are_escape_sequences_around_the_same_words():
    text = status_line(changed(output_level=-0.2), 100, colour=True)
    assert "\033[31m" in text
    assert re.sub(r"\033\[\d*m", "", text) == status_line(changed(output_level=-0.2), 100)


def test_no_colour_where_it_is_not_wanted_or_nobody_looks():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert use_colour(Terminal(), {"TERM": "xterm"})
    assert not use_colour(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not use_colour(Terminal(), {"TERM": "dumb"})
    assert not use_colour(io.StringIO(), {"TERM": "xterm"})


def test_bars_are_as_wide_as_asked_whatever_the_value():
    for fraction in (-1.0, 0.0, 0.01, 0.5, 0.999, 1.0, 7.0, float("nan"), float("inf")):
        for unicode in (True, False):
            assert [len(bar(fraction, width, unicode=unicode)) for width in (0, 1, 9)] == [0, 1, 9]
    assert bar(0.5, 4, unicode=False) == "##.."
    assert level_fraction(-120.0) == 0.0
    assert level_fraction(-30.0) == 0.5
    assert level_fraction(float("-inf")) == 0.0


def screen(stats, width=80, height=24, **scene):
    return [plain(line) for line in render(stats, width, height, Scene(VOICES, (0.03, 0.5), **scene))]


def test_the_screen_shows_every_part_of_the_latency_and_their_sum():
    lines = "\n".join(screen(STORED))
    assert "mouth to ear 77.6 ms" in lines
    for name, value in (("input device", 10.0), ("capture queue", 4.2), ("model", 40.0), ("playback queue", 12.1)):
        assert re.search(rf"^{name} +{value} ms", lines, re.MULTILINE)


def test_the_screen_of_a_usual_terminal_shows_every_counter():
    stats = changed(**{name: 100 + i for i, name in enumerate(COUNTERS)})
    lines = "\n".join(screen(stats))
    for i, words in enumerate(COUNTERS.values()):
        assert re.search(rf"{words} +{100 + i}\b", lines), words
    assert set(COUNTERS) <= {field.name for field in dataclasses.fields(LiveStats)}


@pytest.mark.parametrize("size", [(80, 24), (60, 18), (59, 24), (200, 60), (20, 5), (1, 1), (0, 0), (80, 17)])
def test_the_screen_never_leaves_the_terminal(size):
    width, height = size
    for stats in (STORED, LiveStats(), changed(load=99.0, processing_ms=Percentiles(1e3, 1e4, 1e5, 1e6))):
        lines = screen(stats, width, height, notes=("x" * 300,) * 9, advice="y" * 300)
        assert len(lines) <= height
        assert all(len(line) <= width for line in lines)


def test_a_large_screen_shows_voices_notes_and_advice():
    text = "\n".join(screen(STORED, 100, 40, notes=("found again",), advice="set --block-ms 20"))
    assert "1 kathleen   2 slt" in text
    assert "found again" in text
    assert "set --block-ms 20" in text
    assert "q quit" in text


def test_a_small_terminal_shows_the_line_instead():
    assert screen(STORED, MIN_WIDTH - 1, 24)[0] == status_line(STORED, MIN_WIDTH - 1)
    assert screen(STORED, 80, MIN_HEIGHT - 1)[0] == status_line(STORED, 80)


def test_plain_ascii_where_the_terminal_has_nothing_else():
    lines = [plain(line) for line in render(STORED, 80, 24, Scene(VOICES, (0.03,)), unicode=False)]
    assert all(line.isascii() for line in lines)
    assert status_line(STORED, 100, unicode=False).isascii()


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({}, None),
        ({"state": "reconnecting"}, "plug it in again"),
        ({"feedback_events": 1}, "feedback"),
        ({"output_underflows": 1}, "set --preroll-ms 20 (now 10)"),
        ({"input_overflows": 1}, "set --block-ms 20"),
        ({"deadlines_missed": 1}, "another program"),
        ({"deadlines_missed": 1, "load": 1.2}, "set --chunk-hops 2"),
        ({"load": 0.95}, "set --chunk-hops 2"),
        ({"recording_errors": 1}, "free space"),
        ({"bad_samples": 1}, "no numbers"),
        ({"bad_frames": 1}, "another model"),
        ({"loud_hops": 1}, "another model"),
        ({"input_level": 0.0}, "too loud"),
    ],
)
def test_advice_names_the_knob(now, words):
    before = changed(input_level=now.get("input_level", -23.0))
    found = advice(changed(**now), before, LiveConfig())
    assert found is None if words is None else words in found


def test_advice_speaks_of_what_is_new_only():
    assert advice(changed(output_underflows=5), changed(output_underflows=5), LiveConfig()) is None


def test_advice_notices_a_silent_microphone_but_not_a_muted_session():
    silent = changed(input_level=-120.0)
    assert "unmute" in advice(silent, silent, LiveConfig())
    muted = changed(input_level=-120.0, mode="mute")
    assert advice(muted, muted, LiveConfig()) is None


def test_advice_goes_on_when_a_knob_is_at_its_end():
    late, config = changed(output_underflows=1), LiveConfig(preroll_ms=40.0, block_ms=10.0)
    assert "set --block-ms 20 (now 10)" in advice(late, STORED, config)
    slow = changed(load=1.5)
    assert "close other programs" in advice(slow, STORED, LiveConfig(chunk_hops=4))


def test_keys_switch_voice_and_mode_and_go_back():
    session = Session()
    keys = Keys(session)
    assert [keys.press(key) for key in "mmbbbmmvV3x9é"] == [False] * 13
    assert session.asked == [
        *("mute", "convert"),
        *("bypass", "convert", "bypass"),
        *("mute", "bypass"),
        *("slt", "kathleen", "bdl"),
    ]
    assert keys.press("q")
    assert keys.press("\x03")


def test_plus_and_minus_move_the_gain_as_far_as_it_goes():
    session = Session()
    session.gain_db = GAIN_DB[1] - 2.5
    keys = Keys(session)
    assert [keys.press(key) or session.gain_db for key in "-++++"] == [36.5, 37.5, 38.5, 39.5, 39.5]


def test_v_begins_with_the_first_voice_where_the_present_one_is_unknown():
    session = Session(changed(voice=""))
    Keys(session).press("v")
    assert session.asked == ["kathleen"]
    mute = Session(changed(voice=""), voices=())
    assert [Keys(mute).press(key) for key in "v1"] == [False, False]
    assert mute.asked == []


def test_json_lines_have_every_field_and_the_total():
    values = json.loads(json_line(STORED))
    assert set(values) == {field.name for field in dataclasses.fields(LiveStats)}
    assert values["latency"]["total"] == pytest.approx(77.6)


def test_json_goes_to_stdout_until_the_session_stops(capsys):
    session, stop = Session(), threading.Event()
    threading.Timer(0.35, lambda: setattr(session, "now", changed(state="stopped"))).start()
    run_view(session, LiveConfig(), "json", stop, keys=False, json_every_s=0.1)
    out, err = capsys.readouterr()
    assert 2 <= len(out.splitlines()) <= 5
    assert all(json.loads(line)["voice"] == "kathleen" for line in out.splitlines())
    assert err == ""


def test_a_service_prints_nothing_while_all_is_well(capsys):
    session, stop = Session(), threading.Event()
    threading.Timer(0.3, stop.set).start()
    run_view(session, LiveConfig(), "line", stop, keys=False)
    assert capsys.readouterr() == ("", "")


def test_the_full_screen_is_refused_without_a_terminal():
    with pytest.raises(ConfigError, match="needs a terminal"):
        run_view(Session(), LiveConfig(), "tui")
    with pytest.raises(ConfigError, match="view must be one of"):
        run_view(Session(), LiveConfig(), "radio")
