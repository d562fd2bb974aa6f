"""How one valid event changes a model and its versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType

from ledger.domain.actors import FOREVER, with_item
from ledger.domain.grounds import (
    VALIDATION,
    Contract,
    End,
    Gate,
    Grounds,
    Statement,
    Validation,
    last_word,
    standing_statements,
    stated,
)
from ledger.domain.recorded import RecordedEvent, actors_of
from ledger.domain.signed import signed_of
from ledger.domain.states import (
    SENT_BACK,
    TIER_RANK,
    Approval,
    ApprovalRequest,
    Evaluation,
    ModelState,
    Quarantine,
    Read,
    Refusal,
    VersionState,
    more_read,
    tier_at_first,
)
from ledger.events import Body, Ref
from ledger.events.approvals import (
    ApprovalChangesRequested,
    ApprovalConditionMet,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalWithdrawn,
)
from ledger.events.evaluations import EvaluationCompleted, EvaluationInvalidated
from ledger.events.governance import (
    ContractDefined,
    DocumentationAttached,
    RiskClassified,
    ValidationCompleted,
    ValidationWithdrawn,
)
from ledger.events.models import (
    ModelDecommissioned,
    ModelOwnerChanged,
    ModelRegistered,
    VersionComposed,
    VersionDemoted,
    VersionRegistered,
    VersionRetired,
)
from ledger.events.policies import GateEvaluated
from ledger.events.quarantine import QuarantinePlaced, QuarantineReleased
from ledger.payload import parse_moment

__all__ = ["evolve_model", "evolve_quarantines", "made_from", "reads_of"]


#: Roles of references to what a thing was made from.
_MADE_FROM = ("input", "derived-from", "composed-of")


def reads_of(refs: Iterable[Ref]) -> Iterator[Read]:
    """What references name, each with the digest that they give."""
    return ((ref.subject, ref.digest or "") for ref in refs)


def made_from(body: Body) -> Iterator[Read]:
    """What an event says in its general references that its subject was made from."""
    return reads_of(ref for ref in body.refs if ref.role in _MADE_FROM)


def _evaluated(version: VersionState, event: RecordedEvent, body: EvaluationCompleted) -> VersionState:
    if body.digest not in (None, version.digest):
        return version  # an evaluation of other bytes says nothing about this version
    data = None if body.dataset is None else (body.dataset, body.dataset_digest or "")
    suite = body.suite or body.kind or ""
    found = Evaluation(event.payload.id, signed_of(event), suite, body.says, event.occurred_at, data)
    known = [one for one in (*version.evaluations, *(one for _, one in version.undecided)) if one.suite == suite]
    last = last_word((one.newest, one.verdict, one) for one in (*known, found))
    if last is None or last[2] is not found:
        return version  # a late report, of what was measured before what stands, or is to be measured again
    found = replace(found, newest=last[0])
    others = (one for one in version.evaluations if one.suite != suite)
    passed, passes = version.passed, version.passes
    if found.verdict == "pass":
        passed, passes = found, with_item(version.passes, found.suite, event.index)
    undecided = tuple(one for one in version.undecided if one[1].suite != found.suite)
    return replace(version, evaluations=(*others, found), passed=passed, passes=passes, undecided=undecided)


def _without_evaluation(version: VersionState, event_id: str, index: int) -> VersionState:
    """What an invalidated evaluation took the place of does not come back: its suite is to be measured again."""
    gone = tuple(one for one in version.evaluations if one.id == event_id)
    rest = tuple(one for one in version.evaluations if one.id != event_id)
    passed = version.passed
    if passed is not None and (passed.id == event_id or any(one.suite == passed.suite for one in gone)):
        passed = next((one for one in reversed(rest) if one.verdict == "pass"), None)
    return replace(
        version, evaluations=rest, passed=passed, invalidated=version.invalidated | {event_id},
        undecided=(*version.undecided, *((index, one) for one in gone)),
    )  # fmt: skip


def _granted(model: ModelState, version: VersionState, event: RecordedEvent, body: ApprovalGranted) -> VersionState:
    seen = frozenset(item.index for item in body.evidence)
    name, contract = event.subject.version or "", model.contract_of(event.subject.version or "")
    grounds = Grounds(
        seen, tuple(one for one in model.validations_of(name, version.digest) if one.index in seen),
        contract if contract is not None and contract.index in seen else None,
        tuple(
            one for (_, place), one in version.gates.items() if place == body.environment and one.signed.index in seen
        ),
        tuple(one for one in model.statements_of(name) if one.index in seen),
    )  # fmt: skip
    ends = [model.ends[index].until for index in seen if index in model.ends]
    standing = {*version.evaluations, *([] if version.passed is None else [version.passed])}
    cited = sorted((one for one in standing if one.index in seen), key=lambda one: one.index)
    approval = Approval(
        event.payload.id, signed_of(event), body.request, body.environment, body.digest, actors_of(event),
        tuple(cited), grounds, 0 if body.valid_from is None else parse_moment(body.valid_from),
        min([FOREVER if body.expires_at is None else parse_moment(body.expires_at), *ends]),
        body.conditions,
    )  # fmt: skip
    return replace(version, approvals=(*version.approvals, approval))


def _closed(version: VersionState, event: RecordedEvent, request_id: str, how: str) -> VersionState:
    request = replace(version.requests[request_id], closed=how, ended=event.index)
    return replace(version, requests=with_item(version.requests, request_id, request))


def _turned_down(
    version: VersionState, event: RecordedEvent, request_id: str, how: str, why: Sequence[str | None]
) -> VersionState:
    """A request that is rejected or sent back; what its author says is told, and read by no rule: it may be sealed."""
    version = _closed(version, event, request_id, how)
    request, verb = version.requests[request_id], "sent back" if how == SENT_BACK else how
    said = f"{verb} the request of entry {request.index} for {request.environment}: {'; '.join(filter(None, why))}"
    found = Refusal(signed_of(event), actors_of(event), request.environment, request_id, None, said)
    return replace(version, refusals=(*version.refusals, found))


def _revoked(version: VersionState, event: RecordedEvent, approval_id: str, why: str) -> VersionState:
    (approval,) = (one for one in version.approvals if one.id == approval_id)
    gone = replace(approval, revoked=event.index)
    approvals = tuple(gone if one is approval else one for one in version.approvals)
    said = f"took back the approval of entry {gone.index} for {gone.environment}: {why}"
    found = Refusal(signed_of(event), actors_of(event), gone.environment, gone.request, gone.id, said)
    return replace(version, approvals=approvals, refusals=(*version.refusals, found))


def _met(version: VersionState, body: ApprovalConditionMet) -> VersionState:
    """An approval of which a condition is met."""
    return replace(version, approvals=tuple(
        replace(one, met=one.met | {body.condition}) if one.id == body.approval else one for one in version.approvals
    ))  # fmt: skip


def _gated(version: VersionState, event: RecordedEvent, body: GateEvaluated) -> VersionState:
    if body.mode != "enforce":
        return version  # what only warns decides nothing, whatever it says
    waivers = tuple(check.waiver for check in body.checks if check.result == "waived" and check.waiver)
    found = Gate(
        event.payload.id,
        signed_of(event),
        body.policy,
        body.policy_digest,
        body.digest,
        body.size,
        parse_moment(body.as_of),
        body.result == "allow",
        waivers,
        body.deployment or "",
    )
    return replace(version, gates=with_item(version.gates, (body.policy, body.environment), found))


def _evolve_version(model: ModelState, version: VersionState, event: RecordedEvent) -> VersionState:
    match event.body:
        case EvaluationCompleted() as body:
            return _evaluated(version, event, body)
        case EvaluationInvalidated() as body:
            return _without_evaluation(version, body.evaluation, event.index)
        case ApprovalRequested() as body:
            request = ApprovalRequest(
                event.payload.id, signed_of(event), body.environment, body.digest, actors_of(event)
            )
            return replace(version, requests=with_item(version.requests, event.payload.id, request))
        case ApprovalGranted() as body:
            return _granted(model, version, event, body)
        case ApprovalRejected(request=request_id, rationale=why):
            return _turned_down(version, event, request_id, "rejected", [why])
        case ApprovalChangesRequested(request=request_id, rationale=reason, changes=changes):
            return _turned_down(version, event, request_id, SENT_BACK, [reason, *changes])
        case ApprovalWithdrawn(request=request_id):
            return _closed(version, event, request_id, "withdrawn")
        case ApprovalRevoked(approval=approval_id, rationale=why):
            return _revoked(version, event, approval_id, why)
        case ApprovalConditionMet() as body:
            return _met(version, body)
        case GateEvaluated() as body:
            return _gated(version, event, body)
    return _described(version, event)


def _described(version: VersionState, event: RecordedEvent) -> VersionState:
    match event.body:
        case VersionRegistered():
            return replace(version, authors=version.authors | actors_of(event))
        case RiskClassified(tier=tier):
            return replace(version, classified=(event.index, tier))
        case VersionRetired():
            return replace(version, retired=signed_of(event))
        case VersionDemoted(environment=environment):
            return replace(version, demoted=with_item(version.demoted, environment, signed_of(event)))
        case VersionComposed() as body:
            parents = more_read(version.parents, (*reads_of(body.parents), *made_from(body)))
            return replace(version, parents=parents, authors=version.authors | actors_of(event))
    return version


def _validations(state: ModelState, event: RecordedEvent) -> tuple[Validation, ...]:
    body = event.body
    if isinstance(body, ValidationWithdrawn):
        return tuple(replace(v, withdrawn=True) if v.id == body.validation else v for v in state.validations)
    if not isinstance(body, ValidationCompleted):
        return state.validations
    until = FOREVER if body.valid_until is None else parse_moment(body.valid_until)
    found = Validation(
        event.payload.id, event.subject.version or "", body.digest or "", signed_of(event), body.verdict, until,
        event.occurred_at, withdrawn=event.payload.id in state.withdrawn,
    )  # fmt: skip
    about = (found.version, found.digest)
    known = [one for one in state.validations if (one.version, one.digest) == about]
    last = last_word((one.newest, one.verdict, one) for one in (*known, found))
    if last is None or last[2] is not found:
        return state.validations
    others = (one for one in state.validations if (one.version, one.digest) != about)
    return (*others, replace(found, newest=last[0]))


def _validated(state: ModelState, event: RecordedEvent) -> MappingProxyType[str, tuple[str, str]]:
    if not isinstance(event.body, ValidationCompleted):
        return state.validated
    return with_item(state.validated, event.payload.id, (event.subject.version or "", event.body.digest or ""))


def _withdrawn(state: ModelState, event: RecordedEvent) -> MappingProxyType[str, int]:
    if not isinstance(event.body, ValidationWithdrawn):
        return state.withdrawn
    return with_item(state.withdrawn, event.body.validation, event.index)


def _contracts(state: ModelState, event: RecordedEvent) -> MappingProxyType[str, Contract]:
    body = event.body
    if not isinstance(body, ContractDefined):
        return state.contracts
    says = (body.input_schema, body.output_schema, bool(body.breaking))
    return with_item(state.contracts, event.subject.version or "", Contract(event.index, says))


def _statements(state: ModelState, event: RecordedEvent) -> MappingProxyType[str, tuple[Statement, ...]]:
    found = stated(event)
    if found is None:
        return state.statements
    about, new = found
    if new.kind.judged and about in state.versions:
        about = state.versions[about].digest  # of its bytes, under whatever name
    return with_item(state.statements, about, standing_statements((*state.statements.get(about, ()), new)))


def evolve_quarantines(known: tuple[Quarantine, ...], event: RecordedEvent) -> tuple[Quarantine, ...]:
    """Quarantines of a thing and its versions after one event of its stream."""
    match event.body:
        case QuarantinePlaced(reason=reason):
            version = event.subject.version or ""
            return (*known, Quarantine(event.payload.id, version, signed_of(event), reason, actors_of(event)))
        case QuarantineReleased(quarantine=released):
            return tuple(one for one in known if one.id != released)
    return known


def _ends(state: ModelState, event: RecordedEvent) -> MappingProxyType[int, End]:
    """Ends of validations and documents, also of those that have none: they may take the place of one that ends."""
    late = False
    match event.body:
        case ValidationCompleted(valid_until=until):
            late = all(one.index != event.index for one in _validations(state, event))
            name, digest = VALIDATION, event.body.digest or ""
        case DocumentationAttached(expires_at=until, kind=kind):
            name, digest = f"the document {kind}", ""
        case _:
            return state.ends
    until_then = FOREVER if until is None else parse_moment(until)
    return with_item(state.ends, event.index, End(event.subject.version or "", name, digest, until_then, late))


def _evolve_whole(state: ModelState, event: RecordedEvent) -> ModelState:
    match event.body:
        case RiskClassified(tier=tier):
            return replace(state, classified=(event.index, tier), highest=(tier,))
        case ModelRegistered(owner=owner) | ModelOwnerChanged(owner=owner):
            return replace(state, owners=(*state.owners, (event.index, owner)))
        case ModelDecommissioned():
            ended = {
                name: version if version.retired else replace(version, retired=signed_of(event))
                for name, version in state.versions.items()
            }
            return replace(state, versions=MappingProxyType(ended))
    return state


def _highest(state: ModelState) -> tuple[str, ...]:
    of_model = () if state.classified is None else (state.classified[1],)
    return (max([*of_model, *map(state.tier_of, state.versions.values())], key=TIER_RANK.__getitem__),)


def evolve_model(state: ModelState | None, event: RecordedEvent) -> ModelState:
    """The state of a model after one valid event of its stream."""
    state = state or ModelState(MappingProxyType({}))
    state = replace(
        state, quarantines=evolve_quarantines(state.quarantines, event), ends=_ends(state, event),
        validations=_validations(state, event), validated=_validated(state, event),
        withdrawn=_withdrawn(state, event), contracts=_contracts(state, event), statements=_statements(state, event),
    )  # fmt: skip
    name = event.subject.version
    if name is None:
        return _evolve_whole(state, event)
    if name in state.versions:  # the same bytes may be registered again, for example by a retried job
        version = _evolve_version(state, state.versions[name], event)
        state = replace(state, versions=with_item(state.versions, name, version))
        return replace(state, highest=_highest(state)) if isinstance(event.body, RiskClassified) else state
    if isinstance(event.body, VersionRegistered):
        body, tier = event.body, tier_at_first(event.body.tier, state.highest)
        version = VersionState(
            body.digest, body.owner, body.tier, tier, body.run, signed_of(event), actors_of(event),
            parents=more_read((), made_from(body)),
        )  # fmt: skip
        same = (*state.named.get(body.digest, ()), name)
        return replace(
            state, versions=with_item(state.versions, name, version), named=with_item(state.named, body.digest, same),
            highest=(tier,),
        )  # fmt: skip
    return state
