"""Where the converter fails, at whichever of its calls, the session ends and nothing of the original goes out."""

import threading
from pathlib import Path

import pytest
from helpers.command_line import raw
from helpers.wyoming_peers import AsyncTcpClient, Keeper, answer, proxied, run, speak, transcript

import edgevc
from edgevc.converter.bench import speech_like
from edgevc.wyoming.sound import AudioFormat

HERE = str(Path(edgevc.__file__).parent)
FORM = AudioFormat(48000, 2, 2)


@pytest.fixture(scope="module")
def sound():
    """A tenth of a second in stereo, so that it is resampled and mixed as well."""
    return b"".join(two * 2 for two in map(bytes, zip(*[iter(raw(speech_like(0.3, seed=6)))] * 2, strict=True)))


class Watch:
    """Sees every call that our code makes in a worker's thread, to Python and to C; one of them fails."""

    def __init__(self, fails_at=None, error=RuntimeError):
        self.fails_at = fails_at
        self.error = error
        self.sites = {}
        """(file, line, what is called) to the numbers of its calls."""
        self.n_calls = 0

    def see(self, frame, event, what):
        caller = frame.f_back if event == "call" else frame
        if event not in ("call", "c_call") or caller is None or not caller.f_code.co_filename.startswith(HERE):
            return
        name = frame.f_code.co_name if event == "call" else what.__name__
        if name == "__exit__":
            # a lock that is not given back is no fault that a converter can have
            return
        place = Path(caller.f_code.co_filename).name, caller.f_lineno, name
        self.sites.setdefault(place, []).append(self.n_calls)
        self.n_calls += 1
        if self.n_calls - 1 == self.fails_at:
            raise self.error("injected")


def session(change, sound, watch):
    """Speak once while a watch looks on; return what the service got and how the client's session ended."""
    keeper = Keeper([transcript("x")])

    async def test():
        # threads of a pool take the watch on when they begin
        threading.setprofile(watch.see)
        try:
            async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
                try:
                    await speak(client, sound, FORM)
                    return await client.read_event()
                except ConnectionError:
                    # it ended before everything was said
                    return None
        finally:
            threading.setprofile(None)

    return keeper, run(test())


@pytest.mark.slow
def test_a_fault_at_any_call_lets_nothing_of_the_original_out(change, sound):
    whole = Watch()
    keeper, event = session(change, sound, whole)
    assert event.type == "transcript"
    expected = keeper.sound()
    names = {name for _, _, name in whole.sites}
    # of the resampler, the converter and its engine, the mixing and the encoding
    assert {
        "stream",
        "resampler_to_16k",
        "process",
        "hear",
        "speak",
        "invoke",
        "flush",
        "finish",
        "encode_pcm16",
    } <= names
    assert len(whole.sites) > 60
    for place, calls in whole.sites.items():
        for number in {calls[0], calls[len(calls) // 2], calls[-1]}:
            keeper, event = session(change, sound, Watch(number))
            assert event is None or event.type == "error", place
            assert "audio-stop" not in keeper.types(), place
            # all that came is what the converter gave before
            assert expected.startswith(keeper.sound()), place
            assert len(keeper.sound()) < len(expected), place
            said = keeper.everything
            assert not any(sound[start : start + 16] in said for start in range(4000, len(sound) - 16, 160)), place


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit, StopIteration, GeneratorExit])
def test_whatever_is_raised_ends_one_session_and_not_the_proxy(change, sound, error, monkeypatch):
    from edgevc.converter.speaker import Speaker

    keeper = Keeper([transcript("x")])
    real = Speaker.speak
    broken = True

    def speak_or_fail(*arguments):
        if broken:
            raise error("injected")
        return real(*arguments)

    monkeypatch.setattr(Speaker, "speak", speak_or_fail)

    async def test():
        nonlocal broken
        async with proxied(keeper, change) as port:
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await speak(client, sound[:9600], FORM)
                event = await answer(client, "error")
                assert event.data["text"] == "the sound could not be converted; it was not passed on"
            broken = False
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await speak(client, sound[:9600], FORM)
                assert (await answer(client)).type == "transcript"

    run(test())
    assert keeper.sound(0) == b""
    assert "audio-stop" not in keeper.types(0)
    assert len(keeper.sound(1)) == len(sound[:9600]) // 6


def test_a_converter_that_hangs_ends_the_session(change, sound, monkeypatch):
    from edgevc.converter.speaker import Speaker
    from edgevc.wyoming import workers

    released = threading.Event()
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(Speaker, "speak", lambda *_: released.wait(60))
    keeper = Keeper([transcript("x")])

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await speak(client, sound[:9600], FORM)
            assert (await answer(client, "error")) is not None
            released.set()

    run(test())
    assert keeper.sound() == b""


@pytest.mark.parametrize(
    "data",
    [
        {"rate": 16000, "width": 2},
        {"rate": 0, "width": 2, "channels": 1},
        {"rate": 16000, "width": 8, "channels": 1},
        {"rate": 16000, "width": 2, "channels": 10**9},
        {"rate": 16000.0, "width": 2, "channels": 1},
        {"rate": "16000", "width": 2, "channels": 1},
        {"rate": 999, "width": 2, "channels": 1},
        {"rate": 700_001, "width": 2, "channels": 1},
    ],
)
def test_sound_of_an_impossible_format_is_not_passed_on_as_it_is(change, data):
    from helpers.wyoming_peers import Event

    keeper = Keeper()

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Event("audio-chunk", data, b"my voice" * 200))
            event = await client.read_event()
            assert event.type == "error"
            assert await client.read_event() is None

    run(test())
    assert keeper.everything == b""


def test_the_watch_sees_a_proxy_that_would_let_the_original_through(change, sound, monkeypatch):
    from edgevc.wyoming.recording import ChangedRecording

    monkeypatch.setattr(ChangedRecording, "convert", lambda self, piece: piece)
    keeper, _ = session(change, sound, Watch())
    assert sound[4000:4016] in keeper.everything
