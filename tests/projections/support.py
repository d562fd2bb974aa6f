"""A ledger with a story in it: who did what, and when they say that it happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from ledger import commands
from ledger.application import Ledger, Receipt
from ledger.creation import DEFAULT_RULES
from ledger.domain import make_event
from ledger.emission import build_payload
from ledger.envelope import sign_payload
from ledger.errors import InputError
from ledger.events import Category, known_event_type
from ledger.events.ledgers import RuleSet
from ledger.keys import Signer
from ledger.mapper import EventMapper, SignedStoredEvent
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.units import Unit
from ledger.stored import LogReader, Row
from projections.asof import AsOf, resolve_as_of
from projections.catalogue import open_runner
from projections.comparing import compare
from projections.history import history
from projections.impact import impact
from projections.inventory import inventory
from projections.lineage_nodes import answer as lineage
from projections.model_state import state_as_of
from projections.reports import REPORTS, ReportContext
from projections.runner import Runner
from projections.suspension import suspend
from projections.timeline import incident_timeline
from projections.tracing import trace
from projections.waivers import waivers
from projections.why import why
from tests.contract.support import Cast, digest, make_cast

START = datetime(2026, 11, 1, tzinfo=UTC)
PROD = "deployment:prod/scoring"
DEV = "deployment:dev/scoring"
INCIDENT = "incident:inc-1"
SECOND = "model:scoring@2"
CONTROLS = (
    "four-eyes-before-authorise",
    "same-digest",
    "evaluation-before-approval",
    "training-provenance",
    "deployment-authorised",
    "rollback-target-once-live",
    "gate-before-authorise",
    "emergency-reviewed",
)


def when(hours: float) -> str:
    """A time of the story, so many hours after its start."""
    return (START + timedelta(hours=hours)).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Clock:
    """The store's clock: one second later at every append, far from the times of the story."""

    def __init__(self, at: datetime = START + timedelta(days=365)) -> None:
        self.now = int(at.timestamp()) * 1_000_000

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now


