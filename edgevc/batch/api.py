"""Many files from Python, and a function for frameworks that map over tables of audio: Ray, Dask, Spark, Beam."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.writers import check_writable_kind
from edgevc.batch.choose import chooser, settings_for
from edgevc.batch.plan import Choice, make_plan, speakers_by, voice_rule
from edgevc.batch.run import Batch, Tally
from edgevc.converter import VoiceConverter, VoiceSettings
from edgevc.errors import ConfigError

MAX_JOBS = 256


def convert_many(
    sources: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    voice: str | None = None,
    *,
    bundle: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    jobs: int | None = None,
    rules: Iterable[tuple[str, str]] = (),
    seed: str | None = None,
    speaker_by: str | None = None,
    suffix: str = ".wav",
    force: bool = False,
    told: Callable[[Tally, str | None], None] = lambda tally, problem: None,
) -> Tally:
    """Convert files and folders into a folder, in several processes; what is done already is left alone.

    Args:
        sources: recordings, and folders of them.
        folder: the output folder, with its manifest edgevc-convert.jsonl.
        voice: of all files that no rule names; None: the model's first.
        bundle: the model; None: the default one.
        engine: "auto", "litert" or "onnx".
        jobs: processes; None: one for each core that this process may use.
        rules: regular expression to voice, for sources whose path it finds; the first one counts.
        seed: give each speaker a pseudo-voice, drawn by this text and the speaker's name; then `voice` is not used.
        speaker_by: regular expression whose one group is the speaker in a source's path; None: its folder's name.
        suffix: of the outputs, ".wav", ".flac" or ".opus".
        force: convert everything again, and replace files that are in no manifest.
        told: called after every file, with a sentence where one failed.

    Returns:
        How many files were converted, were done before, and failed; a file that fails ends nothing.

    Raises:
        AudioFileError: there is no recording.
        ConfigError: an argument is outside its range.
        ModelError, EngineError: the model cannot be used.
        OutputError: the folder or the manifest cannot be written.
        SessionError: another run writes to the folder.

    Example:
        >>> from edgevc.batch import convert_many
        >>> convert_many(["recordings"], "anonymous", "anon", jobs=2)  # doctest: +SKIP
        Tally(files=3, converted=3, ...)
    """
    check_writable_kind(f"x{suffix}")
    plan = make_plan([Path(one) for one in sources], Path(folder), suffix)
    settings, voices = settings_for(bundle, engine)
    speakers = None if seed is None else speakers_by(seed, speaker_by)
    by_rule = [voice_rule(f"{pattern}={name}") for pattern, name in rules]
    choose = chooser(Choice(voice or voices.first), by_rule, {}, voices, speakers)
    count = usable_cores() if jobs is None else jobs
    return Batch(plan, Path(folder), choose, settings, jobs=checked_jobs(count), force=force, told=told).run()


def usable_cores() -> int:
    """Return the cores that this process may use, MAX_JOBS at most."""
    return min(len(os.sched_getaffinity(0)), MAX_JOBS)


def checked_jobs(jobs: int) -> int:
    """Return the number of processes.

    Raises:
        ConfigError: it is not within 1 to MAX_JOBS.
    """
    if not 1 <= jobs <= MAX_JOBS:
        raise ConfigError(f"jobs must be within 1..{MAX_JOBS}, got {jobs}")
    return jobs


class Mapper:
    """Changes the voice in rows of a table. It can be pickled; the model is loaded where and when it is first called.

    Example:
        >>> import edgevc
        >>> from edgevc.batch import Mapper
        >>> samples, rate = edgevc.read("examples/sentence.wav")
        >>> row = Mapper("anon")({"id": 7, "audio": samples, "sample_rate": rate})
        >>> row["id"], len(row["audio"]) == len(samples)
        (7, True)
    """

    def __init__(
        self,
        voice: str,
        bundle: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        settings: VoiceSettings | None = None,
        *,
        audio: str = "audio",
        rate: str = "sample_rate",
    ) -> None:
        """Describe the conversion; nothing is loaded yet.

        Args:
            voice: of the model.
            bundle: the model, by name or path, as the workers see it; None: the default one.
            engine: "auto", "litert" or "onnx".
            settings: pitch, formants, gain and gate.
            audio: name of the column with samples, float32 (T,).
            rate: name of the column with their rate in hertz.
        """
        self._voice, self._bundle, self._engine = voice, bundle, engine
        self._settings = VoiceSettings() if settings is None else settings
        self._audio, self._rate = audio, rate
        self._converter: VoiceConverter | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the loaded model behind."""
        return {**self.__dict__, "_converter": None}

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row with its audio in the other voice; everything else is kept.

        Raises:
            ConfigError: the samples or their rate are none.
            ModelError, EngineError: the model cannot be used here.
        """
        samples = np.asarray(row[self._audio], np.float32)
        return {**row, self._audio: self.convert(samples, int(row[self._rate]))}

    def convert(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Return samples, float32 (T,), in the other voice, at the same rate and as many."""
        if self._converter is None:
            self._converter = VoiceConverter(self._bundle, self._engine)
        return self._converter.convert(samples, self._voice, self._settings, sample_rate=sample_rate)
