"""Keys and roles in real logs: every world gives the same answers, and append never takes what verify calls void."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from ledger.application import Ledger
from ledger.domain import MemoryWorld, make_event
from ledger.emission import build_payload
from ledger.entry import format_time
from ledger.envelope import sign_payload
from ledger.errors import AuthenticationError, NotAllowedError, PolicyError
from ledger.keys import Ed25519Signer, format_public_key
from ledger.mapper import EventMapper
from ledger.payload import parse_payload
from ledger.recorders import open_recorder
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.units import StaleReadError, Unit
from ledger.replay import judge_row
from ledger.segment import collect_authority
from ledger.suspects import find_suspects
from ledger.verify import verify_log
from ledger.worlds import StoreWorld
from tests.contract.keyring_histories import KeyringHistory
from tests.contract.support import Cast, filler, make_cast, raw
from tests.contract.verifying import since
from tests.unit.memory_log import View

SECOND = 1_000_000


def told_in_order(recorder: SqlRecorder, ledgerid: str) -> tuple[MemoryWorld, list[str], list[tuple[str, ...]]]:
    """The log folded event by event: the world at the end, each verdict and each event's marks."""
    view = View([])
    world = MemoryWorld(ledgerid, view)
    kinds: list[str] = []
    marks = []
    for row in recorder.rows(0, 10_000):
        judged = judge_row(world, row)
        kinds.append(judged.verdict.kind)
        marks.append(judged.verdict.marks)
        if judged.event is not None and judged.verdict.kind == "valid":
            world.apply(judged.event)
        view.leaves.append(row.leaf_hash)
    return world, kinds, marks


@pytest.mark.parametrize("seed", range(2))
def test_all_worlds_agree(seed: int, quick_url: str):
    history = KeyringHistory(quick_url, 100 + seed).run(100)
    history.cast.admin.checkpoint()
    before = since(verify_log(history.cast.recorder, history.cast.new.trust))
    history.run(80)
    cast, size = history.cast, history.cast.recorder.head().size
    memory, kinds, marks = told_in_order(cast.recorder, cast.admin.ledgerid)
    assert set(kinds) == {"valid"}, "append took it, so it is valid"

    store = StoreWorld(cast.recorder)
    rows = cast.recorder.rows(0, 10_000)
    for row in reversed(rows):  # from the end, so that nothing is known from before
        judged = store.judge_row(row)
        assert (judged.verdict.kind, judged.verdict.marks) == (kinds[row.entry.index], marks[row.entry.index])
    streams = {row.entry.stream for row in rows}
    cast.admin.world.refresh()
    for stream in streams:
        assert store.state_before(stream, size) == memory.state(stream), stream
        assert cast.admin.world.state_before(stream, size) == memory.state(stream), stream
    assert store.at(size).admins() == memory.admins()

    expected = find_suspects(cast.recorder, memory, size, lambda row: False)
    assert find_suspects(cast.recorder, store.at(size), size, lambda row: False) == expected
    found = verify_log(cast.recorder, cast.new.trust)
    assert (found.findings, found.suspects) == ([], expected)
    found = verify_log(cast.recorder, cast.new.trust, since=before)
    assert (found.findings, found.suspects, found.verified_from) == ([], expected, before.size)


def test_histories_reach_everything(memory_path: Path):
    """The histories above hold what they are about; a change of the rules must not empty them."""
    types, suspects = set[str](), 0
    for seed in (100, 102):
        cast = KeyringHistory(f"sqlite:///{memory_path / f'{seed}.db'}", seed).run(220).cast
        types |= {row.entry.type.split(".", 1)[1].rpartition(".")[0] for row in cast.recorder.rows(0, 10_000)}
        suspects += verify_log(cast.recorder, cast.new.trust).suspects.count
    assert types >= {
        "key.rotated", "key.compromised", "entry.reaffirmed", "role.granted", "role.revoked", "actor.offboarded",
        "actor.responsible_changed",
    }  # fmt: skip
    assert suspects > 5


def test_several_events_stand_together_or_not_at_all(quick_url: str):
    """Each is judged as if those before it were recorded: who becomes an admin first lets the last one go."""
    cast = make_cast(quick_url)
    size = cast.recorder.head().size
    leave = ("actor.revoked", "actor:p-admin", {"reason": "left"})
    admin = ("role.granted", "actor:p-approver", {"role": "admin"})
    root = cast.root
    with pytest.raises(PolicyError, match="without an admin"):
        root.emit_all([leave, admin])
    assert cast.recorder.head().size == size
    receipts = root.emit_all([admin, leave])
    assert [receipt.index for receipt in receipts] == [size, size + 1]
    found = verify_log(cast.recorder, cast.new.trust)
    assert (found.findings, found.missing) == ([], [])
    with pytest.raises(PolicyError, match="without an admin"):
        root.emit("actor.revoked", "actor:p-approver", reason="left")


