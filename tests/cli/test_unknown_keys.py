"""Fields sealed with a data key that nobody ever had are told apart from erased ones, and from keys kept elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.datakeys import DataKeys
from ledger.recorders import sqlite_path
from tests.cli.support import Shop, run
from tests.contract.support import raw

WHO, SECRET = "person:p-7f3a", "Jo Doe of Testerton called"
ABOUT = ("--personal", f"title={SECRET}", "--about", WHO)
NEVER = "A" * 22
MADE_UP = f"sealed:v1:{NEVER}:{'B' * 60}"


def sealed_gaps(*options: str) -> list[tuple[int, int, str]]:
    found = run("verify", "log", *options, "-o", "json").good().json
    return [(gap["start"], gap["stop"], gap["message"]) for gap in found["not_verified"] if gap["kind"] == "sealed"]


def checkup() -> dict[str, Any] | None:
    found = run("doctor", "-o", "json").json["checks"]
    return next((item for item in found if item["check"] == "sealed fields"), None)


def opened(name: str, *options: str) -> int:
    return int(run("emit", "incident.opened", f"incident:{name}", *options, "-o", "json").good().json["index"])


def quiet() -> None:
    assert (sealed_gaps("--all"), sealed_gaps(), checkup()) == ([], [], None)


def lose_keys(shop: Shop) -> None:
    """As in a copy of the store alone."""
    if shop.sqlite:
        path = sqlite_path(shop.url)
        for file in path.parent.glob(f"{path.stem}.keys.db*"):
            file.unlink()
    else:
        with raw(shop.url) as store:
            store.run(f"DROP SCHEMA {shop.url.partition('schema=')[2]}_keys CASCADE")


def test_a_field_under_a_key_that_never_was_is_told(any_shop: Shop) -> None:
    good = opened("1", *ABOUT)
    quiet()
    bad = opened("2", "-d", f"title={MADE_UP}")
    for options in (("--tail",), (), ("--all",)):
        ((start, stop, words),) = sealed_gaps(*options)
        assert (start, stop) == (bad, bad + 1)
        assert "1 entry has fields sealed with 1 data key(s) that this store never had or has lost" in words
        assert f"has lost, the first entry {bad} with" in words
        assert NEVER in words
    assert sealed_gaps("--tail") == []  # which says itself that it does not read what was verified before
    found = checkup()
    assert found is not None
    assert (found["state"], NEVER in found["message"], f"show {bad}" in found["next"]) == ("warning", True, True)
    shown = [run("show", index, "-o", "json").good().json["sealed"]["title"] for index in (good, bad)]
    assert shown == ["open", "closed: sealed with a key that this store does not have"]
    assert "sealed with a key that this store does not have" in run("show", bad).good().out
    worse = opened("3", "-d", f"title=seen in {MADE_UP}, too")
    ((start, stop, words),) = sealed_gaps()
    assert (start, stop, words.partition(" entries")[0]) == (bad, worse + 1, "2")
    assert sealed_gaps("--level", "hash") == []


def test_however_it_is_spelled(any_shop: Shop) -> None:
    opened("1", *ABOUT)
    escaped = json.dumps({"title": MADE_UP}).replace("sealed", "\\u0073ealed")
    Path("body.json").write_text(escaped)
    quiet()
    index = opened("2", "-d", "@body.json")
    assert [(start, stop) for start, stop, _ in sealed_gaps()] == [(index, index + 1)]


def test_what_was_erased_is_no_such_field_also_while_it_is_being_erased(
    any_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_shop.enrol("p-eraser", "eraser")
    index = opened("1", *ABOUT)
    erase = ("subject", "erase", WHO, "--basis", "GDPR Art. 17", "--reason", "asked for", "--as", "p-eraser")
    ids = DataKeys.ids

    def erased_meanwhile(keys: DataKeys) -> frozenset[str]:
        monkeypatch.setattr(DataKeys, "ids", ids)
        run(*erase).good()
        return ids(keys)

    monkeypatch.setattr(DataKeys, "ids", erased_meanwhile)
    assert sealed_gaps("--all") == []
    quiet()
    assert "erased by p-eraser" in run("show", index, "-o", "json").good().json["sealed"]["title"]


def test_keys_that_are_kept_elsewhere_are_no_alarm(any_shop: Shop) -> None:
    """A copy of the store alone, which goes on with new data keys, knows nothing of the old ones."""
    first = opened("1", *ABOUT)
    lose_keys(any_shop)
    quiet()
    assert run("show", first, "-o", "json").good().json["sealed"]["title"] == "its data key is not here"
    opened("2", "-d", "title=x")
    quiet()
    opened("3", *ABOUT)
    quiet()
    bad = opened("4", "-d", f"title={MADE_UP}")
    assert [(start, stop) for start, stop, _ in sealed_gaps()] == [(bad, bad + 1)]


def test_nor_are_they_when_a_rotation_made_the_new_key_store(any_shop: Shop) -> None:
    opened("1", *ABOUT)
    lose_keys(any_shop)
    run("subject", "rotate").good()
    quiet()
    opened("2", *ABOUT)
    quiet()


def test_a_restored_backup_is_no_alarm(any_shop: Shop, tmp_path: Path) -> None:
    opened("1", *ABOUT)
    run("backup", "create", tmp_path / "b.backup").good()
    assert "never had" not in run("verify", "backup", tmp_path / "b.backup", "-o", "json").good().out
    run("--ledger", f"sqlite:///{tmp_path / 'restored.db'}", "backup", "restore", tmp_path / "b.backup").good()
    found = run("--ledger", f"sqlite:///{tmp_path / 'restored.db'}", "verify", "log", "-o", "json").good()
    assert "never had" not in found.out


def test_an_older_key_store_without_the_mark_tells_nothing(any_shop: Shop) -> None:
    """One that was made before it was noted since when there is one."""
    opened("1", *ABOUT)
    keys = any_shop.home.data_keys("")
    keys._store.run("DROP TABLE $key_store")
    keys.close()
    opened("2", *ABOUT)
    opened("3", "-d", f"title={MADE_UP}")
    quiet()


def test_a_role_that_may_not_read_data_keys_verifies_as_before(pg_shop: Shop, access: Callable[[str], str]) -> None:
    opened("1", *ABOUT)
    opened("2", "-d", f"title={MADE_UP}")
    found = run("--ledger", access("reader"), "verify", "log", "-o", "json").good()
    assert [gap for gap in found.json["not_verified"] if gap["kind"] == "sealed"] == []
