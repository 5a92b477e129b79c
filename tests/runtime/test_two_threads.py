"""Two threads on one object: it is refused, or the calls take turns; nothing crashes, hangs, or stays broken.

Every class whose methods change it has a line here: what two threads do with it, or who keeps it to one thread. The
core's classes have theirs in tests/unit/test_bindings.py. Some fifteen seconds.
"""

import ast
import contextlib
import copy
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.live_doubles import Stage, noise, playing

import edgevc
from edgevc import ModelBundle, VoiceConverter, VoiceSettings
from edgevc.audio.backing import BackingTrack
from edgevc.audio.reader import AudioReader
from edgevc.audio.wav_writer import WavWriter, write_wav
from edgevc.batch import Mapper
from edgevc.control.client import Connection
from edgevc.control.server import ControlServer
from edgevc.converter.aligned import AlignedStream
from edgevc.converter.silence_gate import SilenceGate
from edgevc.dsp.features import LogMel, Mfcc
from edgevc.dsp.pitch import PitchTracker
from edgevc.dsp.resample import AdaptiveResampler, Resampler
from edgevc.engines import load_graph
from edgevc.errors import EdgevcError
from edgevc.mark import MarkDetector
from edgevc.recognition.command_set import CommandSet
from edgevc.recognition.posteriors import PhonePosteriors
from edgevc.recognition.spoken_commands import SpokenCommands

ROOT = Path(edgevc.__file__).parent
TINY = ModelBundle.find("tiny")
SOUND = (0.1 * np.random.default_rng(4).standard_normal(1_600)).astype(np.float32)
CALLS = 30
LONGEST_S = 300.0


def twice(call):
    """The same from both threads."""
    return call, call


def written(folder):
    return WavWriter(folder / "out.wav", 16_000)


@contextlib.contextmanager
def connected(folder):
    stage = Stage(playing(noise(1.0)))
    stage.run(0.1)
    server = ControlServer(f"unix:{folder}/c", stage.session, lambda: None)
    try:
        with Connection(server.address, timeout=5.0) as client:
            yield client
    finally:
        server.close()


@contextlib.contextmanager
def opened(session):
    """Without a worker, which a `with` of its own would start."""
    session.open()
    try:
        yield session
    finally:
        session.stop()


def commands(stream):
    """Of a stream of posteriors or of sound."""
    grammar = 'wake = ["hello"]\n[[command]]\nname = "stop"\nsay = ["stop", "turn it off"]\n'
    return lambda folder: stream(_command_set(folder / "commands.toml", grammar))


def _command_set(path, grammar):
    path.write_text(grammar, encoding="utf-8")
    return CommandSet.read(path, TINY.phones)


POSTERIORS = np.log(np.random.default_rng(5).dirichlet(np.ones(len(TINY.phones)), 100)).astype(np.float32)
RESAMPLING = (lambda o: o.process(SOUND), lambda o: (o.process(SOUND[:333]), o.flush(), o.reset()))
FRAMES = (lambda o: o.process(SOUND), lambda o: (o.process(SOUND[:333]), o.flush(), o.reset()))


def encoder_of(engine):
    return lambda _: load_graph(TINY, "encoder", engine, 1)


HEARD = VoiceConverter(TINY).listener().hear(SOUND[:160])


