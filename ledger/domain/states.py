"""The state of each kind of stream, frozen.

States hold only what judging needs and grow with the governed thing, not with the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType

from ledger.domain.actors import FOREVER, ActorState
from ledger.domain.deployed import DeploymentState, PolicyState, WaiverState
from ledger.domain.grounds import (
    TIER,
    VALIDATION,
    Contract,
    End,
    Gate,
    Grounds,
    Said,
    Statement,
    Validation,
    last_word,
    standing_statements,
)
from ledger.domain.ledgerstate import LedgerState
from ledger.domain.signed import Signed

__all__ = [
    "CONSENT",
    "DELETION",
    "QUALITY",
    "SENT_BACK",
    "TIER_RANK",
    "Approval",
    "ApprovalRequest",
    "DatasetState",
    "Evaluation",
    "IncidentState",
    "ModelState",
    "Quarantine",
    "Read",
    "Refusal",
    "RunState",
    "State",
    "VersionState",
    "more_read",
    "tier_at_first",
    "tiers_in_force",
]


def _no_requests() -> MappingProxyType[str, ApprovalRequest]:
    return MappingProxyType({})


#: How much the rules may ask for, by tier.
TIER_RANK = {"low": 0, "medium": 1, "high": 2}


@dataclass(frozen=True, slots=True)
class Quarantine:
    """That something must not be used: event id, the version it is about ("" for all of them), its entry, and who."""

    id: str
    version: str
    signed: Signed
    reason: str
    actors: frozenset[str]


#: The name of something that was read, and the digest under which that was said; empty when none was.
Read = tuple[str, str]


def more_read(known: tuple[Read, ...], more: Iterable[Read]) -> tuple[Read, ...]:
    """What was read, in the order in which it was first said, each once."""
    return tuple(dict.fromkeys((*known, *more)))


def _no_inputs() -> MappingProxyType[str, tuple[Read, ...]]:
    return MappingProxyType({})


#: In which respects something is said of data: words between its name and what is said.
QUALITY, CONSENT, DELETION = "was assessed as", "had its consent", "was"


@dataclass(frozen=True, slots=True)
class DatasetState:
    """A data set, or a feature set.

    Attributes:
        versions: of a data set, the digest of each version ("" for an unversioned registration, latest wins).
        quarantines: of it and of its versions.
        inputs: what each version ("" for all) was ever made from; of a data set, other data alone.
        assessed: of a data set, what was said of it, but for what changed nothing.
    """

    versions: MappingProxyType[str, str]
    quarantines: tuple[Quarantine, ...] = ()
    inputs: MappingProxyType[str, tuple[Read, ...]] = field(default_factory=_no_inputs)
    assessed: tuple[Said, ...] = ()

    def inputs_of(self, version: str | None) -> tuple[Read, ...]:
        """What a version was made from, by what was said of it and of all versions."""
        return more_read(self.inputs.get("", ()), self.inputs.get(version or "", ()))

    def known(self, respect: str, version: str | None, index: int) -> Said | None:
        """What stands of what was said of a version before an index, in one respect."""
        last = last_word(
            (one.at, one.says, one) for one in self.assessed
            if one.about in ("", version) and one.respect == respect and one.index < index
        )  # fmt: skip
        return None if last is None else last[2]


@dataclass(frozen=True, slots=True)
class RunState:
    """A run: who is behind it, how it ended, what it read and made, and the index of its last entry.

    Attributes:
        outputs: what anybody says that it made.
        first: who is behind its first entry.
        told: index of the entry in which one of these first said what it made; None while none did.
    """

    authors: frozenset[str]
    status: str
    inputs: tuple[Read, ...] = ()
    index: int = -1
    outputs: tuple[Read, ...] = ()
    first: frozenset[str] = frozenset()
    told: int | None = None

    def made(self, subject: str, digest: str) -> bool | None:
        """Whether it says that it made a version, by its bytes or by its name alone; None where that is open.

        Anybody may say that it did. That it made other things is for whoever recorded it first: outputs that others add
        later cannot take a version away from its run.

        Args:
            subject: ``model:<name>@<version>``.
            digest: of the version.
        """
        if any(made == digest if made else name == subject for name, made in self.outputs):
            return True
        return None if self.told is None else False


#: How a request ended that waits for who asked, and no more for who decides.
SENT_BACK = "sent back for changes"


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A request for approval.

    ``signed`` is its entry, ``closed`` how it ended: rejected, withdrawn, `SENT_BACK`, or None; ``ended`` is the index
    of the entry that closed it.
    """

    id: str
    signed: Signed
    environment: str
    digest: str
    actors: frozenset[str]
    closed: str | None = None
    ended: int | None = None

    @property
    def index(self) -> int:
        """Leaf index of its entry."""
        return self.signed.index


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of a version: its event id, where it stands, its suite (or kind), and what it concluded.

    ``newest`` is when it, or a newer one in whose place it stands, was made; ``data`` what it was measured on, None
    where it does not say.
    """

    id: str
    signed: Signed
    suite: str
    verdict: str
    newest: int
    data: Read | None = None

    @property
    def index(self) -> int:
        """Leaf index of its entry."""
        return self.signed.index


@dataclass(frozen=True, slots=True)
class Approval:
    """One granted approval.

    Attributes:
        signed: its entry.
        actors: all who stand behind it.
        cited: evaluations among the entries its author saw, as far as they stood then, oldest first.
        grounds: what else is among them.
        since: it holds for what is recorded then or later; microseconds since the Unix epoch.
        until: it holds for what is recorded before: its own end, or that of a validation or document among the entries
            its author saw; microseconds since the Unix epoch.
        conditions: what must be met.
        met: numbers of the conditions that are.
        revoked: index of the entry that took it back.
    """

    id: str
    signed: Signed
    request: str
    environment: str
    digest: str
    actors: frozenset[str]
    cited: tuple[Evaluation, ...] = ()
    grounds: Grounds = field(default_factory=Grounds)
    since: int = 0
    until: int = FOREVER
    conditions: tuple[str, ...] = ()
    met: frozenset[int] = frozenset()
    revoked: int | None = None

    @property
    def index(self) -> int:
        """Leaf index of its entry."""
        return self.signed.index

    @property
    def actor(self) -> str:
        """Who signed it."""
        return self.signed.actor

    @property
    def unmet(self) -> frozenset[int]:
        """Numbers of the conditions that are not met."""
        return frozenset(range(len(self.conditions))) - self.met


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no to a version: a request was rejected or sent back, or an approval taken back.

    Attributes:
        signed: its entry.
        actors: all who stand behind it.
        environment: for which.
        request: the request that it closes, or under which what it takes back was given.
        approval: event id of what it takes back, None where it closes a request.
        said: what it did, and why, in words; with a sealed text where that is sealed.
    """

    signed: Signed
    actors: frozenset[str]
    environment: str
    request: str
    approval: str | None
    said: str

    @property
    def index(self) -> int:
        """Leaf index of its entry."""
        return self.signed.index

    @property
    def words(self) -> str:
        """Who said what in which entry, and why."""
        return f"entry {self.index} by {self.signed.actor} {self.said}"


