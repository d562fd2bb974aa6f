"""`StoreWorld` folds on demand, at any index and in any order; `MemoryWorld` folds once, in order: they agree."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from ledger import worlds as module
from ledger.domain import ActorState, MemoryWorld
from ledger.entry import entry_hash
from ledger.envelope import format_envelope, join_envelope, parse_signatures, sign_payload
from ledger.errors import ConflictError, VerificationError, fault_of
from ledger.replay import ContentError, judge_row, open_fields, open_row
from ledger.stored import Row, row_of
from ledger.worlds import StoreWorld
from tests.contract.histories import History
from tests.contract.support import make_cast, raw
from tests.contract.tampering import Forger
from tests.unit.memory_log import MemoryLog, View, worlds
from tests.unit.reference_merkle import mth


@lru_cache(maxsize=64)
def history(folder: Path, seed: int, steps: int = 40) -> MemoryLog:
    """A random history; every third one has illegal and malformed entries put in by hand."""
    url = f"sqlite:///{folder / f'{seed}.db'}"
    cast = History(url, seed).run(steps).cast
    if seed % 3 == 0:
        with raw(url) as store:
            store.unprotect()
            forger, chance = Forger(store), random.Random(seed)
            for _ in range(4):
                donor = chance.choice(forger.rows[2:])
                twin = dict(donor, id=f"{chance.randrange(16**8):08x}-0000-4000-8000-000000000000")
                twin["content"] = donor["content"].replace(donor["id"].encode(), twin["id"].encode())
                twin["emitter"] = f"{chance.randrange(16**8):08x}-0000-4000-8000-000000000001"
                if chance.random() < 0.7:  # signed by its author, and yet it may be illegal at this place
                    key = (
                        next(k for k in cast.keys.values() if k.public.keyid in donor["keys"])
                        if any(k.public.keyid in donor["keys"] for k in cast.keys.values())
                        else None
                    )
                    if key is not None:
                        twin["content"] = twin["content"].replace(donor["emitter"].encode(), twin["emitter"].encode())
                        envelope = format_envelope(sign_payload(twin["content"], [key]))
                        twin["signatures"] = envelope[envelope.index(b'"signatures":') + 13 : -1]
                        assert parse_signatures(twin["signatures"])
                place = chance.randrange(3, len(forger.rows) + 1)
                twin["recorded_at"] = forger.rows[place - 1]["recorded_at"]
                forger.rows.insert(place, twin)
            forger.write()
    log = MemoryLog(cast.admin.ledgerid, cast.recorder.rows(0, 10_000))
    cast.recorder.close()
    return log


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("histories")


@pytest.mark.parametrize("seed", range(18))
def test_any_stream_at_any_index_in_any_order(folder: Path, seed: int):
    log, chance = history(folder, seed), random.Random(seed)
    expected, _, _ = worlds(log)
    questions = [(stream, index) for index in range(log.size + 1) for stream in expected[0]]
    chance.shuffle(questions)
    world = StoreWorld(log)
    for stream, index in questions:
        assert world.state_before(stream, index) == expected[index][stream], (stream, index)
    for stream, index in chance.sample(questions, 20):
        assert StoreWorld(log).state_before(stream, index) == expected[index][stream], f"cold: {stream} at {index}"
        assert StoreWorld(log).at(index).state(stream) == expected[index][stream]


@pytest.mark.parametrize("seed", range(18))
def test_a_log_that_grows_under_an_open_world(folder: Path, seed: int):
    """Questions between refreshes, about what was known then and about what came since."""
    whole, chance = history(folder, seed), random.Random(seed)
    expected, _, _ = worlds(whole)
    log = MemoryLog(whole.identity().ledgerid, whole.rows(0, whole.size))
    log.size = 2
    world, streams = StoreWorld(log), sorted(expected[0])
    for size in range(2, whole.size + 1):
        log.size = size
        if chance.random() < 0.5:
            assert world.refresh() == size
            assert world.authority == log.head().authority
            for stream in chance.sample(streams, min(6, len(streams))):
                assert world.state_before(stream, size) == expected[size][stream], (stream, size)
            earlier = chance.randrange(size)
            stream = chance.choice(streams)
            assert world.state_before(stream, earlier) == expected[earlier][stream]
    world.refresh()
    for stream in streams:
        assert world.state_before(stream, whole.size) == expected[-1][stream]


@pytest.mark.parametrize("seed", range(18))
def test_verdicts_revisions_keys_and_roots(folder: Path, seed: int):
    log = history(folder, seed)
    _, memory, verdicts = worlds(log)
    rows, world = log.rows(0, log.size), StoreWorld(log)
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert {row.entry.index: world.judge_row(row).verdict.kind for row in shuffled} == dict(enumerate(verdicts))
    revisions: Counter[str] = Counter()
    for row in rows:
        index, stream = row.entry.index, row.entry.stream
        assert world.revision_before(stream, index) == revisions[stream]
        revisions[stream] = row.entry.revision
        at = world.at(index)
        assert at.leaf_hash(index - 1) == (rows[index - 1].leaf_hash if index else None)
        assert at.leaf_hash(index) is None, "the present entry is not in the world before it"
        assert at.root_hash(index) == (mth([r.leaf_hash for r in rows[:index]]) if index else None)
        assert at.root_hash(index + 1) is None
        at.state(stream)
        authority = stream.startswith(("actor:", "ledger:"))
        assert at.reads == ({} if authority else {stream: revisions[stream] - 1})
    states = [memory.state(stream) for stream in log.authority_streams()]
    keys = {keyid for state in states if isinstance(state, ActorState) for keyid in state.keys}
    for keyid in keys:
        assert world.key_holder_before(keyid, log.size) == memory.key_holder(keyid)
        assert world.key_holder_before(keyid, 1) is None
    assert world.key_holder_before("0" * 64, log.size) is None


@pytest.mark.parametrize("seed", range(0, 18, 3))
def test_who_was_admin_and_whose_key_it_was_at_any_index_in_any_order(folder: Path, seed: int):
    """What was read for a late question does not count for an early one."""
    log = history(folder, seed)
    warm, last = StoreWorld(log), None
    assert warm.admins_before(log.size)
    keys = {keyid for row in log.rows(0, log.size) for keyid in row.entry.keys}
    for index in range(log.size, -1, -1):
        cold = StoreWorld(log)
        assert warm.admins_before(index) == cold.admins_before(index)
        assert last is None or warm.admins_before(index) <= last
        last = warm.admins_before(index)
        for keyid in keys:
            assert warm.key_holder_before(keyid, index) == cold.key_holder_before(keyid, index)
    assert last == frozenset()


def test_the_last_verdicts_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_JUDGED_CACHE", 2)
    log = history(folder, 1)
    world, rows = StoreWorld(log), log.rows(0, 4)
    world.admins_before(log.size)
    found = [world.judge_row(row) for row in rows]
    assert [world.judge_row(row) is judged for row, judged in zip(rows[2:], found[2:], strict=True)] == [True, True]
    assert world.judge_row(replace(rows[3], payload=None)).verdict != found[3].verdict, "the same row, and no other"
    assert world.judge_row(rows[0]) is not found[0]


def test_the_histories_hold_what_they_should(folder: Path):
    verdicts: Counter[str] = Counter()
    for seed in range(18):
        _, _, found = worlds(history(folder, seed))
        verdicts += Counter(found)
        assert ("void" in found) <= (seed % 3 == 0)
    assert verdicts["void"] >= 15
    assert verdicts["valid"] > 300


def test_followed_events_count_and_are_not_folded(folder: Path):
    log = history(folder, 1)
    expected, _, _ = worlds(log)
    rows, world = log.rows(0, log.size), StoreWorld(log)
    for size in range(2, log.size - 3):
        judged = [world.judge_row(row) for row in rows[size : size + 3]]
        if any(item.verdict.kind != "valid" for item in judged):
            continue
        pending = [item.event for item in judged if item.event is not None]
        at = world.at(size)
        for event in pending:
            at.follow(event)
        assert at.index == size + 3
        for stream in {event.stream for event in pending}:
            assert at.state(stream) == expected[size + 3][stream], (stream, size)
            assert world.state_before(stream, size) == expected[size][stream]


def test_a_world_that_began_with_an_empty_log_knows_what_came(folder: Path):
    """The handle that appends the first entry judges the second by it."""
    log = history(folder, 2)
    expected, _, _ = worlds(log)
    size, log.size = log.size, 0
    world = StoreWorld(log)
    rows = log.rows_of(4)
    for row in rows:
        event, _ = open_row(row)
        world.follow(event, row.entry.index, row.entry.revision, row.entry.recorded_at)
        assert (world.size, world.recorded_at) == (row.entry.index + 1, row.entry.recorded_at)
        assert world.root_hash(row.entry.index + 2) is None
    log.size = size
    for stream in {row.entry.stream for row in rows}:
        assert world.state_before(stream, 4) == expected[4][stream]


def test_an_open_world_asks_only_for_what_is_new(folder: Path):
    log = history(folder, 2)
    world = StoreWorld(log)
    streams = {row.entry.stream for row in log.rows(0, log.size)}
    assert {"actor", "incident"} <= {stream.partition(":")[0] for stream in streams}
    for stream in streams:
        world.state_before(stream, log.size)
    reads = log.reads
    for stream in streams:
        for index in range(log.size + 1):
            world.state_before(stream, index)
    assert log.reads == reads
    for authority in log.authority_streams():
        world.state_before(authority, log.size)
    reads = log.reads
    world.refresh()
    for authority in log.authority_streams():
        world.state_before(authority, log.size)
    assert log.reads == reads, "actors are read again only when `authority` moved"


def test_a_hash_that_is_missing_is_no_root(folder: Path):
    """A store that lost rows makes decisions refuse, not crash."""
    log = history(folder, 2)
    world = StoreWorld(log)
    assert [world.root_hash(size) is None for size in (-1, 0, 1, log.size, log.size + 1)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    whole = log.leaf_hashes
    log.leaf_hashes = lambda start, stop: whole(start, stop)[:3]  # type: ignore[method-assign]
    try:
        assert StoreWorld(log).root_hash(log.size) is None
    finally:
        del log.leaf_hashes


# -- one row ---------------------------------------------------------------------------------------


@pytest.fixture
def row(tmp_path: Path) -> Row:
    cast = make_cast(f"sqlite:///{tmp_path / 'one.db'}", actors=("p-author",))
    index = cast["p-author"].emit("external.observed", "external:x", system="s").index
    found = cast.recorder.rows(index, 1)[0]
    cast.recorder.close()
    return found


def nothing(index: int, row: Row) -> Row:
    return row


ALTERATIONS: dict[str, tuple[Callable[[Row], Row], type[VerificationError], str]] = {
    "payload gone": (lambda r: replace(r, payload=None), ContentError, "payload"),
    "signatures gone": (lambda r: replace(r, signatures=None), ContentError, "payload"),
    "payload": (lambda r: replace(r, payload=(r.payload or b"") + b" "), ContentError, "payload"),
    "payload empty": (lambda r: replace(r, payload=b""), ContentError, "payload"),
    "signatures": (lambda r: replace(r, signatures=b"[]"), ContentError, "signature"),
    "signatures no JSON": (lambda r: replace(r, signatures=b"\xff"), ContentError, "signature"),
    "envelope digest": (lambda r: replace(r, entry=replace(r.entry, envelope="0" * 64)), ContentError, "signature"),
    "payload digest": (lambda r: replace(r, entry=replace(r.entry, payload="0" * 64)), ContentError, "payload"),
    **{
        name: (lambda r, n=name, v=value: replace(r, entry=replace(r.entry, **{n: v})), VerificationError, "header")  # type: ignore[misc]
        for name, value in {
            "actor": "p-other", "emitter": "0" * 36, "id": "0" * 36, "item": 1, "keys": ("0" * 64,),
            "ledgerid": "0" * 32, "sequence": 77, "stream": "external:y", "subject": "external:y",
            "type": "muniment.run.started.v1",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_row_whose_parts_do_not_fit_is_void_and_says_which(row: Row, name: str):
    alter, error, fault = ALTERATIONS[name]
    open_row(row)
    with pytest.raises(VerificationError) as caught:
        open_row(alter(row))
    assert type(caught.value) is error
    assert (caught.value.fault, caught.value.index) == (fault, row.entry.index)
    world = MemoryWorld(row.entry.ledgerid, View([]))
    judged = judge_row(world, alter(row))
    assert (judged.event, judged.verdict.kind) == (None, "void")


def committed(row: Row, payload: bytes, signatures: bytes) -> Row:
    """A row whose entry commits to this content, as whoever recorded it could have made it."""
    digests = [hashlib.sha256(data).hexdigest() for data in (payload, join_envelope(payload, signatures))]
    entry = replace(row.entry, payload=digests[0], envelope=digests[1])
    assert entry_hash(entry)
    return replace(row, payload=payload, signatures=signatures, entry=entry)


@pytest.mark.parametrize(
    ("payload", "signatures", "error", "fault", "words"),
    [
        (None, b"[]", ContentError, "signature", "the stored signatures cannot be read: "),
        (None, b"\xff", ContentError, "signature", "the stored signatures cannot be read: "),
        (None, b"[1]", ContentError, "signature", "the stored signatures cannot be read: "),
        (b"x" * 65_537, None, ContentError, "signature",
         "the stored signatures cannot be read: the payload has 65537 bytes; at most 65536 are allowed"),
        (b"x" * 65_536, None, VerificationError, "schema", "payload is not JSON"),
        (b'{"specversion":"1.0"}', None, VerificationError, "schema", "payload: 'data' must be a JSON object"),
    ],
)  # fmt: skip
def test_content_that_was_recorded_so_and_is_none(  # noqa: PLR0917 - a row of the table
    row: Row, payload: bytes | None, signatures: bytes | None, error: type[VerificationError], fault: str, words: str
):
    bad = committed(row, payload or row.payload or b"", signatures or row.signatures or b"")
    with pytest.raises(VerificationError) as caught:
        open_row(bad)
    assert (type(caught.value), caught.value.fault, caught.value.index) == (error, fault, row.entry.index)
    assert caught.value.message.startswith(words)


def test_what_is_said_of_content_that_does_not_fit(row: Row):
    said = {
        "payload gone": "its content is missing",
        "payload": "the payload is not the one recorded",
        "signatures": "the stored signatures cannot be read: ",
        "envelope digest": "the signatures are not the ones recorded",
        "subject": "the header says subject 'external:y', the signed payload 'external:x'",
    }
    for name, words in said.items():
        with pytest.raises(VerificationError) as caught:
            open_row(ALTERATIONS[name][0](row))
        assert caught.value.message.startswith(words)


def test_a_row_is_opened_alike_as_the_store_gave_it(row: Row):
    """Verification reads the fields, and a row only where one of them is odd: then it takes ten times as long."""
    entry = row.entry
    fields = (
        entry.index + 1, entry.stream, entry.revision, entry.type, entry.actor, entry.id, entry.emitter, entry.sequence,
        entry.subject, entry.item, ",".join(entry.keys), bytes.fromhex(entry.payload), bytes.fromhex(entry.envelope),
        bytes.fromhex(entry.prev), entry.recorded_at, row.leaf_hash, row.payload, row.signatures,
    )  # fmt: skip
    assert row_of(fields, entry.ledgerid) == row
    assert row_of(fields[:16], entry.ledgerid) == replace(row, payload=None, signatures=None)
    assert open_fields(fields, entry.ledgerid) == open_row(row)


def test_a_row_before_anything_is_known_is_void_by_key(row: Row):
    judged = judge_row(MemoryWorld(row.entry.ledgerid, View([])), row)
    assert judged.verdict.kind == "void"
    assert judged.verdict.error is not None
    assert fault_of(judged.verdict.error) == "key"
    assert judged.event is not None
    assert not isinstance(judged.verdict.error, ConflictError)
