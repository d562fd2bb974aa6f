from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ledger.errors import AuthenticationError, ConfigurationError, InputError
from ledger.keys import _SMALL_ORDER, Ed25519Signer, PublicKey, format_public_key, parse_public_key

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())
SIGNER = Ed25519Signer.from_seed(bytes(32))


@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: case["label"])
def test_vectors(case):
    public = Ed25519Signer.from_seed(bytes.fromhex(case["seed"])).public
    assert public.raw.hex() == case["raw"]
    assert public.keyid == case["keyid"] == hashlib.sha256(public.raw).hexdigest()
    assert format_public_key(public) == case["text"]
    assert parse_public_key(case["text"]) == public


def test_rfc_8032_test_1():
    # RFC 8032 7.1, TEST 1
    signer = Ed25519Signer.from_seed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert signer.public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = signer.sign(b"")
    assert signature.hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    signer.public.verify(signature, b"")


def test_a_signature_verifies_only_as_it_is():
    signature = SIGNER.sign(b"message")
    SIGNER.public.verify(signature, b"message")
    other = Ed25519Signer.generate().public
    for key, sig, message in [
        (SIGNER.public, signature, b"messagE"),
        (SIGNER.public, signature, b""),
        (SIGNER.public, signature[:-1], b"message"),
        (SIGNER.public, signature + b"\0", b"message"),
        (SIGNER.public, b"", b"message"),
        (SIGNER.public, bytes(64), b"message"),
        (other, signature, b"message"),
    ]:
        with pytest.raises(AuthenticationError, match=key.keyid):
            key.verify(sig, message)


@pytest.mark.parametrize("bit", range(0, 512, 7))
def test_every_flipped_bit_is_noticed(bit):
    signature = bytearray(SIGNER.sign(b"message"))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(AuthenticationError):
        SIGNER.public.verify(bytes(signature), b"message")


def test_a_second_spelling_of_a_signature_is_refused():
    # S + L is the same scalar: RFC 8032 5.1.7 refuses it, or one event would have two valid envelopes.
    signature = SIGNER.sign(b"message")
    order = 2**252 + 27742317777372353535851937790883648493
    other = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(AuthenticationError):
        SIGNER.public.verify(signature[:32] + other.to_bytes(32, "little"), b"message")


GOOD = format_public_key(SIGNER.public)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519",
        GOOD.removeprefix("ed25519:"),
        GOOD.replace("ed25519", "Ed25519"),
        GOOD.replace("ed25519", "rsa"),
        GOOD.rstrip("="),
        GOOD + "=",
        GOOD + "\n",
        GOOD.replace(":", ": "),
        GOOD[:-2] + chr(ord(GOOD[-2]) + 1) + "=",  # unused bits set
        "ed25519:" + "-_" * 21 + "A=",
        "ed25519:AAAA",
        "ed25519:é",
    ],
    ids=ascii,
)
def test_other_spellings_of_a_key_are_refused(text):
    with pytest.raises(InputError):
        parse_public_key(text)


def test_the_reserved_algorithm_is_named_in_the_refusal():
    with pytest.raises(InputError, match="ecdsa-p256 is reserved"):
        parse_public_key("ecdsa-p256:BAAA")
    with pytest.raises(InputError, match="ecdsa-p256 is reserved"):
        PublicKey("ecdsa-p256", bytes(33))


# The field and curve of RFC 8032 5.1, enough to show that the list of refused keys is right and complete.
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def _add(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = one, two
    k = D * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def _point(y: int) -> tuple[int, int] | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x, y) if x * x % P == square else None


def test_the_refused_points_are_exactly_those_of_small_order():
    # Every point times the odd group order has an order dividing 8; many points give all of them.
    order = 2**252 + 27742317777372353535851937790883648493
    found = set()
    for y in range(2, 60):
        point = _point(y)
        if point is None:
            continue
        result, power = (0, 1), point
        for bit in range(order.bit_length()):
            if order >> bit & 1:
                result = _add(result, power)
            power = _add(power, power)
        found.add(result[1])
    encodings = {value.to_bytes(32, "little") for y in found for value in (y, y + P) if value < 2**255}
    assert len(found) == 5  # eight points, five y-coordinates
    assert encodings == _SMALL_ORDER


@pytest.mark.parametrize("raw", sorted(_SMALL_ORDER), ids=lambda raw: raw.hex()[:6])
@pytest.mark.parametrize("sign", [0, 0x80])
def test_a_key_under_which_anything_verifies_is_refused(raw, sign):
    with pytest.raises(InputError, match="small order"):
        PublicKey("ed25519", raw[:-1] + bytes([raw[-1] | sign]))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_wrong_lengths(length):
    with pytest.raises(InputError):
        PublicKey("ed25519", b"\x05" * length)
    with pytest.raises(InputError):
        Ed25519Signer.from_seed(b"\x05" * length)


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_private_key_comes_back_from_pem(passphrase):
    pem = SIGNER.to_pem(passphrase)
    assert (b"ENCRYPTED" in pem) == (passphrase is not None)
    again = Ed25519Signer.from_pem(pem, passphrase)
    assert again.public == SIGNER.public
    assert again.sign(b"x") == SIGNER.sign(b"x")


def test_pem_refusals():
    readable, encrypted = SIGNER.to_pem(None), SIGNER.to_pem(b"right")
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data, passphrase, message in [
        (encrypted, b"wrong", "wrong passphrase"),
        (encrypted, None, "is encrypted"),
        (readable, b"right", "not encrypted"),
        (b"", None, "not a private key"),
        (readable[:60], None, "not a private key"),
        (other, None, "not an Ed25519 key"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            Ed25519Signer.from_pem(data, passphrase)
    with pytest.raises(ConfigurationError):
        SIGNER.to_pem(b"")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_openssl_reads_our_pem(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(SIGNER.to_pem(b"secret"))
    command = ["openssl", "pkey", "-in", path, "-passin", "pass:secret", "-pubout", "-outform", "DER"]
    der = subprocess.run(command, check=True, capture_output=True).stdout
    assert der[-32:] == SIGNER.public.raw


def test_generated_keys_differ_and_nothing_shows_the_private_part():
    one, two = Ed25519Signer.generate(), Ed25519Signer.generate()
    assert one.public != two.public
    secret = one.private_key.private_bytes_raw()
    assert secret.hex() not in repr(one)
    assert repr(secret) not in repr(one)