# -- the end of a role -----------------------------------------------------------------------------


class Clock:
    """A store's clock that a test sets, and that runs while something is appended when it is told to."""

    def __init__(self) -> None:
        self.now = 1_790_000_000_000_000
        self.jump: Callable[[], None] | None = None

    def __call__(self) -> int:
        if self.jump is not None:
            self.jump()
        return self.now


def borrowed(url: str) -> tuple[Cast, Clock, Ledger, int]:
    """A ledger whose ``ci`` emits for one minute more."""
    clock = Clock()
    cast = make_cast(url, clock=clock)
    ci = cast.enrol("ci", "service", ["auditor"], "p-author")
    end = clock.now + 60 * SECOND
    cast.admin.emit("role.granted", "actor:ci", role="emitter", until=format_time(end))
    return cast, clock, ci, end


def test_a_role_lasts_until_the_time_of_recording(quick_url: str):
    cast, clock, ci, end = borrowed(quick_url)
    clock.now = end - 1
    assert ci.emit("run.started", "run:x").recorded_at == end - 1
    clock.now = end
    size = cast.recorder.head().size
    with pytest.raises(NotAllowedError, match="expired"):
        ci.emit("run.started", "run:x")
    assert cast.recorder.head().size == size
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_a_role_that_ends_between_judging_and_recording(quick_url: str):
    """Nothing is known here yet of the time: the last entry is from before the end, and so is what it was judged by."""
    cast, clock, ci, end = borrowed(quick_url)
    assert ci.emit("run.started", "run:x").recorded_at < end

    def jump() -> None:
        clock.now, clock.jump = end, None

    clock.jump = jump
    size = cast.recorder.head().size
    with pytest.raises(NotAllowedError, match="expired"):
        ci.emit("run.started", "run:y")
    assert cast.recorder.head().size == size
    assert clock.jump is None, "the clock was read while it was to be appended"
    assert verify_log(cast.recorder, cast.new.trust).ok
    cast.admin.emit("role.granted", "actor:ci", role="emitter", until=format_time(end + 60 * SECOND))
    ci.emit("run.started", "run:y")
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_a_clock_that_goes_back_revives_no_role(quick_url: str):
    cast, clock, ci, end = borrowed(quick_url)
    clock.now = end + SECOND
    cast.admin.emit("run.started", "run:z")
    clock.now = end - SECOND  # recorded with the last entry, not before it
    with pytest.raises(NotAllowedError, match="expired"):
        ci.emit("run.started", "run:x")
    assert verify_log(cast.recorder, cast.new.trust).ok


@pytest.fixture(params=["sqlite", "function", "swap"])
def store(request: pytest.FixtureRequest, memory_path: Path) -> SqlRecorder:
    """An empty log with a clock of its own, on each way to append."""
    from ledger.stored import LogIdentity

    clock = Clock()
    if request.param == "sqlite":
        recorder = open_recorder(f"sqlite:///{memory_path / 'log.db'}", clock=clock)
    else:
        recorder = open_recorder(request.getfixturevalue("postgres_url"), clock=clock)
    recorder.create(LogIdentity("ab" * 16, "ledger.example/until"))
    if isinstance(recorder, PostgresRecorder) and request.param == "swap":
        recorder._has_functions = False
    return recorder


def test_who_comes_too_late_holds_up_nobody(store: SqlRecorder):
    """Of units that are appended together only those are refused whose roles have ended."""
    now = store.now()
    late, just, none, other = (filler(1, number) for number in range(4))
    outcomes = store.append([
        Unit(tuple(none)), Unit(tuple(late), until=now), Unit(tuple(just), until=now + 1), Unit(tuple(other)),
    ])  # fmt: skip
    refused = [type(outcome) for outcome in outcomes]
    assert refused == [list, StaleReadError, list, list]
    assert isinstance(outcomes[1], StaleReadError)
    assert (outcomes[1].stream, outcomes[1].recorded_at) == (None, now)
    assert [row.entry.id for row in store.rows(0, 9)] == [none[0].id, just[0].id, other[0].id]
    (again,) = store.append([Unit(tuple(just), until=now + 1)])
    assert isinstance(again, list)
    assert again[0].existing