@dataclass
class Book:
    """A ledger, its actors and its views.

    Every method that appends takes the hour ``at`` at which it is said to have happened.
    """

    cast: Cast
    runners: list[Runner] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    @property
    def url(self) -> str:
        return self.cast.url

    @property
    def ledger(self) -> Ledger:
        return self.cast.admin

    @property
    def size(self) -> int:
        return self.cast.recorder.head().size

    # -- writing ------------------------------------------------------------------------------------------------

    def emit(
        self, actor: str, kind: str, subject: str, data: Mapping[str, Any] | None = None, *, at: float, **more: Any
    ) -> Receipt:
        return self.cast[actor].emit(kind, subject, data, occurred_at=when(at), **more)

    def dataset(self, subject: str, at: float, *, of: str | None = None, **more: Any) -> Receipt:
        refs = [{"role": "derived-from", "subject": of, "digest": digest(of)}] if of else []
        return self.emit(
            "trainer", "dataset.registered", subject, {"refs": refs}, at=at, digest=digest(subject), **more
        )

    def train(
        self,
        model: str,
        at: float,
        *,
        inputs: tuple[str | tuple[str, str], ...],
        run: str | None = None,
        **started: Any,
    ) -> str:
        """A run with everything that provenance asks for; returns its name. Inputs are names, or names with digests."""
        run = run or f"run:{model.partition(':')[2].replace('@', '-')}"
        named = [(item, digest(item)) if isinstance(item, str) else item for item in inputs]
        read = [{"role": "input", "subject": name, "digest": bytes_} for name, bytes_ in named]
        body = {
            "job": "train",
            "seed": 7,
            "inputs": read,
            "parameters": {"depth": 6},
            "code": {"commit": "c0ffee"},
            "environment": digest("lock file"),
            **started,
        }
        self.emit("trainer", "run.started", run, body, at=at)
        made = [{"role": "output", "subject": model, "digest": digest(model)}]
        self.emit("trainer", "run.completed", run, {"outputs": made}, at=at + 0.1, metrics={"auc": 0.9})
        return run

    def register(self, model: str, at: float, *, run: str | None = None, owner: str = "p-author") -> Receipt:
        body = {"digest": digest(model), "owner": owner, "tier": "high", "run": run}
        return self.emit("trainer", "version.registered", model, body, at=at)

    def evaluate(self, model: str, at: float, *, verdict: str = "pass", auc: float = 0.9) -> Receipt:
        body = {"metrics": {"auc": auc}, "verdict": verdict, "digest": digest(model)}
        return self.emit("trainer", "evaluation.completed", model, body, at=at)

    def request(self, model: str, at: float, environment: str = "prod") -> Receipt:
        return commands.request_approval(self.cast["p-author"], model, environment, occurred_at=when(at))

    def approve(self, model: str, at: float, environment: str = "prod") -> Receipt:
        actor = self.cast["p-approver"]
        return commands.approve(actor, model, environment, rationale="measured and fit", occurred_at=when(at))

    def reject(self, model: str, at: float) -> Receipt:
        return commands.reject(self.cast["p-approver"], model, rationale="unfit for some", occurred_at=when(at))

    def authorise(self, model: str, at: float, deployment: str = PROD, **more: Any) -> Receipt:
        return commands.authorise(self.cast["p-deployer"], deployment, model, occurred_at=when(at), **more)

    def deploy(self, model: str, at: float, deployment: str = PROD, **more: Any) -> Receipt:
        return commands.record_deployment(self.cast["p-deployer"], deployment, model, occurred_at=when(at), **more)

    def roll_back(self, model: str, at: float, deployment: str = PROD) -> Receipt:
        return commands.record_rollback(self.cast["p-deployer"], deployment, model, occurred_at=when(at))

    def version(
        self, model: str, at: float, *, inputs: tuple[str | tuple[str, str], ...] = ("dataset:base@1",), **started: Any
    ) -> None:
        """Train, register and evaluate."""
        run = self.train(model, at, inputs=inputs, **started)
        self.register(model, at + 0.2, run=run)
        self.evaluate(model, at + 0.3)

    def release(self, model: str, at: float, deployment: str = PROD) -> Receipt:
        """Request, approve, authorise and deploy, a quarter of an hour apart."""
        environment = deployment.partition(":")[2].partition("/")[0]
        self.request(model, at, environment)
        self.approve(model, at + 0.25, environment)
        self.authorise(model, at + 0.5, deployment)
        return self.deploy(model, at + 0.75, deployment)

    def open_incident(self, at: float, **more: Any) -> Receipt:
        body = {"title": "scores drift", "deployment": PROD, **more}
        return self.emit("p-deployer", "incident.opened", INCIDENT, body, at=at)

    def compromise(self, actor: str, since: int | None = None) -> Receipt:
        """An actor's first key was in other hands from an entry on; from its first use when None."""
        keyid = self.cast.keys[actor].public.keyid
        first = next(row.entry.index for row in self.cast.recorder.rows(0, self.size) if keyid in row.entry.keys)
        body = {"keyid": keyid, "since": first + 1 if since is None else since, "reason": "stolen"}
        return self.ledger.emit("key.compromised", f"actor:{actor}", body)

    def force(self, actor: str, kind: str, subject: str, data: Mapping[str, Any], *, at: float) -> int:
        """Put a validly signed event into the store behind the judge's back; returns its index."""
        signer = self.cast.keys[actor]
        return force_event(self.cast.recorder, actor, signer, kind, subject, data=data, occurred_at=when(at))

    # -- reading ------------------------------------------------------------------------------------------------

    def runner(self, ledger: Ledger | None = None) -> Runner:
        """A runner over the views beside the log; closed with the book."""
        self.runners.append(open_runner(ledger or self.ledger, self.url))
        return self.runners[-1]

    def reader(self) -> Reader:
        """The views, brought up to the head."""
        runner = self.runners[0] if self.runners else self.runner()
        return Reader(self.ledger, runner, runner.catch_up())

    def state(self, subject: str | None = None, **as_of: Any) -> dict[str, Any]:
        return self.reader().state(subject, **as_of)

    def status(self, model: str, **as_of: Any) -> str:
        ((version,),) = [item["versions"] for item in self.state(model, **as_of)["models"]]
        return str(version["status"])

    def timeline(self, incident: str = INCIDENT, **as_of: Any) -> dict[str, Any]:
        return self.reader().timeline(incident, **as_of)

    def report(self, **as_of: Any) -> dict[str, Any]:
        return self.reader().report(**as_of)

    def findings(self, **as_of: Any) -> dict[str, str]:
        """State of every control."""
        return {finding["control"]: finding["state"] for finding in self.report(**as_of)["findings"]}

    def close(self) -> None:
        for runner in self.runners:
            runner.views.close()
        self.cast.recorder.close()


