"""The rules in force as data: which decisions the states of a version stop, and how long waivers are.

A ledger may have tables of its own (`ledger.rules_changed`); the built-in ones hold otherwise. What states there are,
and which event leads where, is the table in `domain.moves`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ledger.domain.ancestry import Held, held_by
from ledger.domain.grounds import last_word
from ledger.domain.moves import STATES, STOPPABLE, unstoppable
from ledger.domain.signed import Signed
from ledger.domain.states import TIER_RANK, Evaluation, ModelState, VersionState
from ledger.domain.suspicion import suspicion
from ledger.domain.world import World, ledger_of, model_of
from ledger.errors import InputError, PolicyError
from ledger.events.ledgers import Rule, RuleSet, Stop, WaiverLimit
from ledger.names import Name, parse_name, stream_of

__all__ = [
    "BUILT_IN_STOPS",
    "BUILT_IN_WAIVERS",
    "Named",
    "check_rules",
    "letting_go",
    "quarantines_of",
    "refuse_doubt",
    "refused_by",
    "row_of",
    "rule_for",
    "rules_of",
    "same_digest",
    "side_states",
    "stops_of",
    "version_of",
    "versions_meant",
    "waiver_limit",
    "waivers_of",
]


#: Which decisions about a version its side states stop.
BUILT_IN_STOPS: Final = tuple(
    Stop(decision=decision, states=("quarantined", "retired"))
    for decision in ("approval.requested", "approval.granted", "deployment.requested", "deployment.authorised")
)

#: How long waivers may be: a month for what is of the highest tier, and a quarter for everything else.
BUILT_IN_WAIVERS: Final = (
    WaiverLimit(environment="*", tier="high", days=30),
    WaiverLimit(environment="*", tier="*", days=90),
)


def _measured_again(failed: Evaluation, here: Evaluation | None) -> bool:
    """Whether a suite that failed under another name was measured under this one since, and is no late report."""
    if here is None or here.index < failed.index:
        return False
    last = last_word((one.newest, one.verdict, one) for one in (failed, here))
    return last is not None and last[2] is here


@dataclass(frozen=True, slots=True)
class Named:
    """A registered version that a decision names."""

    subject: str
    name: Name
    model: ModelState
    version: VersionState

    @property
    def tier(self) -> str:
        """The tier that decides which rules hold."""
        return self.model.tier_of(self.version)

    @property
    def failed_elsewhere(self) -> tuple[tuple[str, Evaluation], ...]:
        """What failed of the same bytes under other names of the model, until that suite is measured again.

        A pass does not travel: what is to be relied on is measured under the name it has. A failure that was said not
        to hold leaves its suite to be measured again.
        """
        here = {one.suite: one for one in self.version.evaluations}
        others = [(name, self.model.versions[name]) for name in self.model.named[self.version.digest]]
        return tuple(
            (name, one) for name, other in others if other is not self.version
            for one in (*other.evaluations, *(gone for _, gone in other.undecided))
            if one.verdict == "fail" and not _measured_again(one, here.get(one.suite))
        )  # fmt: skip


def version_of(world: World, subject: str) -> Named:
    """The registered version of a name.

    Raises:
        InputError: it names no version.
        PolicyError: it is not registered, or its registration counts no more.
    """
    name = parse_name(subject)
    if name.kind != "model" or name.version is None:
        raise InputError(f"{subject!r} must name a model version: model:<name>@<version>")
    model = model_of(world, stream_of(subject))
    if model is None or name.version not in model.versions:
        raise PolicyError(
            f"{subject} is not registered in this ledger",
            hint=f"Register it first: muniment record version {subject} …",
        )
    version = model.versions[name.version]
    refuse_doubt(world, version.signed, f"the registration of {subject}")
    return Named(subject, name, model, version)


def versions_meant(world: World, model: str) -> list[Named]:
    """Registered versions that the name of a model or of a version means; whether these count is not asked."""
    version, stream = parse_name(model).version, stream_of(model)
    known = model_of(world, stream)
    if known is None:
        return []
    subjects = [f"{stream}@{name}" for name in known.versions if version in (None, name)]
    names = [(subject, parse_name(subject)) for subject in subjects]
    return [Named(subject, name, known, known.versions[name.version or ""]) for subject, name in names]


def refuse_doubt(world: World, signed: Signed, what: str) -> None:
    """Refuse what rests on a suspect entry.

    Raises:
        PolicyError: it does.
    """
    doubt = suspicion(world, signed)
    if doubt is not None:
        raise PolicyError(
            f"{what} counts no more: {doubt.text}",
            hint=f"If it is genuine: muniment entry reaffirm {doubt.index} --reason …",
        )


def same_digest(named: Named, digest: str) -> None:
    """Refuse a decision about other bytes.

    Raises:
        PolicyError: the version was registered with another digest.
    """
    if digest != named.version.digest:
        raise PolicyError(f"{named.subject} was registered as {named.version.digest}, and this decision names {digest}")


def rules_of(world: World) -> tuple[Rule, ...]:
    """The rules in force, the first of which that matches holds."""
    ledger = ledger_of(world)
    return () if ledger is None else ledger.rules.rules


def rule_for(world: World, environment: str, tier: str) -> Rule:
    """The first rule that matches.

    Raises:
        PolicyError: no rule matches; what is not ruled is refused.
    """
    for rule in rules_of(world):
        if rule.environment in ("*", environment) and rule.tier in ("*", tier):
            return rule
    raise PolicyError(f"no rule covers the environment {environment!r} at tier {tier!r}")


def row_of(row: Rule | WaiverLimit) -> str:
    """What a row of `rules` or `waivers` is called where it refuses something."""
    return f"{'rules' if isinstance(row, Rule) else 'waivers'} {row.environment}/{row.tier}"


@contextmanager
def refused_by(rule: str) -> Iterator[None]:
    """Say which rule refuses what is refused inside, unless that says so itself."""
    try:
        yield
    except PolicyError as error:
        error.rule = error.rule or rule
        raise


def check_rules(rules: RuleSet) -> None:
    """Refuse rules that name what does not exist: they would hold nothing up, or everything.

    Raises:
        InputError: a stop names no decision that may be stopped, or a state that could never be left, a row no tier, or
            a rule no policy; or a rule asks for something without asking for the authorisation that would need it.
    """
    for tier in [*(rule.tier for rule in rules.rules), *(limit.tier for limit in rules.waivers or ())]:
        if tier not in ("*", *TIER_RANK):
            # No version has such a tier: the row would match nothing, and lighter ones behind it would hold.
            raise InputError(f"{tier!r} is no tier", hint="Write low, medium, high, or * for any.")
    for stop in rules.stops or ():
        _check_stop(stop)
    for rule in rules.rules:
        if not rule.authorisation and (rule.approvals or rule.evaluation or rule.roles or rule.gate):
            raise InputError(
                f"the rule for {rule.environment} at tier {rule.tier} asks for approvals, an evaluation, roles or a "
                "gate, and for no authorisation, which alone would need them: it would hold nothing up",
                hint="Write authorisation: true, or ask for none of these.",
            )
        name = None if rule.gate is None else parse_name(rule.gate)
        if name is not None and (name.kind != "policy" or name.version is None):
            raise InputError(f"{rule.gate!r} names no version of a policy: write policy:<name>@<version>")
        if (rule.gate is None) != (rule.gate_digest is None):
            raise InputError(
                f"a rule names a policy and the digest of its source, or neither: {rule.gate or rule.gate_digest}",
                hint="The digest is in: muniment policy show policy:<name>@<version> -o json",
            )


def _check_stop(stop: Stop) -> None:
    """A stop names a decision that may be stopped, and states out of which something else leads."""
    allowed = STOPPABLE.get(stop.decision)
    if allowed is None:
        raise InputError(
            f"{stop.decision} is not stopped by any state; that are: {', '.join(sorted(STOPPABLE))}",
            hint="What protects, takes back or happened is recorded whatever the state.",
        )
    for state in stop.states:
        why = unstoppable(stop.decision, state)
        if why is not None:
            raise InputError(
                f"{state!r} cannot stop {stop.decision}: {why}",
                hint=f"States that can: {', '.join(one for one in STATES if one in allowed)}.",
            )


def stops_of(world: World) -> tuple[Stop, ...]:
    """The table of stops in force."""
    ledger = ledger_of(world)
    own = None if ledger is None else ledger.rules.stops
    return BUILT_IN_STOPS if own is None else own


def waivers_of(world: World) -> tuple[WaiverLimit, ...]:
    """The table in force of how long waivers may be."""
    ledger = ledger_of(world)
    own = None if ledger is None else ledger.rules.waivers
    return BUILT_IN_WAIVERS if own is None else own


def waiver_limit(world: World, environment: str, tier: str) -> WaiverLimit | None:
    """The row that says how long a waiver may be; None where none matches: what is not ruled is refused."""
    rows = (row for row in waivers_of(world) if row.environment in ("*", environment) and row.tier in ("*", tier))
    return next(rows, None)


def quarantines_of(world: World, named: Named, *, measured: bool = True) -> Iterator[Held]:
    """Quarantines of a version, of its model, and of what it was made from or measured on; see `ancestry.held_by`."""
    return held_by(world, named.subject, named.version.digest, measured=measured)


def letting_go(subject: str) -> str:
    """The next step for what is in quarantine: who may let it go, and how. Data has no registered maker."""
    who = "who made it" if parse_name(subject).kind == "model" else "who put it there"
    return f"Another person than {who} lets it go: muniment release {subject} --rationale …"


def side_states(world: World, named: Named, *, measured: bool = True) -> Iterator[tuple[str, str, str]]:
    """Side states a version is in.

    Args:
        world: the world of whoever asks.
        named: the version.
        measured: whether a quarantine of what it was measured on counts.

    Returns:
        Each with its name, with words and with the next step.
    """
    for one in quarantines_of(world, named, measured=measured):
        yield "quarantined", one.words, letting_go(one.subject)
    retired = named.version.retired
    if retired is not None:
        yield "retired", f"{named.subject} was retired by entry {retired.index}", "Register a new version."
