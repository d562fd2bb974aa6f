"""What the generators of one page share: write it, or with --check say that it differs."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["write_page"]


def write_page(target: Path, text: str, tool: str, description: str) -> int:
    """Write a generated page, or compare it when ``--check`` is given on the command line.

    Args:
        target: the file.
        text: what it must hold.
        tool: the generator's file name, for the message.
        description: for ``--help``.

    Returns:
        Exit code: 1 when ``--check`` finds a difference.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the file differs")
    if not parser.parse_args().check:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return 0
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return 0
    print(f"docs/reference/{target.name} differs from what tools/{tool} makes: make schemas")
    return 1
