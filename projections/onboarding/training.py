"""Cells of a sheet that say how a version was trained: the run, and the data that it read."""

from __future__ import annotations

from typing import Any, Final

from ledger.errors import InputError
from ledger.names import parse_name

__all__ = ["CELLS", "attached_run", "read_data", "run_of"]

#: The columns, as `columns.COLUMNS`.
CELLS: Final = (
    ("run", False, "run that trained it, as fraud-2023-11"),
    ("trained_at", False, "when that run ended, 2023-11-18; live_since by default"),
    ("training_data", False, "data sets that the run read, as claims@3 or claims@3=sha256:HEX, parted by semicolons"),
)
#: Why a run is put on record now.
_LATE: Final = "It was trained before the ledger was; this is what the sheet says."


def _named(kind: str, name: str) -> str:
    subject = f"{kind}:{name.removeprefix(kind + ':')}"
    parse_name(subject)
    return subject


def run_of(cell: str) -> str:
    """The run that a cell names, empty when it names none.

    Raises:
        InputError: it is no name.
    """
    subject = _named("run", cell) if cell else ""
    if "@" in subject:
        raise InputError(f"a run has no version: {cell!r}")
    return subject


def read_data(cell: str) -> list[tuple[str, str]]:
    """The data sets that a cell names, each with its digest; empty where that is not said.

    Raises:
        InputError: one of them is no name of a version, or stands there twice.
    """
    found: dict[str, str] = {}
    for part in (part.strip() for part in cell.split(";")):
        name, _, digest = part.partition("=")
        if not part:
            continue
        subject = _named("dataset", name.strip())
        if "@" not in subject:
            raise InputError(f"{part!r} names no version of a data set")
        if subject in found:
            raise InputError(f"{subject} stands there twice")
        found[subject] = digest.strip()
    return list(found.items())


def attached_run(data: list[tuple[str, str]], made: tuple[str, str]) -> dict[str, Any]:
    """Body of the `run.attached` that puts a run on record which read these data sets, and made this version.

    There is one for each version that it made, so that a sheet to which another one is added says nothing again.
    """
    inputs = [
        {"role": "input", "subject": subject, **({"digest": digest} if digest else {})} for subject, digest in data
    ]
    outputs = [{"role": "output", "subject": made[0], "digest": made[1]}]
    return {"reason": _LATE, "status": "completed", "inputs": inputs, "outputs": outputs}
