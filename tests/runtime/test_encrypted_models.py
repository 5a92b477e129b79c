"""Models that are encrypted with age: opened in memory with the right key, refused in one line otherwise."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyrage
import pytest

from edgevc import VoiceConverter
from edgevc.bundle import ModelBundle, shipped_models
from edgevc.bundle.encryption import encrypt, unlock_with
from edgevc.engines import trust
from edgevc.errors import ConfigError, ModelError, OutputError

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"


@pytest.fixture(autouse=True)
def locked_again():
    yield
    unlock_with()


@pytest.fixture
def zipped(tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(shipped_models()["tiny"].iterdir()):
            archive.write(file, f"tiny/{file.name}")
    return path


def secret_file(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def identity(tmp_path):
    made = pyrage.x25519.Identity.generate()
    return secret_file(tmp_path / "key", f"# a comment\n{made}\n"), str(made.to_public())


def test_the_right_key_opens_it_and_nothing_readable_is_written(tmp_path, zipped, identity, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(trust, "trusted", set())
    key, recipient = identity
    encrypt(zipped, tmp_path / "model.zip.age", [recipient])
    before = ModelBundle.open(zipped)
    zipped.unlink()
    unlock_with(identity=key)
    bundle = ModelBundle.find(tmp_path / "model.zip.age")
    assert bundle.sha256 == before.sha256
    converter = VoiceConverter(bundle)
    assert converter.voices
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(b"manifest_sha256" not in path.read_bytes() for path in written)


def test_a_passphrase_opens_it(tmp_path, zipped):
    phrase = secret_file(tmp_path / "phrase", "correct horse\nmore lines\n")
    encrypt(zipped, tmp_path / "model.zip.age", passphrase=phrase)
    unlock_with(passphrase=phrase)
    assert ModelBundle.open(tmp_path / "model.zip.age").name == "tiny"
    wrong = secret_file(tmp_path / "wrong", "wrong horse\n")
    unlock_with(passphrase=wrong)
    with pytest.raises(ModelError, match="does not open it") as refused:
        ModelBundle.open(tmp_path / "model.zip.age")
    assert "wrong horse" not in str(refused.value)


def test_age_itself_opens_ours_and_ours_opens_its(tmp_path, zipped, identity):
    program = shutil.which("age")
    assert program, "install age (apt-get install age)"
    key, recipient = identity
    encrypt(zipped, tmp_path / "ours.zip.age", [recipient])
    run = {"cwd": tmp_path, "check": True, "timeout": 60}
    subprocess.run([program, "-d", "-i", key, "-o", "back.zip", "ours.zip.age"], **run)
    assert (tmp_path / "back.zip").read_bytes() == zipped.read_bytes()
    subprocess.run([program, "-r", recipient, "-o", "theirs.zip.age", "model.zip"], **run)
    unlock_with(identity=key)
    assert ModelBundle.open(tmp_path / "theirs.zip.age").name == "tiny"


def test_without_a_key_or_with_another_one_it_stays_shut(tmp_path, zipped, identity):
    path = tmp_path / "model.zip.age"
    encrypt(zipped, path, [identity[1]])
    with pytest.raises(ModelError, match="is encrypted; say what opens it with --identity FILE"):
        ModelBundle.open(path)
    unlock_with(identity=secret_file(tmp_path / "other", str(pyrage.x25519.Identity.generate())))
    with pytest.raises(ModelError, match=r"no identity of .* opens it"):
        ModelBundle.open(path)
    unlock_with(passphrase=secret_file(tmp_path / "phrase", "a"))
    with pytest.raises(ModelError, match="encrypted to a key, not with a passphrase"):
        ModelBundle.open(path)


def test_changed_bytes_are_refused(tmp_path, zipped, identity, rng):
    path = tmp_path / "model.zip.age"
    encrypt(zipped, path, [identity[1]])
    unlock_with(identity=identity[0])
    whole = path.read_bytes()
    for _ in range(30):
        data = bytearray(whole)
        data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(data)
        with pytest.raises(ModelError):
            ModelBundle.open(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError):
        ModelBundle.open(path)


def test_keys_that_others_can_read_and_lines_that_are_none_are_named_without_being_shown(tmp_path, zipped, identity):
    path = tmp_path / "model.zip.age"
    encrypt(zipped, path, [identity[1]])
    identity[0].chmod(0o644)
    unlock_with(identity=identity[0])
    with pytest.raises(ConfigError, match="its mode is 0644; type: chmod 600"):
        ModelBundle.open(path)
    unlock_with(identity=secret_file(tmp_path / "bad", "# fine\nAGE-SECRET-KEY-1NONSENSE\n"))
    with pytest.raises(ConfigError, match="line 2: is no age identity") as refused:
        ModelBundle.open(path)
    assert "NONSENSE" not in str(refused.value)


def test_encrypting_replaces_nothing_and_needs_one_kind_of_key(tmp_path, zipped, identity):
    (tmp_path / "there.age").write_text("before")
    with pytest.raises(OutputError, match="exists"):
        encrypt(zipped, tmp_path / "there.age", [identity[1]])
    with pytest.raises(ConfigError, match="either recipients"):
        encrypt(zipped, tmp_path / "a.age")
    with pytest.raises(ConfigError, match=r"a recipient is age1\.\.\."):
        encrypt(zipped, tmp_path / "a.age", ["somebody"])
    assert not (tmp_path / "a.age").exists()


def test_the_commands_from_a_zip_to_a_changed_voice(tmp_path, zipped, identity):
    def run(*words, code=0, **variables):
        done = subprocess.run(
            [sys.executable, "-m", "edgevc", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        return done.stderr

    run("encrypt", "model.zip", "-o", "model.zip.age", "--recipient", identity[1])
    convert = ["convert", SENTENCE, "out.wav", "--voice", "slt", "--bundle", "model.zip.age"]
    assert "is encrypted; say what opens it" in run(*convert, code=3)
    run(*convert, "--identity", identity[0])
    run(*convert, "--force", EDGEVC_IDENTITY=str(identity[0]))
    run("convert", SENTENCE, "plain.wav", "--voice", "slt", "--bundle", "model.zip")
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "plain.wav").read_bytes()
