"""A log rewritten so that everything fits again is found by whoever remembers a head, or by what was signed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.checkpoint import verify_checkpoint
from ledger.envelope import format_envelope, parse_signatures, sign_payload
from ledger.keys import Ed25519Signer
from ledger.note import TYPE_ED25519, VerifierKey
from ledger.verify import Anchor
from tests.attacks.oracle import Attacker, row_of
from tests.contract.support import Cast
from tests.contract.tampering import Forger, Victim, other_nonce, remembered, seen, sixteen, victim


@pytest.mark.usefixtures("memory")
def test_every_cut_tail(quick_url: str):
    """The log is shortened tidily, down to its head row and its signed heads."""
    cast, _ = sixteen(quick_url)
    anchor = remembered(cast)
    with victim(cast, [anchor]) as store:
        for size in range(16):
            for key in (None, cast.new.checkpoint):
                with store.trial():
                    forger = Forger(store)
                    del forger.rows[size:]
                    forger.write(key, keep_checkpoints=False)
                    first = store.first(f"cut to {size}")
                    assert (first.index, first.fault) == (size or 0, "anchor"), (size, first)
                    if size > 1:
                        alone = store.verify([])
                        assert alone.ok, ("this is why heads are remembered", size, alone.findings)
                        assert alone.anchored_size == 0


NO_ANCHORS: list[Anchor] = []


def rationale(payload: bytes) -> bytes:
    return payload.replace(b"measured and fit", b"whatever you say")


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("with_key", [False, True], ids=["without-checkpoint-key", "with-checkpoint-key"])
def test_an_altered_payload_with_everything_rehashed(quick_url: str, with_key: bool):
    cast, steps = sixteen(quick_url)
    with victim(cast, [remembered(cast)]) as store:
        for index in range(16):
            with store.trial():
                forger = Forger(store)
                forger.alter(index, rationale if index == steps["approval"] else other_nonce)
                forger.write(cast.new.checkpoint if with_key else None)
                for anchors in NO_ANCHORS, None:
                    first = store.first(f"payload {index}", anchors)
                    assert (first.fault, first.index) == ("signature", index), first


#: Columns that say what the signed payload says, and another value for each.
ALIASES = {
    "actor": "p-other", "emitter": "0" * 36, "id": "0" * 36, "item": 1, "sequence": 12345, "stream": "incident:2",
    "subject": "incident:2", "type": "muniment.incident.closed.v1",
}  # fmt: skip


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("column", ALIASES)
def test_a_header_that_says_something_else_than_was_signed(quick_url: str, column: str):
    """A consistent log, re-hashed and re-signed, whose header lies about its payload."""
    cast, steps = sixteen(quick_url)
    with victim(cast, []) as store:
        forger, index = Forger(store), steps["incident"]
        forger.rows[index][column] = ALIASES[column]
        with store.trial():
            forger.write(cast.new.checkpoint)
            lie = "entry: a header that says something else than was signed, re-hashed and signed"
            seen(store, column, row_of(Attacker.CHECKPOINT_KEY, lie), index)


@pytest.mark.usefixtures("memory")
def test_columns_that_only_the_order_of_the_log_contradicts(quick_url: str):
    """What no payload says: the chain, revisions, times and the emitters' numbers, each made up and re-hashed."""
    cast, steps = sixteen(quick_url)
    index, after = steps["authorisation"], steps["deployment"]
    other = {"prev": bytes(32), "revision": 9, "recorded_at": 10**15}
    with victim(cast, []) as store:
        for column, value in other.items():
            with store.trial():
                forger = Forger(store)
                forger.forced[index] = {column: value}
                forger.write(cast.new.checkpoint)
                first = store.first(column)
            fault = "chain" if column == "prev" else "header"
            assert (first.fault, first.index) == (fault, index), (column, first)
        with store.trial():
            forger = Forger(store)
            twin = json.loads(forger.rows[index]["content"])
            mine = json.loads(forger.rows[after]["content"])
            mine.update(emitter=twin["emitter"], sequence=twin["sequence"])
            key = cast.keys[forger.rows[after]["actor"]]
            envelope = format_envelope(sign_payload(json.dumps(mine).encode(), [key]))
            del forger.rows[after]
            forger.add(envelope, after)
            forger.write(cast.new.checkpoint)
            first = store.first("an emitter's number twice")
            assert (first.fault, first.index) == ("sequence", after), first


@pytest.mark.usefixtures("memory")
def test_a_payload_signed_again_with_a_key_nobody_enrolled(quick_url: str):
    cast, steps = sixteen(quick_url)
    stranger = Ed25519Signer.generate()
    with victim(cast, [remembered(cast)]) as store:
        forger, index = Forger(store), steps["approval"]
        envelope = format_envelope(sign_payload(rationale(forger.rows[index]["content"]), [stranger]))
        with store.trial():
            del forger.rows[index]
            forger.add(envelope, index)
            forger.write(cast.new.checkpoint)
            first = store.first("signed by a stranger", [])
            assert (first.fault, first.index) == ("key", index)


