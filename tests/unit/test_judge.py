"""`judge` is pure, and the same for append, projections and verification: it is tested without any of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from ledger.creation import DEFAULT_RULES
from ledger.domain import (
    ActorState,
    DatasetState,
    DeploymentState,
    IncidentState,
    LedgerState,
    MemoryWorld,
    ModelState,
    RecordedEvent,
    RunState,
    Verdict,
    judge,
    make_event,
)
from ledger.domain.decisions import marks_of
from ledger.domain.golive import once_covered
from ledger.domain.independence import independent, persons_behind
from ledger.domain.judge import reads_body
from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.roles import check_roles
from ledger.domain.signing import ROOT_ACTOR, signing_keys
from ledger.domain.standing import standing
from ledger.emission import build_payload
from ledger.entry import format_time
from ledger.errors import (
    AuthenticationError,
    ConflictError,
    InputError,
    LedgerError,
    NotAllowedError,
    PolicyError,
    fault_of,
)
from ledger.events import Category, EventType, all_event_types
from ledger.events.actors import ROLES
from ledger.events.ledgers import Rule, RuleSet
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


def refused(verdict: Verdict, error: type[LedgerError], fault: str) -> None:
    assert (verdict.kind, type(verdict.error)) == ("void", error), verdict.error
    assert verdict.error is not None
    assert fault_of(verdict.error) == fault


def hint_of(verdict: Verdict) -> str:
    assert verdict.error is not None
    return verdict.error.hint


# -- what is read ----------------------------------------------------------------------------------


def test_which_bodies_are_read():
    """Verification judges events that look alike once, but for those whose body a judgement may ask for."""
    for kind in all_event_types():
        for name in kind.kinds or ("external", "model"):
            stateful = name in ("ledger", "actor", "dataset", "featureset", "model", "deployment", "waiver", "policy")
            expected = stateful or kind.category in (Category.AUTHORITY, Category.DECISION)
            assert reads_body(kind, name) is expected, (kind.name, name)
    assert reads_body(None, "model") is False


# -- the beginning ---------------------------------------------------------------------------------


def genesis(**changes: Any) -> dict[str, Any]:
    return {
        "ledgerid": LEDGERID, "origin": "ledger.example/unit", "vkey": VKEY, "threshold": 1,
        "roots": [format_public_key(ROOTS[0].public)], "rules": DEFAULT_RULES.model_dump(mode="json"), **changes,
    }  # fmt: skip


def test_the_first_entry():
    story = Story()
    state = story.world.state(f"ledger:{LEDGERID}")
    assert isinstance(state, LedgerState)
    assert (state.ledgerid, state.threshold, len(state.roots)) == (LEDGERID, 1, 1)
    actor = story.world.state("actor:p-admin")
    assert isinstance(actor, ActorState)
    assert (actor.person, actor.kind) == ("p-admin", "person")


@pytest.mark.parametrize(
    ("changes", "options", "error", "fault"),
    [
        ({}, {"index": 5}, PolicyError, "legality"),
        ({}, {"actor": "p-admin"}, AuthenticationError, "key"),
        ({}, {"keys": [ROOTS[1].public.keyid]}, AuthenticationError, "key"),
        ({}, {"keys": sorted([ROOTS[0].public.keyid, ROOTS[1].public.keyid])}, AuthenticationError, "key"),
        *(({}, {"subject": "ledger:" + other * 16}, InputError, "schema") for other in ("00", "cd")),
        *(({"ledgerid": other * 16}, {}, InputError, "schema") for other in ("00", "cd")),
        ({"threshold": 2}, {}, AuthenticationError, "key"),
        ({"threshold": 2, "roots": [format_public_key(ROOTS[0].public)] * 2}, {}, AuthenticationError, "key"),
        *(({}, {"ledgerid": other * 16}, AuthenticationError, "key") for other in ("00", "cd")),
    ],
    ids=str,
)
def test_first_entries_that_are_none(
    changes: dict[str, Any], options: dict[str, Any], error: type[LedgerError], fault: str
):
    story = object.__new__(Story)
    story.view, story.count, story.roots, story.now = View([]), 0, ROOTS[:1], NOW
    story.world = MemoryWorld(LEDGERID, story.view)
    options = {"actor": ROOT_ACTOR, "subject": f"ledger:{LEDGERID}", "index": 0, **options}
    actor, subject = options.pop("actor"), options.pop("subject")
    refused(story.judge(actor, "ledger.created", subject, genesis(**changes), **options), error, fault)


def test_two_of_three_roots():
    story = Story(roots=3, threshold=2)
    new = key_of("p-new").public
    data = {"kind": "person", "roles": ["admin"], "key": format_public_key(new)}

    def by(*numbers: int) -> Verdict:
        keys = sorted([*(ROOTS[n].public.keyid for n in numbers), new.keyid])
        return story.judge(ROOT_ACTOR, "actor.enrolled", "actor:p-new", data, keys=keys)

    assert by(0, 1).kind == by(0, 2).kind == by(1, 2).kind == by(0, 1, 2).kind == "valid"
    for alone in range(3):
        refused(by(alone), AuthenticationError, "key")
        assert "root propose" in hint_of(by(alone))
    refused(by(), AuthenticationError, "key")
    spare = {"key": format_public_key(new)}
    of_others = story.judge("p-admin", "key.enrolled", "actor:p-admin", spare, keys=[new.keyid])
    refused(of_others, AuthenticationError, "key")
    assert hint_of(of_others) == "", "who has one key is not sent to the holders of root keys"


# -- keys by index ---------------------------------------------------------------------------------


def test_a_key_counts_from_its_enrolment_to_its_revocation():
    story = Story().people()
    state = story.world.state("actor:p-author")
    assert isinstance(state, ActorState)
    enrolled = next(iter(state.keys.values())).enrolled
    keyid = key_of("p-author").public.keyid
    revoked = story.tell("p-admin", "key.revoked", "actor:p-author", {"keyid": keyid, "reason": "lost"}).index
    for index in range(enrolled, revoked):
        event = story.event("p-author", "external.observed", "external:x", {"system": "s"}, index=index)
        assert set(signing_keys(story.world, event)) == {keyid}
    for index in (enrolled - 1, revoked, revoked + 1, revoked + 1000):
        event = story.event("p-author", "external.observed", "external:x", {"system": "s"}, index=index)
        with pytest.raises(AuthenticationError):
            signing_keys(story.world, event)
    assert isinstance(story.world.state("actor:p-author"), ActorState)


def test_a_revoked_actor_signs_nothing_with_any_key():
    story = Story().people()
    spare = key_of("spare").public
    data = {"key": format_public_key(spare)}
    keys = sorted([key_of("p-admin").public.keyid, spare.keyid])
    story.tell("p-admin", "key.enrolled", "actor:trainer", data, keys=keys)
    story.tell("trainer", "run.started", "run:a", keys=[spare.keyid])
    story.tell("trainer", "run.started", "run:a", keys=sorted([spare.keyid, key_of("trainer").public.keyid]))
    story.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "retired"})
    for keys in ([spare.keyid], [key_of("trainer").public.keyid]):
        refused(story.judge("trainer", "run.started", "run:b", keys=keys), AuthenticationError, "key")


def test_a_key_is_ever_one_actors():
    story = Story().people()
    story.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "retired"})
    key = key_of("trainer").public
    data = {"kind": "person", "roles": ["owner"], "key": format_public_key(key)}
    keys = sorted([key_of("p-admin").public.keyid, key.keyid])
    refused(story.judge("p-admin", "actor.enrolled", "actor:p-x", data, keys=keys), ConflictError, "legality")
    assert story.world.key_holder(key.keyid) == "trainer"


@pytest.mark.parametrize("name", ["root", "checkpoint"])
def test_names_that_stand_for_keys_of_the_ledger(name: str):
    story = Story()
    key = key_of("x").public
    data = {"kind": "person", "roles": ["owner"], "key": format_public_key(key)}
    keys = sorted([key_of("p-admin").public.keyid, key.keyid])
    refused(story.judge("p-admin", "actor.enrolled", f"actor:{name}", data, keys=keys), InputError, "schema")


# -- roles: the whole catalogue --------------------------------------------------------------------

EMITTER = "emitter:019b0000-0000-7000-8000-0000000000e1"
SOURCE_DIGEST = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
LATER = "2100-01-01T00:00:00Z"
WAIVER = {
    "check": "drift", "model": MODEL, "environment": "prod", "owner": "p-author", "reason": "x",
    "compensating_control": "x", "expires_at": "2023-12-01T00:00:00Z",
}  # fmt: skip
#: A body of every type that is not about authority, legal in the world of `full_world`; what starts with $ stands for
#: an event id of that world.
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "access.denied": ("service:x", {"principal": "someone", "action": "read"}),
    "approval.changes_requested": (
        MODEL,
        {"environment": "prod", "digest": DIGEST, "request": "$request", "changes": ["measure it on women, too"]},
    ),
    "approval.condition_met": (MODEL, {"approval": "$conditional", "condition": 0}),
    "approval.escalated": (
        MODEL,
        {"environment": "prod", "digest": DIGEST, "request": "$request", "rationale": "x", "to_role": "validator"},
    ),
    "approval.expired": (MODEL, {"approval": str(UUID(int=1))}),
    "approval.granted": (
        MODEL,
        {"environment": "prod", "digest": DIGEST, "request": "$request", "rationale": "fit", "evidence": "$evidence"},
    ),
    "approval.rejected": (
        MODEL,
        {"environment": "prod", "digest": DIGEST, "request": "$request", "rationale": "unfit"},
    ),
    "approval.requested": (MODEL, {"environment": "prod", "digest": DIGEST}),
    "approval.revoked": (MODEL, {"approval": "$approval", "rationale": "x"}),
    "approval.withdrawn": (MODEL, {"request": "$request"}),
    "artifact.produced": ("artifact:a", {"files": {"weights.bin": DIGEST}}),
    "artifact.scanned": ("artifact:a", {"digest": DIGEST, "scanner": "s", "verdict": "pass"}),
    "artifact.signed": ("artifact:a", {"digest": DIGEST, "method": "key"}),
    "artifact.verified": ("artifact:a", {"digest": DIGEST, "method": "key", "verdict": "fail"}),
    "bom.attached": (MODEL, {"format": "CycloneDX 1.7", "digest": DIGEST}),
    "canary.aborted": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST, "reason": "x"}),
    "canary.analysed": (
        "deployment:prod/x",
        {"model": MODEL, "digest": DIGEST, "stage": 1, "traffic": 0.05, "verdict": "pass"},
    ),
    "canary.paused": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST, "reason": "x"}),
    "canary.stage_entered": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST, "stage": 1, "traffic": 0.05}),
    "configuration.changed": ("deployment:prod/x", {"digest": DIGEST}),
    "contract.defined": (MODEL, {"input_schema": DIGEST, "output_schema": DIGEST}),
    "credential.expired": ("service:x", {"credential": "store"}),
    "credential.rotated": ("service:x", {"credential": "store"}),
    "dataset.consent_changed": ("dataset:d", {"status": "withdrawn"}),
    "dataset.deleted": ("dataset:d@1", {"reason": "x"}),
    "dataset.deprecated": ("dataset:d@1", {"reason": "x"}),
    "dataset.license_changed": ("dataset:d", {"license": "CC-BY-4.0"}),
    "dataset.quality_assessed": ("dataset:d@1", {"verdict": "pass"}),
    "dataset.registered": ("dataset:d@1", {"digest": DIGEST}),
    "dataset.versioned": ("dataset:d@2", {"digest": DIGEST, "previous": "dataset:d@1"}),
    "deployment.authorised": ("deployment:dev/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.completed": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.denied": ("deployment:prod/asked", {"request": "$asked", "rationale": "x"}),
    "deployment.failed": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST, "reason": "x"}),
    "deployment.held": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.promoted": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.requested": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.started": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "documentation.attached": (MODEL, {"kind": "DPIA", "digest": DIGEST}),
    "decision.refused": (MODEL, {"decision": "approval.granted", "refused": "policy", "reason": "x"}),
    "drill.conducted": ("deployment:prod/x", {"kind": "rollback", "outcome": "pass"}),
    "emergency.reviewed": ("deployment:prod/e", {"decision": "$emergency", "verdict": "justified", "rationale": "x"}),
    "erasure.requested": ("person:p-7f3a", {"basis": "GDPR Art. 17(1)(b)"}),
    "erasure.resolved": ("person:p-7f3a", {"request": str(UUID(int=1)), "outcome": "refused"}),
    "errorbudget.consumed": ("deployment:prod/x", {"slo": "latency", "remaining": 0.4}),
    "errorbudget.reset": ("deployment:prod/x", {"slo": "latency", "reason": "x"}),
    "emitter.closed": (EMITTER, {"last": 3}),
    "emitter.heartbeat": (EMITTER, {"last": 3, "interval": 60}),
    "evaluation.completed": (MODEL, {"metrics": {"auc": 0.5}}),
    "evaluation.invalidated": (MODEL, {"evaluation": str(UUID(int=1)), "reason": "x"}),
    "evidence.preserved": ("incident:1", {"digest": DIGEST, "kind": "logs"}),
    "experiment.completed": ("experiment:e", {"outcome": "better"}),
    "experiment.started": (
        "experiment:e",
        {"arms": [{"name": "a", "model": MODEL}, {"name": "b", "model": MODEL}], "metric": "clicks"},
    ),
    "external.observed": ("external:x", {"system": "s"}),
    "featureset.changed": ("featureset:f", {"digest": DIGEST, "change": "x"}),
    "featureset.defined": ("featureset:f", {"digest": DIGEST}),
    "featureset.materialized": ("featureset:f", {}),
    "feed.interrupted": ("monitor:m", {"source": "prometheus", "start": "2026-01-01T00:00:00Z", "reason": "x"}),
    "finding.disposed": (
        MODEL,
        {"validation": str(UUID(int=1)), "finding": "F1", "disposition": "fixed", "reason": "x"},
    ),
    "gap.declared": (EMITTER, {"first": 2, "last": 3, "reason": "a test that was cut off"}),
    "gate.evaluated": (
        MODEL,
        {
            "environment": "prod",
            "policy": "policy:p@1",
            "policy_digest": DIGEST,
            "digest": DIGEST,
            "input_digest": DIGEST,
            "size": 1,
            "as_of": "2026-01-01T00:00:00Z",
            "result": "allow",
            "checks": [],
            "engine": "e 1",
        },
    ),
    "incident.action_item_assigned": ("incident:1", {"item": str(UUID(int=1)), "owner": "p-x"}),
    "incident.action_item_completed": ("incident:1", {"item": str(UUID(int=1))}),
    "incident.action_item_created": ("incident:1", {"title": "x"}),
    "incident.action_item_verified": ("incident:1", {"item": str(UUID(int=1)), "outcome": "effective"}),
    "incident.closed": ("incident:1", {"summary": "x"}),
    "incident.contributing_factor_recorded": ("incident:1", {"category": "process", "statement": "x"}),
    "incident.linked": ("incident:1", {"subject": MODEL, "relation": "caused-by"}),
    "incident.mitigated": ("incident:1", {}),
    "incident.noted": ("incident:1", {"note": "x"}),
    "incident.opened": ("incident:1", {"title": "x"}),
    "incident.reopened": ("incident:1", {"reason": "x"}),
    "incident.resolved": ("incident:1", {}),
    "incident.role_assigned": ("incident:1", {"role": "commander", "assignee": "p-author"}),
    "incident.root_cause_recorded": ("incident:1", {"category": "data", "statement": "x"}),
    "incident.severity_changed": ("incident:1", {"severity": "high"}),
    "labels.arrived": ("dataset:labels@1", {"count": 10}),
    "model.decommissioned": ("model:m", {"reason": "x"}),
    "model.described": ("model:m", {"business_unit": "credit"}),
    "model.on_call_assigned": ("model:m", {"on_call": "p-author"}),
    "model.owner_changed": ("model:m", {"owner": "p-author"}),
    "model.registered": ("model:m", {"owner": "p-author"}),
    "modelcard.published": (MODEL, {"digest": DIGEST}),
    "modelcard.revised": (MODEL, {"digest": DIGEST}),
    "monitor.signal": ("monitor:m", {"metric": "psi", "value": 0.5}),
    "monitor.window": (
        "monitor:m",
        {"metric": "psi", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "count": 0},
    ),
    "notification.failed": ("incident:1", {"recipient_class": "regulator", "reason": "no answer"}),
    "notification.sent": ("incident:1", {"recipient_class": "regulator"}),
    "performance.tested": (MODEL, {"p95_ms": 12.5}),
    "policy.defined": ("policy:p@1", {"digest": SOURCE_DIGEST, "source": "x", "format": "muniment.checks/v1"}),
    "policy.retired": ("policy:old@1", {"reason": "x"}),
    "postmortem.published": ("incident:1", {"digest": DIGEST}),
    "quarantine.placed": ("dataset:d", {"reason": "x"}),
    "quarantine.released": ("dataset:q", {"quarantine": "$quarantine", "rationale": "x"}),
    "retrain.requested": ("model:m", {"trigger": "drift"}),
    "retrain.resolved": ("model:m", {"request": str(UUID(int=1)), "outcome": "failed"}),
    "risk.classified": ("model:m", {"tier": "high", "rationale": "money"}),
    "rollback.authorised": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "rollback.completed": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "rollback.requested": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "run.aborted": ("run:x", {"reason": "x"}),
    "run.attached": ("run:x", {"reason": "x"}),
    "run.completed": ("run:x", {}),
    "run.failed": ("run:x", {"reason": "x"}),
    "run.started": ("run:x", {}),
    "serving.snapshot": ("deployment:prod/x", {"loaded": [{"digest": DIGEST}]}),
    "slo.breached": ("deployment:prod/x", {"slo": "latency"}),
    "slo.defined": ("deployment:prod/x", {"slo": "latency", "indicator": "ms", "objective": 0.99, "window": "28d"}),
    "slo.recovered": ("deployment:prod/x", {"slo": "latency"}),
    "thirdparty.registered": ("model:m", {"vendor": "v", "product": "p"}),
    "validation.assigned": (MODEL, {"validator": "p-author"}),
    "validation.completed": (MODEL, {"verdict": "pass", "independence": "another department"}),
    "validation.withdrawn": (MODEL, {"validation": str(UUID(int=1)), "reason": "x"}),
    "version.aliased": (MODEL, {"alias": "champion"}),
    "version.composed": (MODEL, {"parents": [{"role": "parent", "subject": "model:n@1"}]}),
    "version.demoted": (MODEL, {"environment": "prod", "reason": "x"}),
    "version.promoted": (MODEL, {"environment": "prod"}),
    "version.registered": ("model:m@2", {"digest": DIGEST, "owner": "p-author", "tier": "low"}),
    "version.retired": (MODEL, {"reason": "x"}),
    "version.tagged": (MODEL, {"tags": {"stage": "x"}}),
    "version.unaliased": (MODEL, {"alias": "champion"}),
    "waiver.denied": ("waiver:asked", {"rationale": "x"}),
    "waiver.expired": ("waiver:1", {}),
    "waiver.granted": ("waiver:asked", {"rationale": "x"}),
    "waiver.requested": ("waiver:new", WAIVER),
    "waiver.revoked": ("waiver:given", {"reason": "x"}),
    "waiver.used": ("waiver:given", {"deployment": "deployment:prod/x", "model": MODEL}),
}
TYPES = [kind for kind in all_event_types() if kind.category is not Category.AUTHORITY]


def prepare(story: Story) -> dict[str, Any]:
    """Make every type of `BODIES` legal for an author with the right role; returns the event ids they name."""
    asked = story.request(actor="only-emitter", on_behalf_of="only-owner")
    other, third = story.request(), story.request()
    given = {**Story.grant(story, other), "expires_at": LATER}
    ids: dict[str, Any] = {"$request": asked}
    ids["$approval"] = story.tell("p-approver", "approval.granted", MODEL, given).payload.id
    conditional = {**Story.grant(story, third), "conditions": ["with a monitor"]}
    ids["$conditional"] = story.tell("p-second", "approval.granted", MODEL, conditional).payload.id
    ids["$quarantine"] = story.tell("trainer", "quarantine.placed", "dataset:q", {"reason": "x"}).payload.id
    emergency = {"reason": "x", "review_by": "2023-11-20T00:00:00Z"}
    body = {"model": MODEL, "digest": DIGEST, "emergency": emergency}
    ids["$emergency"] = story.tell("p-deployer", "deployment.authorised", "deployment:prod/e", body).payload.id
    asking = {"model": MODEL, "digest": DIGEST}
    ids["$asked"] = story.tell("p-author", "deployment.requested", "deployment:prod/asked", asking).payload.id
    story.tell("p-approver", "policy.defined", "policy:old@1", BODIES["policy.defined"][1])
    for name in ("asked", "given"):
        story.tell("p-author", "waiver.requested", f"waiver:{name}", WAIVER)
    story.tell("p-second", "waiver.granted", "waiver:given", {"rationale": "x"})
    ids["$evidence"] = cites(story.view)
    return ids


def filled(kind: str, ids: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Subject and body of a type, with the event ids it names."""
    subject, body = BODIES[kind]
    return subject, {name: ids.get(value, value) if isinstance(value, str) else value for name, value in body.items()}


