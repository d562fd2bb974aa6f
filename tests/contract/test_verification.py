"""Verification by levels and by several processes: always the same findings, in bounded memory."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import commands
from ledger.application import Ledger
from ledger.audit import verify_store
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.domain import MemoryWorld, judge
from ledger.domain.judge import reads_body
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import InputError, NothingToVerifyError
from ledger.findings import Anchor
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.replay import open_row
from ledger.segment import LEVELS, Sketch, _sketch, check_span
from ledger.stored import LogIdentity
from ledger.verify import Since, verify_log
from tests.contract.histories import History
from tests.contract.support import MODEL, ORIGIN, Cast, make_cast, raw, register
from tests.contract.tampering import Forger, changed, remembered, self_approval, sixteen, victim
from tests.contract.verifying import elsewhere, since, told
from tests.unit.memory_log import View

# -- several processes -----------------------------------------------------------------------------


def void_and_tampered(cast: Cast) -> None:
    """An approval of one's own put in by SQL, a payload altered, and a row's column."""
    register(cast)
    request = commands.request_approval(cast.admin, MODEL, "prod")
    with raw(cast.url) as store:
        store.unprotect()
        forger = Forger(store)
        forger.add(self_approval(cast, request.id))
        forger.write()
        store.run("UPDATE $content SET payload = ? WHERE position = 5", (b"nonsense",))
        store.run("UPDATE $entry SET subject = 'dataset:other@1' WHERE position = 7")


@pytest.mark.parametrize("tampered", [False, True], ids=["clean", "tampered"])
def test_two_processes_find_what_one_finds(store_url: str, tampered: bool):
    cast = History(store_url, 5).run(120).cast if not tampered else make_cast(store_url)
    if tampered:
        void_and_tampered(cast)
    anchors = [remembered(cast)]
    one = verify_store(store_url, cast.recorder, cast.new.trust, anchors, jobs=1)
    two = verify_store(store_url, open_recorder(store_url), cast.new.trust, anchors, jobs=2)
    assert one.ok is not tampered
    assert told(one) == told(two)
    assert (one.jobs, two.jobs) == (1, 2)
    if tampered:
        assert {finding.fault for finding in one.findings} >= {"payload", "header", "legality"}


@pytest.mark.parametrize("seed", range(6))
def test_stretches_checked_elsewhere_give_the_same_report(memory_path: Path, seed: int):
    cast = History(f"sqlite:///{memory_path / 'ledger.db'}", seed).run(150).cast
    assert told(verify_log(cast.recorder)) == told(verify_log(cast.recorder, runner=elsewhere(cast.recorder)))


def test_whatever_is_altered_the_reports_are_equal(memory_path: Path):
    """A sample of the changes of `test_every_single_byte_on_sqlite`, checked here and elsewhere, and after a mark."""
    cast, _ = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    chance = random.Random(7)
    with victim(cast, [remembered(cast)]) as store:
        good = store.verify()
        mark = replace(since(good), size=12)  # of another size than its root: what was verified is not here
        for table in ("entry", "content", "head", "checkpoint", "tile"):
            key = {"head": "id", "checkpoint": "size"}.get(table, "position")
            for row in store.run(f"SELECT * FROM ${table}"):
                for column, value in zip(store.columns(table), row, strict=True):
                    if (table, column) == ("head", "id"):
                        continue  # then there is no head row, and nothing can be verified
                    if chance.random() < 0.75:
                        continue  # four verifications each
                    other = chance.choice(list(changed(value)))
                    with store.trial():
                        store.run(f"UPDATE ${table} SET {column} = ? WHERE {key} = ?", (other, row[0]))
                        store.recorder._identity = None
                        one, trust = store.verify(), store.trust
                        many = verify_log(store.recorder, trust, store.anchors, runner=elsewhere(store.recorder))
                        anew = verify_log(store.recorder, trust, store.anchors, since=since(good))
                        fell_back = verify_log(store.recorder, trust, store.anchors, since=mark)
                    assert not one.ok, f"a change of {table}.{column} went unseen"
                    assert told(one) == told(many) == told(fell_back) == told(anew), (table, column)


def test_less_than_one_process_is_refused(memory_path: Path):
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}", actors=())
    with pytest.raises(InputError, match="at least one"):
        verify_store(cast.url, cast.recorder, jobs=0)
    with pytest.raises(InputError, match="no level"):
        verify_log(cast.recorder, level="most")


def test_of_an_empty_log_there_is_nothing_to_verify_unless_somebody_saw_more(new_store: Callable[[str], str]):
    empty = open_recorder(new_store("sqlite"))
    empty.create(LogIdentity("ab" * 16, ORIGIN))
    for level in ("hash", "checkpoint", "full"):
        with pytest.raises(NothingToVerifyError, match="the log is empty"):
            verify_log(empty, level=level)
    found = verify_log(empty, None, [Anchor("somebody", Checkpoint(ORIGIN, 3, bytes(32)))])
    assert [finding.fault for finding in found.findings] == ["anchor", "checkpoint"]
    empty.close()


@pytest.mark.parametrize("level", LEVELS)
def test_a_log_whose_entries_are_all_gone_is_not_called_empty(memory_path: Path, level: str):
    cast, _ = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    with raw(cast.url) as store:
        store.unprotect()
        for table in ("entry", "content", "tile", "checkpoint"):
            store.run(f"DELETE FROM ${table}")
    found = verify_log(cast.recorder, None, level=level)
    assert not found.ok
    assert ("head", 0) in {(str(item.fault), item.index) for item in found.findings}


def test_types_that_nobody_knows_yet_are_listed_and_change_nothing(quick_url: str):
    cast, _ = sixteen(quick_url)
    envelopes = []
    for number, subject in enumerate(("run:x", "run:x", "model:credit/scoring@1")):
        payload, _ = build_payload(
            type="external.observed", subject=subject, data={"system": "s"}, actor="trainer",
            ledgerid=cast.admin.ledgerid, emitter="019b0000-0000-7000-8000-0000000000aa", sequence=number + 1,
        )  # fmt: skip
        strange = payload.replace(b"muniment.external.observed", b"muniment.external.dreamt")
        envelopes.append(format_envelope(sign_payload(strange, [cast.keys["trainer"]])))
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        places = [forger.add(envelope) for envelope in envelopes]
        forger.write()
    cast.admin.checkpoint()
    before = gc.get_threshold()
    for jobs in (1, 2, None):
        found = verify_store(quick_url, cast.recorder, cast.new.trust, jobs=jobs)
        assert (found.findings, found.opaque, found.jobs) == ([], places, jobs or 1), "a small log takes one"
    assert gc.get_threshold() == before
    assert verify_log(cast.recorder, cast.new.trust, level="checkpoint").opaque == []


#: Rows too many, and what is said of them.
TOO_MANY: dict[str, tuple[str, str, int | None, str]] = {
    "contents": ("INSERT INTO $content VALUES (99, ?, ?)", "payload", None, "17 contents for 16 entries"),
    "tiles": ("INSERT INTO $tile VALUES (0, 0, ?, ?)", "tree", None, "the store has 1 full tiles"),
    "heads of no size": (f"INSERT INTO $checkpoint VALUES ({-(2**62) - 5}, ?)", "checkpoint", None, "is about size 20"),
    "heads": ("INSERT INTO $checkpoint VALUES (20, ?)", "checkpoint", 16, "a head of size 20 was signed"),
}


@pytest.mark.parametrize("what", TOO_MANY)
def test_rows_too_many_are_found(quick_url: str, what: str):
    cast, _ = sixteen(quick_url)
    text, fault, index, words = TOO_MANY[what]
    note = sign_checkpoint(Checkpoint(ORIGIN, 20, bytes(32)), cast.new.checkpoint)
    given: dict[str, tuple[bytes, ...]] = {
        "contents": (b"{}", b"[]"), "tiles": (bytes(32 * 256), bytes(32)), "heads": (note,),
        "heads of no size": (note,),
    }  # fmt: skip
    with raw(quick_url) as store:
        store.unprotect()
        store.run(text, given[what])
    found = verify_log(cast.recorder, cast.new.trust).findings
    assert [(f.fault, f.index) for f in found if words in f.message] == [(fault, index)], found


@pytest.mark.parametrize(
    ("pinned", "words"),
    [
        ({"genesis": "00" * 32}, "entry 0 is not the one the trust file pins"),
        ({"origin": "other.example"}, f"this is the ledger {ORIGIN}, and other.example is the one trusted here"),
        ({"ledgerid": "00" * 16}, f"this is the ledger {ORIGIN}, and {ORIGIN} is the one trusted here"),
    ],
)
def test_another_ledger_than_the_one_pinned_is_found_at_entry_0(memory_path: Path, pinned: dict[str, str], words: str):
    cast, _ = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    found = verify_log(cast.recorder, replace(cast.new.trust, **pinned))  # type: ignore[arg-type]
    assert [(str(one.fault), one.index) for one in found.findings if one.message == words] == [("anchor", 0)]
    assert found.pinned


@pytest.mark.parametrize("ledgerid", ["00" * 16, "ff" * 16])
def test_a_store_that_names_another_ledger_is_found(quick_url: str, ledgerid: str):
    cast, _ = sixteen(quick_url)
    with raw(quick_url) as store:
        store.unprotect()
        store.run("UPDATE $log SET ledgerid = ?", (ledgerid,))
    recorder = open_recorder(quick_url)
    for trust, more in ((None, set()), (cast.new.trust, {("anchor", 0)})):
        found = {(str(finding.fault), finding.index) for finding in verify_log(recorder, trust).findings}
        assert found == {("header", index) for index in range(16)} | more
    recorder.close()


def test_only_a_full_verification_goes_on(memory_path: Path):
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}", actors=())
    for level in ("hash", "checkpoint"):
        with pytest.raises(InputError, match="only a full verification goes on"):
            verify_log(cast.recorder, cast.new.trust, level=level, since=Since(1, bytes(32), bytes(32), 0))


# -- levels ----------------------------------------------------------------------------------------

#: What is done to a store, and the levels that find it.
LEVEL_CASES: dict[str, tuple[str, set[str]]] = {
    "leaf hash": ("UPDATE $entry SET leaf_hash = payload WHERE position = 5", {"hash", "checkpoint", "full"}),
    "column": ("UPDATE $entry SET subject = 'external:other' WHERE position = 5", {"hash", "checkpoint", "full"}),
    "row gone": ("DELETE FROM $entry WHERE position = 5", {"hash", "checkpoint", "full"}),
    "revision": ("UPDATE $entry SET revision = revision + 7 WHERE position = 5", {"hash", "checkpoint", "full"}),
    "head row": ("UPDATE $head SET recorded_at = recorded_at + 1", {"hash", "checkpoint", "full"}),
    "payload": ("UPDATE $content SET payload = signatures WHERE position = 5", {"hash", "full"}),
    "signatures": ("UPDATE $content SET signatures = payload WHERE position = 5", {"hash", "full"}),
    "content gone": ("DELETE FROM $content WHERE position = 5", {"hash", "full"}),
    "signed head": ("UPDATE $checkpoint SET note = ? WHERE size = 12", {"checkpoint", "full"}),
    "authority": ("UPDATE $head SET authority = 0", {"full"}),
}


@pytest.mark.parametrize("case", LEVEL_CASES)
def test_a_level_finds_what_it_promises_and_says_what_it_leaves_out(memory_path: Path, case: str):
    statement, finders = LEVEL_CASES[case]
    cast, _ = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    with victim(cast, [remembered(cast)]) as store, store.trial():
        for level in LEVELS:
            assert verify_log(store.recorder, store.trust, store.anchors, level=level).ok
        store.run(statement, (b"nonsense",) if "?" in statement else ())
        for level in LEVELS:
            found = verify_log(store.recorder, store.trust, store.anchors, level=level)
            assert (level in finders) is not found.ok, (level, found.findings)
            assert found.level == level
            assert bool(found.unchecked) is (level != "full")


def test_a_void_entry_is_found_by_the_full_level_only(memory_path: Path):
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    register(cast)
    request = commands.request_approval(cast.admin, MODEL, "prod")
    with raw(cast.url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(self_approval(cast, request.id))
        forger.write()
    found = {level: verify_log(cast.recorder, level=level).findings for level in LEVELS}
    assert [(finding.fault, finding.index) for finding in found["full"]] == [("legality", index)]
    assert found["hash"] == found["checkpoint"] == []


def test_an_anchor_counts_at_the_levels_that_look_at_heads(memory_path: Path):
    cast, _ = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    forged = Anchor("somebody", Checkpoint(cast.admin.origin, 12, bytes(32)))
    for level in ("checkpoint", "full"):
        assert verify_log(cast.recorder, anchors=[forged], level=level).findings[0].fault == "anchor"


@pytest.mark.parametrize("seed", range(4))
def test_judging_a_sketch_is_judging_the_event(memory_path: Path, seed: int):
    """What `reads_body` says no judgement reads, no judgement reads."""
    cast = History(f"sqlite:///{memory_path / 'ledger.db'}", 20 + seed).run(150).cast
    rows = cast.recorder.rows(0, 10_000)
    world = MemoryWorld(cast.admin.ledgerid, View([]))
    sketched = 0
    for row in rows:
        event, _ = open_row(row)
        kind = judge(world, event).kind
        if not reads_body(event.kind, event.subject.kind):
            sketched += 1
            assert (
                Sketch(*_sketch(event)).event(event.index, event.recorded_at).stream.partition(":")[0]
                == event.subject.kind
            )
            assert judge(world, Sketch(*_sketch(event)).event(event.index, event.recorded_at)).kind == kind, event
            stranger = replace(event, payload=replace(event.payload, actor="nobody"))
            assert (
                judge(world, Sketch(*_sketch(stranger)).event(event.index, event.recorded_at)).kind
                == judge(world, stranger).kind
            )
        if kind == "valid":
            world.apply(event)
        world._log.leaves.append(row.leaf_hash)  # type: ignore[attr-defined]
    assert sketched > 10


# -- bounded memory --------------------------------------------------------------------------------


def held(value: object, seen: set[int]) -> int:
    """Number of things that a value of ours holds, the store and its world of the past left out."""
    if id(value) in seen or isinstance(value, (str, bytes, int, float, type(None), SqlRecorder)):
        return 0
    seen.add(id(value))
    if isinstance(value, dict):
        return len(value) + sum(held(item, seen) for item in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return len(value) + sum(held(item, seen) for item in value)
    names = [*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())]
    if not type(value).__module__.startswith("ledger."):
        return 0
    return sum(held(getattr(value, name, None), seen) for name in names if name not in ("_past", "_log", "log"))


def test_a_pass_holds_no_more_for_more_events(memory_path: Path):
    """Every stream, emitter, run and incident is new, and nothing of them stays."""
    from ledger.auditpass import Pass
    from ledger.segment import spans

    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    register(cast)
    found = []
    for rounds in (15, 70):
        for number in range(rounds):
            ledger = Ledger(cast.recorder, actor="trainer", signers=[cast.keys["trainer"]])  # an emitter of its own
            ledger.emit("external.observed", f"external:{rounds}-{number}", system="s")
            ledger.emit("run.completed", f"run:{rounds}-{number}", metrics={"auc": 0.5})
            ledger.emit("dataset.registered", f"dataset:{rounds}-{number}@1", digest="sha256:" + "0" * 64)
            ledger.emit("evaluation.completed", MODEL, metrics={"auc": 0.9}, verdict="pass")
        check = Pass(cast.recorder, (), "full", None)
        task = check.task(judged=False)
        for span in spans(0, check.size):
            check.take(check_span(cast.recorder, task, span))
        found.append(held(check, set()))
        assert not check.report.findings
    small, large = found
    assert large < small + 256 + 32, "only leaf hashes of a tile that is not full may be held"


def test_a_report_holds_so_many_findings_and_no_more(memory_path: Path):
    """The first hundred places: whoever damages all of a log must not make the report as long."""
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    first = cast.recorder.head().size
    cast.admin.emit_all([("external.observed", f"external:{n}", {"system": "s"}) for n in range(105)])
    with raw(cast.url) as store:
        store.unprotect()
        for count in (99, 100, 105):
            places = (first, first + count)
            store.run("UPDATE $content SET signatures = x'5b5d' WHERE position > ? AND position <= ?", places)
            found = verify_log(cast.recorder, cast.new.trust).findings
            assert [item.index for item in found] == list(range(first, first + min(count, 100)))
