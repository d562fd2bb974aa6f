"""Revisions and emitters' numbers are checked by the database: the same answers as by walking over the log."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise

import pytest

from ledger.findings import MAX_FINDINGS
from tests.contract.support import make_cast
from tests.contract.tampering import victim
from tests.unit.reference_sequences import Sequences

STREAMS = ("external:a", "external:b", "monitor:c")
EMITTERS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
ACTORS = ("p-one", "p-two")


def expected(rows: list[tuple], after: int) -> tuple[list, list, list]:
    """Walk over (position, stream, revision, actor, emitter, sequence) in order."""
    revisions: dict[str, int] = defaultdict(int)
    sequences, late, repeated = Sequences(), [], []
    for position, stream, revision, actor, emitter, sequence in sorted(rows):
        if revision != revisions[stream] + 1 and position > after:
            late.append((position - 1, revisions[stream]))
        revisions[stream] = revision
        if not sequences.add(actor, emitter, sequence) and position > after:
            repeated.append(position - 1)
    touched = {row[4] for row in rows if row[0] > after}
    missing = [item for item in sequences.missing() if item[1] in touched]
    return late[:MAX_FINDINGS], repeated[:MAX_FINDINGS], missing


def overtaken(rows: list[tuple], after: int) -> list[tuple[str, str, int]]:
    """How often, in order of the numbers of an emitter, an entry stands before the one in front of it."""
    places: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for position, _, _, actor, emitter, sequence in rows:
        places[actor, emitter].append((sequence, position))
    touched = {row[4] for row in rows if row[0] > after}
    found = []
    for (actor, emitter), items in sorted(places.items()):
        items.sort()
        count = sum(b[1] < a[1] for a, b in pairwise(items))
        if count and emitter in touched:
            found.append((actor, emitter, count))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_the_database_finds_what_walking_finds(quick_url: str, seed: int):
    chance = random.Random(seed)
    cast = make_cast(quick_url, actors=())
    with victim(cast, []) as store:
        template = store.run("SELECT * FROM $entry WHERE position = 2")[0]
        names = store.columns("entry")
        store.run("DELETE FROM $entry")
        numbers: dict[tuple, int] = defaultdict(int)
        rows = []
        for position in range(1, 60):
            stream, actor, emitter = chance.choice(STREAMS), chance.choice(ACTORS), chance.choice(EMITTERS)
            if seed % 3 == 0:  # a good log: each emitter belongs to one actor
                actor = ACTORS[EMITTERS.index(emitter)]
            odd = seed % 3 != 0 and chance.random() < 0.15
            numbers[stream] += 1
            numbers[actor, emitter] += 1
            revision = chance.randrange(-1, 9) if odd else numbers[stream]
            sequence = chance.randrange(0, 12) if odd and chance.random() < 0.6 else numbers[actor, emitter]
            rows.append((position, stream, revision, actor, emitter, sequence))
        chance.shuffle(rows)
        for row in rows:
            values = dict(zip(names, template, strict=True)) | dict(
                zip(("position", "stream", "revision", "actor", "emitter", "sequence"), row, strict=True),
                id=f"id-{row[0]}",
            )
            marks = ", ".join("?" for _ in names)
            store.run(f"INSERT INTO $entry ({', '.join(names)}) VALUES ({marks})", [values[name] for name in names])
        for after in (0, 20, 58):
            late, repeated, missing = expected(rows, after)
            assert list(store.recorder.revision_faults(after)) == late
            found, gaps = store.recorder.sequence_faults(after)
            assert list(found) == repeated
            entries = [(store.recorder.rows(index, 1)[0].entry, count) for index, count in gaps]
            assert sorted((e.actor, e.emitter, count) for e, count in entries) == missing
            for _, actor, emitter, *_ in {(0, row[3], row[4]) for row in rows}:
                numbers_seen = {row[5] for row in rows if row[3:5] == (actor, emitter)}
                holes = [n for n in range(1, max(numbers_seen)) if n not in numbers_seen]
                ranges = store.recorder.gap_ranges(actor, emitter, 1, max(numbers_seen), 100)
                assert [n for first, last in ranges for n in range(first, last + 1)] == holes
                for first, last in ((1, 30), (4, 8), (7, 7), (5, 3)):
                    wanted = [n for n in range(first, last + 1) if n not in numbers_seen]
                    ranges = store.recorder.gap_ranges(actor, emitter, first, last, 100)
                    assert [n for a, b in ranges for n in range(a, b + 1)] == wanted
                    within = [n for n in numbers_seen if first <= n <= last]
                    assert store.recorder.numbers(actor, emitter, first, last)[:2] == (len(within), max([0, *within]))
            assert list(store.recorder.overtaken(after)) == overtaken(rows, after)
            if seed % 3 == 0:
                assert not late
                assert not repeated
        assert list(store.recorder.repeated_ids()) == list(store.recorder.repeated_ids(20)) == []
        store.run("UPDATE $entry SET id = 'again', actor = 'p-one' WHERE position IN (5, 40)")
        assert list(store.recorder.repeated_ids()) == list(store.recorder.repeated_ids(20)) == [39]
        assert list(store.recorder.repeated_ids(40)) == []
        assert store.recorder.counts()[0] == 59
        assert store.recorder.counts(20)[0] == 39


#: What one thing wrong makes of the revisions of a stream whose entries stand at positions 3, 6, 9 .. 18.
SINGLE = {
    "a gap": [1, 2, 4, 5, 6, 7],
    "twice": [1, 2, 2, 3, 4, 5],
    "the last twice": [1, 2, 3, 4, 5, 5],
    "the first twice": [1, 1, 2, 3, 4, 5],
    "once instead of another": [1, 2, 3, 4, 4, 6],
    "two exchanged": [1, 2, 4, 3, 5, 6],
    "the first two exchanged": [2, 1, 3, 4, 5, 6],
    "backwards": [6, 5, 4, 3, 2, 1],
    "from two": [2, 3, 4, 5, 6, 7],
    "from nothing": [0, 1, 2, 3, 4, 5],
    "from below": [-1, 0, 1, 2, 3, 4],
    "nothing at the end": [1, 2, 3, 4, 5, 0],
    "far below": [1, 2, 3, 4, 5, -(2**63)],
    "all the same": [1, 1, 1, 1, 1, 1],
}


@pytest.mark.parametrize("after", [0, 8, 17])
def test_one_thing_wrong_with_one_revision_is_found(quick_url: str, after: int):
    cast = make_cast(quick_url, actors=())
    with victim(cast, []) as store:
        names, template = store.columns("entry"), store.run("SELECT * FROM $entry WHERE position = 2")[0]
        marks = ", ".join("?" for _ in names)
        for what, wrong in {"nothing": [1, 2, 3, 4, 5, 6], **SINGLE}.items():
            rows = [
                (position, f"s{position % 3}", wrong[(position - 1) // 3] if position % 3 == 0 else (position + 2) // 3,
                 "a", "e", position)
                for position in range(1, 19)
            ]  # fmt: skip
            with store.trial():
                store.run("DELETE FROM $entry")
                for position, stream, revision, *_ in rows:
                    values = dict(zip(names, template, strict=True)) | {"position": position, "sequence": position}
                    values |= {"stream": stream, "revision": revision, "id": f"id-{position}"}
                    store.run(f"INSERT INTO $entry ({', '.join(names)}) VALUES ({marks})", list(values.values()))
                late, _, _ = expected(rows, after)
                assert list(store.recorder.revision_faults(after)) == late, what
                assert bool(late) == (what != "nothing") or after, what
