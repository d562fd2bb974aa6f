"""`muniment witness` as its operator uses it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.note import format_vkey, parse_vkey
from tests.cli.support import Shop, run
from tests.fork_server import quick_script
from tests.witness.support import Log, call, post

LOG = Log()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """The command serving a witness, as a process of its own; gives its URL."""
    process = subprocess.Popen(
        [quick_script(), "witness", "serve", str(folder), "--listen", "127.0.0.1:0", *options],
        stderr=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert " at http://" in line, line + process.stderr.read()
        yield line.split()[-1].rstrip("/")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        process.stderr.close()
    assert process.returncode == 0, "it ends well when it is asked to"


def test_a_witness_from_making_it_to_evidence(empty: Path):
    made = run("witness", "init", "w", "--name", "witness.example/w1", "-o", "json").good().json
    assert parse_vkey(made["vkey"]).name == "witness.example/w1"
    assert (empty / "w" / "witness.vkey").read_text().strip() == made["vkey"]
    assert (
        run("witness", "add-log", "w", format_vkey(LOG.vkey)).good().out == f"{LOG.origin} is witnessed from now on\n"
    )
    assert "known" in run("witness", "add-log", "w", format_vkey(LOG.vkey)).good().out
    with serving(empty / "w", "--prefix", "/w1") as url:
        assert url.endswith("/w1")
        assert post(url, LOG.request(0, 5))[0] == 200
        assert run("witness", "show", "w").good().out.splitlines()[1].endswith("cosigned up to size 5")
        assert post(url, Log(fork_at=2).request(0, 5))[0] == 409
        assert call(url, "GET", f"/{LOG.digest}/checkpoint")[0] == 200
    shown = run("witness", "show", "w", "-o", "json")
    assert shown.code == 1
    ((evidence,),) = [shown.json["evidence"]]
    assert (evidence["origin"], evidence["kind"]) == (LOG.origin, "fork")
    assert evidence["known"].splitlines()[1] == evidence["shown"].splitlines()[1] == "5"
    with serving(empty / "w") as url:  # a restart forgets nothing
        assert post(url, LOG.request(0, 5))[0] == 409
        assert post(url, LOG.request(5, 9, (bytes(32),)))[0] == 422
        assert post(url, Log(fork_at=2).request(5, 8))[0] == 422
    shown = run("witness", "show", "w", "-o", "json").json
    assert [item["kind"] for item in shown["evidence"]] == ["fork", "rewritten"]
    assert shown["evidence"][1]["shown"].startswith("old 5\n")
    ((item, note),) = [(item, item["note"].encode()) for item in shown["unproven"]]
    assert (item["origin"], item["size"], note) == (LOG.origin, 9, LOG.note(9))
    assert "another root at a size for which it signed one before" in run("witness", "show", "w").out
    assert "size 9, signed by the log, came with a bad proof" in run("witness", "show", "w").out


def test_an_unproven_head_is_no_evidence(empty: Path):
    run("witness", "init", "w", "--name", "witness.example/w1").good()
    run("witness", "add-log", "w", format_vkey(LOG.vkey)).good()
    with serving(empty / "w") as url:
        assert post(url, LOG.request(0, 5))[0] == 200
        assert post(url, LOG.request(5, 9, (bytes(32),)))[0] == 422
        shown = run("witness", "show", "w", "-o", "json").good().json
        assert (len(shown["unproven"]), shown["crowded"]) == (1, [])
        for size in range(10, 43):
            assert post(url, LOG.request(5, size, (bytes(32),)))[0] == 422
    shown = run("witness", "show", "w", "-o", "json").good().json
    assert [item["size"] for item in shown["unproven"]] == list(range(9, 41))
    ((crowded,),) = [shown["crowded"]]
    assert (crowded["origin"], crowded["count"]) == (LOG.origin, 2)
    assert crowded["first_at"] <= crowded["last_at"]
    assert f"! 2 head(s) of {LOG.origin}, signed by the log, came with a bad proof" in run("witness", "show", "w").out


def test_what_cannot_be_a_witness_is_refused(empty: Path):
    run("witness", "init", "w", "--name", "no name").refused(2, "not a key name")
    run("witness", "serve", "w").refused(8, "holds no witness", "witness init")
    run("witness", "init", "w", "--name", "witness.example/w1").good()
    run("witness", "init", "w", "--name", "witness.example/w1").refused(8, "already exists")
    run("witness", "add-log", "w", "nonsense").refused(2, "name+hash+key")
    own = (empty / "w" / "witness.vkey").read_text()
    run("witness", "add-log", "w", own).refused(8, "own key")
    run("witness", "serve", "w", "--listen", "8731").refused(2, "HOST:PORT")
    run("witness", "serve", "w", "--prefix", "w1").refused(2, "slash")
    run("witness", "serve", "w", "--listen", "192.0.2.1:1").refused(8, "nothing can listen")
    key = next((empty / "w" / "keys").iterdir())
    key.chmod(0o644)
    run("witness", "show", "w").refused(8, "can be read by others")


def test_the_checkpoint_key_of_a_ledger_is_no_witness(shop: Shop):
    """A key that signs the log must not also vouch for it: a witness always makes its own."""
    run("witness", "init", "w", "--name", "witness.example/w1").good()
    vkey = run("checkpoint", "show", "--vkey").good().out.strip()
    run("witness", "add-log", "w", vkey).good()
    witness = parse_vkey((shop.folder / "w" / "witness.vkey").read_text().strip())
    assert witness.public != parse_vkey(vkey).public
