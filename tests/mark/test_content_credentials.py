"""A C2PA manifest in converted files, read by the reader of the same library. Costs two seconds."""

import datetime
import io
import json
from pathlib import Path

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import edgevc
from edgevc.audio.content_credentials import ContentCredentials
from edgevc.cli import main
from edgevc.errors import ConfigError, MissingPackageError, OutputError

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"
PEM = Encoding.PEM


def certificate(name, of, by_name, by):
    """Return a certificate, whose maker may sign others where it is its own."""
    is_root = of is by
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text), x509.NameAttribute(NameOID.COMMON_NAME, text)])
        for text in (name, by_name)
    ]
    usage = {"digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root}
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    builder = (
        x509.CertificateBuilder(names[1], names[0], of.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(is_root, None), critical=True)
        .add_extension(x509.KeyUsage(**usage, **dict.fromkeys((*others, "decipher_only"), False)), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(of.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if not is_root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
    return builder.sign(by, hashes.SHA256()).public_bytes(PEM)


@pytest.fixture(scope="module")
def root():
    return ec.generate_private_key(ec.SECP256R1())


def written(folder, key, root, encryption=None):
    """Write a certificate and a key; return their paths."""
    chain, secret = folder / "maker.pem", folder / "maker.key"
    chain.write_bytes(certificate("Example Ltd", key, "Root", root))
    secret.write_bytes(key.private_bytes(PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    secret.chmod(0o600)
    return chain, secret


@pytest.fixture
def paths(tmp_path, root):
    return written(tmp_path, ec.generate_private_key(ec.SECP256R1()), root)


def manifest_of(data):
    found = json.loads(c2pa.Reader("audio/wav", io.BytesIO(data)).json())
    return found, found["manifests"][found["active_manifest"]]


def convert(output, paths, *more):
    options = ["--c2pa-cert", str(paths[0]), "--c2pa-key", str(paths[1])]
    return main(["convert", str(SENTENCE), str(output), "--voice", "slt", "--bundle", "tiny", *options, *more])


def test_a_converted_file_says_so_under_the_makers_name(tmp_path, paths):
    plain, signed = tmp_path / "plain.wav", tmp_path / "signed.wav"
    assert main(["convert", str(SENTENCE), str(plain), "--voice", "slt", "--bundle", "tiny"]) == 0
    assert convert(signed, paths) == 0
    found, manifest = manifest_of(signed.read_bytes())
    assert found["validation_state"] == "Valid"
    assert manifest["signature_info"]["common_name"] == "Example Ltd"
    assert manifest["claim_generator_info"][0]["name"] == "edgevc"
    (assertion,) = manifest["assertions"]
    (action,) = assertion["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert action["softwareAgent"]["name"] == "edgevc"
    for words in ("voice converted", "tiny", "sha256", "; watermark"):
        assert words in action["description"]
    # nothing of the source: no ingredient, no title, no name of a file
    assert SENTENCE.stem not in json.dumps(found)
    assert "ingredients" not in manifest
    # the sound is the same, and so is what the other chunks say
    assert np.array_equal(edgevc.read(signed)[0], edgevc.read(plain)[0])
    assert b"LIST" in signed.read_bytes()
    assert not list(tmp_path.glob(".edgevc-*"))


def test_a_changed_file_is_no_longer_valid(tmp_path, paths):
    target = tmp_path / "signed.wav"
    assert convert(target, paths) == 0
    data = bytearray(target.read_bytes())
    data[2_000] ^= 1
    found, _ = manifest_of(bytes(data))
    assert found["validation_state"] == "Invalid"
    assert "assertion.dataHash.mismatch" in {status["code"] for status in found["validation_status"]}


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ed25519.Ed25519PrivateKey.generate(),
        lambda: rsa.generate_private_key(65_537, 2_048),
    ],
)
def test_other_keys_sign_too(tmp_path, root, make):
    signed = io.BytesIO()
    credentials = ContentCredentials(*written(tmp_path, make(), root))
    with SENTENCE.open("rb") as source:
        credentials.sign(source, signed, edgevc.audio.provenance.Provenance.of_recording())
    assert manifest_of(signed.getvalue())[0]["validation_state"] == "Valid"


def test_a_key_that_others_can_read_is_refused(paths):
    paths[1].chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        ContentCredentials(*paths)


def test_what_cannot_sign_is_refused_before_anything_is_converted(tmp_path, paths, root, capsys):
    other = tmp_path / "other"
    other.mkdir()
    stranger = written(other, ec.generate_private_key(ec.SECP256R1()), root)[1]
    locked = tmp_path / "locked"
    locked.mkdir()
    encrypted = written(locked, ec.generate_private_key(ec.SECP256R1()), root, BestAvailableEncryption(b"x"))[1]
    curve = tmp_path / "curve"
    curve.mkdir()
    koblitz = written(curve, ec.generate_private_key(ec.SECP256K1()), root)[1]
    output = tmp_path / "out.wav"
    for chain, key, words in (
        (paths[0], stranger, "maker.pem and"),
        (paths[0], encrypted, "without a passphrase"),
        (paths[0], koblitz, "must hold an EC"),
        (paths[0], tmp_path / "missing", "cannot read"),
        (SENTENCE, paths[1], "must be a PEM file"),
        (paths[1], paths[1], "cannot sign a file"),
    ):
        assert convert(output, (chain, key), "--force") == ConfigError.exit_code
        assert words in capsys.readouterr().err
        assert not output.exists()


def test_options_that_cannot_be_meant_are_refused(tmp_path, paths, capsys):
    both = ["--c2pa-cert", str(paths[0]), "--c2pa-key", str(paths[1])]
    for options, words in (
        ([str(SENTENCE), str(tmp_path / "o.wav"), *both[:2]], "give both"),
        ([str(SENTENCE), str(tmp_path / "o.wav"), *both[2:]], "give both"),
        ([str(SENTENCE), f"{tmp_path}/o/", "--jobs", "1", *both], "leave out --jobs"),
        ([str(SENTENCE), str(tmp_path / "o.flac"), *both], "needs a .wav file"),
    ):
        assert main(["convert", *options, "--voice", "slt", "--bundle", "tiny"]) == ConfigError.exit_code
        assert words in capsys.readouterr().err


def test_without_the_package_the_extra_is_named(paths, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    with pytest.raises(MissingPackageError, match=r"edgevc\[c2pa\]"):
        ContentCredentials(*paths)


def test_a_seal_that_fails_leaves_what_was_there(tmp_path):
    from edgevc.audio.wav_writer import WavWriter

    target = tmp_path / "kept.wav"
    target.write_bytes(b"before")

    def fail(whole, signed):
        signed.write(b"half")
        raise OSError(28, "No space left on device")

    writer = WavWriter(target, 16_000, seal=fail)
    writer.write(np.zeros(10, np.float32))
    with pytest.raises(OutputError, match="No space left"):
        writer.close()
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]
