"""How the root keys and the checkpoint key change: by the root keys, and with the new key's own signature."""

from __future__ import annotations

from ledger.domain.actors import FOREVER
from ledger.domain.ledgerstate import LedgerState
from ledger.domain.lifecycle import check_rules
from ledger.domain.recorded import RecordedEvent
from ledger.domain.signed import ROOT_ACTOR
from ledger.domain.world import World, ledger_of
from ledger.errors import ConflictError, InputError, NotAllowedError
from ledger.events.ledgers import CheckpointKeyChanged, RootsChanged, RulesChanged
from ledger.keys import parse_public_key
from ledger.note import TYPE_ED25519, VerifierKey, parse_vkey

__all__ = ["check_ledger_keys"]


def _state(world: World, event: RecordedEvent) -> LedgerState:
    state = ledger_of(world)
    if state is None or event.subject.name != world.ledgerid:
        raise InputError(f"the subject must be this ledger: ledger:{world.ledgerid}")
    return state


def _used(state: LedgerState) -> dict[bytes, VerifierKey]:
    keys = (key.vkey for key in state.log_keys.keys)
    return {key.public: key for key in keys}


def _check_roots(world: World, state: LedgerState, body: RootsChanged) -> None:
    keys = [parse_public_key(text) for text in body.roots]
    if len(set(keys)) != len(keys):
        raise InputError("a root key is named twice: every holder has a key of their own")
    if len(keys) < body.threshold:
        raise InputError("the threshold is larger than the number of root keys")
    if (set(keys), body.threshold) == (set(state.roots), state.threshold):
        raise ConflictError("these root keys and this threshold are in force already")
    checkpoint = _used(state)
    for key in keys:
        if key.keyid in state.former_roots:
            raise ConflictError(f"the root key {key.keyid[:16]}… was replaced before and cannot come back")
        if key.raw in checkpoint:
            raise ConflictError("a key that signs checkpoints cannot be a root key too")
        holder = world.key_holder(key.keyid)
        if holder is not None:
            raise ConflictError(f"the key {key.keyid[:16]}… is one of {holder!r} and cannot be a root key too")


def _check_checkpoint_key(world: World, state: LedgerState, body: CheckpointKeyChanged) -> None:
    vkey = parse_vkey(body.vkey)
    public = vkey.public_key
    if (vkey.name, vkey.type) != (state.origin, TYPE_ED25519):
        raise InputError(f"the verifier key is not one of the log {state.origin}")
    used = _used(state)
    if vkey.public in used:
        raise ConflictError("this key has signed checkpoints of this log before; a change needs a new one")
    if vkey.key_hash in {key.key_hash for key in used.values()}:  # 32 bits: a note could not tell which one is meant
        raise ConflictError("this key has the same key ID as an earlier one", hint="Make another key.")
    if public.keyid in {root.keyid for root in state.roots} | state.former_roots:
        raise ConflictError("a root key cannot sign checkpoints too")
    holder = world.key_holder(public.keyid)
    if holder is not None:
        raise ConflictError(f"the key {public.keyid[:16]}… is one of {holder!r} and cannot sign checkpoints too")


def check_ledger_keys(
    world: World, event: RecordedEvent, body: RootsChanged | CheckpointKeyChanged | RulesChanged
) -> int:
    """Check a change of root keys, checkpoint key or rules; that the right keys signed is `signing_keys`' part.

    Returns:
        As `roles.check_roles`.

    Raises:
        NotAllowedError: it is not by the root keys.
        InputError: it is malformed.
        ConflictError: a key is in use already, or was.
    """
    state = _state(world, event)
    if event.actor != ROOT_ACTOR:
        raise NotAllowedError(
            "only the root keys change the roots, the checkpoint key and the rules",
            hint="Sign with them: --as root; where others hold them, propose it: muniment root propose",
        )
    if isinstance(body, RootsChanged):
        _check_roots(world, state, body)
    elif isinstance(body, CheckpointKeyChanged):
        _check_checkpoint_key(world, state, body)
    else:
        check_rules(body.rules)
    return FOREVER
