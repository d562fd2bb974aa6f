"""One version of a model in a ledger, led to any state of the life cycle and on by any row of its table."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ledger import commands
from ledger.application import Receipt
from ledger.domain.lifecycle import Named, side_states, version_of
from ledger.domain.moves import Move
from ledger.domain.stages import Place, stages_of
from ledger.domain.world import World
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.events.ledgers import Rule, RuleSet
from projections.model_state import state_as_of
from projections.suspension import suspend
from tests.contract.support import digest
from tests.projections.support import Book

HOUR = 3_600_000_000
#: In stage nothing has to be evaluated.
RULES = RuleSet(name="two places", rules=(
    Rule(environment="stage", tier="*", authorisation=True, approvals=1, evaluation=False),
    Rule(environment="*", tier="*", authorisation=True, approvals=1, evaluation=True),
))  # fmt: skip
_POLICY = digest("policy")


#: What may be said of a version, and in most lives is not.
_TOLD = (
    "performance.tested", "artifact.scanned", "artifact.verified", "modelcard.revised", "documentation.attached",
    "risk.classified", "dataset.consent_changed",
)  # fmt: skip


class Life:
    """A version and all that bears on it; nothing of it is shared with another life in the same ledger.

    Args:
        book: the ledger, whose rules are `RULES` or stricter.
        number: tells the lives in it apart.
        environment: where it is to be deployed; in stage it is never evaluated.
    """

    def __init__(self, book: Book, number: int, environment: str = "prod") -> None:
        self.book, self.environment = book, environment
        self.model, self.other = f"model:m{number}@1", f"model:m{number}@2"
        self.run, self.data, self.waiver = f"run:r{number}", f"dataset:d{number}@1", f"waiver:w{number}"
        self.place = f"deployment:{environment}/s{number}"
        self.approver, self.twice, self._start = "p-approver", False, book.size
        self.told: tuple[str, ...] = ()
        self.ids: dict[str, str] = {}

    def emit(self, actor: str, kind: str, subject: str, /, **data: Any) -> Receipt:
        receipt = self.book.cast[actor].emit(kind, subject, data)
        self.ids[kind] = receipt.id
        return receipt

    def at(self, hours: float) -> str:
        return format_time(int(self.book.clock.now + hours * HOUR))

    def status(self) -> str:
        """What the state of the version says at this moment."""
        reader = self.book.reader()
        as_of = reader.as_of()
        state = state_as_of(reader.runner.views, as_of, self.model)
        suspend(reader.ledger, reader.runner.views, as_of, state, self.book.clock.now)
        found = [one for model in state["models"] for one in model["versions"] if one["version"] == self.model]
        status = str(found[0]["status"]) if found else ""
        assert status == self.judged(), "the judge and the view say the same"
        return status

    def states(self) -> set[str]:
        """All states that the judge says it is in."""
        named, stages = self._judge()
        return {*stages, *(state for state, _, _ in side_states(self._world(), named))}

    def _world(self) -> World:
        world = self.book.ledger.world
        return world.at(world.refresh())

    def _judge(self) -> tuple[Named, list[str]]:
        world = self._world()
        named = version_of(world, self.model)
        place = Place(self.environment, self.place, self.book.clock.now)
        return named, [stage.state for stage in stages_of(world, named, place)]

    def judged(self) -> str:
        """What the judge calls it, by what weighs most in the view."""
        try:
            stages = self._judge()[1]
        except PolicyError:
            return ""
        beside = self.states() - {*stages}
        return next((one for one in ("live", "quarantined", "retired") if one in (*beside, *stages)), stages[-1])

    # -- to a state ------------------------------------------------------------------------------

    def reach(self, state: str) -> None:
        """Lead it to a state from nothing."""
        if state == "":
            return
        if state in ("evaluated", "registered"):
            self.emit("trainer", "run.completed", self.run)
            self.do("version.registered")
        if state in ("quarantined", "retired"):
            raise AssertionError(state)
        if state == "evaluated":
            self.do("evaluation.completed")
        if state in ("evaluated", "registered"):
            return
        if state not in ("approval pending", "changes requested", "rejected", "conditions open", "approval upcoming"):
            self._reach_approved(state)
            return
        self._grounds()
        self.do("approval.requested")
        last = {"changes requested": "approval.changes_requested", "rejected": "approval.rejected"}.get(state)
        if last is not None:
            self.do(last)
        elif state != "approval pending":
            self.do("approval.granted", state)

    def _reach_approved(self, state: str) -> None:
        self._grounds()
        self.do("approval.requested")
        self.do("approval.granted")
        steps: dict[str, tuple[str | None, ...]] = {
            "approved": (), "approval expired": (None,), "suspended": ("approval.revoked",),
            "deploy authorised": ("deployment.authorised",),
            "canary": ("deployment.authorised", "canary.stage_entered"),
            "live": ("deployment.authorised", "deployment.completed"),
        }  # fmt: skip
        for step in steps[state]:
            self.do(step, "approval expired" if step is None else "")

    def _grounds(self) -> None:
        """All that an approval may rest on."""
        self.emit("trainer", "dataset.registered", self.data, digest=digest(self.data))
        self.emit("trainer", "dataset.quality_assessed", self.data, verdict="pass")
        read = [{"role": "input", "subject": self.data, "digest": digest(self.data)}]
        self.emit("trainer", "run.completed", self.run, inputs=read)
        self.do("version.registered")
        if self.environment == "stage":
            return
        self.do("evaluation.completed")
        for event in ("validation.completed", "contract.defined", *self.told):
            self._say(event, "as before")
        self.ask_for_waiver(self.waiver)
        self.emit("p-second", "waiver.granted", self.waiver, rationale="for now")
        self._gate("allow")

    def ask_for_waiver(self, waiver: str) -> None:
        self.emit(
            "trainer", "waiver.requested", waiver, check="drift", model=self.model, environment=self.environment,
            owner="p-author", reason="late", compensating_control="a person looks", expires_at=self.at(500),
        )  # fmt: skip

    def cites(self) -> list[dict[str, Any]]:
        """All that was recorded in this life, as a decision cites it."""
        rows = self.book.cast.recorder.rows(self._start, self.book.size)
        return [{"index": row.entry.index, "leaf_hash": row.leaf_hash.hex()} for row in rows]

    def _validate(self, verdict: str) -> None:
        self.emit("p-approver", "validation.completed", self.model, verdict=verdict, independence="another team")

    def _agree(self, output: str) -> None:
        self.emit("trainer", "contract.defined", self.model, input_schema=digest("in"), output_schema=digest(output))

    def _gate(self, result: str) -> None:
        checks = [{"check": "drift", "result": "waived", "reason": "x", "waiver": self.waiver}]
        self.emit(
            "p-deployer", "gate.evaluated", self.model, environment=self.environment, policy="policy:p@1",
            policy_digest=_POLICY, digest=digest(self.model), input_digest=digest("document"),
            size=self.book.size, as_of=self.at(0), result=result, checks=checks, engine="cel 1",
            deployment=self.place,
        )  # fmt: skip

    # -- by a row of the table -------------------------------------------------------------------

    def prepare(self, move: Move, of: str) -> None:
        """Lead it to the state that a row leads from; to that one of several ways in which the row leads out of it."""
        self.told = (move.event,) if move.event in _TOLD else ()
        if move.to == "approved" and of == "suspended" and move.event != "approval.granted":
            self.reach("approved")
            self._say(str(move.event), "less")
        else:
            if move.event == "key.compromised":
                self.approver = "p-stolen"
            self.reach(of)

    def follow(self, move: Move, of: str) -> None:
        """Do what a row says."""
        if move.other:
            self._other(str(move.event))
        elif move.to == "suspended" and move.event != "approval.revoked":
            self._fall(str(move.event))
        elif move.to == "approved" and of == "suspended" and move.event != "approval.granted":
            self._say(str(move.event), "as before")
        else:
            self.do(move.event, move.to)

    def _other(self, event: str) -> None:
        """Something happens to another version, where this one is live."""
        self.emit("p-deployer", event, self.place, model=self.other, digest=digest(self.other))

    def _measure(self, verdict: str, **more: str) -> None:
        self.emit(
            "trainer", "evaluation.completed", self.model, metrics={"auc": 0.9}, verdict=verdict,
            digest=digest(self.model), **more,
        )  # fmt: skip

    def _say(self, event: str, what: str) -> None:
        """Something that an approval rests on is said: as it was when it was given, or less."""
        good = what == "as before"
        verdict, other = ("pass", "as before") if good else ("fail", "other")
        match event:
            case "evaluation.completed":
                self._measure(verdict)
            case "validation.completed":
                self._validate(verdict)
            case "contract.defined":
                self._agree("out" if good else "other")
            case "gate.evaluated":
                self._gate("allow" if good else "deny")
            case "performance.tested":
                self.emit("trainer", event, self.model, verdict=verdict)
            case "artifact.scanned":
                self.emit("trainer", event, self.model, digest=digest(self.model), scanner="s", verdict=verdict)
            case "artifact.verified":
                self.emit("trainer", event, self.model, digest=digest(self.model), method="key", verdict=verdict)
            case "modelcard.revised":
                self.emit("trainer", event, self.model, digest=digest(other))
            case "documentation.attached":
                self.emit("trainer", event, self.model, kind="DPIA", digest=digest(other))
            case "risk.classified":
                self.emit("p-second", event, self.model, tier="high" if good else "medium", rationale="x")
            case "dataset.quality_assessed":
                self.emit("trainer", event, self.data, verdict=verdict)
            case "dataset.consent_changed":
                self.emit("trainer", event, self.data, status="granted" if good else "withdrawn")
            case _:
                raise AssertionError(event)

    def _fall(self, event: str) -> None:
        """What an approval rests on says less."""
        match event:
            case "evaluation.invalidated":
                self.emit("trainer", event, self.model, evaluation=self.ids["evaluation.completed"], reason="leak")
            case "validation.withdrawn":
                body = {"validation": self.ids["validation.completed"], "reason": "too little"}
                self.emit("p-approver", event, self.model, **body)
            case "waiver.revoked":
                self.emit("p-second", event, self.waiver, reason="enough")
            case "run.failed":
                self.emit("trainer", event, self.run, reason="it read too little")
            case "dataset.deleted":
                self.emit("trainer", event, self.data, reason="retention")
            case "version.demoted":
                self.emit("p-author", event, self.model, environment=self.environment, reason="drifts")
            case "key.compromised":
                self.book.compromise(self.approver)
            case _:
                self._say(event, "less")

    def do(self, event: str | None, to: str = "") -> None:
        """One event about the version, or time."""
        place = {"model": self.model, "digest": digest(self.model)}
        match event:
            case None:
                self.book.clock.now += (2 if to == "approved" else 100) * HOUR
            case "version.registered":
                body = {"digest": digest(self.model), "owner": "p-author", "tier": "high", "run": self.run}
                self.emit("trainer", event, self.model, **body)
            case "evaluation.completed":
                self._measure("pass")
            case "canary.stage_entered":
                self.emit("p-deployer", event, self.place, **place, stage=1, traffic=0.1)
            case "canary.aborted":
                self.emit("p-deployer", event, self.place, **place, reason="slow")
            case "version.retired":
                self.emit("p-author", event, self.model, reason="old")
            case "model.decommissioned":
                self.emit("p-author", event, self.model.partition("@")[0], reason="old")
            case "quarantine.placed":
                self.emit("p-deployer", event, self.model, reason="poisoned")
            case _ if event.startswith("approval."):
                self._decide(event, to)
            case _:
                self.emit("p-deployer", event, self.place, **place)

    def _decide(self, event: str, to: str) -> None:
        where = {"environment": self.environment, "digest": digest(self.model)}
        about = {"request": self.ids.get("approval.requested", str(UUID(int=0))), "rationale": "so it is"}
        match event:
            case "approval.requested":
                if self.twice:
                    self.ids.setdefault("first", self.emit("p-author", event, self.model, **where).id)
                self.emit("p-author", event, self.model, **where)
            case "approval.granted":
                self._approve(to)
            case "approval.rejected":
                self.emit("p-second", event, self.model, **where, **about)
            case "approval.changes_requested":
                self.emit("p-second", event, self.model, **where, **about, changes=["measure more"])
            case "approval.withdrawn":
                self.emit("p-author", event, self.model, request=about["request"], reason="not yet")
            case "approval.revoked":
                body = {"approval": self.ids["approval.granted"], "rationale": "bias"}
                self.emit("p-second", event, self.model, **body)
            case "approval.condition_met":
                self.emit("p-second", event, self.model, approval=self.ids["approval.granted"], condition=0)
            case _:
                raise AssertionError(event)

    def _approve(self, to: str) -> None:
        again = "approval.granted" in self.ids
        actor = "p-second" if again else self.approver
        more: dict[str, Any] = {"conditions": ["a monitor is on"]} if to == "conditions open" else {}
        more |= {"valid_from": self.at(1)} if to == "approval upcoming" else {}
        receipt = commands.approve(
            self.book.cast[actor], self.model, self.environment, rationale="fit", expires_at=self.at(50), **more
        )
        self.ids["approval.granted"] = receipt.id
