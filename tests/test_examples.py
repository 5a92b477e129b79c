"""Every example in a docstring runs, and gives what it says."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import edgevc

ROOT = Path(__file__).resolve().parent.parent
# these need a package that not every machine has, or are a program
PROGRAMS = ("edgevc.__main__",)


def examples():
    """Docstrings with an example, of every module of edgevc."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for info in pkgutil.walk_packages(edgevc.__path__, "edgevc."):
        if info.name in PROGRAMS or info.name.rpartition(".")[2].startswith("_"):
            continue
        path = Path(edgevc.__file__).parent.joinpath(*info.name.split(".")[1:])
        source = path.with_suffix(".py") if not info.ispkg else path / "__init__.py"
        if ">>>" in source.read_text(encoding="utf-8"):
            yield from (found for found in finder.find(importlib.import_module(info.name)) if found.examples)


ALL = list(examples())


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_an_example_gives_what_it_says(example, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    # only what a reader has who copies the example
    example.globs.clear()
    report = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert not report, "".join(report)


def test_the_main_classes_have_an_example():
    names = {example.name for example in ALL}
    for name in ("model.VoiceConverter", "stream.ConverterStream", "listener.Listener", "voice_settings.VoiceSettings"):
        assert f"edgevc.converter.{name}" in names
