"""What is distributed: the wheel holds our packages and nothing else, and works without the development tools."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    (found,) = target.glob("muniment-*.whl")
    return found


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"muniment", "ledger", "projections", "cli"}
    for package in ("muniment", "ledger", "projections", "cli"):
        assert f"{package}/py.typed" in names
    assert not [name for name in names if "test" in name or name.endswith((".pem", ".db"))]


def test_the_wheel_works_without_development_tools(wheel: Path, tmp_path: Path):
    """Run-time dependencies are taken from where the tests run, so that this needs no network."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    (site,) = (environment / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    needed = tmp_path / "needed"
    needed.mkdir()
    _link_runtime_dependencies(needed)
    (site / "needed.pth").write_text(f"{needed}\n")
    work = tmp_path / "work"
    work.mkdir()
    python = environment / "bin" / "python"
    run = [str(python), "-c", "from cli.main import main; main()"]
    isolated = {**os.environ, "PYTHONPATH": ""}
    for arguments in (["--help"], ["init", "--origin", "example.com/wheel"], ["verify", "log"]):
        result = subprocess.run([*run, *arguments], capture_output=True, text=True, check=False, cwd=work, env=isolated)
        assert result.returncode == 0, result.stderr
    quickstart = [str(python), str(ROOT / "examples" / "quickstart.py")]
    result = subprocess.run(quickstart, capture_output=True, text=True, check=False, cwd=work, env=isolated)
    assert result.returncode == 0, result.stderr


def _link_runtime_dependencies(target: Path) -> None:
    """Link only what the wheel's metadata asks for, with what that asks for in turn."""
    from importlib.metadata import PackageNotFoundError, distribution

    from packaging.requirements import Requirement

    todo, seen = [("muniment", frozenset[str]())], set[tuple[str, frozenset[str]]]()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # needed on other systems only
        for text in found.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                todo.append((requirement.name.lower(), frozenset(requirement.extras)))
        if name == "muniment":
            continue
        for file in found.files or ():
            top = file.parts[0]
            source = Path(str(found.locate_file(top)))
            if top != ".." and source.exists() and not (target / top).exists():
                (target / top).symlink_to(source)