# class: how it is made, given a folder with in.wav; what the two threads do with it
CLASSES = {
    "VoiceConverter": (
        lambda _: VoiceConverter(TINY),
        (lambda o: o.convert(SOUND, "slt"), lambda o: o.stream("anon", VoiceSettings(semitones=2)).process(SOUND)),
    ),
    "ConverterStream": (
        lambda _: VoiceConverter(TINY).stream("slt"),
        (lambda o: o.process(SOUND), lambda o: (o.process(SOUND[:333]), o.flush(), o.fork("anon"), o.reset())),
    ),
    "AlignedStream": (
        lambda _: AlignedStream(VoiceConverter(TINY).stream("slt"), 44_100, Resampler(44_100, 16_000)),
        twice(lambda o: o.process(SOUND)),
    ),
    "Listener": (
        lambda _: VoiceConverter(TINY).listener(),
        (lambda o: o.hear(SOUND[:160]), lambda o: (o.hear(SOUND[160:320]), copy.copy(o), o.reset())),
    ),
    "Speaker": (
        lambda _: VoiceConverter(TINY).speaker("slt"),
        (
            lambda o: o.speak(HEARD, np.empty(160, np.float32)),
            lambda o: (o.speak(HEARD, np.empty(160, np.float32)), copy.copy(o), o.reset()),
        ),
    ),
    "SilenceGate": (lambda _: SilenceGate(), twice(lambda o: o.process(0.5))),
    "LitertGraph": (encoder_of("litert"), twice(lambda o: o.run(o.new_state(), np.zeros((1, 80), np.float32)))),
    "OnnxGraph": (encoder_of("onnx"), twice(lambda o: o.run(o.new_state(), np.zeros((1, 80), np.float32)))),
    "Mapper": (lambda _: Mapper("slt", TINY.path), twice(lambda o: o.convert(SOUND, 16_000))),
    "LogMel": (lambda _: LogMel(), FRAMES),
    "Mfcc": (lambda _: Mfcc(), FRAMES),
    "PitchTracker": (lambda _: PitchTracker(), FRAMES),
    "Resampler": (lambda _: Resampler(44_100, 16_000), RESAMPLING),
    "AdaptiveResampler": (
        lambda _: AdaptiveResampler(44_100, 16_000),
        (RESAMPLING[0], lambda o: (o.set_ratio(1.001), o.process(SOUND), o.flush(), o.reset())),
    ),
    "MarkDetector": (lambda _: MarkDetector(8_000), twice(lambda o: o.process(SOUND))),
    "AudioReader": (lambda folder: AudioReader(folder / "in.wav"), twice(lambda o: o.read(100))),
    "BackingTrack": (
        lambda folder: BackingTrack(folder / "in.wav"),
        (lambda o: o.mix_into(SOUND.copy()), lambda o: (o.mix_into(SOUND.copy()), o.restart(100))),
    ),
    "WavWriter": (written, (lambda o: o.write(SOUND[:10]), lambda o: (o.write(SOUND[:10]), o.refresh()))),
    "PhonePosteriors": (lambda _: PhonePosteriors(TINY), twice(lambda o: o(SOUND))),
    "CommandRecognizer": (
        commands(lambda c: c.recognizer()),
        (lambda o: o.process(POSTERIORS), lambda o: (o.process(POSTERIORS[:7]), o.reset())),
    ),
    "ArmedRecognizer": (
        commands(lambda c: c.armed_recognizer()),
        (lambda o: o.process(POSTERIORS), lambda o: (o.process(POSTERIORS[:7]), o.reset())),
    ),
    "CommandStream": (
        commands(lambda c: SpokenCommands(c, TINY).stream()),
        (lambda o: o.process(SOUND), lambda o: (o.process(SOUND[:333]), o.reset())),
    ),
    "LiveSession": (
        lambda _: opened(Stage(playing(noise(1.0))).session),
        # one thread moves it, any other changes what it does
        (
            lambda o: o.step(),
            lambda o: (o.apply("gain", 3.0), o.apply("mode", "mute"), o.set_voice(o.next_voice()), o.stats()),
        ),
    ),
    "Connection": (connected, twice(lambda o: o.ask("status"))),
}

# what two threads may be told beside "in use by another thread"
ALLOWED = {
    # a session that does not answer in time, a file that the other thread has closed
    **dict.fromkeys(("Connection", "BackingTrack"), (RuntimeError, EdgevcError)),
    # steps in Python on arrays that the other thread made shorter, or took away
    **dict.fromkeys(
        ("CommandRecognizer", "ArmedRecognizer", "CommandStream", "ConverterStream", "PitchTracker", "MarkDetector"),
        (RuntimeError, ValueError, IndexError, TypeError),
    ),
}

