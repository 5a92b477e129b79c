"""The build and the scripts around it: what is shipped runs everywhere, figures and comparisons are honest."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import write_wav
from edgevc.bundle import ModelBundle

ROOT = Path(__file__).resolve().parent.parent


def load(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sentence():
    return read_audio(ROOT / "examples/sentence.wav")[0]


def test_no_build_file_asks_for_one_kind_of_cpu_or_for_fast_math():
    # comments may name what is avoided
    for path in (
        "CMakeLists.txt",
        "pyproject.toml",
        "scripts/aarch64.sh",
        "scripts/aarch64.cmake",
        "scripts/install.sh",
    ):
        code = re.sub(r"#.*", "", (ROOT / path).read_text(encoding="utf-8"))
        assert not re.search(r"-march|-mtune|-mcpu|-ffast-math|-Ofast", code), path


def test_the_version_stands_in_pyproject_alone():
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    sources = [path for pattern in ("edgevc/**/*.py", "csrc/**/*.cc", "csrc/**/*.h") for path in ROOT.glob(pattern)]
    sources.append(ROOT / "CMakeLists.txt")
    assert len(sources) > 20
    assert [path for path in sources if f'"{version}"' in path.read_text(encoding="utf-8")] == []
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_conversion_compares_well_with_itself_and_badly_with_a_louder_one(tmp_path, sentence, monkeypatch):
    compare = load("scripts/compare_audio.py")
    write_wav(tmp_path / "a.wav", sentence, 16_000)
    write_wav(tmp_path / "b.wav", sentence * np.float32(10 ** (0.5 / 20)), 16_000)
    write_wav(tmp_path / "late.wav", np.roll(sentence, 160), 16_000)
    assert compare.log_mel_distance_db(tmp_path / "a.wav", tmp_path / "a.wav") == 0.0
    for other in ("b.wav", "late.wav"):
        assert compare.log_mel_distance_db(tmp_path / "a.wav", tmp_path / other) > compare.TOLERANCE_DB
        monkeypatch.setattr(sys, "argv", ["compare_audio.py", str(tmp_path / "a.wav"), str(tmp_path / other)])
        assert compare.main() == 1


def test_conversions_of_different_length_are_not_compared(tmp_path, sentence):
    compare = load("scripts/compare_audio.py")
    write_wav(tmp_path / "a.wav", sentence, 16_000)
    write_wav(tmp_path / "b.wav", sentence[:-1], 16_000)
    with pytest.raises(ValueError, match="same length"):
        compare.log_mel_distance_db(tmp_path / "a.wav", tmp_path / "b.wav")


def test_the_readme_table_takes_the_figures_it_names_and_nothing_else():
    figures = load("benchmarks/readme_figures.py")
    name, words = next(iter(figures.FIGURES.items()))
    named = {"name": name, "value": 0.01234, "unit": "", "command": "measure --long 9"}
    own = {"name": "x", "value": 3, "unit": "MB", "command": "weigh", "readme": "weight"}
    voices = {
        "table": {"ls19 -> slt": dict.fromkeys(figures.VOICES, 0.8), "bdl -> slt": dict.fromkeys(figures.VOICES, 9)}
    }
    rows = figures.measured_rows(
        {"a": [named], "b": {"rows": [{**named, "name": "other"}, own]}, "voices.default": voices}
    )
    assert rows[:2] == [(words, "0.012", "measure"), ("weight", "3 MB", "weigh")]
    assert [figure for _, figure, _ in rows[2:]] == ["0.80"] * len(figures.VOICES)
    assert len(figures.model_rows(ModelBundle.default())) == 3


def test_the_readme_table_goes_between_its_markers():
    figures = load("benchmarks/readme_figures.py")
    readme = f"before\n{figures.BEGIN}\nold\n{figures.END}\nafter\n"
    new = figures.with_table(readme, [("what", "1 s", "command")])
    assert new.endswith(f"| what | 1 s | `command` |\n{figures.END}\nafter\n")
    assert "old" not in new
    assert figures.with_table(new, [("what", "1 s", "command")]) == new
    with pytest.raises(ValueError, match="once each"):
        figures.with_table("no markers", [])
