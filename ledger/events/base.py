"""What every event body shares, and the closed registry of event types.

A body is a frozen pydantic model with an explicit, versioned topic. The registry is closed: a topic
found in a row is looked up here and never imported by name; an unknown one is kept and is opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from ledger.errors import InputError
from ledger.events.othernames import OTHER_NAMES
from ledger.payload import parse_moment

__all__ = [
    "ActorId",
    "Body",
    "Category",
    "Day",
    "DecisionBody",
    "Digest",
    "Duration",
    "Environment",
    "Erasable",
    "EventType",
    "Evidence",
    "FactBody",
    "Hex32",
    "Hex64",
    "Line",
    "Open",
    "Ref",
    "RunName",
    "Seen",
    "StreamPattern",
    "SubjectName",
    "Text",
    "Tier",
    "Time",
    "Title",
    "Uuid",
    "all_event_types",
    "event",
    "find_event_type",
    "known_event_type",
    "load_body",
]

Line = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
#: Anything that can be seen: no space, control or format character, nor a letter that is drawn as nothing. They are
#: spelt out, as what ``\S`` means differs between the regular expressions of Rust, Python and ECMAScript.
_VISIBLE = (
    r"[^\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
#: Words of people, such as a reason: never blank.
Text = Annotated[str, Field(min_length=1, max_length=8192, pattern=_VISIBLE)]
#: The same on one line.
Title = Annotated[str, Field(min_length=1, max_length=255, pattern=rf"^[^\x00-\x1f\x7f]*{_VISIBLE}[^\x00-\x1f\x7f]*$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Digest = Annotated[
    str,
    Field(
        pattern=r"^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$",
        description="Algorithm and lower-case hex, for example sha256:…",
    ),
]
ActorId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
SubjectName = Annotated[
    str,
    Field(
        max_length=200,
        pattern=r"^[a-z][a-z0-9-]{0,31}:([A-Za-z0-9][A-Za-z0-9._+-]*/)?[A-Za-z0-9][A-Za-z0-9._+-]*(@[A-Za-z0-9][A-Za-z0-9._+-]*)?$",
        description="kind:[namespace/]name[@version]",
    ),
]
StreamPattern = Annotated[
    str,
    Field(
        max_length=200,
        pattern=r"^[a-z*][a-z0-9*-]{0,31}:([A-Za-z0-9*][A-Za-z0-9._+*-]*/)?[A-Za-z0-9*][A-Za-z0-9._+*-]*$",
        description="kind:[namespace/]name, in which * stands for any characters of one part",
    ),
]
RunName = Annotated[
    str, Field(max_length=200, pattern=r"^run:([A-Za-z0-9][A-Za-z0-9._+-]*/)?[A-Za-z0-9][A-Za-z0-9._+-]*$")
]
Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


def _exists(text: str) -> str:
    try:
        parse_moment(text)
    except InputError as error:
        raise ValueError(error.message) from error
    return text


Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$",
        description="A time in UTC, for example 2026-01-31T12:00:00Z",
    ),
    AfterValidator(_exists),
]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
Duration = Annotated[str, Field(pattern=r"^[1-9]\d{0,5}[smhdw]$", description="How long: 30m, 12h, 28d, 2w")]
Environment = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Tier = Annotated[str, Field(pattern=r"^(low|medium|high)$", description="risk tier: low, medium or high")]


def _patterns(annotated: Any) -> list[str]:
    fields = [field for field in annotated.__metadata__ if hasattr(field, "metadata")]
    return [meta.pattern for field in fields for meta in field.metadata if hasattr(meta, "pattern")]


#: What to write where a pattern is asked for; a regular expression helps nobody who mistyped a digest.
_WORDS = {
    pattern: words
    for annotated, words in (
        (Digest, "write sha256: and 64 lower-case hex digits (or sha384:, sha512:)"),
        (SubjectName, "write kind:[namespace/]name[@version]"),
        (StreamPattern, "write kind:[namespace/]name, in which * stands for any characters of one part"),
        (ActorId, "write an actor id: lower-case letters, digits, dots, dashes"),
        (Tier, "write low, medium or high"),
        (Line, "write one line without control characters"),
        (Text, "write some words, it is blank"),
        (Title, "write some words on one line without control characters"),
        (Hex32, "write 32 lower-case hex digits"),
        (Hex64, "write 64 lower-case hex digits"),
        (RunName, "write run:[namespace/]name"),
        (Environment, "write an environment's name, for example prod"),
        (Uuid, "write an event id, 8-4-4-4-12 lower-case hex digits"),
        (Time, "write a time in UTC, for example 2026-01-31T12:00:00Z"),
        (Day, "write a day, for example 2026-01-31"),
        (Duration, "write a duration: 30m, 12h, 28d or 2w"),
    )
    for pattern in _patterns(annotated)
}


class Category(Enum):
    """How the ledger treats an event (design §5)."""

    AUTHORITY = "authority"  # ledger, actors, keys: refused unless the right key signs
    DECISION = "decision"  # requests, approvals, authorisations: refused when the rules say so
    FACT = "fact"  # what happened: never refused for policy reasons, marked instead
    PROTECTION = "protection"  # rollbacks and incidents: never blocked


class Erasable(Enum):
    """How much of an event's content may ever be erased; its entry and every proof stay."""

    NO = "no"  # authority rests on it
    FIELDS = "fields"  # fields that nothing legal rests on may be sealed, and their keys destroyed
    WHOLE = "whole"  # nothing legal rests on it: its content may be withheld


