"""What commands print, kept in files beside this one, with everything that differs from run to run named instead.

`UPDATE_SNAPSHOTS=1 pytest tests/cli/test_snapshots.py` writes them; read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_PATTERNS = {
    "hash": r"(?:sha(?:256|384|512):)?\b[0-9a-f]{64,128}\b",
    "uuid": r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
    "ledger": r"\b[0-9a-f]{32}\b",
    "actor": r"\bp-[a-z0-9]{12}\b",
    "key": r"\b[0-9a-f]{16}…",
    "time": r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?Z?)?",
    "vkey": r"(?<=\+)[0-9a-f]{8}(?:\+[A-Za-z0-9+/=]{44})?",
    "version": r"\b\d+\.\d+\.\d+\b",
    "root": r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=",
    "signature": r"[A-Za-z0-9+/]{60,}={0,2}",
}
_ALL = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS.items()))


class _Names:
    """The same value has the same name."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def _name(self, match: re.Match[str]) -> str:
        kind, value = str(match.lastgroup), match[0]
        if kind == "time":
            return "<time>"
        if value not in self._known:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[value] = f"<{kind} {self._counts[kind]}>"
        return self._known[value]

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item) for item in value]
        return _ALL.sub(self._name, value) if isinstance(value, str) else value


def compare(name: str, code: int, found: Any) -> None:
    """Compare what a command printed with what it printed when somebody last read it.

    Args:
        name: of the file.
        code: its exit code.
        found: its JSON.
    """
    text = json.dumps({"exit": code, "json": _Names().of(found)}, indent=1, ensure_ascii=False) + "\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no snapshot {name}: write it, and read it"
    assert json.loads(text) == json.loads(path.read_text(encoding="utf-8"))
