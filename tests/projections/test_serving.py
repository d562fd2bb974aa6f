"""What is really loaded against what is live: replicas during a canary are right, and what does not belong is found."""

from __future__ import annotations

from typing import Any

import pytest

from projections.operating import operate
from projections.serving import Serving, read_serving
from projections.slo.watching import deployments_of
from tests.contract.support import digest
from tests.projections.slo_support import ONE, THREE, TWO, Watched
from tests.projections.support import INCIDENT, PROD, Book

OTHER = "model:other@1"


@pytest.fixture
def served(book: Book) -> Book:
    """Version 1 is live from hour 3.75 on, version 2 from 9.75."""
    for model, at in ((ONE, 1), (TWO, 6), (THREE, 10)):
        book.version(model, at)
    book.release(ONE, 3)
    book.release(TWO, 9)
    return book


def snapshot(book: Book, at: float, *models: str, **more: Any) -> None:
    """Instances with these versions, in order."""
    shares = more.pop("traffic", [None] * len(models))
    loaded = [
        {"instance": f"pod-{n}", "digest": digest(model)} | ({} if share is None else {"traffic": share})
        for n, (model, share) in enumerate(zip(models, shares, strict=True), start=1)
    ]
    book.emit("p-deployer", "serving.snapshot", PROD, {"loaded": loaded, **more}, at=at)


def serving(book: Book, **as_of: Any) -> Serving:
    reader = book.reader()
    return read_serving(reader.runner.views, reader.as_of(**as_of), PROD)


def kinds(book: Book, **as_of: Any) -> list[str]:
    return [finding["kind"] for finding in serving(book, **as_of).findings]


def test_what_is_live_is_loaded(any_book: Book):
    for model, at in ((ONE, 1), (TWO, 6)):
        any_book.version(model, at)
    any_book.release(ONE, 3)
    assert serving(any_book).state == "not known"
    snapshot(any_book, 4, ONE, ONE)
    found = serving(any_book)
    assert (found.state, found.instances, found.findings) == ("matches", 2, [])
    any_book.release(TWO, 9)
    assert serving(any_book).state == "outdated", "it was looked at before"
    snapshot(any_book, 11, ONE, TWO)
    found = serving(any_book)
    assert (found.state, [finding["kind"] for finding in found.findings]) == ("mismatch", ["former version"])
    assert (found.findings[0]["model"], found.findings[0]["instances"]) == (ONE, ["pod-1"])
    assert serving(any_book, at=10).state == "outdated"
    assert serving(any_book, at=5).state == "matches", "then it was right"


def test_a_version_that_never_was_there(served: Book):
    snapshot(served, 11, TWO, OTHER)
    (finding,) = serving(served).findings
    assert (finding["kind"], finding["digests"], finding["instances"]) == (
        "unknown version",
        [digest(OTHER)],
        ["pod-2"],
    )
    assert (finding["model"], "nobody registered" in finding["words"]) == (None, True)
    snapshot(served, 12, THREE)
    assert kinds(served) == ["unknown version", "not loaded"]
    (named, _) = serving(served).findings
    assert (named["model"], named["words"]) == (
        THREE, f"{THREE} is loaded, which never was live here, and {TWO} is live",
    )  # fmt: skip
    made = {"digest": digest(THREE), "files": {"three.onnx": digest(THREE)}}
    served.emit("trainer", "artifact.produced", "artifact:three", made, at=12.5)
    assert f"{THREE} (the same bytes as artifact:three) is loaded" in serving(served).findings[0]["words"]
    assert "artifact" not in serving(served, at=12.2).findings[0]["words"], "what was registered then"
    snapshot(served, 13)
    assert kinds(served) == ["not loaded"]


def test_replicas_may_differ_within_the_share_of_a_stage(served: Book):
    Watched(served).canary(THREE, 11, traffic=0.25)
    snapshot(served, 11.1, TWO, TWO, TWO, THREE)
    assert serving(served).state == "matches"
    snapshot(served, 11.2, TWO, TWO, THREE, THREE)
    (finding,) = serving(served).findings
    assert (finding["kind"], "2 times of 4" in finding["words"]) == ("above its share", True)
    snapshot(served, 11.3, TWO, THREE, THREE, THREE, traffic=[0.76, 0.08, 0.08, 0.08])
    assert serving(served).state == "matches", "traffic counts, not replicas"
    snapshot(served, 11.4, TWO, THREE, traffic=[0.6, 0.4])
    assert kinds(served) == ["above its share"]
    aborted = {"model": THREE, "digest": digest(THREE), "reason": "x"}
    served.emit("p-deployer", "canary.aborted", PROD, aborted, at=12)
    snapshot(served, 12.1, TWO, THREE)
    assert kinds(served) == ["former version"], "it was stopped"


def test_a_part_of_the_instances_replaces_what_was_known_of_them(served: Book):
    snapshot(served, 11, ONE, TWO, TWO)
    snapshot(served, 11.1, TWO, complete=False)
    assert serving(served).state == "matches"
    assert serving(served).instances == 3
    snapshot(served, 11.2, ONE, complete=False)
    assert kinds(served) == ["former version"]


