"""What the generators share: write files, or with --check say which differ."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["write_files", "write_page"]

_ROOT = Path(__file__).resolve().parents[1]


def write_files(
    folder: Path, wanted: Mapping[str, bytes], tool: str, description: str, *, there: Iterable[str] = ()
) -> int:
    """Write generated files, or compare them when ``--check`` is given on the command line.

    Args:
        folder: where they are.
        wanted: what each must hold, by its path in the folder.
        tool: the generator's file name, for the message.
        description: for ``--help``.
        there: paths of what is in the folder, where nothing else may be.

    Returns:
        Exit code: 1 when ``--check`` finds a difference.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file differs")
    check = parser.parse_args().check
    paths = {name: folder / name for name in wanted}
    differing = [name for name, path in paths.items() if not path.exists() or path.read_bytes() != wanted[name]]
    if check:
        odd = [*differing, *(name for name in there if name not in wanted)]
        for name in odd:
            print(f"{(folder / name).relative_to(_ROOT)} differs from what tools/{tool} makes: make schemas")
        return 1 if odd else 0
    for name in differing:
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        paths[name].write_bytes(wanted[name])
    return 0


def write_page(target: Path, text: str, tool: str, description: str) -> int:
    """Write one generated page; see `write_files`."""
    return write_files(target.parent, {target.name: text.encode()}, tool, description)
