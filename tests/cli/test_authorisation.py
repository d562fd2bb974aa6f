"""Every role and every command that writes: no wrong cell (`tests/unit/authorisation.py` is the table)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.recorders import open_recorder
from ledger.recorders.units import Unit
from tests.cli.support import Shop, digest, run
from tests.contract.support import filler
from tests.contract.tampering import remember_pure_results
from tests.unit.authorisation import COMMANDS, ROLES, allowed

MODEL = "model:tx@1"
LIGHT = ("--no-affects-people", "--no-personal-data", "--no-money-or-law", "--no-shared")
WAIVER = (
    "--model", "model:tx", "--env", "prod", "--owner", "p-next", "--reason", "x", "--control", "x", "--expires", "9d",
)  # fmt: skip

PROMISE = ("--monitor", "monitor:m", "--indicator", "ms", "--objective", "0.9", "--rule", "2:1h:5m:hold")
POLICY = """\
schema: muniment.checks/v1
title: Anything
checks:
- {id: known, title: It is known, pass: input.size > 0, reason: Record something.}
"""
EMITTER, ALIVE = "019b0000-0000-7000-8000-0000000000e1", "019b0000-0000-7000-8000-0000000000e2"


class Cells:
    """A ledger in which each command of the table is legal for whoever has the role; `command` makes one cell's words.

    Args:
        shop: a new ledger.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.count = 0
        for role in ROLES:
            if role not in ("admin", "root"):
                shop.enrol(f"only-{role}", role)
        run("actor", "enrol", "only-admin", "--kind", "person", "--role", "admin", "--as", "root").good()
        shop.enrol("p-author", "owner", "emitter")
        shop.enrol("p-next", "owner")
        shop.version(signer="p-author")
        self.late = shop.folder / "late.json"
        self._make_late("gone")
        self.target = self.service()
        self.suspect = self.stolen()
        self.held = self.hold()
        self.unkept = self.burning("unkept")
        self.rules = shop.folder / "rules.json"
        self.rules.write_bytes(run("admin", "rules", "show").good().stdout)
        self.policy = shop.folder / "policy.yaml"
        self.policy.write_text(POLICY)
        self.defined("1")
        run("incident", "open", "incident:1", "--title", "x").good()

    def _make_late(self, name: str) -> None:
        self.shop.enrol(name, "emitter")
        with self.shop.home.open_reader() as ledger:
            key = self.shop.home.keystore(ledger.ledgerid).load(name)
            encoded, _ = build_payload(
                ledgerid=ledger.ledgerid, actor=name, type="run.completed", subject="run:night", data={},
                emitter="00000000-0000-4000-8000-0000000000aa", sequence=1,
            )  # fmt: skip
        self.late.write_bytes(format_envelope(sign_payload(encoded, [key])))
        run("actor", "revoke", name, "--reason", "x").good()

    def name(self, what: str) -> str:
        self.count += 1
        return f"{what}-{self.count}"

    def service(self) -> str:
        """A service that can be acted upon."""
        name = self.name("target")
        run("actor", "enrol", name, "--kind", "service", "--role", "emitter", "--responsible", "p-author").good()
        return name

    def key_of(self, actor: str) -> str:
        keys = run("key", "list", "-o", "json").json["keys"]
        return next(str(key["keyid"]) for key in keys if key["actor"] == actor)

    def stolen(self) -> int:
        """Index of a suspect entry."""
        name = self.service()
        index = int(run("record", "run", "run:s", "--as", name, "-o", "json").good().json["index"])
        run("key", "compromised", self.key_of(name), "--since", index, "--reason", "x").good()
        return index

    def hold(self) -> str:
        """Id of a hold that stands and covers nothing here."""
        made = run("hold", "place", "nothing:*", "--yes", "--matter", "m", "--reason", "x", "-o", "json").good()
        return str(made.json["id"])

    def told(self, name: str) -> str:
        """A data subject about whom something was said."""
        run("emit", "external.observed", f"person:{name}", "-d", "system=x", "--as", "p-author").good()
        return f"person:{name}"

    def requested(self) -> None:
        run("request", MODEL, "--env", "prod", "--as", "p-author").good()

    def approved(self) -> tuple[str, ...]:
        """A version with a new approval that has a condition, and how it is told from others."""
        self.requested()
        done = run(
            "approve", MODEL, "--rationale", "x", "--condition", "c", "--as", "only-approver", "-o", "json"
        ).good()
        return MODEL, "--approval", done.json["id"]

    def quarantined(self, name: str) -> str:
        """A data set in quarantine."""
        run("quarantine", f"dataset:{name}", "--reason", "x", "--as", "p-author").good()
        return f"dataset:{name}"

    def urgent(self, name: str) -> str:
        """A deployment that was authorised in an emergency."""
        place = f"deployment:prod/{name}"
        run("authorise", place, "--model", MODEL, "--emergency", "--reason", "x", "--as", "only-deployer").good()
        return place

    def waiver(self, name: str) -> str:
        """A waiver that was asked for."""
        run("waiver", "request", "drift", *WAIVER, "--waiver", f"waiver:{name}", "--as", "p-author").good()
        return f"waiver:{name}"

    def burning(self, name: str) -> str:
        """A deployment that does not keep what is promised about it."""
        place, then = f"deployment:dev/{name}", datetime.now(UTC) - timedelta(hours=1)
        times = [(then + timedelta(minutes=minutes)).isoformat(timespec="seconds") for minutes in (0, 40, 50)]
        since, start, end = (text.replace("+00:00", "Z") for text in times)
        run("record", "deployment", place, "--model", MODEL, "--at", since, "--as", "only-deployer").good()
        run("slo", "define", place, "ms", *PROMISE, "--as", "only-deployer").good()
        body = ("-d", f"start={start}", "-d", f"end={end}", "-d", f"deployment={place}", "-d", "metric=ms")
        run(
            "emit", "monitor.window", "monitor:m", *body, "-d", "count=9", "-d", "good=0", "--as", "only-emitter"
        ).good()
        return place

    def sheet(self, name: str) -> Path:
        """A model that is live before it is in the log."""
        path = self.shop.folder / "models.csv"
        path.write_text(
            "model,version,digest,owner,tier,environment,service,live_since\n"
            f"{name},1,{digest(name)},p-next,low,prod,{name},2024-01-01\n"
        )
        return path

    def defined(self, version: str) -> str:
        """A version of a policy."""
        run("policy", "define", f"policy:p@{version}", self.policy).good()
        return f"policy:p@{version}"

    def void(self) -> int:
        """Index of a new void entry."""
        self.count += 1
        recorder = open_recorder(self.shop.url)
        (outcome,) = recorder.append([Unit(tuple(filler(1, self.count)))])
        recorder.close()
        assert isinstance(outcome, list)
        return outcome[0].index

    def command(self, command: str, *, good: bool) -> tuple[Any, ...]:
        """The words of a command, about something new where it will succeed."""
        name, why = self.name("x"), ("--reason", "x")
        target = self.service() if good and command.split(maxsplit=1)[0] in ("actor", "key") else self.target
        deployed = ("--model", MODEL)
        words: dict[str, Callable[[], tuple[Any, ...]]] = {
            "actor enrol": lambda: (name, "--kind", "person", "--role", "owner"),
            "actor delegate": lambda: ("p-next", "--until", "9d", *why),
            "actor grant": lambda: (target, "owner"),
            "actor offboard": lambda: (target, *why),
            "actor responsible": lambda: (target, "p-next", *why),
            "actor revoke": lambda: (target, *why),
            "actor ungrant": lambda: (target, "emitter", *why),
            "admin acknowledge": lambda: (self.void(), *why),
            "admin rules change": lambda: (self.rules, *why),
            "approve": lambda: (MODEL, "--rationale", "x"),
            "authorise": lambda: ("deployment:dev/tx", *deployed),
            "classify": lambda: (f"model:{name}", *LIGHT, "--rationale", "x"),
            "condition": lambda: (*self.approved(), 0),
            "emit": lambda: ("run.completed", f"run:{name}"),
            "emitter close": lambda: (EMITTER, "--last", 3),
            "emitter gap": lambda: (EMITTER, "--first", 2, "--last", 3, *why),
            "emitter heartbeat": lambda: (ALIVE, "--last", 3, "--interval", 60),
            "entry reaffirm": lambda: (self.stolen() if good else self.suspect, *why),
            "gate check": lambda: (MODEL, "--env", "prod", "--policy", "policy:p"),
            "policy define": lambda: (f"policy:p@{name}", self.policy),
            "policy retire": lambda: (self.defined(name) if good else "policy:p@1", *why),
            "quarantine": lambda: (f"dataset:{name}", *why),
            "release": lambda: (self.quarantined(name), "--rationale", "x"),
            "retire": lambda: (f"model:{name}@1", *why),
            "demote": lambda: (f"model:{name}@1", "--from", "prod", *why),
            "review": lambda: (self.urgent(name), "--verdict", "justified", "--rationale", "x"),
            "revoke": lambda: (*self.approved(), "--rationale", "x"),
            "waiver deny": lambda: (self.waiver(name), "--rationale", "x"),
            "waiver grant": lambda: (self.waiver(name), "--rationale", "x"),
            "waiver request": lambda: ("drift", *WAIVER, "--waiver", f"waiver:{name}"),
            "waiver revoke": lambda: (self.waiver(name), *why),
            "withdraw": lambda: (MODEL,),
            "hold place": lambda: (f"nothing:{name}", "--yes", "--matter", "m", *why),
            "hold release": lambda: (self.hold() if good else self.held, *why),
            "import inventory": lambda: (self.sheet(name), "--waivers-until", "9d", "--control", "x"),
            "incident action": lambda: ("incident:1", "--title", "x"),
            "incident cause": lambda: ("incident:1", "--category", "data", "--statement", "x"),
            "incident close": lambda: ("incident:1", "--summary", "x"),
            "incident mitigate": lambda: ("incident:1",),
            "incident note": lambda: ("incident:1", "x"),
            "incident open": lambda: (f"incident:{name}", "--title", "x"),
            "key compromised": lambda: (self.key_of(target), "--since", 0, *why),
            "key enrol": lambda: (target,),
            "key revoke": lambda: (self.key_of(target), *why),
            "key rotate": lambda: (target,),
            "record canary": lambda: ("deployment:dev/tx", *deployed, "--stage", 1, "--traffic", 0.1),
            "record snapshot": lambda: ("deployment:dev/tx", "--loaded", f"pod={digest(name)}"),
            "record dataset": lambda: (f"dataset:{name}@1", "--digest", digest(name)),
            "record deployment": lambda: ("deployment:dev/tx", *deployed),
            "record evaluation": lambda: (MODEL, "--metric", "auc=0.9", "--verdict", "pass"),
            "record late": lambda: (self.late, *why),
            "record rollback": lambda: ("deployment:dev/tx", *deployed),
            "record run": lambda: (f"run:{name}",),
            "record signal": lambda: ("monitor:m", "--metric", "psi", "--value", 0.5),
            "record version": lambda: (f"model:{name}@1", "--digest", digest(name), "--tier", "low"),
            "reject": lambda: (MODEL, "--rationale", "x"),
            "request-changes": lambda: (MODEL, "--change", "x"),
            "escalate": lambda: (MODEL, "--to-role", "approver", "--rationale", "x"),
            "request": lambda: (MODEL, "--env", "prod"),
            "subject erase": lambda: (self.told(name), "--basis", "b", *why),
            "rollback": lambda: (f"deployment:dev/{name}", "--to", MODEL),
            "slo define": lambda: (f"deployment:dev/{name}", "ms", *PROMISE),
            "watch": lambda: (self.burning(name) if good else self.unkept,),
        }
        if command in ("approve", "reject", "request-changes", "escalate"):
            self.requested()
        if command == "withdraw":
            run("request", MODEL, "--env", "prod", "--as", "only-owner", "--on-behalf-of", "only-emitter").good()
        return (*command.split(), *words[command]())


PARTS = 4  # each in a ledger of its own: every command reads all that came before it


@pytest.mark.parametrize("part", range(PARTS))
def test_every_cell(shop: Shop, monkeypatch: pytest.MonkeyPatch, part: int):
    """A denied command ends with 4 and leaves nothing but that it was; an allowed one is recorded and verifies."""
    remember_pure_results(monkeypatch)  # two hundred commands read the same rows
    cells = Cells(shop)
    wrong = []
    for command, row in islice(COMMANDS.items(), part, None, PARTS):
        for column in ROLES:
            good = allowed(row, column)
            words = cells.command(command, good=good)
            before = shop.size()
            actor = "root" if column == "root" else f"only-{column}"
            done = run(*words, "--as", actor)
            grown = any(kind != "muniment.decision.refused.v1" for kind in shop.types(before))
            if (done.code, grown) != ((0, True) if good else (4, False)):
                wrong.append((command, column, done.code, grown, done.err.strip()))
    assert wrong == []
    verified = run("verify", "log", "-o", "json")
    assert all("is void" in item["message"] for item in verified.json["findings"])
