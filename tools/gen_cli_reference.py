"""Write docs/reference/cli.md from the commands' own help; with --check, fail when it differs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from writing import write_page

from cli.main import COMMANDS, cli

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"


def _help(path: list[str], command: click.Command) -> str:
    parent: click.Context | None = None
    for name in path[:-1]:
        parent = click.Context(click.Group(name), info_name=name, parent=parent)
    context = click.Context(command, info_name=path[-1], parent=parent, max_content_width=100, terminal_width=100)
    return command.get_help(context)


def _walk(path: list[str], command: click.Command) -> Iterator[str]:
    level = min(len(path) + 1, 4)
    yield f"{'#' * level} {' '.join(path)}\n\n```text\n{_help(path, command).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _walk([*path, name], command.commands[name])


def reference() -> str:
    """The page's text."""
    parts = [
        "# The command line\n",
        "Made by `tools/gen_cli_reference.py` from the commands' own help.\n",
        f"```text\n{_help(['muniment'], cli).rstrip()}\n```\n",
    ]
    context = click.Context(cli)
    for names in COMMANDS.values():
        for name in names:
            command = cli.get_command(context, name)
            if command is None:
                raise RuntimeError(f"the command {name} does not load")
            parts.extend(_walk(["muniment", name], command))
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(write_page(TARGET, reference(), "gen_cli_reference.py", (__doc__ or "").splitlines()[0]))
