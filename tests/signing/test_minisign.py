"""Keys and signatures go between edgevc and Debian's minisign, both ways."""

import shutil
import subprocess

import pytest

from edgevc.errors import ConfigError, OutputError
from edgevc.signing.keys import SecretKey, generate, read_secret_key, write_pair
from edgevc.signing.minisign import (
    PublicKey,
    SignatureFileError,
    parse_public_key,
    parse_signature,
    read_small_file,
)

MESSAGE = b"what is signed\n"


@pytest.fixture
def minisign(tmp_path):
    program = shutil.which("minisign")
    assert program, "install minisign (apt-get install minisign)"
    (tmp_path / "message").write_bytes(MESSAGE)

    def run(*arguments, answer=""):
        return subprocess.run(
            [program, *arguments], cwd=tmp_path, input=answer, capture_output=True, text=True, timeout=300, check=False
        )

    return run


def no_passphrase():
    raise AssertionError("asked for a passphrase that there is none of")


def test_minisign_verifies_ours(tmp_path, minisign):
    key = generate("a maker")
    write_pair(key, tmp_path / "a.key", tmp_path / "a.pub")
    (tmp_path / "message.minisig").write_text(key.sign(MESSAGE, "signed by us").text())
    done = minisign("-V", "-p", "a.pub", "-m", "message")
    assert (done.returncode, "Trusted comment: signed by us" in done.stdout) == (0, True), done
    (tmp_path / "message").write_bytes(MESSAGE + b"!")
    assert minisign("-V", "-p", "a.pub", "-m", "message").returncode != 0


@pytest.mark.parametrize("legacy", [False, True])
def test_ours_verifies_minisign_s(tmp_path, minisign, legacy):
    assert minisign("-G", "-W", "-p", "m.pub", "-s", "m.key").returncode == 0
    assert minisign("-S", *["-l"] * legacy, "-s", "m.key", "-m", "message", "-t", "by minisign").returncode == 0
    key = parse_public_key((tmp_path / "m.pub").read_text())
    signature = parse_signature((tmp_path / "message.minisig").read_text())
    assert signature.prehashed is not legacy
    assert signature.trusted_comment == "by minisign"
    assert signature.holds(key, MESSAGE)
    assert not signature.holds(key, MESSAGE + b"!")
    # and the secret key of the one signs for the other
    again = read_secret_key(tmp_path / "m.key", no_passphrase)
    assert again.sign(MESSAGE).holds(key, MESSAGE)


def test_minisign_signs_with_our_key_behind_a_passphrase(tmp_path, minisign):
    key = generate()
    write_pair(key, tmp_path / "a.key", tmp_path / "a.pub", b"a pass phrase")
    assert minisign("-S", "-s", "a.key", "-m", "message", answer="a pass phrase\n").returncode == 0
    assert parse_signature((tmp_path / "message.minisig").read_text()).holds(key.public, MESSAGE)


def test_a_key_comes_back_as_it_was_and_lies_there_for_its_owner_alone(tmp_path):
    key = generate("who")
    write_pair(key, tmp_path / "a.key", tmp_path / "a.pub", b"secret")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    found = read_secret_key(tmp_path / "a.key", lambda: b"secret")
    assert (found.seed, found.public.key_id, found.public.key) == (key.seed, key.public.key_id, key.public.key)
    assert parse_public_key((tmp_path / "a.pub").read_text()) == key.public
    assert parse_public_key(key.public.line()).key == key.public.key
    assert key.seed not in (tmp_path / "a.key").read_bytes()
    with pytest.raises(ConfigError, match="the passphrase is wrong"):
        read_secret_key(tmp_path / "a.key", lambda: b"Secret")


def test_a_secret_key_is_never_shown(tmp_path):
    key = generate()
    assert key.seed.hex() not in repr(key)
    assert repr(key.seed) not in repr(key)


