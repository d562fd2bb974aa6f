"""The foreign verifier, built once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MISSING = "the foreign checks need Go and golang.org/x/mod: apt-get install golang-go golang-golang-x-mod-dev"


class MissingToolError(Exception):
    """Go or its library is not installed, or does not compile our program."""


def build_verifier(folder: Path) -> Path:
    """Build ``verify.go``.

    Args:
        folder: for the program and the compiler's cache.

    Raises:
        MissingToolError: with what to install.
    """
    go = shutil.which("go")
    if go is None:
        raise MissingToolError(f"{MISSING} (there is no go command)")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": os.environ.get("GOPATH") or "/usr/share/gocode",  # where Debian and Ubuntu install Go libraries
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    command = [go, "build", "-o", str(folder / "verify"), str(Path(__file__).with_name("verify.go"))]
    result = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise MissingToolError(f"{MISSING}\n{result.stderr}")
    return folder / "verify"


@pytest.fixture(scope="session")
def verifier(tmp_path_factory) -> Path:
    """The Go program, built once. Its absence is a failure: formats that nobody else checked are only claims."""
    try:
        return build_verifier(tmp_path_factory.mktemp("go"))
    except MissingToolError as error:
        pytest.fail(str(error), pytrace=False)
