"""What a legal hold would cover is looked at before it is placed: a misspelt one protects nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.support import Grow, Result, Shop, run

MATTER = ("--matter", "M-1", "--reason", "claim filed")
WARNING = "covers nothing that is recorded so far"


def place(*patterns: str) -> Result:
    return run("hold", "place", *patterns, *MATTER)


def standing() -> list[list[str]]:
    return [one["subjects"] for one in run("hold", "list", "-o", "json").good().json["holds"]]


def _tell(_: Shop) -> None:
    run("emit", "incident.opened", "incident:acme/1", "--personal", "title=Jo Doe", "--about", "person:p-7f3a").good()
    run("emit", "external.observed", "customer:c-9", "-d", "system=crm").good()


@pytest.fixture
def told(grow_any: Grow) -> Shop:
    """A ledger with an incident, a customer named by an event of any subject, and a person with a sealed field."""
    return grow_any(_tell)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("persn:*", ("no kind of subject 'persn'", "Did you mean person:…?", "customer, dataset,", "--yes")),
        ("zzz*:1", ("no kind of subject 'zzz*'", "Known are actor, ")),
    ],
)
def test_a_kind_of_subject_that_nobody_has_is_refused_and_the_known_ones_are_named(
    told: Shop, pattern: str, words: tuple[str, ...]
) -> None:
    place(pattern).refused(2, *words)
    place("incident:*/*", pattern).refused(2, *words)  # one of several
    assert standing() == []


def test_a_kind_that_is_still_to_come_is_taken_when_one_says_so(told: Shop) -> None:
    placed = run("hold", "place", "visitor:*", *MATTER, "--yes").good()
    assert f"visitor:* {WARNING}" in placed.err
    assert standing() == [["visitor:*"]]


@pytest.mark.parametrize(
    "pattern", ["person:p-7f3a", "person:p-*", "p*:*", "customer:*", "incident:acme/1", "incident:*/*", "*:c-9"]
)
def test_what_is_there_is_held_without_a_word(told: Shop, pattern: str) -> None:
    assert WARNING not in place(pattern).good().err
    assert standing() == [[pattern]]


def test_a_hold_in_advance_is_placed_and_says_that_it_covers_nothing_yet(told: Shop) -> None:
    placed = place("incident:*", "person:p-7f3b", "customer:c-9").good()  # a namespace is another part of the name
    assert [line.partition(" covers")[0] for line in placed.err.splitlines() if WARNING in line] == [
        "warning: incident:*", "warning: person:p-7f3b",
    ]  # fmt: skip
    assert "muniment hold release" in placed.err
    assert standing() == [["incident:*", "person:p-7f3b", "customer:c-9"]]


def test_a_subject_whose_data_keys_were_erased_is_there_still(told: Shop) -> None:
    told.enrol("p-eraser", "eraser")
    erase = ("subject", "erase", "person:p-7f3a", "--basis", "GDPR Art. 17", "--reason", "asked", "--as", "p-eraser")
    run(*erase).good()
    assert WARNING not in place("person:p-7f3a").good().err


def test_names_beyond_one_page_are_found(told: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.holding._PAGE", 2)
    for name in ("a", "a-b", "a.b", "a/b", "ab"):
        run("emit", "external.observed", f"customer:{name}", "-d", "system=crm").good()
    assert WARNING not in place("customer:a*b", "customer:a/b", "customer:ab", "customer:c-*").good().err
    assert WARNING in place("customer:*x").good().err


def test_a_pattern_of_the_wrong_form_is_refused_by_its_form(told: Shop) -> None:
    place("person").refused(2, "kind:[namespace/]name")


def test_who_has_no_rights_on_the_key_store_is_told_that_it_was_not_looked_at(
    pg_shop: Shop, access: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An auditor's database role appends, and need not read data keys."""
    _tell(pg_shop)
    monkeypatch.setenv("MUNIMENT_KEYS", str(pg_shop.keys))
    signer = ("--as", pg_shop.home.settings.actor)
    placed = run("--ledger", access("writer"), *signer, "hold", "place", "person:p-7f3a", *MATTER).good()
    assert "who has sealed fields was not looked at: PostgreSQL denies access" in placed.err
    assert f"person:p-7f3a {WARNING}" in placed.err
    assert standing() == [["person:p-7f3a"]]
