"""What a hostile reviewer once got past us: each way in, closed, on both backends."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import apsw
import pytest

from cli.main import main
from ledger import commands
from ledger.checkpoint import Checkpoint, verify_checkpoint
from ledger.checkpoints import sign_head
from ledger.errors import (
    AuthenticationError,
    ConflictError,
    InputError,
    LedgerError,
    NotAllowedError,
    PolicyError,
    VerificationError,
)
from ledger.events.ledgers import Rule, RuleSet
from ledger.home import Home
from ledger.newhome import create_home
from ledger.verify import Anchor, verify_log
from projections.asof import resolve_as_of
from projections.catalogue import open_runner
from projections.model_state import state_as_of
from projections.reports import REPORTS, ReportContext
from tests.contract.support import MODEL, PROD, Cast, approved, digest, make_cast, register

TWO = RuleSet(name="two", rules=(Rule(environment="*", tier="*", authorisation=True, approvals=2, evaluation=True),))


def findings(cast: Cast) -> dict[str, dict]:
    runner = open_runner(cast.admin, cast.url)
    size = runner.catch_up()
    as_of = resolve_as_of(cast.admin, runner.views, head=size)
    report = REPORTS["control-assessment"].generate(ReportContext(cast.admin, runner.views, as_of))
    runner.views.close()
    return {finding["control"]: finding for finding in report["findings"]}


def state(cast: Cast) -> dict:
    runner = open_runner(cast.admin, cast.url)
    size = runner.catch_up()
    found = state_as_of(runner.views, resolve_as_of(cast.admin, runner.views, head=size))
    runner.views.close()
    return found


def test_no_head_is_signed_over_a_fork_of_what_was_seen(quick_url: str):
    cast = make_cast(quick_url)
    approved(cast)
    note = cast.admin.checkpoint()
    known = verify_checkpoint(note, [cast.admin.vkey])
    forked = Checkpoint(known.origin, known.size, bytes(32))
    signer = cast.new.checkpoint
    cast.admin.sign_heads_with([signer], lambda: forked)
    cast["p-author"].emit("incident.opened", "incident:1", title="x")
    with pytest.raises(VerificationError, match="not the one seen before"):
        cast.admin.checkpoint()
    last = cast.recorder.last_checkpoint()
    assert last is not None
    assert last.size == known.size, "nothing new was signed"


def test_no_head_is_signed_when_the_signed_heads_are_gone(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    cast = make_cast(url)
    approved(cast)
    cast.recorder.close()
    store = apsw.Connection(str(tmp_path / "ledger.db"))
    store.execute("DROP TRIGGER checkpoint_no_delete; DELETE FROM checkpoint")
    store.close()
    with pytest.raises(VerificationError, match="were removed"):
        sign_head(cast.recorder, [cast.new.checkpoint], cast.admin.log_keys)
    found = verify_log(cast.recorder, cast.new.trust)
    assert [finding.fault for finding in found.findings] == ["checkpoint"]


def test_a_signed_head_stored_under_another_size_stops_the_signer(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    cast = make_cast(url)
    cast.recorder.close()
    store = apsw.Connection(str(tmp_path / "ledger.db"))
    store.execute("INSERT INTO checkpoint SELECT 100, note FROM checkpoint")
    store.close()
    with pytest.raises(VerificationError, match="about size"):
        cast.admin.checkpoint()


def test_the_command_line_signs_nothing_over_a_fork(tmp_path, monkeypatch):
    made = create_home(tmp_path, "example.com/fork", keys=None)
    made.new.ledger.close()
    with made.home.open() as ledger:
        ledger.emit("incident.opened", "incident:1", title="x")
    store = apsw.Connection(str(tmp_path / ".muniment" / "ledger.db"))
    for (name,) in store.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        store.execute(f"DROP TRIGGER {name}")
    store.execute("DELETE FROM checkpoint WHERE size > 2; DELETE FROM entry WHERE position > 2")
    store.execute("DELETE FROM content WHERE position > 2")
    rows: Any = store.execute("SELECT leaf_hash, recorded_at FROM entry WHERE position = 2").fetchall()
    ((leaf, recorded),) = rows
    first = bytes.fromhex(made.new.trust.genesis)
    from ledger.merkle import node_hash

    store.execute(
        "UPDATE head SET size = 2, last_leaf = ?, peaks = ?, recorded_at = ?, authority = 1",
        (leaf, node_hash(first, leaf), recorded),
    )
    store.close()
    monkeypatch.chdir(tmp_path)
    for arguments in (["checkpoint", "show"], ["proof", "inclusion", "1"], ["export", "tiles", "out"], ["state"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 1, arguments
    with pytest.raises(VerificationError):
        Home.find().open()


def test_one_person_does_not_count_twice_through_whom_they_act_for(quick_url: str):
    cast = make_cast(quick_url, rules=TWO)
    cast.enrol("p-other", "person", ["auditor"])
    register(cast)
    commands.request_approval(cast["p-author"], MODEL, "prod")
    commands.approve(cast["p-approver"], MODEL, rationale="seen", on_behalf_of="p-other")
    with pytest.raises(PolicyError, match="needs 2"):
        commands.authorise(cast["p-deployer"], PROD, MODEL)


def test_nobody_is_enrolled_behind_a_second_name(quick_url: str):
    cast = make_cast(quick_url)
    with pytest.raises(InputError, match="person of its own"):
        cast.enrol("svc-b", "service", ["approver"], "trainer")
    with pytest.raises(InputError, match="person of its own"):
        cast.enrol("svc-c", "service", ["approver"], "p-nobody")


def test_the_id_of_a_request_is_used_once(quick_url: str):
    cast = make_cast(quick_url)
    cast.enrol("p-mallory", "person", ["emitter"])
    register(cast)
    again = str(uuid4())
    commands.request_approval(cast["p-author"], MODEL, "prod", event_id=again)
    commands.reject(cast["p-approver"], MODEL, rationale="no")
    with pytest.raises(ConflictError, match="exists already"):
        commands.request_approval(cast["p-mallory"], MODEL, "prod", event_id=again)


def test_a_run_that_is_not_recorded_leaves_its_people_unresolved(quick_url: str):
    cast = make_cast(quick_url)
    cast["trainer"].emit("version.registered", MODEL, digest=digest("m"), owner="p-author", tier="high", run="run:late")
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={"auc": 1}, verdict="pass")
    commands.request_approval(cast["p-author"], MODEL, "prod")
    with pytest.raises(NotAllowedError, match="cannot be resolved"):
        commands.approve(cast["p-approver"], MODEL, rationale="seen")


@pytest.mark.parametrize("run", ["run:late@1", "dataset:late", "late"])
def test_a_version_names_a_run_and_nothing_else(quick_url: str, run: str):
    cast = make_cast(quick_url)
    with pytest.raises(InputError):
        cast["trainer"].emit("version.registered", MODEL, digest=digest("m"), owner="p-author", tier="high", run=run)


def test_nothing_is_done_on_behalf_of_somebody_unknown(quick_url: str):
    cast = make_cast(quick_url)
    with pytest.raises(AuthenticationError, match="on behalf of"):
        cast["trainer"].emit("run.started", "run:1", on_behalf_of="ghost")


def test_a_version_is_not_registered_again_with_another_tier(quick_url: str):
    cast = make_cast(quick_url)
    register(cast)
    with pytest.raises(ConflictError, match="tier high"):
        cast["trainer"].emit("version.registered", MODEL, digest=digest(MODEL), owner="p-author", tier="low")


def test_a_later_failure_of_the_same_suite_takes_the_pass_away(quick_url: str):
    cast = make_cast(quick_url)
    register(cast)
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={"auc": 0.1}, verdict="fail")
    commands.request_approval(cast["p-author"], MODEL, "prod")
    with pytest.raises(PolicyError, match="no standing passed evaluation"):
        commands.approve(cast["p-approver"], MODEL, rationale="seen")


def test_a_field_that_another_type_has_cannot_stop_the_views(quick_url: str):
    cast = make_cast(quick_url)
    cast["trainer"].emit("run.started", "run:odd", {"outputs": 5})
    cast["trainer"].emit("run.started", "run:odder", {"outputs": [{"role": "x"}]})
    assert state(cast) == {"models": [], "deployments": []}
    assert findings(cast)["rollback-target-once-live"]["state"] == "not applicable"


def test_attributes_hold_no_control_characters(quick_url: str):
    cast = make_cast(quick_url)
    with pytest.raises(InputError, match="control characters"):
        cast["trainer"].emit("run.started", "run:1", correlation="a\x00b")


def test_other_events_stay_out_of_the_streams_of_authority(quick_url: str):
    cast = make_cast(quick_url)
    with pytest.raises(InputError, match="streams are authority"):
        cast["trainer"].emit("external.observed", "actor:p-author", system="x")


def test_a_rollback_does_not_make_its_own_target_good(quick_url: str):
    cast = make_cast(quick_url)
    register(cast)
    first = commands.record_rollback(cast["p-deployer"], PROD, MODEL)
    second = commands.record_rollback(cast["p-deployer"], PROD, MODEL)
    assert first.marks == second.marks == ("never-live",)
    assert findings(cast)["rollback-target-once-live"]["population"]["failed"] == 2


def test_a_date_in_the_future_holds_no_place(quick_url: str):
    cast = make_cast(quick_url)
    approved(cast)
    register(cast, "model:credit/scoring@2")
    ahead = commands.record_deployment(cast["p-deployer"], PROD, MODEL, occurred_at="2999-01-01T00:00:00Z")
    commands.record_deployment(cast["p-deployer"], PROD, "model:credit/scoring@2")
    (deployment,) = state(cast)["deployments"]
    assert deployment["live"]["model"] == "model:credit/scoring@2"
    marked = next(item for item in deployment["history"] if item["index"] == ahead.index)
    assert "future-dated" in marked["marks"]
    assert "future-dated" not in next(item for item in deployment["history"] if item is not marked)["marks"]


def test_a_decision_cannot_be_dated_out_of_the_way(quick_url: str):
    cast = make_cast(quick_url)
    register(cast)
    commands.request_approval(cast["p-author"], MODEL, "prod")
    commands.reject(cast["p-approver"], MODEL, rationale="no", occurred_at="2020-01-01T00:00:00Z")
    ((version,),) = (model["versions"] for model in state(cast)["models"])
    assert version["status"] == "rejected"


def test_nobody_takes_a_version_away_from_its_run_by_adding_outputs(quick_url: str):
    cast = make_cast(quick_url)
    cast.enrol("bot", "service", ("emitter",), "p-deployer")
    approved(cast)
    run = next(row.entry.stream for row in cast.recorder.rows(0, 99) if row.entry.type == "muniment.run.completed.v1")
    other = {"outputs": [{"role": "output", "subject": "model:other@1", "digest": digest("other")}]}
    authorise = ("deployment.authorised", PROD, {"model": MODEL, "digest": digest(MODEL)})
    cast["bot"].emit("run.attached", run, {"reason": "was left out", **other})
    cast["p-deployer"].emit(*authorise)
    said = cast["trainer"].emit("run.completed", run, other).index
    with pytest.raises(PolicyError, match=f"entry {said} says that {run} made other things than {MODEL}"):
        cast["p-deployer"].emit(*authorise)
    cast["trainer"].emit("run.completed", run, {"outputs": [{"role": "output", "subject": MODEL}]})
    cast["p-deployer"].emit(*authorise)
    assert verify_log(cast.recorder).ok


def test_a_run_that_failed_first_is_no_provenance(quick_url: str):
    cast = make_cast(quick_url)
    source = {"role": "input", "subject": "dataset:d@1", "digest": digest("d")}
    cast["trainer"].emit("dataset.registered", "dataset:d@1", digest=digest("d"))
    full = {"code": {"commit": "1"}, "parameters": {}, "seed": 1, "environment": digest("e"), "inputs": [source]}
    cast["trainer"].emit("run.started", "run:1", full)
    cast["trainer"].emit("run.failed", "run:1", reason="out of memory")
    made = {"role": "output", "subject": MODEL, "digest": digest("m")}
    cast["trainer"].emit("run.completed", "run:1", outputs=[made])
    cast["trainer"].emit("version.registered", MODEL, digest=digest("m"), owner="p-author", tier="low", run="run:1")
    commands.record_deployment(cast["p-deployer"], PROD, MODEL)
    found = findings(cast)["training-provenance"]
    assert found["state"] == "not satisfied"
    assert "ended well" in found["reason"]


def test_verification_while_others_append_finds_nothing(store_url: str):
    cast = make_cast(store_url)
    writing, stop = Cast(store_url, cast.new), threading.Event()
    from ledger.application import Ledger

    other = Ledger.open(store_url, actor="trainer", signers=[cast.keys["trainer"]])
    errors: list[LedgerError] = []

    def write() -> None:
        try:
            while not stop.is_set():
                other.emit("monitor.signal", "monitor:m", metric="auc", value=0.5)
        except LedgerError as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(8):
            found = verify_log(writing.recorder, cast.new.trust)
            assert found.ok, found.findings
    finally:
        stop.set()
        thread.join()
        other.close()
    assert not errors


def test_an_index_that_disagrees_with_its_table_is_found(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    cast = make_cast(url)
    approved(cast)
    note = cast.admin.checkpoint()
    anchor = Anchor("a friend", verify_checkpoint(note, [cast.admin.vkey]))
    assert verify_log(cast.recorder, cast.new.trust, [anchor]).ok
    cast.recorder.close()
    store = apsw.Connection(str(tmp_path / "ledger.db"))
    store.execute("PRAGMA writable_schema = ON")
    store.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, 'stream TEXT NOT NULL', 'stream TEXT NOT NULL COLLATE NOCASE') "
        "WHERE name = 'entry'"
    )
    store.close()
    found = verify_log(cast.recorder, cast.new.trust, [anchor])
    assert [finding.fault for finding in found.findings] == ["head"]
    assert "entry" in found.findings[0].message