def author(kind: EventType) -> str:
    """A role that may author a type, but admin, whom only the root keys enrol."""
    return next((role for role in kind.roles if role != "admin"), "auditor")


NOBODYS: dict[str, Any] = {
    name: str(UUID(int=1)) for name in ("$request", "$approval", "$conditional", "$quarantine", "$emergency", "$asked")
} | {"$evidence": []}


def full_world() -> tuple[Story, dict[str, Any]]:
    """A world in which every type of `BODIES` is legal for an author with the right role, and the ids they name."""
    story = Story().people().version()
    for role in ROLES:
        if role != "admin":
            story.enrol(f"only-{role}", [role])
    return story, prepare(story)


@pytest.fixture(scope="module")
def full() -> tuple[Story, dict[str, Any]]:
    return full_world()


def test_the_table_of_bodies_is_the_catalogue():
    assert set(BODIES) == {kind.name for kind in TYPES}


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_type_is_for_its_roles_and_no_other(full: tuple[Story, dict[str, Any]], kind: EventType):
    story, ids = full
    subject, body = filled(kind.name, ids)
    for role in ROLES:
        if role == "admin":
            continue
        verdict = story.judge(f"only-{role}", kind.topic, subject, body)
        if not kind.roles or role in kind.roles:
            assert verdict == Verdict("valid"), (role, verdict.error)
        else:
            refused(verdict, NotAllowedError, "legality")
            assert role in verdict.error.message


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_type_is_about_its_kinds_and_no_other(full: tuple[Story, dict[str, Any]], kind: EventType):
    story, _ = full
    subject, body = filled(kind.name, NOBODYS)
    role = author(kind)
    name, _, version = subject.partition("@")
    wrong = [f"thing:{name.partition(':')[2]}{'@' + version if version else ''}"] if kind.kinds else []
    wrong += [name] if kind.versioned is True else [f"{name}@1"] if kind.versioned is False else []
    wrong += ["deployment:x"] if "deployment" in kind.kinds else []
    for other in wrong:
        refused(story.judge(f"only-{role}", kind.topic, other, body), InputError, "schema")