def test_a_bounded_role_is_judged_row_by_row(memory_path: Path):
    """Verification judges what has the same author, keys and type only once, but not where bounds may differ."""
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    ci = cast.enrol("ci", "service", ["auditor"], "p-author")
    cast.admin.emit("role.granted", "actor:ci", role="emitter", subjects=["run:mine/*"])
    good = [ci.emit("run.started", f"run:mine/{n}").index for n in range(3)]
    with pytest.raises(NotAllowedError, match="does not reach"):
        ci.emit("run.started", "run:theirs/1")
    forged = forge(cast, "ci", "run:theirs/1")
    good += [ci.emit("run.started", f"run:mine/{n}").index for n in range(3, 6)]
    found = verify_log(cast.recorder, cast.new.trust)
    assert [(item.fault, item.index) for item in found.findings] == [("legality", forged)]
    assert all(index != forged for index in good)


ENDS: list[tuple[str, dict[str, Any], str]] = [
    ("key.revoked", {"keyid": None, "reason": "x"}, "key"),
    ("key.compromised", {"keyid": None, "since": 2, "reason": "x"}, "key"),
    ("actor.revoked", {"reason": "x"}, "key"),
    ("actor.offboarded", {"reason": "x"}, "key"),
    ("role.revoked", {"role": "emitter", "reason": "x"}, "legality"),
]


@pytest.mark.parametrize(("act", "body", "fault"), ENDS, ids=[act for act, _, _ in ENDS])
def test_a_right_ends_where_it_is_taken_also_among_events_that_look_alike(
    memory_path: Path, act: str, body: dict[str, Any], fault: str
):
    """Verification judges events that look alike once: no further than to the next change of anybody's rights."""
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    trainer = cast["trainer"]
    for n in range(3):
        trainer.emit("external.observed", f"external:{n}", system="s")
    body = {**body, **({"keyid": cast.keys["trainer"].public.keyid} if "keyid" in body else {})}
    cast.admin.emit(act, "actor:trainer", body)
    forged = [forge(cast, "trainer", f"external:{n}", "external.observed", {"system": "s"}) for n in (3, 4)]
    found = verify_log(cast.recorder, cast.new.trust)
    assert [(item.fault, item.index) for item in found.findings] == [(fault, index) for index in forged]


def test_a_right_begins_where_it_is_given_also_among_events_that_look_alike(memory_path: Path):
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    early = forge(cast, "p-approver", "external:1", "external.observed", {"system": "s"})
    cast.admin.emit("role.granted", "actor:p-approver", role="emitter")
    cast["p-approver"].emit("external.observed", "external:2", system="s")
    found = verify_log(cast.recorder, cast.new.trust)
    assert [(item.fault, item.index) for item in found.findings] == [("legality", early)]


def test_what_a_verification_knows_before_it_begins(memory_path: Path):
    """Keys, who has bounded roles and where rotated keys end are gathered from rows that nobody has judged yet."""
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    cast.admin.emit("role.granted", "actor:p-approver", role="emitter")
    size, old, new = cast.recorder.head().size, cast.keys["trainer"], Ed25519Signer.generate()
    for until in (size + 9, size + 5):
        Ledger(cast.recorder, actor="trainer", signers=[old, new]).emit(
            "key.rotated", "actor:trainer", keyid=old.public.keyid, key=format_public_key(new.public), until=until
        )
        old, new = new, Ed25519Signer.generate()
    keys, bounded, ends = collect_authority(cast.recorder, cast.admin.ledgerid, cast.recorder.head().size)
    known = {key.public.keyid for key in cast.keys.values()} | {old.public.keyid} | set(keys)
    assert known == set(keys)
    assert all(keyid == key.keyid for keyid, key in keys.items())
    assert (set(bounded), ends) == ({"p-approver"}, [size + 9, size + 5])
    assert collect_authority(cast.recorder, cast.admin.ledgerid, size)[2] == []
    with raw(cast.url) as store:  # the enrolment of the trainer, in front of its rotations
        store.unprotect()
        first = "SELECT MIN(position) FROM $entry WHERE stream = 'actor:trainer'"
        store.run(f"UPDATE $content SET payload = ? WHERE position = ({first})", (b"{}",))
    fewer, _, same = collect_authority(cast.recorder, cast.admin.ledgerid, cast.recorder.head().size)
    assert (set(keys) - set(fewer), same) == ({cast.keys["trainer"].public.keyid}, ends)


