"""Private keys on disk: nobody else reads them, and a wrong passphrase says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.errors import ConfigurationError, InputError
from ledger.keys import Ed25519Signer
from ledger.keystore import Keystore

KEY = Ed25519Signer.from_seed(b"k" * 32)
OTHER = Ed25519Signer.from_seed(b"o" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "keys")


def test_what_is_saved_is_loaded(store: Keystore):
    path = store.save("p-one", KEY)
    assert store.load("p-one").public == KEY.public
    assert store.load("p-one").sign(b"x") == KEY.sign(b"x")
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert b"BEGIN PRIVATE KEY" in path.read_bytes()


def test_modes_do_not_depend_on_the_umask(store: Keystore):
    previous = os.umask(0)
    try:
        path = store.save("p-one", KEY)
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610, 0o601, 0o777])
def test_a_key_others_can_read_is_refused(store: Keystore, mode: int):
    path = store.save("p-one", KEY)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"{mode:04o}") as caught:
        store.load("p-one")
    assert "chmod 600" in caught.value.hint
    path.chmod(0o400)
    assert store.load("p-one").public == KEY.public


def test_a_passphrase(tmp_path: Path):
    folder = tmp_path / "keys"
    path = Keystore(folder).save("p-one", KEY, b"correct horse")
    assert b"ENCRYPTED" in path.read_bytes()
    assert Keystore(folder, lambda: b"correct horse").load("p-one").public == KEY.public
    with pytest.raises(ConfigurationError, match="wrong passphrase") as wrong:
        Keystore(folder, lambda: b"battery staple").load("p-one")
    assert str(path) in wrong.value.message
    for nobody in (None, lambda: None):
        with pytest.raises(ConfigurationError, match="no passphrase was given") as missing:
            Keystore(folder, nobody).load("p-one")
        assert "MUNIMENT_PASSPHRASE" in missing.value.hint


def test_a_passphrase_is_asked_only_for_what_is_encrypted(tmp_path: Path):
    def ask() -> bytes:
        raise AssertionError("asked")

    Keystore(tmp_path).save("p-one", KEY)
    assert Keystore(tmp_path, ask).load("p-one").public == KEY.public


def test_an_empty_passphrase_is_none(store: Keystore):
    with pytest.raises(ConfigurationError):
        store.save("p-one", KEY, b"")


def test_the_key_written_last_or_the_one_asked_for(store: Keystore):
    first = store.save("p-one", KEY)
    second = store.save("p-one", OTHER)
    os.utime(first, ns=(1, 1))
    assert store.load("p-one").public == OTHER.public
    assert store.load("p-one", keyid=KEY.public.keyid).public == KEY.public
    os.utime(second, ns=(0, 0))
    assert store.load("p-one").public == KEY.public
    with pytest.raises(ConfigurationError):
        store.load("p-one", keyid="f" * 64)


def test_owners_are_kept_apart(store: Keystore):
    for owner in ("a", "a.b", "a-b", "root", "checkpoint"):
        store.save(owner, Ed25519Signer.generate())
    assert [key.owner for key in store.list()] == sorted(["a", "a.b", "a-b", "root", "checkpoint"])
    assert store.has("a")
    assert not store.has("b")
    assert len({store.load(key.owner).public for key in store.list()}) == 5


def test_a_key_that_is_not_here(store: Keystore):
    assert store.list() == []
    with pytest.raises(ConfigurationError, match="p-one") as caught:
        store.load("p-one")
    assert caught.value.hint


def test_a_key_is_not_written_over(store: Keystore):
    store.save("p-one", KEY)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        store.save("p-one", KEY)
    assert store.load("p-one").public == KEY.public


@pytest.mark.parametrize("owner", ["../p-one", "a/b", "", ".hidden", "P-ONE", "a\0b", "a\n"])
def test_an_owner_is_no_path(store: Keystore, owner: str):
    with pytest.raises(InputError):
        store.save(owner, KEY)
    assert not store.folder.exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Keystore(tmp_path / "keys").save("p-one", KEY)
    assert Keystore(tmp_path / "keys").list() == []


@pytest.mark.parametrize("data", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_said(store: Keystore, data: bytes):
    path = store.save("p-one", KEY)
    path.write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        store.load("p-one")
    assert str(path) in caught.value.message


def test_a_key_that_cannot_be_read(store: Keystore):
    path = store.save("p-one", KEY)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        store.load("p-one")
    path.rmdir()
    path.symlink_to("nowhere")
    with pytest.raises(ConfigurationError):
        store.load("p-one")


def test_a_key_of_another_kind_is_said(store: Keystore):
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = store.save("p-one", KEY)
    path.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigurationError, match="Ed25519"):
        store.load("p-one")


def test_other_files_are_not_keys(store: Keystore):
    store.save("p-one", KEY)
    (store.folder / "notes.txt").write_text("x")
    (store.folder / "nodot.pem").write_text("x")
    assert [key.owner for key in store.list()] == ["p-one"]
    assert store.list()[0].keyid_prefix == KEY.public.keyid[:16]
