"""What people do with their own keys: `muniment key request` and `attach`, and enrolling from a request."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, ask_passphrase, ask_pin, common_options, new_passphrase, pass_app
from cli.output import clean, print_record
from cli.values import IN_FILE, OUT_FILE

if TYPE_CHECKING:
    from ledger.ceremony import Ceremony
    from ledger.domain import LedgerState
    from ledger.identity import Trust
    from ledger.keys import Signer

__all__ = ["attach", "check_code", "check_consent", "enrol_requested", "kept_if_used", "new_signer", "request"]


def new_signer(reference: str | None) -> Signer:
    """The key that is meant: one on a token or in a file, or a new one."""
    from ledger.keys import Ed25519Signer
    from ledger.keystore import open_key

    return Ed25519Signer.generate() if reference is None else open_key(reference, ask_passphrase, ask_pin)


@contextmanager
def kept_if_used(path: Path) -> Iterator[None]:
    """A private key that was just written here: its file goes when what it was made for fails."""
    try:
        yield
    except BaseException as error:
        if not getattr(error, "outcome_unknown", False):  # it may be enrolled: then the key is needed
            path.unlink()
        raise


def _digits(code: str | None) -> str:
    return (code or "").replace(" ", "").lower()


def check_code(ceremony: Ceremony, code: str | None) -> None:
    """Refuse a file whose code is not the one that was read out, when one was.

    Raises:
        InputError: the code is another one.
    """
    from ledger.errors import InputError

    if code is None or _digits(code) == _digits(ceremony.code):
        return
    if ceremony.roots and _digits(code) == _digits(ceremony.request_code):
        raise InputError(
            f"that is the code of the request, and the proposal made from it has another one: {ceremony.code}",
            hint="The proposal names the root keys too: let whoever proposed it read its code out to you.",
        )
    raise InputError(
        f"the code of this file is {ceremony.code}, and another one was read out to you",
        hint="The file was changed on its way: do not sign it.",
    )


def check_consent(ceremony: Ceremony, code: str | None, *, yes: bool, state: LedgerState | None = None) -> None:
    """Show in words what would be signed, and go on only when somebody wants that.

    Args:
        ceremony: what would be signed.
        code: as it was read out; another one refuses.
        yes: sign without asking.
        state: the log's own, to compare with.

    Raises:
        InputError: the code is another one.
    """
    from ledger.ceremony import describe

    click.echo(clean("\n".join(describe(ceremony, state))), err=True)
    check_code(ceremony, code)
    if yes or code is not None:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: give --code CODE as read out to you, or --yes")
    click.confirm("Sign this?", abort=True, err=True)


def _pinned(app: App, /, path: Path | None) -> Trust:
    from ledger.errors import ConfigurationError
    from ledger.trust import read_trust

    trust = app.home.trust() if path is None else read_trust(path)
    if trust is None:
        raise ConfigurationError(
            "which ledger the key is for is not pinned here", hint="Ask an admin for trust.json: --trust TRUST.JSON"
        )
    return trust


def _keystore(app: App, /, trust: Trust, *, here: bool) -> Any:
    from ledger.config import config_folder
    from ledger.keystore import Keystore

    if here:
        return app.home.keystore(trust.ledgerid)
    return Keystore(config_folder() / "keys" / trust.ledgerid, ask_passphrase, ask_pin)


@click.command(short_help="Make a key of your own and ask an admin to enrol it.")
@click.argument("name", metavar="ACTOR", required=False)
@click.option("--by", "author", required=True, metavar="ADMIN", help="Actor id of the admin who is asked, or root.")
@click.option("--role", "roles", multiple=True, help="A role you ask for; may be repeated.")
@click.option(
    "--kind", type=click.Choice(["person", "service"]), default="person", show_default=True, help="Person or service."
)
@click.option("--responsible", metavar="ACTOR", help="Person who answers for a service.")
@click.option("--further", is_flag=True, help="A further key of ACTOR, who is enrolled.")
@click.option("--trust", type=IN_FILE, metavar="TRUST.JSON", help="The ledger meant, where it is not set up yet.")
@click.option("--key", "reference", metavar="URI|KEYFILE", help="Your key, on a token say; one is made here otherwise.")
@click.option("--encrypt", is_flag=True, help="Encrypt the private key; MUNIMENT_PASSPHRASE, or asked.")
@click.option(
    "--out",
    type=OUT_FILE,
    default="key.request",
    show_default=True,
    help="File to write.",
)
@common_options
@pass_app
def request(
    app: App,
    /,
    name: str | None,
    author: str,
    roles: tuple[str, ...],
    kind: str,
    responsible: str | None,
    trust: Path | None,
    reference: str | None,
    out: Path,
    *,
    further: bool,
    encrypt: bool,
) -> None:
    """Make a key on this machine, and a file with which an admin enrols it without ever seeing it.

    The file holds the very event that enrols you, signed by your new key: that proves that you hold it. The admin adds
    a signature and appends it: muniment actor enrol --request FILE (or key enrol --request FILE). Without ACTOR you get
    an opaque id. The private key stays here.

    \b
    Example:
      muniment key request --by p-7f3a --role approver --trust trust.json
      muniment key request p-9k2c --further --by p-7f3a
    """  # fmt: skip
    from ledger.creation import new_person_id
    from ledger.custody import propose, write_ceremony
    from ledger.keys import format_public_key
    from ledger.names import parse_actor

    if further and (name is None or roles or responsible):
        raise click.UsageError("--further is for an actor that is enrolled: name it, and ask for no roles")
    if not further and not roles:
        raise click.UsageError("Missing option '--role', what you are to do; see: muniment key request --help")
    if kind == "person" and responsible:
        raise click.UsageError("--responsible is for a service; for one: --kind service")
    if name is None and kind == "service":
        raise click.UsageError("A service needs a readable name: muniment key request NAME --kind service …")
    pinned = _pinned(app, trust)
    name = new_person_id() if name is None else parse_actor(name)
    new = new_signer(reference)
    body: dict[str, Any] = {"key": format_public_key(new.public)}
    if not further:
        body |= {"kind": kind, "roles": list(roles), "responsible": responsible}
    event = ("key.enrolled" if further else "actor.enrolled", f"actor:{name}", body)
    ceremony = propose(pinned.ledgerid, pinned.origin, [event], author=parse_actor(author)).sign(new)
    path = _keystore(app, pinned, here=trust is None).keep(name, new, new_passphrase() if encrypt else None)
    with kept_if_used(path):
        write_ceremony(out, ceremony, new=True)
    data = {"file": str(out), "actor": name, "key": body["key"], "private_key": str(path), "code": ceremony.code}
    print_record(app, data, f"wrote {out} for {name}; code {ceremony.code}")
    to_roots = author == "root"
    command = "root propose request" if to_roots else f"{'key' if further else 'actor'} enrol --request"
    who = "whoever proposes it to the root keys" if to_roots else author
    app.note(
        f"your private key is {path}\n"
        f"Next:  send {out.name} and read the code to {who}, who runs: muniment {command} {out.name} --code CODE"
    )
    if to_roots:
        app.note("The proposal names the root keys too, so it has another code; `root show` on it shows yours as well.")


@click.command(short_help="Say that an actor's key is on a token.")
@click.argument("owner", metavar="ACTOR")
@click.argument("uri")
@common_options
@pass_app
def attach(app: App, /, owner: str, uri: str) -> None:
    """Use a key on a PKCS#11 token as ACTOR's key on this machine; `checkpoint` is the key that signs heads.

    Only where the key is gets written down: a key file is neither needed nor made. PINs come from a file
    (MUNIMENT_PKCS11_PIN_FILE, or pin-source in the URI) or are asked for.

    \b
    Example:
      muniment key attach ci-train 'pkcs11:token=ci;object=train?module-path=/usr/lib/softhsm/libsofthsm2.so'
    """
    from ledger.keys import format_public_key
    from ledger.tokens import TokenSigner, parse_key_uri

    key = TokenSigner(parse_key_uri(uri), ask_pin)
    with app.reader() as ledger:
        path = app.home.keystore(ledger.ledgerid).attach(owner, key)
    data = {"actor": owner, "key": format_public_key(key.public), "keyid": key.public.keyid, "file": str(path)}
    print_record(app, data, f"{owner} signs with {key.public.keyid[:16]}… on the token from now on ({path})")


def enrol_requested(app: App, /, file: Path, kind: str, display: str | None, code: str | None, *, yes: bool) -> None:
    """Enrol from a request: show what it says, sign as the admin it asks, append.

    Args:
        app: the invocation.
        file: as `key request` wrote it.
        kind: the one type of event that may be signed, ``actor.enrolled`` or ``key.enrolled``.
        display: display name of the actor.
        code: as it was read out.
        yes: sign without asking.
    """
    from ledger.custody import countersign, read_ceremony
    from ledger.errors import InputError

    ceremony = read_ceremony(file)
    if ceremony.author == "root":
        raise InputError("the request asks the root keys", hint=f"Run: muniment root propose request {file.name}")
    check_consent(ceremony, code, yes=yes)
    with app.writer() as ledger:
        (receipt,) = countersign(ledger, ceremony, (kind,))
        if display:
            app.home.set_name(ceremony.items[0].event.subject.name, display)
    app.show_receipt(receipt)
