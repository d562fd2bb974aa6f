"""`muniment witness`: a small witness of others' logs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, new_passphrase, pass_app
from cli.output import clean, print_record

if TYPE_CHECKING:
    from witness.service import Witness
    from witness.state import Evidence

__all__ = ["witness"]

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(short_help="Be a witness of others' logs (C2SP tlog-witness).")
def witness() -> None:
    """Cosign the heads of logs that only ever grow, and keep what proves that one did not.

    A witness is worth something only where somebody else runs it than the log. It has a key of its own, and a state
    that it must never lose: see docs/how-to/run-a-witness.md
    """


def _open(folder: Path) -> Witness:
    from cli.app import ask_passphrase
    from witness.service import open_witness

    return open_witness(folder, ask_passphrase)


@witness.command()
@click.argument("folder", type=_FOLDER)
@click.option("--name", required=True, metavar="NAME", help="Its key name, such as witness.example/w1.")
@click.option("--encrypt", is_flag=True, help="Encrypt the private key with a passphrase.")
@common_options
@pass_app
def init(app: App, /, folder: Path, *, name: str, encrypt: bool) -> None:
    """Make a witness with a new key in FOLDER, and print the verifier key that others pin.

    Example: muniment witness init /var/lib/witness --name witness.example/w1
    """
    from ledger.note import format_vkey
    from witness.service import create_witness

    made = create_witness(folder, name, new_passphrase() if encrypt else None)
    made.close()
    vkey = format_vkey(made.vkey)
    print_record(app, {"folder": str(folder), "name": name, "vkey": vkey}, vkey)
    app.note("Let others pin this key; then: muniment witness add-log FOLDER VKEY, muniment witness serve FOLDER")


@witness.command("add-log")
@click.argument("folder", type=_FOLDER)
@click.argument("vkey")
@common_options
@pass_app
def add_log(app: App, /, folder: Path, *, vkey: str) -> None:
    """Cosign the heads of a log from now on, or know another key of one that it changes to.

    VKEY is what the log's operator prints with `muniment checkpoint show --vkey`.

    Example: muniment witness add-log /var/lib/witness ledger.example/ml+86a28eb5+AdPgSH/KWo1eEN1qvW/iMdtr...
    """
    from ledger.note import parse_vkey

    key = parse_vkey(vkey.strip())
    opened = _open(folder)
    try:
        new = opened.add_log(key)
    finally:
        opened.close()
    words = "is witnessed from now on" if new else "was known with this key already"
    print_record(app, {"origin": key.name, "new": new}, f"{key.name} {words}")


@witness.command()
@click.argument("folder", type=_FOLDER)
@common_options
@pass_app
def show(app: App, /, folder: Path) -> int:
    """Show the witness's key, the last head of each log it cosigned, and the evidence it kept.

    Exit code 1 when there is evidence: two heads of one size with two roots, or a head with another past than the one
    cosigned before, both signed by a log. Heads that came with a bad proof are shown too, and are no evidence: whoever
    has the log can compare them with it (muniment verify log --expect).

    Example: muniment witness show /var/lib/witness -o json
    """
    from ledger.checkpoint import parse_checkpoint
    from ledger.note import format_vkey, parse_note

    opened = _open(folder)
    try:
        notes = dict(opened.state.heads())
        evidence, unproven, crowded = opened.state.evidence(), opened.state.unproven(), opened.state.crowded()
        logs = [
            {"vkey": format_vkey(key), "checkpoint": notes[key.name].decode() if key.name in notes else None}
            for key in opened.state.logs()
        ]
        vkey = format_vkey(opened.vkey)
    finally:
        opened.close()
    lines = [f"witness {vkey}"]
    for log in logs:
        size = parse_checkpoint(parse_note(log["checkpoint"].encode()).text).size if log["checkpoint"] else 0
        lines.append(f"log {log['vkey']}, cosigned up to size {size}")
    lines += [_evidence_words(item) for item in evidence]
    lines += [
        f"? head of {item.origin} of size {item.size}, signed by the log, came with a bad proof; -o json gives the note"
        for item in unproven
    ]
    lines += [
        f"! {item.count} head(s) of {item.origin}, signed by the log, came with a bad proof when there was no "
        "room to keep them; ask its operator to prove those that are kept: muniment checkpoint witness"
        for item in crowded
    ]
    data = {
        "vkey": vkey,
        "logs": logs,
        "evidence": [_evidence(item) for item in evidence],
        "unproven": [
            {
                "origin": item.origin,
                "size": item.size,
                "root": item.root.hex(),
                "note": item.note.decode(),
                "at": item.at,
            }
            for item in unproven
        ],
        "crowded": [asdict(item) for item in crowded],
    }
    print_record(app, data, "\n".join(lines))
    return 1 if evidence else 0


def _evidence(item: Evidence) -> dict[str, Any]:
    return {
        "number": item.number,
        "origin": item.origin,
        "kind": item.kind,
        "known": item.known.decode(errors="replace"),
        "shown": item.shown.decode(errors="replace"),
        "at": item.at,
    }


def _evidence_words(item: Evidence) -> str:
    words = "the log signed two different roots for one size"
    if item.kind == "rewritten":
        words = "the log signed a head whose tree has another root at a size for which it signed one before"
    return f"✗ evidence {item.number} against {item.origin}: {words}; -o json gives both notes"


@witness.command()
@click.argument("folder", type=_FOLDER)
@click.option("--listen", default="127.0.0.1:8731", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--prefix", default="", metavar="PATH", help="Path under which it answers, such as /w1.")
@common_options
@pass_app
def serve(app: App, /, folder: Path, *, listen: str, prefix: str) -> None:
    """Answer logs (POST add-checkpoint) and monitors (GET HASH/checkpoint) until it is stopped.

    It speaks plain HTTP: put it behind a server that speaks TLS when it is to be reached from outside.

    Example: muniment witness serve /var/lib/witness --listen 127.0.0.1:8731
    """
    import signal
    import threading

    from ledger.errors import ConfigurationError, InputError
    from witness.http import WitnessServer

    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise InputError(f"{listen!r} is not HOST:PORT", hint="For example: --listen 127.0.0.1:8731")
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise InputError(f"the prefix {prefix!r} must begin with a slash and not end with one")
    opened = _open(folder)
    try:
        server = WitnessServer(
            opened, host.strip("[]"), int(port), prefix=prefix, report=lambda words: click.echo(clean(words), err=True)
        )
    except OSError as error:
        opened.close()
        raise ConfigurationError(f"nothing can listen at {listen}: {error.strerror}") from error
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    try:
        click.echo(f"witness {opened.vkey.name} at {server.url}/", err=True)
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        app.note("stopped")
    finally:
        server.server_close()
        opened.close()
