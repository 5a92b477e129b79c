"""Every command and option, and every mistake that a user can make: an exit code and a sentence, never a traceback."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

import edgevc
from edgevc import cli
from edgevc.audio.reader import AudioReader, read_audio
from edgevc.audio.wav_writer import write_wav
from edgevc.bundle import ModelBundle, shipped_models
from edgevc.cli.progress import Progress, bar
from edgevc.converter import SAMPLE_RATE, VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.dsp.pitch import PitchTracker

SECONDS = 1.5
N_SAMPLES = int(SECONDS * SAMPLE_RATE)
TIME_LIMIT_S = 120


@pytest.fixture(scope="module")
def speech():
    return speech_like(SECONDS, seed=9)


@pytest.fixture
def wav(tmp_path, speech):
    write_wav(tmp_path / "in.wav", speech, SAMPLE_RATE)
    return tmp_path / "in.wav"


class Outcome:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capfd):
    """Run a command in this process; engines write to the descriptors, so these are looked at."""

    def run(*arguments, code=0):
        try:
            found = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            found = end.code
        out, err = capfd.readouterr()
        assert found == code, err
        assert "Traceback" not in err
        if code == 0:
            assert err == ""
        else:
            assert err.count("\n") >= 1
        return Outcome(found, out, err)

    return run


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(edgevc.__file__).parent.parent)}


def start(*arguments, **options):
    """Start `edgevc` as a process of its own, with Ctrl-C working even where the tests run in the background."""
    command = [sys.executable, "-m", "edgevc", *map(str, arguments)]
    restore = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    return subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, **restore, **options)


def finish(process):
    err = process.communicate(timeout=TIME_LIMIT_S)[1].decode()
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    return process.returncode, err


def mean_log2_f0(samples):
    tracker = PitchTracker()
    f0 = np.concatenate([tracker.process(samples), tracker.flush()])[:, 0]
    assert (f0 > 0).mean() > 0.3
    return float(np.log2(f0[f0 > 0]).mean())


def test_convert_writes_what_the_converter_gives_and_reports_it(run, wav, tmp_path):
    target = tmp_path / "out.wav"
    done = run("convert", wav, target, "--voice", "kathleen")
    samples, rate, channels = read_audio(target)
    assert (len(samples), rate, channels) == (N_SAMPLES, SAMPLE_RATE, 1)
    converter = VoiceConverter(ModelBundle.default())
    expected = converter.convert(read_audio(wav)[0], "kathleen")
    np.testing.assert_allclose(samples, expected, atol=1 / 32768)
    assert done.out.startswith(f"kathleen with {converter.engine}, latency 40.0 ms (chunk 10.0 + ")
    assert f"{target}: 1.50 s, RTF 0." in done.out
    assert " s / 1.50 s), level -" in done.out
    assert done.out.rstrip().endswith("dBFS")


@pytest.mark.parametrize("engine", ["litert", "onnx"])
@pytest.mark.parametrize(("hops", "latency"), [(1, "40.0"), (2, "50.0"), (4, "70.0")])
def test_engine_and_chunk_hops_are_obeyed(run, wav, tmp_path, engine, hops, latency):
    done = run("convert", wav, tmp_path / "o.wav", "--voice", "slt", "--engine", engine, "--chunk-hops", hops)
    assert done.out.startswith(f"slt with {engine}, latency {latency} ms")
    assert len(read_audio(tmp_path / "o.wav")[0]) == N_SAMPLES


def write_stereo(path, samples, rate):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.stack([samples, samples], axis=1) * 32767).astype("<i2").tobytes())


@pytest.mark.parametrize(("rate", "suffix"), [(44_100, ".wav"), (8000, ".wav"), (48_000, ".flac"), (22_050, ".ogg")])
def test_every_kind_and_rate_gives_16_khz_of_the_same_length(run, tmp_path, speech, rate, suffix):
    from edgevc.dsp.resample import resample

    source, target = tmp_path / f"in{suffix}", tmp_path / "out.wav"
    samples = resample(speech, SAMPLE_RATE, rate)
    if suffix == ".wav":
        write_stereo(source, samples, rate)
    else:
        import soundfile

        soundfile.write(source, samples, rate)
    run("convert", source, target, "--voice", "kathleen")
    output, out_rate, _ = read_audio(target)
    assert (len(output), out_rate) == (N_SAMPLES, SAMPLE_RATE)
    # It lines up with the conversion of the signal at 16 kHz.
    expected = VoiceConverter(ModelBundle.default()).convert(speech, "kathleen")
    envelopes = [np.convolve(np.abs(x), np.ones(400) / 400, "same") for x in (output, expected)]
    assert np.corrcoef(envelopes)[0, 1] > 0.9


@pytest.mark.parametrize("semitones", [4, -3])
def test_pitch_moves_the_mean_f0_by_that_many_semitones(run, wav, tmp_path, semitones):
    means = {}
    for shift in (0, semitones):
        run("convert", wav, tmp_path / f"{shift}.wav", "--voice", "kathleen", "--pitch", shift)
        means[shift] = mean_log2_f0(read_audio(tmp_path / f"{shift}.wav")[0])
    # The tracker may take a few frames at the edges of a sound for voiced or not; measured within 0.2.
    assert 12 * (means[semitones] - means[0]) == pytest.approx(semitones, abs=0.5)


def envelope_shift_in_semitones(samples, reference):
    """By how much the spectral envelope lies higher on a logarithmic axis: that with the best correlation."""
    frequencies = 150 * 2 ** (np.arange(0, 12 * 5 * 4) / 48)
    envelopes = []
    for sound in (samples, reference):
        n_frames = len(sound) // 800
        power = np.abs(np.fft.rfft(sound[: n_frames * 800].reshape(n_frames, 800) * np.hanning(800), 4096)) ** 2
        # 300 Hz wide, so that harmonics do not count
        smooth = np.convolve(power.mean(axis=0), np.hanning(77), "same")
        envelopes.append(np.log(np.interp(frequencies, np.arange(2049) * 16_000 / 4096, smooth)))
    shifts = range(-40, 41)
    margin = slice(40, -40)
    scores = [np.corrcoef(np.roll(envelopes[1], shift)[margin], envelopes[0][margin])[0, 1] for shift in shifts]
    return shifts[int(np.argmax(scores))] / 4


@pytest.mark.parametrize("semitones", [4, -4])
def test_formants_move_by_that_many_semitones_and_the_f0_does_not(run, wav, tmp_path, semitones):
    outputs = {}
    for shift in (0, semitones):
        run("convert", wav, tmp_path / f"{shift}.wav", "--voice", "kathleen", "--formant", shift)
        outputs[shift] = read_audio(tmp_path / f"{shift}.wav")[0]
    # Quarter semitones; the harmonics' places blur the envelope. Measured within 1.
    assert envelope_shift_in_semitones(outputs[semitones], outputs[0]) == pytest.approx(semitones, abs=1.5)
    assert 12 * (mean_log2_f0(outputs[semitones]) - mean_log2_f0(outputs[0])) == pytest.approx(0, abs=0.5)


def test_an_accompaniment_comes_in_time_with_the_voice(run, wav, tmp_path):
    time = np.arange(48_000) / 48_000
    music = (0.2 * np.sin(2 * np.pi * 3_000 * time) * (np.sin(2 * np.pi * 4 * time) > 0)).astype(np.float32)
    write_wav(tmp_path / "music.wav", music, 48_000)
    run("convert", wav, tmp_path / "plain.wav", "--voice", "slt")
    mixing = ("--backing", tmp_path / "music.wav", "--backing-gain", -6)
    run("convert", wav, tmp_path / "mixed.wav", "--voice", "slt", *mixing)
    plain, mixed = read_audio(tmp_path / "plain.wav")[0], read_audio(tmp_path / "mixed.wav")[0]
    assert len(mixed) == len(plain) == N_SAMPLES
    from edgevc.dsp.resample import resample

    expected = np.zeros(N_SAMPLES, np.float32)
    expected[:SAMPLE_RATE] = resample(music, 48_000, SAMPLE_RATE) * 10 ** (-6 / 20)
    # Three roundings to 16 bits.
    np.testing.assert_allclose(mixed - plain, expected, rtol=0, atol=2e-4)


def test_gain_changes_the_level_by_that_many_decibels(run, wav, tmp_path):
    levels = []
    for gain in (0, -12):
        run("convert", wav, tmp_path / f"{gain}.wav", "--voice", "bdl", "--gain", gain)
        levels.append(10 * np.log10(np.mean(read_audio(tmp_path / f"{gain}.wav")[0] ** 2)))
    assert levels[1] - levels[0] == pytest.approx(-12, abs=0.1)


def test_an_existing_file_is_replaced_with_force_only(run, wav, tmp_path):
    target = tmp_path / "out.wav"
    target.write_bytes(b"precious")
    done = run("convert", wav, target, "--voice", "slt", code=8)
    assert f"{target} exists; give --force to replace it" in done.err
    assert target.read_bytes() == b"precious"
    run("convert", wav, target, "--voice", "slt", "--force")
    assert len(read_audio(target)[0]) == N_SAMPLES


def test_a_plot_shows_two_spectrograms(run, wav, tmp_path):
    from matplotlib.image import imread

    picture = tmp_path / "both.png"
    done = run("convert", wav, tmp_path / "o.wav", "--voice", "anon", "--plot", picture)
    assert f"{picture}: spectrograms and F0" in done.out
    pixels = imread(picture)[:, :, :3]
    height = len(pixels)
    for panel in (pixels[: height // 2], pixels[height // 2 :]):
        colours = np.unique((panel * 255).astype(np.uint8).reshape(-1, 3), axis=0)
        assert len(colours) > 100
        assert panel.std() > 0.1
        # F0 is drawn in cyan, which the colour map of the spectrogram does not have.
        assert (np.abs(panel - [0.0, 1.0, 1.0]).max(axis=2) < 0.2).any()


def test_a_plot_of_next_to_nothing_is_drawn_as_well(run, tmp_path):
    for name, n_samples in (("$short$.wav", 100), ("silent.wav", 8000), ("empty.wav", 0)):
        write_wav(tmp_path / name, np.zeros(n_samples, np.float32), SAMPLE_RATE)
        run("convert", tmp_path / name, tmp_path / "o" / name, "--voice", "anon", "--plot", tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("p.txt", 2, "a plot must be a .png, .pdf, .svg file"),
        ("there.png", 8, "exists; give --force"),
        ("no/folder/p.png", 8, "its folder does not exist"),
    ],
)
def test_a_plot_that_cannot_be_drawn_is_refused_before_the_work(run, wav, tmp_path, name, code, message):
    (tmp_path / "there.png").write_bytes(b"x")
    done = run("convert", wav, tmp_path / "o.wav", "--voice", "slt", "--plot", tmp_path / name, code=code)
    assert message in done.err
    assert not (tmp_path / "o.wav").exists()


@pytest.fixture
def recordings(tmp_path, speech):
    import soundfile

    folder = tmp_path / "recordings"
    (folder / "more").mkdir(parents=True)
    write_wav(folder / "one.wav", speech[:4000], SAMPLE_RATE)
    soundfile.write(folder / "more" / "two.flac", speech[:8000], SAMPLE_RATE)
    (folder / "notes.txt").write_text("not audio")
    (folder / ".hidden.wav").write_text("not audio either")
    return folder


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_becomes_a_folder(run, recordings, tmp_path):
    done = run("convert", recordings, tmp_path / "out" / "deep", "--voice", "slt")
    assert names_in(tmp_path / "out" / "deep") == ["more/two.wav", "one.wav"]
    assert len(read_audio(tmp_path / "out" / "deep" / "more" / "two.wav")[0]) == 8000
    assert done.out.count(", RTF ") == 2


def test_a_bad_file_does_not_stop_the_others(run, recordings, tmp_path):
    (recordings / "bad.wav").write_bytes(b"this is no audio")
    done = run("convert", recordings, tmp_path / "out", "--voice", "slt", code=5)
    assert names_in(tmp_path / "out") == ["more/two.wav", "one.wav"]
    assert "bad.wav: must be a WAV, FLAC or OGG file" in done.err
    assert "1 of 3 files could not be converted" in done.err


def test_a_folder_is_refused_as_a_whole_before_the_first_file(run, recordings, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one.wav").write_bytes(b"precious")
    run("convert", recordings, tmp_path / "out", "--voice", "slt", code=8)
    assert names_in(tmp_path / "out") == ["one.wav"]


def test_a_folder_inside_the_input_is_not_converted_again(run, recordings):
    for _ in range(2):
        run("convert", recordings, recordings / "converted", "--voice", "slt", "--force")
    assert names_in(recordings / "converted") == ["more/two.wav", "one.wav"]


def test_one_file_goes_into_a_folder_under_its_own_name(run, wav, tmp_path):
    (tmp_path / "there").mkdir()
    run("convert", wav, tmp_path / "there", "--voice", "slt")
    run("convert", wav, f"{tmp_path}/new/", "--voice", "slt")
    assert names_in(tmp_path / "there") == names_in(tmp_path / "new") == ["in.wav"]


def test_folders_that_cannot_be_meant_are_refused(run, recordings, wav, tmp_path, speech):
    assert "must be one too, got the file" in run("convert", recordings, wav, "--voice", "slt", code=2).err
    done = run("convert", recordings, recordings, "--voice", "slt", "--force", code=2)
    assert "the output folder must not be the input folder" in done.err
    done = run("convert", recordings, tmp_path / "o", "--voice", "slt", "--plot", tmp_path / "p.png", code=2)
    assert "--plot draws one conversion, got 2 files" in done.err
    write_wav(recordings / "more" / "two.wav", speech[:1000], SAMPLE_RATE)
    assert "would both become" in run("convert", recordings, tmp_path / "o", "--voice", "slt", code=2).err
    (tmp_path / "empty").mkdir()
    done = run("convert", tmp_path / "empty", tmp_path / "o", "--voice", "slt", code=5)
    assert "holds no .wav, .flac, .ogg file" in done.err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["convert"], 2, "required: input, output, --voice"),
        (["convert", "IN", "OUT"], 2, "required: --voice"),
        (["convert", "IN", "OUT", "--voice", "nobody"], 3, "has no voice 'nobody'; known: kathleen"),
        (["convert", "no.wav", "OUT", "--voice", "slt"], 5, "no.wav does not exist"),
        (["convert", "IN", "out.mp3", "--voice", "slt"], 2, "must be a .wav file, got out.mp3"),
        (["convert", "IN", "IN", "--voice", "slt", "--force"], 2, "the output must not be the input"),
        (["convert", "IN", "-", "--voice", "slt"], 2, "raw audio goes from - to -"),
        (["convert", "-", "OUT", "--voice", "slt"], 2, "raw audio goes from - to -"),
        (["convert", "-", "-", "--voice", "slt", "--plot", "p.png"], 2, "--plot draws files"),
        (["convert", "IN", "OUT", "--voice", "slt", "--raw-rate", "8000"], 2, "--raw-rate is for raw input"),
        (["convert", "IN", "OUT", "--voice", "slt", "--pitch", "25"], 2, "semitones must be within -24..24, got 25.0"),
        (["convert", "IN", "OUT", "--voice", "slt", "--pitch", "high"], 2, "--pitch: invalid float value: 'high'"),
        (["convert", "IN", "OUT", "--voice", "slt", "--gain", "nan"], 2, "gain_db must be within -40..40, got nan"),
        (["convert", "IN", "OUT", "--voice", "slt", "--formant", "13"], 2, "formant_semitones must be within -12..12"),
        (["convert", "IN", "OUT", "--voice", "slt", "--backing", "no.wav"], 5, "no.wav: cannot be opened"),
        (["convert", "IN", "OUT", "--voice", "slt", "--backing-gain", "3"], 2, "--backing-gain needs --backing FILE"),
        (["convert", "IN", "OUT", "--voice", "slt", "--chunk-hops", "3"], 2, "invalid choice: 3"),
        (["convert", "IN", "OUT", "--voice", "slt", "--engine", "torch"], 2, "invalid choice: 'torch'"),
        (["convert", "IN", "OUT", "--voice", "slt", "--bundle", "none"], 3, "found no 'none'; edgevc voices"),
        (["convert", "IN", "IN/out.wav", "--voice", "slt"], 8, "cannot make the folder"),
        (["convert", "IN", "/proc/edgevc/out.wav", "--voice", "slt"], 8, "cannot make the folder /proc/edgevc"),
        (["convert", "IN", "/proc/out.wav", "--voice", "slt"], 8, "/proc/out.wav: cannot be written"),
        (["info", "IN"], 3, "is not a zip archive"),
        (["voices", "--bundle", "none"], 3, "found no 'none'"),
        (["bench", "--seconds", "0"], 2, "--seconds must be within 1..3600, got 0.0"),
        (["bench", "--seconds", "1", "--voice", "nobody"], 3, "has no voice 'nobody'"),
        (["sing"], 2, "invalid choice: 'sing'"),
        ([], 2, "required: COMMAND"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_an_exit_code_and_a_sentence(run, wav, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    names = {"IN": str(wav), "OUT": str(tmp_path / "out.wav"), "IN/out.wav": str(wav / "out.wav")}
    done = run(*[names.get(argument, argument) for argument in arguments], code=code)
    assert message in done.err
    assert names_in(tmp_path) == ["in.wav"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a WAV, FLAC or OGG file"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "must have a data chunk"),
        (b"fLaC" + bytes(100), "is damaged"),
        (b"OggS" + bytes(100), "is damaged"),
    ],
)
def test_a_corrupt_file_is_refused_and_leaves_nothing(run, tmp_path, content, message):
    (tmp_path / "bad.wav").write_bytes(content)
    done = run("convert", tmp_path / "bad.wav", tmp_path / "out.wav", "--voice", "slt", code=5)
    assert message in done.err
    assert names_in(tmp_path) == ["bad.wav"]


def test_a_rate_that_cannot_be_resampled_is_refused_with_the_name_of_the_file(run, tmp_path, speech):
    write_wav(tmp_path / "slow.wav", speech[:100], 2000)
    done = run("convert", tmp_path / "slow.wav", tmp_path / "out.wav", "--voice", "slt", code=5)
    assert "slow.wav: sample rate must be in [4000, 192000] Hz, got 2000" in done.err
    assert names_in(tmp_path) == ["slow.wav"]


def test_a_bundle_of_another_front_end_is_refused(run, wav, tmp_path, tiny_bundle_path):
    done = run("convert", wav, tmp_path / "o.wav", "--voice", "first", "--bundle", tiny_bundle_path, code=3)
    assert "the bundle was trained on another front end" in done.err


def test_a_damaged_bundle_is_refused(run, tmp_path, tiny_bundle_path):
    import shutil

    folder = shutil.copytree(tiny_bundle_path, tmp_path / "bundle")
    data = bytearray((folder / "encoder.onnx").read_bytes())
    data[100] ^= 1
    (folder / "encoder.onnx").write_bytes(data)
    assert "encoder.onnx must have sha256" in run("info", folder, code=3).err


def test_voices_lists_names_licences_and_consent(run, tiny_bundle_path):
    default = run("voices").out
    for voice in ModelBundle.default().voices:
        assert f"\n{voice.name} " in f"\n{default}"
        assert voice.consent in default
    assert "first" in run("voices", "--bundle", tiny_bundle_path).out
    listed = json.loads(run("voices", "--json").out)
    assert [voice["name"] for voice in listed["voices"]] == [voice.name for voice in ModelBundle.default().voices]
    assert [model["name"] for model in listed["models"]] == list(shipped_models())


def test_a_model_that_comes_along_is_chosen_by_its_name_and_a_folder_by_its_path(
    run, tiny_bundle_path, tmp_path, monkeypatch
):
    name = list(shipped_models())[-1]
    assert run("info", name).out.startswith(f"{name} ")
    assert f"voices of {name}:" in run("voices", "--bundle", name).out
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle_path, name)
    assert run("info", name).out.startswith(f"{name} ")
    assert run("info", f"./{name}").out.startswith("tiny 1.0: A model for tests")


def test_info_shows_what_a_bundle_is(run, tiny_bundle_path):
    text = run("info").out
    assert "algorithmic latency 40.0 ms at 1 hop per call" in text
    assert "every file matches its sha256" in text
    assert run("info", tiny_bundle_path).out.startswith("tiny 1.0: A model for tests")
    figures = json.loads(run("info", "--json").out)
    assert figures["algorithmic_latency_ms"] == 40.0
    assert set(figures["graphs"]) == {"encoder", "decoder"}
    assert figures["voices"] == ["kathleen", "slt", "bdl", "anon"]


def test_bench_measures_the_whole_and_the_parts(run):
    text = run("bench", "--seconds", "1", "--chunk-hops", "2").out
    assert ", 2 hops per call, latency 50.0 ms" in text
    for part in ("log-mel", "pitch", "encoder", "decoder", "synthesis", "whole chain", "RTF ", "MB resident"):
        assert part in text
    report = json.loads(run("bench", "--seconds", "1", "--engine", "onnx", "--voice", "bdl", "--json").out)
    assert report["engine"] == "onnx"
    assert 0 < report["chunk"]["p50"] <= report["chunk"]["p99"] <= report["chunk"]["maximum"]
    assert report["rtf"] > 0
    assert report["peak_rss_mb"] > 10


def test_help_and_version_work_everywhere(run):
    assert run("--version").out == f"edgevc {edgevc.__version__}\n"
    for command in ([], ["convert"], ["voices"], ["info"], ["bench"], ["devices"]):
        text = run(*command, "--help").out
        assert "exit codes:" in text
        assert command == [] or "examples:" in text


def raw(samples):
    return np.rint(samples * 32768).clip(-32768, 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_raw_audio_goes_through_a_pipe(tmp_path, speech, rate):
    from edgevc.dsp.resample import resample

    samples = resample(speech, SAMPLE_RATE, rate)
    process = start(
        "convert", "-", "-", "--voice", "kathleen", "--raw-rate", rate, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # An odd byte at the end is half a sample and is left out.
    out, err = process.communicate(raw(samples) + b"\x01", timeout=TIME_LIMIT_S)
    assert process.returncode == 0, err
    lines = err.decode().splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("edgevc: kathleen with ")
    assert lines[1].startswith("edgevc: 1.50 s, RTF ")
    output = np.frombuffer(out, "<i2")
    resampler_latency = 0 if rate == SAMPLE_RATE else 48
    assert len(output) == N_SAMPLES + 480 + resampler_latency
    if rate == SAMPLE_RATE:
        stream = VoiceConverter(ModelBundle.default()).stream("kathleen")
        quantized = np.frombuffer(raw(speech), "<i2") / np.float32(32768)
        expected = np.concatenate([stream.process(quantized), stream.flush()])
        np.testing.assert_allclose(output / 32768, expected, atol=0.6 / 32768)


def test_raw_output_comes_before_the_input_ends(speech):
    process = start("convert", "-", "-", "--voice", "slt", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(raw(speech[:1600]))
    process.stdin.flush()
    # Ten hops in, ten hops out, with the pipe still open: this read would hang if anything were kept back.
    assert len(process.stdout.read(3200)) == 3200
    assert finish(process)[0] == 0


def test_a_reader_that_goes_away_ends_the_stream_quietly():
    with Path("/dev/zero").open("rb") as zeros:
        process = start("convert", "-", "-", "--voice", "slt", stdin=zeros, stdout=subprocess.PIPE)
        assert len(process.stdout.read(3200)) == 3200
        process.stdout.close()
        process.stdout = None
        code, err = finish(process)
    assert code == 0
    assert err.count("\n") == 1, err


def test_a_reader_that_was_never_there_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    process = start("info", stdout=writing)
    os.close(writing)
    assert finish(process) == (0, "")


def test_a_full_disk_is_an_error(speech):
    with Path("/dev/full").open("wb") as full:
        process = start("convert", "-", "-", "--voice", "slt", stdin=subprocess.PIPE, stdout=full)
        process.stdin.write(raw(speech[:1600]))
        code, err = finish(process)
    assert code == 8
    assert "No space left on device" in err


def test_a_terminal_is_no_place_for_raw_audio():
    reading, terminal = os.openpty()
    process = start("convert", "-", "-", "--voice", "slt", stdin=terminal, stdout=subprocess.PIPE)
    code, err = finish(process)
    os.close(reading)
    os.close(terminal)
    assert code == 2
    assert "raw audio comes and goes through pipes, not a terminal" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_conversion_leaves_no_half_written_file(tmp_path, rng, number):
    noise = rng.uniform(-0.1, 0.1, 20 * 60 * SAMPLE_RATE).astype(np.float32)
    write_wav(tmp_path / "long.wav", noise, SAMPLE_RATE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "long.wav").write_bytes(b"precious")
    process = start(
        "convert", tmp_path / "long.wav", tmp_path / "out", "--voice", "slt", "--force", stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + TIME_LIMIT_S
    while not any(path.stat().st_size > 60_000 for path in (tmp_path / "out").glob(".edgevc-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    code, err = finish(process)
    assert (code, err) == (130, "edgevc: interrupted\n")
    assert names_in(tmp_path / "out") == ["long.wav"]
    assert (tmp_path / "out" / "long.wav").read_bytes() == b"precious"


def without(modules, *arguments):
    """Run a command in a Python that lacks some modules."""
    block = f"import sys; sys.modules.update(dict.fromkeys({modules!r})); from edgevc.cli import main"
    command = [sys.executable, "-c", f"{block}; sys.exit(main({[str(argument) for argument in arguments]!r}))"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=TIME_LIMIT_S)
    assert "Traceback" not in done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_a_missing_engine_is_named_with_the_command_that_installs_it(wav, tmp_path):
    target = tmp_path / "o.wav"
    convert = ["convert", wav, target, "--voice", "slt"]
    done = without(["ai_edge_litert"], *convert, "--engine", "litert")
    assert done.code == 4
    assert 'engine litert is not installed; pip install "edgevc[litert]"' in done.err
    done = without(["onnxruntime"], *convert, "--engine", "onnx")
    assert done.code == 4
    assert 'pip install "edgevc[onnx]"' in done.err
    done = without(["onnxruntime", "ai_edge_litert"], *convert)
    assert done.code == 4
    assert "no inference engine can be used" in done.err
    assert not target.exists()


def test_auto_takes_the_engine_that_is_there(wav, tmp_path):
    done = without(["ai_edge_litert"], "convert", wav, tmp_path / "o.wav", "--voice", "slt")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("slt with onnx, ")


def test_missing_extras_are_named(wav, tmp_path, speech):
    import soundfile

    soundfile.write(tmp_path / "in.flac", speech, SAMPLE_RATE)
    done = without(["soundfile"], "convert", tmp_path / "in.flac", tmp_path / "o.wav", "--voice", "slt")
    assert done.code == 11
    assert 'pip install "edgevc[audio]"' in done.err
    picture = tmp_path / "p.png"
    done = without(["matplotlib"], "convert", wav, tmp_path / "o.wav", "--voice", "slt", "--plot", picture)
    assert done.code == 11
    assert 'pip install "edgevc[plot]"' in done.err
    assert not (tmp_path / "o.wav").exists()


def test_progress_is_one_line_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress()
    progress.show(f"me.wav: {bar(5.0, 10.0)}")
    progress.show(f"me.wav: {bar(6.0, 10.0)}")
    progress.close()
    shown = capsys.readouterr().err
    assert shown == f"\r\033[Kme.wav: [{'#' * 15}{'.' * 15}] 5.0 / 10.0 s\r\033[K"
    assert bar(5.0, None) == "5.0 s"


def test_progress_is_silent_in_a_log_unless_steps_are_wanted(capsys):
    progress = Progress()
    progress.show("me.wav: 5.0 s")
    assert capsys.readouterr().err == ""
    progress = Progress(steps=True)
    for text, step in (
        ("trying dynamic, 3%", "trying dynamic"),
        ("trying dynamic, 4%", "trying dynamic"),
        ("done", None),
    ):
        progress.show(text, step)
    progress.close()
    assert [line.split("  ")[-1] for line in capsys.readouterr().err.splitlines()] == ["trying dynamic", "done"]


def test_the_length_comes_from_the_header(tmp_path, wav, speech):
    import soundfile

    for name in ("a.flac", "a.ogg"):
        soundfile.write(tmp_path / name, speech, SAMPLE_RATE)
    write_stereo(tmp_path / "stereo.wav", speech, 44_100)
    for path in (wav, tmp_path / "a.flac", tmp_path / "a.ogg", tmp_path / "stereo.wav"):
        with AudioReader(path) as reader:
            assert reader.n_samples == N_SAMPLES
    # The size that a program leaves which wrote into a pipe.
    data = bytearray(wav.read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "pipe.wav").write_bytes(data)
    with AudioReader(tmp_path / "pipe.wav") as reader:
        assert reader.n_samples is None
