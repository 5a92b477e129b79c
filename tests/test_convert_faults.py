"""What the world does to `edgevc convert`: pipes, paths that are one file, names, permissions, full disks, signals."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers.command_line import N_SAMPLES, TIME_LIMIT_S, environment, finish, names_in, obey_permissions, raw, start

from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import write_wav
from edgevc.limits import SAMPLE_RATE

RAW = ("convert", "-", "-", "--voice", "slt")
LATENCY = 480


@pytest.mark.parametrize("unbuffered", [False, True])
def test_an_input_pipe_that_does_not_block_is_waited_for(speech, monkeypatch, unbuffered):
    if unbuffered:
        monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    reading, writing = os.pipe()
    # the flag is of the pipe's end, so that the child has it as well
    os.set_blocking(reading, False)
    process = start(*RAW, stdin=reading, stdout=subprocess.PIPE)
    os.close(reading)
    # it reads from here on, and finds nothing before each piece
    assert process.stderr.readline().startswith(b"edgevc: slt with ")

    def feed():
        data = raw(speech)
        for begin in range(0, len(data), 12_000):
            time.sleep(0.2)
            os.write(writing, data[begin : begin + 12_000])
        os.close(writing)

    feeder = threading.Thread(target=feed)
    feeder.start()
    out = process.communicate(timeout=TIME_LIMIT_S)[0]
    feeder.join()
    assert (process.returncode, len(out)) == (0, 2 * (N_SAMPLES + LATENCY))


@pytest.mark.parametrize("unbuffered", [False, True])
def test_an_output_pipe_that_does_not_block_gets_all_of_it(speech, tmp_path, monkeypatch, unbuffered):
    if unbuffered:
        monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    (tmp_path / "in.raw").write_bytes(4 * raw(speech))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with (tmp_path / "in.raw").open("rb") as source:
        process = start(*RAW, stdin=source, stdout=writing)
    os.close(writing)
    # a reader that is busy until the pipe is full
    deadline = time.monotonic() + TIME_LIMIT_S
    while waiting_bytes(reading) < 60_000 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    with os.fdopen(reading, "rb") as pipe:
        out = pipe.read()
    assert (finish(process)[0], len(out)) == (0, 2 * (4 * N_SAMPLES + LATENCY))


def waiting_bytes(descriptor):
    return int.from_bytes(fcntl.ioctl(descriptor, 0x541B, bytes(4)), "little")


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt ", "a WAV file (b'RIFF')"),
        (b"fLaC\0\0\0\x22", "a FLAC file (b'fLaC')"),
        (b"OggS\0\2", "an Ogg file (b'OggS')"),
    ],
)
def test_an_audio_file_where_raw_pcm_is_meant_is_refused(head, found):
    process = start(*RAW, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    # in two pieces, as a pipe may bring it
    process.stdin.write(head[:3])
    process.stdin.flush()
    time.sleep(0.1)
    out, err = process.communicate(head[3:] + bytes(1000), timeout=TIME_LIMIT_S)
    assert (process.returncode, out) == (5, b"")
    assert f"raw input must be PCM without a header, got {found}; give the file's name" in err.decode()


@pytest.mark.parametrize("rate", [0, -1, 999, 768_001])
def test_a_raw_rate_that_is_none_is_refused(rate):
    process = start(*RAW, "--raw-rate", rate, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    code, err = finish(process)
    assert code == 2
    assert f"--raw-rate must be within 1000..768000 Hz, got {rate}" in err


def test_raw_input_without_a_sample_says_so():
    code, err = finish(start(*RAW, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    assert code == 0
    assert err.endswith("edgevc: no sample came in; is the program before the pipe recording?\n")


def test_a_named_pipe_is_converted_and_plotted(tmp_path, wav):
    os.mkfifo(tmp_path / "pipe")
    content = wav.read_bytes()
    feeder = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    feeder.start()
    process = start(
        *("convert", tmp_path / "pipe", tmp_path / "o.wav", "--voice", "slt", "--plot", tmp_path / "o.png"),
        stdout=subprocess.PIPE,
    )
    assert finish(process) == (0, "")
    feeder.join()
    assert len(read_audio(tmp_path / "o.wav")[0]) == N_SAMPLES
    assert (tmp_path / "o.png").stat().st_size > 5000


def test_an_accompaniment_from_a_pipe_is_refused_before_the_work(wav, tmp_path):
    with subprocess.Popen(["cat", wav], stdout=subprocess.PIPE) as cat:
        process = start(
            "convert", wav, tmp_path / "o.wav", "--voice", "slt", "--backing", "/dev/stdin", stdin=cat.stdout
        )
        code, err = finish(process)
    assert code == 5
    assert "/dev/stdin: the accompaniment must be a regular file" in err
    assert names_in(tmp_path) == ["in.wav"]


def test_an_output_is_never_an_input_under_whatever_name(run, wav, tmp_path):
    band = tmp_path / "band.wav"
    band.write_bytes(wav.read_bytes())
    os.link(band, tmp_path / "twin.wav")
    (tmp_path / "link.wav").symlink_to("in.wav")
    (tmp_path / "out").mkdir()
    os.link(band, tmp_path / "out" / "in.wav")
    (tmp_path / "plot.png").symlink_to("band.wav")
    force = ("--voice", "slt", "--force")
    for arguments, message in (
        ((wav, band, "--backing", band), "the output must not be the accompaniment"),
        ((wav, tmp_path / "twin.wav", "--backing", band), "twin.wav and "),
        ((wav, tmp_path / "link.wav"), "the output must not be the input"),
        # what one recording would become is the next one
        ((wav, band, tmp_path / "out"), "the output must not be the input"),
        ((wav, tmp_path / "o.wav", "--backing", band, "--plot", tmp_path / "plot.png"), "the plot must not be the acc"),
    ):
        assert message in run("convert", *arguments, *force, code=2).err
    assert band.read_bytes() == wav.read_bytes()
    assert not (tmp_path / "o.wav").exists()


def test_a_name_that_is_not_utf_8_does_not_end_the_batch(tmp_path, wav, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    # as old archives hold them, and one that would clear a terminal
    for name in (b"a.wav", b"b\xe9.wav", b"c\x1b[2J.wav", b"d.wav"):
        (folder / os.fsdecode(name)).write_bytes(wav.read_bytes())
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    process = start("convert", folder, tmp_path / "out", "--voice", "slt", stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=TIME_LIMIT_S)
    assert (process.returncode, err) == (0, b"")
    assert [os.fsencode(path.name) for path in sorted((tmp_path / "out").iterdir())] == [
        *(b"a.wav", b"b\xe9.wav", b"c\x1b[2J.wav", b"d.wav")
    ]
    assert b"b\\udce9.wav: 1.50 s" in out
    assert b"c\\x1b[2J.wav: 1.50 s" in out


@pytest.mark.parametrize("stdout", ["closed", "nobody reads", "full"])
def test_what_cannot_be_printed_does_not_end_the_batch(tmp_path, wav, stdout):
    (tmp_path / "two.wav").write_bytes(wav.read_bytes())
    command = [sys.executable, "-m", "edgevc", "convert", wav, tmp_path / "two.wav", tmp_path / "out", "--voice", "slt"]
    redirect = {"closed": ">&-", "nobody reads": "| true", "full": "> /dev/full"}[stdout]
    line = f'set -o pipefail; sleep 0.2; "$0" "$@" {redirect}'
    done = subprocess.run(["bash", "-c", line, *command], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert names_in(tmp_path / "out") == ["in.wav", "two.wav"]


def test_a_file_that_is_replaced_stays_as_private_as_it_was(run, wav, tmp_path):
    from matplotlib import pyplot

    for name in ("o.wav", "o.png"):
        (tmp_path / name).write_bytes(b"old")
        (tmp_path / name).chmod(0o600)
    run("convert", wav, tmp_path / "o.wav", "--voice", "slt", "--force", "--plot", tmp_path / "o.png")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("o.wav", "o.png")] == [0o600, 0o600]
    assert pyplot.imread(tmp_path / "o.png").size > 5000


def run_bound(*arguments, bound=obey_permissions):
    command = [sys.executable, "-m", "edgevc", *map(str, arguments)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, preexec_fn=bound)
    assert "Traceback" not in done.stderr
    return done


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_converted(tmp_path, wav):
    for name in ("secret", "open", "listed"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "a.wav").write_bytes(wav.read_bytes())
    (tmp_path / "in" / "secret").chmod(0)
    # its names can be read, its files cannot
    (tmp_path / "in" / "listed").chmod(0o400)
    done = run_bound("convert", tmp_path / "in", tmp_path / "out", "--voice", "slt")
    for name in ("secret", "listed"):
        (tmp_path / "in" / name).chmod(0o700)
    assert done.returncode == 5
    assert f"the folder {tmp_path}/in/secret cannot be read: Permission denied; its files are left out" in done.stderr
    assert f"{tmp_path}/in/listed/a.wav: cannot be opened: Permission denied" in done.stderr
    assert done.stderr.endswith("1 of 2 files could not be converted, 1 folder could not be read\n")
    assert names_in(tmp_path / "out") == ["open/a.wav"]


def limit_files_to(n_bytes):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def test_a_full_disk_leaves_nothing_half_written(tmp_path, wav):
    (tmp_path / "o.wav").write_bytes(b"precious")
    convert = ("convert", wav, tmp_path / "o.wav", "--voice", "slt", "--force", "--plot", tmp_path / "o.png")
    done = run_bound(*convert, bound=limit_files_to(20_000))
    assert done.returncode == 8
    assert (
        done.stderr
        == f"edgevc: {tmp_path}/o.wav: cannot be written: File too large; make room, or choose another output\n"
    )
    assert names_in(tmp_path) == ["in.wav", "o.wav"]
    assert (tmp_path / "o.wav").read_bytes() == b"precious"
    # room for the sound, none for its picture
    done = run_bound(*convert, bound=limit_files_to(50_000))
    assert done.returncode == 8
    assert done.stderr.startswith(f"edgevc: {tmp_path}/o.png: cannot be written: File too large")
    assert names_in(tmp_path) == ["in.wav", "o.wav"]
    assert len(read_audio(tmp_path / "o.wav")[0]) == N_SAMPLES


@pytest.fixture
def working(tmp_path, rng):
    """A process that converts 20 minutes and has begun."""
    noise = rng.uniform(-0.1, 0.1, 20 * 60 * SAMPLE_RATE).astype(np.float32)
    write_wav(tmp_path / "long.wav", noise, SAMPLE_RATE)
    (tmp_path / "out").mkdir()
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    command = [sys.executable, "-m", "edgevc", "convert", tmp_path / "long.wav", tmp_path / "out", "--voice", "slt"]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **ignore)
    deadline = time.monotonic() + TIME_LIMIT_S
    while not any(path.stat().st_size > 60_000 for path in (tmp_path / "out").glob(".edgevc-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()
    process.stderr.close()


def test_nohup_is_obeyed(working):
    working.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert working.poll() is None
    working.send_signal(signal.SIGTERM)
    assert finish(working) == (130, "edgevc: interrupted\n")


def test_what_a_killed_conversion_leaves_is_named_and_what_is_written_is_not(run, working, tmp_path, wav):
    # into the same folder, while the other still writes
    run("convert", wav, tmp_path / "out", "--voice", "slt")
    working.kill()
    working.wait()
    (left,) = (tmp_path / "out").glob(".edgevc-*.tmp")
    done = run("convert", wav, tmp_path / "out", "--voice", "slt", "--force", warns=True)
    assert done.err == f"edgevc: {left} was left by a conversion that was killed; delete it\n"


def test_several_inputs_go_into_a_folder_as_with_cp(run, wav, tmp_path, speech):
    (tmp_path / "more" / "deep").mkdir(parents=True)
    for name in ("more/a.wav", "more/deep/b.wav", "more/.hidden.wav"):
        write_wav(tmp_path / name, speech[:1600], SAMPLE_RATE)
    # options may stand between the names
    run("convert", wav, "--voice", "slt", tmp_path / "more", tmp_path / "out")
    assert names_in(tmp_path / "out") == ["in.wav", "more/a.wav", "more/deep/b.wav"]
    done = run("convert", wav, tmp_path / "more" / "a.wav", tmp_path / "out", "--voice", "slt", code=8)
    assert "out/in.wav exists; give --force to replace it" in done.err
    assert "would both become" in run("convert", wav, wav, tmp_path / "out", "--voice", "slt", "--force", code=2).err


def test_a_bad_file_among_several_does_not_keep_the_others_waiting(run, wav, tmp_path, speech):
    import soundfile

    (tmp_path / "bad.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "last.flac", speech, SAMPLE_RATE)
    names = [tmp_path / name for name in ("none.wav", "in.wav", "bad.wav", "last.flac")]
    done = run("convert", *names, tmp_path / "out", "--voice", "slt", code=5)
    assert names_in(tmp_path / "out") == ["in.wav", "last.wav"]
    assert "none.wav: cannot be opened: No such file or directory; check the path" in done.err
    assert "bad.wav: must be a WAV, FLAC or OGG file" in done.err
    assert done.err.endswith("edgevc: 2 of 4 files could not be converted\n")
