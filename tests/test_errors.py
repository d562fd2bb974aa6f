"""The error tree: every class has its place, its exit code and its HTTP status."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import errors
from ledger.errors import EXIT_CODES, HTTP_STATUS, LedgerError, exit_code, http_status

ROOT = Path(__file__).resolve().parent.parent


def subclasses(cls: type[LedgerError]) -> Iterator[type[LedgerError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from subclasses(child)


PUBLIC = [cls for cls in subclasses(LedgerError) if cls.__module__ == "ledger.errors"]


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_every_error_is_exported_drawn_and_in_both_tables(cls: type[LedgerError]):
    assert cls.__name__ in errors.__all__
    assert cls.__name__ in (errors.__doc__ or "")
    assert cls in EXIT_CODES
    assert cls in HTTP_STATUS


def test_a_subclass_elsewhere_takes_the_code_of_its_nearest_ancestor():
    class Local(errors.ConflictError):
        pass

    assert exit_code(Local("x")) == EXIT_CODES[errors.ConflictError] == 5
    assert http_status(Local("x")) == 409


def test_not_allowed_and_refused_by_a_gate_are_told_apart():
    assert exit_code(errors.PolicyError("x")) == 1
    assert exit_code(errors.NotAllowedError("x")) == 4


def test_the_readme_lists_every_exit_code():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = {int(number) for number in re.findall(r"^\|\s*(\d+)\s*\|", text, re.MULTILINE)}
    assert {0, *EXIT_CODES.values()} <= listed
