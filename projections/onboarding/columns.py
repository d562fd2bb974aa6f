"""Columns of the sheet of models that are taken in, and its cells as they stand in the file."""

from __future__ import annotations

import csv
import io
from difflib import get_close_matches
from typing import Final

from ledger.errors import InputError
from projections.onboarding.training import CELLS

__all__ = ["COLUMNS", "EXAMPLE", "MEANING", "NAMES", "check_header", "read_table", "template"]

#: Column, whether every row needs it, and what stands there.
COLUMNS: Final = (
    ("model", True, "name of the model, as fraud or payments/fraud"),
    ("version", True, "version that exists or is live"),
    ("digest", False, "sha256:HEX of its bytes; this or file"),
    ("file", False, "file with its bytes, relative to the sheet; it is read for its digest and not copied"),
    ("owner", True, "actor who answers for it; enrolled before"),
    ("tier", True, "low, medium or high"),
    ("environment", False, "where it is live, for example prod; with service and live_since"),
    ("service", False, "the service it is live in"),
    ("live_since", False, "since when, 2024-03-01 or 2024-03-01T08:00:00Z; the best date that is known"),
    ("control", False, "what makes up for what is missing; the command's --control by default"),
    ("on_call", False, "actor who is called when it burns; enrolled before"),
    ("runbook", False, "where it is written what to do; with on_call"),
    ("title", False, "its name for people"),
    ("purpose", False, "what it is for"),
    ("accountable", False, "who answers for it before the business"),
    ("business_unit", False, "which part of the business uses it"),
    ("uri", False, "where its bytes are"),
    ("vendor", False, "who made it, when somebody else did; with product"),
    ("product", False, "the vendor's name for it"),
    ("release", False, "the vendor's release"),
    ("contract", False, "the contract it is used under"),
    ("unknown", False, "what the vendor does not say, parted by semicolons"),
    *CELLS,
)  # fmt: skip
EXAMPLE: Final = {
    "model": "payments/fraud", "version": "2023-11", "digest": "sha256:" + "0" * 64, "owner": "p-owner",
    "tier": "high", "environment": "prod", "service": "fraud", "live_since": "2023-11-20",
    "control": "an analyst looks at every refusal", "on_call": "p-owner", "runbook": "https://wiki.example/fraud",
    "title": "Card fraud", "purpose": "Refuses card payments that look stolen", "run": "fraud-2023-11",
    "trained_at": "2023-11-18", "training_data": "card-payments@2023-10",
}  # fmt: skip
NAMES: Final = tuple(name for name, _, _ in COLUMNS)
MEANING: Final = {name: what for name, _, what in COLUMNS}


def read_table(data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read the cells of a sheet.

    Args:
        data: CSV, UTF-8, with commas, or with semicolons where the header has no comma.

    Returns:
        Names of the columns, and the cells of each row with its line.

    Raises:
        InputError: it is no such table.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the sheet is no UTF-8 text: byte {error.start}", hint="Save it as CSV UTF-8.") from error
    head = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in head and "," not in head else ",", strict=True
    )
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, [cell.strip() for cell in cells]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"line {line} of the sheet is no CSV: {error}", hint="Quote cells that hold commas or quotes."
        ) from error
    if len(rows) < 2:
        raise InputError("the sheet holds no rows", hint="Start from: muniment import template > models.csv")
    return rows[0][1], rows[1:]


def check_header(header: list[str]) -> None:
    """Refuse a header that names a column twice or one that there is not, or leaves one out that is needed.

    Raises:
        InputError: with what is meant, or where to start.
    """
    for name in header:
        if name not in NAMES:
            near = get_close_matches(name, NAMES, n=1)
            raise InputError(f"line 1: there is no column {name!r}" + (f"; is {near[0]} meant?" if near else ""),
                             hint="The columns are: " + ", ".join(NAMES))  # fmt: skip
        if header.count(name) > 1:
            raise InputError(f"line 1: the column {name} stands there twice", hint="Leave one out.")
    missing = [name for name, needed, _ in COLUMNS if needed and name not in header]
    if missing:
        raise InputError(
            f"line 1: the column {missing[0]} is missing", hint="Start from: muniment import template > models.csv"
        )


def template() -> str:
    """A sheet to start from: the header and a row that shows what is meant."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, NAMES, lineterminator="\r\n")
    writer.writeheader()
    writer.writerow(EXAMPLE)
    return out.getvalue()
