"""Which entries mention a digest: as a value of what was signed, however deep, and not as a part of a longer text."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ledger.bundle import Selection
from ledger.bundling import mentions
from ledger.emission import build_payload
from ledger.entry import Entry
from ledger.stored import Row

DIGEST, OTHER = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
ZERO = "00" * 32
ENTRY = Entry("a", "e", ZERO, "i", 3, 0, (ZERO,), "ab" * 16, ZERO, ZERO, 0, 1, 1, "model:m", "model:m@1", "t")


def row(content: dict[str, Any] | None, payload: bytes | None = None) -> Row:
    if content is not None:
        data = {"system": "s", "content": content}
        payload, _ = build_payload(
            ledgerid="ab" * 16, actor="p-a", type="external.observed", subject="external:x", data=data,
            emitter=str(UUID(int=1)), sequence=1,
        )  # fmt: skip
    return Row(ENTRY, bytes(32), payload, b"")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"a": DIGEST}, True),
        ({"a": [1, {"b": [DIGEST]}]}, True),
        ({"a": [OTHER, DIGEST]}, True),
        ({"a": OTHER}, False),
        ({"a": DIGEST + "0"}, False),
        ({DIGEST: "a name is no value"}, False),
        ({"a": f"see {DIGEST}"}, False),
        ({"a": [1, None, True, {}]}, False),
    ],
)
def test_a_digest_is_mentioned_as_a_value(content: dict[str, Any], found: bool):
    assert mentions(row(content), [DIGEST]) is found
    assert mentions(row(content), ["sha256:" + "ef" * 32, DIGEST]) is found
    assert mentions(row(content), []) is False


def test_what_has_no_content_or_none_that_is_read_mentions_nothing():
    assert mentions(row(None), [DIGEST]) is False
    assert mentions(row(None, b'{"a":"%b"}' % DIGEST.encode()), [DIGEST]) is False
    assert mentions(row(None, b"\xff" + DIGEST.encode()), [DIGEST]) is False


@pytest.mark.parametrize(
    ("selection", "named"),
    [
        (Selection("all"), True),
        (Selection("subject", ("model:m",)), True),
        (Selection("subject", ("model:m@1",)), True),
        (Selection("subject", ("model:m@2",)), False),
        (Selection("indexes", (1, 3)), True),
        (Selection("indexes", (2, 4)), False),
        (Selection("digests", (DIGEST,)), False),
    ],
)
def test_what_a_selection_names_by_the_header(selection: Selection, named: bool):
    assert selection.names(ENTRY) is named
    assert selection.asks_for(ENTRY) is named
