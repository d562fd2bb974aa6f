"""Each failure mode planted into a ledger in which all is well: its query finds it, and nothing else is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from cli.main import cli
from ledger.commands import authorise
from ledger.emission import microseconds
from ledger.events import find_event_type
from projections.failures.looking import Look
from projections.failures.measured import Direction, direction_of, drift_direction
from projections.failures.modes import MODES, find_failures
from projections.model_state import states_of
from projections.suspension import suspend
from tests.contract.support import digest
from tests.projections.slo_support import FAST, MONITOR, ONE, THREE, TWO, Watched
from tests.projections.support import PROD, Book, when

ROOT = Path(__file__).resolve().parent.parent.parent
NOW = 30.0
CONTRACT = {"input_schema": digest("in"), "output_schema": digest("out")}


def measured(value: float, **more: Any) -> dict[str, Any]:
    """An evaluation of a subgroup."""
    one = {"name": "tpr", "slice": "age=young", "value": value, "better": "higher", **more}
    slices = [{"slice": "a", "metrics": {"fnr": 0.10}}, {"slice": "b", "metrics": {"fnr": 0.12}}]
    return {"metrics": {"auc": 0.9}, "suite": "fairness", "measurements": [one], "slices": slices}


def well(book: Book) -> Watched:
    """Two versions were released, the second is live, the third a canary; all that can be recorded is in order."""
    watched = Watched(book)
    book.cast.enrol("p-second", "person", ["approver", "validator"])
    emit = book.emit
    book.dataset("dataset:base@1", 0)
    for model, at in ((ONE, 1), (TWO, 6), (THREE, 12)):
        book.version(model, at)
        emit("trainer", "evaluation.completed", model, measured(0.8), at=at + 0.4)
        emit("trainer", "performance.tested", model, {"p95_ms": 100.0, "verdict": "pass"}, at=at + 0.5)
        emit(
            "trainer",
            "artifact.verified",
            model,
            {"digest": digest(model), "method": "key", "verdict": "pass"},
            at=at + 0.6,
        )
    emit("trainer", "contract.defined", "model:scoring", CONTRACT, at=1)
    emit("trainer", "contract.defined", PROD, CONTRACT, at=1)
    book.release(ONE, 3)
    book.release(TWO, 9)
    for model in (THREE,):
        book.request(model, 13)
        book.approve(model, 13.25)
        book.authorise(model, 13.5)
    watched.canary(THREE, 14, traffic=0.5)
    emit(
        "p-deployer", "serving.snapshot", PROD, {"loaded": [{"digest": digest(TWO)}, {"digest": digest(THREE)}]}, at=15
    )
    watched.promise(FAST, monitor=MONITOR)
    watched.windows(29.5, 30, bad=0)
    emit("trainer", "credential.rotated", PROD, {"credential": "db", "expires_at": "2027-06-01T00:00:00Z"}, at=15)
    emit("trainer", "labels.arrived", PROD, {"count": 10, "dataset": "dataset:labels@1"}, at=16)
    later = {"metrics": {"auc": 0.89}, "suite": "live", "dataset": "dataset:labels@1"}
    emit("trainer", "evaluation.completed", TWO, later, at=17)
    drift = {"metric": "psi", "value": 0.3, "threshold": 0.2, "method": "psi", "severity": "warning", "model": TWO}
    emit("trainer", "monitor.signal", MONITOR, drift, at=18)
    emit("p-author", "retrain.requested", "model:scoring", {"trigger": "drift"}, at=18.5)
    return watched


def look(book: Book, at: float = NOW) -> Look:
    reader = book.reader()
    return Look(reader.ledger, reader.runner.views, reader.size, reader.as_of(), microseconds(when(at)))


def found(book: Book, at: float = NOW) -> dict[str, int]:
    """How much each query found, but for those that found nothing."""
    return {mode: len(items) for mode, items in find_failures(look(book, at)).items() if items}


def _drift(book: Book, at: float = 20) -> None:
    signal = {"metric": "psi", "value": 0.4, "threshold": 0.2, "method": "psi", "deployment": PROD}
    book.emit("trainer", "monitor.signal", MONITOR, signal, at=at)


def _schema(book: Book) -> None:
    book.emit("trainer", "contract.defined", TWO, CONTRACT | {"input_schema": digest("other")}, at=20)


def _access(book: Book) -> None:
    denied = {"principal": "mallory", "action": "read weights", "count": 3}
    book.emit("trainer", "access.denied", "model:scoring", denied, at=20)


def _canary(book: Book) -> None:
    Watched(book).canary(THREE, 20, stage=2, traffic=0.01)
    loaded = {"loaded": [{"digest": digest(TWO)}, {"digest": digest(THREE)}, {"digest": digest(THREE)}]}
    book.emit("p-deployer", "serving.snapshot", PROD, loaded, at=21)


def _bias(book: Book) -> None:
    book.emit("trainer", "evaluation.completed", TWO, measured(0.6), at=20)


def _latency(book: Book) -> None:
    book.emit("trainer", "performance.tested", TWO, {"p95_ms": 150.0}, at=20)


def _poison(book: Book) -> None:
    book.emit("p-second", "quarantine.placed", "dataset:base@1", {"reason": "labels were turned"}, at=20)


def _secret(book: Book) -> None:
    ends = {"credential": "hub", "expires_at": "2026-11-10T00:00:00Z"}
    book.emit("trainer", "credential.rotated", PROD, ends, at=20)


def _confusion(book: Book) -> None:
    loaded = {"loaded": [{"digest": digest(TWO)}, {"digest": digest(ONE)}]}
    book.emit("p-deployer", "serving.snapshot", PROD, loaded, at=21)


def _overfit(book: Book) -> None:
    later = {"metrics": {"auc": 0.7}, "suite": "live", "dataset": "dataset:labels@1"}
    book.emit("trainer", "evaluation.completed", TWO, later, at=20)


PLANTED: dict[str, Callable[[Book], None]] = {
    "silent-drift": _drift,
    "schema-mismatch": _schema,
    "unauthorised-access": _access,
    "canary-bloat": _canary,
    "bias-regression": _bias,
    "latency-regression": _latency,
    "poisoning": _poison,
    "secret-expiry": _secret,
    "version-confusion": _confusion,
    "overfitting-in-production": _overfit,
}


@pytest.mark.parametrize("mode", [mode.id for mode in MODES])
def test_a_planted_fault_is_found_and_nothing_else(book: Book, mode: str):
    well(book)
    assert found(book) == {}
    PLANTED[mode](book)
    assert set(found(book)) == {mode}
    for one in find_failures(look(book), [mode])[mode]:
        assert one.words
        assert all(0 <= index < book.size for index in one.entries)
        assert one.entries


def test_all_at_once_on_either_store(any_book: Book):
    well(any_book)
    assert found(any_book) == {}
    for plant in (*(PLANTED[name] for name in PLANTED if name != "canary-bloat"),):
        plant(any_book)
    assert set(found(any_book)) == PLANTED.keys() - {"canary-bloat"}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.id)
def test_a_mode_names_events_that_there_are_and_its_test(mode: Any):
    for name in mode.events:
        find_event_type(name)
    assert mode.what.endswith(".")
    assert mode.test.endswith(f"::{test_a_planted_fault_is_found_and_nothing_else.__name__}[{mode.id}]")


def test_the_file_has_its_form_and_says_what_is_there():
    text = (ROOT / "docs" / "reference" / "failure_modes.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    schema = json.loads((ROOT / "schemas" / "reports" / "failure-modes.v1.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(data)
    assert [mode["id"] for mode in data["modes"]] == list(PLANTED)
    for mode in data["modes"]:
        assert mode["test"].partition("::")[0] == str(Path(__file__).relative_to(ROOT))
        for command in (mode["query"], *mode["see"]):
            names = command.split()[1:]
            context = click.Context(cli)
            found = cli.get_command(context, names[0])
            assert found is not None, command
            if isinstance(found, click.Group):
                assert found.get_command(click.Context(found), names[1]) is not None, command


# -- what else each query tells apart ---------------------------------------------------------------------------------


@pytest.fixture
def story(book: Book) -> Book:
    well(book)
    return book


def words(book: Book, mode: str, at: float = NOW) -> list[str]:
    return [one.words for one in find_failures(look(book, at), [mode])[mode]]


def test_drift_that_somebody_answers_is_not_silent(story: Book):
    answers: list[tuple[str, str, dict[str, Any]]] = [
        ("incident.opened", "incident:1", {"title": "x", "deployment": PROD}),
        ("deployment.held", PROD, {"model": TWO, "digest": digest(TWO)}),
        ("incident.linked", "incident:1", {"subject": PROD, "relation": "affects"}),
    ]
    for at, answer in zip((20, 22, 24), answers, strict=True):
        _drift(story, at)
        assert len(words(story, "silent-drift")) == 1, "what was done before is no answer"
        story.emit("p-deployer", *answer, at=at + 1)
        assert words(story, "silent-drift") == [], answer
    _drift(story, 26)
    story.emit("p-deployer", "incident.opened", "incident:2", {"title": "x", "deployment": PROD}, at=25.5)
    assert len(words(story, "silent-drift")) == 1, "what was done before is no answer, whenever it is reported"


def test_drift_of_which_the_alert_is_resolved_is_over(story: Book):
    signal = {"metric": "psi", "value": 0.4, "method": "psi", "severity": "critical", "deployment": PROD}
    story.emit("trainer", "monitor.signal", MONITOR, signal | {"status": "firing"}, at=20)
    assert len(words(story, "silent-drift")) == 1
    story.emit("trainer", "monitor.signal", MONITOR, signal | {"status": "resolved"}, at=21)
    assert words(story, "silent-drift") == []


@pytest.mark.parametrize(("mode", "plant"), [("bias-regression", _bias), ("overfitting-in-production", _overfit)])
def test_an_evaluation_that_does_not_hold_shows_nothing(story: Book, mode: str, plant: Callable[[Book], None]):
    plant(story)
    assert len(words(story, mode)) == 1
    last = story.ledger.recorder.rows(story.size - 1, 1)[0].entry.id
    story.emit("p-second", "evaluation.invalidated", TWO, {"evaluation": last, "reason": "wrong data"}, at=21)
    assert words(story, mode) == []


def test_a_signal_below_its_threshold_is_no_drift_and_a_severe_one_without_is(story: Book):
    low = {"metric": "ks", "value": 0.1, "threshold": 0.2, "method": "ks", "deployment": PROD}
    story.emit("trainer", "monitor.signal", MONITOR, low, at=20)
    story.emit("trainer", "monitor.signal", MONITOR, {"metric": "cpu", "value": 1.0, "severity": "critical"}, at=20)
    assert words(story, "silent-drift") == []
    severe = {"metric": "ks", "value": 0.1, "method": "ks", "severity": "critical", "deployment": PROD}
    story.emit("trainer", "monitor.signal", MONITOR, severe, at=21)
    assert words(story, "silent-drift") == ["ks is 0.1 by ks, and nothing was done about it"]
    story.emit("trainer", "monitor.signal", MONITOR, low, at=20.5)
    assert words(story, "silent-drift") == ["ks is 0.1 by ks, and nothing was done about it"], "a late report"


def test_a_p_value_under_its_threshold_and_an_assessment_that_fails_are_drift(story: Book):
    def signal(value: float, method: str, at: float, **more: Any) -> list[str]:
        body = {"metric": "age", "value": value, "threshold": 0.05, "method": method, "deployment": PROD}
        story.emit("trainer", "monitor.signal", MONITOR, body | more, at=at)
        return words(story, "silent-drift")

    assert signal(0.6, "ks p_value", 20) == []
    assert signal(0.001, "ks p_value", 21) == ["age is 0.001 by ks p_value, and nothing was done about it"]
    assert signal(0.6, "own test", 22, better="higher") == []
    assert signal(0.001, "own test", 23, better="higher") == ["age is 0.001 by own test, and nothing was done about it"]
    assert signal(0.001, "psi", 24) == [], "a distance"
    body = {"metrics": {"psi": 0.4}, "kind": "drift", "suite": "drift"}
    story.emit("trainer", "evaluation.completed", ONE, body | {"verdict": "fail"}, at=24.5)
    assert words(story, "silent-drift") == [], "it serves no more"
    story.emit("trainer", "evaluation.completed", TWO, body | {"verdict": "fail"}, at=25)
    assert words(story, "silent-drift") == [f"{TWO} failed its assessment of drift, and nothing was done about it"]
    story.emit("trainer", "evaluation.completed", TWO, body | {"verdict": "pass"}, at=26)
    assert words(story, "silent-drift") == []


def test_a_contract_that_breaks_that_of_the_version_live_before(story: Book):
    dev, other = "deployment:dev/other", CONTRACT | {"output_schema": digest("other")}
    story.emit("trainer", "contract.defined", ONE, CONTRACT | {"breaking": True}, at=19)
    story.deploy(ONE, 20, dev)
    story.deploy(TWO, 21, dev)
    assert words(story, "schema-mismatch") == [], "of the model, and the same"
    story.emit("trainer", "contract.defined", TWO, other | {"breaking": False}, at=22)
    says = f"the output schema of {TWO} is another one than that of "
    assert words(story, "schema-mismatch") == [f"{says}the deployment"], "callers of the other one need not change"
    story.emit("trainer", "contract.defined", TWO, other, at=23)
    assert words(story, "schema-mismatch") == [f"{says}{ONE}, which was live before it", f"{says}the deployment"]
    story.emit("trainer", "contract.defined", TWO, CONTRACT | {"breaking": True}, at=24)
    assert words(story, "schema-mismatch") == [f"the contract of {TWO} breaks that of {ONE}, which was live before it"]
    story.emit("trainer", "contract.defined", "model:scoring", other, at=25)
    assert words(story, "schema-mismatch") == [
        f"the contract of {TWO} breaks that of {ONE}, which was live before it",
        f"the output schema of {THREE} is another one than that of the deployment",
    ]
    back = {"model": ONE, "digest": digest(ONE), "reason": "callers fail"}
    story.emit("p-deployer", "rollback.completed", dev, back, at=26)
    assert not [one for one in find_failures(look(story), ["schema-mismatch"])["schema-mismatch"] if one.subject == dev]


def test_a_monitor_that_falls_silent(story: Book):
    assert words(story, "silent-drift", at=30.9) == []
    assert words(story, "silent-drift", at=31.1) == [f"no window of {MONITOR} for the promise latency of late"]


def test_what_serves_without_an_authorisation(story: Book):
    """As `muniment state` marks it: by the last report, and by what became of an emergency."""
    story.deploy(ONE, 22)
    assert words(story, "unauthorised-access") == [f"{ONE} serves and nobody authorised it"]
    urgent = {"reason": "fire", "review_by": "2027-11-20T00:00:00Z"}
    decision = authorise(story.cast["p-deployer"], PROD, ONE, emergency=urgent, occurred_at=when(23)).id
    story.deploy(ONE, 24)
    first = f"{ONE} serves, and nobody had authorised it when it went live"
    assert words(story, "unauthorised-access") == [first]
    late = f"{ONE} serves by an emergency that nobody has reviewed in time"
    assert words(story, "unauthorised-access", at=24 * 400) == [first, late]
    review = {"decision": decision, "verdict": "unjustified", "rationale": "it could wait"}
    story.emit("p-second", "emergency.reviewed", PROD, review, at=25)
    story.deploy(ONE, 26)
    unjustified = f"{ONE} serves by an emergency that was found unjustified"
    nobody = f"{ONE} serves and nobody authorised it"
    assert words(story, "unauthorised-access", at=24 * 400) == [nobody, unjustified]


def test_what_serves_was_retired_or_has_other_bytes(story: Book):
    story.emit("p-author", "version.retired", TWO, {"reason": "old"}, at=20)
    assert set(found(story)) == {"version-confusion"}
    assert words(story, "version-confusion") == [f"{TWO} serves, and was retired"]
    story.deploy(ONE, 22, "deployment:dev/other", digest=digest("other bytes"))
    assert f"{ONE} serves with other bytes than it is registered with" in words(story, "version-confusion")


def test_the_registrys_word_for_production_names_what_nobody_authorised(story: Book):
    four, five = "model:scoring@4", "model:scoring@5"
    for model in (four, five):
        story.version(model, 20)
    story.emit("trainer", "version.aliased", TWO, {"alias": "champion"}, at=21)
    story.emit("trainer", "version.aliased", four, {"alias": "challenger"}, at=21)
    story.emit("p-deployer", "version.promoted", four, {"environment": "dev"}, at=21)
    assert words(story, "version-confusion") == [], "what is live; no word for production; nothing is asked for there"
    story.emit("trainer", "version.aliased", four, {"alias": "champion"}, at=22)
    says = "the registry names {} as {}, and it serves nowhere and nobody authorised it"
    assert words(story, "version-confusion") == [says.format(four, "champion")]
    story.emit("trainer", "version.unaliased", five, {"alias": "champion"}, at=23)
    assert words(story, "version-confusion") == [says.format(four, "champion")], "it named another one"
    story.emit("trainer", "version.unaliased", four, {"alias": "champion"}, at=24)
    assert words(story, "version-confusion") == []
    story.emit("p-deployer", "version.promoted", five, {"environment": "prod"}, at=25)
    assert words(story, "version-confusion") == [says.format(five, "prod")]
    story.request(five, 26)
    story.approve(five, 27)
    story.authorise(five, 28)
    assert words(story, "version-confusion") == []


def test_refusals_of_long_ago_are_over(story: Book):
    _access(story)
    assert words(story, "unauthorised-access") == ["mallory was refused read weights 3 times"]
    assert words(story, "unauthorised-access", at=24 * 400) == []


def test_a_canary_for_weeks_and_two_at_once(story: Book):
    assert words(story, "canary-bloat", at=14 + 14 * 24) == []
    assert words(story, "canary-bloat", at=15 + 14 * 24) == [
        f"{THREE} is a canary since 14 days, neither promoted nor stopped"
    ]
    Watched(story).canary(ONE, 20)
    assert words(story, "canary-bloat") == [f"2 canaries at once: {THREE}, {ONE}"]


def test_a_subgroup_is_compared_by_its_interval_its_verdict_and_the_gap(story: Book):
    for value, more, many in (
        (0.78, {}, 0),
        (0.74, {"better": None}, 1),
        (0.70, {"ci_low": 0.6, "ci_high": 0.8}, 1),
        (0.80, {"verdict": "fail"}, 1),
        (0.80, {"threshold": 0.85}, 1),
        (0.80, {"threshold": 0.75}, 0),
    ):
        story.emit("trainer", "evaluation.completed", TWO, measured(value, **more), at=20)
        assert len(words(story, "bias-regression")) == many, (value, more)
    good = measured(0.8)
    good["slices"][1]["metrics"]["fnr"] = 0.3
    story.emit("trainer", "evaluation.completed", TWO, good, at=21)
    assert words(story, "bias-regression") == [
        f"fnr of b is 0.3, and was 0.12 with {ONE} (a guess by its name: lower is better)",
        f"the gap in fnr between subgroups is 0.2, and was 0.02 with {ONE}",
    ]
    good["slices"] = [{"slice": "b", "metrics": {"fnr": 0.116, "tpr": 0.1}}]
    story.emit("trainer", "evaluation.completed", TWO, good, at=22)
    assert words(story, "bias-regression") == [], "less is better, and nothing was measured of tpr there before"


def test_fairness_that_fails_until_it_is_assessed_again_and_a_subgroup_of_which_nothing_is_said(story: Book):
    unsaid = [{"name": "recall", "slice": "age=old", "value": 0.8}]
    fair = {"metrics": {"parity": 0.5}, "kind": "fairness", "suite": "parity"}
    story.emit("trainer", "evaluation.completed", ONE, fair | {"measurements": unsaid, "verdict": "fail"}, at=20)
    story.emit("trainer", "evaluation.completed", TWO, fair | {"kind": "robustness", "verdict": "fail"}, at=21)
    assert words(story, "bias-regression") == [], "it serves no more, and it is not about fairness"
    story.emit("trainer", "evaluation.completed", TWO, fair | {"verdict": "fail"}, at=22)
    assert words(story, "bias-regression") == [f"{TWO} failed its assessment of fairness"]
    fell = [unsaid[0] | {"value": 0.6}]
    story.emit("trainer", "evaluation.completed", TWO, fair | {"measurements": fell, "verdict": "pass"}, at=23)
    late = {"measurements": unsaid, "verdict": "fail"}
    story.emit("trainer", "evaluation.completed", TWO, fair | late, at=22.5)  # of what was measured before
    assert words(story, "bias-regression") == [
        f"recall of age=old is 0.6, and was 0.8 with {ONE} (a guess by its name: higher is better)"
    ]


def test_intervals_that_touch_are_no_regression(story: Book):
    story.emit("trainer", "evaluation.completed", ONE, measured(0.8, ci_low=0.7, ci_high=0.9), at=20)
    story.emit("trainer", "evaluation.completed", TWO, measured(0.6, ci_low=0.5, ci_high=0.71), at=20)
    story.emit("trainer", "evaluation.completed", THREE, measured(0.6, ci_low=0.5, ci_high=0.69), at=20)
    assert len(words(story, "bias-regression")) == 0, "the canary is compared with what is live"
    story.emit("trainer", "evaluation.completed", TWO, measured(0.6, ci_low=0.5, ci_high=0.69), at=21)
    assert len(words(story, "bias-regression")) == 1


def test_latency_beside_its_own_baseline_the_version_before_and_its_verdict(story: Book):
    def tested(at: float, subject: str = TWO, **body: Any) -> list[str]:
        story.emit("trainer", "performance.tested", subject, body, at=at)
        return words(story, "latency-regression")

    assert tested(20, p95_ms=150.0, baseline_p95_ms=140.0) == [
        f"{TWO} has a p95 of 150 ms, and that of {ONE} is 100 ms"
    ]
    assert tested(21, p95_ms=105.0, baseline_p95_ms=90.0) == [
        f"{TWO} has a p95 of 105 ms, and that of its baseline is 90 ms"
    ]
    assert tested(22, p95_ms=150.0, baseline=ONE, baseline_p95_ms=140.0) == [], "the version before, under its load"
    assert tested(23, p95_ms=150.0, baseline=THREE, baseline_p95_ms=140.0) == [
        f"{TWO} has a p95 of 150 ms, and that of {ONE} is 100 ms"
    ]
    assert tested(24, p95_ms=105.0, baseline=ONE) == []
    assert tested(25, "deployment:dev/other", model=TWO, p95_ms=900.0) == [], "on other machines"
    failed = [f"{TWO} failed its performance test"]
    assert tested(26, PROD, model=TWO, verdict="fail") == failed
    assert tested(25.5, PROD, model=TWO, verdict="pass") == failed, "a late report"


def test_other_bytes_and_files_that_fail_a_check(story: Book):
    story.dataset("dataset:late@1", 20)
    run = story.train("model:scoring@4", 21, inputs=(("dataset:late@1", digest("other bytes")),))
    story.register("model:scoring@4", 22, run=run)
    assert words(story, "poisoning") == [], "it does not serve"
    story.deploy("model:scoring@4", 23)
    assert words(story, "poisoning") == [
        "model:scoring@4 serves, and dataset:late@1 was read with other bytes than it is registered with"
    ]
    scan = {"digest": digest("other files"), "scanner": "s", "verdict": "fail"}
    story.emit("trainer", "artifact.scanned", "model:scoring@4", scan, at=24)
    assert len(words(story, "poisoning")) == 1, "those files do not serve"
    scan = {"digest": digest("model:scoring@4"), "scanner": "s", "verdict": "fail"}
    story.emit("trainer", "artifact.scanned", "model:scoring@4", scan, at=24)
    assert len(words(story, "poisoning")) == 2


def test_what_rests_on_something_in_quarantine_is_found_as_state_marks_it(story: Book):
    """Under other names of the bytes, by what was measured, through what a run wrote; not what was put right."""
    raw, bytes_ = "dataset:raw@1", digest("dataset:raw@1")
    story.dataset(raw, 20)
    story.emit("trainer", "dataset.registered", "dataset:copy@1", {"digest": bytes_}, at=20)
    story.emit("trainer", "dataset.versioned", "dataset:raw@2", {"digest": digest("right"), "previous": raw}, at=20)
    wrote = [{"role": "output", "subject": "dataset:clean@1"}]
    read = [{"role": "input", "subject": raw, "digest": bytes_}]
    story.emit("trainer", "run.completed", "run:prep", {"inputs": read, "outputs": wrote}, at=20)
    inputs = {
        "copy": ("dataset:copy@1", bytes_), "unregistered": ("dataset:nobody-registered@7", bytes_),
        "right": ("dataset:raw@2", digest("right")), "wrote": ("dataset:clean@1", digest("clean")),
    }  # fmt: skip
    for name, one in inputs.items():
        story.register(f"model:{name}@1", 21, run=story.train(f"model:{name}@1", 21, inputs=(one,)))
    story.register("model:measured@1", 21)
    on = {"metrics": {"auc": 0.9}, "verdict": "pass", "dataset": raw}
    story.emit("trainer", "evaluation.completed", "model:measured@1", on, at=21)
    for name, of in (("twin", "model:bad@1"), ("bad", "model:bad@1")):
        body = {"digest": digest(of), "owner": "p-author", "tier": "low"}
        story.emit("trainer", "version.registered", f"model:{name}@1", body, at=21)
    for name in (*inputs, "measured", "twin"):
        story.deploy(f"model:{name}@1", 22, f"deployment:dev/{name}")
    assert words(story, "poisoning") == []
    for thing in (raw, "model:bad@1"):
        story.emit("p-author", "quarantine.placed", thing, {"reason": "x"}, at=23)
    at = look(story, NOW)
    places = [f"deployment:dev/{name}" for name in (*inputs, "measured", "twin")]
    states = suspend(at.ledger, at.views, at.as_of, states_of(at.views, at.as_of, places))["deployments"]
    marked = {one["deployment"] for one in states if "rests-on-quarantined" in one["live"]["marks"]}
    assert marked == {f"deployment:dev/{name}" for name in ("copy", "unregistered", "measured", "twin")}
    found = find_failures(at, ["poisoning"])["poisoning"]
    assert sorted(one.subject for one in found) == sorted({*marked, "deployment:dev/wrote"})
    told = {one.subject: one.words for one in found}
    assert "dataset:copy@1 has the bytes of dataset:raw@1, which is in quarantine" in told["deployment:dev/copy"]
    assert "(the way there: muniment lineage model:wrote@1 --up)" in told["deployment:dev/wrote"]


def test_credentials_that_were_replaced_or_have_ended(story: Book):
    _secret(story)
    assert words(story, "secret-expiry") == ["the credential hub ends on 2026-11-10"]
    assert words(story, "secret-expiry", at=24 * 20) == ["the credential hub ended on 2026-11-10"]
    story.emit("trainer", "credential.rotated", PROD, {"credential": "hub"}, at=21)
    assert words(story, "secret-expiry") == []
    story.emit("trainer", "credential.expired", PROD, {"credential": "db"}, at=22)
    assert words(story, "secret-expiry") == ["the credential db has expired"]


def test_worse_in_production_than_when_it_was_tested_depends_on_which_way_is_better(story: Book):
    def measures(fpr: float, better: str, at: float, **more: Any) -> list[str]:
        one = {"name": "fpr", "value": fpr, "better": better}
        body = {"metrics": {"fpr": fpr, "auc": 0.9}, "measurements": [one], **more}
        story.emit("trainer", "evaluation.completed", eight, body, at=at)
        return words(story, "overfitting-in-production")

    eight, live = "model:scoring@8", {"dataset": "dataset:labels@1"}
    story.version(eight, 20)
    measures(0.1, "lower", 20.25, measurements=[], metrics={"rmse": 1.0, "pass": 0.9, "odd": 0.5})
    measures(0.02, "lower", 20.5)
    measures(0.0, "lower", 20.75, split="train")
    story.deploy(eight, 21)
    assert measures(0.20, "lower", 22, **live) == [
        f"{eight} has fpr 0.2 in production, and had 0.02 when it was tested"
    ]
    assert measures(0.001, "lower", 23, **live) == []
    assert measures(0.001, "higher", 24, **live) == [
        f"{eight} has fpr 0.001 in production, and had 0.02 when it was tested"
    ]
    assert measures(0.02, "lower", 25, **live) == []
    signals: list[tuple[str, float, dict[str, Any]]] = [
        ("rmse", 0.5, {}), ("rmse", 1.05, {}), ("auc", 0.85, {}), ("auc", 0.1, {"method": "psi"}),
        ("odd", 0.9, {}), ("odd", 0.9, {"better": "higher"}), ("fpr", 0.01, {}),
    ]  # fmt: skip
    for name, value, more in signals:
        signal = {"metric": name, "value": value, "model": eight, **more}
        story.emit("trainer", "monitor.signal", MONITOR, signal, at=26)
        assert words(story, "overfitting-in-production") == [], signal
    for name, value, more in (("rmse", 1.2, {}), ("odd", 0.9, {"better": "lower"}), ("fpr", 0.05, {})):
        signal = {"metric": name, "value": value, "model": eight, **more}
        story.emit("trainer", "monitor.signal", MONITOR, signal, at=27)
    was = "in production, and had"
    assert words(story, "overfitting-in-production") == [
        f"{eight} has fpr 0.05 {was} 0.02 when it was tested",
        f"{eight} has odd 0.9 {was} 0.5 when it was tested",
        f"{eight} has rmse 1.2 {was} 1 when it was tested (a guess by its name: lower is better)",
    ]


def test_what_was_tested_before_it_went_live_may_be_reported_afterwards(story: Book):
    def says(model: str, value: float, at: float) -> None:
        signal = {"metric": "f2", "value": value, "model": model}
        story.emit("trainer", "monitor.signal", MONITOR, signal, at=at)

    says(TWO, 0.6, 22)
    assert words(story, "overfitting-in-production") == [], "nobody tested it"
    story.emit("trainer", "evaluation.completed", TWO, {"metrics": {"f2": 0.9}, "suite": "s", "split": "test"}, at=8)
    expected = [
        f"{TWO} has f2 0.6 in production, and had 0.9 when it was tested (a guess by its name: higher is better)"
    ]
    assert words(story, "overfitting-in-production") == expected
    says(TWO, 0.9, 21)
    says(TWO, 0.9, 8.5)
    assert words(story, "overfitting-in-production") == expected, "late reports, of a better day and of before"


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("falsePositiveRate", "lower"), ("val_loss", "lower"), ("logloss", "lower"), ("neg_log_loss", "higher"),
        ("p95_ms", "lower"), ("errorRate", "lower"), ("recency_hit", "higher"), ("epsilon_accuracy", "higher"),
        ("mean_squared_error", "lower"), ("f1", "higher"), ("", "higher"),
    ],
)  # fmt: skip
def test_which_way_is_better_is_said_or_else_guessed(name: str, better: str):
    assert direction_of(name) == Direction(better, guessed=True)
    for said in ("higher", "lower"):
        assert direction_of(name, None, said) == Direction(said)


@pytest.mark.parametrize(
    ("method", "value", "threshold", "way"),
    [
        ("psi", 0.01, 0.02, Direction("lower")),
        ("K-S p_value", 0.3, 0.5, Direction("higher")),
        ("chi2 p-value", 0.3, None, Direction("higher")),
        ("PValue", 0.3, 0.01, Direction("higher")),
        ("upvalued", 0.3, 0.01, Direction("lower")),
        ("ks", 0.3, 0.1, Direction("lower")),
        ("ks statistic", 0.3, 0.05, Direction("lower")),
        ("ks", 0.3, None, Direction("lower")),
        ("chi-square", 12.0, 0.05, Direction("lower")),
        ("ks", 0.3, 0.05, Direction("higher", True, "a p-value, since a threshold of 0.05 is one of those")),
    ],
)
def test_less_is_a_sign_of_drift_only_of_p_values(method: str, value: float, threshold: float | None, way: Direction):
    said = {"metric": "age", "method": method, "value": value, "threshold": threshold}
    assert drift_direction(said) == way
    assert drift_direction(said | {"better": "lower"}) == Direction("lower")
