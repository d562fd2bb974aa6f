"""A token of this test's own, in software: SoftHSM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pkcs11
import pytest

MISSING = "keys on tokens are tested with SoftHSM: apt-get install softhsm2"
PIN = "canary-7f3a1b2c"  # looked for in everything that is printed
_LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib64/libsofthsm2.so")


@pytest.fixture(scope="session")
def library() -> str:
    """SoftHSM's library. Its absence is a failure: a way to keep keys that nobody tried is only a claim."""
    found = [path for path in (os.environ.get("SOFTHSM2_LIBRARY", ""), *_LIBRARIES) if path and Path(path).exists()]
    if not found or shutil.which("softhsm2-util") is None:
        pytest.fail(MISSING, pytrace=False)
    return found[0]


@pytest.fixture(scope="session")
def token_folder(library: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where this session's tokens are: the library reads its settings once a process."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    yield folder
    del os.environ["SOFTHSM2_CONF"]


class Token:
    """A token, and the keys on it.

    Args:
        library: path of the PKCS#11 library.
        label: name of the token.
        pin_file: file with its PIN.
    """

    def __init__(self, library: str, label: str, pin_file: Path) -> None:
        self.library, self.label, self.pin_file = library, label, pin_file

    def uri(self, key: str, *, pin: bool = True) -> str:
        source = f"&pin-source=file:{self.pin_file}" if pin else ""
        return f"pkcs11:token={self.label};object={key}?module-path={self.library}{source}"

    def make(self, *keys: str) -> None:
        """Make Ed25519 keys, in a process of its own: as an HSM's own tool would."""
        code = """
import sys, pkcs11
from pkcs11 import Attribute, KeyType, Mechanism
library, label, pin, *keys = sys.argv[1:]
with pkcs11.lib(library).get_token(token_label=label).open(user_pin=pin, rw=True) as session:
    curve = {Attribute.EC_PARAMS: b"\\x13\\x0cedwards25519"}  # PrintableString, PKCS#11 3.0 6.3.3
    for key in keys:
        parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
        parameters.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, label=key, id=key.encode(), store=True)
"""
        subprocess.run([sys.executable, "-c", code, self.library, self.label, PIN, *keys], check=True, timeout=60)

    def destroy(self) -> None:
        """The token is dead: everything on it is gone."""
        subprocess.run(
            ["softhsm2-util", "--delete-token", "--token", self.label], check=True, capture_output=True, timeout=60
        )


@pytest.fixture
def new_token(library: str, token_folder: Path, tmp_path: Path) -> Callable[[str], Token]:
    """Makes a token with a name of its own and some keys on it."""

    def make(name: str, *keys: str) -> Token:
        label = f"{name}-{tmp_path.name[-12:]}"
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "so-pin-1"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        pin_file = tmp_path / f"{name}.pin"
        pin_file.write_text(PIN + "\n")
        pin_file.chmod(0o600)
        found = Token(library, label, pin_file)
        found.make(*keys)
        pkcs11.lib(library).reinitialize()  # SoftHSM looks for tokens when it begins, as if they were plugged in
        return found

    return make


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work
