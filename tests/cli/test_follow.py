"""`muniment log --follow` beside a process that appends: nothing missed, nothing twice, one history."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.follow import Follower
from ledger.application import Ledger
from ledger.errors import StorageError, VerificationError
from tests.cli.support import DIGEST, Shop, run, run_process
from tests.contract.postgres_proxy import proxy_to
from tests.contract.support import raw
from tests.fork_server import quick_script

WAIT = 60
_APPEND = (
    "import sys, muniment\n"
    "with muniment.open() as ledger:\n"
    "    for number in range(int(sys.argv[1])):\n"
    f"        ledger.emit('dataset.registered', f'dataset:n{{number}}', digest='{DIGEST}')\n"
)


def query(from_client: bool, kind: bytes, body: bytes) -> bool:
    """The client asks for anything."""
    return from_client and kind in b"QP"


def append(shop: Shop, count: int) -> None:
    """Append from a process of its own."""
    subprocess.run([sys.executable, "-c", _APPEND, str(count)], check=True, cwd=shop.folder, timeout=WAIT)


@contextmanager
def following(shop: Shop, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command, with its streams; a timer ends it when a test would wait for ever."""
    process = subprocess.Popen(
        [quick_script(), "log", "--follow", "--interval", "20", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=shop.folder,
    )  # fmt: skip
    timer = threading.Timer(WAIT, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


def indexes(process: subprocess.Popen[str], count: int) -> list[int]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline())["index"] for _ in range(count)]


def test_what_is_there_and_then_what_comes(any_shop: Shop):
    with following(any_shop, "-o", "ndjson") as process:
        assert indexes(process, 2) == [0, 1]
        append(any_shop, 40)
        assert indexes(process, 40) == list(range(2, 42))
        append(any_shop, 1)
        assert indexes(process, 1) == [42]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, out, err.strip()) == (130, "", "Aborted.")


def test_text_csv_and_filters(shop: Shop):
    with following(shop, "-n", "0", "--type", "dataset", "dataset:n1") as process:
        append(shop, 3)
        assert process.stdout is not None
        assert process.stdout.readline().split()[2:4] == ["dataset.registered", "dataset:n1"]
    with following(shop, "-n", "1", "-o", "csv") as process:
        assert process.stdout is not None
        assert [process.stdout.readline().split(",")[0] for _ in range(2)] == ["index", "4"]
        append(shop, 1)
        assert process.stdout.readline().startswith("5,")


@pytest.mark.parametrize(
    "command", [("log",), ("log", "-o", "json"), ("actor", "list"), ("--help",), ("log", "--help")]
)
def test_a_reader_that_went_away_is_no_verdict(shop: Shop, command: tuple[str, ...]):
    """Not 1, which says that something is bad or refused."""
    append(shop, 1)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [quick_script(), *command], stdout=writer, stderr=subprocess.PIPE, cwd=shop.folder, check=False, timeout=WAIT
    )
    os.close(writer)
    assert done.returncode == 141, done.stderr
    assert not [word for word in (b"Traceback", b"Error") if word in done.stderr]


def test_a_reader_that_went_away_ends_it_without_waiting_for_an_entry(shop: Shop):
    with following(shop, "-o", "ndjson") as process:
        indexes(process, 2)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=WAIT) == 141
        process.stdout = None


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--follow", "--reverse"), "--reverse"),
        (("--follow", "-o", "json"), "ndjson"),
        (("--interval", "100"), "--follow"),
        (("--follow", "--interval", "0"), "--interval"),
    ],
)
def test_what_has_no_meaning_together(shop: Shop, options: tuple[str, ...], word: str):
    run("log", *options).refused(2, word)


def roll_back(shop: Shop, backup: Path) -> None:
    """Put an older copy in the store's place, as a restore does."""
    store = shop.folder / ".muniment" / "ledger.db"
    shutil.move(backup, store.with_name("restored"))  # the folder may be in memory, on another file system
    for suffix in ("-wal", "-shm"):  # they belong to the file that goes
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    store.with_name("restored").replace(store)


