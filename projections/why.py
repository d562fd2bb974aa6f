"""Why a version may be deployed or not: the judge's own conditions, each with the entries that meet or break it.

Nothing here decides anything. What is allowed is asked of `ledger.domain.authorising`, which refuses authorisations,
and what stands of `ledger.domain.standing`; here the entries they speak of are looked up and told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from ledger.application import Ledger
from ledger.domain import RecordedEvent, make_event
from ledger.domain.actors import FOREVER
from ledger.domain.authorising import Condition, check_hold, conditions_of, deployment_doubt, hold_of
from ledger.domain.deployed import Hold
from ledger.domain.gating import waived_trouble
from ledger.domain.lifecycle import Named, quarantines_of, rule_for, version_of
from ledger.domain.stages import Place, stages_of, stopping_states
from ledger.domain.standing import approval_until, standing
from ledger.domain.states import SENT_BACK, VersionState
from ledger.domain.waiving import check_waiver_event, uses_of, waiver_of, waiver_until
from ledger.domain.world import model_of
from ledger.entry import format_time
from ledger.errors import InputError, LedgerError, PolicyError, UnknownThingError
from ledger.events import find_event_type
from ledger.events.deployments import DeploymentAuthorised
from ledger.events.evaluations import verdict_of
from ledger.events.ledgers import Rule
from ledger.events.waivers import WaiverUsed
from ledger.names import parse_name, stream_of
from ledger.payload import Payload
from ledger.worlds import WorldAt
from projections.asof import AsOf
from projections.authorised import ended_of
from projections.base import ViewReader
from projections.journal import JournalRow, journal_rows
from projections.model_state import periods, state_as_of
from projections.places import environments, held_in, imagined_place, returns_in
from projections.remarks import remark
from projections.service import read_service
from projections.settling import returns_of
from projections.suspension import Stamped
from projections.waivers import terms_of, terms_words

__all__ = ["why"]

_NOBODY: Final = str(UUID(int=0))
#: Fields of bodies in which people say why.
_WORDS: Final = ("rationale", "reason", "note")


@dataclass(frozen=True)
class _Moment:
    """The world in which something is asked, and when."""

    ledger: Ledger
    views: ViewReader
    size: int
    at: int

    @property
    def world(self) -> WorldAt:
        return self.ledger.world.at(self.size)

    def rows(self, indexes: list[int]) -> dict[int, JournalRow]:
        """Entries by index."""
        wanted = sorted({index + 1 for index in indexes})
        found = journal_rows(self.views, [("position", "IN", wanted)], size=self.size)
        return {row["index"]: row for row in found}


Item = dict[str, Any]


def _late_reports(version: VersionState, rows: Iterable[JournalRow]) -> Iterator[Item]:
    """Evaluations that came behind what stands of their suite, and were measured before what was known then."""
    last = {one.suite: one for one in (*version.evaluations, *(one for _, one in version.undecided))}
    for row in rows:
        data = row["data"]
        if row["type"] != "evaluation.completed" or data.get("digest") not in (None, version.digest):
            continue
        suite = data.get("suite") or data.get("kind") or ""
        if suite in last and row["index"] > last[suite].index:
            says, stands = f"{suite or 'evaluation'}: {verdict_of(data)}", last[suite]
            until = " until it is measured anew" if stands.verdict != "pass" else ""
            yield _item(row["index"], says, f"a late report: what entry {stands.index} says holds{until}")


def _item(index: int, says: str, trouble: str | None = None, **more: Any) -> Item:
    return {"index": index, "says": says, "holds": trouble is None, "trouble": trouble, **more}


def _ends(until: int) -> str | None:
    return None if until >= FOREVER else format_time(until)


def _imagined(moment: _Moment, model: str, digest: str, deployment: str) -> tuple[RecordedEvent, DeploymentAuthorised]:
    """An authorisation that somebody would sign now; who, is not asked here."""
    event = _event(moment, "deployment.authorised", deployment, {"model": model, "digest": digest})
    return event, DeploymentAuthorised(model=model, digest=digest)


def _event(moment: _Moment, type: str, subject: str, data: dict[str, str]) -> RecordedEvent:
    payload = Payload(
        _NOBODY, "nobody", find_event_type(type).topic, subject, moment.at, moment.ledger.ledgerid, _NOBODY, 1, None,
        None, None, "observed", data,
    )  # fmt: skip
    return make_event(moment.size, payload, (), moment.at)


def _using(moment: _Moment, model: str, deployment: str) -> WorldAt:
    """The world in which waivers whose uses are counted were used with the imagined decision, as they would be."""
    world = moment.world
    found = model_of(world, stream_of(model))
    version = None if found is None else found.versions.get(parse_name(model).version or "")
    gates = () if version is None else version.gates.values()
    for waiver in sorted({waiver for gate in gates for waiver in gate.waivers}):
        state = waiver_of(world, waiver)
        event = _event(moment, "waiver.used", waiver, {"deployment": deployment, "model": model})
        if state is None or state.max_uses is None or not isinstance(event.body, WaiverUsed):
            continue
        try:
            check_waiver_event(world, event, event.body)
        except LedgerError:
            continue  # what does not stand, or is for something else, is told by the judge
        world.follow(event)
    return world


class _Answer:
    """One question put to the judge: may, or might, this version be deployed there."""

    def __init__(
        self, moment: _Moment, event: RecordedEvent, body: DeploymentAuthorised, world: WorldAt | None = None,
        elsewhere: Sequence[tuple[str, Hold]] = (),
    ) -> None:  # fmt: skip
        self._moment = moment
        self._event = event
        self._body = body
        self.world = moment.world if world is None else world
        self.environment = event.subject.namespace or ""
        self._elsewhere_held = elsewhere
        self._stamped = Stamped(moment.ledger, moment.size)

    def told(self) -> dict[str, Any]:
        """The answer as plain values."""
        found: dict[str, Any] = {"model": self._body.model, "environment": self.environment}
        try:
            conditions = list(self._conditions())
            named = version_of(self.world, self._body.model)
            rule = rule_for(self.world, self.environment, named.tier)
        except (PolicyError, InputError) as error:
            found |= {"tier": None, "rule": None, "allowed": False, "until": None}
            return found | {"conditions": [self._broken("registered", error, self._registration())]}
        told, untils = [], []
        for condition, hold in conditions:
            evidence = (
                self._evidence(condition.name, named, rule) if hold is None else [_item(hold.index, "put on hold")]
            )
            try:
                until = condition.check()
            except LedgerError as error:
                told.append(self._broken(condition.name, error, evidence))
            else:
                untils.append(until)
                told.append({"condition": condition.name, "met": True, "reason": None, "next": None,
                             "until": _ends(until), "evidence": self._looked_up(evidence)})  # fmt: skip
        allowed = len(untils) == len(told)
        found |= {"tier": named.tier, "rule": rule.model_dump(mode="json"), "allowed": allowed}
        return found | {"until": _ends(min(untils)) if allowed else None, "conditions": told}

    def _conditions(self) -> Iterator[tuple[Condition, Hold | None]]:
        """What the judge asks, and holds in other deployments of the environment, where none of them was named."""
        for one in conditions_of(self.world, self._event, self._body):
            body, place = self._body, self._event.stream
            yield one, hold_of(self.world, place, body.model, body.digest) if one.name == "hold" else None
            for other, hold in self._elsewhere_held if one.name == "stops" else ():
                yield Condition("hold", partial(check_hold, other, body.model, hold, body.reason)), hold

    def _broken(self, name: str, error: LedgerError, evidence: list[Item]) -> dict[str, Any]:
        return {"condition": name, "met": False, "reason": error.message, "next": error.hint or None, "until": None,
                "evidence": self._looked_up(evidence)}  # fmt: skip

    def _registration(self) -> list[Item]:
        name = parse_name(self._body.model)
        model = model_of(self.world, stream_of(self._body.model))
        version = None if model is None else model.versions.get(name.version or "")
        return [] if version is None else [_item(version.index, "registered")]

    def _evidence(self, name: str, named: Named, rule: Rule) -> list[Item]:
        match name:
            case "stops":
                return list(self._stopping(named))
            case "evaluation":
                return [*self._evaluations(named.version), *self._elsewhere(named)]
            case "approvals":
                return list(self._approvals(named, rule))
            case "gate":
                return list(self._gate(named, rule))
        return []

    def _stopping(self, named: Named) -> Iterator[Item]:
        carried = named.version.tier_at_first
        more = "" if carried == named.version.tier else f"; its model, or a version before it, was of tier {carried}"
        yield _item(named.version.index, f"registered with tier {named.version.tier}{more}")
        if named.version.classified is not None or named.model.classified is not None:
            said = [known for known in (named.version.classified, named.model.classified) if known is not None]
            yield _item(max(said)[0], f"classified; tier {named.tier} is in force")
        for held in quarantines_of(self.world, named):
            says = f"{held.path[-1]} is in quarantine" if len(held.path) == 1 else held.words
            yield _item(held.index, says, held.quarantine.reason)
        if named.version.retired is not None:
            yield _item(named.version.retired.index, "retired", "it was retired")
        stopping = stopping_states(self.world, "deployment.authorised")
        place = Place(self.environment, self._event.stream, self._moment.at)
        for stage in stages_of(self.world, named, place) if stopping else ():
            if stage.state in stopping and self._body.emergency is None:
                yield _item(stage.index, stage.state, stage.words)

    def _evaluations(self, version: VersionState) -> Iterator[Item]:
        for one in version.evaluations:
            failed = "it failed" if one.verdict == "fail" else None
            yield _item(one.index, f"{one.suite or 'evaluation'}: {one.verdict}", failed)
        for _, one in version.undecided:
            yield _item(one.index, f"{one.suite or 'evaluation'}: {one.verdict}", "it was invalidated: measure again")
        # By the stream alone: a store that took the index of types would read all of that type.
        rows = journal_rows(self._moment.views, [("stream", "=", self._event_model())], size=self._moment.size)
        mine = [row for row in rows if row["subject"] == self._body.model and row["verdict"] == "valid"]
        yield from _late_reports(version, mine)
        for row in mine:
            if row["type"] == "evaluation.invalidated" and row["data"]["evaluation"] in version.invalidated:
                yield _item(row["index"], "an evaluation was invalidated", "it does not count")

    @staticmethod
    def _elsewhere(named: Named) -> Iterator[Item]:
        for name, one in named.failed_elsewhere:
            says = f"{one.suite or 'evaluation'}: {one.verdict}, of the same bytes as version {name}"
            yield _item(one.index, says, "it failed and was not measured again")

    def _event_model(self) -> str:
        return stream_of(self._body.model)

    def _approvals(self, named: Named, rule: Rule) -> Iterator[Item]:
        have = dict(standing(self.world, named, (self.environment, rule), self._moment.at).troubles)
        for request in named.version.requests.values():
            if request.environment == self.environment:
                ended = None if request.ended is None else f"it was {request.closed} by entry {request.ended}"
                yield _item(request.index, "asked for approval", ended)
                if request.ended is not None:
                    how = {"withdrawn": "withdrew", SENT_BACK: "sent back"}.get(request.closed or "", "rejected")
                    yield _item(request.ended, f"{how} the request of entry {request.index}")
        for one in named.version.approvals:
            if one.environment != self.environment:
                continue
            trouble = have[one.index].text if one.index in have else None
            if trouble is None and one.digest != named.version.digest:
                trouble = "it is for another digest"
            until = _ends(approval_until(self.world, named, one, rule))
            yield _item(one.index, "approved", trouble, until=until, conditions=[
                {"condition": words, "met": place in one.met} for place, words in enumerate(one.conditions)
            ])  # fmt: skip
            if one.revoked is not None:
                yield _item(one.revoked, "took the approval back", "it stands no more")

    def _gate(self, named: Named, rule: Rule) -> Iterator[Item]:
        gate = named.version.gates.get((rule.gate or "", self.environment))
        if gate is None:
            return
        row = self._moment.rows([gate.signed.index]).get(gate.signed.index)
        checks = [] if row is None else row["data"].get("checks", [])
        refused = None if gate.allowed else "it refuses"
        where = f" for {gate.deployment}" if gate.deployment else ""
        yield _item(gate.signed.index, f"{gate.policy} was run{where}", refused, checks=checks)
        for check in checks:
            state = waiver_of(self.world, check.get("waiver") or "") if check.get("result") == "waived" else None
            if state is None:
                continue
            trouble = waived_trouble(self.world, self._event, state)
            terms = terms_of(self._moment.rows([state.request.index])[state.request.index])
            told = terms_words(terms | {"reason": None})  # that is in the words of the entry
            says = f"{check['check']} is waived by {check['waiver']}, not met; {told}"
            if state.max_uses is not None:
                used = len(uses_of(self.world, state)) + (trouble is None)  # with the one that this decision takes
                says += f"; {used} of {state.max_uses} use(s) used"
            yield _item(state.request.index, says, trouble, until=_ends(waiver_until(self.world, state, named.subject)))
            if state.granted is not None:
                yield _item(state.granted.index, f"granted {check['waiver']}", trouble)

    def _looked_up(self, evidence: list[Item]) -> list[Item]:
        """Evidence with what its entries are: type, author, both clocks, hash, what it cited and says in words."""
        rows = self._moment.rows([item["index"] for item in evidence])
        found = []
        for item in evidence:
            row = rows.get(item["index"])
            if row is None:
                continue
            cites = [one["index"] for one in row["data"].get("evidence", []) if isinstance(one, dict)]
            said = [row["data"][name] for name in _WORDS if row["data"].get(name)][:1]
            words = "; ".join([*said, *(row["data"].get("changes") or ())]) or None
            found.append({
                "until": None, "conditions": [], "checks": [], **item, "type": row["type"], "subject": row["subject"],
                "actor": row["actor"], "occurred_at": format_time(row["occurred_at"]),
                "recorded_at": format_time(row["recorded_at"]), "leaf_hash": row["leaf_hash"], "words": words,
                "cites": cites, "suspect": self._stamped.suspect(row),
            })  # fmt: skip
        return found


def _digest(moment: _Moment, subject: str) -> str:
    name = parse_name(subject)
    model = model_of(moment.world, stream_of(subject))
    version = None if model is None else model.versions.get(name.version or "")
    return "" if version is None else version.digest


def _now(
    moment: _Moment, model: str, deployment: str, digest: str | None = None, elsewhere: Sequence[tuple[str, Hold]] = ()
) -> dict[str, Any]:
    """Whether a version might be authorised now; with other bytes than it is registered with, where some are given."""
    digest = digest or _digest(moment, model) or "sha256:" + "0" * 64
    event, body = _imagined(moment, model, digest, deployment)
    return {"asked": "now", "decision": None} | _Answer(
        moment, event, body, _using(moment, model, deployment), elsewhere
    ).told()


def _anywhere(moment: _Moment, model: str, environment: str) -> dict[str, Any]:
    """Whether a version might be authorised now in an environment, of which no deployment was named."""
    place = imagined_place(moment.world, model, environment)
    held = held_in(moment.world, moment.views, moment.size, model, environment)
    return _now(moment, model, place, elsewhere=[one for one in held if one[0] != place])


def _then(moment: _Moment, index: int) -> dict[str, Any] | None:
    """Why a recorded authorisation was allowed when it was given."""
    judged = moment.ledger.world.judge_row(moment.ledger.recorder.rows(index, 1)[0])
    event = judged.event
    if event is None or not isinstance(event.body, DeploymentAuthorised) or judged.verdict.kind != "valid":
        return None
    before = _Moment(moment.ledger, moment.views, index, event.recorded_at)
    suspect = Stamped(moment.ledger, moment.size).suspect({"actor": event.actor, "index": index})
    urgent = event.body.emergency
    stamp = {
        "index": index, "actor": event.actor, "recorded_at": format_time(event.recorded_at),
        "leaf_hash": judged.row.leaf_hash.hex(), "suspect": suspect, "reason": event.body.reason,
        "emergency": None if urgent is None else {"reason": urgent.reason, "review_by": urgent.review_by},
    }  # fmt: skip
    return {"asked": "then", "decision": stamp} | _Answer(before, event, event.body).told()


def _deployment(moment: _Moment, as_of: AsOf, subject: str) -> dict[str, Any]:
    """Why what is live in a deployment is, and whether it might be authorised again."""
    states = state_as_of(moment.views, as_of, subject)["deployments"]
    if not states:
        unknown = f"nothing was known about {subject} as of then"
        raise UnknownThingError(unknown, subject, hint="`muniment state` shows deployments.")
    (state,) = states
    remark(moment.world, moment.world, moment.views, state, moment.at)
    running = [period for period in periods(state) if period["until"] is None]
    live: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for period in running:
        given = [item for item in state["history"] if item["type"].endswith(".authorised")
                 and (item["model"], item["digest"]) == (period["model"], period["digest"])
                 and item["index"] < period["index"]]  # fmt: skip
        doubt = deployment_doubt(moment.world, subject, period["model"], period["digest"])
        rests_on, by = (given[-1]["index"], given[-1]["type"]) if given else (None, None)
        words = None if doubt is None else doubt.text
        over = ended_of(moment.views, state, period)
        live.append({**period, "rests_on": rests_on, "by": by, "doubt": words, "ended": over})
        then = _then(moment, given[-1]["index"]) if given else None
        answers += [] if then is None else [then]
        answers.append(_now(moment, period["model"], subject, period["digest"]))
    waiting = state["authorised"]
    if waiting is not None and all(period["model"] != waiting["model"] for period in running):
        then = _then(moment, waiting["index"])
        answers += [] if then is None else [then]
    serving = {(period["model"], period["digest"]) for period in running}
    emergencies = [one for one in state["emergencies"] if one["status"] in ("open", "overdue")
                   or (one["status"] == "unjustified" and (one["model"], one["digest"]) in serving)]  # fmt: skip
    service = read_service(moment.views, as_of, subject)
    told = ("index", "model", "actor", "status", "answer")
    decided = [one.describe(moment.at) for one in service.decisions if one.action == "hold"]
    holds = [{name: one[name] for name in told} for one in decided]
    returns = list(returns_of(service, moment.at))
    return {"live": live, "emergencies": emergencies, "holds": holds, "returns": returns, "answers": answers}


def why(
    ledger: Ledger, views: ViewReader, as_of: AsOf, at: int, subject: str, *, environment: str | None = None,
    deployment: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Why a version may be deployed or not, or why what is live in a deployment is.

    Args:
        ledger: the log.
        views: the views.
        as_of: both clocks, as `as_decided` gives them.
        at: the moment at which is asked, microseconds since the Unix epoch.
        subject: ``model:<name>@<version>`` or ``deployment:<environment>/<service>``.
        environment: of a version, only this one.
        deployment: where in that environment; when None, where that would most likely be.

    Returns:
        Plain values: ``answers``, each with its conditions and their evidence; of a deployment also ``live``,
        ``emergencies`` that wait for a review, and ``holds`` with what ended them; ``returns`` to other versions from
        what serves that were decided and are open.

    Raises:
        InputError: it is neither, nothing is known of the deployment, or no environment can be told.
    """
    name, moment = parse_name(subject), _Moment(ledger, views, as_of.size, at)
    if name.kind == "deployment":
        if environment is not None:
            raise InputError("an environment goes with a version; a deployment has its own", hint="Leave out --env.")
        return _deployment(moment, as_of, subject)
    if name.kind != "model" or name.version is None:
        raise InputError(f"{subject!r} is neither a version nor a deployment",
                         hint="muniment why model:<name>@<version>, or deployment:<environment>/<service>")  # fmt: skip
    world, size = moment.world, as_of.size
    places = [environment] if environment is not None else environments(world, views, size, subject)
    if not places:
        raise InputError("no rule names an environment, and nobody asked for one", hint="Say which: --env prod")
    if deployment is not None:
        answers, returns = [_now(moment, subject, deployment) for _ in places], []
    else:
        answers = [_anywhere(moment, subject, place) for place in places]
        returns = returns_in(views, as_of, subject, places, at)
    return {"live": [], "emergencies": [], "holds": [], "returns": returns, "answers": answers}
