"""From recordings to a voice's file, step by step: check, tune, judge, write."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgevc.audio.reader import read_audio
from edgevc.bundle import ConsentRecord, ModelBundle, Voice
from edgevc.converter import VoiceConverter
from edgevc.dsp.resample import resample
from edgevc.errors import AudioFileError, ConfigError, GateError
from edgevc.files import cache_dir
from edgevc.limits import SAMPLE_RATE
from edgevc.quantize.calibration_speech import default_clips, held_out_clips
from edgevc.voice_maker import consent
from edgevc.voice_maker.check import Facts, Problem, clipped_share, measure, problems
from edgevc.voice_maker.judge import Judge, Verdict, shortcomings
from edgevc.voice_maker.material import Ear, FloatArray, Material, normalised
from edgevc.voice_maker.networks import Decoder
from edgevc.voice_maker.speaker import SpeakerEncoder, weights_path
from edgevc.voice_maker.tune import Recipe, Tuner, nearest
from edgevc.voices.writer import rounded, write_voice

MOST_SECONDS = 600.0
"""Of recordings that are used: more was measured to bring nothing."""
LONGEST_SECONDS = 15.0
"""Longer recordings are cut into pieces of this length."""
HELD_OUT = 0.15
"""Share of the pieces that is kept for judging."""

Told = Callable[[str, float], None]
"""Hears the name of a step and how much of it is done, 0 to 1."""


@dataclass(frozen=True)
class Plan:
    """What is wanted."""

    name: str
    recordings: tuple[Path, ...]
    output: Path
    consent: ConsentRecord | Path
    """A record of consent, or the recording of the sentence that `edgevc.voice_maker.consent.ask` gave."""
    description: str = ""
    licence: str = "not to be given to others"
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    insist: bool = False
    """Go on with recordings or a voice that are not good enough; the voice is labelled."""


@dataclass(frozen=True)
class Outcome:
    """What was made."""

    bundle: ModelBundle
    facts: Facts
    problems: tuple[Problem, ...]
    start: str
    """The model's voice that it began as."""
    verdicts: Mapping[str, Verdict]
    """"voice", "start" and "speaker"."""


