"""Rows for spreadsheets and pages: CSV (RFC 4180) and Markdown tables, from the objects that ``-o json`` prints.

A column is named by its path in the JSON: ``entry.subject``. The columns of a command are fixed, whatever it finds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["GRIDS", "Grid", "flat", "render"]

#: How a cell begins that a spreadsheet would run as a formula; the last four are the full-width forms it takes too.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - those are meant
#: A semicolon or tab separates cells where a locale or an import dialogue says so.
_QUOTED: Final = frozenset(',"\r\n;\t')
_MARKS: Final = str.maketrans(
    {**{mark: f"\\{mark}" for mark in "\\`*_[]|~"}, "<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": "<br>"}
)


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows and their columns.

    Attributes:
        columns: paths into each item, in order.
        items: the objects, one a row.
    """

    columns: Sequence[str]
    items: Iterable[Mapping[str, Any]]


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of names: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``; lists stay as they are."""
    found: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            found |= flat(item, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = item
    return found


def _at(item: Any, path: str) -> Any:
    if isinstance(item, Mapping):
        if path in item:
            return item[path]
        head, _, rest = path.partition(".")
        return _at(item.get(head), rest) if rest else None
    return None


def _words(value: Any) -> str:
    """What a cell says; numbers are left to `_number`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and not any(isinstance(item, Mapping | list | tuple) for item in value):
        return "; ".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False) if value else ""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return json.dumps(value) if _number(value) else _words(value)


def _csv_cell(value: Any, clean: Callable[[str], str]) -> str:
    if _number(value):
        return _text(value)
    text = clean(_words(value))
    if text.startswith(_FORMULA):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _QUOTED & set(text) else text


def _csv_line(cells: Iterable[Any], clean: Callable[[str], str]) -> str:
    return ",".join(_csv_cell(cell, clean) for cell in cells) + "\r\n"


def _md_line(cells: Iterable[Any], clean: Callable[[str], str]) -> str:
    return "| " + " | ".join(clean(_text(cell)).translate(_MARKS) for cell in cells) + " |\n"


#: Format: how it writes a line of cells.
GRIDS: Final[dict[str, Callable[[Iterable[Any], Callable[[str], str]], str]]] = {"csv": _csv_line, "md": _md_line}


def render(form: str, grid: Grid, clean: Callable[[str], str]) -> Iterator[str]:
    """Lines of a grid with their ends, the header first; each is made when it is asked for.

    Args:
        form: ``csv`` (UTF-8, CRLF; a cell that a spreadsheet would run gets an apostrophe) or ``md``.
        grid: what to write.
        clean: takes out what drives a terminal.
    """
    line = GRIDS[form]
    yield line(grid.columns, clean)
    if form == "md":
        yield "|" + " --- |" * len(grid.columns) + "\n"
    for item in grid.items:
        yield line((_at(item, column) for column in grid.columns), clean)