def test_an_older_copy_put_in_its_place_is_an_error(shop: Shop, tmp_path: Path):
    backup = tmp_path / "backup.db"
    with raw(shop.url) as store:
        store.run(f"VACUUM INTO '{backup}'")
    append(shop, 3)
    with following(shop, "-o", "ndjson") as process:
        assert indexes(process, 5) == [0, 1, 2, 3, 4]
        roll_back(shop, backup)
        assert process.wait(timeout=WAIT) == 1
        assert process.stderr is not None
        err = process.stderr.read()
    assert "shrank while it was followed: 5 entries were shown, and now it has 2" in err
    assert "muniment verify log" in err


def test_a_store_that_shrank_is_an_error_on_either_backend(any_shop: Shop):
    append(any_shop, 3)
    with following(any_shop, "-o", "ndjson") as process:
        assert indexes(process, 5) == [0, 1, 2, 3, 4]
        any_shop.unprotected("UPDATE $head SET size = 4")
        assert process.wait(timeout=WAIT) == 1
        assert process.stderr is not None
        assert "shrank" in process.stderr.read()


def test_a_ledger_that_moves_away_is_said(shop: Shop, tmp_path: Path):
    with following(shop, "-o", "ndjson") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        run("admin", "copy", f"sqlite:///{tmp_path / 'new.db'}").good()
        assert process.wait(WAIT) == 8
        assert "this ledger has moved to" in process.stderr.read()


def test_another_history_of_the_same_size_or_a_larger_one_is_an_error(shop: Shop, tmp_path: Path):
    backup = tmp_path / "backup.db"
    with raw(shop.url) as store:
        store.run(f"VACUUM INTO '{backup}'")
    state = Path(os.environ["XDG_STATE_HOME"])
    shutil.rmtree(state)  # this machine forgets the longer log, so that writing goes on
    append(shop, 1)
    with Ledger.open(shop.url) as ledger:
        follower = Follower(ledger, shop.url, interval=0.01, note=print)
        roll_back(shop, backup)
        shutil.rmtree(state)
        append(shop, 1)
        with pytest.raises(VerificationError, match="entry 2 is not the one that was shown"):
            next(iter(follower))
        append(shop, 1)
        with pytest.raises(VerificationError, match="entry 2 is not the one that was shown"):
            next(iter(follower))


def test_it_waits_for_a_store_that_went_away(postgres_url: str, empty: Path):
    server, _, schema = postgres_url.partition("schema=")
    with proxy_to(server.rstrip("?&")) as proxy:
        url = f"{proxy.dsn}&schema={schema}"
        run("--ledger", url, "init", "--origin", "x.example/y", "--keys", "keys").good()
        shop = Shop(empty, url)
        with following(shop, "-o", "ndjson") as process:
            assert indexes(process, 2) == [0, 1]
            assert process.stderr is not None
            proxy.cut_next(query, then_refuse=True)
            assert "the store is away" in process.stderr.readline()
            proxy.refusing = False
            append(shop, 5)
            assert indexes(process, 5) == [2, 3, 4, 5, 6]
            assert "going on from entry 2" in process.stderr.readline()


def test_a_store_that_stays_away_is_an_error(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cli.follow._PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr("cli.follow._RETRY_SECONDS", 0.01)
    said: list[str] = []
    with Ledger.open(shop.url) as ledger:
        follower = Follower(ledger, shop.url, interval=0.01, note=said.append)
        (shop.folder / ".muniment" / "ledger.db").unlink()
        with pytest.raises(StorageError, match=r"ledger\.db"):
            next(iter(follower))
    assert len(said) == 1


def test_the_help_says_how_long_it_waits():
    assert "up to a minute" in " ".join(run_process("log", "--help").good().out.split())
