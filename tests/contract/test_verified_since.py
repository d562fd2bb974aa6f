"""Verification that goes on from an earlier one: what came since is judged, and what went is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import commands
from ledger.checkpoint import Checkpoint
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import StorageError
from ledger.findings import Anchor
from ledger.keys import format_public_key
from ledger.verify import verify_log
from tests.contract.support import MODEL, Cast, make_cast, raw, register
from tests.contract.tampering import Forger, remembered, self_approval, sixteen
from tests.contract.verifying import elsewhere, since, told


def grown(cast: Cast, count: int = 3) -> None:
    for number in range(count):
        cast["trainer"].emit("external.observed", f"external:x{number}", system="s")
    cast.admin.checkpoint()


@pytest.mark.parametrize("reread", [True, False], ids=["hashed", "not read"])
def test_only_what_came_since_is_judged(quick_url: str, reread: bool):
    cast, _ = sixteen(quick_url)
    first = verify_log(cast.recorder, cast.new.trust)
    grown(cast)
    register(cast, "model:other@2")  # an actor, a run and a model from both sides of the mark
    commands.request_approval(cast["p-author"], MODEL, "prod")
    cast.admin.checkpoint()
    anchors = [remembered(cast)]
    again = verify_log(cast.recorder, cast.new.trust, anchors, since=since(first, reread=reread))
    assert again.ok, again.findings
    assert (again.verified_from, again.earlier) == (16, "hashed" if reread else "not read")
    whole = verify_log(cast.recorder, cast.new.trust, anchors)
    for name in ("size", "root", "signed_size", "signed_root", "heads", "anchored_size", "missing"):
        assert getattr(again, name) == getattr(whole, name), name
    assert again.checkpoints == whole.checkpoints - 3
    mark = since(first, reread=reread)
    for other in (bytes(32), b"\xff" * 32):
        changes: list[dict[str, Any]] = [{"root": other}, *([{"heads": other}] if reread else [])]
        for change in changes:
            anew = verify_log(cast.recorder, cast.new.trust, anchors, since=replace(mark, **change))
            assert (anew.verified_from, anew.earlier) == (0, ""), change


@pytest.mark.parametrize("reread", [True, False], ids=["hashed", "not read"])
def test_a_key_from_before_the_mark_is_not_given_to_another_actor(quick_url: str, reread: bool):
    cast, _ = sixteen(quick_url)
    grown(cast)
    mark = since(verify_log(cast.recorder, cast.new.trust), reread=reread)
    key = cast.keys["p-approver"]
    payload, _ = build_payload(
        type="key.enrolled", subject="actor:trainer", data={"key": format_public_key(key.public)}, actor="p-admin",
        ledgerid=cast.admin.ledgerid, emitter="019b0000-0000-7000-8000-0000000000aa", sequence=1,
    )  # fmt: skip
    envelope = format_envelope(sign_payload(payload, [cast.keys["p-admin"], key]))
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(envelope)
        forger.write()
    found = verify_log(cast.recorder, cast.new.trust, since=mark)
    assert [(finding.fault, finding.index) for finding in found.findings] == [("legality", index)]
    assert "p-approver" in found.findings[0].message


def test_an_anchor_before_the_mark_is_compared(quick_url: str):
    cast, _ = sixteen(quick_url)
    good = remembered(cast)
    grown(cast)
    mark = since(verify_log(cast.recorder, cast.new.trust))
    for reread in (True, False):
        place = replace(mark, reread=reread)
        assert verify_log(cast.recorder, cast.new.trust, [good], since=place).ok
        forged = Anchor("somebody", Checkpoint(cast.admin.origin, 12, bytes(32)))
        found = verify_log(cast.recorder, cast.new.trust, [forged], since=place)
        assert [finding.fault for finding in found.findings] == ["anchor", "checkpoint"][: len(found.findings)]
        assert found.findings[0].fault == "anchor"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE $content SET payload = signatures WHERE position = 5",
        "UPDATE $entry SET subject = 'external:other' WHERE position = 5",
        "DELETE FROM $content WHERE position = 5",
        "UPDATE $checkpoint SET note = signatures FROM $content WHERE size = 12 AND position = 5",
    ],
)
def test_a_change_in_what_was_verified_is_seen_unless_it_is_not_read(quick_url: str, statement: str):
    cast, _ = sixteen(quick_url)
    mark = since(verify_log(cast.recorder, cast.new.trust))
    grown(cast)
    anchors = [remembered(cast)]
    with raw(quick_url) as store:
        store.unprotect()
        store.run(statement)
    whole = verify_log(cast.recorder, cast.new.trust, anchors)
    assert not whole.ok
    assert told(verify_log(cast.recorder, cast.new.trust, anchors, since=mark)) == told(whole)
    unread = verify_log(cast.recorder, cast.new.trust, anchors, since=replace(mark, reread=False))
    assert unread.ok, "this is what --tail does not see"
    assert unread.earlier == "not read"


@pytest.mark.parametrize("place", [15, 16])
def test_the_tail_begins_at_an_entry_that_is_what_was_verified(quick_url: str, place: int):
    """Of what was verified only the last entry is read, and it must be in order: else all is judged again."""
    cast, _ = sixteen(quick_url)
    mark = since(verify_log(cast.recorder, cast.new.trust), reread=False)
    with raw(quick_url) as store:
        store.unprotect()
        store.run(f"UPDATE $entry SET subject = 'external:other' WHERE position = {place}")
    found = verify_log(cast.recorder, cast.new.trust, since=mark)
    read = place == 16
    assert [(item.fault, item.index) for item in found.findings] == ([("header", 15)] if read else [])
    assert (found.verified_from, found.earlier) == ((0, "") if read else (16, "not read"))


class Losing:
    """A log that has lost what is read of it once more, an entry at a time."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def rows(self, start: int, limit: int) -> list[Any]:
        return [] if limit == 1 else self._log.rows(start, limit)


