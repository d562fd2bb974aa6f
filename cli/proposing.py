"""`muniment root propose`: files with the exact event that the root keys are to sign."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, new_passphrase, pass_app
from cli.ceremonies import read_public, show_ceremony, state_of
from cli.custody import check_code, kept_if_used, new_signer
from cli.values import IN_FILE, OUT_FILE

if TYPE_CHECKING:
    from ledger.screen import Screening

__all__ = ["propose"]

_out = click.option("--out", type=OUT_FILE, default="proposal.ceremony", show_default=True, help="File to write.")
_reason = click.option("--reason", required=True, help="Why.")


def _screening(app: App, /) -> Screening:
    found = app.home.screening()
    found.notify = app.note
    return found


def _propose(app: App, /, kind: str, subject: str | None, body: Mapping[str, Any], out: Path) -> None:
    """Write a proposal of one event by the root keys in force; its subject is the ledger when None."""
    from ledger.custody import propose_by_roots, write_ceremony

    with app.reader() as ledger:
        state = ledger.ledger_state()
    ceremony = propose_by_roots(state, kind, subject or f"ledger:{state.ledgerid}", body, _screening(app))
    write_ceremony(out, ceremony, new=True)
    show_ceremony(app, ceremony, out, state=state)
    app.note(f"wrote {out}\nNext:  each holder runs: muniment root sign {out.name} --key KEYFILE")


@click.group()
def propose() -> None:
    """Write a file with the exact event that the root keys are to sign; nothing is appended yet."""


@propose.command("roots")
@click.option(
    "--root",
    "files",
    type=IN_FILE,
    multiple=True,
    required=True,
    metavar="PUBKEYFILE",
    help="A root key from then on; repeat it for all.",
)
@click.option("--threshold", type=click.IntRange(1, 15), required=True, metavar="M", help="How many of them must sign.")
@_reason
@_out
@common_options
@pass_app
def propose_roots(app: App, /, files: tuple[Path, ...], threshold: int, reason: str, out: Path) -> None:
    """Propose other root keys, or another threshold; name all keys that are to be root keys from then on.

    The old root keys sign, and each new one.

    \b
    Example:
      muniment root propose roots --root alice.pem.pub --root bob.pem.pub --threshold 2 --reason "two persons"
    """  # fmt: skip
    from ledger.keys import format_public_key

    keys = [format_public_key(read_public(path)) for path in files]
    _propose(app, "ledger.roots_changed", None, {"roots": keys, "threshold": threshold, "reason": reason}, out)


@propose.command("checkpoint-key")
@click.option(
    "--key", "reference", metavar="URI|KEYFILE", help="The new key, on a token say; one is made here otherwise."
)
@click.option("--lost", is_flag=True, help="The old key is lost: heads go on without its signature.")
@click.option("--encrypt", is_flag=True, help="Encrypt the new key; MUNIMENT_PASSPHRASE, or asked.")
@_reason
@_out
@common_options
@pass_app
def propose_checkpoint_key(
    app: App, /, reference: str | None, reason: str, out: Path, *, lost: bool, encrypt: bool
) -> None:
    """Propose another key for signing the log's heads; it is kept here, and has signed the proposal already.

    Run it where heads are signed. The first head behind the change is signed by the old key too, so that whoever knows
    only that key can follow; unless it is --lost.

    \b
    Example:
      muniment root propose checkpoint-key --reason "every second year"
      muniment root propose checkpoint-key --key 'pkcs11:token=hsm;object=heads-2' --reason "into the HSM"
    """
    from ledger.custody import propose_by_roots, write_ceremony
    from ledger.keystore import CHECKPOINT
    from ledger.note import TYPE_ED25519, VerifierKey, format_vkey

    new = new_signer(reference)
    with app.reader() as ledger:
        state = ledger.ledger_state()
        keys = app.home.keystore(ledger.ledgerid)
    vkey = format_vkey(VerifierKey(state.origin, TYPE_ED25519, new.public.raw))
    body = {"vkey": vkey, "dual": not lost, "reason": reason}
    kind, subject = "ledger.checkpoint_key_changed", f"ledger:{state.ledgerid}"
    ceremony = propose_by_roots(state, kind, subject, body, _screening(app)).sign(new)
    path = keys.keep(CHECKPOINT, new, new_passphrase() if encrypt else None)
    with kept_if_used(path):
        write_ceremony(out, ceremony, new=True)
    show_ceremony(app, ceremony, out, state=state)
    app.note(
        f"wrote {out}; the new key is {path}\nNext:  each holder runs: muniment root sign {out.name} --key KEYFILE"
    )


@propose.command("request")
@click.argument("file", metavar="FILE", type=IN_FILE)
@click.option("--code", help="The code that was read out to you; another one refuses.")
@_out
@common_options
@pass_app
def propose_request(app: App, /, file: Path, code: str | None, out: Path) -> None:
    """Propose what somebody asks of the root keys with `key request --by root`: to become an admin, say.

    A request names no root keys, and the proposal does: so it has a code of its own, which is for the holders. That of
    the request is for whoever made it; compare it before anybody signs.

    \b
    Example:
      muniment root propose request key.request
    """
    from ledger.custody import adopt, read_ceremony, write_ceremony

    request = read_ceremony(file)
    check_code(request, code)
    with app.reader() as ledger:
        state = ledger.ledger_state()
    ceremony = adopt(state, request, _screening(app))
    write_ceremony(out, ceremony, new=True)
    show_ceremony(app, ceremony, out, state=state)
    if code is None:
        app.note(f"Compare the code of the request, {request.code}, with whoever made it.")
    app.note(f"The proposal names the root keys too and has another code, {ceremony.code}: read that to the holders.")
    app.note(f"wrote {out}\nNext:  each holder runs: muniment root sign {out.name} --key KEYFILE")


@propose.command("event")
@click.argument("type", metavar="TYPE")
@click.argument("subject")
@click.option("-d", "--data", multiple=True, metavar="KEY=VALUE|@FILE", help="Body: dotted keys, JSON values, a file.")
@_out
@common_options
@pass_app
def propose_event(app: App, /, type: str, subject: str, data: tuple[str, ...], out: Path) -> None:
    """Propose any other event by the root keys: revoke an admin or an admin's key, grant a role.

    \b
    Example:
      muniment root propose event actor.revoked actor:p-7f3a -d reason="has left"
      muniment root propose event key.revoked actor:p-7f3a -d keyid=3fa1… -d reason="laptop stolen"
    """
    from cli.values import fit_body, parse_pairs
    from ledger.events import find_event_type

    kind = find_event_type(type)
    body, typed = parse_pairs(data)
    _propose(app, type, subject, fit_body(kind, body, typed), out)


@propose.command("restored")
@_reason
@click.option("--lost-from", type=click.IntRange(1), metavar="INDEX", help="First entry lost; the size by default.")
@click.option(
    "--expect",
    multiple=True,
    type=IN_FILE,
    metavar="CHECKPOINT",
    help="A signed head the log had reached, beside the remembered one; may be repeated.",
)
@_out
@common_options
@pass_app
def propose_restored(app: App, /, reason: str, lost_from: int | None, expect: tuple[Path, ...], out: Path) -> None:
    """Propose to say that the ledger goes on from an old copy, when more than one root key must sign it.

    The store is verified first. Submit it where the checkpoint key is. With one root key: muniment admin restored.

    \b
    Example:
      muniment root propose restored --reason 'disk of the database lost, backup of 2 May'
    """  # fmt: skip
    from cli.output import progress
    from ledger.custody import write_ceremony
    from ledger.note import MAX_NOTE
    from ledger.restoring import propose_restore
    from ledger.statefile import read_named_file

    with progress(app, "verifying") as advance:
        notes = [read_named_file(path, MAX_NOTE) for path in expect]
        ceremony = propose_restore(app.home, reason, notes=notes, lost_from=lost_from, advance=advance)
    write_ceremony(out, ceremony, new=True)
    show_ceremony(app, ceremony, out, state=state_of(app, ceremony))
    app.note(f"wrote {out}\nNext:  each holder runs: muniment root sign {out.name} --key KEYFILE")
