"""The root keys and the checkpoint key change: what is accepted, what is refused, and what goes on working."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.application import Ledger, Receipt
from ledger.backup import create_backup, restore_backup
from ledger.backupcheck import follow_backup, verify_backup
from ledger.bundle import Selection, parse_bundle
from ledger.bundlecheck import verify_bundle
from ledger.bundling import export_bundle
from ledger.checkpoint import Checkpoint, sign_checkpoint, signed_by, verify_checkpoint
from ledger.creation import enrol_actor
from ledger.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    InputError,
    LedgerError,
    NotAllowedError,
    VerificationError,
)
from ledger.findings import Anchor
from ledger.following import follow_keys
from ledger.identity import Trust
from ledger.keys import Ed25519Signer, format_public_key
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey, parse_note
from ledger.proof import format_proof, parse_proof, verify_proof
from ledger.transfer import LedgerCopy, Outside
from ledger.verdicts import Verdict
from ledger.verify import LogVerification, verify_log
from tests.contract.support import ORIGIN, Cast, make_cast, raw, seeded_key

A, B, C, D = (seeded_key(n) for n in range(101, 105))
NEW, NEWER = seeded_key(111), seeded_key(112)


def vkey_of(key: Ed25519Signer, origin: str = ORIGIN) -> VerifierKey:
    return VerifierKey(origin, TYPE_ED25519, key.public.raw)


def change_roots(
    cast: Cast, roots: Sequence[Ed25519Signer], threshold: int, by: Sequence[Ed25519Signer], **body: Any
) -> Receipt:
    ledger = Ledger(cast.recorder, actor="root", signers=by)
    keys = [format_public_key(root.public) for root in roots]
    data = {"roots": keys, "threshold": threshold, "reason": "test", **body}
    return ledger.emit("ledger.roots_changed", f"ledger:{cast.admin.ledgerid}", data)


def change_key(cast: Cast, key: Ed25519Signer, *, dual: bool = True, by: Sequence[Ed25519Signer] = ()) -> Receipt:
    ledger = Ledger(cast.recorder, actor="root", signers=by or (cast.new.root,))
    body = {"vkey": format_vkey(vkey_of(key)), "dual": dual, "reason": "test"}
    return ledger.emit("ledger.checkpoint_key_changed", f"ledger:{ledger.ledgerid}", body, also_sign=[key])


def more(cast: Cast, name: str) -> Receipt:
    return cast.admin.emit("external.observed", f"external:{name}", system="test")


def follow(cast: Cast, trust: Trust | None = None) -> Trust:
    return follow_keys(cast.recorder, cast.admin.ledger_state(), trust or cast.new.trust)


def rotated(url: str, **options: Any) -> Cast:
    """A ledger whose checkpoint key was changed, with heads on both sides of the change."""
    cast = make_cast(url, actors=())
    more(cast, "before")
    cast.admin.checkpoint()
    change_key(cast, NEW, **options)
    cast.admin.sign_heads_with([NEW, cast.new.checkpoint], None)
    cast.admin.checkpoint()
    more(cast, "after")
    cast.admin.sign_heads_with([NEW], None)
    cast.admin.checkpoint()
    return cast


def bad(found: LogVerification) -> list[tuple[str, str]]:
    return [(finding.fault, finding.message) for finding in found.findings]


# -- roots ---------------------------------------------------------------------------------------------


def test_roots_change_by_the_threshold_of_the_old_and_by_each_new_key(quick_url: str):
    cast = make_cast(quick_url, actors=())
    first = cast.new.root
    change_roots(cast, [A, B, C], 2, [first, A, B, C])
    state = cast.admin.ledger_state()
    assert (set(state.roots), state.threshold) == ({key.public for key in (A, B, C)}, 2)
    person = Ed25519Signer.generate()
    for signers in ([first], [A], [first, A]):
        with pytest.raises(AuthenticationError):
            enrol_actor(
                Ledger(cast.recorder, actor="root", signers=signers), "p-2", person, kind="person", roles=["admin"]
            )
    enrol_actor(Ledger(cast.recorder, actor="root", signers=[A, C]), "p-2", person, kind="person", roles=["admin"])
    change_roots(cast, [A, D], 1, [A, B, D])  # two of the old ones, and the new one
    person = Ed25519Signer.generate()
    enrol_actor(Ledger(cast.recorder, actor="root", signers=[D]), "p-3", person, kind="person", roles=["admin"])
    found = verify_log(cast.recorder, cast.new.trust)
    assert found.ok, bad(found)


@pytest.mark.parametrize(
    ("roots", "threshold", "by", "refusal"),
    [
        ([C, D], 1, [A, C, D], (AuthenticationError, "needs 2 of its own signatures and has 1")),
        ([A, B, D], 2, [A, B], (AuthenticationError, "must sign too")),
        ([A, B, C, D], 2, [C, D], (AuthenticationError, "needs 2 of its own signatures and has 0")),
        ([A, A, B], 2, [A, B], (InputError, "named twice")),
        ([A, B], 3, [A, B], (InputError, "threshold is larger")),
        ([B, A], 2, [A, B], (ConflictError, "in force already")),
        ([], 1, [A, B], (InputError, "roots")),
        ([A, B], 0, [A, B], (InputError, "threshold")),
    ],
)
def test_a_bad_change_of_roots_is_refused(
    quick_url: str,
    roots: list[Ed25519Signer],
    threshold: int,
    by: list[Ed25519Signer],
    refusal: tuple[type[LedgerError], str],
):
    error, words = refusal
    cast = make_cast(quick_url, actors=())
    change_roots(cast, [A, B], 2, [cast.new.root, A, B])
    size = cast.recorder.head().size
    with pytest.raises(error, match=words):
        change_roots(cast, roots, threshold, by)
    assert cast.recorder.head().size == size


def test_a_root_key_is_nothing_else_and_does_not_come_back(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    first = cast.new.root
    with pytest.raises(ConflictError, match="one of 'p-author'"):
        change_roots(cast, [first, cast.keys["p-author"]], 1, [first, cast.keys["p-author"]])
    with pytest.raises(ConflictError, match="signs checkpoints"):
        change_roots(cast, [first, cast.new.checkpoint], 1, [first, cast.new.checkpoint])
    change_roots(cast, [A, B], 1, [first, A, B])
    with pytest.raises(ConflictError, match="cannot come back"):
        change_roots(cast, [A, first], 1, [A, first])
    with pytest.raises(ConflictError, match="root key"):
        enrol_actor(Ledger(cast.recorder, actor="root", signers=[A]), "p-x", B, kind="person", roles=["emitter"])


def test_nobody_but_the_roots_changes_them(quick_url: str):
    cast = make_cast(quick_url, actors=())
    body = {"roots": [format_public_key(A.public)], "threshold": 1, "reason": "coup"}
    with pytest.raises(NotAllowedError, match="only the root keys"):
        cast.admin.emit("ledger.roots_changed", f"ledger:{cast.admin.ledgerid}", body, also_sign=[A])
    with pytest.raises(InputError, match="this ledger"):
        cast.root.emit("ledger.roots_changed", f"ledger:{'0' * 32}", body, also_sign=[A])


# -- the checkpoint key --------------------------------------------------------------------------------


def test_a_change_of_the_checkpoint_key_leads_from_the_old_head_to_the_new(store_url: str):
    cast = rotated(store_url)
    heads = {item.size: parse_note(item.note) for item in cast.recorder.checkpoints(0, 10)}
    signed = {size: [line.key_hash for line in note.signatures] for size, note in heads.items()}
    old, new = vkey_of(cast.new.checkpoint).key_hash, vkey_of(NEW).key_hash
    assert list(signed.values()) == [[old], [old], [new, old], [new]]
    for level in ("full", "checkpoint", "hash"):
        found = verify_log(cast.recorder, cast.new.trust, level=level)
        assert found.ok, bad(found)
    trust = follow(cast)
    assert trust.vkeys == (vkey_of(cast.new.checkpoint), vkey_of(NEW))
    assert verify_log(cast.recorder, trust).ok
    change_key(cast, NEWER)
    assert follow(cast, trust) == trust, "no head rests on the newest key yet"
    cast.admin.sign_heads_with([NEW, NEWER], None)
    cast.admin.checkpoint()
    assert follow(cast, trust).vkeys == follow(cast).vkeys == (*trust.vkeys, vkey_of(NEWER))
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_proofs_and_heads_from_before_still_verify(quick_url: str):
    cast = make_cast(quick_url, actors=())
    entry, proof = cast.admin.entry_bytes(1), cast.admin.prove_inclusion(1)
    note = cast.admin.checkpoint()
    change_key(cast, NEW)
    cast.admin.sign_heads_with([NEW, cast.new.checkpoint], None)
    between = cast.admin.prove_inclusion(1)
    more(cast, "later")
    later = cast.admin.prove_inclusion(1)
    trust = follow(cast)
    assert trust.verify_head(note).size == 2
    old, new = trust.vkeys
    for data, keys in ((proof, [old]), (between, [old]), (between, [new]), (later, [new]), (later, trust.vkeys)):
        assert verify_proof(data, entry, signed_by(*keys))[0] == 1
    with pytest.raises(AuthenticationError):
        verify_proof(later, entry, signed_by(old))
    for data in (proof, between, later):
        assert verify_proof(data, entry, trust.verify_head)[0] == 1
    head = verify_checkpoint(parse_proof(later).checkpoint_note, [new])
    stolen = format_proof(replace(parse_proof(later), checkpoint_note=sign_checkpoint(head, cast.new.checkpoint)))
    assert verify_proof(stolen, entry, signed_by(old, new))[0] == 1, "nothing here says which key signs which sizes"
    with pytest.raises(AuthenticationError, match="which was replaced at entry"):
        verify_proof(stolen, entry, trust.verify_head)
    anchors = [Anchor("a friend", trust.verify_head(note)), Anchor("b", trust.verify_head(cast.admin.checkpoint()))]
    found = verify_log(cast.recorder, cast.new.trust, anchors)
    assert (found.ok, found.anchored_size) == (True, 4)


def test_the_first_head_behind_a_change_needs_both_keys(quick_url: str):
    cast = make_cast(quick_url, actors=())
    change_key(cast, NEW)
    before = cast.recorder.last_checkpoint()
    for signers, words in (([NEW], "old key"), ([cast.new.checkpoint], "is the checkpoint key")):
        cast.admin.sign_heads_with(signers, None)
        with pytest.raises(ConfigurationError, match=words):
            cast.admin.checkpoint()
    assert cast.recorder.last_checkpoint() == before
    assert follow(cast) == cast.new.trust
    assert verify_log(cast.recorder, cast.new.trust).ok, "unsigned from there, and no fault"


def test_a_lost_key_is_replaced_by_the_roots_alone(quick_url: str):
    cast = make_cast(quick_url, actors=())
    change_key(cast, NEW, dual=False)
    cast.admin.sign_heads_with([NEW], None)
    cast.admin.checkpoint()
    assert len(parse_note(cast.recorder.last_checkpoint().note).signatures) == 1
    assert follow(cast).vkeys == (vkey_of(cast.new.checkpoint), vkey_of(NEW))
    assert verify_log(cast.recorder, cast.new.trust).ok


def stored_head(cast: Cast, url: str, size: int, *signers: Ed25519Signer) -> None:
    """Replace the signed head of a size, as somebody with the store can."""
    root = cast.admin.world.root_hash(size)
    assert root is not None
    note = sign_checkpoint(Checkpoint(ORIGIN, size, root), *signers)
    with raw(url) as store:
        store.unprotect()
        store.run("DELETE FROM $checkpoint WHERE size = ?", (size,))
        store.run("INSERT INTO $checkpoint (size, note) VALUES (?, ?)", (size, note))


@pytest.mark.parametrize(
    ("size", "signers", "words"),
    [
        (5, ["old"], "which was replaced at entry 3"),
        (4, ["old"], "which was replaced at entry 3"),
        (4, ["new"], "not signed by the old key"),
        (4, ["other"], "not signed by a known log key"),
        (3, ["new"], "not signed by a known log key"),
        (3, ["new", "old"], None),
        (5, ["old", "new"], None),
    ],
)
@pytest.mark.parametrize("level", ["full", "checkpoint"])
def test_a_stored_head_is_signed_by_the_keys_of_its_size(
    quick_url: str, level: str, size: int, signers: list[str], words: str | None
):
    cast = rotated(quick_url)
    assert [item.size for item in cast.recorder.checkpoints(0, 10)] == [2, 3, 4, 5]
    keys = {"old": cast.new.checkpoint, "new": NEW, "other": A}
    stored_head(cast, quick_url, size, *(keys[name] for name in signers))
    found = verify_log(cast.recorder, cast.new.trust, level=level)
    if words is None:
        assert found.ok, bad(found)
        return
    assert [fault for fault, _ in bad(found)] == ["checkpoint"]
    assert words in bad(found)[0][1]
    if size == 4:
        with pytest.raises(AuthenticationError, match=words):
            follow(cast)


def test_an_anchor_by_the_replaced_key_is_refused_and_named(quick_url: str):
    cast = rotated(quick_url)
    forged = sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), cast.new.checkpoint)
    with pytest.raises(AuthenticationError, match="which was replaced at entry 3"):
        follow(cast).verify_head(forged)


@pytest.mark.parametrize(
    ("key", "origin", "error", "words"),
    [
        ("checkpoint", ORIGIN, ConflictError, "has signed checkpoints"),
        ("root", ORIGIN, ConflictError, "a root key cannot sign checkpoints"),
        ("admin", ORIGIN, ConflictError, "one of 'p-admin'"),
        ("new", "other.example/log", InputError, "not one of the log"),
    ],
)
def test_a_bad_checkpoint_key_is_refused(quick_url: str, key: str, origin: str, error: type[LedgerError], words: str):
    cast = make_cast(quick_url, actors=())
    keys = {"checkpoint": cast.new.checkpoint, "root": cast.new.root, "admin": cast.new.admin_key, "new": NEW}
    body = {"vkey": format_vkey(vkey_of(keys[key], origin)), "reason": "test"}
    subject = f"ledger:{cast.admin.ledgerid}"
    also = [] if key == "root" else [keys[key]]
    with pytest.raises(error, match=words):
        cast.root.emit("ledger.checkpoint_key_changed", subject, body, also_sign=also)
    if key == "new":
        good = {"vkey": format_vkey(vkey_of(NEW)), "reason": "test"}
        with pytest.raises(AuthenticationError, match="must sign too"):
            cast.root.emit("ledger.checkpoint_key_changed", subject, good)
        with pytest.raises(NotAllowedError, match="only the root keys"):
            cast.admin.emit("ledger.checkpoint_key_changed", subject, good, also_sign=[NEW])
        with pytest.raises(InputError, match="verifier key"):
            cast.root.emit("ledger.checkpoint_key_changed", subject, {**good, "vkey": "x"})


def test_the_thief_of_the_old_key_cannot_go_on_with_the_log_as_it_was(
    quick_url: str, new_store: Callable[[str], str], tmp_path: Path
):
    cast = make_cast(quick_url, actors=())
    path, _ = create_backup(cast.recorder, tmp_path / "stolen.backup", Outside(cast.new.trust))
    change_key(cast, NEW)
    cast.admin.sign_heads_with([NEW, cast.new.checkpoint], None)
    cast.admin.checkpoint()
    known, fork = follow(cast), new_store("sqlite" if quick_url.startswith("sqlite") else "postgres")
    restore_backup(path, fork, Outside(cast.new.trust))
    thief = Ledger.open(fork, actor="p-admin", signers=[cast.new.admin_key], checkpoint_signer=cast.new.checkpoint)
    with thief:
        assert follow_keys(thief.recorder, thief.ledger_state(), known) == known, "an old copy, so far"
        assert verify_log(thief.recorder, known).ok
        thief.emit("external.observed", "external:fork", system="test")
        thief.checkpoint()
        with pytest.raises(VerificationError, match="entry 2 changed the checkpoint key") as caught:
            follow_keys(thief.recorder, thief.ledger_state(), known)
        assert caught.value.fault == "anchor"
        (found,) = bad(verify_log(thief.recorder, known))
        assert found[0] == "anchor"
        assert "entry 2 changed the checkpoint key" in found[1]
        assert verify_log(thief.recorder, cast.new.trust).ok, "whoever never saw the change cannot tell: see THREATS"
        bundle = parse_bundle(io.BytesIO(b"".join(export_bundle(thief, Selection("all")))))
        for trust, verdict in ((cast.new.trust, Verdict.VERIFIED), (known, Verdict.BAD)):
            assert verify_bundle(bundle, trust.keys_at(bundle.head.size)).verdict is verdict


def test_a_change_put_in_by_sql_changes_nothing(quick_url: str):
    """The event is authentic but void: signed by a root key that was replaced."""
    cast = make_cast(quick_url, actors=())
    ledger = Ledger(cast.recorder, actor="root", signers=[cast.new.root])
    change_roots(cast, [A], 1, [cast.new.root, A])
    cast.admin.checkpoint()
    body = {"vkey": format_vkey(vkey_of(NEW)), "reason": "late"}
    with pytest.raises(AuthenticationError, match="not enrolled for 'root'"):
        ledger.emit("ledger.checkpoint_key_changed", f"ledger:{ledger.ledgerid}", body, also_sign=[NEW])
    assert cast.admin.ledger_state().changes == ()


# -- copies, backups -----------------------------------------------------------------------------------


def test_backups_and_copies_go_on_across_a_change(quick_url: str, new_store: Callable[[str], str], tmp_path: Path):
    cast = rotated(quick_url)
    pinned = cast.new.trust
    path, _ = create_backup(cast.recorder, tmp_path / "x.backup", Outside(pinned))
    trust = follow_backup(path, pinned)
    assert trust == follow(cast)
    head = trust.verify_head(cast.admin.checkpoint())
    for known in (pinned, trust):
        assert verify_backup(path, Outside(known, (Anchor("a friend", head),))).log.ok
    restored = new_store("sqlite")
    restore_backup(path, restored, Outside(pinned))
    with Ledger.open(restored) as ledger:
        assert follow_keys(ledger.recorder, ledger.ledger_state(), pinned) == trust
    kind = "postgres" if quick_url.startswith("sqlite") else "sqlite"
    target = new_store(kind)
    more(cast, "tail")
    change_key(cast, NEWER)
    moving = LedgerCopy(cast.admin, target, Outside(pinned))
    try:
        with pytest.raises(ConfigurationError, match="old key"):
            moving.run([NEWER])
        moving.run([NEWER, NEW])
    finally:
        moving.close()
    with Ledger.open(target) as ledger:
        found = verify_log(ledger.recorder, trust)
        assert found.ok, bad(found)
        assert follow_keys(ledger.recorder, ledger.ledger_state(), pinned).vkeys[-1] == vkey_of(NEWER)
    sealed = verify_log(cast.recorder, pinned)
    assert sealed.ok, bad(sealed)
    assert verify_backup(path, Outside(trust)).log.ok, "an old backup lacks the later change, and is no fault"


def test_a_successor_note_by_the_replaced_key_is_a_finding(quick_url: str, new_store: Callable[[str], str]):
    cast = rotated(quick_url)
    moving = LedgerCopy(cast.admin, new_store("sqlite"), Outside(cast.new.trust))
    with pytest.raises(ConfigurationError, match="checkpoint key"):
        moving.run([cast.new.checkpoint])
    moving.close()