def test_an_entry_that_goes_while_it_is_verified_ends_the_verification(quick_url: str):
    cast, _ = sixteen(quick_url)
    with pytest.raises(StorageError, match="entry 0 changed while it was being verified"):
        verify_log(Losing(cast.recorder), cast.new.trust, level="checkpoint")


def test_the_tail_is_not_judged_alone_where_a_hash_before_it_is_gone(quick_url: str):
    cast, _ = sixteen(quick_url)
    mark = since(verify_log(cast.recorder, cast.new.trust), reread=False)
    with raw(quick_url) as store:
        store.unprotect()
        store.run("DELETE FROM $entry WHERE position = 5")
    found = verify_log(cast.recorder, cast.new.trust, since=mark)
    assert ("chain", 4) in [(item.fault, item.index) for item in found.findings]
    assert (found.verified_from, found.earlier) == (0, "")


@pytest.mark.parametrize("again", [False, True], ids=["gone on", "judged again"])
@pytest.mark.parametrize("size", [2, 12])
def test_an_early_signed_head_that_is_gone_since_is_found(quick_url: str, size: int, again: bool):
    """What is left is whole in itself: only the mark of the last verification knows that the head was there."""
    cast, _ = sixteen(quick_url)
    mark = replace(since(verify_log(cast.recorder, cast.new.trust)), again=again)
    grown(cast)
    good = verify_log(cast.recorder, cast.new.trust, [remembered(cast)], since=mark)
    assert (good.ok, good.verified_from) == (True, 0 if again else 16)
    with raw(quick_url) as store:
        store.unprotect()
        store.run("DELETE FROM $checkpoint WHERE size = ?", (size,))
    assert verify_log(cast.recorder, cast.new.trust).ok, "without the mark nothing tells"
    found = verify_log(cast.recorder, cast.new.trust, [remembered(cast)], since=mark)
    assert [(item.fault, item.index) for item in found.findings] == [("checkpoint", None)]
    assert "that the last verification saw are gone" in found.findings[0].message
    assert (found.verified_from, found.earlier) == (0, "")


@pytest.mark.parametrize("reread", [True, False])
def test_a_store_that_went_back_behind_the_mark_is_verified_anew(quick_url: str, reread: bool):
    cast, _ = sixteen(quick_url)
    grown(cast)
    anchor = remembered(cast)
    mark = since(verify_log(cast.recorder, cast.new.trust), reread=reread)
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        del forger.rows[16:]
        forger.write(keep_checkpoints=False)
    found = verify_log(cast.recorder, cast.new.trust, [anchor], since=mark)
    assert (found.verified_from, found.earlier) == (0, "")
    assert "anchor" in {finding.fault for finding in found.findings}


def test_a_void_entry_behind_the_mark_is_judged_by_states_before_it(quick_url: str):
    cast = make_cast(quick_url)
    register(cast)
    request = commands.request_approval(cast.admin, MODEL, "prod")
    cast.admin.checkpoint()
    mark = since(verify_log(cast.recorder, cast.new.trust))
    envelope = self_approval(cast, request.id)
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(envelope)
        forger.write()
    for reread in (True, False):
        found = verify_log(cast.recorder, cast.new.trust, since=replace(mark, reread=reread))
        assert [(finding.fault, finding.index) for finding in found.findings] == [("legality", index)]
        assert found.verified_from == 0, "what is wrong is said with everything in view"


def test_a_mark_may_stand_anywhere_in_a_tile(memory_path: Path):
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}", actors=("p-author", "trainer"))
    marks = []
    for size in (255, 256, 300, 512, 600):
        while cast.recorder.head().size < size:
            cast["trainer"].emit("external.observed", "external:x", system="s")
        cast.admin.checkpoint()
        marks.append(since(verify_log(cast.recorder)))
    grown(cast, 200)
    whole = verify_log(cast.recorder)
    for mark in marks:
        for reread in (True, False):
            found = verify_log(cast.recorder, since=replace(mark, reread=reread), runner=elsewhere(cast.recorder))
            assert found.ok, found.findings
            assert (found.verified_from, found.root, found.heads) == (mark.size, whole.root, whole.heads)
    with raw(cast.url) as store:
        store.unprotect()
        store.run("UPDATE $tile SET root = substr(hashes, 1, 32) WHERE level = 0 AND idx = 1")
    for mark in marks:
        assert verify_log(cast.recorder, since=mark).findings[0].index == 256
