"""`muniment root`: what the root keys do, each held by another person on a machine of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.app import App, ask_passphrase, ask_pin, common_options, new_passphrase, pass_app
from cli.ceremonies import as_data, screening_of, show_ceremony, state_of
from cli.custody import check_consent
from cli.output import print_record
from cli.proposing import propose
from cli.values import IN_FILE, OUT_FILE

if TYPE_CHECKING:
    from ledger.application import Receipt
    from ledger.ceremony import Ceremony

__all__ = ["root"]

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


root.add_command(propose)


# -- keys ----------------------------------------------------------------------------------------------


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
@click.argument("file", metavar="KEYFILE", type=OUT_FILE)
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


# -- sign, submit --------------------------------------------------------------------------------------


@root.command()
@click.argument("file", metavar="FILE", type=IN_FILE)
@common_options
@pass_app
def show(app: App, /, file: Path) -> None:
    """Say in words what a file proposes, who has signed it and who must; where the ledger is, compared with its log."""
    from ledger.custody import read_ceremony

    ceremony = read_ceremony(file)
    show_ceremony(app, ceremony, file, state=state_of(app, ceremony))


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
@click.argument("file", metavar="FILE", type=IN_FILE)
@_key
@click.option(
    "--trust", type=IN_FILE, metavar="TRUST.JSON", help="Refuse a proposal for any other ledger than this one."
)
@click.option("--code", help="The code that was read out to you; another one refuses.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
@common_options
@pass_app
def sign(app: App, /, file: Path, reference: str, trust: Path | None, code: str | None, *, yes: bool) -> None:
    """Show in words what FILE proposes, and sign it with your key; needs no ledger and no network.

    Where the ledger is, the root keys that FILE names must be those of its log; elsewhere the code vouches for them.
    The file is changed in place: hand it to the next holder, or back. Holders may also sign copies of it at the same
    time; `root submit` takes them all. Compare the code by voice with whoever proposed it.

    \b
    Example:
      muniment root sign proposal.ceremony --key alice.pem
      muniment root sign proposal.ceremony --key 'pkcs11:token=alice;object=root'
    """
    from ledger.custody import check_present, check_secrets, read_ceremony, write_ceremony
    from ledger.keystore import open_key

    ceremony = read_ceremony(file)
    if trust is not None:
        _check_trust(ceremony, trust)
    state = state_of(app, ceremony)
    app.finish()  # nothing is signed on the word of a log that is not the one seen before
    if state is not None:
        check_present(state, ceremony)
    check_secrets(screening_of(app, ceremony), ceremony)  # before it is shown
    check_consent(ceremony, code, yes=yes, state=state)
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
@click.argument("files", metavar="FILE…", type=IN_FILE, nargs=-1, required=True)
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
