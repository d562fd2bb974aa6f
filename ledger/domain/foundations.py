"""What an approval rests on: what its author has to cite, and how that is suspended afterwards."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.domain.actors import FOREVER
from ledger.domain.grounds import WORTH
from ledger.domain.lifecycle import Named, quarantines_of
from ledger.domain.states import CONSENT, DELETION, QUALITY, Approval, DatasetState, VersionState
from ledger.domain.waiving import grant_trouble, waiver_of, waiver_until
from ledger.domain.world import World, run_of
from ledger.events.ledgers import Rule
from ledger.names import parse_name, stream_of

__all__ = ["first_end", "foundation_trouble", "foundation_until", "grounds_of", "uncited", "unseen_fall"]


def _version(named: Named) -> str:
    return named.name.version or ""


def _needed(named: Named, rule: Rule, at: int) -> dict[int, str]:
    """Entries that the rules ask an approval to cite, each with what it is."""
    if not rule.approvals:
        return {}
    found = {named.version.index: "the registration"}
    if rule.evaluation:
        found |= {one.index: f"the evaluation {one.suite}".rstrip() for one in named.version.evaluations}
        found |= {
            one.index: "the validation"
            for one in named.model.validations_of(_version(named), named.version.digest) if at < one.until
        }  # fmt: skip
    return found


def uncited(named: Named, rule: Rule, seen: frozenset[int], place: tuple[int, int]) -> list[str]:
    """What the rules ask an approval to cite, and it does not.

    Args:
        named: the version.
        rule: the rule that holds.
        seen: indexes of what it cites.
        place: its own index and time; what came later it could not cite.

    Returns:
        In words, each with its index, oldest first.
    """
    index, at = place
    needed = _needed(named, rule, at)
    return [f"{needed[one]} (entry {one})" for one in sorted(needed) if one < index and one not in seen]


def grounds_of(world: World, named: Named, environment: str, at: int) -> list[int]:
    """Entries that an approval of a version now should cite: all that is known of it as it stands.

    Args:
        world: the world of whoever approves.
        named: the version.
        environment: for which it is approved.
        at: time; what has ended by then is left out, microseconds since the Unix epoch.

    Returns:
        Their indexes; first those that the rules may ask for.
    """
    version, name = named.version, _version(named)
    found = [version.index, *(one.index for one in version.evaluations)]
    found += [v.index for v in named.model.validations_of(name, version.digest) if at < v.until]
    run, contract = run_of(world, version.run or ""), named.model.contract_of(name)
    found += [one.index for one in (version.passed, run, contract) if one is not None]
    gates = [gate for (_, place), gate in version.gates.items() if place == environment]
    found += [gate.signed.index for gate in gates]
    waivers = [waiver_of(world, waiver) for gate in gates for waiver in gate.waivers]
    found += [one.granted.index for one in waivers if one is not None and one.granted is not None]
    for subject, data in _data_of(world, named):
        version_name = parse_name(subject).version
        said = (data.known(respect, version_name, FOREVER) for respect in (QUALITY, CONSENT, DELETION))
        found += [known.index for known in said if known is not None]
    found += _ending(named, at)
    ends = named.model.ends
    said_of = named.model.statements_of(name)
    found += [one.index for one in said_of if one.index not in ends or at < ends[one.index].until]
    return list(dict.fromkeys(found))


def _ending(named: Named, at: int) -> list[int]:
    """Validations and documents that end, but for those in whose place another one of their kind stands."""
    standing = {
        (end.version, end.name, end.digest): (index, end.until) for index, end in sorted(named.model.ends.items())
        if not end.late and at < end.until
        and end.version in ("", _version(named)) and end.digest in ("", named.version.digest)
    }  # fmt: skip
    return [index for index, until in standing.values() if until < FOREVER]


def _data_of(world: World, named: Named) -> Iterator[tuple[str, DatasetState]]:
    """Data sets that the run of a version read, and the runs of other versions of the model with the same bytes."""
    same = (named.model.versions[name].run for name in named.model.named[named.version.digest])
    runs = (run_of(world, name) for name in dict.fromkeys((named.version.run, *same)) if name is not None)
    for subject in dict.fromkeys(name for run in runs if run is not None for name, _ in run.inputs):
        state = world.looked_up(stream_of(subject)) if subject.startswith("dataset:") else None
        if isinstance(state, DatasetState):
            yield subject, state


def first_end(world: World, named: Named, cited: frozenset[int], environment: str) -> tuple[int, int, str] | None:
    """What ends first of what an approval given now rests on: when, its entry, and what it is in words.

    Args:
        world: the world before it.
        named: the version.
        cited: indexes of what it cites.
        environment: for which it is.

    Returns:
        The time in microseconds since the Unix epoch, the index and the words; None when nothing that it cites ends.
    """
    found = [
        (end.until, index, end.name) for index, end in named.model.ends.items() if index in cited
    ]  # fmt: skip
    for (_, place), gate in named.version.gates.items():
        if place == environment and gate.signed.index in cited:
            known = ((waiver, waiver_of(world, waiver)) for waiver in gate.waivers)
            found += [
                (waiver_until(world, state, named.subject), gate.signed.index, f"{waiver} of the gate")
                for waiver, state in known if state is not None
            ]  # fmt: skip
    first = min(found, default=None)
    return None if first is None or first[0] == FOREVER else first


def foundation_until(world: World, named: Named, approval: Approval) -> int:
    """Time at which the first waiver ends on which a gate rests that an approval cites."""
    waivers = [waiver_of(world, waiver) for gate in approval.grounds.gates for waiver in gate.waivers]
    return min([FOREVER, *(waiver_until(world, one, named.subject) for one in waivers if one is not None)])


def foundation_trouble(world: World, named: Named, approval: Approval, at: int) -> str | None:
    """Why what an approval cites carries it no more, None when it does.

    A successor takes nothing back as long as it says no less than what was cited.

    Args:
        world: the world of whoever asks.
        named: the version it is for.
        approval: the approval.
        at: time at which it is asked for, microseconds since the Unix epoch.
    """
    waived = _of_waivers(world, named, approval, at)
    judged = _of_judgements(named, approval) or _of_statements(named, approval)
    troubles = _of_evaluations(named.version, approval), judged, waived
    found = next((one for one in troubles if one is not None), None)
    # Whoever approves a version approves what it was made from, as that was.
    return _of_run(world, named, approval) if found is None else found


def _of_evaluations(version: VersionState, approval: Approval) -> str | None:
    if any(one.id in version.invalidated for one in approval.cited):
        return "an evaluation that it rests on was invalidated"
    present = {one.suite: one for one in version.evaluations}
    for suite, cited in {one.suite: one for one in approval.cited}.items():
        now = present.get(suite)
        if now is None:
            return f"what took the place of entry {cited.index}, on which it rests, was invalidated"
        if now.index > approval.index and WORTH[now.verdict] < WORTH[cited.verdict]:
            return _fallen(now.index, cited.index, now.verdict)
    return None


def unseen_fall(version: VersionState, approval: Approval) -> str | None:
    """Why an approval does not stand where evaluations are asked for: what it does not cite passed, and no more does.

    One that failed stops everybody; one that was uncertain from the first took nothing away.
    """
    cited = {one.suite for one in approval.cited}
    for one in version.evaluations:
        passed = version.passes.get(one.suite, -1)
        if one.suite not in cited and one.verdict == "uncertain" and passed > approval.index:
            return f"entry {one.index} says uncertain where entry {passed} said pass, and its author saw neither"
    return None


def _fallen(index: int, cited: int, says: str) -> str:
    return f"entry {index} took the place of entry {cited}, on which it rests, and says {says}"


def _of_judgements(named: Named, approval: Approval) -> str | None:
    """What became of validations, the contract and gates since."""
    present = {(one.version, one.digest): one for one in named.model.validations}
    for cited in approval.grounds.validations:
        now = present[cited.version, cited.digest]
        if cited.id in named.model.withdrawn:
            return f"entry {named.model.withdrawn[cited.id]} withdrew the validation {cited.index}, on which it rests"
        if now.withdrawn:
            return f"what took the place of entry {cited.index}, on which it rests, was withdrawn"
        if WORTH[now.verdict] < WORTH[cited.verdict]:
            return _fallen(now.index, cited.index, now.verdict)
    agreed, holds = approval.grounds.contract, named.model.contract_of(_version(named))
    if agreed is not None and holds is not None and holds.says != agreed.says:
        return _fallen(holds.index, agreed.index, "another contract")
    for ran in approval.grounds.gates:
        last = named.version.gates.get((ran.policy, approval.environment), ran)
        if ran.allowed and not last.allowed:
            return f"entry {last.signed.index} says that {last.policy} refuses, which entry {ran.signed.index} allowed"
    return None


def _of_statements(named: Named, approval: Approval) -> str | None:
    """What was said since of what it cites, by the same scanner, say; of verdicts, by another one, too."""
    for now in named.model.statements_of(_version(named)):
        cited = [one for one in approval.grounds.statements if one.kind == now.kind and one.index < now.index]
        same = [one for one in cited if one.by == now.by]
        if now.index < approval.index:
            continue
        for then in same or (cited if now.kind.judged else ()):
            if now.kind.judged and WORTH[now.says] < WORTH[then.says]:
                said = f"where entry {then.index}, on which it rests, said {then.says}"
                return f"the {now.kind.name} in entry {now.index} says {now.says}, {said}"
            if not now.kind.judged and now.says != then.says:
                return _fallen(now.index, then.index, f"another {now.kind.name}")
    return None


def _of_waivers(world: World, named: Named, approval: Approval, at: int) -> str | None:
    """A waiver of which all uses were used is one that did what it was granted for."""
    for waiver in dict.fromkeys(waiver for gate in approval.grounds.gates for waiver in gate.waivers):
        state = waiver_of(world, waiver)
        trouble = "nobody asked for it" if state is None else grant_trouble(world, state, at, named.subject)
        if trouble is not None:
            return f"{waiver}, on which it rests, does not stand: {trouble}"
    return None


def _of_run(world: World, named: Named, approval: Approval) -> str | None:
    for one in quarantines_of(world, named):
        return one.words
    run = run_of(world, named.version.run or "")
    if run is not None and run.index > approval.index and run.status in ("failed", "aborted"):
        return f"{named.version.run}, on which it rests, {run.status}, as entry {run.index} says"
    for subject, data in _data_of(world, named):
        version = parse_name(subject).version
        for respect in (QUALITY, CONSENT, DELETION):
            before, now = data.known(respect, version, approval.index), data.known(respect, version, FOREVER)
            # Data of which nothing was said is data of which nothing is known.
            if now is not None and WORTH[now.says] < WORTH["uncertain" if before is None else before.says]:
                return f"{subject}, on which it rests, {respect} {now.says} by entry {now.index}"
    return None
