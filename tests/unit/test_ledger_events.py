"""Events about the ledger itself: what they must say to be legal, at the borders of every number."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.checkpoint import Checkpoint
from ledger.creation import DEFAULT_RULES
from ledger.domain import LedgerState
from ledger.domain.authority import check_authority_event
from ledger.domain.erasure import withheld_by
from ledger.domain.restores import covering
from ledger.domain.signing import ROOT_ACTOR
from ledger.entry import Entry
from ledger.errors import ConflictError, InputError, LedgerError, PolicyError
from ledger.keys import format_public_key
from ledger.replay import may_be_withheld
from ledger.stored import Row
from tests.unit.story import LEDGERID, ROOTS, VKEY, Story, refused

OTHER_LEDGER = f"ledger:{'cd' * 16}"
SELF = f"ledger:{LEDGERID}"


def restored(story: Story, **changes: Any) -> dict[str, Any]:
    size = len(story.view.leaves)
    body = {"size": size, "lost_from": size, "lost_to": size + 1, "reason": "x", **changes}
    root = story.world.root_hash(body["size"]) or bytes(32)
    known = {"size": size + 1, "root": "ab" * 32, "note": "cd" * 32}
    return {"root": root.hex(), "known": known, **body}


def test_a_ledger_goes_on_from_what_it_really_holds():
    story = Story()
    size = len(story.view.leaves)
    known = {"size": size + 3, "root": "ab" * 32, "note": "cd" * 32}
    for good in (
        {}, {"size": size - 1, "lost_from": size - 1}, {"lost_from": 1}, {"known": known, "lost_to": size + 3},
    ):  # fmt: skip
        assert story.judge(ROOT_ACTOR, "ledger.restored", SELF, restored(story, **good)).kind == "valid", good
    for bad in (
        {"size": size + 1}, {"root": "00" * 32}, {"size": size - 1},
        {"size": size - 1, "lost_from": 1, "root": restored(story)["root"]},
        {"lost_from": size + 1, "known": known, "lost_to": size + 3}, {"lost_to": size + 2}, {"lost_to": size},
        {"known": known}, {"lost_from": size, "lost_to": size, "known": {**known, "size": size}},
        {"lost_from": 2, "lost_to": 1, "known": {**known, "size": 1}},
    ):  # fmt: skip
        refused(story.judge(ROOT_ACTOR, "ledger.restored", SELF, restored(story, **bad)), InputError, "schema")
    refused(story.judge(ROOT_ACTOR, "ledger.restored", OTHER_LEDGER, restored(story)), InputError, "schema")
    error = story.judge(ROOT_ACTOR, "ledger.restored", SELF, restored(story, size=size + 1)).error
    assert error is not None
    assert f"the log has {size} entries here, and it says it goes on from {size + 1}" in error.message


def test_which_restore_explains_a_head_of_another_history():
    story = Story()
    size = len(story.view.leaves)
    story.tell(ROOT_ACTOR, "ledger.restored", SELF, restored(story))
    state = story.world.state(SELF)
    assert isinstance(state, LedgerState)
    (restore,) = state.restores
    for wanted, head, settled in ((None, size, ()), (restore, size + 1, ()), (None, size + 1, (restore.id,))):
        assert covering(state, Checkpoint("ledger.example/unit", head, bytes(32)), frozenset(settled)) == wanted


def test_the_first_entry_and_only_that_founds_a_ledger():
    story = Story()
    keys = [format_public_key(root.public) for root in ROOTS]
    body = {
        "ledgerid": LEDGERID, "origin": "ledger.example/unit", "vkey": VKEY, "threshold": 2, "roots": keys,
        "rules": DEFAULT_RULES.model_dump(mode="json"),
    }  # fmt: skip

    def check(error: type[LedgerError], **options: Any) -> None:
        changes, subject = options.pop("body", {}), options.pop("subject", SELF)
        event = story.event(options.pop("actor", ROOT_ACTOR), "ledger.created", subject, {**body, **changes}, **options)
        with pytest.raises(error):
            check_authority_event(story.world, event)

    for threshold in (1, 2, 3):
        good = story.event(ROOT_ACTOR, "ledger.created", SELF, {**body, "threshold": threshold}, index=0)
        assert check_authority_event(story.world, good)
    check(PolicyError, index=1)
    check(PolicyError, index=0, actor="p-admin")
    check(InputError, index=0, subject=OTHER_LEDGER)
    check(InputError, index=0, ledgerid="cd" * 16)
    check(InputError, index=0, body={"threshold": 4})
    check(InputError, index=0, body={"roots": [keys[0]] * 2})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("hold.placed", {"subjects": ["model:*"], "matter": "m", "reason": "x"}),
        ("subject.erased", {"subject": "person:p-1", "basis": "b", "reason": "x"}),
        ("ledger.rules_changed", {"rules": DEFAULT_RULES.model_dump(mode="json"), "reason": "x"}),
        ("role.granted", {"role": "owner"}),
        ("actor.revoked", {"reason": "x"}),
    ],
)
def test_acts_of_authority_are_about_this_ledger_or_an_actor(kind: str, body: dict[str, Any]):
    """Whoever reads the log must not have to guess whose state an act changes."""
    story = Story().people()
    own, other = (SELF, "actor:trainer") if not kind.startswith(("role.", "actor.")) else ("actor:trainer", SELF)
    assert story.judge(ROOT_ACTOR, kind, own, body).kind == "valid"
    family, name = own.split(":")
    for subject in (other, f"{own}@1", f"{family}:x/{name}", "model:x"):
        refused(story.judge(ROOT_ACTOR, kind, subject, body), InputError, "schema")


def test_an_erasure_names_entries_of_this_log_and_nothing_under_a_hold():
    story = Story()
    story.enrol("p-eraser", ["eraser"])
    index = story.tell("p-admin", "incident.noted", "incident:1", {"note": "x"}).index
    size = len(story.view.leaves)

    def body(subject: str = "person:p-x", **changes: Any) -> dict[str, Any]:
        item = {"index": index, "leaf_hash": story.view.leaves[index].hex(), "stream": "incident:1", "scope": "whole"}
        return {"subject": subject, "basis": "b", "reason": "x", "entries": [{**item, **changes}]}

    erase = ("p-eraser", "subject.erased", SELF)
    assert story.judge(*erase, body()).kind == "valid"
    assert story.judge(*erase, body(index=size - 1, leaf_hash=story.view.leaves[size - 1].hex())).kind == "valid"
    refused(story.judge(*erase, body(index=size)), InputError, "schema")
    refused(story.judge(*erase, body(leaf_hash="00" * 32)), PolicyError, "legality")
    refused(story.judge("p-eraser", "subject.erased", OTHER_LEDGER, body()), InputError, "schema")
    hold = {"subjects": ["incident:*"], "matter": "m", "reason": "x"}
    held = story.tell("p-admin", "hold.placed", SELF, hold).payload.id
    refused(story.judge(*erase, body()), PolicyError, "legality")
    refused(story.judge(*erase, body("incident:9", stream="run:x")), PolicyError, "legality")
    assert story.judge(*erase, body(stream="run:x")).kind == "valid"
    other = {"hold": "00000000-0000-4000-8000-00000000ffff", "reason": "x"}
    refused(story.judge("p-admin", "hold.released", SELF, other), ConflictError, "legality")
    story.tell("p-admin", "hold.released", SELF, {"hold": held, "reason": "x"})
    refused(story.judge("p-admin", "hold.released", SELF, {"hold": held, "reason": "x"}), ConflictError, "legality")
    record = story.tell(*erase, body())
    state = story.world.state(SELF)
    assert isinstance(state, LedgerState)

    def excuse(kind: str = "muniment.incident.noted.v1", at: int = index, stream: str = "incident:1") -> Any:
        zero = "00" * 32
        return withheld_by(state, Entry("p-admin", "e", zero, "i", at, 0, (zero,), LEDGERID, zero, zero, 0, 1, 1,
                                        stream, stream, kind))  # fmt: skip

    found = excuse()
    assert (found.record, found.actor, found.basis) == (record.index, "p-eraser", "b")
    assert excuse(at=index + 1) is excuse(stream="incident:2") is None
    assert excuse("muniment.incident.opened.v1") is excuse("muniment.incident.dreamt.v1") is None, (
        "none may be withheld"
    )


def test_only_a_row_without_content_and_of_some_types_may_be_withheld():
    zero = "00" * 32

    def may(kind: str = "incident.noted", stream: str = "incident:1", content: tuple[Any, Any] = (None, None)) -> bool:
        entry = Entry("p-admin", "e", zero, "i", 4, 0, (zero,), LEDGERID, zero, zero, 0, 1, 1, stream, stream,
                      f"muniment.{kind}.v1")  # fmt: skip
        return may_be_withheld(Row(entry, bytes(32), *content))

    assert may()
    assert not any(may(content=content) for content in ((b"{}", b"[]"), (b"{}", None), (None, b"[]")))
    assert not any(may(kind) for kind in ("incident.opened", "incident.dreamt", "actor.enrolled"))
    assert not any(may(stream=stream) for stream in ("actor:p-x", SELF))
