"""`muniment admin`, as people type it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import apsw
import psycopg
import pytest

from ledger.home import Home
from tests.cli.support import Shop, run
from tests.contract.layout1 import make_layout_1
from tests.contract.support import raw

NewStore = Callable[[str], str]


def settings(shop: Shop) -> dict[str, str]:
    return tomllib.loads((shop.folder / ".muniment" / "config.toml").read_text())


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, new_store: NewStore) -> str:
    return new_store(request.param)


def test_a_ledger_moves_and_its_users_need_not_care(any_shop: Shop, target: str):
    any_shop.version()
    any_shop.people()
    before, named = any_shop.fingerprint(), settings(any_shop)
    planned = run("admin", "copy", target, "--dry-run", "-o", "json").good()
    size = before[0]
    assert planned.json == {
        "origin": "ledger.example/cli", "target": planned.json["target"], "step": "copy", "size": size,
        "copied_before": 0, "done": False, "config_updated": False,
    }  # fmt: skip
    assert settings(any_shop) == named
    done = run("admin", "copy", target).good()
    assert f"with {size} entries moved to" in done.out
    assert "config.toml now names the new store" in done.err
    assert settings(any_shop)["ledger"] == target
    assert Shop(any_shop.folder, target).fingerprint() == before
    assert run("admin", "copy", target, "-o", "json").good().json["step"] == "none", "the ledger is there already"
    # Everything goes on: keys, trust, remembered head, names, views.
    run("verify", "log").good()
    any_shop.release()
    state = run("state", "-o", "json").good().json
    assert state
    run("doctor").good()
    # The old store can be read, says where the ledger is, and takes nothing.
    old = run("--ledger", any_shop.url, "log", "-o", "ndjson").good()
    assert len(old.lines) > 0
    assert "has moved to" in old.err
    run("--ledger", any_shop.url, "verify", "log").good()


def test_a_sealed_store_refuses_and_says_where_the_ledger_is(any_shop: Shop, target: str):
    run("admin", "copy", target, "--keep-config", "-o", "json").good()
    assert settings(any_shop)["ledger"] != target
    event = ("emit", "dataset.registered", "dataset:x", "-d", "name=x", "-d", f"digest=sha256:{'a' * 64}")
    run(*event).refused(8, "has moved to", "--ledger URL")
    assert run("doctor").code == 1
    again = run("admin", "copy", target, "-o", "json").good()
    assert (again.json["step"], again.json["config_updated"]) == ("none", True)
    run(*event).good()


def test_the_settings_keep_everything_else(shop: Shop, new_store: NewStore):
    path = shop.folder / ".muniment" / "config.toml"
    path.write_text("# ours\n" + path.read_text() + "# the end\n")
    before = path.read_text().splitlines()
    target = new_store("sqlite")
    run("admin", "copy", target).good()
    after = path.read_text().splitlines()
    assert [line for line in after if line not in before] == [f'ledger = "{target}"']
    assert len(after) == len(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_settings_that_only_people_can_change_are_said(shop: Shop, new_store: NewStore):
    path = shop.folder / ".muniment" / "config.toml"
    text = path.read_text().replace('"sqlite:///ledger.db"', '"""\nsqlite:///ledger.db"""')
    path.write_text(text)
    done = run("admin", "copy", new_store("sqlite"), "-o", "json").good()
    assert done.json["config_updated"] is False
    assert "cannot be changed line by line" in done.err
    assert path.read_text() == text


def test_a_relative_target_is_meant_from_here(shop: Shop):
    run("admin", "copy", "sqlite:///moved.db").good()
    assert settings(shop)["ledger"] == f"sqlite:///{shop.folder / 'moved.db'}"
    assert Home.find(str(shop.folder)).url.endswith("/moved.db")


def test_what_stands_in_the_way_of_a_copy_is_said(shop: Shop, new_store: NewStore, tmp_path: Path):
    run("admin", "copy", shop.url).refused(8, "already holds something else")
    run("admin", "copy", "redis://x").refused(8, "no store Muniment knows")
    run("admin", "copy", "nonsense").refused(8, "no URL of a store")
    run("admin", "copy", f"sqlite:///{tmp_path}/missing/x.db").refused(6, "cannot be created")
    text = tmp_path / "text.db"
    text.write_text("hello " * 1000)
    run("admin", "copy", f"sqlite:///{text}").refused(6, "not a SQLite database")
    other = tmp_path / "other.db"
    apsw.Connection(str(other)).execute("CREATE TABLE t (x)")
    run("admin", "copy", f"sqlite:///{other}").refused(8, "already holds something else")
    for key in shop.keys.glob("checkpoint*"):
        key.unlink()
    run("admin", "copy", new_store("sqlite")).refused(8, "checkpoint key is not on this machine")


def test_a_log_that_shrank_is_not_copied(shop: Shop, new_store: NewStore):
    with raw(shop.url) as store:
        rows = {table: store.run(f"SELECT * FROM {table}") for table in ("head", "entry", "content", "checkpoint")}
    shop.version()
    shop.unprotected(*(f"DELETE FROM {table}" for table in rows))
    with raw(shop.url) as store:
        for table, kept in rows.items():
            for row in kept:
                store.run(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in row)})", row)
    run("admin", "copy", new_store("sqlite")).refused(1, "shrank")


def test_a_password_is_never_shown(shop: Shop):
    refused = run("admin", "copy", "postgresql://user:hunter2@127.0.0.1:1/db").refused(6)
    assert "hunter2" not in refused.err


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_migrate(kind: str, shop: Shop, new_store: NewStore):
    old = new_store(kind)
    make_layout_1(old, shop.url)
    run("--ledger", old, "log").refused(8, "layout 1", "muniment admin migrate")
    assert run("--ledger", old, "admin", "migrate", "--dry-run", "-o", "json").good().json == {
        "from": 1, "to": 4, "done": False,
    }  # fmt: skip
    assert run("--ledger", old, "admin", "migrate").good().out == "migrated from layout 1 to 4\n"
    assert run("--ledger", old, "admin", "migrate").good().out == "the store has layout 4 already\n"
    run("--ledger", old, "verify", "log").good()


def test_access_is_granted_to_roles_of_postgresql_only(any_new_shop: Shop, postgres_dsn: str):
    if any_new_shop.sqlite:
        run("admin", "grant", "pipelines", "writer").refused(8, "only PostgreSQL has roles")
        return
    run("admin", "grant", "nobody-at-all", "reader").refused(8, "no role 'nobody-at-all'")
    run("admin", "grant", "pipelines", "owner").refused(2, "writer")
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute("CREATE ROLE cli_pipelines")
        try:
            granted = run("admin", "grant", "cli_pipelines", "writer", "-o", "json").good().json
            assert (granted["role"], granted["access"]) == ("cli_pipelines", "writer")
            as_role = f"{any_new_shop.url}&options=-c%20role%3Dcli_pipelines"
            assert run("--ledger", as_role, "log", "-o", "ndjson").good().lines
            assert (
                run("emit", "external.observed", "external:x", "-d", "system=s", "-o", "json").good().json["index"] > 0
            )
        finally:
            owner.execute("DROP OWNED BY cli_pipelines; DROP ROLE cli_pipelines")
