"""Random lives at the command line, at once on SQLite and on PostgreSQL: every command that signs as an actor.

Both backends must do the same, in the same words, event for event. Whatever was recorded must be legal: `verify log`
says so, and the reference with its lawbook, as far as they know the events. What was said about a past must still be
said at the end, also by views that are made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from ledger.application import Ledger
from ledger.emission import build_payload
from ledger.envelope import format_envelope, join_envelope, sign_payload
from ledger.home import Home
from ledger.stored import Row
from projections.catalogue import open_runner
from tests.cli.support import digest
from tests.faults.commandsteps import UNSETTLING, Scene, next_step
from tests.faults.commandwords import ACTORS, HOLDERS, PEOPLE, TYPED, Typist
from tests.faults.desk import INTRUDER, Desk, raw_key
from tests.faults.governedtwins import GovernedReference
from tests.faults.scorecard import Result as Scores
from tests.faults.scorecard import count_each
from tests.faults.stages import Stages
from tests.faults.twins import Life, live
from tests.unit.authorisation import COMMANDS

#: Behind the first of these the reference knows no longer who may do what.
UNKNOWN = frozenset(
    f"muniment.{name}.v1" for name in (
        "actor.offboarded", "actor.responsible_changed", "entry.reaffirmed", "key.compromised", "key.rotated",
        "role.granted", "role.revoked", "subject.erased",
    )
)  # fmt: skip
#: All commands that take two clocks.
QUESTIONS = (
    ("state",), ("inventory",), ("history", "model:m"), ("history", "deployment:prod/m"), ("lineage", "model:m@1"),
    ("why", "model:m@1"), ("why", "deployment:prod/m"), ("impact", "dataset:raw@1"), ("state", "model:m"),
    ("diff", "model:m@1", "model:m@2"), ("timeline", "incident:1"), ("waiver", "list"),
    ("report", "generate", "control-assessment"),
)  # fmt: skip
#: What a life goes on with, each more in some lives and less in others.
_WAYS = ("anybody", "who may", "ask", "release", "second thoughts", "watching", "watching", "people")
#: What `watch` records where promises are broken and kept again.
WATCHED = (
    "deployment.held", "notification.failed", "notification.sent", "rollback.authorised", "slo.breached",
    "slo.recovered",
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


class CommandedMachine(Life):
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
        self.answers: dict[tuple[tuple[str, ...], int, int | None], list[tuple[int, str]]] = {}
        self.counts: Counter[tuple[str, int]] = Counter()
        self.watched: Counter[str] = Counter()
        self.judged = 0
        self.settled = 0
        self.inclined: list[float] = []
        self.voids: list[int] = []

    def _environment(self) -> dict[str, str]:
        """A home of their own for both, and nothing of whoever runs this."""
        homes = {name: str(self._folder / name) for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
        return {**{name: "" for name in os.environ if name.startswith("MUNIMENT_")}, **homes}

    @initialize(settled=st.sampled_from((0, 60, 90)), number=st.integers(0, 2**32))
    def begin(self, settled: int = 0, number: int = 0) -> None:
        """Make both ledgers; until they have so many entries, nothing is done that the reference does not know."""
        chance = self.chance(number)
        self.settled, self.inclined = settled, [0.2 + chance.random() for _ in _WAYS]
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
        if command == "watch":
            self.watched.update(deed.kind for deed in self.desks[0].deeds[len(self.desks[0].deeds) - len(logs[0]) :])

    # -- rules -----------------------------------------------------------------------------------

    numbers = st.integers(0, 2**32)

    def _chance(self, number: int) -> random.Random:
        return self.chance(number, len(self.desks[0].rows), self.counts.total())

    def _may_come(self, command: str) -> bool:
        return command not in UNSETTLING or len(self.desks[0].rows) >= self.settled

    @rule(number=numbers)
    def live_on(self, number: int) -> None:
        """One rule for all: Hypothesis leaves rules out of a life, and what is left of one is often nothing."""
        chance = self._chance(number)
        way = chance.choices(_WAYS, self.inclined)[0]
        match way:
            case "anybody":
                self._type(chance.choice(sorted(TYPED)), chance.choice((*ACTORS, "root")), chance)
            case "who may":
                for command in chance.sample(sorted(TYPED), 3):
                    self._type(command, HOLDERS[chance.choice(COMMANDS[command].split())], chance)
            case "ask":
                self.ask(chance.choice(QUESTIONS), chance.randrange(13), chance.choice((None, None, 0, 9)))
            case _:
                self._steps(way, chance)

    def _type(self, command: str, who: str | None, chance: random.Random) -> None:
        if self._may_come(command):
            self.do(command, *TYPED[command](Typist(chance)), who=who)

    def _steps(self, mood: str, chance: random.Random) -> None:
        """What comes next, as far as things are; a part of it by somebody else, or about something else."""
        if mood == "people" and chance.random() < 0.1 and len(self.desks[0].rows) >= max(50, self.settled):
            self._an_intruder_writes()
        for _ in range(chance.randint(*((3, 8) if mood == "watching" else (1, 5)))):
            scene = Scene(self.desks[0].rows, Stages(self.desks[0].deeds), Typist(chance), self.voids)
            step = next_step(scene, mood, chance, self._done, self._may_come)
            who = chance.choice((*ACTORS, "root")) if chance.random() < 0.12 else step.who
            words = TYPED[step.command](Typist(chance)) if chance.random() < 0.08 else step.words
            self.do(step.command, *words, who=who)

    def _done(self, command: str) -> int:
        return self.counts[command, 0]

    def _an_intruder_writes(self) -> None:
        """Both stores get an entry that nobody signed; it changes nothing."""
        places = {desk.put_in(len(self.voids)) for desk in self.desks}
        assert len({*places, *(desk.read()[-1].entry.index for desk in self.desks)}) == 1
        self.voids += places

    def ask(self, question: tuple[str, ...], back: int, earlier: int | None = None) -> None:
        """Of what was known so many entries ago, and of when the one was recorded that is so many earlier."""
        question, known = self._about(question), max(1, len(self.desks[0].rows) - back)
        at = None if earlier is None else max(0, known - 1 - earlier)
        now = self._answers(question, known, at)
        assert self.answers.setdefault((question, known, at), now) == now, (question, known, at)

    def _about(self, question: tuple[str, ...]) -> tuple[str, ...]:
        """What there is, where a question is about two versions or about an incident."""
        stages = Stages(self.desks[0].deeds)
        opened, versions = stages.of("incident.opened"), sorted(stages.registered)
        if question[0] == "timeline" and opened:
            return "timeline", opened[-1].subject
        return ("diff", *versions[:2]) if question[0] == "diff" and versions[1:] else question

    def ask_again(self) -> None:
        """Everything that was asked, once each at one of the two: they said the same."""
        for number, (asked, told) in enumerate(self.answers.items()):
            desk, said = self.desks[number % 2], told[number % 2]
            assert self._answer(desk, *asked) == said, (desk.url, *asked)

    def _answers(self, question: tuple[str, ...], known: int, at: int | None) -> list[tuple[int, str]]:
        done = [self._answer(desk, question, known, at) for desk in self.desks]
        said = [(code, desk.plain(told)) for (code, told), desk in zip(done, self.desks, strict=True)]
        assert said[0] == said[1], (question, known, at, *said)
        return done

    @staticmethod
    def _answer(desk: Desk, question: tuple[str, ...], known: int, at: int | None) -> tuple[int, str]:
        when = () if at is None else ("--at", f"{{at:{at}}}")
        done = desk.type(*question, "--known-at", known, *when, "-o", "json")
        return done.code, done.out + done.err

    # -- at the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        with self._ends:
            self._acknowledge()
            for desk in self.desks:
                checked = desk.type("verify", "log", "-o", "json").good().json
                assert checked["findings"] == []
                self._rebuild(desk)
            self.ask_again()
            if self.desks:
                self._ask_the_reference(self.desks[0])

    def _acknowledge(self) -> None:
        """What was put in fails every verification until somebody has seen it."""
        seen = {deed.data["index"] for deed in (self.desks[0].deeds if self.desks else ())
                if deed.kind == "ledger.entry_acknowledged"}  # fmt: skip
        left = sorted(set(self.voids) - seen)
        while left:
            for desk in self.desks:
                found = desk.type("verify", "log", "-o", "json")
                assert (found.code, [item["index"] for item in found.json["findings"]]) == (1, left), found.out
            self.do("admin acknowledge", left.pop(0), "--reason", "x", who="root")

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
            if row.entry.type in UNKNOWN or row.entry.actor == INTRUDER:
                break
            assert row.payload is not None
            assert row.signatures is not None
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
            reference.believe_root(raw_key(text))


def commanded_on(postgres_url: Callable[[], str]) -> type[CommandedMachine]:
    """A machine that knows a PostgreSQL."""
    return type("Commanded", (CommandedMachine,), {"postgres_url": staticmethod(postgres_url)})


def commands(
    postgres_url: Callable[[], str], lives: int, steps: int, seed: int, *, shrink: bool = False, every: bool = False
) -> Scores:
    """Random lives at the command line.

    Args:
        postgres_url: gives the URL of a store that is not there yet.
        lives: how many.
        steps: rules in each, at most.
        seed: of everything random.
        shrink: whether to look for the shortest life that goes wrong.
        every: whether there are so many lives that every command must succeed once.

    Returns:
        How many there were and what disagreed; how often each command succeeded and was refused, and which never
        succeeded; how many entries the reference judged.
    """
    found = Tally()
    result = live(commanded_on(postgres_url), found.add, lives, steps, seed, shrink=shrink)
    count_each(result, found.counts, TYPED, every=every)
    result.figures["judged by the reference"] = found.judged
    result.figures["lives with a decision by rule"] = found.decided
    result.figures["by watch"], result.figures["answered"] = dict(found.watched), dict(found.answered)
    missed = {f"watch: {kind}" for kind in WATCHED} - {f"watch: {kind}" for kind in found.watched}
    missed |= {question[0] for question in QUESTIONS} - set(found.answered)
    missed |= {"a decision by rule in one life of eight"} if 8 * found.decided < lives else set()
    result.zeros["not reached"] = 0
    if missed and every:
        result.failed("not reached", ", ".join(sorted(missed)), len(missed))
    return result


class Tally:
    """What came about in all lives together."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, bool]] = Counter()
        self.watched: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.judged = 0
        self.decided = 0

    def add(self, life: CommandedMachine) -> None:
        for (command, code), count in life.counts.items():
            self.counts[command, code == 0] += count
        self.watched += life.watched
        self.answered.update(asked[0][0] for asked, told in life.answers.items() if told[0][0] == 0)
        self.judged += life.judged
        self.decided += bool(life.watched["deployment.held"] or life.watched["rollback.authorised"])