@dataclass
class Reader:
    """Answers from views that stand at a size. ``at`` is an hour of the story, ``known`` a log size."""

    ledger: Ledger
    runner: Runner
    size: int

    def as_of(self, at: float | None = None, known: int | None = None) -> AsOf:
        return resolve_as_of(
            self.ledger,
            self.runner.views,
            at=None if at is None else when(at),
            known_at=None if known is None else str(known),
            head=self.size,
        )

    def state(self, subject: str | None = None, **as_of: Any) -> dict[str, Any]:
        return state_as_of(self.runner.views, self.as_of(**as_of), subject)

    def timeline(self, incident: str = INCIDENT, **as_of: Any) -> dict[str, Any]:
        return incident_timeline(self.runner.views, self.as_of(**as_of), incident)

    def report(self, environment: str | None = None, **as_of: Any) -> dict[str, Any]:
        context = ReportContext(self.ledger, self.runner.views, self.as_of(**as_of), environment=environment)
        return REPORTS["control-assessment"].generate(context)

    def answers(self, incident: str | None = INCIDENT, **as_of: Any) -> str:
        """Everything that can be asked, as one text."""
        found: dict[str, Any] = {"as_of": self.as_of(**as_of).describe(), "state": self.state(**as_of)}
        found["report"] = self.report(**as_of)
        if incident is not None:
            try:
                found["timeline"] = self.timeline(incident, **as_of)
            except InputError as error:
                found["timeline"] = error.message
        return json.dumps(found, indent=1)

    def told(self, subjects: Iterable[str], second: str = SECOND, **as_of: Any) -> dict[str, Any]:
        """What the commands with two clocks say of some things, and what differs between each and another version.

        For decisions the moment is that of the last known entry.
        """
        known, views = self.as_of(**as_of), self.runner.views
        decided = AsOf(None, known.size, known.root, known.recorded_at)
        moment = known.recorded_at
        asked: dict[str, Callable[[str], Any]] = {
            "state": lambda name: suspend(self.ledger, views, known, state_as_of(views, known, name)),
            "lineage": lambda name: lineage(self.ledger, views, known, trace(views, known, name)),
            "impact": lambda name: impact(self.ledger, views, known, name),
            "history": lambda name: history(self.ledger, views, known, name),
            "why": lambda name: why(self.ledger, views, decided, moment, name),
            "diff": lambda name: compare(self.ledger, views, known, name, second),
            "timeline": lambda name: incident_timeline(views, known, name),
        }
        found: dict[str, Any] = {"inventory": inventory(self.ledger, views, known, moment)}
        found |= {"waivers": waivers(self.ledger, views, known, known.asked), "report": self.report(**as_of)}
        for name in subjects:
            for question, ask in asked.items():
                try:
                    found[f"{question} {name}"] = ask(name)
                except InputError as error:
                    found[f"{question} {name}"] = error.message
        return found


def open_book(url: str, *, clock: Clock | None = None, rules: RuleSet = DEFAULT_RULES, seeds: bool = False) -> Book:
    """Create a ledger with everybody in it.

    Args:
        url: an empty store.
        clock: the store's clock; `Clock` when None.
        rules: rules in force.
        seeds: whether the actors' keys are those of `tests.contract.support.seeded_key`.
    """
    clock = clock or Clock()
    cast = make_cast(url, rules=rules, actors=(), clock=clock)
    for seed, (actor, kind, roles, responsible) in enumerate(PEOPLE, start=1):
        cast.enrol(actor, kind, roles, responsible, seed if seeds else 0)
    return Book(cast, clock=clock)


