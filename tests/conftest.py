"""Fixtures for every test: a seeded generator, a tiny bundle, and a cache folder of the test's own."""

import signal
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import SECONDS, Outcome

import edgevc
from edgevc import cli
from edgevc.audio.wav_writer import write_wav
from edgevc.limits import SAMPLE_RATE


@pytest.fixture
def rng():
    return np.random.default_rng(20240)


@pytest.fixture(scope="session", autouse=True)
def signals_as_a_terminal_has_them():
    """Programs that tests start obey every signal, also where the tests run in the background or under nohup."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)}
    for number, handler in before.items():
        if handler == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Verdicts on engines go to a folder of this test run, never to the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def same_edgevc_in_child_processes(tmp_path_factory):
    """Child processes import the edgevc that is tested: the installed one, or the source folder where that was built.

    Without this, those started in the source folder find it first, built or not.
    """
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(Path(edgevc.__file__).parents[1]))
    patch.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny_bundle_path(tmp_path_factory):
    """A bundle with graphs for both engines; read only, copy it to change it."""
    from helpers.tiny_bundle import write_tiny_bundle

    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundle_path):
    from edgevc.bundle import ModelBundle

    return ModelBundle.open(tiny_bundle_path)


@pytest.fixture(scope="module")
def speech():
    from edgevc.converter.bench import speech_like

    return speech_like(SECONDS, seed=9)


@pytest.fixture
def wav(tmp_path, speech):
    write_wav(tmp_path / "in.wav", speech, SAMPLE_RATE)
    return tmp_path / "in.wav"


@pytest.fixture
def run(capfd):
    """Run a command in this process; engines write to the descriptors, so these are looked at."""

    def run(*arguments, code=0, warns=False):
        try:
            found = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            found = end.code
        out, err = capfd.readouterr()
        assert found == code, err
        assert "Traceback" not in err
        assert bool(err) == (code != 0 or warns)
        return Outcome(found, out, err)

    return run
