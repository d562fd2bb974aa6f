"""Random lives at the command line, at once on SQLite and on PostgreSQL: every command that signs as an actor.

Both backends must do the same, in the same words, event for event. Whatever was recorded must be legal: `verify log`
says so, and the reference with its lawbook, as far as they know the events. What was said about a past must still be
said at the end, also by views that are made anew.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ledger.application import Ledger
from ledger.emission import build_payload
from ledger.envelope import format_envelope, join_envelope, sign_payload
from ledger.home import Home
from ledger.stored import Row
from projections.catalogue import open_runner
from tests.cli.support import ORIGIN, Result, closing_stores, digest, run
from tests.faults.commandwords import ACTORS, HOLDERS, PEOPLE, TYPED, USUAL, Typist
from tests.faults.governedtwins import GovernedReference
from tests.faults.scorecard import Result as Scores
from tests.faults.twins import live
from tests.unit.authorisation import COMMANDS

#: Behind the first of these the reference knows no longer who may do what.
UNKNOWN = frozenset(
    f"muniment.{name}.v1" for name in (
        "actor.offboarded", "actor.responsible_changed", "entry.reaffirmed", "key.compromised", "key.rotated",
        "role.granted", "role.revoked", "subject.erased",
    )
)  # fmt: skip
QUESTIONS = (
    ("state",), ("inventory",), ("history", "model:m"), ("history", "model:m@1"), ("lineage", "model:m@1"),
    ("why", "model:m@1"), ("why", "deployment:prod/m"), ("impact", "dataset:raw@1"), ("state", "model:m"),
)  # fmt: skip
POLICY = """\
schema: muniment.checks/v1
title: Anything
checks:
- {{id: known, title: It is known, pass: {}, reason: Record something.}}
"""
SHEET = (
    "model,version,digest,owner,tier,environment,service,live_since\n"
    f"old,1,{digest('old')},p-author,low,prod,old,2024-01-01\n"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?")
_OWN = re.compile(r"\bp-[0-9a-z]{12}\b|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{8,64}\b|ed25519:[A-Za-z0-9+/=]{44}")


def _raw(key: str) -> bytes:
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
        self.ids: dict[str, list[str]] = {}
        self.type(*(("--ledger", url) if url else ()), "init", "--origin", ORIGIN, "--keys", "keys").good()

    def type(self, *words: object) -> Result:
        """Run a command here; ``{…}`` in it is replaced by what this ledger has."""
        with contextlib.chdir(self.folder), closing_stores():
            done = run(*(self._filled(str(word)) for word in words))
        assert 0 <= done.code <= 8, (done.command, done.code, done.err)
        assert "Traceback" not in done.err, done.err
        assert "bug in Muniment" not in done.err, done.err
        return done

    def _filled(self, word: str) -> str:
        if not word.startswith("{"):
            return word
        kind = word.strip("{}")
        return (self.ids.get(kind) or ["019b0000-0000-7000-8000-000000000000" if kind != "key" else "ab" * 32])[-1]

    def read(self) -> list[Row]:
        """The entries since the last time."""
        with Ledger.open(self.url) as ledger:
            new = ledger.recorder.rows(len(self.rows), 10_000)
        self.rows += new
        for row in new:
            kind = row.entry.type.removeprefix("muniment.").removesuffix(".v1")
            self.ids.setdefault(kind, []).append(row.entry.id)
            if kind in ("actor.enrolled", "key.enrolled") and row.payload is not None:
                key = _raw(json.loads(row.payload)["data"]["key"])
                self.ids.setdefault("key", []).append(hashlib.sha256(key).hexdigest())
        return new

    def plain(self, text: str) -> str:
        """A text in which what is this ledger's own is numbered in the order in which it appears, and no time is."""
        text = text.replace(str(self.folder), "FOLDER").replace(self.url, "URL")

        def number(found: re.Match[str]) -> str:
            return self._named.setdefault(found[0], f"<{len(self._named)}>")

        return _OWN.sub(number, _TIME.sub("TIME", text))

    def told(self, row: Row) -> tuple[Any, ...]:
        """What both ledgers must say of an entry."""
        entry = row.entry
        data = self.plain(json.dumps(json.loads(row.payload)["data"], sort_keys=True)) if row.payload else None
        names = (self.plain(name) for name in (entry.stream, entry.actor, entry.subject))
        return entry.index, *names, entry.revision, entry.type, len(entry.keys), data


