"""The history checker accepts what an append-only log may do, and refuses each thing it must not do."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest

from tests.faults.history import Append, Entry, History, Outcome, Read, Roots, SeenHead, check
from tests.unit.reference_merkle import mth


def leaf(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def log(*names: str) -> list[Entry]:
    return [Entry(name, leaf(name)) for name in names]


def ok(name: str, index: int, begun: int, ended: int) -> Append:
    return Append(name, Outcome.OK, begun, ended, index, leaf(name))


def good() -> History:
    """Three appends one after another, one of unknown outcome that is there, one that failed; reads and heads."""
    entries = log("a", "b", "c", "u")
    roots = Roots([entry.leaf for entry in entries])
    return History(
        entries,
        [
            ok("a", 0, 0, 10), ok("b", 1, 20, 30), ok("c", 2, 25, 45), ok("b", 1, 60, 70),
            Append("u", Outcome.UNKNOWN, 40), Append("v", Outcome.UNKNOWN, 40), Append("f", Outcome.FAILED, 5, 6),
        ],
        [Read(0, "a", leaf("a"), 12, 13), Read(3, "u", leaf("u"), 80, 81)],
        [SeenHead(size, roots[size] or b"", begun, begun + 1) for size, begun in ((1, 11), (3, 46), (4, 50))],
    )  # fmt: skip


def test_a_good_history_is_accepted():
    assert check(good()) == []


def test_an_empty_history_is_accepted():
    assert check(History([])) == []


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 100])
def test_roots_are_those_of_the_definition(size: int):
    leaves = [leaf(str(number)) for number in range(size)]
    roots = Roots(leaves)
    assert [roots[length] for length in range(size + 1)] == [mth(leaves[:length]) for length in range(size + 1)]
    assert roots[size + 1] is None


def test_a_lost_append_is_refused():
    history = good()
    history.appends.append(ok("lost", 4, 90, 91))
    assert any("is lost" in violation for violation in check(history))


def test_an_append_that_moved_is_refused():
    history = good()
    history.log = log("a", "c", "b", "u")
    assert any("something else" in violation for violation in check(history))


def test_another_leaf_hash_is_refused():
    history = good()
    history.appends[0] = replace(history.appends[0], leaf=leaf("x"))
    assert any("something else" in violation for violation in check(history))


def test_a_duplicate_is_refused():
    history = good()
    history.log = log("a", "b", "c", "u", "u")
    assert any("2 times" in violation for violation in check(history))


def test_the_same_id_at_two_indexes_is_refused():
    history = good()
    history.appends.append(replace(ok("b", 2, 60, 70), id="b"))
    assert any("was acknowledged at 1 and at 2" in violation for violation in check(history))


def test_a_failed_append_that_is_there_is_refused():
    history = good()
    history.log = log("a", "b", "c", "u", "f")
    assert any("failed and is there" in violation for violation in check(history))


def test_a_failed_append_that_was_sent_again_may_be_there():
    history = good()
    history.log = log("a", "b", "c", "u", "f")
    history.appends.append(ok("f", 4, 60, 65))
    assert check(history) == []


def test_what_nobody_appended_is_refused():
    history = good()
    history.log = log("a", "b", "c", "u", "stranger")
    assert any("never appended" in violation for violation in check(history))
    history.before = 5
    assert not any("never appended" in violation for violation in check(history))


def test_an_order_against_real_time_is_refused():
    """b began after a was acknowledged and stands before it."""
    entries = log("b", "a")
    history = History(entries, [ok("a", 1, 0, 10), ok("b", 0, 20, 30)])
    assert any("was acknowledged before" in violation for violation in check(history))
    history.appends[1] = ok("b", 0, 9, 30)  # they overlap: both orders are right
    assert check(history) == []


def test_an_unknown_append_before_one_acknowledged_earlier_is_refused():
    history = History(log("u", "a"), [ok("a", 1, 0, 10), Append("u", Outcome.UNKNOWN, 20)])
    assert any("was acknowledged before" in violation for violation in check(history))


def test_a_read_of_something_else_is_refused():
    history = good()
    history.reads.append(Read(1, "a", leaf("a"), 50, 51))
    assert any("was read as a" in violation for violation in check(history))
    history = good()
    history.reads.append(Read(9, "z", leaf("z"), 50, 51))
    assert check(history)


def test_a_forked_head_is_refused():
    history = good()
    history.heads.append(SeenHead(2, leaf("other tree"), 50, 51))
    assert any("not a prefix" in violation for violation in check(history))


def test_a_head_beyond_the_log_is_refused():
    history = good()
    history.heads.append(SeenHead(5, leaf("future"), 50, 51))
    assert any("not a prefix" in violation for violation in check(history))


def test_a_head_behind_an_acknowledgement_is_refused():
    history = good()
    roots = Roots([entry.leaf for entry in history.log])
    history.heads = [SeenHead(1, roots[1] or b"", 31, 32)]  # b was acknowledged at 30
    assert any("behind what had been acknowledged" in violation for violation in check(history))
    history.heads = [SeenHead(1, roots[1] or b"", 29, 32)]
    assert check(history) == []


def test_a_head_that_goes_back_is_refused():
    history = good()
    roots = Roots([entry.leaf for entry in history.log])
    history.heads = [SeenHead(4, roots[4] or b"", 46, 47), SeenHead(3, roots[3] or b"", 48, 49)]
    assert any("seen before" in violation for violation in check(history))


@pytest.mark.parametrize("seed", range(20))
def test_random_logs_are_accepted_and_every_swap_across_time_is_refused(seed: int):
    chance = random.Random(seed)
    time, appends, names = 0, [], []
    for number in range(30):
        begun, time = time + chance.randrange(1, 5), time + 10
        names.append(f"n{number}")
        appends.append(ok(names[-1], number, begun, time))
    history = History(log(*names), appends)
    assert check(history) == []
    first, second = sorted(chance.sample(range(30), 2))
    names[first], names[second] = names[second], names[first]
    index = {name: at for at, name in enumerate(names)}
    history = History(log(*names), [replace(item, index=index[item.id]) for item in appends])
    assert any("was acknowledged before" in violation for violation in check(history))
