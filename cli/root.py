"""`muniment root`: what the root keys do, each held by another person on a machine of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, ask_passphrase, ask_pin, common_options, new_passphrase, pass_app
from cli.custody import check_consent, new_signer
from cli.output import print_record

if TYPE_CHECKING:
    from ledger.application import Receipt
    from ledger.ceremony import Ceremony
    from ledger.keys import PublicKey

__all__ = ["as_data", "read_public", "root", "show_ceremony"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_out = click.option("--out", type=_OUT, default="proposal.ceremony", show_default=True, help="File to write.")
_reason = click.option("--reason", required=True, help="Why.")
_key = click.option(
    "--key", "reference", required=True, metavar="KEYFILE|URI",
    help="Private key: a PKCS#8 file, or pkcs11:token=…;object=….",
)  # fmt: skip


@click.group(short_help="What several root keys sign: propose, sign, submit.")
def root() -> None:
    """Root keys change admins, the root keys themselves and the key that signs heads.

    Whoever runs the ledger proposes: a file with the exact event. Each holder signs it, also on a machine without a
    network, and is shown in words what it says. When enough have signed, it is submitted.
    """


# -- keys ----------------------------------------------------------------------------------------------


def read_public(path: Path) -> PublicKey:
    """A public key from a file that holds one line.

    Raises:
        InputError: it holds something else.
    """
    from ledger.errors import InputError
    from ledger.keys import parse_public_key
    from ledger.statefile import MAX_STATE_FILE, read_named_file

    try:
        text = read_named_file(path, MAX_STATE_FILE).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read as a public key") from error
    if "PRIVATE KEY" in text:
        raise InputError(f"{path} holds a PRIVATE key", hint="Give the .pub file; a private key stays where it is.")
    try:
        return parse_public_key(text.removesuffix("\n"))
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint="It holds one line, ed25519:<base64>.") from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    import os

    from ledger.errors import ConfigurationError

    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


@root.command("new-key")
@click.argument("file", metavar="KEYFILE", type=_OUT)
@click.option("--encrypt", is_flag=True, help="Encrypt the private key; MUNIMENT_PASSPHRASE, or asked.")
@common_options
@pass_app
def new_key(app: App, /, file: Path, *, encrypt: bool) -> None:
    """Make a root key on this machine: KEYFILE, which stays here, and KEYFILE.pub, which is handed out.

    It needs no ledger and no network.

    \b
    Example:
      muniment root new-key alice.pem --encrypt
    """
    from ledger.keys import Ed25519Signer, format_public_key

    signer = Ed25519Signer.generate()
    public = file.with_name(file.name + ".pub")
    text = format_public_key(signer.public)
    _write_new(file, signer.to_pem(new_passphrase() if encrypt else None), 0o600)
    _write_new(public, text.encode() + b"\n", 0o644)
    data = {"file": str(file), "public_file": str(public), "public": text, "keyid": signer.public.keyid}
    print_record(app, data, f"made {file}; hand out {public}: {text}")


@root.command()
@_key
@common_options
@pass_app
def public(app: App, /, reference: str) -> None:
    """Print the public key of a private key, for a key on a PKCS#11 token say.

    \b
    Example:
      muniment root public --key 'pkcs11:token=alice;object=root' > alice.pub
    """
    from ledger.keys import format_public_key
    from ledger.keystore import open_key

    key = open_key(reference, ask_passphrase, ask_pin).public
    print_record(app, {"public": format_public_key(key), "keyid": key.keyid}, format_public_key(key))


# -- propose -------------------------------------------------------------------------------------------


def as_data(ceremony: Ceremony) -> dict[str, Any]:
    """A ceremony for machines."""
    return {
        "ledgerid": ceremony.ledgerid,
        "origin": ceremony.origin,
        "author": ceremony.author,
        "threshold": ceremony.threshold,
        "code": ceremony.code,
        "events": [
            {
                "type": item.event.payload.type,
                "subject": item.event.payload.subject,
                "data": item.event.payload.data,
                "signed": sorted(item.signed),
                "missing": ceremony.missing(item),
            }
            for item in ceremony.items
        ],
    }


def show_ceremony(app: App, /, ceremony: Ceremony, path: Path | None = None) -> None:
    """Print what a ceremony says and how far it is."""
    from ledger.ceremony import describe

    data = {**({} if path is None else {"file": str(path)}), **as_data(ceremony)}
    print_record(app, data, "\n".join(describe(ceremony)))


def _propose(app: App, /, kind: str, subject: str | None, body: Mapping[str, Any], out: Path, sign: Any = None) -> None:
    """Write a proposal of one event by the root keys in force; its subject is the ledger when None."""
    from ledger.custody import propose_by_roots, write_ceremony

    with app.reader() as ledger:
        state = ledger.ledger_state()
    ceremony = propose_by_roots(state, kind, subject or f"ledger:{state.ledgerid}", body)
    if sign is not None:
        ceremony = ceremony.sign(sign)
    write_ceremony(out, ceremony, new=True)
    show_ceremony(app, ceremony, out)
    app.note(f"wrote {out}\nNext:  each holder runs: muniment root sign {out.name} --key KEYFILE")


@root.group()
def propose() -> None:
    """Write a file with the exact event that the root keys are to sign; nothing is appended yet."""


@propose.command("roots")
@click.option(
    "--root",
    "files",
    type=_FILE,
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
    ceremony = propose_by_roots(state, "ledger.checkpoint_key_changed", f"ledger:{state.ledgerid}", body).sign(new)
    path = keys.keep(CHECKPOINT, new, new_passphrase() if encrypt else None)
    try:
        write_ceremony(out, ceremony, new=True)
    except BaseException:
        path.unlink()
        raise
    show_ceremony(app, ceremony, out)
    app.note(
        f"wrote {out}; the new key is {path}\nNext:  each holder runs: muniment root sign {out.name} --key KEYFILE"
    )


@propose.command("request")
@click.argument("file", metavar="FILE", type=_FILE)
@_out
@common_options
@pass_app
def propose_request(app: App, /, file: Path, out: Path) -> None:
    """Propose what somebody asks of the root keys with `key request --by root`: to become an admin, say.

    \b
    Example:
      muniment root propose request key.request
    """
    from ledger.custody import adopt, read_ceremony, write_ceremony

    with app.reader() as ledger:
        ceremony = adopt(ledger.ledger_state(), read_ceremony(file))
    write_ceremony(out, ceremony, new=True)
    show_ceremony(app, ceremony, out)
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
    type=_FILE,
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
    show_ceremony(app, ceremony, out)
    app.note(f"wrote {out}\nNext:  each holder runs: muniment root sign {out.name} --key KEYFILE")


# -- sign, submit --------------------------------------------------------------------------------------


@root.command()
@click.argument("file", metavar="FILE", type=_FILE)
@common_options
@pass_app
def show(app: App, /, file: Path) -> None:
    """Say in words what a file proposes, who has signed it and who must."""
    from ledger.custody import read_ceremony

    show_ceremony(app, read_ceremony(file), file)


def _check_trust(ceremony: Ceremony, path: Path) -> None:
    from ledger.errors import InputError
    from ledger.trust import read_trust

    trust = read_trust(path)
    if trust is not None and (trust.ledgerid, trust.origin) != (ceremony.ledgerid, ceremony.origin):
        raise InputError(
            f"the proposal is for the ledger {ceremony.origin} ({ceremony.ledgerid}), and {path} pins {trust.origin} "
            f"({trust.ledgerid})",
            hint="Do not sign it; ask who sent it.",
        )


@root.command()
@click.argument("file", metavar="FILE", type=_FILE)
@_key
@click.option("--trust", type=_FILE, metavar="TRUST.JSON", help="Refuse a proposal for any other ledger than this one.")
@click.option("--code", help="The code that was read out to you; another one refuses.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
@common_options
@pass_app
def sign(app: App, /, file: Path, reference: str, trust: Path | None, code: str | None, *, yes: bool) -> None:
    """Show in words what FILE proposes, and sign it with your key; needs no ledger and no network.

    The file is changed in place: hand it to the next holder, or back. Holders may also sign copies of it at the same
    time; `root submit` takes them all. Compare the code by voice with whoever proposed it.

    \b
    Example:
      muniment root sign proposal.ceremony --key alice.pem
      muniment root sign proposal.ceremony --key 'pkcs11:token=alice;object=root'
    """
    from ledger.custody import read_ceremony, write_ceremony
    from ledger.keystore import open_key

    ceremony = read_ceremony(file)
    if trust is not None:
        _check_trust(ceremony, trust)
    check_consent(ceremony, code, yes=yes)
    key = open_key(reference, ask_passphrase, ask_pin)
    signed = ceremony.sign(key)
    write_ceremony(file, signed, new=False)
    missing = [words for item in signed.items for words in signed.missing(item)]
    print_record(app, {"file": str(file), **as_data(signed)}, f"signed {file} with the key {key.public.keyid[:16]}…")
    app.note(f"Still missing: {missing[0]}" if missing else f"Next:  muniment root submit {file.name}")


def _submit_restore(app: App, /, ceremony: Ceremony) -> None:
    """Append that the ledger goes on from an old copy: the one thing that a store which shrank takes."""
    from cli.output import progress
    from ledger.restoring import submit_restore

    with progress(app, "verifying") as advance:
        receipt, done = submit_restore(app.home, ceremony, advance)
    app.show_receipt(receipt)
    if done is not None and done.evidence:
        app.note(f"both heads are kept in {done.evidence}")
    app.note("Next:  tell everybody who remembers a longer log; they run: muniment admin restore-accept")


@root.command()
@click.argument("files", metavar="FILE…", type=_FILE, nargs=-1, required=True)
@common_options
@pass_app
def submit(app: App, /, files: tuple[Path, ...]) -> None:
    """Append what was proposed, when enough root keys have signed; several copies are put together.

    For the ceremony file of `muniment init --root` it makes the ledger. Doing it again repeats nothing.

    \b
    Example:
      muniment root submit proposal.ceremony
      muniment root submit from-alice.ceremony from-bob.ceremony
    """
    from ledger.custody import merge, read_ceremony
    from ledger.custody import submit as append
    from ledger.restoring import is_restore

    ceremony = merge(read_ceremony(path) for path in files)
    path = app.home.trust_path if ceremony.founds else None
    if path is not None and not path.exists():
        from ledger.founding import found_home

        size = found_home(app.home, ceremony)
        data = {"origin": ceremony.origin, "ledgerid": ceremony.ledgerid, "size": size}
        print_record(app, data, f"the ledger {ceremony.origin} exists now, with {size} entries")
        return
    if is_restore(ceremony):
        _submit_restore(app, ceremony)
        return
    with app.courier() as ledger:
        receipts: list[Receipt] = append(ledger, ceremony)
        app.show_receipt(receipts[0])
