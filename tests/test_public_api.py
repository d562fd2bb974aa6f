"""What users import: complete, documented, and free until it is used."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import cli
import ledger
import muniment
import projections
import witness


def modules() -> Iterator[str]:
    for package in (ledger, projections, witness, cli):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            yield found.name


def test_everything_muniment_names_can_be_imported():
    assert sorted(muniment.__all__) == muniment.__all__
    for name in muniment.__all__:
        assert getattr(muniment, name) is not None
    assert muniment.__version__
    assert set(dir(muniment)) == {*muniment.__all__, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        muniment.nonsense  # noqa: B018


def test_importing_muniment_loads_nothing_of_the_ledger():
    code = "import sys, muniment; print([m for m in sys.modules if m.split('.')[0] in {heavy!r}])"
    heavy = {"ledger", "pydantic", "eventsourcing", "psycopg", "apsw", "cryptography", "click", "rich"}
    command = [sys.executable, "-c", code.replace("{heavy!r}", repr(heavy))]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_folder_named_ledger_beside_a_script_is_named_in_the_error(tmp_path):
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "__init__.py").write_text("")
    (tmp_path / "ledger" / "session.py").write_text("")
    (tmp_path / "script.py").write_text("import muniment\nmuniment.emit('a', 'b')\n")
    result = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode != 0
    assert "a file or folder named 'ledger' beside your script" in result.stderr


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_public_name_exists_and_is_documented(name: str):
    module: ModuleType = importlib.import_module(name)
    assert module.__doc__, f"{name} says nothing of itself"
    exported = getattr(module, "__all__", [])
    for public in exported:
        thing = getattr(module, public)
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__ == name:
            assert inspect.getdoc(thing), f"{name}.{public} is not documented"
    if not name.endswith("__init__") and len(inspect.getsource(module).splitlines()) > 5:
        assert exported, f"{name} does not say what is public"
