"""`muniment actor` and `muniment key`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.app import App, common_options, new_passphrase, pass_app
from cli.custody import attach, enrol_requested, kept_if_used, new_signer, request
from cli.keyring import actor_states, compromised, find_key, rotate
from cli.offboard import offboard
from cli.output import Grid, print_list, table
from cli.roles import bounded, bounds_of, delegate, grant, responsible, show_actor, ungrant
from cli.values import IN_FILE

__all__ = ["actor", "key"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_ACTOR_COLUMNS = ("actor", "name", "kind", "person", "roles", "revoked", "keys", "private_key_here")
_KEY_COLUMNS = ("keyid", "actor", "alg", "enrolled", "revoked", "private_key_here", "ends")
_encrypt = click.option("--encrypt", is_flag=True, help="Encrypt the private key; MUNIMENT_PASSPHRASE, or asked.")
_signing = click.option("--as", "signer", metavar="ACTOR", help="Admin to sign as; root signs with the root keys.")


_key_reference = click.option("--key", "reference", metavar="URI|KEYFILE", help="The key, on a token say.")


def _from_request(function: _Function) -> _Function:
    """Options of enrolling from the file that `key request` made."""
    for option in (
        click.option("--yes", is_flag=True, help="Sign a request without asking."),
        click.option("--code", help="The code of the request that was read out to you; another one refuses."),
        click.option(
            "--request", "file", type=IN_FILE, metavar="FILE",
            help="Enrol from the file that `muniment key request` made.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


@click.group(short_help="Enrol, show and offboard actors; grant and end roles.")
def actor() -> None:
    """Actors are persons and services; the log itself says who may write."""


@actor.command("list")
@common_options
@pass_app
def list_actors(app: App) -> None:
    """List all actors."""
    with app.reader() as ledger:
        states = actor_states(ledger)
        keys = app.home.keystore(ledger.ledgerid)
        names = app.home.names()
        items = [
            {
                "actor": state.actor,
                "name": names.get(state.actor),
                "kind": state.kind,
                "person": state.person,
                "roles": list(state.roles),
                "revoked": state.revoked,
                "keys": len(state.keys),
                "private_key_here": keys.has(state.actor),
            }
            for state in states
        ]
    rows = [
        (
            str(item["actor"]),
            str(item["name"] or ""),
            str(item["kind"]),
            str(names.get(str(item["person"]), item["person"])),
            ", ".join(item["roles"]),  # type: ignore[arg-type]
            f"revoked at {item['revoked']}" if item["revoked"] is not None else "",
            "yes" if item["private_key_here"] else "",
        )
        for item in items
    ]
    columns = ("actor", "name", "kind", "person", "roles", "remarks", "key here")
    print_list(app, "actors", Grid(_ACTOR_COLUMNS, items), lambda: table(app, "Actors", columns, rows))


@actor.command()
@click.argument("name", metavar="ACTOR", required=False)
@click.option("--kind", type=click.Choice(["person", "service"]), help="Person or service.")
@click.option("--role", "roles", multiple=True, help="A role; may be repeated.")
@bounded
@click.option("--responsible", metavar="ACTOR", help="Person who answers for a service.")
@click.option("--display", help="Display name, kept in a file beside the ledger.")
@_from_request
@_key_reference
@_encrypt
@_signing
@common_options
@pass_app
def enrol(
    app: App,
    /,
    name: str | None,
    kind: str | None,
    roles: tuple[str, ...],
    responsible: str | None,
    display: str | None,
    file: Path | None,
    code: str | None,
    reference: str | None,
    signer: str | None,
    *,
    yes: bool,
    encrypt: bool,
    **bounds: Any,
) -> None:
    """Enrol an actor with a new key, which is kept here; a person without a name gets an opaque id.

    With --request a person brings a key of their own, which nobody else ever sees: `muniment key request` made the
    file on their machine. With --key the key is on a PKCS#11 token.

    A service that you answer for yourself gets the role emitter. For more, another admin enrols it, or --as root.
    With --type, --subject, --env or --until all roles are granted within these bounds, as by `muniment actor grant`.

    \b
    Example:
      muniment actor enrol --request key.request --display "Risk approver"
      muniment actor enrol ci-train --kind service --role emitter --responsible p-… --subject 'run:credit/*'
    """
    app.actor = signer or app.actor
    if file is not None:
        if name or kind or roles or responsible or reference or encrypt or any(bounds.values()):
            raise click.UsageError("--request says all about the actor; give only --display, --code and --yes with it")
        enrol_requested(app, file, "actor.enrolled", display, code, yes=yes)
        return
    if kind is None or not roles:
        raise click.UsageError("Missing option '--kind' or '--role'; or give --request FILE")
    from ledger.bounds import check_bounds
    from ledger.creation import enrol_actor, new_person_id
    from ledger.events.actors import ROLES
    from ledger.names import parse_actor

    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise click.BadParameter(f"no such role: {', '.join(unknown)}; there are {', '.join(ROLES)}")
    if name is None and kind == "service":
        raise click.UsageError("A service needs a readable name: muniment actor enrol NAME --kind service …")
    name = new_person_id() if name is None else parse_actor(name)
    new, limits = new_signer(reference), bounds_of(bounds)
    with app.writer() as ledger:
        check_bounds(ledger, limits)
        keys = app.home.keystore(ledger.ledgerid)
        path = keys.keep(name, new, new_passphrase() if encrypt else None)
        with kept_if_used(path):
            receipt, *granted = enrol_actor(
                ledger, name, new, kind=kind, roles=roles, responsible=responsible, bounds=limits
            )
        if display:
            app.home.set_name(name, display)
        app.note(f"enrolled {name}; its private key is {path}")
        for role, one in zip(dict.fromkeys(roles), granted, strict=False):
            app.note(f"granted the role {role} within bounds (entry {one.index}): muniment actor show {name}")
    app.show_receipt(receipt)


@actor.command()
@click.argument("name", metavar="ACTOR")
@click.option("--reason", required=True, help="Why.")
@_signing
@common_options
@pass_app
def revoke(app: App, /, name: str, reason: str, signer: str | None) -> None:
    """Revoke an actor: what it writes later is refused, what it wrote stands."""
    app.actor = signer or app.actor
    app.emit("actor.revoked", f"actor:{name}", reason=reason)


@actor.command("name")
@click.argument("name", metavar="ACTOR")
@click.argument("display")
@common_options
@pass_app
def set_name(app: App, /, name: str, display: str) -> None:
    """Set a person's display name, which lives in a file beside the ledger and never in it."""
    app.home.set_name(name, display)
    app.note(f"{name} is shown as {display}")