def read_recordings(paths: Sequence[Path]) -> tuple[list[FloatArray], float]:
    """Return recordings as mono at 16 kHz, in pieces of at most 15 s, and what share of the worst one is clipped.

    Raises:
        AudioFileError: one cannot be read, or was recorded below 8 kHz.
        ConfigError: there is none.
    """
    pieces: list[FloatArray] = []
    clipped = 0.0
    for path in paths:
        samples, rate, _ = read_audio(path)
        if rate < 8000:
            raise AudioFileError(f"{path} was recorded at {rate} Hz; record at 16000 Hz or more")
        clipped = max(clipped, clipped_share(samples))
        if rate != SAMPLE_RATE:
            samples = resample(samples, rate, SAMPLE_RATE)
        n_pieces = max(1, round(len(samples) / SAMPLE_RATE / LONGEST_SECONDS))
        pieces += [piece for piece in np.array_split(samples, n_pieces) if len(piece) > SAMPLE_RATE // 2]
    if not pieces:
        raise ConfigError("there is no recording of half a second or more; give WAV, FLAC or OGG files of speech")
    kept, seconds = [], 0.0
    for piece in pieces:
        if seconds < MOST_SECONDS:
            kept.append(piece)
            seconds += len(piece) / SAMPLE_RATE
    return kept, clipped


def examine(
    converter: VoiceConverter,
    pieces: Sequence[FloatArray],
    encoder: SpeakerEncoder | None,
    clipped: float | None = None,
) -> tuple[Facts, list[Problem]]:
    """Measure recordings; return what was measured and what is wrong with them. `clipped`: see `measure`."""
    ear = Ear(converter)
    certain: list[float] = []
    # half a minute says it
    for piece in pieces[:: max(1, len(pieces) // 6)]:
        phones = ear.hear(ear.padded(normalised(piece)))[1]
        speech = phones.argmax(1) != 0
        certain.append(float(np.exp(phones[speech].max(1)).mean()) if speech.sum() > 20 else 0.0)
    facts = measure(pieces, float(np.median(certain)), clipped)
    alike = None
    if encoder is not None and len(pieces) > 1 and facts.speech_seconds > 5:
        vectors = np.stack([encoder.of(normalised(piece)) for piece in pieces if len(piece) > 2 * SAMPLE_RATE][:40])
        if len(vectors) > 1:
            alike = float(np.percentile(vectors @ vectors.T, 5))
    return facts, problems(facts, alike)


def make_voice(bundle: ModelBundle, plan: Plan, told: Told, noted: Callable[[str], None]) -> Outcome:
    """Make a voice and write its file.

    Args:
        bundle: the model that will speak.
        plan: what is wanted.
        told: hears of progress.
        noted: hears sentences for people.

    Raises:
        GateError: the recordings are not good enough; the message says why.
        ConfigError, AudioFileError, ModelError, OutputError: see the parts. Nothing is half-written.
    """
    # one core, as was measured: two threads of small networks wait for each other
    torch.set_num_threads(1)
    converter = VoiceConverter(bundle, "auto", 4 if bundle.block_hops is None else 1)
    path = weights_path()
    encoder = None if path is None else SpeakerEncoder(path)
    if encoder is None:
        noted(
            "Resemblyzer's weights are not installed, so the voice will be less like its speaker and one of two "
            "measures is missing; pip install --no-deps resemblyzer"
        )
    pieces, clipped = read_recordings(plan.recordings)
    told("check", 0.0)
    facts, wrong = examine(converter, pieces, encoder, clipped)
    _refuse(
        wrong,
        plan,
        noted,
        "no voice is made of these recordings; --anyway makes one and says in its file what was wrong",
    )
    record = _record(plan, pieces, converter, encoder)
    train, held_out = _divided(pieces)
    told("hear", 0.0)
    ear = Ear(converter)
    own = Material(ear, train, plan.recipe.seed)
    others = Material(ear, [samples for _, samples in default_clips()], plan.recipe.seed).moved_to(own.f0[0])
    decoder = Decoder(bundle)
    start = nearest(bundle, decoder, own, plan.recipe)
    centre = None if encoder is None else (encoder, encoder.centre([normalised(piece) for piece in train]))
    tuner = Tuner(bundle, bundle.voice(start).conditioning, own, others, plan.recipe, centre)
    state = _state_file(bundle, plan, pieces)
    _tune(tuner, state, told, noted)
    told("judge", 0.0)
    voice = _voice(plan, bundle, own, tuner)
    judge = Judge(converter, held_out, [samples for _, samples in held_out_clips()], encoder)
    verdicts = {
        "voice": judge.of_voice(voice),
        "start": judge.of_voice(bundle.voice(start)),
        "speaker": judge.of_speaker(train[:12]),
    }
    short = shortcomings(verdicts)
    _refuse(short, plan, noted, "the voice is not kept; --anyway keeps it and says in its file what is wrong with it")
    quality = _quality(facts, [*wrong, *short], start, verdicts, plan.recipe)
    told("write", 0.0)
    written = write_voice(
        plan.output, bundle, _entry(plan, record, own), voice.conditioning, tuner.tuned.adapters(), quality
    )
    if state is not None:
        state.unlink(missing_ok=True)
    if isinstance(plan.consent, Path):
        consent.forget(plan.name)
    return Outcome(written, facts, (*wrong, *short), start, verdicts)


def _refuse(wrong: Sequence[Problem], plan: Plan, noted: Callable[[str], None], why: str) -> None:
    """Tell what is wrong, and raise GateError where nobody can want the voice and nobody insists."""
    for problem in wrong:
        noted(problem.text)
    if any(problem.fatal for problem in wrong) and not plan.insist:
        raise GateError(why)


def _divided(pieces: list[FloatArray]) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return pieces to tune on and pieces to judge with; of very few, one is judged with."""
    order = np.random.default_rng(1).permutation(len(pieces))
    n_held = max(1, round(HELD_OUT * len(pieces)))
    if len(pieces) == 1:
        half = len(pieces[0]) * 4 // 5
        return [pieces[0][:half]], [pieces[0][half:]]
    return [pieces[i] for i in order[n_held:]], [pieces[i] for i in order[:n_held]]


def _tune(tuner: Tuner, file: Path | None, told: Told, noted: Callable[[str], None]) -> None:
    if file is not None and file.exists():
        try:
            tuner.load(file)
            noted(f"going on from step {tuner.step} of {tuner.recipe.steps}")
        except Exception as error:  # whatever a damaged file makes torch raise
            noted(f"{file} cannot be read ({type(error).__name__}); beginning anew")
    tuner.run(lambda step, loss: told("tune", step / tuner.recipe.steps), file)


def _state_file(bundle: ModelBundle, plan: Plan, pieces: Sequence[FloatArray]) -> Path | None:
    """Return where the tuning of this voice is saved; None where there is no home. It holds no recording."""
    folder = cache_dir()
    if folder is None:
        return None
    digest = hashlib.sha256(f"{bundle.graphs_sha256} {plan.recipe}".encode())
    for piece in pieces:
        digest.update(piece.tobytes())
    with contextlib.suppress(OSError):
        (folder / "making").mkdir(parents=True, exist_ok=True)
        return folder / "making" / f"{digest.hexdigest()[:24]}.pt"
    return None


def _record(
    plan: Plan, pieces: Sequence[FloatArray], converter: VoiceConverter, encoder: SpeakerEncoder | None
) -> ConsentRecord:
    if isinstance(plan.consent, ConsentRecord):
        return plan.consent
    return consent.check(consent.asked(plan.name), plan.consent, pieces, converter, encoder)


def _entry(plan: Plan, agreed: ConsentRecord, own: Material) -> dict[str, Any]:
    record = {name: value for name, value in dataclasses.asdict(agreed).items() if value is not None}
    return {
        "name": plan.name,
        "description": plan.description or f"{plan.name}, made with `edgevc voice make`",
        "licence": plan.licence,
        "consent": agreed.statement,
        "consent_record": record,
        "log2_f0_mean": round(own.f0[0], 4),
        "log2_f0_std": round(own.f0[1], 4),
    }


def _voice(plan: Plan, bundle: ModelBundle, own: Material, tuner: Tuner) -> Voice:
    """Return the voice as it will be loaded."""
    tuned = tuner.tuned
    spec = dataclasses.replace(
        bundle.voices[0], name=plan.name, log2_f0_mean=round(own.f0[0], 4), log2_f0_std=round(own.f0[1], 4)
    )
    adapters = dataclasses.replace(rounded(tuned.adapters()), sha256=f"being made {plan.name}")
    return Voice(spec, tuned.row.detach().numpy().astype(np.float32), adapters)


def _quality(
    facts: Facts, wrong: Sequence[Problem], start: str, verdicts: Mapping[str, Verdict], recipe: Recipe
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "seconds_of_speech": round(facts.speech_seconds, 1),
        "snr_db": round(facts.snr_db, 1),
        "began_as": start,
        "steps": recipe.steps,
        "seed": recipe.seed,
        **{name: verdict.figures() for name, verdict in verdicts.items()},
    }
    if wrong:
        found["wrong"] = {problem.name: problem.text for problem in wrong}
    return found
