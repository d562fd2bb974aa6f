"""One ledger at which commands are typed in a random life, and what is its own in what they say."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

from ledger.application import Ledger
from ledger.entry import format_time
from ledger.recorders import open_recorder
from ledger.recorders.units import Unit
from ledger.stored import Row
from tests.cli.support import ORIGIN, Result, closing_stores, run
from tests.contract.support import filler
from tests.faults.pastdeeds import Deed

_NOBODYS_ID = "019b0000-0000-7000-8000-000000000000"
#: Who is said to have written what is put in past every check.
INTRUDER = "filler"
#: A place for what is this ledger's own, in a word that is typed.
_PLACE = re.compile(r"\{([a-z_.]+)(?::(-?\d+))?\}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?")
#: How long something took or was away, from two times of the store's clock.
_TOOK = re.compile(r'"seconds\w*": -?[0-9.e-]+')
#: Where what was erased is kept nevertheless: each backend has places of its own.
_KEPT = re.compile(r'"kept_elsewhere": \[[^]]*\]')
_OWN = re.compile(
    r"ed25519:[A-Za-z0-9+/=]{44}|sealed:v1:[\w-]{22}:[\w-]+"  # a key; a sealed field
    r"|\bp-[0-9a-z]{12}\b|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{8,64}\b|(?<![\w/+-])[\w-]{22}(?![\w/+-])"
)


def raw_key(key: str) -> bytes:
    """The bytes of a public key as text."""
    return base64.b64decode(key.removeprefix("ed25519:"))


class Desk:
    """One ledger, and what is typed there.

    Args:
        folder: empty; the ledger's home is made there.
        url: of the store, in a schema of PostgreSQL; None for a SQLite file in the folder.
    """

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder / '.muniment' / 'ledger.db'}"
        self._named: dict[str, str] = {}
        self.rows: list[Row] = []
        self.deeds: list[Deed] = []
        self._ids: dict[str, list[str]] = {}
        self._keys: dict[int, str] = {}
        self.type(*(("--ledger", url) if url else ()), "init", "--origin", ORIGIN, "--keys", "keys").good()

    def type(self, *words: object) -> Result:
        """Run a command here; ``{…}`` in it is replaced by what this ledger has, see `commandwords`."""
        with contextlib.chdir(self.folder), closing_stores():
            done = run(*(self._filled(str(word)) for word in words))
        assert 0 <= done.code <= 8, (done.command, done.code, done.err)
        assert "Traceback" not in done.err, done.err
        assert "bug in Muniment" not in done.err, done.err
        return done

    def _filled(self, word: str) -> str:
        return _PLACE.sub(lambda found: self._own(found[1], found[2]), word)

    def _own(self, kind: str, number: str | None) -> str:
        """What this ledger has in a place of `commandwords`."""
        if kind == "ago":
            return format_time(time.time_ns() // 1000 - 1_000_000 * int(number or 0))
        if number is not None:
            entry = self.rows[int(number)].entry
            found = {"id": entry.id, "subject": entry.subject, "at": format_time(entry.recorded_at)}
            return {"key": self._keys.get(entry.index, ""), **found}[kind]
        if kind == "key":
            return [*self._keys.values(), "ab" * 32][-1]
        return (self._ids.get(kind) or [_NOBODYS_ID])[-1]

    def read(self) -> list[Row]:
        """The entries since the last time."""
        with Ledger.open(self.url) as ledger:
            new = ledger.recorder.rows(len(self.rows), 10_000)
        for row in new:
            self.rows.append(row)  # with what is in it now: it may be erased later
            if row.entry.actor != INTRUDER and row.payload is not None:
                self._note(row, json.loads(row.payload))
        return new

    def _note(self, row: Row, event: Any) -> None:
        kind = row.entry.type.removeprefix("muniment.").removesuffix(".v1")
        self._ids.setdefault(kind, []).append(row.entry.id)
        behalf = event.get("onbehalfof", "").removeprefix("urn:muniment:") or None
        self.deeds.append(
            Deed(row.entry.id, row.entry.actor, kind, row.entry.subject, event["data"], behalf, row.entry.index,
                 row.entry.recorded_at, row.entry.recorded_at)
        )  # fmt: skip
        if kind in ("actor.enrolled", "key.enrolled", "key.rotated"):
            self._keys[row.entry.index] = hashlib.sha256(raw_key(event["data"]["key"])).hexdigest()

    def put_in(self, number: int) -> int:
        """Put an entry that nobody signed into the store, past every check; returns its index."""
        recorder = open_recorder(self.url)
        (outcome,) = recorder.append([Unit(tuple(filler(1, number, actor=INTRUDER)))])
        recorder.close()
        assert isinstance(outcome, list)
        return outcome[0].index

    def plain(self, text: str) -> str:
        """A text in which what is this ledger's own is numbered in the order in which it appears, and no time is."""
        text = text.replace(str(self.folder), "FOLDER").replace(self.url, "URL")
        text = _KEPT.sub("KEPT", _TOOK.sub("TOOK", text))

        def number(found: re.Match[str]) -> str:
            return self._named.setdefault(found[0], f"<{len(self._named)}>")

        return _OWN.sub(number, _TIME.sub("TIME", text))

    def told(self, row: Row) -> tuple[Any, ...]:
        """What both ledgers must say of an entry."""
        entry = row.entry
        data = self.plain(json.dumps(json.loads(row.payload).get("data"), sort_keys=True)) if row.payload else None
        names = (self.plain(name) for name in (entry.stream, entry.actor, entry.subject))
        return entry.index, *names, entry.revision, entry.type, len(entry.keys), data
