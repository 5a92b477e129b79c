"""Models with a signature: whose it is, what a change of any byte does, and what is refused when one is required."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgevc.bundle import ModelBundle, shipped_models
from edgevc.bundle.sign import sign_bundle, signed_by
from edgevc.errors import ConfigError, ModelError
from edgevc.signing.keys import generate, read_secret_key, write_pair
from edgevc.signing.policy import require_signatures
from edgevc.signing.rotation import read_rotation, write_rotation
from edgevc.signing.trusted import add_key, remove_key, trusted_keys

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield
    require_signatures(False)


@pytest.fixture
def key():
    return generate("a maker")


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(shipped_models()["tiny"], folder)
    (folder / "manifest.json.minisig").unlink(missing_ok=True)
    return folder


def test_a_model_without_a_signature_says_so(model, key):
    bundle = ModelBundle.open(model)
    assert bundle.signer is None
    assert signed_by(bundle, key.public) is None


def test_a_signature_is_trusted_only_where_its_key_is(model, key):
    signed = sign_bundle(model, key, "version 1")
    assert (signed.signer.key_name, signed.signer.trusted, signed.signer.comment) == (key.public.name, False, "")
    add_key(key.public)
    signer = ModelBundle.open(model).signer
    assert (signer.trusted, signer.comment, signer.owner) == (True, "version 1", "a maker")
    remove_key(key.public.name)
    assert not ModelBundle.open(model).signer.trusted


def test_a_zip_is_signed_in_place(tmp_path, model, key):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(model.iterdir()):
            archive.write(file, f"tiny/{file.name}")
    add_key(key.public)
    before = ModelBundle.open(path)
    assert before.signer is None
    for _ in range(2):  # signed again: one signature, not two
        signed = sign_bundle(path, key)
        assert signed.signer.trusted
        assert signed.sha256 == before.sha256
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist().count("tiny/manifest.json.minisig") == 1


def test_what_minisign_signed_is_signed(tmp_path, model):
    program = shutil.which("minisign")
    assert program, "install minisign (apt-get install minisign)"
    for words in (["-G", "-W", "-p", "m.pub", "-s", "m.key"], ["-S", "-s", "m.key", "-m", "model/manifest.json"]):
        subprocess.run([program, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    from edgevc.signing.minisign import parse_public_key

    add_key(parse_public_key((tmp_path / "m.pub").read_text()))
    assert ModelBundle.open(model).signer.trusted


def test_five_hundred_changes_are_all_refused(model, key, rng):
    """A byte of the manifest or of the signature changed, removed or added; also a manifest whose seal fits again."""
    from edgevc.bundle import write_manifest

    sign_bundle(model, key)
    add_key(key.public)
    files = [model / "manifest.json", model / "manifest.json.minisig"]
    whole = {path: path.read_bytes() for path in files}
    refused = 0
    for i in range(498):
        path = files[i % 2]
        data = bytearray(whole[path])
        # the first line of a signature is a comment that is nobody's word, and so may say anything
        start = 0 if path is files[0] else whole[path].index(b"\n") + 1
        place = int(rng.integers(start, len(data)))
        match i // 2 % 3:
            case 0:
                data[place] ^= 1 << int(rng.integers(0, 8))
            case 1:
                del data[place]
            case _:
                data.insert(place, int(rng.integers(0, 256)))
        if bytes(data).rstrip(b"\n") == whole[path].rstrip(b"\n"):
            refused += 1  # the line's end alone
            continue
        path.write_bytes(data)
        try:
            signer = ModelBundle.open(model).signer
        except ModelError:
            refused += 1
        else:
            # another key id: nobody's signature, never a trusted one
            refused += not signer.trusted
        path.write_bytes(whole[path])
    assert refused == 498
    # sealed anew, as an attacker would
    bundle = ModelBundle.open(model)
    for change in ({"description": "another"}, {"version": "9"}):
        write = bundle.manifest() | change
        with pytest.raises(ModelError, match="was changed after it was signed, or the signature is forged"):
            write_manifest(model, write)


def test_a_signature_of_another_model_does_not_fit(tmp_path, model, key):
    other = tmp_path / "other"
    shutil.copytree(shipped_models()["default"], other)
    sign_bundle(other, key)
    add_key(key.public)
    shutil.copy(other / "manifest.json.minisig", model)
    with pytest.raises(ModelError, match="was changed after it was signed"):
        ModelBundle.open(model)


def test_a_key_id_is_no_proof(model, key):
    """An attacker takes the id of a trusted key for one of his own."""
    from dataclasses import replace

    add_key(key.public)
    attacker = generate()
    attacker = replace(attacker, public=replace(attacker.public, key_id=key.public.key_id))
    with pytest.raises(ModelError, match="signature is forged"):
        sign_bundle(model, attacker)
    with pytest.raises(ConfigError, match="another key with the id"):
        add_key(attacker.public)


@pytest.mark.parametrize("unreadable", ["a link to nothing", "a folder", "empty", "large"])
def test_a_signature_that_cannot_be_read_is_not_taken_for_none(model, unreadable):
    path = model / "manifest.json.minisig"
    if unreadable == "a link to nothing":
        path.symlink_to(model / "nothing")
    elif unreadable == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"" if unreadable == "empty" else b"a" * 5000)
    with pytest.raises(ModelError):
        ModelBundle.open(model)


def test_where_signatures_are_required_only_trusted_ones_open(model, key):
    require_signatures()
    with pytest.raises(ModelError, match="is not signed, and require_signature asks"):
        ModelBundle.open(model)
    require_signatures(False)
    sign_bundle(model, key)
    require_signatures()
    with pytest.raises(ModelError, match=f"signed by key {key.public.name}, which is not trusted here"):
        ModelBundle.open(model)
    add_key(key.public)
    assert ModelBundle.open(model).signer.trusted


@pytest.mark.parametrize("broken", ["file", "folder", "no text", "writable folder"])
def test_a_broken_store_of_keys_never_means_trusted(tmp_path, model, key, broken, caplog):
    sign_bundle(model, key)
    store = tmp_path / "config" / "edgevc" / "trusted_keys"
    if broken == "file":
        store.parent.mkdir(parents=True)
        store.write_text(key.public.text())
    else:
        path = add_key(key.public)
        if broken == "folder":
            path.unlink()
            path.mkdir()
        elif broken == "no text":
            path.write_bytes(b"\xff\xfe")
        else:
            store.chmod(0o777)
    require_signatures()
    with pytest.raises(ModelError, match="is not trusted here"):
        ModelBundle.open(model)
    assert broken == "file" or "not used" in caplog.text


def test_keys_come_from_the_package_too_and_cannot_be_removed():
    built_in = [one for one in trusted_keys() if one.built_in]
    assert built_in
    with pytest.raises(ConfigError, match="comes with edgevc"):
        remove_key(built_in[0].key.name)


def test_the_shipped_models_are_signed_by_the_key_that_comes_with_edgevc():
    built_in = {one.key.name for one in trusted_keys() if one.built_in}
    require_signatures()
    own = [path.parent for folder in ("models", "more_models") for path in (ROOT / folder).glob("*/manifest.json")]
    assert len(own) == 4
    for path in (*shipped_models().values(), *own):
        signer = ModelBundle.open(path).signer
        assert signer.trusted
        assert signer.key_name in built_in


def test_an_old_key_hands_over_to_a_new_one(tmp_path, model, key):
    new = generate("next year")
    write_rotation(key, new, tmp_path / "new.rotation")
    with pytest.raises(ConfigError, match=f"its old key {key.public.name} is not trusted here"):
        read_rotation(tmp_path / "new.rotation")
    add_key(key.public)
    assert read_rotation(tmp_path / "new.rotation").new.key == new.public.key
    # a stranger's key in the place of the new one, or his signature
    stranger = generate()
    statement = (tmp_path / "new.rotation").read_text()
    (tmp_path / "new.rotation").write_text(statement.replace(new.public.line(), stranger.public.line()))
    with pytest.raises(ConfigError, match="is no signature of"):
        read_rotation(tmp_path / "new.rotation")
    (tmp_path / "new.rotation").write_text(statement)
    (tmp_path / "new.rotation.new.minisig").write_text(stranger.sign(statement.encode()).text())
    with pytest.raises(ConfigError, match="is no signature of"):
        read_rotation(tmp_path / "new.rotation")


def edgevc(*arguments, cwd, **variables):
    import os

    return subprocess.run(
        [sys.executable, "-m", "edgevc", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_commands_from_a_key_to_a_refusal(tmp_path, model):
    """What docs/signing.md tells a maker and a user to type."""
    secret = tmp_path / "phrase"
    secret.write_text("a pass phrase\n")
    secret.chmod(0o600)
    source = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"
    convert = ["convert", source, "out.wav", "--voice", "slt", "--bundle", "./model"]

    def run(*arguments, code=0, **variables):
        done = edgevc(*arguments, cwd=tmp_path, **variables)
        assert done.returncode == code, done.stderr
        assert "a pass phrase" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "cannot read" in run("keygen", "maker", "--passphrase-file", tmp_path / "nothing", code=2)
    run("keygen", "maker", "--comment", "Maker", "--passphrase-file", secret)
    assert "exists" in run("keygen", "maker", "--passphrase-file", secret, code=8)
    assert "not signed" in run("verify", "./model", code=1)
    run("sign", "./model", "--key", "maker.key", "--passphrase-file", secret)
    assert "not trusted here" in run("verify", "./model", code=1)
    run("verify", "./model", "--key", "maker.pub")
    assert "not trusted here" in run(*convert, "--require-signature", code=3)
    assert "not trusted here" in run(*convert, code=3, EDGEVC_REQUIRE_SIGNATURE="true")
    settings = tmp_path / "config" / "edgevc" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[trust]\nrequire_signature = true\n")
    assert "not trusted here" in run(*convert, code=3)
    assert not (tmp_path / "out.wav").exists()
    run("trust", "add", "maker.pub")
    assert "Maker" in run("trust", "list")
    run(*convert)
    assert "signed by Maker" in run("info", "./model")
    run("keygen", "next", "--no-passphrase", "--replaces", "maker.key", "--passphrase-file", secret, code=2)
    run("keygen", "next", "--replaces", "maker.key", "--passphrase-file", secret)
    run("trust", "add", "--rotation", "next.rotation")
    name = read_secret_key(tmp_path / "next.key", lambda: b"a pass phrase").public.name
    assert name in run("trust", "list")
    run("trust", "remove", name)
    assert name not in run("trust", "list")
    settings.write_text("[trust]\nrequire_signature = 1\n")
    assert "require_signature must be true or false" in run(*convert, "--force", code=2)


def test_a_secret_key_open_to_others_signs_nothing(tmp_path, model):
    write_pair(generate(), tmp_path / "a.key", tmp_path / "a.pub")
    (tmp_path / "a.key").chmod(0o644)
    done = edgevc("sign", "model", "--key", "a.key", cwd=tmp_path)
    assert (done.returncode, "chmod 600" in done.stderr) == (2, True)
    assert not (model / "manifest.json.minisig").exists()