EMPTY = [kind for kind in TYPES if kind.category in (Category.FACT, Category.PROTECTION)]


@pytest.mark.parametrize("kind", EMPTY, ids=lambda kind: kind.name)
def test_facts_and_protection_need_nothing_to_have_happened(kind: EventType):
    """In a world that holds nothing but their author, also under rules that cover nothing."""
    rules = RuleSet(
        name="nothing", rules=(Rule(environment="x", tier="low", authorisation=True, approvals=9, evaluation=True),)
    )
    story = Story(rules)
    story.enrol("p-one", [author(kind)])
    subject, body = filled(kind.name, NOBODYS)
    assert story.judge("p-one", kind.topic, subject, body).kind == "valid"
    late = story.judge("p-one", kind.topic, subject, body, occurred_at=1, strength="backfilled")
    assert late.kind == "valid", "a time is a claim and decides nothing"


# -- purity ----------------------------------------------------------------------------------------


def everything(story: Story) -> dict[str, Any]:
    return deepcopy({name: repr(state) for name, state in story.world._states.items()})


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_judging_changes_nothing_and_answers_the_same(full: tuple[Story, dict[str, Any]], kind: EventType):
    story, ids = full
    subject, body = filled(kind.name, ids)
    role = author(kind)
    before, size = everything(story), len(story.view.leaves)
    event = story.event(f"only-{role}", kind.topic, subject, body)
    assert judge(story.world, event) == judge(story.world, event)
    assert marks_of(story.world, event) == marks_of(story.world, event)
    assert (everything(story), len(story.view.leaves)) == (before, size)


