"""The payload: what an author signs, a CloudEvents 1.0 object as strict UTF-8 JSON.

Its bytes are hashed and signed exactly as the author wrote them and are never written again, so this
module only parses them and, for our own authors, builds them once.

Sources: CloudEvents 1.0.2 (attributes, JSON format, sequence and distributed-tracing extensions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from ledger.entry import format_time
from ledger.envelope import MAX_PAYLOAD
from ledger.errors import InputError
from ledger.names import format_source, parse_name, parse_source
from ledger.strictjson import format_json, parse_json, parse_object

__all__ = ["EVIDENCE_STRENGTHS", "MAX_SEQUENCE", "Payload", "format_payload", "parse_moment", "parse_payload",
           "read_plain"]  # fmt: skip

#: How the author came to know: seen by the emitter itself, claimed, imported, or written later.
EVIDENCE_STRENGTHS: Final = ("observed", "asserted", "imported", "backfilled")
MAX_SEQUENCE: Final = 2**53 - 1

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX32 = re.compile(r"[0-9a-f]{32}")
_SEQUENCE = re.compile(r"[0-9]{19}")
_TYPE = re.compile(r"muniment\.[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.v[1-9][0-9]{0,3}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,6}))?Z", re.ASCII)
_NOT_DIGITS = re.compile("[-T:]")
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")  # CloudEvents 1.0, "Naming conventions"
_KNOWN = frozenset(
    ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "ledgerid", "nonce",
     "emitter", "sequence", "evidencestrength", "data", "onbehalfof", "correlationid", "causationid")
)  # fmt: skip
_SCHEMA_PREFIX = "urn:muniment:schema:"

# How our own emitters write a payload (`format_payload`), before its body and behind it. Strings have no escapes here,
# and everything in them is what `_text` allows.
_STRING = r'"([ !#-\[\]-~]{1,255})"'
_HEAD = re.compile(rf'\{{(?:"causationid":{_STRING},)?(?:"correlationid":{_STRING},)?"data":(?=\{{)')
_TAIL = re.compile(
    rf',"datacontenttype":"application/json","dataschema":"{_SCHEMA_PREFIX}({_TYPE.pattern})",'
    rf'"emitter":"({_UUID.pattern})","evidencestrength":"({"|".join(EVIDENCE_STRENGTHS)})","id":"({_UUID.pattern})",'
    rf'"ledgerid":"({_HEX32.pattern})","nonce":"{_HEX32.pattern}"(?:,"onbehalfof":{_STRING})?,'
    rf'"sequence":"({_SEQUENCE.pattern})","source":{_STRING},"specversion":"1\.0","subject":{_STRING},'
    rf'"time":{_STRING},"type":"\1"\}}'
)


@dataclass(frozen=True, slots=True)
class Payload:
    """One parsed payload.

    Attributes:
        id: UUID of the event, lower case.
        actor: actor id of the author (from ``source``).
        type: full event type, ``muniment.<family>.<verb>.v<N>``.
        subject: name of what the event is about.
        occurred_at: the author's claim, microseconds since the Unix epoch.
        ledgerid: 32 hex digits of the one ledger this event belongs to.
        emitter: UUID of the emitter instance that numbered it.
        sequence: number given by the emitter, from 1.
        on_behalf_of: actor id this was done for, or None.
        correlationid: ties events of one undertaking together, or None.
        causationid: id of the event that caused this one, or None.
        evidence: one of ``EVIDENCE_STRENGTHS``.
        data: the body as parsed JSON.
    """

    id: str
    actor: str
    type: str
    subject: str
    occurred_at: int
    ledgerid: str
    emitter: str
    sequence: int
    on_behalf_of: str | None
    correlationid: str | None
    causationid: str | None
    evidence: str
    data: Mapping[str, Any]


def _text(attributes: Mapping[str, Any], name: str, pattern: re.Pattern[str] | None, form: str) -> str:
    value = attributes.get(name)
    if value is None:
        raise InputError(f"payload: the attribute {name!r} is missing")
    if not isinstance(value, str) or not value or len(value) > 255:
        raise InputError(f"payload: {name!r} must be a string of 1 to 255 characters")
    if not value.isprintable():
        raise InputError(f"payload: {name!r} holds control characters")
    if pattern is not None and not pattern.fullmatch(value):
        raise InputError(f"payload: {name!r} must be {form}, not {value!r}")
    return value


def _optional(attributes: Mapping[str, Any], name: str) -> str | None:
    return None if name not in attributes else _text(attributes, name, None, "")


@lru_cache(maxsize=1024)
def _seconds(text: str) -> int:
    """Seconds since the Unix epoch of ``YYYY-MM-DDTHH:MM:SS``; neighbours in a log often share it."""
    year, month, day, hour, minute, second = map(int, _NOT_DIGITS.split(text))
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())


def parse_moment(text: str) -> int:
    """Read a time as events give it.

    Args:
        text: ``YYYY-MM-DDTHH:MM:SS[.ffffff]Z``, up to six decimals.

    Returns:
        Microseconds since the Unix epoch.

    Raises:
        InputError: any other form, a day that does not exist, or a year before 1970.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise InputError(f"a time must be UTC as YYYY-MM-DDTHH:MM:SS[.ffffff]Z, not {text!r}")
    try:
        seconds = _seconds(text[:19])
    except ValueError as error:
        raise InputError(f"{text!r} is not a time: {error}") from error
    if seconds < 0:
        raise InputError(f"{text!r} lies before 1970")
    return seconds * 1_000_000 + int((match[1] or "").ljust(6, "0"))


def _occurred_at(text: str) -> int:
    try:
        return parse_moment(text)
    except InputError as error:
        raise InputError(f"payload: 'time': {error.message}") from error


