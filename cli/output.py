"""Printing: one object as text or JSON, many as lines or rows, tables for people, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cli.grid import GRIDS, Grid, flat, render

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from cli.app import App

__all__ = [
    "Grid",
    "clean",
    "console",
    "print_lines",
    "print_list",
    "print_record",
    "progress",
    "styled",
    "table",
    "to_json",
]

# What drives a terminal: C0, DEL and C1 controls, and the marks that turn the direction of writing.
_UNSEEN = (*range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROL = {code: None for code in (*range(32), *_UNSEEN) if code not in (9, 10)}
_ESCAPED = {code: f"\\u{code:04x}" for code in _UNSEEN}  # JSON itself escapes the others


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON for machines, in a stable order, without anything that drives a terminal."""
    return json.dumps(value, indent=indent, ensure_ascii=False, sort_keys=False).translate(_ESCAPED)


def clean(text: str) -> str:
    """Text from events without control characters, so that it cannot drive the terminal."""
    return text.translate(_CONTROL)


def styled(text: str, style: str = "") -> Text:
    """A line for a console: cleaned, and never read as markup."""
    from rich.text import Text

    return Text(clean(text), style=style)


def print_record(app: App, data: Any, text: str, grid: Grid | None = None) -> None:
    """Print one object.

    Args:
        app: the invocation.
        data: the object, for JSON.
        text: for people.
        grid: its rows, for CSV and Markdown; without them the object is one row.
    """
    if app.output == "text":
        click.echo(clean(text))
    elif app.output in GRIDS:
        row = flat(data)
        _print_grid(app, grid or Grid(tuple(row), [row]))
    else:
        click.echo(to_json(data, indent=2 if app.output == "json" else None))


def print_list(app: App, name: str, grid: Grid, show: Callable[[], None]) -> None:
    """Print a list that people get as a table.

    Args:
        app: the invocation.
        name: the member of the JSON object that holds the list.
        grid: the list.
        show: prints the table.
    """
    if app.output == "text":
        show()
    else:
        print_record(app, {name: list(grid.items)}, "", grid)


def print_lines(app: App, grid: Grid, text: Callable[[Any], str]) -> None:
    """Print many objects: a line each, or one JSON array.

    Args:
        app: the invocation.
        grid: the objects; each is printed as soon as it is there, except in one array.
        text: one of them for people.
    """
    if app.output == "json":
        click.echo(to_json(list(grid.items)))
    elif app.output in GRIDS:
        _print_grid(app, grid)
    else:
        for item in grid.items:
            click.echo(clean(text(item)) if app.output == "text" else to_json(item, indent=None))


def _print_grid(app: App, grid: Grid) -> None:
    for line in render(app.output, grid, clean):
        click.echo(line.encode(), nl=False)  # bytes: UTF-8 and line ends are the format's, not the terminal's


def console(app: App, *, err: bool = False) -> Console:
    """A rich console that obeys the colour settings and never guesses a width when piped."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else 160
    return Console(
        file=stream, no_color=app.no_color, highlight=False, markup=False, emoji=False, width=width, soft_wrap=False
    )


def table(app: App, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table for people."""
    from rich import box
    from rich.table import Table

    rows = list(rows)
    if not rows:
        return
    out = console(app)
    grid = Table(title=title, title_justify="left", box=box.SIMPLE if out.is_terminal else box.ASCII2, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(styled(cell) for cell in row))
    with out.capture() as capture:
        out.print(grid)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


@contextmanager
def progress(app: App, words: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr when it is a terminal; it appears with the second page of work."""
    if not sys.stderr.isatty() or app.output != "text":
        yield None
        return
    import time

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    words_column, rate_column = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
    columns = (words_column, BarColumn(), MofNCompleteColumn(), rate_column, TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns, console=console(app, err=True), transient=True) as bar:
        task = bar.add_task(words, total=None, visible=False, rate="")

        def advance(done: int, total: int) -> None:
            rate = f"{done / max(time.monotonic() - started, 0.001):,.0f}/s"
            bar.update(task, completed=done, total=total, visible=done < total, rate=rate)

        yield advance