def test_a_type_nobody_knows_is_opaque_but_must_be_signed():
    story = Story().people()
    good = story.event("trainer", "run.started", "run:x")
    unknown = replace(good, kind=None, body=None, payload=replace(good.payload, type="muniment.run.dreamt.v1"))
    assert judge(story.world, unknown) == Verdict("opaque")
    refused(judge(story.world, replace(unknown, keys=("0" * 64,))), AuthenticationError, "key")
    before = everything(story)
    story.world.apply(unknown)
    assert everything(story) == before, "and changes no state"


def test_who_is_not_enrolled_has_no_role():
    story = Story()
    with pytest.raises(NotAllowedError, match="has none"):
        check_roles(story.world, story.event("p-nobody", "run.started", "run:x"))


# -- decisions -------------------------------------------------------------------------------------


def test_approvals_count_persons_and_not_accounts():
    two = RuleSet(
        name="two", rules=(Rule(environment="*", tier="*", authorisation=True, approvals=2, evaluation=True),)
    )
    story = Story(two).people().version()
    story.enrol("bot", ["approver"], kind="service", responsible="p-approver")
    request = story.request()
    authorise = ("p-deployer", "deployment.authorised", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    refused(story.judge(*authorise), PolicyError, "legality")
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request))
    story.tell("bot", "approval.granted", MODEL, story.grant(request))
    refused(story.judge(*authorise), PolicyError, "legality")
    story.tell("p-second", "approval.granted", MODEL, story.grant(request))
    assert story.judge(*authorise).kind == "valid"
    state = story.world.state("model:m")
    assert isinstance(state, ModelState)
    named, rule = version_of(story.world, MODEL), two.rules[0]
    assert standing(story.world, named, ("prod", rule), NOW).persons == 2
    assert standing(story.world, named, ("dev", rule), NOW).persons == 0
    renamed = replace(named, version=replace(named.version, digest=OTHER))
    assert standing(story.world, renamed, ("prod", rule), NOW).persons == 0