@click.group(short_help="Enrol, list, rotate and revoke keys.")
def key() -> None:
    """Keys are valid from the index that enrols them to the one that revokes them."""


key.add_command(request)
key.add_command(attach)


@key.command("list")
@common_options
@pass_app
def list_keys(app: App) -> None:
    """List enrolled keys."""
    with app.reader() as ledger:
        here = {stored.keyid_prefix for stored in app.home.keystore(ledger.ledgerid).list()}
        items: list[dict[str, Any]] = [
            {
                "keyid": keyid,
                "actor": state.actor,
                "alg": held.key.alg,
                "enrolled": held.enrolled,
                "revoked": held.revoked if held.revoked is not None else state.revoked,
                "private_key_here": keyid[:16] in here,
                "ends": held.ends if held.ends is not None else state.revoked,
            }
            for state in actor_states(ledger)
            for keyid, held in state.keys.items()
        ]
    rows = [
        (
            item["keyid"][:16] + "…",
            item["actor"],
            item["alg"],
            str(item["enrolled"]),
            "" if item["ends"] is None else str(item["ends"]),
            "yes" if item["private_key_here"] else "",
        )
        for item in items
    ]
    columns = ("keyid", "actor", "alg", "from entry", "ends at", "private key here")
    print_list(app, "keys", Grid(_KEY_COLUMNS, items), lambda: table(app, "Keys", columns, rows))


@key.command("enrol")
@click.argument("name", metavar="ACTOR", required=False)
@_from_request
@_key_reference
@_encrypt
@_signing
@common_options
@pass_app
def enrol_key(
    app: App,
    /,
    name: str | None,
    file: Path | None,
    code: str | None,
    reference: str | None,
    signer: str | None,
    *,
    yes: bool,
    encrypt: bool,
) -> None:
    """Enrol a further key for an actor; it is made and kept here, or comes with --request.

    For an admin, or a service that you answer for yourself and that is more than emitter, use --as root.

    \b
    Example:
      muniment key enrol ci-train --as root
      muniment key enrol --request key.request
    """
    from ledger.keys import format_public_key
    from ledger.names import parse_actor

    app.actor = signer or app.actor
    if file is not None:
        if name or reference or encrypt:
            raise click.UsageError("--request says whose key it is; give only --code and --yes with it")
        enrol_requested(app, file, "key.enrolled", None, code, yes=yes)
        return
    if name is None:
        raise click.UsageError("Missing argument 'ACTOR'; or give --request FILE")
    parse_actor(name)
    new = new_signer(reference)
    with app.writer() as ledger:
        keys = app.home.keystore(ledger.ledgerid)
        path = keys.keep(name, new, new_passphrase() if encrypt else None)
        with kept_if_used(path):
            receipt = ledger.emit("key.enrolled", f"actor:{name}", key=format_public_key(new.public), also_sign=[new])
    app.note(f"enrolled a key of {name}; the private key is {path}")
    app.show_receipt(receipt)


@key.command("revoke")
@click.argument("keyid")
@click.option("--reason", required=True, help="Why.")
@_signing
@common_options
@pass_app
def revoke_key(app: App, /, keyid: str, reason: str, signer: str | None) -> None:
    """Revoke a key, named by its id or the first digits of it.

    Example: muniment key revoke 3fa1b2c4 --reason "laptop lost"
    """
    app.actor = signer or app.actor
    with app.writer() as ledger:
        owner, whole = find_key(ledger, keyid)
        app.show_receipt(ledger.emit("key.revoked", f"actor:{owner}", keyid=whole, reason=reason))
    app.note("What it signed and did not get here yet enters only by another actor's word: muniment record late FILE")
    app.note(f"If it was in other hands: muniment key compromised {whole[:16]} --since INDEX --reason …")


for command in (grant, delegate, ungrant, show_actor, responsible, offboard):
    actor.add_command(command)
for command in (rotate, compromised):
    key.add_command(command)