def _check_shape(attributes: Any) -> Mapping[str, Any]:
    if not isinstance(attributes, dict):
        raise InputError("payload: must be a JSON object (CloudEvents 1.0)")
    for name in attributes if not attributes.keys() <= _KNOWN else ():
        if not _ATTRIBUTE.fullmatch(name):
            raise InputError(f"payload: {name!r} is no CloudEvents attribute name (1 to 20 of a-z and 0-9)")
    if attributes.get("specversion") != "1.0":
        raise InputError("payload: 'specversion' must be \"1.0\"")
    if attributes.get("datacontenttype", "application/json") != "application/json":
        raise InputError("payload: 'datacontenttype' must be application/json")
    if not isinstance(attributes.get("data"), dict):
        raise InputError("payload: 'data' must be a JSON object")
    return attributes


def read_plain(data: bytes) -> tuple[tuple[Any, ...], str] | None:
    """Read a payload that is written as our own emitters write it: half the time that others take.

    Args:
        data: at most 65,536 bytes.

    Returns:
        The attributes of `Payload` in their order, and the text of the body; None when it is written in another way, or
        is no payload: `parse_payload` tells.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    head = _HEAD.match(text)
    found = None if head is None else parse_object(text, head.end())
    if head is None or found is None:
        return None
    body, end = found
    tail = _TAIL.fullmatch(text, end)
    if tail is None:
        return None
    kind, emitter, evidence, event_id, ledgerid, behalf, digits, source, subject, time = tail.groups()
    sequence = int(digits)
    if not 1 <= sequence <= MAX_SEQUENCE or len(_SCHEMA_PREFIX) + len(kind) > 255:
        return None
    try:
        parse_name(subject)
        fields = (
            event_id, parse_source(source), kind, subject, parse_moment(time), ledgerid, emitter, sequence,
            None if behalf is None else parse_source(behalf), head[2], head[1], evidence, body,
        )  # fmt: skip
    except InputError:
        return None
    return fields, text[head.end() : end]


def parse_payload(data: bytes) -> Payload:
    """Parse the bytes an author signed.

    Args:
        data: strict UTF-8 JSON of at most 65,536 bytes.

    Returns:
        The attributes that Muniment reads; unknown ones are left in the bytes and ignored.

    Raises:
        InputError: the bytes are not strict JSON or an attribute is missing or malformed.
    """
    if len(data) > MAX_PAYLOAD:
        raise InputError(
            f"payload: {len(data):,} bytes are more than the {MAX_PAYLOAD:,} allowed",
            hint="Large things enter by digest: register the file's sha256 instead of its content.",
        )
    plain = read_plain(data)
    return _parse(data) if plain is None else Payload(*plain[0])


def _parse(data: bytes) -> Payload:
    """Parse a payload that may be written in any way, or be none."""
    attributes = _check_shape(parse_json(data, what="payload"))
    kind = _text(attributes, "type", _TYPE, "muniment.<family>.<verb>.v<N>")
    if _text(attributes, "dataschema", None, "") != _SCHEMA_PREFIX + kind:
        raise InputError(f"payload: 'dataschema' must be {_SCHEMA_PREFIX + kind!r}")
    subject = _text(attributes, "subject", None, "")
    parse_name(subject, kind.split(".")[1])
    evidence = attributes.get("evidencestrength", "observed")
    if evidence not in EVIDENCE_STRENGTHS:
        raise InputError(f"payload: 'evidencestrength' must be one of {', '.join(EVIDENCE_STRENGTHS)}")
    sequence = int(_text(attributes, "sequence", _SEQUENCE, "19 decimal digits"))
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise InputError(f"payload: 'sequence' must lie between 1 and {MAX_SEQUENCE}")
    _text(attributes, "nonce", _HEX32, "32 lower-case hex digits")
    on_behalf_of = _optional(attributes, "onbehalfof")
    return Payload(
        id=_text(attributes, "id", _UUID, "a UUID in lower case"),
        actor=parse_source(_text(attributes, "source", None, "")),
        type=kind,
        subject=subject,
        occurred_at=_occurred_at(_text(attributes, "time", None, "")),
        ledgerid=_text(attributes, "ledgerid", _HEX32, "32 lower-case hex digits"),
        emitter=_text(attributes, "emitter", _UUID, "a UUID in lower case"),
        sequence=sequence,
        on_behalf_of=None if on_behalf_of is None else parse_source(on_behalf_of),
        correlationid=_optional(attributes, "correlationid"),
        causationid=_optional(attributes, "causationid"),
        evidence=evidence,
        data=attributes["data"],
    )


def format_payload(payload: Payload, nonce: str) -> bytes:
    """Return the bytes of a payload made by our own emitters (RFC 8785 order).

    Whether they are a payload is for `parse_payload` to say.

    Args:
        payload: the values.
        nonce: 32 hex digits from 16 random bytes, so that no published digest can be confirmed by guessing.

    Raises:
        InputError: a value cannot be written as JSON.
    """
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": payload.id,
        "source": format_source(payload.actor),
        "type": payload.type,
        "subject": payload.subject,
        "time": format_time(payload.occurred_at),
        "datacontenttype": "application/json",
        "dataschema": _SCHEMA_PREFIX + payload.type,
        "ledgerid": payload.ledgerid,
        "nonce": nonce,
        "emitter": payload.emitter,
        "sequence": f"{payload.sequence:019d}",
        "evidencestrength": payload.evidence,
        "data": payload.data,
    }
    if payload.on_behalf_of is not None:
        attributes["onbehalfof"] = format_source(payload.on_behalf_of)
    for name in ("correlationid", "causationid"):
        value = getattr(payload, name)
        if value is not None:
            attributes[name] = value
    return format_json(attributes)