@pytest.mark.usefixtures("memory")
def test_a_signature_put_under_another_payload(quick_url: str):
    cast, steps = sixteen(quick_url)
    with victim(cast, []) as store:
        forger = Forger(store)
        mine, other = forger.rows[steps["deployment"]], forger.rows[steps["authorisation"]]
        assert parse_signatures(mine["signatures"])[0].keyid == parse_signatures(other["signatures"])[0].keyid
        mine["signatures"] = other["signatures"]
        with store.trial():
            forger.write(cast.new.checkpoint)
            first = store.first("a signature of the same key over something else")
            assert (first.fault, first.index) == ("signature", steps["deployment"])


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("with_key", [False, True], ids=["without-checkpoint-key", "with-checkpoint-key"])
@pytest.mark.parametrize("what", ["drop", "swap", "backdate"])
def test_a_log_rewritten_without_touching_a_payload(quick_url: str, what: str, with_key: bool):
    """Nothing inside contradicts itself any more, so only heads that others keep show it, and between which sizes."""
    cast, steps = sixteen(quick_url)
    with victim(cast, [remembered(cast)]) as store:
        forger = Forger(store)
        index = steps["incident"]
        if what == "drop":
            del forger.rows[index]
        elif what == "swap":
            one, other = forger.rows[index], forger.rows[index + 1]
            one["recorded_at"], other["recorded_at"] = other["recorded_at"], one["recorded_at"]
            forger.rows[index], forger.rows[index + 1] = other, one
        else:
            forger.rows[index]["recorded_at"] = forger.rows[index - 1]["recorded_at"]
        with store.trial():
            forger.write(cast.new.checkpoint if with_key else None)
            report = store.verify([])
            assert report.ok == with_key, report.findings
            early = Anchor("early", remembered_at(cast, store, 12))
            report = store.verify([early, *store.anchors])
            assert not report.ok
            found = [finding for finding in report.findings if finding.fault in ("anchor", "checkpoint")]
            assert found, report.findings
            bounds = [finding.sizes or (finding.index, 16) for finding in found]
            assert all(low <= index < high or low == 15 for low, high in bounds), bounds  # type: ignore[operator]
            assert bounds[0][0] in (12, 15), "what the early head vouches for is out of suspicion"


def remembered_at(cast: Cast, store: Victim, size: int) -> Any:
    ((note,),) = store.run("SELECT note FROM $checkpoint WHERE size = ?", (size,))
    return verify_checkpoint(bytes(note), cast.new.trust.vkeys)


@pytest.mark.usefixtures("memory")
def test_a_dropped_ground_makes_the_decision_on_it_illegal(quick_url: str):
    """The evaluation goes, everything is re-hashed and re-signed: the approval named it as its evidence."""
    cast, steps = sixteen(quick_url)
    with victim(cast, []) as store:
        forger = Forger(store)
        index = next(n for n, row in enumerate(forger.rows) if row["type"] == "muniment.evaluation.completed.v1")
        del forger.rows[index]
        with store.trial():
            forger.write(cast.new.checkpoint)
            first = store.first("the evaluation is gone")
            assert first.fault == "legality"
            assert index <= first.index <= steps["approval"]  # type: ignore[operator]


@pytest.mark.usefixtures("memory")
def test_each_part_of_what_is_trusted_is_compared(quick_url: str):
    """A log that is good in itself is not good enough: who it is was pinned elsewhere."""
    cast, _ = sixteen(quick_url)
    trust = cast.new.trust
    stranger = VerifierKey(trust.origin, TYPE_ED25519, Ed25519Signer.generate().public.raw)
    with victim(cast, []) as store:
        assert store.verify().ok
        for other in (
            replace(trust, genesis="0" * 64),
            replace(trust, ledgerid="0" * 32),
            replace(trust, origin="other.example/x"),
            replace(trust, vkeys=(stranger,)),
        ):
            report = store.verify(trust=other)
            assert [(finding.fault, finding.index) for finding in report.findings] == [("anchor", 0)]
        assert store.verify(trust=replace(trust, vkeys=(stranger, *trust.vkeys))).ok


def test_a_whole_other_ledger_of_the_same_name(quick_url: str, memory_path: Path):
    """Made by somebody with every key but the root keys of the first one."""
    cast, _ = sixteen(quick_url)
    twin, _ = sixteen(f"sqlite:///{memory_path / 'twin.db'}")
    with victim(twin, []) as store:
        assert store.verify().ok
        report = store.verify(trust=cast.new.trust)
        assert not report.ok
        assert (report.findings[0].fault, report.findings[0].index) == ("anchor", 0)
