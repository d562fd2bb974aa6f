"""Rows of events whose body no judgement reads, checked in bulk: most of a log, and written by our own emitters.

Each step goes over all rows before the next one begins, so the processor keeps the code of one step at hand, and the
tables of the curve: together that halves the time. What passes is as good as `replay.open_fields` and
`envelope.verify_parsed` would find it, by the same grammar (`payload.read_plain`) and the same schemas; what does not
is only not plain, and is for them to look at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from ledger.domain.judge import reads_body
from ledger.envelope import MAX_PAYLOAD, PAYLOAD_TYPE, join_envelope, pae, read_signature
from ledger.errors import AuthenticationError
from ledger.events import known_event_type
from ledger.keys import PublicKey
from ledger.names import parse_name
from ledger.payload import read_plain
from ledger.stored import Fields

__all__ = ["check_plain_rows", "digests_fit"]


def digests_fit(fields: Fields) -> bool:
    """Whether the content of a row is there and has the digests that its columns say.

    Args:
        fields: see `stored.row_of`, with the content.
    """
    content, signatures = fields[16:18]
    return (
        content is not None
        and signatures is not None
        and hashlib.sha256(content).digest() == fields[11]
        and hashlib.sha256(join_envelope(content, signatures)).digest() == fields[12]
    )


@lru_cache(maxsize=4096)
def _is_light(topic: str, about: str) -> bool:
    return not reads_body(known_event_type(topic), about)


def _read(fields: Fields, ledgerid: str) -> tuple[str, str | None] | None:
    """The text of the body and whom it was done for, when the columns say what the signed payload says."""
    _, stream, _, topic, actor, event_id, emitter, sequence, subject, item = fields[:10]
    if len(fields[16]) > MAX_PAYLOAD or item != 0:
        return None
    found = read_plain(fields[16])
    if found is None:
        return None
    payload, body = found  # what is not needed again is let go here: all rows of it together would crowd the caches
    if payload[:4] != (event_id, actor, topic, subject) or payload[5:8] != (ledgerid, emitter, sequence):
        return None
    return (body, payload[8]) if stream == subject.partition("@")[0] else None


def _fits_schema(topic: str, body: str) -> bool:
    kind = known_event_type(topic)
    try:
        return kind is None or kind.body.model_validate_json(body) is not None
    except ValidationError:
        return False


def _signature(fields: Fields, keys: Mapping[str, PublicKey]) -> tuple[PublicKey, bytes, bytes] | None:
    """The key that the columns name, its signature and what it should have signed."""
    found = read_signature(fields[17])
    key = None if found is None else keys.get(found[0])
    if found is None or key is None or not found[0] == key.keyid == fields[10]:
        return None
    return key, found[1], pae(PAYLOAD_TYPE, fields[16])


def _good(signatures: Mapping[int, tuple[PublicKey, bytes, bytes]]) -> Iterator[int]:
    for place, (key, signature, message) in signatures.items():
        try:
            key.verify(signature, message)
        except AuthenticationError:
            continue
        yield place


def _sketch(fields: Fields, behalf: str | None, ledgerid: str) -> tuple[Any, ...]:
    subject = parse_name(fields[8])
    return (
        fields[3], fields[4], (fields[10],), behalf, ledgerid, subject.kind, subject.namespace is not None,
        subject.version is not None,
    )  # fmt: skip


def check_plain_rows(
    found: Sequence[Fields], ledgerid: str, keys: Mapping[str, PublicKey], besides: Collection[str]
) -> dict[int, tuple[Any, ...]]:
    """Check the contents of rows and their signatures.

    Args:
        found: rows with their contents; their columns are in their form.
        ledgerid: of the log.
        keys: every key of the log by its keyid.
        besides: actors whose events are not looked at.

    Returns:
        By place the fields of a `segment.Sketch`, for each row that is plain and good.
    """
    light = [
        place
        for place, fields in enumerate(found)
        if fields[4] not in besides and _is_light(fields[3], fields[8].partition(":")[0])
    ]
    whole = [place for place in light if digests_fit(found[place])]
    read = {place: said for place in whole if (said := _read(found[place], ledgerid)) is not None}
    typed = [place for place, (body, _) in read.items() if _fits_schema(found[place][3], body)]
    signed = {place: parts for place in typed if (parts := _signature(found[place], keys)) is not None}
    return {place: _sketch(found[place], read[place][1], ledgerid) for place in _good(signed)}
