"""`muniment backup`, as people type it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Shop, run

NewStore = Callable[[str], str]
EVENT = ("emit", "dataset.registered", "dataset:late", "-d", "name=late", "-d", f"digest=sha256:{'a' * 64}")


def test_create_verify_restore(any_shop: Shop, tmp_path: Path, new_store: NewStore):
    any_shop.version()
    made = run("backup", "create", tmp_path, "-o", "json").good()
    size = any_shop.size()
    path = Path(made.json["file"])
    assert path == tmp_path / f"ledger.example_cli-{size}.backup"
    assert (made.json["size"], made.json["verified"], made.json["origin"]) == (size, True, "ledger.example/cli")
    assert "no private key" in made.err

    found = run("backup", "verify", path, "-o", "json").good()
    assert (found.json["ok"], found.json["missing"], found.json["known_size"]) == (True, 0, size)
    text = run("backup", "verify", path).good()
    assert f"covers all {size} entries known to exist" in text.out

    url = new_store("sqlite")
    done = run("backup", "restore", path, "--to", url).good()
    assert "the ledger is still at" in done.err
    assert Shop(any_shop.folder, url).fingerprint() == any_shop.fingerprint()
    run("--ledger", url, "verify", "log").good()


def test_the_store_of_the_ledger_here_is_restored_when_it_is_gone(shop: Shop, tmp_path: Path):
    path = tmp_path / "x.backup"
    run("backup", "create", path).good()
    for file in (shop.folder / ".muniment").glob("ledger.db*"):
        file.unlink()
    run("verify", "log").refused(8, "there is no ledger")
    done = run("backup", "restore", path).good()
    assert "still at" not in done.err
    run("verify", "log").good()
    run(*EVENT).good()


def test_an_old_backup_is_said_to_be_old_and_nothing_is_written_after_it(shop: Shop, tmp_path: Path):
    path = tmp_path / "x.backup"
    run("backup", "create", path).good()
    size = shop.size()
    run(*EVENT).good()
    assert f"covers {size} of {size + 1} entries" in run("backup", "verify", path).good().out
    for file in (shop.folder / ".muniment").glob("ledger.db*"):
        file.unlink()
    run("backup", "restore", path).refused(1, "1 would be lost", "--older")
    done = run("backup", "restore", path, "--older", "-o", "json").good()
    assert done.json["missing"] == 1
    assert "Writing stays refused" in done.err
    run(*EVENT).refused(1, "shrank")
    assert run("verify", "log").code == 1


def test_an_expected_head_tells_the_age_too(shop: Shop, tmp_path: Path):
    path, head = tmp_path / "x.backup", tmp_path / "head"
    run("backup", "create", path).good()
    size = shop.size()
    run(*EVENT).good()
    head.write_bytes(run("checkpoint", "show").good().stdout)
    for file in (Path.home() / ".local" / "state").rglob("*.checkpoint"):
        file.unlink()
    assert "nothing outside it says" in run("backup", "verify", path).good().out
    assert f"covers {size} of {size + 1}" in run("backup", "verify", path, "--expect", head).good().out
    run("backup", "restore", path, "--to", f"sqlite:///{tmp_path}/r.db", "--expect", head).refused(1, "would be lost")
    head.write_text("no checkpoint")
    run("backup", "verify", path, "--expect", head).refused(7, "is no checkpoint")


def test_a_backup_is_checked_where_no_ledger_is(
    shop: Shop, tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "x.backup"
    run("backup", "create", path).good()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = run("backup", "verify", path).good()
    assert "identity is not pinned here" in found.out
    done = run("backup", "restore", path, "--to", new_store("sqlite")).good()
    assert "nothing outside it says how long the log was" in done.err
    run("backup", "restore", path).refused(8, "no ledger was found")
    run("backup", "verify", path, "--expect", path).refused(3, "no trust.json")


def test_what_stands_in_the_way_is_said(shop: Shop, tmp_path: Path):
    path, text = tmp_path / "x.backup", tmp_path / "text"
    run("backup", "create", path).good()
    run("backup", "create", path).refused(8, "already exists")
    run("backup", "create", tmp_path / "missing" / "x").refused(6, "cannot be created")
    text.write_text("hello")
    run("backup", "verify", text).refused(2, "no backup")
    run("backup", "verify", shop.folder / ".muniment" / "ledger.db").refused(2, "store of a ledger and no backup")
    assert run("backup", "verify", tmp_path / "nothing").code == 2
    run("backup", "restore", path).refused(8, "already holds something else")
    run("--ledger", f"sqlite:///{path}", "log").refused(8, "is a backup")


def test_a_damaged_store_is_backed_up_only_when_asked_for(shop: Shop, tmp_path: Path):
    shop.unprotected("UPDATE content SET payload = X'7b7d' WHERE position = 2")
    path = tmp_path / "x.backup"
    run("backup", "create", path).refused(1, "[payload at entry 1]")
    assert not path.exists()
    made = run("backup", "create", path, "--unverified").good()
    assert "was not verified" in made.err
    bad = run("backup", "verify", path)
    assert bad.code == 1
    assert "payload at entry 1" in bad.out
    assert run("backup", "verify", path, "-o", "json").json["ok"] is False
    run("backup", "restore", path, "--to", f"sqlite:///{tmp_path}/r.db").refused(1)
