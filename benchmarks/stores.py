"""Where ledgers and baselines live during a run: one folder, one PostgreSQL server, both on the same disk."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from benchmarks.baselines import BarePostgres, BareSqlite, BareWriter
from benchmarks.events import Mint, Story, signal
from ledger.application import Ledger
from ledger.creation import NewLedger, create_ledger
from ledger.recorders.units import Unit

ORIGIN = "ledger.example/benchmark"


@dataclass(frozen=True)
class Made:
    """A ledger with its address and the keys that open it."""

    url: str
    new: NewLedger

    def open(self) -> Ledger:
        """Open it once more, as its first admin."""
        new = self.new
        return Ledger.open(self.url, actor=new.admin, signers=[new.admin_key], checkpoint_signer=new.checkpoint)


@dataclass
class Place:
    """One backend.

    Attributes:
        backend: ``sqlite`` or ``postgres``.
        folder: for files.
        dsn: the server, for PostgreSQL.
        mint: makes signed events.
    """

    backend: str
    folder: Path
    dsn: str
    mint: Mint
    names: list[str] = field(default_factory=list)
    _filled: dict[tuple[int, Story], Made] = field(default_factory=dict)

    def new_name(self) -> str:
        """A name for a file or schema that is not there yet."""
        name = f"bench_{secrets.token_hex(6)}"
        self.names.append(name)
        return name

    def new_ledger(self) -> Made:
        """An empty ledger: two entries."""
        name = self.new_name()
        if self.backend == "sqlite":
            url = f"sqlite:///{self.folder / name}.db"
        else:
            url = f"{self.dsn}{'&' if '?' in self.dsn else '?'}schema={name}"
        return Made(url, create_ledger(url, ORIGIN))

    def filled(self, size: int, story: Story = signal) -> Made:
        """A ledger of ``size`` entries that verifies; the same one for the same size and story during a run.

        It is filled through the recorder: that what is in it is legal was seen to by whoever made it.
        """
        if (size, story) not in self._filled:
            made = self.new_ledger()
            recorder = made.new.ledger.recorder
            for events in self.mint.stored(made.new, size - recorder.head().size, story):
                recorder.append([Unit(tuple(events))])
            made.new.ledger.checkpoint()
            self._filled[size, story] = made
        return self._filled[size, story]

    def bare(self) -> BareWriter:
        """An empty baseline."""
        name = self.new_name()
        return BareSqlite(self.folder / f"{name}.db") if self.backend == "sqlite" else BarePostgres(self.dsn, name)

    def close(self) -> None:
        """Close what is open and drop the schemas."""
        for made in self._filled.values():
            made.new.ledger.close()
        if self.backend == "postgres":
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                for name in self.names:
                    connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())