def _never_demoted() -> MappingProxyType[str, Signed]:
    return MappingProxyType({})


def _no_indexes() -> MappingProxyType[str, int]:
    return MappingProxyType({})


def _no_gates() -> MappingProxyType[tuple[str, str], Gate]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class VersionState:
    """One version of a model.

    Attributes:
        evaluations: the last of each suite by `last_word`, oldest first; what was said before no longer stands.
        tier: that its registration names.
        tier_at_first: that it had then; see `tier_at_first`.
        signed: the entry that registered it.
        passed: the last evaluation that passed and stands, None when there is none.
        passes: by suite, index of the last evaluation that stood and passed, whatever was said since.
        undecided: evaluations that were the last of their suite when they were invalidated, each with the index of that
            entry, until the suite is measured again.
        refusals: what was said against it, oldest first.
        invalidated: event ids of evaluations that do not hold.
        classified: index and tier of the last classification, None when there is none.
        gates: by name and version of the policy, and environment.
        retired: the entry that retired it.
        demoted: by environment, the last entry that said that it lost its place there.
        authors: who is behind its registrations, and whoever said what it was composed of.
        parents: versions of which it was ever said to be made.
    """

    digest: str
    owner: str
    tier: str
    tier_at_first: str
    run: str | None
    signed: Signed
    authors: frozenset[str]
    evaluations: tuple[Evaluation, ...] = ()
    passed: Evaluation | None = None
    passes: MappingProxyType[str, int] = field(default_factory=_no_indexes)
    undecided: tuple[tuple[int, Evaluation], ...] = ()
    requests: MappingProxyType[str, ApprovalRequest] = field(default_factory=_no_requests)
    approvals: tuple[Approval, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    invalidated: frozenset[str] = frozenset()
    classified: tuple[int, str] | None = None
    gates: MappingProxyType[tuple[str, str], Gate] = field(default_factory=_no_gates)
    retired: Signed | None = None
    demoted: MappingProxyType[str, Signed] = field(default_factory=_never_demoted)
    parents: tuple[Read, ...] = ()

    @property
    def index(self) -> int:
        """Leaf index of its registration."""
        return self.signed.index


def tier_at_first(registered: str, before: Iterable[str]) -> str:
    """The tier of a version when it was registered: no lower than what was in force before.

    Whoever registers a version does not choose lighter rules for a model: a lower tier is for somebody independent.

    Args:
        registered: the tier that its registration names.
        before: tiers that were in force then, of its model and of each version registered before; or the highest.
    """
    return max([registered, *before], key=TIER_RANK.__getitem__)


def tiers_in_force(registered: Iterable[tuple[int, str, str]], said: Iterable[tuple[int, str, str]]) -> dict[str, str]:
    """The tier of each version of a model: the last one said of it or of the model since it was registered.

    Args:
        registered: index, version and tier of each registration.
        said: index, version ("" for the model) and tier of each classification.
    """
    found: dict[str, str] = {}
    whole: tuple[str, ...] = ()
    highest: tuple[str, ...] = ()  # kept, since most entries are registrations: the last one has the highest
    for _, is_said, version, tier in sorted(
        [(i, 0, v, t) for i, v, t in registered] + [(i, 1, v, t) for i, v, t in said]
    ):
        if not is_said:
            found[version] = tier_at_first(tier, highest)
            highest = (found[version],)
        elif not version:
            whole = highest = (tier,)
            found = dict.fromkeys(found, tier)
        elif version in found:
            found[version] = tier
            highest = (tier_at_first(tier, (*whole, *found.values())),)
    return found


def _no_names() -> MappingProxyType[str, tuple[str, ...]]:
    return MappingProxyType({})


def _no_ends() -> MappingProxyType[int, End]:
    return MappingProxyType({})


def _no_validations() -> MappingProxyType[str, tuple[str, str]]:
    return MappingProxyType({})


def _no_contracts() -> MappingProxyType[str, Contract]:
    return MappingProxyType({})


def _no_statements() -> MappingProxyType[str, tuple[Statement, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model with its versions.

    Attributes:
        versions: by name.
        named: the names of versions by their bytes, oldest first.
        classified: where the model was classified last, and as which tier.
        highest: the highest tier in force of the model and its versions, if any; kept, so that registering a version
            does not look at all others.
        owners: who was said to own the model, each with the index of the entry.
        quarantines: of it and of its versions.
        ends: of validations and documents, each by the index of the entry.
        validations: the last of each version and digest by `last_word`, oldest first.
        validated: event ids of all validations, each with the version and the digest it is about (empty for all).
        withdrawn: event ids of validations that do not hold, each with the index of the entry that says so.
        contracts: the last of each version, and "" for that of the model.
        statements: the last of each kind, by what they are about: bytes, a version, or "" for the whole model.
    """

    versions: MappingProxyType[str, VersionState]
    named: MappingProxyType[str, tuple[str, ...]] = field(default_factory=_no_names)
    classified: tuple[int, str] | None = None
    highest: tuple[str, ...] = ()
    owners: tuple[tuple[int, str], ...] = ()
    quarantines: tuple[Quarantine, ...] = ()
    ends: MappingProxyType[int, End] = field(default_factory=_no_ends)
    validations: tuple[Validation, ...] = ()
    validated: MappingProxyType[str, tuple[str, str]] = field(default_factory=_no_validations)
    withdrawn: MappingProxyType[str, int] = field(default_factory=_no_indexes)
    contracts: MappingProxyType[str, Contract] = field(default_factory=_no_contracts)
    statements: MappingProxyType[str, tuple[Statement, ...]] = field(default_factory=_no_statements)

    def tier_of(self, version: VersionState) -> str:
        """The tier that decides which rules hold for a version."""
        said = [known for known in (version.classified, self.classified) if known is not None]
        return max([(version.index, version.tier_at_first), *said])[1]

    def validations_of(self, version: str, digest: str) -> tuple[Validation, ...]:
        """The last validations about a version or all of them, and these bytes or any, that were not withdrawn."""
        mine = (v for v in self.validations if v.version in ("", version) and v.digest in ("", digest))
        return tuple(v for v in mine if not v.withdrawn)

    def validated_at(self, version: str, digest: str) -> list[int]:
        """Entries of all validations about a version or all of them, and these bytes or any, late reports too."""
        return [
            index for index, end in self.ends.items()
            if end.name == VALIDATION and end.version in ("", version) and end.digest in ("", digest)
        ]  # fmt: skip

    def withdrawals_of(self, version: str, digest: str) -> tuple[int, ...]:
        """Entries that withdrew a validation about a version or all of them, and these bytes or any."""
        about = {one for one, (to, of) in self.validated.items() if to in ("", version) and of in ("", digest)}
        return tuple(index for one, index in self.withdrawn.items() if one in about)

    def contract_of(self, version: str) -> Contract | None:
        """The contract of a version; that of the model where it has none of its own."""
        return self.contracts.get(version) or self.contracts.get("")

    def statements_of(self, version: str) -> tuple[Statement, ...]:
        """The last statement of each kind about a registered version, its bytes or the whole model, oldest first."""
        known = self.versions[version]
        said = [Statement(known.index, TIER, "", known.tier_at_first)]
        said += [one for about in ("", version, known.digest) for one in self.statements.get(about, ())]
        return standing_statements(said)

    def owners_within(self, start: int, end: int) -> frozenset[str]:
        """Who owned the model at some index between two, both included."""
        first = max((index for index, _ in self.owners if index <= start), default=start)
        return frozenset(owner for index, owner in self.owners if first <= index <= end)


@dataclass(frozen=True, slots=True)
class IncidentState:
    """An incident."""

    status: str


State = (
    LedgerState
    | ActorState
    | DatasetState
    | RunState
    | ModelState
    | DeploymentState
    | IncidentState
    | WaiverState
    | PolicyState
)
