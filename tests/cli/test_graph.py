"""`muniment log --graph`: lanes, lines, and the same as nodes and edges."""

from __future__ import annotations

import csv

from cli.graph import draw
from projections.graph import connect
from tests.cli.support import Shop, run, run_process
from tests.projections.test_graph import LIFE


def told(shop: Shop) -> None:
    shop.people()
    shop.version(signer="p-author")
    shop.release()


def test_a_lane_for_each_stream_with_lines_to_what_it_rests_on():
    drawn = [drawing.cells for _, drawing in draw(connect(LIFE))]
    assert drawn == [
        "●",
        "├─●",
        "├─●",
        "│ ╰─●",
        "╰───●",
        "    ●",
        "    ●",
        "●───┤",
        "●───┤",
        "├─● │",
        "│ ● │",
        "●─┴─╯",
    ]


def test_an_entry_that_is_not_shown_is_not_drawn_but_named():
    graph = connect(LIFE).only({4, 6})
    assert [drawing.cells for _, drawing in draw(graph)] == ["●", "●"]
    assert {edge.target for edge in graph.edges if edge.source == 6} == {3, 4, 5}


def test_the_graph_of_a_release_on_either_backend(any_shop: Shop):
    told(any_shop)
    lines = run("log", "--graph", "model:tx@1").good().out.splitlines()
    assert any("approval.granted" in line for line in lines)
    assert any("request" in line and "evidence" in line and "←" in line for line in lines)
    assert max(map(len, lines)) <= 120
    found = run("log", "--graph", "model:tx@1", "-o", "json").good().json
    assert list(found) == ["origin", "size", "nodes", "edges"]
    assert list(found["nodes"][0]) == [
        "index", "occurred_at", "recorded_at", "type", "subject", "stream", "actor", "verdict", "marks", "id",
    ]  # fmt: skip
    kinds = {node["index"]: node["type"] for node in found["nodes"]}
    said = {(kinds[e["from"]], kinds[e["to"]]): e["relations"] for e in found["edges"]}
    assert said["evaluation.completed", "version.registered"] == ["about"]
    assert said["approval.granted", "approval.requested"] == ["cause", "request", "evidence"]
    assert said["approval.granted", "evaluation.completed"] == ["evidence"]
    assert said["deployment.authorised", "approval.granted"] == ["evidence"]
    assert said["deployment.completed", "deployment.authorised"] == ["authorised by"]
    assert "actor.enrolled" not in kinds.values()


def test_lines_and_rows_say_what_each_rests_on(shop: Shop):
    told(shop)
    lines = run("log", "--graph", "-o", "ndjson").good().lines
    assert [line["index"] for line in lines] == list(range(shop.size()))
    assert lines[-1]["rests_on"][-1]["relations"] == ["authorised by"]
    rows = list(csv.DictReader(run("log", "--graph", "-o", "csv").good().out.splitlines()))
    assert rows[-1]["rests_on"].endswith("authorised by")


def test_it_can_be_narrowed(shop: Shop):
    told(shop)
    assert len(run("log", "--graph", "-n", 2, "-o", "ndjson").good().lines) == 2
    lines = run("log", "--graph", "--type", "approval", "-o", "ndjson").good().lines
    assert {line["type"] for line in lines} == {"approval.requested", "approval.granted"}
    run("log", "--graph", "model:none").refused(2, "model:none")
    run("log", "--graph", "--reverse").refused(2, "--reverse")
    run("log", "--graph", "--follow").refused(2, "--follow")


def test_ascii_where_there_is_no_more(shop: Shop):
    told(shop)
    done = run_process("log", "--graph", cwd=shop.folder, PYTHONIOENCODING="ascii").good()
    assert done.stdout.isascii()
    assert "<- " in done.out
    assert "*" in done.out
