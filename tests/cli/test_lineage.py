"""`muniment lineage` as people type it, and its graphs and events as others read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pydot
import pytest
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent
from openlineage.client.facet_v2 import RunFacet, dataset_type_dataset, dataset_version_dataset
from openlineage.client.serde import Serde

from tests.cli.support import Grow, Shop, digest, run
from tests.cli.test_output import MARKUP, NASTY

SCHEMA = Path(__file__).parents[2] / "schemas" / "reports" / "lineage.v1.json"
DATA, MODEL, PROD = "dataset:tx@1", "model:tx@1", "deployment:prod/tx"
HOSTILE = 'a"b\\ -->|x| ]) <script>alert(1)</script> #quot; %% ; end & é'


def tell(shop: Shop) -> None:
    shop.people()
    run("emit", "dataset.registered", DATA, "-d", f"digest={digest(DATA)}").good()
    read = json.dumps([{"role": "input", "subject": DATA, "digest": digest(DATA)}])
    run("emit", "run.completed", "run:tx", "-d", f"inputs={read}", "-d", f"job={json.dumps(HOSTILE)}").good()
    run("record", "version", MODEL, "--digest", digest(MODEL), "--tier", "high", "--run", "run:tx").good()
    refs = json.dumps([{"role": HOSTILE, "subject": DATA}])
    run("emit", "evaluation.completed", MODEL, "-d", 'metrics={"auc": 0.9}', "-d", 'verdict="pass"',
        "-d", f"dataset={DATA}", "-d", f"refs={refs}").good()  # fmt: skip
    shop.release()
    title = json.dumps(MARKUP + HOSTILE)
    run("emit", "incident.opened", "incident:1", "-d", f"title={title}", "-d", f"deployment={PROD}").good()


@pytest.fixture
def told(grow_any: Grow) -> Shop:
    """From data to an incident, with texts that diagrams would stumble over."""
    return grow_any(tell)


def test_a_tree_tells_each_thing_once(told: Shop):
    shown = run("lineage", DATA, "--down").good()
    lines = shown.out.splitlines()
    assert lines[:2] == ["led to", f"  {DATA}"]
    assert [line for line in lines if MODEL in line and "serving" not in line] == [
        line for line in lines if f"→ {MODEL}" in line
    ]
    assert sum("[open]" in line for line in lines) == 1
    assert sum(line.endswith("(above)") for line in lines) == 2, shown.out
    assert "serving model:tx@1  [live, since " in shown.out
    assert "known at size" in shown.err
    assert "Cut" not in shown.err
    cut = run("lineage", DATA, "--down", "--depth", "1").good()
    assert f"Cut at --depth 1: more follows from {MODEL}, run:tx (marked …)" in cut.err
    assert [line.endswith(" …") for line in cut.out.splitlines()[2:]] == [True, False, True], "the evaluation ends"
    assert "Cut at --depth 0" in run("lineage", DATA, "--depth", "0", "-o", "mermaid").good().err
    up = run("lineage", "incident:1", "--up").good().out
    assert up.index(PROD) < up.index("run:tx") < up.index(DATA)
    assert "led to" not in up


def test_json_is_as_its_schema_says(told: Shop):
    schema = json.loads(SCHEMA.read_text())
    for options in ((), ("--up",), ("--down", "--depth", "1"), ("--known-at", "8")):
        found = run("lineage", DATA, *options, "-o", "json").good().json
        jsonschema.validate(found, schema)
    assert run("lineage", DATA, "-o", "ndjson").good().json["nodes"] == run("lineage", DATA, "-o", "json").json["nodes"]


def test_what_is_not_known_is_refused(told: Shop):
    run("lineage", "dataset:none@1").refused(2, "nothing was known", "muniment log")
    run("lineage", NASTY).refused(2)
    run("lineage", DATA, "--known-at", "3").refused(2, "nothing was known")
    run("lineage", DATA, "-o", "png").refused(2, "mermaid")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pydot's, of its own parser library
def test_dot_is_read_by_a_foreign_parser(told: Shop):
    found = run("lineage", DATA, "-o", "json").good().json
    graphs = pydot.graph_from_dot_data(run("lineage", DATA, "-o", "dot").good().out)
    assert graphs is not None
    (graph,) = graphs
    names = {node.get_name().strip('"') for node in graph.get_nodes()}
    assert names == {node["id"] for node in found["nodes"]}
    ends = sorted((edge.get_source().strip('"'), edge.get_destination().strip('"')) for edge in graph.get_edges())
    assert ends == sorted((edge["upstream"], edge["downstream"]) for edge in found["edges"])
    label = next(str(node.get("label")) for node in graph.get_nodes() if "incident" in node.get_name())
    assert (label[0], label[-1]) == ('"', '"')
    assert re.sub(r"\\(.)", r"\1", label[1:-1].replace("\\n", "\n")).endswith(MARKUP + HOSTILE)


#: One statement a line; in what is quoted nothing but what is tame, and entity codes.
_QUOTED = r'"(?:[^"#<>&`\\|;%()\[\]{}]|#\d+;|<br/>)*"'
_MERMAID = re.compile(
    rf"flowchart LR|  n\d+(?:\[\(|\[\[|\(\[|\[/|\{{\{{|\[|>){_QUOTED}(?:\)\]|\]\]|\]\)|/\]|\}}\}}|\])"
    rf"|  n\d+ -->\|{_QUOTED}\| n\d+|  classDef \w+ [\w:#,-]+|  class n\d+(?:,n\d+)* \w+"
)


def test_mermaid_has_nothing_that_it_would_not_read_as_text(told: Shop):
    """There is no parser of Mermaid in Python; each line must be of the few forms that we mean to write."""
    lines = run("lineage", DATA, "-o", "mermaid").good().out.splitlines()
    for line in lines:
        assert _MERMAID.fullmatch(line), line
    assert any("classDef live" in line for line in lines)
    assert "script" in "".join(lines)
    assert "<script" not in "".join(lines)


def test_openlineage_is_read_by_its_client(told: Shop):
    events = run("lineage", DATA, "-o", "openlineage").good().json
    jobs = {event["job"]["name"]: event for event in events}
    assert set(jobs) == {
        MODEL,  # by the reference of its evaluation
        "run:tx",
        f"{PROD} serving {MODEL}",
        *(name for name in jobs if name.startswith("evaluation:")),
    }
    assert [event["eventType"] for event in events if event["job"]["name"] == "run:tx"] == ["START", "COMPLETE"]
    trained = jobs["run:tx"]
    assert ([one["name"] for one in trained["inputs"]], [one["name"] for one in trained["outputs"]]) == (
        ["dataset:tx"], ["model:tx"],
    )  # fmt: skip
    for event in events:
        assert _told_again(event) == event
    again = run("lineage", DATA, "-o", "openlineage").good().json
    assert again == events, "a run has the same id in every export"


def _told_again(event: dict[str, Any]) -> dict[str, Any]:
    """The event as OpenLineage's own client would write it, whose classes check ids, times and URLs."""

    def dataset(kind: type[Any], one: dict[str, Any]) -> Any:
        facets: dict[str, Any] = {"datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(
            datasetType=one["facets"]["datasetType"]["datasetType"], producer=one["facets"]["datasetType"]["_producer"]
        )}  # fmt: skip
        if "version" in one["facets"]:
            version = one["facets"]["version"]
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
                datasetVersion=version["datasetVersion"], producer=version["_producer"]
            )
        return kind(one["namespace"], one["name"], facets=facets)

    own = event["run"]["facets"]["muniment_entries"]
    facet = RunFacet(producer=own["_producer"])
    made = RunEvent(
        eventType=event["eventType"], eventTime=event["eventTime"], producer=event["producer"],
        run=Run(event["run"]["runId"], {"muniment_entries": facet}), job=Job(**event["job"]),
        inputs=[dataset(InputDataset, one) for one in event["inputs"]],
        outputs=[dataset(OutputDataset, one) for one in event["outputs"]],
    )  # fmt: skip
    written: dict[str, Any] = json.loads(Serde.to_json(made))
    written["run"]["facets"]["muniment_entries"] = own  # its fields are ours; the client knows what each facet has
    for one in (written["job"], *written["inputs"], *written["outputs"]):
        for name in [name for name, value in one.items() if value == {}]:
            del one[name]
    return written