def test_an_approval_is_for_one_environment():
    story = Story().people().version()
    request = story.request("stage")
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request, "stage"))
    body = {"model": MODEL, "digest": DIGEST}
    assert story.judge("p-deployer", "deployment.authorised", "deployment:stage/x", body).kind == "valid"
    refused(story.judge("p-deployer", "deployment.authorised", "deployment:prod/x", body), PolicyError, "legality")


@pytest.mark.parametrize(("approvals", "evaluation"), [(0, False), (0, True), (1, False), (1, True)])
def test_an_evaluation_is_needed_where_the_rule_asks_for_one_before_an_approval(approvals: int, evaluation: bool):
    rule = Rule(environment="*", tier="*", authorisation=True, approvals=approvals, evaluation=evaluation)
    story = Story(RuleSet(name="one", rules=(rule,))).people().version(passed=False)
    grant = ("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    authorise = ("p-deployer", "deployment.authorised", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    if approvals and evaluation:
        refused(story.judge(*grant), PolicyError, "legality")
        refused(story.judge(*authorise), PolicyError, "legality")
        return
    if approvals:
        refused(story.judge(*authorise), PolicyError, "legality")
        story.tell(*grant)
    assert story.judge(*authorise).kind == "valid"


def test_the_first_rule_that_matches_holds():
    rules = RuleSet(
        name="order",
        rules=(
            Rule(environment="prod", tier="low", authorisation=False, approvals=0, evaluation=False),
            Rule(environment="prod", tier="*", authorisation=True, approvals=1, evaluation=True),
            Rule(environment="*", tier="low", authorisation=True, approvals=2, evaluation=False),
        ),
    )
    story = Story(rules)
    found = {
        (environment, tier): rule_for(story.world, environment, tier).approvals
        for environment, tier in (("prod", "low"), ("prod", "high"), ("dev", "low"))
    }
    assert found == {("prod", "low"): 0, ("prod", "high"): 1, ("dev", "low"): 2}
    with pytest.raises(PolicyError):
        rule_for(story.world, "dev", "high")
    with pytest.raises(PolicyError):
        rule_for(MemoryWorld("00" * 16, View([])), "prod", "low")


def test_persons_behind_accounts():
    story = Story().people()
    world = story.world
    assert persons_behind(world, ["trainer", "p-author"]) == frozenset({"p-author"})
    assert persons_behind(world, ["trainer", "nobody"]) is None
    assert persons_behind(world, []) == frozenset()
    assert independent(world, ["p-approver"], ["trainer"]) is True
    assert independent(world, ["p-author"], ["trainer"]) is False
    assert independent(world, ["p-approver"], ["nobody"]) is None
    assert independent(world, ["nobody"], ["trainer"]) is None


def test_what_an_author_claims_to_have_seen_must_be_so():
    story = Story().people().version()
    size = len(story.view.leaves)
    root = story.view.root_hash(size)
    assert root is not None
    request = {"environment": "prod", "digest": DIGEST}
    good = {**request, "seen": {"size": size, "root": root.hex()},
            "evidence": [{"index": 2, "leaf_hash": story.view.leaves[2].hex()}]}  # fmt: skip
    assert story.judge("p-author", "approval.requested", MODEL, good).kind == "valid"
    for seen, evidence in (
        ({"size": size, "root": "0" * 64}, []),
        ({"size": size + 1, "root": root.hex()}, []),
        ({"size": size - 1, "root": root.hex()}, []),
        (good["seen"], [{"index": 3, "leaf_hash": story.view.leaves[2].hex()}]),
        (good["seen"], [{"index": size, "leaf_hash": "0" * 64}]),
    ):
        bad = {**request, "seen": seen, "evidence": evidence}
        refused(story.judge("p-author", "approval.requested", MODEL, bad), ConflictError, "legality")


def test_the_last_evaluation_of_a_suite_counts():
    story = Story().people().version(passed=False)
    request = story.request()

    def measured(verdict: str, suite: str | None = None) -> bool:
        body: dict[str, Any] = {"metrics": {"auc": 0.9}, "verdict": verdict, "digest": DIGEST, "suite": suite}
        story.tell("trainer", "evaluation.completed", MODEL, {k: v for k, v in body.items() if v is not None})
        return story.judge("p-approver", "approval.granted", MODEL, story.grant(request)).kind == "valid"

    assert not measured("uncertain")
    assert measured("pass")
    assert measured("uncertain", "fairness")
    assert not measured("fail", "fairness"), "one suite failed, whatever the others say"
    assert not measured("pass")
    assert measured("pass", "fairness"), "measured again"
    assert not measured("fail")


def test_an_approval_falls_when_its_giver_turns_out_to_have_made_the_version():
    story = Story().people().version()
    story.enrol("p-both", ["approver", "emitter"])
    request = story.request()
    story.tell("p-both", "approval.granted", MODEL, story.grant(request))
    authorise = ("p-deployer", "deployment.authorised", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    assert story.judge(*authorise).kind == "valid"
    story.tell("p-both", "run.completed", "run:r")
    refused(story.judge(*authorise), PolicyError, "legality")


def test_a_version_of_a_run_nobody_recorded_is_not_shown_to_be_independent():
    story = Story().people()
    body = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:later"}
    story.tell("trainer", "version.registered", MODEL, body)
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass"})
    grant = ("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    refused(story.judge(*grant), NotAllowedError, "legality")
    story.tell("trainer", "run.completed", "run:later")
    assert story.judge(*grant).kind == "valid"


def test_a_request_is_made_once():
    story = Story().people().version()
    body = {"environment": "prod", "digest": DIGEST}
    first = story.tell("p-author", "approval.requested", MODEL, body)
    again = story.event("trainer", "approval.requested", MODEL, {**body, "environment": "dev"})
    same = replace(again, payload=replace(again.payload, id=first.payload.id))
    refused(judge(story.world, same), ConflictError, "legality")


# -- authority -------------------------------------------------------------------------------------


def test_only_the_root_keys_touch_an_admin():
    story = Story().people()
    story.enrol("p-other", ["admin"], by=ROOT_ACTOR)
    keyid = key_of("p-other").public.keyid
    bodies: tuple[tuple[str, dict[str, str]], ...] = (
        ("actor.revoked", {"reason": "x"}),
        ("key.revoked", {"keyid": keyid, "reason": "x"}),
    )
    for kind, body in bodies:
        refused(story.judge("p-admin", kind, "actor:p-other", body), NotAllowedError, "legality")
        assert story.judge(ROOT_ACTOR, kind, "actor:p-other", body).kind == "valid"
        assert story.judge("p-other", kind, "actor:p-other", body).kind == "valid", "giving up one's own"


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "service", "responsible": "trainer"},
        {"kind": "service", "responsible": "p-gone"},
        {"kind": "service", "responsible": "p-nobody"},
        {"kind": "person", "person": "trainer"},
        {"kind": "person", "person": "p-nobody"},
        {"kind": "person", "person": "p-gone"},
    ],
    ids=str,
)
def test_behind_an_actor_stands_an_enrolled_person(body: dict[str, Any]):
    story = Story().people()
    story.enrol("p-gone", ["owner"])
    story.tell("p-admin", "actor.revoked", "actor:p-gone", {"reason": "left"})
    key = key_of("new").public
    data = {"roles": ["emitter"], "key": format_public_key(key), **body}
    keys = sorted([key_of("p-admin").public.keyid, key.keyid])
    refused(story.judge("p-admin", "actor.enrolled", "actor:new", data, keys=keys), InputError, "schema")
    good = {**data, "person": "p-author"} if body["kind"] == "person" else {**data, "responsible": "p-author"}
    assert story.judge("p-admin", "actor.enrolled", "actor:new", good, keys=keys).kind == "valid"


