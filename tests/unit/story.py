"""A world told event by event, for the tests of what is legal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from ledger.creation import DEFAULT_RULES
from ledger.domain import (
    MemoryWorld,
    RecordedEvent,
    Verdict,
    judge,
    make_event,
)
from ledger.domain.independence import SEPARATION
from ledger.domain.signing import ROOT_ACTOR
from ledger.emission import build_payload
from ledger.errors import (
    LedgerError,
    PolicyError,
    fault_of,
)
from ledger.events.actors import ROLES
from ledger.events.ledgers import RuleSet
from ledger.keys import Ed25519Signer, format_public_key
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey
from ledger.payload import parse_payload
from tests.unit.memory_log import View
from tests.unit.unordered import Bytes, unordered

LEDGERID = "ab" * 16
ROOTS = [Ed25519Signer.from_seed(bytes([n]) * 32) for n in (1, 2, 3)]
VKEY = format_vkey(
    VerifierKey("ledger.example/unit", TYPE_ED25519, Ed25519Signer.from_seed(b"checkpoint".ljust(32)).public.raw)
)
NOW = 1_700_000_000_000_000
MODEL, DIGEST = "model:m@1", "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32


def key_of(name: str) -> Ed25519Signer:
    return Ed25519Signer.from_seed(name.encode().ljust(32, b"."))


class Story:
    """A world told event by event; nothing is signed, because judging needs only the key ids."""

    def __init__(self, rules: RuleSet = DEFAULT_RULES, *, roots: int = 1, threshold: int = 1) -> None:
        self.view = View([])
        self.world = MemoryWorld(LEDGERID, self.view)
        self.count = 0
        self.now = NOW
        self.roots = ROOTS[:roots]
        body = {
            "ledgerid": LEDGERID, "origin": "ledger.example/unit", "vkey": VKEY, "threshold": threshold,
            "roots": [format_public_key(root.public) for root in self.roots], "rules": rules.model_dump(mode="json"),
        }  # fmt: skip
        self.tell(ROOT_ACTOR, "ledger.created", f"ledger:{LEDGERID}", body)
        self.enrol("p-admin", ROLES, by=ROOT_ACTOR)

    def event(
        self, actor: str, kind: str, subject: str, data: Mapping[str, Any] | None = None, *,
        keys: Sequence[str] | None = None, index: int | None = None, ledgerid: str = LEDGERID, **options: Any,
    ) -> RecordedEvent:  # fmt: skip
        self.count += 1
        payload, _ = build_payload(
            ledgerid=ledgerid, actor=actor, type=kind, subject=subject, data=data or {},
            emitter=str(UUID(int=1)), sequence=self.count, event_id=str(UUID(int=self.count)), **options,
        )  # fmt: skip
        if keys is None:
            keys = (
                sorted(root.public.keyid for root in self.roots)
                if actor == ROOT_ACTOR
                else [key_of(actor).public.keyid]
            )
        event = make_event(
            len(self.view.leaves) if index is None else index, parse_payload(payload), tuple(keys), self.now
        )
        read = {"payload": event.payload, "body": event.body, "subject": event.subject, "stream": event.stream}
        return replace(event, **{name: unordered(value) for name, value in read.items()})

    def judge(self, *args: Any, **options: Any) -> Verdict:
        return judge(self.world, self.event(*args, **options))

    def tell(self, *args: Any, **options: Any) -> RecordedEvent:
        """Judge, insist on valid, and fold."""
        event = self.event(*args, **options)
        verdict = judge(self.world, event)
        assert verdict.kind == "valid", verdict.error
        return self.fold(event)

    def fold(self, event: RecordedEvent) -> RecordedEvent:
        self.world.apply(event)
        self.view.leaves.append(Bytes(len(self.view.leaves).to_bytes(2) * 16))
        return event

    def enrol(self, actor: str, roles: Sequence[str], by: str = "p-admin", **body: Any) -> None:
        key = key_of(actor).public
        signers = [root.public.keyid for root in self.roots] if by == ROOT_ACTOR else [key_of(by).public.keyid]
        data = {"kind": "person", "roles": list(roles), "key": format_public_key(key), **body}
        self.tell(by, "actor.enrolled", f"actor:{actor}", data, keys=sorted([*signers, key.keyid]))

    def people(self) -> Story:
        self.enrol("p-author", ["owner", "emitter"])
        self.enrol("trainer", ["emitter"], kind="service", responsible="p-author")
        self.enrol("p-approver", ["approver", "validator"])
        self.enrol("p-second", ["approver"])
        self.enrol("p-deployer", ["deployer"])
        return self

    def version(self, model: str = MODEL, *, tier: str = "high", passed: bool = True) -> Story:
        self.tell("trainer", "run.completed", "run:r")
        self.tell(
            "trainer",
            "version.registered",
            model,
            {"digest": DIGEST, "owner": "p-author", "tier": tier, "run": "run:r"},
        )
        if passed:
            self.tell(
                "trainer", "evaluation.completed", model, {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST}
            )
        return self

    def request(self, environment: str = "prod", actor: str = "p-author", **options: Any) -> str:
        body = {"environment": environment, "digest": DIGEST}
        return self.tell(actor, "approval.requested", MODEL, body, **options).payload.id

    def grant(self, request: str, environment: str = "prod") -> dict[str, Any]:
        body = {"environment": environment, "digest": DIGEST, "request": request, "rationale": "fit"}
        return body | {"evidence": cites(self.view)}


def cites(view: View) -> list[dict[str, Any]]:
    """All that is recorded, as a decision cites it."""
    return [{"index": index, "leaf_hash": leaf.hex()} for index, leaf in enumerate(view.leaves)]


def refused(verdict: Verdict, error: type[LedgerError], fault: str, *, rule: str | None = None) -> None:
    """That it is refused so; by a rule, where one is given: "" for none."""
    assert (verdict.kind, type(verdict.error)) == ("void", error), verdict.error
    assert verdict.error is not None
    assert fault_of(verdict.error) == fault
    named = getattr(verdict.error, "rule", "")
    if named.startswith("separation "):
        assert named.removeprefix("separation ") in {f"{row[0]}/{row[1]}" for row in SEPARATION}
    assert rule is None or (isinstance(verdict.error, PolicyError) and verdict.error.rule == rule), verdict.error


def hint_of(verdict: Verdict) -> str:
    assert verdict.error is not None
    return verdict.error.hint
