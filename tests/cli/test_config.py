"""`muniment config explain`: each setting, and every place it might have come from."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ledger.config import config_folder, redact_url, settings_chain
from tests.cli.support import Shop, run


def setting(name: str, *options: str) -> dict:
    found = run(*options, "config", "explain", "-o", "json").good().json["settings"]
    return next(item for item in found if item["setting"] == name)


def states(name: str, *options: str) -> dict[str, str]:
    return {place["source"]: place["state"] for place in setting(name, *options)["places"]}


def user_file(text: str) -> Path:
    config_folder().mkdir(parents=True, exist_ok=True)
    path = config_folder() / "config.toml"
    path.write_text(text)
    return path


def test_members_are_the_published_ones(shop: Shop):
    data = run("config", "explain", "-o", "json").good().json
    assert list(data) == ["folder", "settings", "next"]
    assert data["folder"] == str(shop.folder / ".muniment")
    assert [item["setting"] for item in data["settings"]] == [
        "ledger", "actor", "keys", "secrets", "secrets_allow", "output", "colours off", "expected origin", "passphrase",
    ]  # fmt: skip
    assert list(data["settings"][0]) == ["setting", "value", "source", "places"]
    assert list(data["settings"][0]["places"][0]) == ["source", "says", "state", "why"]


def test_the_whole_chain_in_order_with_what_lost_and_why(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    file = str(shop.folder / ".muniment" / "config.toml")
    user = str(user_file('actor = "p-user"\n'))
    assert setting("actor")["source"] == file
    assert states("actor") == {"--as": "not set", "MUNIMENT_ACTOR": "not set", file: "used", user: "not used"}
    monkeypatch.setenv("MUNIMENT_ACTOR", "p-variable")
    assert setting("actor")["value"] == "p-variable"
    found = setting("actor", "--as", "p-option")
    assert [(p["source"], p["state"], p["says"]) for p in found["places"]][:2] == [
        ("--as", "used", "p-option"),
        ("MUNIMENT_ACTOR", "not used", "p-variable"),
    ]
    assert found["places"][3]["why"] == "--as comes before it"


def test_a_folder_is_followed_and_another_ledgers_file_is_not_used(shop: Shop, tmp_path: Path):
    found = setting("ledger", "--ledger", str(shop.folder))
    assert found["source"] == str(shop.folder / ".muniment" / "config.toml")
    assert found["places"][0]["why"] == "it names a folder, whose file says which store"
    other = f"sqlite:///{tmp_path}/other.db"
    found = setting("ledger", "--ledger", other)
    assert (found["value"], found["source"]) == (other, "--ledger")
    assert found["places"][2]["why"] == "it is of another ledger than the one named"
    assert setting("actor", "--ledger", other)["value"] is None


def test_it_says_what_the_other_commands_do(shop: Shop):
    chain = settings_chain()
    assert chain.resolved("ledger") == shop.home.url == setting("ledger")["value"]
    assert chain.resolved("keys") == str(shop.home.settings.keys) == setting("keys")["value"]


def test_without_a_ledger_it_says_how_to_make_one(empty: Path):
    result = run("config", "explain").good()
    assert "ledger: not set" in result.out
    assert "muniment init" in result.err
    data = run("config", "explain", "-o", "json").good()
    assert "muniment init" in data.json["next"]
    assert data.err == ""


def test_a_malformed_file_is_named(shop: Shop):
    file = user_file("ledger = ")
    run("config", "explain").refused(8, str(file))
    file.write_text('colour = "red"\n')
    run("config", "explain").refused(8, str(file), "colour")


def test_no_secret_is_shown(empty: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "geheim")
    monkeypatch.setenv("MUNIMENT_LEDGER", "postgresql://me:geheim@host/db?sslpassword=geheim")
    for form in ("text", "json", "csv", "md"):
        result = run("--ledger", "postgresql://you:geheim@[bad", "config", "explain", "-o", form)
        assert "geheim" not in result.out + result.err
        result = run("config", "explain", "-o", form).good()
        assert "geheim" not in result.out + result.err
        assert "host/db" in result.out
    assert setting("passphrase")["value"] == "(not shown)"


@pytest.mark.parametrize("url", ["postgresql://me:geheim@[bad", "Postgresql://me:geheim@h/d", "mysql://me:geheim@h/d"])
def test_a_url_that_is_none_hides_its_password_too(url: str):
    assert "geheim" not in redact_url(url)


@pytest.mark.parametrize("password", ["a@geheim", "a/geheim", "a?geheim", "a#geheim", "geheim%00", "geheim%zz"])
def test_a_password_that_must_be_encoded_is_refused_and_not_shown(password: str, empty: Path):
    url = f"postgresql://me:{password}@127.0.0.1:1/db"
    assert "geheim" not in redact_url(url)
    result = run("--ledger", url, "log")
    assert result.code == 8
    assert "percent-encoded" in result.err
    assert "geheim" not in result.out + result.err


def test_a_row_for_each_place(shop: Shop):
    rows = list(csv.DictReader(run("config", "explain", "-o", "csv").good().out.splitlines()))
    assert list(rows[0]) == ["setting", "value", "source", "says", "state", "why"]
    assert {row["state"] for row in rows} <= {"used", "not used", "not set"}
    assert {row["setting"] for row in rows if row["state"] == "used"} >= {"ledger", "actor", "keys", "output"}