def test_nobody_acts_for_somebody_unknown():
    story = Story().people()
    for behalf in ("nobody", "root"):
        refused(story.judge("trainer", "run.started", "run:x", on_behalf_of=behalf), AuthenticationError, "key")
    assert story.judge("trainer", "run.started", "run:x", on_behalf_of="p-author").kind == "valid"


def test_an_acknowledgement_is_about_this_ledger_and_the_past():
    story = Story()
    size = len(story.view.leaves)
    mine = f"ledger:{LEDGERID}"

    def of(index: int, subject: str = mine, actor: str = "p-admin", leaf: int | None = None) -> Verdict:
        body = {"index": index, "leaf_hash": story.view.leaves[index % size if leaf is None else leaf].hex()}
        return story.judge(actor, "ledger.entry_acknowledged", subject, {**body, "reason": "seen"})

    assert of(size - 1).kind == of(0).kind == of(1, actor=ROOT_ACTOR).kind == "valid"
    refused(of(size), InputError, "schema")
    refused(of(1, leaf=0), ConflictError, "legality")
    refused(of(0, f"ledger:{'cd' * 16}"), InputError, "schema")
    story.people()
    refused(of(0, actor="p-author"), NotAllowedError, "legality")


def test_streams_of_authority_hold_nothing_else():
    """What anybody may say about anything is not said in an actor's or the ledger's own stream."""
    story = Story().people()
    for subject in ("actor:p-author", f"ledger:{LEDGERID}"):
        refused(story.judge("trainer", "external.observed", subject, {"system": "s"}), InputError, "schema")


