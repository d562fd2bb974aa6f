"""Sequence numbers: what is missing, against the definition."""

from __future__ import annotations

import random

import pytest

from tests.unit.reference_sequences import Sequences


def test_nothing_is_missing_from_nothing():
    assert Sequences().missing() == []


def test_a_contiguous_emitter_misses_nothing():
    sequences = Sequences()
    assert all(sequences.add("a", "e", number) for number in range(1, 50))
    assert sequences.missing() == []


def test_what_an_emitter_skipped_is_counted():
    sequences = Sequences()
    for number in (2, 3, 7):
        assert sequences.add("a", "e", number)
    assert sequences.missing() == [("a", "e", 4)]  # 1, 4, 5, 6


def test_actors_and_emitters_count_apart():
    sequences = Sequences()
    for actor, emitter, number in (("b", "e", 2), ("a", "f", 3), ("a", "e", 1)):
        assert sequences.add(actor, emitter, number)
        assert not sequences.add(actor, emitter, number)
    assert sequences.missing() == [("a", "f", 2), ("b", "e", 1)]


@pytest.mark.parametrize("seed", range(40))
def test_any_order_against_a_set(seed: int):
    chance = random.Random(seed)
    sequences, seen = Sequences(), set[int]()
    for _ in range(chance.randrange(1, 120)):
        number = chance.randrange(1, 60)
        assert sequences.add("a", "e", number) == (number not in seen)
        seen.add(number)
        missing = max(seen) - len(seen)
        assert sequences.missing() == ([("a", "e", missing)] if missing else [])