class CommandedMachine(RuleBasedStateMachine):
    """The rules; a subclass knows a PostgreSQL."""

    postgres_url: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        fast = "/dev/shm" if Path("/dev/shm").is_dir() else None  # this is not about durability
        self._folder = Path(tempfile.mkdtemp(prefix="muniment-typed-", dir=fast))
        self._ends = contextlib.ExitStack()
        self._ends.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._ends.enter_context(mock.patch.dict(os.environ, self._environment()))
        self.desks: list[Desk] = []
        self.answers: dict[tuple[tuple[str, ...], int], list[str]] = {}
        self.counts: Counter[tuple[str, int]] = Counter()
        self.judged = 0

    def _environment(self) -> dict[str, str]:
        """A home of their own for both, and nothing of whoever runs this."""
        homes = {name: str(self._folder / name) for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
        return {**{name: "" for name in os.environ if name.startswith("MUNIMENT_")}, **homes}

    @initialize()
    def begin(self) -> None:
        for name, url in (("sqlite", None), ("postgres", type(self).postgres_url())):
            folder = self._folder / name
            folder.mkdir()
            self.desks.append(Desk(folder, url))
            self._files(self.desks[-1])
            self.desks[-1].read()
        for actor, how in PEOPLE.items():
            self.do("actor enrol", actor, *how)
        for desk in self.desks:
            self._late(desk)
        self.do("policy define", "policy:p@1", "policy.yaml", who="p-approver")
        self.do("record dataset", "dataset:raw@1", "--digest", "sha256:" + "0" * 64, who="trainer")
        self.do("record run", "run:r", "--input", "dataset:raw@1", who="trainer")

    def _files(self, desk: Desk) -> None:
        """What commands read."""
        shown = desk.type("admin", "rules", "show").good()
        rules = shown.json
        gated = {**rules, "name": "gated", "rules": [{**rule, "gate": "policy:p@1"} for rule in rules["rules"]]}
        files = {
            "rules.json": shown.out, "gated.json": json.dumps(gated), "policy.yaml": POLICY.format("input.size > 0"),
            "strict.yaml": POLICY.format("input.size > 40"), "models.csv": SHEET,
        }  # fmt: skip
        for name, text in files.items():
            (desk.folder / name).write_text(text)

    def _late(self, desk: Desk) -> None:
        """What a service signed some time ago and nobody has recorded."""
        home, ledgerid = Home.find(str(desk.folder)), desk.rows[0].entry.ledgerid
        payload, _ = build_payload(
            ledgerid=ledgerid, actor="trainer", type="run.completed", subject="run:night", data={},
            emitter="00000000-0000-4000-8000-0000000000aa", sequence=1,
        )  # fmt: skip
        signed = sign_payload(payload, [home.keystore(ledgerid).load("trainer")])
        (desk.folder / "late.json").write_bytes(format_envelope(signed))

    def do(self, command: str, *words: object, who: str | None = None) -> None:
        """One command, on both; what it did and said must be the same."""
        signer = ("--as", who) if who else ()
        done = [desk.type(*command.split(), *words, *signer, "-o", "json") for desk in self.desks]
        said = [
            (one.code, desk.plain(one.out), desk.plain(one.err)) for one, desk in zip(done, self.desks, strict=True)
        ]
        assert said[0] == said[1], (command, words, who, *said)
        logs = [[desk.told(row) for row in desk.read()] for desk in self.desks]
        assert logs[0] == logs[1], (command, words, who, *logs)
        self.counts[command, done[0].code] += 1

    # -- rules -----------------------------------------------------------------------------------

    @rule(command=st.sampled_from(sorted(TYPED)), who=st.sampled_from((*ACTORS, "root")), number=st.integers(0, 2**32))
    def anybody(self, command: str, who: str, number: int) -> None:
        self.do(command, *TYPED[command](Typist(random.Random(number))), who=who)

    @rule(typed=st.lists(st.tuples(st.sampled_from(sorted(TYPED)), st.integers(0, 2**32)), min_size=1, max_size=4))
    def who_may(self, typed: list[tuple[str, int]]) -> None:
        for command, number in typed:
            chance = random.Random(number)
            who = HOLDERS[chance.choice(COMMANDS[command].split())]
            self.do(command, *TYPED[command](Typist(chance)), who=who)

    @rule(steps=st.lists(st.tuples(st.sampled_from(USUAL), st.integers(0, 2**32)), min_size=4, max_size=12))
    def the_usual(self, steps: list[tuple[tuple[str, str], int]]) -> None:
        for (command, who), number in steps:
            self.do(command, *TYPED[command](Typist(random.Random(number))), who=who)

    @rule(question=st.sampled_from(QUESTIONS), back=st.integers(0, 12))
    def ask(self, question: tuple[str, ...], back: int) -> None:
        known = max(1, len(self.desks[0].rows) - back)
        now = self._answers(question, known)
        assert self.answers.setdefault((question, known), now) == now, (question, known)

    def _answers(self, question: tuple[str, ...], known: int) -> list[str]:
        done = [desk.type(*question, "--known-at", known, "-o", "json") for desk in self.desks]
        said = [desk.plain(one.out + one.err) for one, desk in zip(done, self.desks, strict=True)]
        assert (done[0].code, said[0]) == (done[1].code, said[1]), (question, known, *said)
        return [one.out + one.err for one in done]

    # -- at the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        with self._ends:
            for desk in self.desks:
                checked = desk.type("verify", "log", "-o", "json").good().json
                assert checked["findings"] == []
                self._rebuild(desk)
            for (question, known), told in self.answers.items():
                assert self._answers(question, known) == told, (question, known)
            if self.desks:
                self._ask_the_reference(self.desks[0])

    @staticmethod
    def _rebuild(desk: Desk) -> None:
        with Ledger.open(desk.url) as ledger:
            runner = open_runner(ledger, desk.url)
            with contextlib.closing(runner.views):
                runner.catch_up()
                assert all(runner.rebuild().values()), "views made anew differ from those that grew"

    def _ask_the_reference(self, desk: Desk) -> None:
        """Whatever was recorded it records too, at the same place and with the same hash."""
        reference = GovernedReference(desk.rows[0].entry.ledgerid)
        for row in desk.rows:
            if row.entry.type in UNKNOWN or row.payload is None or row.signatures is None:
                break
            if row.entry.index == 0:
                self._believe(reference, row)
            (place,) = reference.append([join_envelope(row.payload, row.signatures)], row.entry.recorded_at)
            assert (place.index, place.leaf) == (row.entry.index, row.leaf_hash), row.entry
            self.judged += 1

    @staticmethod
    def _believe(reference: GovernedReference, created: Row) -> None:
        """Take the root keys that the first entry names for good."""
        assert created.payload is not None
        for text in json.loads(created.payload)["data"]["roots"]:
            reference.believe_root(_raw(text))


def commanded_on(postgres_url: Callable[[], str]) -> type[CommandedMachine]:
    """A machine that knows a PostgreSQL."""
    return type("Commanded", (CommandedMachine,), {"postgres_url": staticmethod(postgres_url)})


def commands(postgres_url: Callable[[], str], lives: int, steps: int, seed: int, *, shrink: bool = False) -> Scores:
    """Random lives at the command line.

    Args:
        postgres_url: gives the URL of a store that is not there yet.
        lives: how many.
        steps: rules in each, at most.
        seed: of everything random.
        shrink: whether to look for the shortest life that goes wrong.

    Returns:
        How many there were and what disagreed; how many commands were done, refused and never tried; how many entries
        the reference judged.
    """
    counts: Counter[tuple[str, int]] = Counter()
    judged: Counter[str] = Counter()

    def ended(machine: CommandedMachine) -> None:
        counts.update(machine.counts)
        judged["judged"] += machine.judged

    result = live(commanded_on(postgres_url), ended, lives, steps, seed, shrink=shrink)
    done = {command for command, code in counts if code == 0}
    result.figures["done"] = sum(count for (_, code), count in counts.items() if code == 0)
    result.figures["refused"] = sum(count for (_, code), count in counts.items() if code)
    result.figures["judged by the reference"] = judged["judged"]
    result.figures["never done"] = ", ".join(sorted(set(TYPED) - done))
    return result
