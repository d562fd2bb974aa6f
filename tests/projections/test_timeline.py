"""What happened around an incident, and what changed upstream."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import InputError
from projections.diff import diff
from tests.contract.support import digest
from tests.projections.support import INCIDENT, PROD, Book, tell, when

ONE, TWO = "model:scoring@1", "model:scoring@2"


def by_subject(timeline: dict[str, Any], subject: str) -> list[dict[str, Any]]:
    return [row for row in timeline["rows"] if row["subject"] == subject]


def upstream(timeline: dict[str, Any]) -> list[str]:
    return [row["subject"] for row in timeline["rows"] if row["upstream"]]


def test_the_damaged_data_set_is_found_two_steps_upstream(any_book: Book):
    tell(any_book)
    timeline = any_book.timeline()
    assert (timeline["failing_version"], timeline["previous_version"]) == (TWO, ONE)
    assert upstream(timeline) == ["dataset:base@2", "dataset:features@2", "run:scoring-2", "run:scoring-2"]
    assert all(row["why_here"] == f"upstream of {TWO}" for row in timeline["rows"] if row["upstream"])


def test_each_upstream_change_is_shown_against_its_own_counterpart(any_book: Book):
    tell(any_book)
    timeline = any_book.timeline()
    for name in ("base", "features"):
        (row,) = by_subject(timeline, f"dataset:{name}@2")
        compared = any_book.ledger.recorder.rows(row["compared_with"], 1)[0].entry
        assert compared.subject == f"dataset:{name}@1"
        changes = {change["field"]: change for change in row["changed"]}
        assert changes["row_count"] == {"field": "row_count", "before": 1000, "after": 400, "ratio": 0.4}
        assert row["changed"][0]["field"] == "row_count", "the largest change of a number comes first"
    started, completed = by_subject(timeline, "run:scoring-2")
    for row, kind in ((started, "run.started"), (completed, "run.completed")):
        compared = any_book.ledger.recorder.rows(row["compared_with"], 1)[0].entry
        assert (compared.subject, compared.type) == ("run:scoring-1", f"muniment.{kind}.v1")


def test_of_several_data_sets_and_jobs_the_one_of_the_same_name_is_compared(book: Book):
    for number in (1, 2):
        model, prepared = f"model:scoring@{number}", f"dataset:prepared@{number}"
        base = 10 * number
        book.dataset(f"dataset:labels@{number}", base, row_count=10 * number)
        book.dataset(f"dataset:texts@{number}", base, row_count=1000 * number)
        read = [{"role": "input", "subject": f"dataset:texts@{number}", "digest": digest(f"dataset:texts@{number}")}]
        made = [{"role": "output", "subject": prepared, "digest": digest(prepared)}]
        body = {"job": "prepare", "inputs": read, "outputs": made}
        book.emit("trainer", "run.completed", f"run:prepare-{number}", body, at=base + 1)
        book.version(model, base + 2, inputs=(prepared, f"dataset:labels@{number}"))
        book.deploy(model, base + 3)
    book.open_incident(24)
    timeline = book.timeline()
    compared = {}
    for row in timeline["rows"]:
        if row["upstream"]:
            entry = book.ledger.recorder.rows(row["compared_with"], 1)[0].entry
            compared[row["subject"]] = entry.subject
    assert compared == {
        "dataset:labels@2": "dataset:labels@1",
        "dataset:texts@2": "dataset:texts@1",
        "run:prepare-2": "run:prepare-1",
        "run:scoring-2": "run:scoring-1",
    }


def test_what_both_versions_were_made_from_is_not_shown(any_book: Book):
    book = any_book
    book.dataset("dataset:shared@1", 0)
    book.dataset("dataset:mine@2", 5)
    book.version(ONE, 1, inputs=("dataset:shared@1",))
    book.release(ONE, 2)
    book.version(TWO, 6, inputs=("dataset:shared@1", "dataset:mine@2"))
    book.release(TWO, 7)
    book.open_incident(9)
    timeline = book.timeline()
    assert "dataset:mine@2" in upstream(timeline)
    assert not by_subject(timeline, "dataset:shared@1")


def test_a_data_set_without_versions_is_upstream_when_its_digest_changed(any_book: Book):
    """The same name, other bytes: as with `muniment emit dataset.registered dataset:tx`."""
    book = any_book
    for number, rows in ((1, 1000), (2, 12)):
        bytes_ = digest(f"export {number}")
        book.emit("trainer", "dataset.registered", "dataset:tx", at=number * 10, digest=bytes_, row_count=rows)
        book.version(f"model:scoring@{number}", number * 10 + 1, inputs=(("dataset:tx", bytes_),))
        book.deploy(f"model:scoring@{number}", number * 10 + 3)
    book.open_incident(24)
    timeline = book.timeline()
    (row,) = by_subject(timeline, "dataset:tx")
    assert row["upstream"]
    assert row["occurred_at"] == when(20)
    assert row["changed"][0] == {"field": "row_count", "before": 1000, "after": 12, "ratio": 0.012}


def test_an_unchanged_data_set_without_versions_is_not_upstream(book: Book):
    book.emit("trainer", "dataset.registered", "dataset:tx", at=1, digest=digest("export"))
    for number in (1, 2):
        book.version(f"model:scoring@{number}", number * 10 + 1, inputs=(("dataset:tx", digest("export")),))
        book.deploy(f"model:scoring@{number}", number * 10 + 3)
    book.open_incident(24)
    assert not by_subject(book.timeline(), "dataset:tx")


def test_what_nobody_authorised_is_marked(any_book: Book):
    tell(any_book)
    rows = {row["index"]: row for row in any_book.timeline()["rows"]}
    marked = [row for row in rows.values() if row["marks"]]
    assert [(row["type"], row["marks"]) for row in marked] == [
        ("deployment.completed", ["back-dated"]), ("deployment.completed", ["back-dated"]),
        ("deployment.completed", ["unauthorised"]),
    ], "the first two are recorded a year late, after their authorisation"  # fmt: skip
    assert marked[-1]["changed"] == [{"field": "live", "before": ONE, "after": "model:scoring@3", "ratio": None}]


def test_rows_follow_occurrence_and_count_from_the_opening(book: Book):
    tell(book)
    late = book.emit("p-deployer", "incident.noted", INCIDENT, at=14.75, note="seen on the dashboard")
    timeline = book.timeline()
    times = [row["occurred_at"] for row in timeline["rows"]]
    assert times == sorted(times)
    (opened,) = [row for row in timeline["rows"] if row["type"] == "incident.opened"]
    assert opened["seconds_from_opening"] == 0
    (noted,) = [row for row in timeline["rows"] if row["index"] == late.index]
    assert noted["seconds_from_opening"] == 900.0
    assert noted["what"] == "seen on the dashboard"
    gaps = [row["seconds_since_last"] for row in timeline["rows"]]
    assert gaps[0] is None
    assert all(gap >= 0 for gap in gaps[1:])
    assert {row["lane"] for row in timeline["rows"]} == {
        "data", "train", "evaluate", "approve", "deploy", "monitor", "incident",
    }  # fmt: skip


def test_the_window_keeps_out_what_lies_far_from_the_incident(book: Book):
    book.register(ONE, 0)
    book.deploy(ONE, 1)
    book.open_incident(100)
    book.emit("p-deployer", "incident.closed", INCIDENT, at=101, summary="over")
    book.deploy(ONE, 101.5)
    book.deploy(ONE, 200)
    other = {"metric": "auc", "value": 0.4, "deployment": "deployment:prod/other"}
    book.emit("trainer", "monitor.signal", "monitor:other", other, at=100)
    rows = book.timeline()["rows"]
    assert [row["occurred_at"] for row in rows if row["lane"] == "deploy"] == [when(101.5)]
    assert not [row for row in rows if row["lane"] == "monitor"], "another deployment's monitor"
    from projections.timeline import incident_timeline

    reader = book.reader()
    wide = incident_timeline(reader.runner.views, reader.as_of(), INCIDENT, before_hours=1000, after_hours=1000)
    assert [row["occurred_at"] for row in wide["rows"] if row["lane"] == "deploy"] == [when(1), when(101.5), when(200)]


def test_an_incident_is_as_open_as_it_was_at_the_time(any_book: Book):
    book = any_book
    book.register(ONE, 0)
    book.open_incident(10)
    book.emit("p-deployer", "incident.closed", INCIDENT, at=12, summary="over")
    assert book.timeline()["status"] == "closed"
    assert book.timeline(at=11)["status"] == "open"
    assert book.timeline(known=book.size - 1)["status"] == "open"
    with pytest.raises(InputError, match="was not opened"):
        book.timeline(at=9)
    book.open_incident(13, title="again")
    assert book.timeline()["status"] == "open"
    assert book.timeline(at=12.5)["status"] == "closed"


@pytest.mark.parametrize("name", ["incident:other", "deployment:prod/scoring", "nonsense", "", "incident:inc-1@1"])
def test_an_unknown_incident_is_an_input_error(book: Book, name: str):
    book.open_incident(1)
    with pytest.raises(InputError, match="was not opened") as caught:
        book.timeline(name)
    assert caught.value.hint


def test_an_incident_about_nothing_in_particular_shows_itself(book: Book):
    book.emit("p-deployer", "incident.opened", INCIDENT, at=1, title="the building is on fire")
    timeline = book.timeline()
    assert [row["type"] for row in timeline["rows"]] == ["incident.opened"]
    assert timeline["failing_version"] is timeline["previous_version"] is timeline["deployment"] is None


def test_a_version_named_by_the_incident_is_the_one_that_failed(book: Book):
    """Also when it has been rolled back before anybody opened the incident."""
    book.dataset("dataset:base@1", 0)
    book.dataset("dataset:base@2", 0)
    book.version(ONE, 1, inputs=("dataset:base@1",))
    book.version(TWO, 2, inputs=("dataset:base@2",))
    book.deploy(ONE, 3)
    book.deploy(TWO, 4)
    book.roll_back(ONE, 5)
    book.open_incident(6, model=TWO)
    timeline = book.timeline()
    assert (timeline["failing_version"], timeline["previous_version"]) == (TWO, ONE)
    assert "dataset:base@2" in upstream(timeline)
    assert "dataset:base@1" not in upstream(timeline)


def test_lineage_that_runs_in_a_circle_ends(book: Book):
    book.dataset("dataset:a@1", 0, of="dataset:b@1")
    book.dataset("dataset:b@1", 0, of="dataset:a@1")
    book.version(ONE, 1, inputs=("dataset:a@1",))
    book.deploy(ONE, 2)
    book.open_incident(3)
    assert {"dataset:a@1", "dataset:b@1"} <= set(upstream(book.timeline()))


def test_a_wide_lineage_is_followed_whole(any_book: Book):
    """More things in one step than are asked for in one statement."""
    book = any_book
    joined = []
    for number in range(3):
        names = [f"dataset:part-{number}-{part}" for part in range(200)]
        made = f"dataset:joined@{number}"
        read = [{"role": "input", "subject": name, "digest": digest(name)} for name in names]
        outputs = [{"role": "output", "subject": made, "digest": digest(made)}]
        book.emit("trainer", "run.completed", f"run:join-{number}", {"inputs": read, "outputs": outputs}, at=1)
        joined.append(made)
    book.dataset("dataset:part-2-99", 0, of="dataset:origin@1")
    book.dataset("dataset:origin@1", 0)
    book.version(ONE, 2, inputs=tuple(joined))
    book.deploy(ONE, 3)
    book.open_incident(4)
    assert {"dataset:part-2-99", "dataset:origin@1"} <= set(upstream(book.timeline()))


def test_a_run_that_did_not_complete_made_nothing_whatever_it_says(book: Book):
    """A fact keeps fields its schema does not know; they draw no lineage."""
    made = [{"role": "output", "subject": ONE, "digest": digest(ONE)}]
    book.emit("trainer", "run.started", "run:x", {"outputs": [*made, "anything", 1, None]}, at=1)
    book.emit("trainer", "run.failed", "run:x", {"reason": "no memory", "outputs": made}, at=2)
    book.version(ONE, 3)
    book.deploy(ONE, 4)
    book.open_incident(5)
    assert "run:x" not in upstream(book.timeline())


def test_a_closing_dated_before_the_opening_does_not_empty_the_window(book: Book):
    book.register(ONE, 0)
    book.deploy(ONE, 9)
    book.open_incident(10)
    book.emit("p-deployer", "incident.closed", INCIDENT, at=1, summary="over")
    assert "deployment.completed" in [row["type"] for row in book.timeline()["rows"]]


def test_what_a_version_was_measured_on_is_not_what_it_was_made_from(book: Book):
    book.dataset("dataset:base@1", 0)
    book.dataset("dataset:bench@1", 0)
    book.version(ONE, 1)
    body = {"metrics": {"auc": 0.8}, "dataset": "dataset:bench@1"}
    book.emit("trainer", "evaluation.completed", ONE, body, at=1.5)
    book.deploy(ONE, 2)
    book.open_incident(3)
    assert not by_subject(book.timeline(), "dataset:bench@1")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {}, [("a", 1, None, None)]),
        ({}, {"a": "x"}, [("a", None, "x", None)]),
        ({"a": 2}, {"a": 1.0}, [("a", 2, 1.0, 0.5)]),
        ({"a": 0}, {"a": 1}, [("a", 0, 1, None)]),
        ({"a": True}, {"a": False}, [("a", True, False, None)]),
        ({"p": {"x": {"mean": 1}}}, {"p": {"x": {"mean": 4}}}, [("p.x.mean", 1, 4, 4.0)]),
        ({"a": 10, "b": 1, "c": "u"}, {"a": 11, "b": 5, "c": "v"},
         [("b", 1, 5, 5.0), ("a", 10, 11, 1.1), ("c", "u", "v", None)]),
        ({"a": 4}, {"a": 1}, [("a", 4, 1, 0.25)]),
        ({"a": 5e-324}, {"a": 1e308}, [("a", 5e-324, 1e308, None)]),
        ({"s": [{"slice": "x", "n": 1}]}, {"s": [{"slice": "w", "n": 7}, {"slice": "x", "n": 1}]},
         [("s[w].n", None, 7, None), ("s[w].slice", None, "w", None)]),
        ({"seen": {"size": 1}, "evidence": [1]}, {"seen": {"size": 2}, "evidence": [2]}, []),
    ],
)  # fmt: skip
def test_differences_name_the_field_and_both_values(before: dict[str, Any], after: dict[str, Any], expected: list[Any]):
    found = [(item["field"], item["before"], item["after"], item["ratio"]) for item in diff(before, after)]
    assert found == [
        (field, old, new, None if ratio is None else pytest.approx(ratio)) for field, old, new, ratio in expected
    ]


def test_a_difference_to_nothing_counts_as_the_largest():
    fields = [item["field"] for item in diff({"a": 1, "b": 1}, {"a": 100, "b": 0})]
    assert fields == ["b", "a"]


def test_the_deployment_of_the_incident_is_named(book: Book):
    tell(book)
    timeline = book.timeline()
    assert timeline["deployment"] == PROD
    assert (timeline["title"], timeline["severity"], timeline["status"]) == ("scores drift", "high", "closed")


def test_what_a_source_did_not_tell_is_on_the_timeline_and_a_limit_of_reports(any_book: Book):
    book = any_book
    tell(book)

    def silent(start: float, end: float | None) -> int:
        until = None if end is None else when(end)
        body = {"source": "prometheus", "start": when(start), "end": until, "reason": "full disk"}
        return book.emit("trainer", "feed.interrupted", "monitor:auc", body, at=20).index

    before, during, lasting = silent(-200, -190), silent(13, 14), silent(16, None)
    after = silent(400, 401)
    rows = {row["index"]: row for row in book.timeline()["rows"]}
    assert (before in rows, during in rows, lasting in rows, after in rows) == (False, True, True, False)
    assert rows[during]["why_here"] == "something may be missing"
    assert rows[during]["what"].startswith("prometheus did not tell since")
    assert (rows[lasting]["changed"], rows[lasting]["lane"]) == ([], "monitor")
    limits = [limit for limit in book.report()["limits"] if "did not tell" in limit]
    assert [limit.partition(" (")[0] for limit in limits] == [
        f"Entry {index}" for index in (before, during, lasting, after)
    ]
    assert "and goes on" in limits[2]
