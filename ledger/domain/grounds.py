"""What an approval may rest on besides evaluations, as its author saw it: states, frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from ledger.domain.recorded import CLOCK_BEHIND, RecordedEvent
from ledger.domain.signed import Signed
from ledger.events import Body
from ledger.events.artifacts import ArtifactScanned, ArtifactVerified
from ledger.events.evaluations import PerformanceTested
from ledger.events.governance import DocumentationAttached, RiskClassified
from ledger.events.models import ModelCardPublished, ModelCardRevised

__all__ = [
    "TIER",
    "VALIDATION",
    "WORTH",
    "Contract",
    "End",
    "Gate",
    "Grounds",
    "Kind",
    "Said",
    "Statement",
    "Validation",
    "Word",
    "last_word",
    "standing_statements",
    "stated",
]

#: Verdicts, and what else is said of data, by how much they say for a version.
WORTH: Final = MappingProxyType({
    "fail": 0, "uncertain": 1, "pass": 2, "deleted": 0, "withdrawn": 0, "limited": 1, "granted": 2,
})  # fmt: skip
#: What the end of a validation is called.
VALIDATION: Final = "the validation"
_Said = TypeVar("_Said")
#: When something was found out, what it says, and where.
Word = tuple[int, str, _Said]


def last_word(said: Iterable[Word[_Said]]) -> Word[_Said] | None:
    """What stands of what was said of one thing, one after another: the last, but for what is reported late.

    What was found out before the newest that is known, and says no less than what stands, undoes nothing. One that says
    less does, for a failure must not be hidden by its date; until it is found out anew.

    Args:
        said: in log order.

    Returns:
        When the newest of them was found out, what stands, and where that is said; None when nothing was said.
    """
    found: Word[_Said] | None = None
    for at, says, where in said:
        newest, stands, _ = (at, says, where) if found is None else found
        if found is None or at >= newest - CLOCK_BEHIND or WORTH[says] < WORTH[stands]:
            found = max(at, newest), says, where
    return found


@dataclass(frozen=True, slots=True)
class Gate:
    """What the last evaluation of a policy for an environment found.

    Attributes:
        size: log size that was looked at.
        as_of: time for which ages and ends were told, in microseconds since the Unix epoch.
        waivers: those it rested on.
        deployment: where the version was to be deployed; empty when that was not said.
    """

    id: str
    signed: Signed
    policy: str
    policy_digest: str
    digest: str
    size: int
    as_of: int
    allowed: bool
    waivers: tuple[str, ...]
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """A validation: the version and the digest it is about (empty for all of them), its entry, and what it concluded.

    Attributes:
        id: event id.
        until: it is valid before; microseconds since the Unix epoch.
        newest: when it, or a newer one in whose place it stands, was done.
        withdrawn: whether it was said not to hold.
    """

    id: str
    version: str
    digest: str
    signed: Signed
    verdict: str
    until: int
    newest: int
    withdrawn: bool = False

    @property
    def index(self) -> int:
        """Leaf index of its entry."""
        return self.signed.index


class End(NamedTuple):
    """Until when a validation or a document is valid.

    Attributes:
        version: what it is about; empty for the whole model.
        name: what it is, in words, with the kind of a document.
        digest: of the bytes that were validated; empty for any, and for documents.
        until: it is valid before; microseconds since the Unix epoch.
        late: it was reported late, and took no place; see `last_word`.
    """

    version: str
    name: str
    digest: str
    until: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """What goes in and what comes out of a version, or of a model: index of the entry, and what that says."""

    index: int
    says: tuple[str, str, bool]


class Kind(NamedTuple):
    """A kind of statement about a version; a later one of a kind takes the place of the one before, see `last_word`.

    Attributes:
        name: in words.
        says: field that holds what it says. A verdict falls when it says less, all else when it says something else.
        by: field that tells statements of the kind apart; empty where there is one at a time.
    """

    name: str
    says: str
    by: str = ""

    @property
    def judged(self) -> bool:
        """Whether what it says is a verdict."""
        return self.says == "verdict"


_CARD: Final = Kind("model card", "digest")
#: What a classification says; before there is one, the registration says it.
TIER: Final = Kind("tier", "tier")
#: Of evaluations, validations, contracts and gates more is to be known than this; see `domain.foundations`.
_KINDS: Final[Mapping[type[Body], Kind]] = MappingProxyType({
    PerformanceTested: Kind("performance test", "verdict"),
    ArtifactScanned: Kind("scan", "verdict", by="scanner"),
    ArtifactVerified: Kind("check of the signature", "verdict", by="method"),
    ModelCardPublished: _CARD,
    ModelCardRevised: _CARD,
    DocumentationAttached: Kind("document", "digest", by="kind"),
    RiskClassified: TIER,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    """What an entry says of a version: leaf index, kind, which of that kind, and what it says.

    ``newest`` is when that, or something newer in whose place it stands, was found out.
    """

    index: int
    kind: Kind
    by: str
    says: str
    newest: int = 0


def stated(event: RecordedEvent) -> tuple[str, Statement] | None:
    """What an event in the stream of a model states, if anything.

    Returns:
        What it is about, and the statement. A verdict is about the bytes that it names, whatever they are called, else
        about the version; without either it says nothing. All else is about the version, or the whole model (empty).
    """
    body, version = event.body, event.subject.version or ""
    kind = None if body is None else _KINDS.get(type(body))
    if kind is None:
        return None
    about = (getattr(body, "digest", None) or version) if kind.judged else version
    if kind.judged and not about:
        return None
    by = getattr(body, kind.by) if kind.by else ""
    return about, Statement(event.index, kind, by, getattr(body, kind.says), event.occurred_at)


def standing_statements(said: Iterable[Statement]) -> tuple[Statement, ...]:
    """The last statement of each kind, oldest first; of verdicts, what stands by `last_word`."""
    found: dict[tuple[Kind, str], Statement] = {}
    for one in sorted(said, key=lambda one: one.index):
        before = found.get((one.kind, one.by))
        words = [(known.newest, known.says, known) for known in (before, one) if known is not None]
        last = last_word(words) if one.kind.judged else words[-1]
        if last is not None:
            found[one.kind, one.by] = replace(last[2], newest=last[0])
    return tuple(sorted(found.values(), key=lambda one: one.index))


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of data: leaf index, of which version ("" for all), in which respect, what, and when that was so.

    What is a verdict, what consent there is, or that it was deleted.
    """

    index: int
    about: str
    respect: str
    says: str
    at: int


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the author of an approval cited.

    Attributes:
        seen: indexes of all the entries.
        validations, contract, gates, statements: among them, as far as they stood then.
    """

    seen: frozenset[int] = frozenset()
    validations: tuple[Validation, ...] = ()
    contract: Contract | None = None
    gates: tuple[Gate, ...] = ()
    statements: tuple[Statement, ...] = ()