# who keeps a class to one thread: names of classes
ONE_THREAD = {
    "its AudioReader": {"ByteSource", "WavDecoder"},
    "the run of a command, which starts no thread that sees it": {
        *("AnyOrderParser", "Progress", "Manifest", "Worker", "Batch", "Converting", "AtomicFile", "NewFile"),
        *("FloatBundle", "FloatModel", "OnnxRunner", "OnnxQuantizer", "SharingBuilder", "EngineSearch", "ProbePort"),
        *("VirtualMicrophone", "Keys", "Keyboard", "Notifier", "SentenceReader", "Tuner", "Reader"),
        *("CompressedWriter", "ClusterBatch", "Shards", "HouseConnection"),
    },
    "the worker of its LiveSession; others reach it by the session, or by a ring buffer": {
        *("VoiceChain", "DeviceLink", "ClockFollower", "CaptureLine", "PlaybackLine", "Rolling", "Load", "ModeFades"),
        *("ModelGuard", "Batcher", "QueueKeeper", "RareLog", "FrameScheduler", "HangWatch", "RawPort", "PyAudioPort"),
        *("SimulatedClock", "FakePort"),
    },
    "the thread of its recorder": {"Recorder"},
    "the thread of its server": {"BoundedServer", "Events", "PhoneQueue"},
    "the reader of one file": {"FlatBuffer"},
    "its recognizer": {"EvidenceFinder", "ReferenceSearch"},
    "the thread of its relay or connection": {
        *("Controls", "Relay", "Announcer", "Claim", "Link", "MqttSink", "Pauses", "QueuedSink", "Hearing"),
        *("LiveSource", "ChangedRecording", "CommandSession", "Vocabulary"),
    },
}
KEPT = set().union(*ONE_THREAD.values())


def stateful_classes():
    """Names of the classes with a method that sets an attribute of its object, or a part of one."""
    found = set()
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and any(map(_sets, node.body)):
                found.add(node.name)
    return found


def _sets(method):
    if not isinstance(method, ast.FunctionDef) or method.name in ("__init__", "__post_init__"):
        return False
    assignments = [node for node in ast.walk(method) if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)]
    targets = [one for node in assignments for one in getattr(node, "targets", None) or [node.target]]
    parts = (part for target in targets for part in ast.walk(target))
    return any(isinstance(part, ast.Attribute) and ast.unparse(part.value) == "self" for part in parts)


def test_no_class_with_state_is_forgotten():
    stateful = stateful_classes()
    assert stateful - set(CLASSES) - KEPT == set()
    assert KEPT - stateful == set()


@pytest.mark.parametrize("name", CLASSES)
def test_two_threads_on_one_object_do_no_harm(name, tmp_path):
    make, calls = CLASSES[name]
    write_wav(tmp_path / "in.wav", np.tile(SOUND, 20), 16_000)
    with contextlib.ExitStack() as stack:
        made = make(tmp_path)
        shared = made if not isinstance(made, contextlib.AbstractContextManager) else stack.enter_context(made)
        allowed = ALLOWED.get(name, RuntimeError)
        assert [repr(error) for error in misuse(shared, calls) if not isinstance(error, allowed)] == []
        # nothing stays locked or torn: afterwards one thread gets what it gets of a new object
        if hasattr(shared, "reset"):
            shared.reset()
            other = make(tmp_path)
            call = calls[0]
            assert same(call(shared), call(other))
        else:
            calls[0](shared)


def misuse(shared, calls):
    """Let both threads call again and again; return what was raised."""
    errors, start = [], threading.Barrier(2)

    def loop(call):
        start.wait()
        for _ in range(CALLS):
            try:
                call(shared)
            except Exception as error:
                errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=loop, args=(call,), daemon=True) for call in calls]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST_S)
            assert not thread.is_alive(), "it hangs"
    finally:
        sys.setswitchinterval(interval)
    return errors


def same(one, other):
    if isinstance(one, tuple):
        return all(map(same, one, other))
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
