"""Every block of code in the documents is known here: Python runs, commands parse, settings are read.

What is not run is listed with the reason, so that nothing is left out unseen.
"""

import argparse
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from edgevc.cli import parser_for
from edgevc.live.settings import LIVE

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "models/README.md", "examples/README.md")
    ),
    *sorted(ROOT.glob("docs/**/*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
OPERATORS = {"|", "||", "&&", ";", ">", "<", "(", ")"}
NOT_OURS = {
    **dict.fromkeys(("arecord", "aplay", "parec"), "needs a sound card"),
    **dict.fromkeys(
        ("apt-get", "usermod", "printf", "echo", "tee", "touch", "chmod", "chown", "mosquitto_passwd", "systemctl"),
        "changes the machine",
    ),
    **dict.fromkeys(
        ("pip", "git", "flite", "age-keygen", "python3.11", ".", "ffprobe"), "downloads, or somebody else's"
    ),
    **dict.fromkeys(("for", "do", "done", "cp", "export", "tr"), "a word of the shell"),
}
SHOWN = {
    "docs/cluster.md": (1, "how Ray is started; tests/cluster starts it on three machines"),
    "docs/commands.md": (1, "a dictionary; its reader has tests of its own"),
    "docs/live-control.md": (2, "lines on a socket; tests/live/test_control.py sends them"),
    "docs/mark.md": (2, "formulas; tests/mark computes them"),
    "docs/relay.md": (2, "a broker's rules; tests/relay/test_relay_docs.py runs a broker with them"),
    "docs/live-setup.md": (2, "what a session shows; tests/live/test_view.py compares such screens"),
}
"""Blocks without a language that hold no commands: how many, and why they are not run."""


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def commands(text):
    """Words of every command in a block for the shell: lines joined, comments off, pipes apart."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&")
        lexer.whitespace_split = True
        words = []
        for word in [*lexer, ";"]:
            if word not in OPERATORS:
                words.append(word)
                continue
            while words and (words[0] == "sudo" or re.fullmatch(r"[A-Z_]+=.*", words[0])):
                words.pop(0)
            if words:
                yield words
            words = []


def check(words):
    """Fail where a command is none; return whether it is one of edgevc's."""
    program = words[0].rpartition("/")[2]
    if program == "edgevc":
        parser_for(words[1:]).parse_args(words[1:])
        return True
    if program == "make":
        targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert words[1] in targets
    elif program in ("python", "sh") and words[1] != "-m":
        assert (ROOT / words[1]).is_file()
    elif program not in NOT_OURS:
        assert words == [".ci/run"] or words[1:3] == ["-m", "pytest"]
    return False


def is_shell(language, text):
    if language:
        return language == "sh"
    first = re.sub(r"^(?:[A-Z_]+=\S+ )*", "", text).split(maxsplit=1)
    return bool(first) and (first[0] in ("edgevc", "python") or first[0] in NOT_OURS)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_kind_that_is_looked_at(page):
    shown = sum(language in ("", "text") and not is_shell(language, text) for language, text in blocks(page))
    assert shown == SHOWN.get(name_of(page), (0, ""))[0], "run it, or say here why not"
    languages = {language for language, _ in blocks(page)} - {"", "text"}
    # the drawings are made or looked at by mkdocs --strict and scripts/import_diagram.py
    assert languages <= {"python", "sh", "toml", "yaml", "mermaid", "json"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_one(page):
    for language, text in blocks(page):
        if is_shell(language, text):
            for words in commands(text):
                check(words)


def test_a_command_that_is_none_is_noticed():
    for line in ("edgevc convert --no-such-option a b", "make nothing", "python tools/none.py", "frobnicate a"):
        with pytest.raises((AssertionError, SystemExit)):
            check(line.split())
    assert list(commands("a -b | sudo c 'd e' # f\nX=1 g && h")) == [
        ["a", "-b"], ["c", "d e"], ["g"], ["h"],
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_are_read(page, tmp_path):
    for language, text in blocks(page):
        if language == "toml" and "[[" not in text.partition("\n")[0]:
            (tmp_path / "config.toml").write_text(text, encoding="utf-8")
            LIVE.resolve(argparse.Namespace(config=tmp_path / "config.toml"))
        elif language == "yaml":
            assert isinstance(yaml.safe_load(text), dict)
        elif language == "json":
            # a whole document, or a member of one
            assert json.loads(text if text.startswith("{") else f"{{{text}}}")


@pytest.mark.parametrize("page", [page for page in PAGES if "python" in dict(blocks(page))], ids=name_of)
def test_python_runs_in_the_order_of_the_page(page, tmp_path, monkeypatch):
    """With what the text around it says that there is: recordings, files, microphones."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "sentence.wav", tmp_path / "command.wav")
    (tmp_path / "models").symlink_to(ROOT / "models")
    for language, text in blocks(page):
        if language == "yaml":
            (tmp_path / "lamps.yaml").write_text(text, encoding="utf-8")
        elif language == "toml":
            (tmp_path / "home.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    given = {
        "log_mel": np.zeros((1, 80), np.float32),
        "stream": [np.full((5, 40), -np.log(40), np.float32)],
        "microphone": [np.zeros(1600, np.float32)],
    }
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, name_of(page), "exec"), given)