PEOPLE: tuple[tuple[str, str, tuple[str, ...], str | None], ...] = (
    ("p-author", "person", ("owner", "emitter", "approver"), None),
    ("trainer", "service", ("emitter",), "p-author"),
    ("p-approver", "person", ("approver", "validator"), None),
    ("p-deployer", "person", ("deployer", "emitter"), None),
)


def tell(book: Book) -> None:
    """A whole story: two versions, a damaged data set, an incident, a rollback and a hotfix that nobody approved."""
    book.dataset("dataset:base@1", 0, row_count=1000)
    book.dataset("dataset:features@1", 1, of="dataset:base@1", row_count=1000)
    book.version("model:scoring@1", 2, inputs=("dataset:features@1",))
    book.release("model:scoring@1", 3)
    book.dataset("dataset:base@2", 10, row_count=400)
    book.dataset("dataset:features@2", 11, of="dataset:base@2", row_count=400)
    book.version("model:scoring@2", 12, inputs=("dataset:features@2",))
    book.release("model:scoring@2", 13)
    book.emit(
        "trainer", "monitor.signal", "monitor:scoring", at=14, metric="auc", value=0.6, baseline=0.9, deployment=PROD
    )
    book.open_incident(14.5, model="model:scoring@2", severity="high")
    book.roll_back("model:scoring@1", 15)
    book.emit("p-deployer", "incident.mitigated", INCIDENT, at=15.1)
    book.version("model:scoring@3", 15.2)
    book.deploy("model:scoring@3", 16)
    book.emit(
        "p-deployer", "incident.root_cause_recorded", INCIDENT, at=17, category="data", statement="rows were lost"
    )
    book.emit("p-deployer", "incident.closed", INCIDENT, at=18, summary="back on version 1")
    book.version("model:scoring@4", 20)
    book.request("model:scoring@4", 21)
    book.reject("model:scoring@4", 21.5)


@contextmanager
def closing(book: Book) -> Iterator[Book]:
    try:
        yield book
    finally:
        book.close()


def force_event(
    recorder: SqlRecorder, actor: str, signer: Signer, kind: str, subject: str, *, data: Mapping[str, Any], **more: Any
) -> int:
    """Sign an event and append it to the store without asking the judge; returns its index."""
    body = {name: value for name, value in data.items() if value is not None}
    payload, parsed = build_payload(
        ledgerid=recorder.identity().ledgerid, actor=actor, type=kind, subject=subject, data=body, emitter=str(uuid4()),
        sequence=1, **more,
    )  # fmt: skip
    envelope = sign_payload(payload, [signer])
    event = make_event(recorder.head().size, parsed, tuple(item.keyid for item in envelope.signatures), recorder.now())
    (outcome,) = recorder.append([Unit((EventMapper().to_signed(event, envelope),))])
    assert not isinstance(outcome, Exception), outcome
    return outcome[0].index


# -- the same log somewhere else ----------------------------------------------------------------------------------


def stored_event(row: Row) -> SignedStoredEvent:
    """What was handed to the recorder when this row was appended."""
    entry, kind = row.entry, known_event_type(row.entry.type)
    assert row.payload is not None
    assert row.signatures is not None
    return SignedStoredEvent(
        originator_id=entry.stream,
        originator_version=0,
        topic=entry.type,
        state=row.payload,
        actor=entry.actor,
        emitter=entry.emitter,
        envelope=entry.envelope,
        id=entry.id,
        item=entry.item,
        keys=entry.keys,
        payload=entry.payload,
        sequence=entry.sequence,
        subject=entry.subject,
        signatures=row.signatures,
        authority=kind is not None and kind.category is Category.AUTHORITY,
    )


def copy_log(source: LogReader, url: str) -> None:
    """Append the very same events to an empty store, at the same times by its clock."""
    times: list[int] = []
    copy = open_recorder(url, clock=lambda: times[-1])
    try:
        copy.create(source.identity())
        for row in source.rows(0, source.head().size):
            times.append(row.entry.recorded_at)
            (outcome,) = copy.append([Unit((stored_event(row),))])
            assert not isinstance(outcome, Exception), outcome
            assert outcome[0].leaf_hash == row.leaf_hash
    finally:
        copy.close()
