"""`muniment key rotate` and `compromised`, `muniment entry reaffirm`, and how keys and actors are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.app import App, common_options, new_passphrase, pass_app
from cli.custody import kept_if_used

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.domain import ActorState
    from ledger.keys import Signer
    from ledger.keystore import Keystore

__all__ = ["acknowledge", "actor_state", "actor_states", "compromised", "entry", "find_key", "rotate"]

#: So many digits of a key's id are enough to name it, and fewer may be a slip: a shell variable that is not set.
_KEYID_DIGITS = 8
_signing = click.option("--as", "signer", metavar="ACTOR", help="Actor to sign as; root signs with the root keys.")


def actor_states(ledger: Ledger) -> list[ActorState]:
    """All actors, by id."""
    from ledger.domain import ActorState

    size = ledger.world.refresh()
    states = (ledger.world.state_before(stream, size) for stream in sorted(ledger.recorder.authority_streams()))
    return [state for state in states if isinstance(state, ActorState)]


def actor_state(ledger: Ledger, name: str) -> ActorState:
    """One actor.

    Raises:
        InputError: it is not enrolled.
    """
    from ledger.domain import ActorState
    from ledger.errors import InputError

    state = ledger.world.state_before(f"actor:{name}", ledger.world.refresh())
    if not isinstance(state, ActorState):
        raise InputError(f"the actor {name!r} is not enrolled", hint="`muniment actor list` shows who is.")
    return state


def find_key(ledger: Ledger, keyid: str) -> tuple[str, str]:
    """Owner and whole id of a key named by its first digits.

    Raises:
        InputError: there is none, or more than one.
    """
    from ledger.errors import InputError

    wanted = keyid.rstrip("…")
    if len(wanted) < _KEYID_DIGITS:
        raise InputError(
            f"{keyid!r} is too short to name a key: give {_KEYID_DIGITS} digits or more", hint="See: muniment key list"
        )
    matches = [
        (state.actor, known) for state in actor_states(ledger) for known in state.keys if known.startswith(wanted)
    ]
    if len(matches) != 1:
        raise InputError(f"{keyid!r} names {len(matches)} keys", hint="`muniment key list -o json` shows whole ids.")
    return matches[0]


def _key_to_replace(ledger: Ledger, name: str, keyid: str | None, own: Signer | None) -> str:
    from ledger.errors import InputError

    if keyid is not None:
        owner, whole = find_key(ledger, keyid)
        if owner != name:
            raise InputError(f"the key {keyid} belongs to {owner}, not to {name}")
        return whole
    state = actor_state(ledger, name)
    if own is not None:
        return own.public.keyid
    standing = [known for known, held in state.keys.items() if held.ends is None]
    if len(standing) != 1:
        raise InputError(f"{name} has {len(standing)} keys that do not end: say which", hint="Name it: --keyid KEYID")
    return standing[0]


@click.command("rotate", short_help="Put a new key in the place of an old one.")
@click.argument("name", metavar="ACTOR", required=False)
@click.option("--keyid", help="The key to replace; the one that signs, or the only one.")
@click.option(
    "--grace", type=click.IntRange(min=0), default=0, show_default=True, metavar="ENTRIES",
    help="The old key may sign until the log has so many entries more; by default it ends at once.",
)  # fmt: skip
@click.option("--reason", help="Why.")
@click.option("--encrypt", is_flag=True, help="Encrypt the private key; MUNIMENT_PASSPHRASE, or asked.")
@_signing
@common_options
@pass_app
def rotate(
    app: App,
    /,
    name: str | None,
    keyid: str | None,
    reason: str | None,
    signer: str | None,
    *,
    grace: int,
    encrypt: bool,
) -> None:
    """Replace a key by a new one, which is made and kept here; your own without ACTOR.

    An actor rotates its key by signing with it. For others an admin does it, for admins themselves or the root keys. A
    service that you answer for yourself and that is more than emitter rotates its own: --as SERVICE.

    \b
    Example:
      muniment key rotate
      muniment key rotate ci-train --as p-… --grace 1000 --reason "yearly"
    """
    from ledger.keys import Ed25519Signer, format_public_key

    app.actor = signer or app.actor
    with app.writer() as ledger:
        name = name or str(ledger.actor)
        keys = app.home.keystore(ledger.ledgerid)
        old = _key_to_replace(ledger, name, keyid, ledger.signers[0] if ledger.actor == name else None)
        new = Ed25519Signer.generate()
        path = keys.save(name, new, new_passphrase() if encrypt else None)
        body = {
            "keyid": old,
            "key": format_public_key(new.public),
            "until": ledger.world.size + grace,
            "reason": reason,
        }
        with kept_if_used(path):
            receipt = ledger.emit("key.rotated", f"actor:{name}", body, also_sign=[new])
        ends = actor_state(ledger, name).keys[old].ends
    app.note(f"the key {old[:16]}… of {name} signs nothing from entry {ends} on; the new private key is {path}")
    _note_old_file(app, keys, name, old)
    app.show_receipt(receipt)


def _note_old_file(app: App, keys: Keystore, name: str, old: str) -> None:
    here = [stored.path for stored in keys.list() if stored.owner == name and stored.keyid_prefix == old[:16]]
    if here:
        app.note(f"The old private key is still at {here[0]}; delete it once nothing signs with it.")


@click.command("compromised", short_help="Say that a key was in other hands.")
@click.argument("keyid")
@click.option("--since", type=click.IntRange(min=0), required=True, metavar="INDEX",
              help="First entry at which the key may have been in other hands.")  # fmt: skip
@click.option("--reason", required=True, help="Why.")
@_signing
@common_options
@pass_app
def compromised(app: App, /, keyid: str, *, since: int, reason: str, signer: str | None) -> None:
    """End a key that was in other hands, and suspend what it signed since.

    Entries it signed from INDEX on become suspect: from now on nothing may rest on them, nor on what they made
    possible, until they are reaffirmed. Answers about the time before do not change.

    Example: muniment key compromised 3fa1b2c4 --since 120 --reason "laptop stolen"
    """
    from ledger.suspects import find_suspects

    app.actor = signer or app.actor
    with app.writer() as ledger:
        owner, whole = find_key(ledger, keyid)
        body = {"keyid": whole, "since": since, "reason": reason}
        receipt = ledger.emit("key.compromised", f"actor:{owner}", body)
        size = ledger.world.refresh()
        found = find_suspects(
            ledger.recorder, ledger.world.at(size), size, lambda row: ledger.world.judge_row(row).verdict.kind == "void"
        )
    app.show_receipt(receipt)
    app.note(f"{found.count} entries are suspect now; `muniment verify log` lists them")
    if found.count:
        app.note("Next:  those that are genuine: muniment entry reaffirm INDEX --reason …")


@click.group(short_help="Reaffirm suspect entries.")
def entry() -> None:
    """What is said of entries that a compromised key signed, or made possible."""


@entry.command("reaffirm")
@click.argument("index", type=click.IntRange(min=0))
@click.option("--reason", required=True, help="How it is known to be genuine.")
@_signing
@common_options
@pass_app
def reaffirm(app: App, /, index: int, *, reason: str, signer: str | None) -> None:
    """Say that a suspect entry is genuine, so that it counts again from here on.

    Its author may, with another key; for a service who answers for it; and an admin of another person.

    Example: muniment entry reaffirm 131 --reason "signed by me on the build server"
    """
    from ledger.errors import InputError, PolicyError
    from ledger.suspects import Doubts

    app.actor = signer or app.actor
    with app.writer() as ledger:
        size = ledger.world.refresh()
        rows = ledger.recorder.rows(index, 1) if index < size else []
        if not rows:
            raise InputError(f"there is no entry {index}", hint=f"The log has {size} entries: muniment log")
        row = rows[0]
        if Doubts(ledger.world.at(size)).of(row) is None:
            raise PolicyError(f"entry {index} is not suspect", hint="`muniment verify log` lists those that are.")
        body = {"index": index, "leaf_hash": row.leaf_hash.hex(), "reason": reason}
        receipt = ledger.emit("entry.reaffirmed", f"actor:{row.entry.actor}", body)
        still = Doubts(ledger.world.at(ledger.world.refresh())).of(row)
    app.show_receipt(receipt)
    if still is not None:
        app.note(f"it is suspect still: {still.text}")


@click.command("acknowledge", short_help="Acknowledge a void entry.")
@click.argument("index", type=click.IntRange(min=0))
@click.option("--reason", required=True, help="What it is, and why it is left.")
@_signing
@common_options
@pass_app
def acknowledge(app: App, /, index: int, *, reason: str, signer: str | None) -> None:
    """Say that a void entry was seen: verification goes on listing it, and no longer fails for it.

    A void entry is one that was put into the store although it is not legal there. It changes nothing, and stays. What
    is said holds for the entry as it is now, by its leaf hash, and excuses no other bytes at its place. A good entry
    cannot be acknowledged, and neither can one whose content is not what was recorded.

    Example: muniment admin acknowledge 37 --reason "forged by the old database account, ticket 118"
    """
    from ledger.acknowledging import find_void

    app.actor = signer or app.actor
    with app.writer() as ledger:
        ledger.world.refresh()
        void = find_void(ledger.recorder, ledger.world, index)
        body = {"index": index, "leaf_hash": void.row.leaf_hash.hex(), "reason": reason}
        receipt = ledger.emit("ledger.entry_acknowledged", f"ledger:{ledger.ledgerid}", body)
    app.show_receipt(receipt)
    app.note(f"entry {index} stays void: {void.verdict.error and void.verdict.error.message}")