# -- states and marks ------------------------------------------------------------------------------


def test_a_rollback_ends_an_authorisation():
    story = Story().people().version()
    request = story.request()
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request))
    body, place = {"model": MODEL, "digest": DIGEST}, "deployment:prod/x"
    assert marks_of(story.world, story.event("p-deployer", "deployment.completed", place, body)) == ("unauthorised",)
    story.tell("p-deployer", "deployment.authorised", place, body)
    wrong = {**body, "digest": OTHER}
    assert marks_of(story.world, story.event("p-deployer", "deployment.completed", place, wrong)) == ("unauthorised",)
    event = story.tell("p-deployer", "deployment.completed", place, body)
    assert marks_of(story.world, event) == ()
    state = story.world.state(place)
    assert isinstance(state, DeploymentState)
    assert state.live == (MODEL, DIGEST)
    older = {"model": "model:m@0", "digest": OTHER}
    assert marks_of(story.world, story.event("trainer", "rollback.completed", place, older)) == ("never-live",)
    story.tell("trainer", "rollback.completed", place, older)
    assert marks_of(story.world, story.event("p-deployer", "deployment.completed", place, body)) == ("unauthorised",)
    assert marks_of(story.world, story.event("trainer", "rollback.completed", place, body)) == ()


def _gone(story: Story, kind: str, model: str = MODEL, digest: str = DIGEST, **options: Any) -> tuple[str, ...]:
    """Marks of a fact about a deployment, which is then recorded."""
    by = "trainer" if kind == "rollback.completed" else "p-deployer"
    body = {"model": model, "digest": digest}
    event = story.event(
        by, kind, "deployment:prod/x", body | ({"stage": 1, "traffic": 0.1} if "canary" in kind else {}), **options
    )
    marks = marks_of(story.world, event)
    story.fold(event)
    return marks


