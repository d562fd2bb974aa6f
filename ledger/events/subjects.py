"""Data subjects: what was erased about them, and what must not be erased for now."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ledger.events.base import (
    Body,
    Category,
    Erasable,
    FactBody,
    Hex64,
    Line,
    StreamPattern,
    SubjectName,
    Text,
    Time,
    Title,
    Uuid,
    _Frozen,
    event,
)

__all__ = [
    "MAX_ERASED",
    "ErasedEntry",
    "ErasureRequested",
    "ErasureResolved",
    "HoldPlaced",
    "HoldReleased",
    "SubjectErased",
]

#: At most so many entries in one record of an erasure, so that its payload stays within its limit.
MAX_ERASED = 256

DataKeyId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{22}$", description="Id of a data key, as it stands in sealed fields")
]


class ErasedEntry(_Frozen):
    """One entry that an erasure affects."""

    index: int = Field(ge=0, le=2**53 - 1)
    leaf_hash: Hex64 = Field(description="Its leaf hash (RFC 6962), hex")
    stream: Line = Field(description="Its stream")
    scope: Literal["fields", "whole"] = Field(
        description="fields: sealed fields in it can no longer be opened; whole: its content is withheld"
    )


@event("subject.erased", kinds=("ledger",), category=Category.AUTHORITY, roles=("eraser",), versioned=False)
class SubjectErased(Body):
    """Data keys and contents about a data subject are to be destroyed, by whom and on which basis."""

    subject: SubjectName = Field(description="The data subject, by a name that tells nothing: person:p-7f3a")
    basis: Title = Field(description="Legal or contractual basis, for example GDPR Art. 17(1)(b)")
    reason: Text
    data_keys: tuple[DataKeyId, ...] = Field(default=(), max_length=MAX_ERASED)
    entries: tuple[ErasedEntry, ...] = Field(default=(), max_length=MAX_ERASED)


@event(
    "erasure.requested", kinds=(), category=Category.FACT, roles=("emitter", "owner", "eraser"),
    erasable=Erasable.FIELDS, personal=("scope", "reason"),
)  # fmt: skip
class ErasureRequested(FactBody):
    """Somebody asks that what is known about the subject be erased; nothing is by saying so."""

    basis: Title | None = Field(default=None, description="On which basis, for example GDPR Art. 17(1)(b)")
    received_at: Time | None = Field(default=None, description="When the request came in")
    due_at: Time | None = Field(default=None, description="By when it must be answered, for example GDPR Art. 12(3)")
    scope: Line | None = Field(default=None, description="What is to be erased; all of it when absent")
    reason: Text | None = None


@event(
    "erasure.resolved", kinds=(), category=Category.FACT, roles=("owner", "eraser"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ErasureResolved(FactBody):
    """What became of a request to erase; what was erased is said by subject.erased."""

    request: Uuid = Field(description="Event id of the request")
    outcome: Literal["done", "partly", "refused", "withdrawn"]
    reason: Text | None = Field(default=None, description="Why not all of it was erased, for example a legal hold")


@event("hold.placed", kinds=("ledger",), category=Category.AUTHORITY, roles=("auditor", "admin"), versioned=False)
class HoldPlaced(Body):
    """Nothing about these subjects may be erased until the hold is released."""

    subjects: tuple[StreamPattern, ...] = Field(min_length=1, max_length=32)
    matter: Title = Field(description="Id of the matter the hold serves")
    reason: Text
    custodian: Line | None = Field(default=None, description="Who keeps what is held")
    authority: Line | None = Field(default=None, description="Who orders it, for example a court or a law")


@event("hold.released", kinds=("ledger",), category=Category.AUTHORITY, roles=("auditor", "admin"), versioned=False)
class HoldReleased(Body):
    """A hold ends; what it covered may be erased from here on."""

    hold: Uuid = Field(description="Event id of the hold")
    reason: Text
