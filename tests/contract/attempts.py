"""Attempts at what must be refused: by the right error, with words that help, and with nothing half-written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from ledger.emission import uuid7
from ledger.envelope import PAYLOAD_TYPE, Signature, pae
from ledger.errors import (
    LedgerError,
    NotAllowedError,
    PolicyError,
)
from ledger.keys import Signer
from ledger.verify import verify_log
from tests.contract.support import Cast, audit, digest

Attempt = Callable[[], Any]


@contextmanager
def refused(cast: Cast, what: str, error: type[LedgerError], words: str, *, hint: bool = False) -> Iterator[None]:
    """What happens inside is refused with this error, in these words, and leaves nothing but that it was."""
    before = cast.recorder.head()
    with pytest.raises(LedgerError) as caught:
        yield
    found = caught.value
    name = f"{what}: {type(found).__name__}: {found.message!r}"
    assert isinstance(found, error), name
    if error is PolicyError:
        assert not isinstance(found, NotAllowedError), name
    assert words in found.message, name
    assert len(found.message) > 15, name
    assert len(found.message) < 600, name
    assert not hint or found.hint, f"{name} has no hint"
    left = [row.entry.type for row in cast.recorder.rows(before.size, 10)]
    assert left in ([], ["muniment.decision.refused.v1"]), f"{what}: left {left}"


def still_good(cast: Cast) -> None:
    """The log is whole, holds nothing void, and takes events."""
    cast["p-author"].emit("external.observed", "external:after", system="s")
    report = verify_log(cast.recorder, cast.new.trust)
    assert report.ok, report.findings
    audit(cast.url)


def attributes(cast: Cast, **changes: Any) -> dict[str, Any]:
    """Attributes of a good event by the trainer; None leaves one out."""
    kind = changes.get("type", "muniment.dataset.registered.v1")
    found = {
        "specversion": "1.0",
        "id": uuid7(),
        "source": "urn:muniment:trainer",
        "type": kind,
        "subject": "dataset:d@1",
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "dataschema": f"urn:muniment:schema:{kind}",
        "ledgerid": cast.admin.ledgerid,
        "nonce": "0" * 32,
        "emitter": str(uuid4()),
        "sequence": "0000000000000000001",
        "data": {"digest": digest("d")},
    }
    found.update(changes)
    return {name: value for name, value in found.items() if value is not None}


def encode(cast: Cast, **changes: Any) -> bytes:
    return json.dumps(attributes(cast, **changes), ensure_ascii=False).encode()


def seal(payload: bytes, *signers: Signer) -> bytes:
    """An envelope in its only form around any bytes."""
    found = [Signature(signer.public.keyid, signer.sign(pae(PAYLOAD_TYPE, payload))) for signer in signers]
    items = ",".join(
        f'{{"keyid":"{s.keyid}","sig":"{base64.b64encode(s.sig).decode()}"}}'
        for s in sorted(found, key=lambda s: s.keyid)
    )
    text = base64.b64encode(payload).decode()
    return f'{{"payload":"{text}","payloadType":"{PAYLOAD_TYPE}","signatures":[{items}]}}'.encode()