def _authorised(story: Story, **more: Any) -> RecordedEvent:
    story.tell("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    body = {"model": MODEL, "digest": DIGEST, **more}
    return story.tell("p-deployer", "deployment.authorised", "deployment:prod/x", body)


def test_what_was_never_live_with_an_authorisation_is_no_good_target_of_a_rollback():
    story = Story().people().version()
    story.tell("trainer", "version.registered", "model:m@2", {"digest": OTHER, "owner": "p-author", "tier": "high"})
    _authorised(story)
    assert _gone(story, "deployment.completed") == ()
    assert _gone(story, "deployment.completed", "model:m@2", OTHER) == ("unauthorised",)
    assert _gone(story, "rollback.completed") == ()
    assert _gone(story, "rollback.completed", "model:m@2", OTHER) == ("unauthorised",), "live, and nobody allowed it"
    assert _gone(story, "rollback.completed", "model:m@3", OTHER) == ("never-live",)


@pytest.mark.parametrize("kind", ["deployment.completed", "deployment.promoted", "canary.stage_entered"])
def test_what_was_demoted_goes_live_there_by_a_new_authorisation_only(kind: str):
    story = Story().people().version()
    _authorised(story)
    story.tell("p-author", "version.demoted", MODEL, {"environment": "dev", "reason": "drifts"})
    assert _gone(story, kind) == (), "from elsewhere"
    story.tell("p-author", "version.demoted", MODEL, {"environment": "prod", "reason": "drifts"})
    assert _gone(story, kind) == ("unauthorised",)
    assert _gone(story, "deployment.completed") == ("unauthorised",)
    _authorised(story)
    assert _gone(story, kind) == ()


def test_what_was_demoted_is_a_target_of_a_rollback():
    story = Story().people().version()
    _authorised(story)
    assert _gone(story, "deployment.completed") == ()
    story.tell("p-author", "version.demoted", MODEL, {"environment": "prod", "reason": "drifts"})
    assert _gone(story, "rollback.completed") == ()


def test_where_nothing_is_authorised_a_rollback_is_to_the_bytes_that_were_registered():
    story = Story(RuleSet(name="light", rules=(
        Rule(environment="*", tier="*", authorisation=False, approvals=0, evaluation=False),
    ))).people().version()  # fmt: skip
    for digest in (DIGEST, OTHER):
        story.tell("trainer", "deployment.completed", "deployment:prod/x", {"model": MODEL, "digest": digest})
    assert _gone(story, "rollback.completed") == ()
    assert _gone(story, "rollback.completed", MODEL, OTHER) == ("unauthorised",)
    story.tell("trainer", "version.registered", "model:m@2", {"digest": DIGEST, "owner": "p-author", "tier": "high"})
    assert once_covered(story.world, "deployment:prod/x", MODEL, DIGEST, NOW)
    assert not once_covered(story.world, "deployment:prod/x", "model:m@2", DIGEST, NOW), "never live"
    assert not once_covered(story.world, "deployment:prod/y", MODEL, DIGEST, NOW), "nothing was"


@pytest.mark.parametrize("kind", ["deployment.completed", "deployment.promoted", "canary.stage_entered"])
@pytest.mark.parametrize(
    ("stop", "mark"),
    [
        (("trainer", "quarantine.placed", MODEL, {"reason": "x"}), "quarantined"),
        (("trainer", "quarantine.placed", "dataset:d", {"reason": "x"}), "quarantined"),
        (("p-author", "version.retired", MODEL, {"reason": "x"}), "retired"),
    ],
)
def test_what_goes_live_after_a_quarantine_or_a_retirement_is_marked(kind: str, stop: Any, mark: str):
    story = Story().people()
    story.tell("trainer", "run.started", "run:r", {"inputs": [{"role": "input", "subject": "dataset:d@1"}]})
    story.version()
    _authorised(story)
    _gone(story, "deployment.completed")
    story.tell(*stop)
    assert _gone(story, kind) == ("unauthorised", mark)
    assert _gone(story, "rollback.completed") == (mark,), "never refused, and marked"


@pytest.mark.parametrize("verdict", ["justified", "unjustified"])
def test_what_an_unjustified_emergency_allowed_does_not_go_live_unmarked(verdict: str):
    story = Story().people().version()
    urgent = {"reason": "fraud wave", "review_by": format_time(NOW + 86_400_000_000)}
    given = _authorised(story, emergency=urgent)
    assert _gone(story, "deployment.completed") == ()
    body = {"decision": given.payload.id, "verdict": verdict, "rationale": "looked at"}
    story.tell("p-approver", "emergency.reviewed", "deployment:prod/x", body)
    marks = () if verdict == "justified" else ("unauthorised",)
    assert _gone(story, "deployment.completed") == marks
    assert _gone(story, "rollback.completed") == marks, "nor is it a good target"


def test_an_emergency_that_nobody_reviewed_in_time_covers_nothing_more():
    story = Story().people().version()
    review_by = NOW + 86_400_000_000
    given = _authorised(story, emergency={"reason": "fraud wave", "review_by": format_time(review_by)})
    fact = ("p-deployer", "deployment.completed", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    assert story.judge(*fact).until == review_by, "recorded later it would be marked otherwise"
    story.now = review_by - 1
    assert _gone(story, "deployment.completed") == ()
    assert _gone(story, "rollback.completed") == ()
    _authorised(story, emergency={"reason": "again", "review_by": format_time(review_by)})
    story.now = review_by
    assert _gone(story, "canary.stage_entered") == ("unauthorised",)
    assert _gone(story, "rollback.completed") == ("unauthorised",), "nor is it a good target"
    assert story.judge(*fact).until > review_by + 86_400_000_000
    body = {"decision": given.payload.id, "verdict": "justified", "rationale": "looked at"}
    story.tell("p-approver", "emergency.reviewed", "deployment:prod/x", body)
    assert _gone(story, "rollback.completed") == (), "found justified, if late"


def test_a_fact_that_is_dated_before_what_was_known_is_marked():
    story = Story().people().version()
    _authorised(story)
    minute = 60_000_000
    assert _gone(story, "canary.stage_entered", occurred_at=NOW - minute) == (), "clocks differ"
    assert _gone(story, "canary.stage_entered", occurred_at=NOW - 3 * minute) == ("back-dated",), "not yet authorised"
    story.now = NOW + 5 * minute
    assert _gone(story, "deployment.completed", occurred_at=NOW + 2 * minute) == ()
    assert _gone(story, "deployment.promoted", occurred_at=NOW + minute) == ("back-dated",)
    assert _gone(story, "rollback.completed", occurred_at=NOW + minute) == ("back-dated",)
    marks = _gone(story, "rollback.completed", occurred_at=NOW + 9 * minute)
    assert marks == (), "what is dated ahead counts as of its record"


def test_in_dev_nothing_needs_to_be_authorised():
    story = Story().people().version(passed=False)
    body = {"model": MODEL, "digest": DIGEST}
    assert marks_of(story.world, story.event("trainer", "deployment.completed", "deployment:dev/x", body)) == ()
    wrong = {**body, "digest": OTHER}
    assert marks_of(story.world, story.event("trainer", "deployment.completed", "deployment:dev/x", wrong)) == (
        "unauthorised",
    )


def test_states_keep_what_judging_needs():
    story = Story().people().version()
    other = {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": OTHER}
    story.tell("trainer", "evaluation.completed", MODEL, other)
    model = story.world.state("model:m")
    assert isinstance(model, ModelState)
    assert len(model.versions["1"].evaluations) == 1, "an evaluation of other bytes says nothing about this version"
    again = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:r"}
    story.tell("trainer", "version.registered", MODEL, again)
    assert story.world.state("model:m") == model, "registered again with the same values, it stays as it was"
    changes: tuple[dict[str, Any], ...] = (
        {"digest": OTHER}, {"tier": "low"}, {"owner": "p-deployer"}, {"run": "run:q"}, {"run": None},
    )  # fmt: skip
    for change in changes:
        refused(story.judge("p-author", "version.registered", MODEL, {**again, **change}), ConflictError, "legality")

    story.tell("p-author", "run.failed", "run:r", {"reason": "x"}, on_behalf_of="p-second")
    run = story.world.state("run:r")
    assert isinstance(run, RunState)
    assert (run.status, run.authors) == ("failed", frozenset({"trainer", "p-author", "p-second"}))

    story.tell("trainer", "dataset.registered", "dataset:d", {"digest": DIGEST})
    story.tell("trainer", "dataset.registered", "dataset:d", {"digest": OTHER})
    story.tell("trainer", "dataset.registered", "dataset:d@1", {"digest": DIGEST})
    refused(story.judge("trainer", "dataset.registered", "dataset:d@1", {"digest": OTHER}), ConflictError, "legality")
    data = story.world.state("dataset:d")
    assert isinstance(data, DatasetState)
    assert dict(data.versions) == {"": OTHER, "1": DIGEST}

    for kind, body, status in (
        ("incident.noted", {"note": "x"}, "open"),
        ("incident.closed", {"summary": "x"}, "closed"),
        ("incident.noted", {"note": "x"}, "closed"),
        ("incident.opened", {"title": "again"}, "open"),
    ):
        story.tell("trainer", kind, "incident:1", body)
        incident = story.world.state("incident:1")
        assert isinstance(incident, IncidentState)
        assert incident.status == status
    story.tell("trainer", "external.observed", "external:x", {"system": "s"})
    assert story.world.state("external:x") is None


def test_states_are_frozen():
    story = Story().people().version()
    story.request()
    from dataclasses import FrozenInstanceError

    for state in story.world._states.values():
        with pytest.raises(FrozenInstanceError):
            setattr(state, state.__slots__[0], 1)
        for mapping in mappings(state):
            with pytest.raises(TypeError):
                mapping["x"] = 1


def mappings(state: Any) -> Iterator[Any]:
    for name in state.__slots__:
        value = getattr(state, name)
        if hasattr(value, "values"):
            yield value
            for item in value.values():
                if hasattr(item, "__slots__"):
                    yield from mappings(item)
