"""RFC 8032's vectors, the library that signs, and the ways in which a signature can be almost right."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgevc import _core
from edgevc.signing.ed25519 import verify

ORDER = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19
# RFC 8032, section 7.1: TEST 1, 2, 3 and SHA(abc); seed, public key, message, signature
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
        "24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        b"\x72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
        "eeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        b"\xaf\x82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
        "8dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").digest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac1"
        "7ad9bef1177331a704",
    ),
]


@pytest.mark.parametrize(("seed", "key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc_hold_and_no_bit_may_differ(seed, key, message, signature):
    # guards the vectors themselves: the library's signatures are deterministic
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    assert private.public_key().public_bytes_raw().hex() == key
    assert private.sign(message).hex() == signature
    key, signature = bytes.fromhex(key), bytes.fromhex(signature)
    assert verify(key, message, signature)
    assert not verify(key, message + b"\0", signature)
    for bit in range(0, 512, 5):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verify(key, message, bytes(changed))
    for bit in range(0, 256, 5):
        changed = bytearray(key)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verify(bytes(changed), message, signature)


def test_what_the_library_signs_holds_for_any_message(rng):
    for length in range(0, 300, 3):
        private = Ed25519PrivateKey.from_private_bytes(rng.bytes(32))
        message = rng.bytes(length)
        signature = private.sign(message)
        assert verify(private.public_key().public_bytes_raw(), message, signature)
        assert not verify(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), message, signature)


def test_a_signature_has_one_form_only():
    """s + order is the same number on the curve; taking it would let a signature be rewritten without the key."""
    _, key, message, signature = VECTORS[1]
    key, signature = bytes.fromhex(key), bytes.fromhex(signature)
    s = int.from_bytes(signature[32:], "little") + ORDER
    assert s < 2**256
    assert not verify(key, message, signature[:32] + s.to_bytes(32, "little"))


def small_order_points():
    """Encodings of points of order 1, 2, 4, in their canonical form and beyond p."""
    for y in (1, P - 1, 0):
        for sign in (0, 1 << 255):
            yield (y + sign).to_bytes(32, "little")
            if y + P < 2**255:
                yield (y + P + sign).to_bytes(32, "little")
    # order 8
    for text in (
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ):
        yield bytes.fromhex(text)


@pytest.mark.parametrize("key", list(small_order_points()), ids=lambda key: key.hex()[:8] + key.hex()[-2:])
def test_a_key_of_small_order_proves_nothing_and_is_refused(key):
    """With the neutral point as key, R = [s]B fits every message."""
    base = bytes.fromhex("58" + "66" * 31)
    one = (1).to_bytes(32, "little")
    for message in (b"", b"a", b"b"):
        assert not verify(key, message, base + one)
    assert not _core.ed25519_holds(key, base, one, bytes(32))


def test_the_curve_itself_is_right_where_the_hash_is_nothing():
    """[1]B = B + [0]A for any real key A."""
    key = bytes.fromhex(VECTORS[0][1])
    base = bytes.fromhex("58" + "66" * 31)
    one = (1).to_bytes(32, "little")
    assert _core.ed25519_holds(key, base, one, bytes(32))
    assert not _core.ed25519_holds(key, base, (2).to_bytes(32, "little"), bytes(32))


@pytest.mark.parametrize(("key", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_other_lengths_are_no_signature_and_the_core_names_them(key, signature):
    assert not verify(bytes(key), b"", bytes(signature))
    with pytest.raises(ValueError, match="r must have 32 bytes, got 3"):
        _core.ed25519_holds(bytes(32), bytes(3), bytes(32), bytes(32))
