"""What rests on what: edges between entries, found by index, by id and by name."""

from __future__ import annotations

from typing import Any

import pytest

from projections.graph import Graph, connect

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def row(
    index: int, kind: str, subject: str, verdict: str = "valid", causation: str = "", **data: Any
) -> dict[str, Any]:
    return {
        "index": index, "id": f"id-{index}", "type": kind, "subject": subject, "stream": subject.partition("@")[0],
        "verdict": verdict, "causation": causation, "data": data,
    }  # fmt: skip


def edges(*rows: dict[str, Any]) -> dict[int, dict[int, tuple[str, ...]]]:
    found: dict[int, dict[int, tuple[str, ...]]] = {}
    for edge in connect(rows).edges:
        found.setdefault(edge.source, {})[edge.target] = edge.relations
    return found


def ref(subject: str, digest: str | None = None, role: str = "input") -> dict[str, Any]:
    return {"role": role, "subject": subject, "digest": digest}


LIFE = [
    row(0, "dataset.registered", "dataset:tx@1", digest=A),
    row(1, "run.started", "run:r", inputs=[ref("dataset:tx@1", A)]),
    row(2, "run.completed", "run:r", inputs=[ref("dataset:tx@1")], outputs=[ref("model:m@1", B, "output")]),
    row(3, "version.registered", "model:m@1", digest=B),
    row(4, "evaluation.completed", "model:m@1", digest=B, dataset="dataset:tx@1"),
    row(5, "approval.requested", "model:m@1", digest=B, evidence=[{"index": 3}, {"index": 4}]),
    row(6, "approval.granted", "model:m@1", causation="id-5", request="id-5", evidence=[{"index": 4}, {"index": 5}]),
    row(7, "deployment.authorised", "deployment:prod/s", model="model:m@1", digest=B, evidence=[{"index": 6}]),
    row(8, "deployment.completed", "deployment:prod/s", model="model:m@1", digest=B),
    row(9, "incident.opened", "incident:i", deployment="deployment:prod/s"),
    row(10, "incident.noted", "incident:i", note="x"),
    row(11, "rollback.completed", "deployment:prod/s", model="model:m@1", digest=B, incident="incident:i"),
]


def test_an_approval_rests_on_the_evaluation_of_the_version_from_the_run_from_the_data():
    assert edges(*LIFE) == {
        1: {0: ("input",)},
        2: {0: ("input",), 1: ("about",)},
        3: {2: ("made by",)},
        4: {0: ("measured on",), 3: ("about",)},
        5: {3: ("evidence",), 4: ("evidence",)},
        6: {3: ("about",), 4: ("evidence",), 5: ("cause", "request", "evidence")},
        7: {3: ("version",), 6: ("evidence",)},
        8: {3: ("version",), 7: ("authorised by",)},
        9: {8: ("deployment",)},
        10: {9: ("about",)},
        11: {3: ("version",), 9: ("incident",)},
    }


def test_around_a_thing_are_its_ancestors_and_descendants_only():
    graph = connect(
        [
            *LIFE,
            row(12, "dataset.registered", "dataset:other@1"),
            row(13, "run.completed", "run:else", inputs=[ref("dataset:tx@1")]),
        ]
    )

    def shown(subject: str) -> list[int]:
        return [node["index"] for node in graph.around(subject).nodes]

    assert shown("model:m@1") == shown("model:m") == list(range(12))
    assert shown("run:else") == [0, 13]
    assert shown("dataset:other@1") == [12]
    assert shown("dataset:tx@1") == [*range(12), 13]
    assert graph.around("model:none") == Graph((), ())


def test_a_name_means_what_was_said_of_it_last_or_the_digest_that_is_given():
    found = edges(
        row(0, "dataset.registered", "dataset:tx", digest=A),
        row(1, "dataset.registered", "dataset:tx", digest=B),
        row(2, "run.started", "run:r", inputs=[ref("dataset:tx", A)]),
        row(3, "run.started", "run:s", inputs=[ref("dataset:tx")]),
    )
    assert found == {2: {0: ("input",)}, 3: {1: ("input",)}}


def test_what_is_named_before_it_is_recorded_has_no_entry_to_point_at():
    assert edges(row(0, "version.registered", "model:m@1", run="run:r"), row(1, "run.completed", "run:r")) == {}


def test_void_entries_neither_refer_nor_are_named():
    found = edges(
        row(0, "dataset.registered", "dataset:tx@1", "void"),
        row(1, "run.started", "run:r", inputs=[ref("dataset:tx@1")]),
        row(2, "run.completed", "run:r", "void", causation="id-1"),
    )
    assert found == {}


def test_a_reference_by_role_and_to_an_event_without_a_state_of_its_own():
    found = edges(
        row(0, "monitor.signal", "monitor:auc"),
        row(1, "incident.opened", "incident:i", refs=[ref("monitor:auc", role="seen-in")]),
        row(2, "monitor.signal", "monitor:auc"),
    )
    assert found == {1: {0: ("seen-in",)}}


@pytest.mark.parametrize(
    "odd", [5, "x", None, [5], [[]], {"a": 1}, [{"subject": 5}], [{"index": "1"}], [{"index": -1}]]
)
@pytest.mark.parametrize("name", ["inputs", "outputs", "refs", "evidence", "run", "model", "request", "digest"])
def test_an_authors_own_field_of_that_name_is_no_reference(name: str, odd: Any):
    assert edges(row(0, "run.completed", "run:r"), row(1, "external.observed", "x:y", **{name: odd})) == {}


def test_nothing_points_forward_or_at_itself():
    found = edges(row(0, "incident.noted", "incident:i", evidence=[{"index": 0}, {"index": 7}], causation="id-0"))
    assert found == {}
