"""Which entries mention a digest, as a value of what was signed and however deep; and a bundle read as a log."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from ledger.bundle import Selection
from ledger.bundlelog import BundleLog
from ledger.bundling import find_mentions, mentions
from ledger.emission import build_payload
from ledger.entry import Entry
from ledger.stored import Row
from tests.unit.memory_log import MemoryLog
from tests.unit.reference_merkle import mth

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


def rows_of(*rows: Row) -> list[Row]:
    return [replace(row, entry=replace(ENTRY, index=index)) for index, row in enumerate(rows)]


def test_what_mentions_a_digest_and_what_may():
    sealed = {"personal": "sealed:v1:x"}
    rows = rows_of(
        row({"a": DIGEST}), row({"a": OTHER}), row(None), row(sealed), row({"a": DIGEST, **sealed}), row({"a": DIGEST})
    )
    log: Any = MemoryLog("ab" * 16, rows)
    found, unread = find_mentions(log, len(rows), [DIGEST])
    assert ([row.entry.index for row in found], unread) == ([0, 4, 5], [2, 3])
    found, unread = find_mentions(log, 3, [DIGEST])
    assert ([row.entry.index for row in found], unread) == ([0], [2]), "entries behind the size do not count"


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 513, 768])
def test_the_tiles_of_a_bundle_are_those_of_whole_groups(size: int):
    leaves = [hashlib.sha256(b"%d" % number).digest() for number in range(size)]
    rows = [Row(replace(ENTRY, index=index), leaf, None, b"") for index, leaf in enumerate(leaves)]
    bundle: Any = SimpleNamespace(rows=rows, head=SimpleNamespace(origin="ledger.example/unit"))
    log = BundleLog(bundle, "ab" * 16)
    roots = [mth(leaves[at : at + 256]) for at in range(0, size - 255, 256)]
    assert log.root == mth(leaves)
    assert list(log.tile_roots(0, 0, 9)) == roots
    assert [(tile.index, tile.root) for tile in log.tiles(0, 0, 9)] == list(enumerate(roots))
    assert (list(log.tile_roots(1, 0, 9)), list(log.tiles(1, 0, 9))) == ([], [])