def test_nothing_is_replaced_and_no_half_is_left(tmp_path):
    key = generate()
    (tmp_path / "a.pub").write_text("there before")
    with pytest.raises(OutputError, match=r"a\.pub"):
        write_pair(key, tmp_path / "a.key", tmp_path / "a.pub")
    assert not (tmp_path / "a.key").exists()
    assert (tmp_path / "a.pub").read_text() == "there before"


def test_a_secret_key_that_others_can_read_is_refused_with_what_to_type(tmp_path):
    write_pair(generate(), tmp_path / "a.key", tmp_path / "a.pub")
    (tmp_path / "a.key").chmod(0o640)
    with pytest.raises(ConfigError, match=r"its mode is 0640; type: chmod 600 .*a\.key"):
        read_secret_key(tmp_path / "a.key", no_passphrase)


def test_a_key_that_asks_for_the_machine_s_memory_is_refused(tmp_path):
    import base64
    import struct

    write_pair(generate(), tmp_path / "a.key", tmp_path / "a.pub", b"x")
    comment, line = (tmp_path / "a.key").read_text().splitlines()
    data = bytearray(base64.b64decode(line))
    data[38:54] = struct.pack("<QQ", 1 << 60, 1 << 40)
    (tmp_path / "a.key").write_text(f"{comment}\n{base64.b64encode(bytes(data)).decode()}\n")
    with pytest.raises(SignatureFileError, match="asks for more than 1024 MiB"):
        read_secret_key(tmp_path / "a.key", lambda: b"x")


def test_halves_of_two_keys_do_not_make_one(tmp_path):
    one, other = generate(), generate()
    write_pair(SecretKey(other.public, one.seed), tmp_path / "a.key", tmp_path / "a.pub")
    with pytest.raises(ConfigError, match="do not belong together"):
        read_secret_key(tmp_path / "a.key", no_passphrase)


SIGNED = generate().sign(MESSAGE, "comment").text()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "a signature has 4 lines, got 1"),
        ("\n".join(SIGNED.splitlines()[:3]), "a signature has 4 lines, got 3"),
        (SIGNED + "more\n", "at most 4 lines"),
        (SIGNED.replace("untrusted comment: ", "comment: "), "expected a line `untrusted comment: "),
        (SIGNED.replace("\ntrusted comment: ", "\nTrusted comment: "), "expected a line `trusted comment: "),
        ("untrusted comment: \nno base64!\ntrusted comment: \nAAAA\n", "is no base64"),
        ("untrusted comment: \nAAAA\ntrusted comment: \nAAAA\n", "expected 74 bytes in base64, got 3"),
    ],
)
def test_what_is_no_signature_is_named(text, rule):
    with pytest.raises(SignatureFileError, match=rule):
        parse_signature(text)


def test_base64_has_one_form_only():
    """Bits behind the last byte would make two texts of one signature."""
    lines = SIGNED.splitlines()
    assert lines[3].endswith("==")
    last = lines[3][-3]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    lines[3] = lines[3][:-3] + alphabet[alphabet.index(last) ^ 1] + "=="
    with pytest.raises(SignatureFileError):
        parse_signature("\n".join(lines))


@pytest.mark.parametrize("comment", ["two\nlines", "\x1b[2J", "x" * 501])
def test_a_comment_is_one_printable_line(comment):
    with pytest.raises(ConfigError, match="one line of at most 500 printable characters"):
        generate().sign(MESSAGE, comment)


def test_large_and_binary_files_are_no_keys(tmp_path):
    (tmp_path / "large").write_bytes(b"a" * 4097)
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(SignatureFileError, match="at most 4096 bytes"):
        read_small_file(tmp_path / "large", "the key")
    with pytest.raises(SignatureFileError, match="not UTF-8 at byte 0"):
        read_small_file(tmp_path / "binary", "the key")
    with pytest.raises(ConfigError, match="cannot read the key"):
        read_small_file(tmp_path / "nothing", "the key")


def test_a_name_is_as_minisign_prints_it(tmp_path, minisign):
    key = PublicKey(bytes.fromhex("0102030405060708"), generate().public.key)
    assert key.name == "0807060504030201"