def test_parts_alone_do_not_tell_that_something_is_missing(served: Book):
    Watched(served).canary(THREE, 10.5, traffic=0.1)
    snapshot(served, 11, THREE, THREE, complete=False)
    assert serving(served).state == "matches", "nor how many there are of the others"


def test_a_version_under_another_ones_name(served: Book):
    loaded = [{"digest": digest(TWO), "model": THREE}]
    served.emit("p-deployer", "serving.snapshot", PROD, {"loaded": loaded}, at=11)
    (finding,) = serving(served).findings
    assert (finding["kind"], finding["model"], finding["instances"]) == ("wrong name", THREE, ["#1"])


def test_nothing_is_live_and_something_is_loaded(book: Book):
    """A deployment of which nothing else was recorded is known by that."""
    assert book.state(PROD)["deployments"] == []
    snapshot(book, 3, ONE)
    assert kinds(book) == ["unknown version"]
    snapshot(book, 2)
    size = book.size
    snapshot(book, 1, ONE)
    reader = book.reader()

    def names(subject: str | None = PROD, **as_of: Any) -> list[str]:
        return [one["deployment"] for one in reader.state(subject, **as_of)["deployments"]]

    assert [names(), names(None), names("deployment:prod/*")] == [[PROD]] * 3
    assert names("deployment:prod/another") == names("model:scoring") == []
    assert deployments_of(reader.runner.views, reader.as_of()) == [PROD]
    assert [names(at=at) for at in (3, 2, 1, 0.5)] == [[PROD], [PROD], [PROD], []], "told late, it was so"
    assert [names(at=at, known=size) for at in (2, 1)] == [[PROD], []]
    assert names(known=size - 2) == []


def test_a_snapshot_that_comes_late_is_compared_with_what_was_live_then(served: Book):
    snapshot(served, 11, TWO)
    snapshot(served, 5, ONE)
    assert serving(served).state == "matches"
    assert serving(served, at=6).state == "matches"


@pytest.mark.parametrize(("days", "state"), [(0.01, "matches"), (0.5, "matches"), (29, "matches"), (31, "not known")])
def test_the_last_snapshot_of_all_is_found_within_a_month(served: Book, days: float, state: str):
    snapshot(served, 11, TWO, TWO)
    served.clock.now += int(days * 86_400_000_000)
    served.dataset("dataset:later@1", 24 * 400)
    assert serving(served).state == state
    snapshot(served, 10, ONE, complete=False)
    assert serving(served).state == state.replace("not known", "mismatch"), "of before, and late"


def test_the_timeline_marks_it(served: Book):
    snapshot(served, 11, TWO)
    snapshot(served, 11.5, ONE, TWO)
    served.emit("trainer", "slo.breached", "monitor:x", {"slo": "ms", "deployment": PROD, "burn_rate": 20.0}, at=11.6)
    served.open_incident(12)
    rows = {row["what"]: row for row in served.timeline(INCIDENT)["rows"]}
    assert "version-mismatch" not in rows["1 loaded"]["marks"]
    assert "version-mismatch" in rows["2 loaded"]["marks"]
    assert rows[f"ms burns 20 times as fast as it may (in {PROD})"]["lane"] == "monitor"


def test_the_state_of_a_deployment_says_all_of_it(served: Book):
    watched = Watched(served)
    watched.canary(THREE, 11, traffic=0.1)
    analysed = {
        "model": THREE,
        "digest": digest(THREE),
        "stage": 1,
        "traffic": 0.1,
        "verdict": "pass",
        "budget_used": 0.2,
    }
    served.emit("p-deployer", "canary.analysed", PROD, analysed, at=11.5)
    watched.canary(THREE, 12, stage=2, traffic=0.5)
    held = {"model": THREE, "digest": digest(THREE), "due_at": "2026-11-01T13:00:00Z"}
    served.emit("p-deployer", "deployment.held", PROD, held, at=12.5)
    snapshot(served, 12.6, TWO, THREE)
    reader = served.reader()

    def told(**as_of: Any) -> dict[str, Any]:
        state = reader.state(PROD, **as_of)
        (found,) = operate(served.ledger, reader.runner.views, reader.as_of(**as_of), state, promises=True)[
            "deployments"
        ]
        return found

    now = told()
    (canary,) = now["canaries"]
    assert [(s["stage"], s["traffic"], s["budget_used"], s["verdict"]) for s in canary["stages"]] == [
        (1, 0.1, 0.2, "pass"), (2, 0.5, None, None),
    ]  # fmt: skip
    assert now["known_good"]["model"] == TWO
    assert [one["status"] for one in now["decisions"]] == ["overdue"]
    assert told(at=12.7)["decisions"][0]["status"] == "open", "then it was not"
    assert (now["serving"]["state"], now["promises"]) == ("matches", [])
    assert told(at=11.2)["canaries"][0]["stages"][0]["verdict"] is None
    before = told(at=5)
    assert (before["canaries"], before["known_good"], before["decisions"]) == ([], None, [])
