"""Rules are judged in a bundle as far as its contents go: as in the whole ledger, or not at all, and that is said."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from ledger import commands
from ledger.bundle import Bundle, Selection, parse_bundle, rests_authority_on
from ledger.bundlelog import BundleLog
from ledger.bundlerules import RuleCheck, Ruling
from ledger.bundling import export_bundle
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.domain import DatasetState, DeploymentState, IncidentState, ModelState, RunState, State, evolve
from ledger.domain.evolution import STATEFUL
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.events import Category, Erasable, all_event_types, known_event_type
from ledger.handle import LogHandle
from ledger.names import parse_name
from ledger.verdicts import GapKind
from ledger.worlds import StoreWorld
from tests.contract.bundles import SEED, Pair, bundle_of, erased, ours, theirs, vkey_of
from tests.contract.histories import History
from tests.contract.support import MODEL, PROD, Cast, digest, make_cast, register
from tests.contract.tampering import Forger, Victim, sixteen, victim
from tests.unit.reference_merkle import mth


def decision(  # noqa: PLR0917 - what is signed
    cast: Cast, actor: str, number: int, type: str, subject: str, data: dict[str, Any]
) -> bytes:
    """What somebody enrolled signs past the rules."""
    payload, _ = build_payload(
        ledgerid=cast.admin.ledgerid, actor=actor, type=type, subject=subject, data=data, sequence=number,
        emitter="0189aaaa-0000-7000-8000-000000000001",
    )  # fmt: skip
    return format_envelope(sign_payload(payload, [cast.keys[actor]]))


def illegal(cast: Cast) -> list[bytes]:
    """Decisions by people who have the role, and which the rules refuse."""
    no_request = {
        "environment": "prod", "digest": digest(MODEL), "request": str(UUID(int=0)), "rationale": "I trust myself",
    }  # fmt: skip
    other = {"model": "model:credit/scoring@9", "digest": digest("x")}
    return [
        decision(cast, "p-approver", 1, "approval.granted", MODEL, no_request),
        decision(cast, "p-deployer", 1, "deployment.authorised", PROD, other),
    ]


def put_in(store: Victim, cast: Cast, envelope: bytes) -> int:
    """Put an event behind the last, with a signed head over it; returns its index."""
    forger = Forger(store)
    index = forger.add(envelope)
    forger.write(cast.new.checkpoint)
    head = Checkpoint(forger.origin, len(forger.rows), mth([row["leaf_hash"] for row in forger.rows]))
    store.run("INSERT INTO $checkpoint VALUES (?, ?)", (head.size, sign_checkpoint(head, cast.new.checkpoint)))
    return index


def streams(cast: Cast, *kinds: str, more: int | None = None) -> Selection:
    """All entries of these kinds of streams, and one more."""
    rows = cast.recorder.rows(0, 16)
    found = {row.entry.index for row in rows if row.entry.stream.partition(":")[0] in kinds}
    return Selection("indexes", tuple(sorted(found | ({more} if more is not None else set()))))


def rulings(bundle: Bundle, ledgerid: str) -> dict[int, Ruling]:
    """What is said of each content."""
    rules, found = RuleCheck(StoreWorld(BundleLog(bundle, ledgerid))), {}
    for row in bundle.rows:
        if row.payload is None:
            rules.missing(row)
        else:
            found[row.entry.index] = rules.judge(row)
    return found


def without(bundle: Bundle, indexes: set[int]) -> Bundle:
    """The same with some contents gone."""
    return replace(
        bundle,
        rows=[
            replace(row, payload=None, signatures=None) if row.entry.index in indexes else row for row in bundle.rows
        ],
    )


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_missing_an_entry_is_judged_as_in_the_whole_ledger_or_not_at_all(seed: int, memory_path: Path):
    history = History(f"sqlite:///{memory_path / 'ledger.db'}", SEED + seed).run(110)
    cast, chance, counts = history.cast, random.Random(seed), {"judged": 0, "blind": 0, "void": 0}
    cast.admin.checkpoint()
    with victim(cast, []) as store:
        forger = Forger(store)
        for envelope in illegal(cast):
            forger.add(envelope)
        forger.write(cast.new.checkpoint)
        whole = Bundle(b"", None, Selection("all"), rows=list(store.recorder.rows(0, 10_000)))  # type: ignore[arg-type]
    whole.head = type("Head", (), {"origin": "x", "size": len(whole.rows)})()
    ledgerid = whole.rows[0].entry.ledgerid
    truth = rulings(whole, ledgerid)
    assert not any(ruling.blind for ruling in truth.values()), "nothing is missing"
    loose = [row.entry.index for row in whole.rows if not rests_authority_on(row.entry.stream)]
    for _ in range(60):
        gone = set(chance.sample(loose, chance.randrange(1, max(2, len(loose) * 2 // 3))))
        for index, ruling in rulings(without(whole, gone), ledgerid).items():
            true = truth[index]
            if not ruling.blind:
                assert (type(ruling.error), str(ruling.error)) == (type(true.error), str(true.error)), (gone, index)
                assert ruling.opaque == true.opaque
            kind = known_event_type(whole.rows[index].entry.type)
            if kind is not None and kind.category is Category.DECISION:
                counts["blind" if ruling.blind else "judged"] += 1
                counts["void"] += not ruling.blind and ruling.error is not None
    assert min(counts.values()) > 5, counts


def test_who_signed_is_judged_however_little_else_is_there(memory_path: Path):
    """Keys, roles and who answers rest on what every bundle has; the rules of the decision stay open."""
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    cast.enrol("p-gone", "person", ["auditor"])
    cast.enrol("bot", "service", ["owner"], "p-gone")
    cast.enrol("p-left", "person", ["owner"])
    register(cast)
    for actor in ("p-gone", "p-left"):
        cast.admin.emit("actor.revoked", f"actor:{actor}", reason="left")
    body = {"environment": "prod", "digest": digest(MODEL)}
    signed = {who: decision(cast, who, 1, "approval.requested", MODEL, body)
              for who in ("p-author", "bot", "p-left", "p-approver")}  # fmt: skip
    with victim(cast, []) as store, store.trial():
        forger = Forger(store)
        indexes = {who: forger.add(envelope) for who, envelope in signed.items()}
        forger.write(cast.new.checkpoint)
        rows = list(store.recorder.rows(0, 10_000))
    bundle = Bundle(b"", None, Selection("all"), rows=rows)  # type: ignore[arg-type]
    bundle.head = type("Head", (), {"origin": "x", "size": len(rows)})()
    loose = {row.entry.index for row in rows if not rests_authority_on(row.entry.stream)}
    for who, words in {
        "p-author": None, "bot": "nobody answers for 'bot'", "p-left": "was revoked", "p-approver": "needs the role",
    }.items():  # fmt: skip
        ruling = rulings(without(bundle, loose - {indexes[who]}), rows[0].entry.ledgerid)[indexes[who]]
        assert bool(ruling.blind) is (ruling.error is None) is (words is None)
        assert (words or "") in str(ruling.error)


def test_erased_content_leaves_every_rule_judged(quick_url: str, tmp_path: Path):
    """It bears on nothing: neither on what went before nor on what comes."""
    cast, steps = sixteen(quick_url)
    cast.enrol("p-eraser", "person", ["eraser"])
    cast.admin.checkpoint()
    erased(cast, steps["note"])
    pair = Pair(tmp_path / "b", vkey_of(cast))
    with victim(cast, []) as store, store.trial():
        store.run("DELETE FROM $content WHERE position = ?", (steps["note"] + 1,))
        data = b"".join(export_bundle(LogHandle(store.recorder), Selection("all")))
        assert pair.verdict(data) == "verified"
        assert {str(gap.kind) for gap in ours(data, pair.vkey).gaps} == {"withheld", "unanchored"}
    with victim(cast, []) as store, store.trial():
        index = put_in(store, cast, illegal(cast)[0])
        store.run("DELETE FROM $content WHERE position = ?", (steps["note"] + 1,))
        data = b"".join(export_bundle(LogHandle(store.recorder), Selection("all")))
        found = ours(data, pair.vkey)
        assert [(str(item.fault), item.index) for item in found.findings] == [("legality", index)], "in spite of it"


@pytest.mark.parametrize("seed", range(2))
def test_parts_of_clean_ledgers_are_verified_by_both_whatever_is_selected(seed: int, memory_path: Path):
    history = History(f"sqlite:///{memory_path / 'ledger.db'}", SEED + seed).run(80)
    history.cast.admin.checkpoint()
    pair, chance = Pair(memory_path / "b", vkey_of(history.cast)), random.Random(seed)
    size = history.cast.recorder.head().size
    streams = {row.entry.stream for row in history.cast.recorder.rows(0, size)}
    selections = [Selection("subject", (stream,)) for stream in sorted(streams)[:6]]
    selections += [Selection("indexes", tuple(sorted(chance.sample(range(size), 9)))) for _ in range(8)]
    for selection in selections:
        data = bundle_of(history.cast, selection)
        assert pair.verdict(data, selection) == "verified"
        assert ours(data, pair.vkey).findings == []
        assert theirs(pair.path, data, pair.vkey)["findings"] == []


def test_a_stream_that_is_all_here_is_judged_and_a_version_of_it_is_not(quick_url: str):
    cast, steps = sixteen(quick_url)
    gaps = ours(bundle_of(cast, streams(cast, "model", "run"))).gaps
    assert [gap for gap in gaps if gap.kind is GapKind.RULES] == []
    gaps = ours(bundle_of(cast, streams(cast, "model"))).gaps
    blind = {gap.start: gap.message for gap in gaps if gap.kind is GapKind.RULES}
    assert list(blind) == [steps["approval"]], "a request rests on who made it only where something is in quarantine"
    assert "not all of run:credit" in blind[steps["approval"]], "who made it is not here"
    data = bundle_of(cast, Selection("indexes", (steps["approval"],)))
    (gap,) = [gap for gap in ours(data, vkey_of(cast)).gaps if gap.kind is GapKind.RULES]
    assert (gap.start, gap.stop) == (steps["approval"], steps["approval"] + 1)
    assert "model:credit/scoring" in gap.message


def test_a_decision_that_the_rules_refuse_is_found_where_its_streams_are_here(quick_url: str):
    """A bundle of the model and the run that made it, not of everything."""
    cast, _ = sixteen(quick_url)
    selected = streams(cast, "model", "run", more=16)
    with victim(cast, []) as store, store.trial():
        index = put_in(store, cast, illegal(cast)[0])
        handle = LogHandle(store.recorder)
        found = ours(b"".join(export_bundle(handle, selected)))
        assert [(str(item.fault), item.index) for item in found.findings] == [("legality", index)]
        alone = ours(b"".join(export_bundle(handle, Selection("indexes", (index,)))))
        assert alone.findings == []
        assert [(gap.start, gap.stop) for gap in alone.gaps if gap.kind is GapKind.RULES] == [(index, index + 1)]


EMPTY: dict[str, State] = {
    "dataset": DatasetState(MappingProxyType({})), "run": RunState(frozenset(), "started"),
    "model": ModelState(MappingProxyType({})), "deployment": DeploymentState(), "incident": IncidentState("open"),
}  # fmt: skip


def test_types_whose_content_may_go_change_no_state_that_is_there():
    """On this rests that what was erased leaves open nothing but what it says itself."""
    whole = [kind for kind in all_event_types() if kind.erasable is Erasable.WHOLE]
    assert len(whole) > 8
    tried = 0
    for kind in whole:
        for name in sorted(set(kind.kinds or STATEFUL) & EMPTY.keys()):
            event: Any = type("Event", (), {
                "kind": kind, "body": kind.body.model_construct(), "subject": parse_name(f"{name}:a"),
                "stream": f"{name}:a", "index": 1, "actor": "a",
            })()  # fmt: skip
            assert evolve(EMPTY[name], event) == EMPTY[name], (kind.name, name)
            tried += 1
    assert tried > 12


def test_what_rests_on_an_entry_that_was_not_judged_is_not_judged(memory_path: Path):
    """A rejection reads no run, but whether its request stands depends on the run, which is not here."""
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    body = {"digest": digest("m"), "owner": "p-author", "tier": "high", "run": "run:credit"}
    cast["trainer"].emit("quarantine.placed", "dataset:other", reason="poisoned")  # so that lineages are asked about
    run = cast["trainer"].emit("run.completed", "run:credit", metrics={"auc": 0.9}).index
    cast["trainer"].emit("version.registered", MODEL, body)
    request = commands.request_approval(cast["p-author"], MODEL, "prod")
    rejection = commands.reject(cast["p-approver"], MODEL, rationale="no")
    cast.admin.checkpoint()
    bundle = parse_bundle(io.BytesIO(bundle_of(cast)))
    assert not any(ruling.blind or ruling.error for ruling in rulings(bundle, cast.admin.ledgerid).values())
    found = rulings(without(bundle, {run}), cast.admin.ledgerid)
    assert found[request.index].blind == "run:credit"
    assert found[rejection.index].blind == "model:credit/scoring"