def forge(
    cast: Cast, actor: str, subject: str, type: str = "run.started", data: Mapping[str, Any] = MappingProxyType({})
) -> int:
    """Append an event past the judge, as a writer without scruples can."""
    encoded, _ = build_payload(
        ledgerid=cast.admin.ledgerid, actor=actor, type=type, subject=subject, data=dict(data),
        emitter="00000000-0000-4000-8000-00000000000f", sequence=cast.recorder.head().size,
    )  # fmt: skip
    envelope = sign_payload(encoded, [cast.keys[actor]])
    size = cast.recorder.head().size
    event = make_event(size, parse_payload(encoded), (cast.keys[actor].public.keyid,), cast.recorder.now())
    (outcome,) = cast.recorder.append([Unit((EventMapper().to_signed(event, envelope),))])
    assert isinstance(outcome, list), outcome
    return size


# -- the end of a rotated key ----------------------------------------------------------------------


def test_a_rotated_key_ends_at_its_index_for_verification_too(quick_url: str):
    """Nothing stands in the log where a rotated key ends, so verdicts on events like it must not be carried over."""
    cast = make_cast(quick_url)
    old, new = cast.keys["trainer"], Ed25519Signer.generate()
    size = cast.recorder.head().size
    Ledger(cast.recorder, actor="trainer", signers=[old, new]).emit(
        "key.rotated", "actor:trainer", keyid=old.public.keyid, key=format_public_key(new.public), until=size + 3
    )
    thief = Ledger(cast.recorder, actor="trainer", signers=[old])
    thief.emit("external.observed", "external:1", system="s")
    cast.admin.checkpoint()
    before = since(verify_log(cast.recorder, cast.new.trust))
    thief.emit("external.observed", "external:2", system="s")
    with pytest.raises(AuthenticationError, match="was rotated"):
        thief.emit("external.observed", "external:3", system="s")
    payload, _ = build_payload(
        ledgerid=thief.ledgerid, actor="trainer", type="external.observed", subject="external:3", data={"system": "s"},
        emitter="019b0000-0000-7000-8000-0000000000aa", sequence=1,
    )  # fmt: skip
    envelope = sign_payload(payload, [old])
    event = make_event(size + 3, parse_payload(payload), (old.public.keyid,), 0)
    cast.recorder.append([Unit((EventMapper().to_signed(event, envelope),))])  # past the rules, by SQL
    assert cast.recorder.head().size == size + 4
    cast.admin.checkpoint()
    for earlier in (None, before):
        found = verify_log(cast.recorder, cast.new.trust, since=earlier)
        assert [(finding.fault, finding.index) for finding in found.findings] == [("key", size + 3)]


@pytest.mark.parametrize("count", [1, 2], ids=["one event", "a batch"])
@pytest.mark.parametrize("functions", [True, False], ids=["functions", "no functions"])
def test_others_who_record_first_push_nothing_behind_the_end_of_its_key(
    quick_url: str, count: int, functions: bool, monkeypatch: pytest.MonkeyPatch
):
    """Events that no stream or role has changed for since they were judged, but that come to stand too far back."""
    if not functions and not quick_url.startswith("postgres"):
        pytest.skip("only PostgreSQL has functions of ours")
    monkeypatch.setattr(PostgresRecorder, "has_functions", functions)
    cast = make_cast(quick_url)
    key, slow = Ed25519Signer.generate(), cast["p-author"]
    size = cast.recorder.head().size
    body = {"keyid": cast.keys["p-author"].public.keyid, "key": format_public_key(key.public), "until": size + 4}
    slow.emit("key.rotated", "actor:p-author", body, also_sign=[key])
    events: list[tuple[str, str, dict[str, Any]]] = [("run.started", f"run:{n}", {}) for n in range(count)]
    assert slow.emit_all([("run.started", "run:0", {})])[0].index == size + 1, "it may still sign"
    with closing(open_recorder(quick_url)) as other:  # another process, of which this one has heard nothing
        Ledger(other, actor="trainer", signers=[cast.keys["trainer"]]).emit("run.started", "run:x")
        if count == 1:
            Ledger(other, actor="trainer", signers=[cast.keys["trainer"]]).emit("run.started", "run:y")
    with pytest.raises(AuthenticationError, match=f"may sign until index {size + 4}"):
        slow.emit_all(events)
    if count > 1:
        assert slow.emit_all(events[:1])[0].index == size + 3, "the last index it may take"
    found = verify_log(cast.recorder, cast.new.trust)
    assert found.ok, found.findings
