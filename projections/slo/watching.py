"""Watching promises: what is breached is recorded, and what is decided by rule; nothing is done by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger.application import Ledger, Receipt
from ledger.commands import seen_head
from ledger.crashpoints import crashpoint
from ledger.entry import format_time
from ledger.errors import ConflictError, InputError
from ledger.events.monitors import BurnRule, duration_us
from projections.asof import AsOf, resolve_as_of
from projections.base import ViewReader
from projections.journal import JOURNAL, JournalRow, journal_rows
from projections.loaded import told_of
from projections.runner import Runner
from projections.service import Decision, Key, Service, Tenure, read_service
from projections.slo.burning import Assessment, Burn, assess
from projections.slo.burnt import burnt
from projections.slo.fallback import known_good
from projections.slo.promises import Promise, promises_about, read_promises
from projections.slo.windows import Window

__all__ = ["Watch", "deployments_named", "deployments_of", "look"]

_RANK: Final = {"hold": 1, "rollback": 2}
_EVIDENCE: Final = 256
_STEPS: Final = 64
_TRIES: Final = 8


def deployments_of(views: ViewReader, as_of: AsOf) -> list[str]:
    """Every deployment in which something was ever live or a canary, or of which a platform told what is loaded.

    Args:
        views: the views.
        as_of: what was known.
    """
    kinds = ("deployment.completed", "deployment.promoted", "rollback.completed", "canary.stage_entered")
    rows = journal_rows(views, [("type", "IN", kinds), ("verdict", "=", "valid")], size=as_of.size)
    served = {row["stream"] for row in rows if row["occurred_at"] <= as_of.bound}
    return sorted(served | set(told_of(views, as_of)))


def deployments_named(views: ViewReader, as_of: AsOf, names: Sequence[str]) -> list[str]:
    """The deployments that are asked for; every one of `deployments_of` where none is.

    Args:
        views: the views.
        as_of: what was known.
        names: ``deployment:<environment>/<service>``, of which something must be recorded.

    Raises:
        InputError: nothing is recorded of one of them.
    """
    for name in names:  # all of them before anything is decided about one
        if not views.select(JOURNAL, [("stream", "=", name), ("position", "<=", as_of.size)], limit=1):
            known = deployments_of(views, as_of)
            some = ", ".join(known[:8]) + (", …: muniment state" if len(known) > 8 else "")
            raise InputError(f"nothing is recorded of {name}", hint=f"Deployments here: {some or 'none yet'}")
    return list(names) or deployments_of(views, as_of)


def look(ledger: Ledger, views: ViewReader, as_of: AsOf, service: Service, *, now: int) -> list[Assessment]:
    """How the promises about a deployment are kept.

    Args:
        ledger: the log.
        views: its views.
        as_of: what was known.
        service: the deployment.
        now: microseconds since the Unix epoch.
    """
    promises = promises_about(read_promises(views, as_of), service.name)
    return [one for promise in promises for one in assess(ledger, views, as_of, promise, service, now=now)]


@dataclass(frozen=True)
class _Cause:
    """Why something is decided about a version; ``cited`` are the entries it rests on."""

    promise: Promise
    tenure: Tenure
    breach: JournalRow
    action: str
    words: str
    cited: list[int]
    within: str | None = None
    latest: int = -1  # the last entry by which it is so
    rules: Sequence[BurnRule] = ()  # by which a version that served before is no better


@dataclass(frozen=True)
class _Step:
    """An event to record."""

    kind: str
    body: Mapping[str, Any]
    causation: str | None = None


def open_breach(service: Service, name: str, tenure: Tenure) -> JournalRow | None:
    """The breach of a promise by a version that nobody has said to be over.

    Args:
        service: the deployment.
        name: of the promise.
        tenure: the version; what was before it served does not count.
    """
    about = (
        row
        for row in service.breaches
        if row["data"]["slo"] == name
        and row["data"].get("model") in (None, tenure.model)
        and row["index"] > tenure.index
    )
    last = max(about, key=lambda row: row["index"], default=None)
    return last if last is not None and last["type"] == "slo.breached" else None


def by_rule(service: Service, decision: Decision) -> bool:
    """Whether a breach led to a decision."""
    return decision.row["data"].get("trigger") in {row["id"] for row in service.breaches}


class Watch:
    """Records breaches of promises, recoveries, and decisions by rule.

    Whoever asks again, also at the same time and elsewhere, records nothing twice: an event is only taken as long as
    nothing else was recorded about the deployment since it was looked at.

    Args:
        ledger: open, signing as the watcher.
        runner: its views.
        now: microseconds since the Unix epoch.
    """

    def __init__(self, ledger: Ledger, runner: Runner, now: int) -> None:
        self._ledger = ledger
        self._runner = runner
        self._now = now

    def known(self) -> AsOf:
        """What is known now."""
        return resolve_as_of(self._ledger, self._runner.views, head=self._runner.catch_up())

    def read(self, deployment: str) -> Service:
        """A deployment as it is known now."""
        return read_service(self._runner.views, self.known(), deployment)

    def decide(self, deployment: str) -> list[Receipt]:
        """Record what is due about a deployment.

        Args:
            deployment: ``deployment:<environment>/<service>``.

        Returns:
            Receipts of what was recorded, in order.

        Raises:
            ConflictError: others record so much about it that there was no moment to do so.
            LedgerError: as `Ledger.emit`.
        """
        receipts: list[Receipt] = []
        tries = 0
        while len(receipts) < _STEPS:
            as_of = self.known()
            service = read_service(self._runner.views, as_of, deployment)
            step = next(self._due(as_of, service), None)
            if step is None:
                break
            revision = self._ledger.world.revision_before(deployment, as_of.size)
            expect = {deployment: revision}
            try:
                receipt = self._ledger.emit(step.kind, deployment, step.body, causation=step.causation, expect=expect)
            except ConflictError:
                tries += 1
                if tries == _TRIES:
                    raise
                continue
            receipts.append(receipt)
            crashpoint("watch.breached" if step.kind == "slo.breached" else "watch.decided")
        return receipts

    def _due(self, as_of: AsOf, service: Service) -> Iterator[_Step]:
        for promise in promises_about(read_promises(self._runner.views, as_of), service.name):
            for found in assess(self._ledger, self._runner.views, as_of, promise, service, now=self._now):
                yield from self._assessed(as_of, service, found)
            yield from self._told_breached(as_of, service, promise)

    def _assessed(self, as_of: AsOf, service: Service, found: Assessment) -> Iterator[_Step]:
        breach, firing = open_breach(service, found.promise.name, found.tenure), found.firing
        if firing is not None and breach is None:
            yield _Step("slo.breached", self._breached(found, firing))
        elif firing is not None and breach is not None and firing.rule.action is not None:
            rule, windows = firing.rule, _indexes(firing.long.windows, _EVIDENCE - 2)
            cited = [found.promise.index, breach["index"], *windows]
            words, action = _words(found, firing), str(rule.action)
            latest = max(window.index for window in firing.short.windows)
            cause = _Cause(
                found.promise, found.tenure, breach, action, words, cited, rule.respond_within, latest, [rule]
            )
            yield from self._decision(as_of, service, cause)
        elif breach is not None and found.over and breach["data"].get("rule") is not None:
            yield _Step("slo.recovered", {"slo": found.promise.name, **self._about(found)}, breach["id"])

    def _told_breached(self, as_of: AsOf, service: Service, promise: Promise) -> Iterator[_Step]:
        """Breaches that somebody else recorded."""
        action = promise.body.action
        for tenure in service.serving() if action is not None else ():
            breach = open_breach(service, promise.name, tenure)
            if breach is None or breach["data"].get("rule") is not None:
                continue
            if breach["data"].get("model") is None and tenure is not service.newest:
                continue
            words = f"{promise.name} is breached, says {breach['actor']} in entry {breach['index']}"
            cited, within = [promise.index, breach["index"]], promise.body.respond_within
            rules = promise.body.rules
            cause = _Cause(promise, tenure, breach, str(action), words, cited, within, breach["index"], rules)
            yield from self._decision(as_of, service, cause)

    def _about(self, found: Assessment) -> dict[str, Any]:
        return {"deployment": found.deployment, "model": found.tenure.model}

    def _breached(self, found: Assessment, firing: Burn) -> dict[str, Any]:
        cited = [found.promise.index, *_indexes(firing.long.windows, _EVIDENCE - 1)]
        rule = firing.rule.model_dump(mode="json", exclude_none=True)
        more = {"burn_rate": firing.long.burn_rate, "rule": rule, "evidence": self._evidence(cited)}
        return {"slo": found.promise.name, **self._about(found), **more}

    def _evidence(self, indexes: list[int]) -> list[dict[str, Any]]:
        leaves = ((index, self._ledger.world.leaf_hash(index)) for index in sorted(set(indexes)))
        return [{"index": index, "leaf_hash": leaf.hex()} for index, leaf in leaves if leaf is not None]

    def _decision(self, as_of: AsOf, service: Service, cause: _Cause) -> Iterator[_Step]:
        target, action, words = cause.tenure.key, cause.action, cause.words
        if action == "rollback":
            world = self._ledger.world.at(self._ledger.world.refresh())
            asked = [(cause.promise, cause.rules)]
            burns = burnt(self._ledger, self._runner.views, as_of, service, asked, now=self._now)
            fallback = cause.promise.body.fallback
            good = known_good(world, service, cause.tenure.key, fallback, now=self._now, burnt=burns)
            if good is None:
                action, words = "hold", f"{words}; there is no good version to return to"
            target = good or target
        if any(_covers(one, cause, action, target) for one in service.decisions):
            return
        body = {
            "model": target[0],
            "digest": target[1],
            "reason": f"{words}; by {cause.tenure.model}",
            "trigger": cause.breach["id"],
            "automatic": True,
            "due_at": None if cause.within is None else format_time(self._now + duration_us(cause.within)),
            "seen": seen_head(self._ledger),
            "evidence": self._evidence(cause.cited),
        }
        kind = "rollback.authorised" if action == "rollback" else "deployment.held"
        yield _Step(kind, body, cause.breach["id"])


def _covers(decision: Decision, cause: _Cause, action: str, target: Key) -> bool:
    """Whether a decision is the one that is called for, or one that goes further."""
    if _RANK[decision.action] < _RANK[action]:
        return False
    mine = decision.action == "rollback" or decision.key == cause.tenure.key
    if decision.status == "lifted" and decision.answer is not None and decision.answer["index"] < cause.latest:
        return False  # who lifted it did not know that it goes on
    stands = decision.status == "open" and mine and decision.row["index"] > cause.tenure.index
    if decision.status == "open" and decision.due_at is None and cause.within is not None:
        # It would never be overdue. Only against a person who chose another version the rule chooses none.
        return stands and not decision.row["data"].get("automatic") and decision.key != target
    return stands or bool(decision.row["data"].get("trigger") == cause.breach["id"])


def _indexes(windows: tuple[Window, ...], most: int) -> list[int]:
    return sorted(window.index for window in windows)[-most:]


def _words(found: Assessment, firing: Burn) -> str:
    rule, long, short = firing.rule, firing.long, firing.short
    return (
        f"{found.promise.name}: the error budget burns {long.burn_rate:g} times as fast as it may over {rule.long} and "
        f"{short.burn_rate:g} times over {rule.short}, which is a {rule.action} from {rule.burn_rate:g} on"
    )
