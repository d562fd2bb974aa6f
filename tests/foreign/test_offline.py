"""verify.py where there is Python and cryptography and nothing else, by the commands of the how-to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
#: cryptography and what it needs itself.
NEEDED = ("cryptography", "cffi", "_cffi_backend", "pycparser")


def bare_python(folder: Path) -> dict[str, str]:
    """The environment of a `python3` that finds only these packages."""
    packages, programs = folder / "packages", folder / "bin"
    packages.mkdir()
    programs.mkdir()
    for name in NEEDED:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            found = origin.parent if origin.name == "__init__.py" else origin
            (packages / found.name).symlink_to(found)
    python = programs / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -P "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return {"PATH": f"{programs}{os.pathsep}{os.defpath}", "PYTHONPATH": str(packages), "PYTHONNOUSERSITE": "1"}


def test_the_how_to_with_nothing_but_cryptography(tmp_path: Path):
    text = (ROOT / "docs" / "how-to" / "check-a-bundle-offline.md").read_text(encoding="utf-8")
    making, *checking = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    with_ours = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    maker = ["bash", "-euo", "pipefail", "-c", making]
    subprocess.run(maker, cwd=tmp_path, env=with_ours, check=True, capture_output=True, timeout=120)
    bare = bare_python(tmp_path)
    absent = subprocess.run(
        ["python3", "-c", "import ledger"], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
    )
    assert "No module named 'ledger'" in absent.stderr
    assert len(checking) == 2
    for block in checking:
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "verified" in done.stdout.lower()
    damaged = tmp_path / "tx.bundle"
    damaged.write_bytes(damaged.read_bytes().replace(b'"rationale"', b'"rationalf"').replace(b"AAA", b"AAB", 1))
    done = subprocess.run(
        ["bash", "-c", checking[0]], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.endswith("BAD\n")