class _Frozen(BaseModel):
    # Built when first used: a process reads few of the types, and building all takes longer than starting Python.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


class Open(_Frozen):
    """Base of parts of facts; unknown fields are kept."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")


class Ref(Open):
    """A named thing this event used, made or is about."""

    role: Line = Field(description="What the thing is to this event, for example input, output, derived-from")
    subject: SubjectName
    digest: Digest | None = None


class Evidence(_Frozen):
    """One entry a decision rests on, bound by its leaf hash."""

    index: int = Field(ge=0, description="Log index of the entry")
    leaf_hash: Hex64 = Field(description="Its leaf hash (RFC 6962), hex")


class Seen(_Frozen):
    """The log head the author of a decision saw."""

    size: int = Field(ge=1, description="Tree size")
    root: Hex64 = Field(description="Root hash of that size, hex")


class Body(_Frozen):
    """Base of authority bodies; unknown fields are refused."""

    TOPIC: ClassVar[str] = ""
    refs: tuple[Ref, ...] = Field(default=(), max_length=256)


class DecisionBody(Body):
    """Base of decisions: they name the head their author saw and the entries they rest on."""

    seen: Seen | None = None
    evidence: tuple[Evidence, ...] = Field(default=(), max_length=256)


class FactBody(Body):
    """Base of facts; unknown fields are kept, since a fact is never refused for what it adds."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the catalogue.

    Attributes:
        name: short name, ``dataset.registered``.
        version: number of the body's version.
        body: the body's model.
        kinds: kinds of subject it may be about; empty for any.
        category: how the ledger treats it.
        roles: an author needs one of these roles; empty for any enrolled actor.
        versioned: True when the subject must name a version, False when it must not, None for either.
        erasable: how much of its content may be erased.
        personal: paths of fields that may be sealed, with all that is in them, ``*`` for any position or name; so may
            fields that the body's model does not know.
    """

    name: str
    version: int
    body: type[Body]
    kinds: tuple[str, ...]
    category: Category
    roles: tuple[str, ...]
    versioned: bool | None
    erasable: Erasable = Erasable.NO
    personal: tuple[str, ...] = ()

    @property
    def topic(self) -> str:
        """Full type, ``muniment.dataset.registered.v1``."""
        return f"muniment.{self.name}.v{self.version}"

    @property
    def family(self) -> str:
        """First part of the name."""
        return self.name.partition(".")[0]

    @property
    def bears_on_all(self) -> bool:
        """Whether what may be done in any stream can rest on it: what was judged ahead of it is judged again."""
        return self.category is Category.AUTHORITY or self.name == "quarantine.placed"

    def may_seal(self, path: str) -> bool:
        """Whether a field of the body may be sealed: nothing legal rests on it.

        Args:
            path: names and positions in lists joined by dots, ``content.email``.
        """
        names = path.split(".")
        if self.erasable is Erasable.NO:
            return False
        if names[0] in self.body.model_fields:
            return any(_reaches(declared.split("."), names) for declared in self.personal)
        return self.body.model_config.get("extra") == "allow"


def _reaches(declared: list[str], names: list[str]) -> bool:
    """Whether a path is a declared one or leads into it."""
    return len(declared) <= len(names) and all(
        known in ("*", name) for known, name in zip(declared, names, strict=False)
    )


_BY_TOPIC: dict[str, EventType] = {}
_LATEST: dict[str, EventType] = {}
_BodyType = TypeVar("_BodyType", bound=type[Body])


def event(
    name: str,
    *,
    kinds: tuple[str, ...],
    category: Category,
    version: int = 1,
    roles: tuple[str, ...] = (),
    versioned: bool | None = None,
    erasable: Erasable | None = None,
    personal: tuple[str, ...] = (),
) -> Callable[[_BodyType], _BodyType]:
    """Register a body class under its topic; see `EventType` for the arguments.

    What is not said of ``erasable``: nothing of authority may be erased, of everything else fields may.
    """
    if erasable is None:
        erasable = Erasable.NO if category is Category.AUTHORITY else Erasable.FIELDS

    def register(body: _BodyType) -> _BodyType:
        kind = EventType(name, version, body, kinds, category, roles, versioned, erasable, personal)
        model: type[BaseModel] = body
        unknown = [path for path in personal if path.partition(".")[0] not in model.model_fields]
        if unknown:
            raise RuntimeError(f"{name} declares fields it does not have: {', '.join(unknown)}")
        if kind.topic in _BY_TOPIC:
            raise RuntimeError(f"the topic {kind.topic} is registered twice")
        body.TOPIC = kind.topic
        _BY_TOPIC[kind.topic] = kind
        if name not in _LATEST or _LATEST[name].version < version:
            _LATEST[name] = kind
        return body

    return register


def all_event_types() -> tuple[EventType, ...]:
    """Every type of the catalogue, sorted by topic."""
    return tuple(_BY_TOPIC[topic] for topic in sorted(_BY_TOPIC))


def known_event_type(topic: str) -> EventType | None:
    """The type of a full topic, or None when this version of Muniment does not know it."""
    return _BY_TOPIC.get(topic)


def find_event_type(name: str) -> EventType:
    """Find a type by short name (latest version) or full topic.

    Raises:
        InputError: there is none; the message names the nearest, or how another vocabulary's word is said here.
    """
    found = _BY_TOPIC.get(name) or _LATEST.get(name)
    if found is None and name in OTHER_NAMES:
        raise InputError(f"{name!r} is no event type Muniment knows", hint=f"It is said as {OTHER_NAMES[name]}.")
    if found is None:
        near = get_close_matches(name, _LATEST, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`muniment emit --list` shows the catalogue."
        raise InputError(f"{name!r} is no event type Muniment knows", hint=hint)
    return found


def load_body(kind: EventType, data: Mapping[str, Any]) -> Body:
    """Check a parsed body against its type.

    Raises:
        InputError: a field is missing, malformed or unknown; each is named.
    """
    try:
        # Through JSON, because pydantic's strict mode takes lists for tuples only there.
        return kind.body.model_validate_json(to_json(data))
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_input=False):
            where = ".".join(str(part) for part in item["loc"]) or "data"
            words = _WORDS.get(str(item.get("ctx", {}).get("pattern")), item["msg"].lower())
            lines.append(f"{where}: {words}")
        place, model = _around(kind, error.errors(include_url=False, include_input=False)[0]["loc"])
        known = ", ".join(name for name in model.model_fields if name != "refs")
        raise InputError(f"{kind.name}: {'; '.join(lines)}", hint=f"Fields of {place}: {known}.") from error


def _around(kind: EventType, path: Sequence[str | int]) -> tuple[str, type[BaseModel]]:
    """The innermost part of a body around a place in it, and its model."""
    found: tuple[str, type[BaseModel]] = (kind.name, kind.body)
    for depth, part in enumerate(path[:-1], 1):
        field = found[1].model_fields.get(str(part))
        inner = None if field is None else _model_in(field.annotation)
        if inner is not None:
            numbered = path[depth : depth + 1] if isinstance(path[depth], int) else ()
            found = ".".join(map(str, [*path[:depth], *numbered])), inner
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in a field's annotation, also of what a list or an optional field holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
