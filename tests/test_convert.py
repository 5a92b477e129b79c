"""`edgevc convert`: every option, kind of file, folder and pipe."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import N_SAMPLES, TIME_LIMIT_S, finish, names_in, raw, start, write_stereo

from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import write_wav
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.dsp.pitch import PitchTracker
from edgevc.limits import SAMPLE_RATE


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
        run(
            "convert",
            tmp_path / name,
            tmp_path / "o" / name,
            "--voice",
            "anon",
            "--plot",
            tmp_path / f"{name}.png",
            warns=name == "empty.wav",
        )
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


def test_names_that_look_like_options_stand_behind_two_dashes(run, wav, monkeypatch):
    monkeypatch.chdir(wav.parent)
    wav.rename("-x.wav")
    run("convert", "--voice", "slt", "--", "-x.wav", "-y.wav")
    assert names_in(wav.parent) == ["-x.wav", "-y.wav"]
    # there an option is a name as well
    assert "--voice NAME is missing" in run("convert", "--", "-x.wav", "-z.wav", "--voice", "slt", code=2).err


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
    assert "holds no .wav, .flac, .ogg, .opus file" in done.err
    assert not (tmp_path / "o").exists()


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


@pytest.mark.parametrize("rate", [2_000, 352_800, 384_000, 768_000])
def test_a_rate_beyond_the_resampler_is_scaled_into_it(run, tmp_path, rate):
    seconds = np.arange(rate // 2) / rate
    write_wav(tmp_path / "in.wav", (0.3 * np.sin(2 * np.pi * 220 * seconds)).astype(np.float32), rate)
    run("convert", tmp_path / "in.wav", tmp_path / "out.wav", "--voice", "slt")
    assert len(read_audio(tmp_path / "out.wav")[0]) == 8_000


def test_a_rate_that_cannot_be_resampled_is_refused_with_the_name_of_the_file(run, tmp_path, speech):
    write_wav(tmp_path / "odd.wav", speech[:100], 200_001)
    done = run("convert", tmp_path / "odd.wav", tmp_path / "out.wav", "--voice", "slt", code=5)
    assert "odd.wav: the sample rate must be within 1000..768000 Hz, even above 192000" in done.err
    assert "got 200001; resample it first, for example with `ffmpeg -i IN -ar 48000 OUT.wav`" in done.err
    assert names_in(tmp_path) == ["odd.wav"]


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
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
