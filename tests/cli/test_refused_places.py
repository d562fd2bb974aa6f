"""What lies around a ledger and is wrong: settings and keys end with 8, the store with 6, local trust state with 7."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.refusing import EVENT, head_file, refused
from tests.cli.support import ORIGIN, Shop, run, run_process

# -- 8: configuration and keys -------------------------------------------------------------------------------------


def test_no_ledger_here_ends_with_8(empty: Path):
    for command in (("log",), EVENT, ("verify", "log"), ("state",), ("checkpoint", "show")):
        run(*command).refused(8, "no ledger was found", "muniment init")
    run_process(*EVENT, cwd=empty).refused(8)
    run("--ledger", "nowhere", "log").refused(8, "there is no ledger in nowhere")


def test_a_store_that_is_gone_ends_with_8(any_shop: Shop):
    any_shop.lose_store()
    for command in (("log",), EVENT, ("verify", "log")):
        run(*command).refused(8)
    assert not (any_shop.folder / ".muniment" / "ledger.db").exists(), "reading made a new store"
    assert run("doctor").code == 1


def test_a_ledger_that_is_there_already_ends_with_8(any_shop: Shop):
    refused(any_shop, 8, "init", "--origin", "again.example", words=("already exists",))
    Path("other").mkdir()
    refused(any_shop, 8, "--ledger", any_shop.url, "init", "other", "--origin", "again.example")
    assert not Path("other", ".muniment").exists()


@pytest.mark.parametrize("command", [("log",), EVENT, ("verify", "log"), ("checkpoint", "show"), ("state",)])
def test_another_origin_than_expected_ends_with_8(any_shop: Shop, command: tuple[str, ...]):
    refused(any_shop, 8, "--expect-origin", "other.example", *command, words=(ORIGIN, "other.example"))
    run("--expect-origin", ORIGIN, *command).good()


def test_no_private_key_ends_with_8(any_shop: Shop):
    refused(any_shop, 8, *EVENT, "--as", "p-nobody", words=("no private key", "--as"))


def test_no_actor_ends_with_8(any_shop: Shop):
    config = any_shop.folder / ".muniment" / "config.toml"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if not line.startswith("actor")))
    refused(any_shop, 8, *EVENT, words=("no actor", "MUNIMENT_ACTOR"))


@pytest.mark.parametrize("damage", ["others may read it", "garbage", "empty", "a folder", "a broken link"])
def test_a_key_file_that_cannot_be_used_ends_with_8(shop: Shop, damage: str):
    (path,) = shop.keys.glob("p-*.pem")
    if damage == "others may read it":
        path.chmod(0o644)
    elif damage in ("garbage", "empty"):
        path.write_bytes(b"not a key" if damage == "garbage" else b"")
    else:
        path.unlink()
        path.mkdir(mode=0o700) if damage == "a folder" else path.symlink_to("nowhere")
    words = ("chmod 600",) if damage == "others may read it" else ()
    refused(shop, 8, *EVENT, words=words)
    run("log").good()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file; see the folder and the link above")
def test_a_key_file_that_may_not_be_read_ends_with_8(shop: Shop):
    (path,) = shop.keys.glob("p-*.pem")
    path.chmod(0)
    refused(shop, 8, *EVENT)


@pytest.mark.parametrize(
    "text", ["ledger = ", "colour = 'blue'", "ledger = 3", "ledger = 'foo://x'", "\x00", "ledger = 'postgresql://[x'"]
)
def test_settings_that_make_no_sense_end_with_8(shop: Shop, text: str):
    (shop.folder / ".muniment" / "config.toml").write_text(text)
    for command in (("log",), EVENT):
        run(*command).refused(8)


@pytest.mark.parametrize("url", ["foo://x", "mysql://localhost/x", "postgresql://[x"])
def test_a_url_of_no_store_ends_with_8(empty: Path, url: str):
    run("--ledger", url, "log").refused(8)
    run("--ledger", url, "init", "--origin", ORIGIN).refused(8)
    assert not (empty / ".muniment").exists()


def test_names_of_persons_that_cannot_be_read_end_with_8(shop: Shop):
    (shop.folder / ".muniment" / "people.json").write_text("{")
    refused(shop, 8, "log", words=("people.json",))
    run("log", "-o", "json").good()


# -- 6: the store --------------------------------------------------------------------------------------------------


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of this machine where nobody listens, and nobody can: it is kept meanwhile."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def test_a_server_that_does_not_answer_ends_with_6(empty: Path, silent_port: int):
    url = f"postgresql://nobody:geheim@127.0.0.1:{silent_port}/none?connect_timeout=2"
    for command in (("log",), ("verify", "log"), ("state",), (*EVENT, "--as", "p-x")):
        assert "geheim" not in run("--ledger", url, *command).refused(6, "PostgreSQL").err
    run("--ledger", url, "init", "--origin", ORIGIN).refused(6)
    assert not (empty / ".muniment").exists()
    run_process("--ledger", url, "log", cwd=empty).refused(6)


def test_writing_through_a_read_only_url_ends_with_6(shop: Shop):
    url = f"{shop.url}?mode=ro"
    refused(shop, 6, "--ledger", url, *EVENT, words=("read-only", "mode=ro"))
    assert "ledger.created" in run("--ledger", url, "log").good().out


def test_a_file_that_is_no_database_ends_with_6(shop: Shop):
    for path in (shop.folder / ".muniment").glob("ledger.db*"):
        path.unlink()
    (shop.folder / ".muniment" / "ledger.db").write_bytes(b"it was a database" * 1000)
    for command in (("log",), EVENT, ("verify", "log")):
        run(*command).refused(6, "not a SQLite database")


def test_views_that_are_no_database_end_with_6_and_are_made_again(shop: Shop):
    views = shop.folder / ".muniment" / "ledger.views.db"
    views.write_bytes(b"it was a view" * 1000)
    refused(shop, 6, "state", words=(f"Remove {views}",))
    views.unlink()
    run("state").good()


@pytest.mark.parametrize(
    "command", [("proof", "inclusion", "0", "-o", "no/such/folder"), ("export", "tiles", "/proc/x")]
)
def test_a_place_that_cannot_be_written_ends_with_6(shop: Shop, command: tuple[str, ...]):
    refused(shop, 6, *command, words=("cannot be written",))


# -- 7: local trust state ------------------------------------------------------------------------------------------


def damaged(text: bytes, damage: str) -> bytes:
    return {
        "empty": b"",
        "cut": text[: len(text) // 2],
        "not JSON": b"nonsense",
        "a member more": text.replace(b"{", b'{"a":1,', 1),
        "a flipped letter": text.replace(b"vkeys", b"vkeyz"),
        "no keys": b'{"genesis":"","ledgerid":"","origin":"","vkeys":[]}',
    }[damage]


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "not JSON", "a member more", "a flipped letter", "no keys", "missing"]
)
def test_a_damaged_trust_file_ends_with_7(any_shop: Shop, damage: str):
    path = any_shop.folder / ".muniment" / "trust.json"
    path.unlink() if damage == "missing" else path.write_bytes(damaged(path.read_bytes(), damage))
    for command in (EVENT, ("verify", "log"), ("verify", "event", "1")):
        refused(any_shop, 7, *command, words=("trust.json",))
    assert run("doctor").code == 1
    if damage == "cut":
        run_process(*EVENT, cwd=any_shop.folder).refused(7)


def test_a_trust_file_of_another_ledger_ends_with_7(any_new_shop: Shop):
    Path("other").mkdir()
    run("init", "other", "--origin", "other.example", "--keys", "keys").good()
    shutil.copy("other/.muniment/trust.json", ".muniment/trust.json")
    for command in (EVENT, ("verify", "log"), ("log",)):
        refused(any_new_shop, 7, *command, words=("pins other.example",))


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"cut", b"flipped"])
def test_a_damaged_remembered_head_ends_with_7(any_shop: Shop, isolated_environment: Path, damage: bytes):
    run(*EVENT).good()
    path = head_file(isolated_environment)
    note = path.read_bytes()
    altered = {b"cut": note[:-20], b"flipped": note.replace(b"\n3\n", b"\n2\n")}
    path.write_bytes(altered.get(damage, damage))
    for command in (EVENT, ("verify", "log")):
        refused(any_shop, 7, *command, words=(str(path),))
    path.unlink()  # as the message says: to start anew
    run(*EVENT).good()
    run("verify", "log").good()


def test_a_state_folder_that_is_none_ends_with_7(
    any_shop: Shop, isolated_environment: Path, monkeypatch: pytest.MonkeyPatch
):
    (isolated_environment / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(isolated_environment / "file"))
    refused(any_shop, 7, *EVENT)
    refused(any_shop, 7, "verify", "log")


def test_a_head_that_cannot_be_remembered_ends_with_7(any_shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """The event is recorded then, and its receipt is printed."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    before = any_shop.size()
    result = run(*EVENT, "-o", "json")
    assert (result.code, result.json["index"]) == (7, before)
    assert "Next:  " in result.err
    assert any_shop.size() == before + 1
    (any_shop.folder / "other").mkdir()
    run("init", "other", "--origin", ORIGIN, "--keys", "keys").refused(7)
    assert list((any_shop.folder / "other").iterdir()) == []


def test_an_expected_checkpoint_that_is_none_ends_with_7(any_shop: Shop):
    Path("head.txt").write_text("this is no checkpoint\n")
    refused(any_shop, 7, "verify", "log", "--expect", "head.txt", words=("head.txt is no checkpoint",))
