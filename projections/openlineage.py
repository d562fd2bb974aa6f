"""Lineage as OpenLineage run events (spec 2-0-2), for catalogues that know nothing of a ledger.

What was made is a data set there, whatever it is: a model version has the type MODEL. Each making is a run: our runs,
and for what names no run (a version composed of others, a deployment, an evaluation) one of its own.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid5

from projections.copies import SAME_BYTES

__all__ = ["run_events"]

_PRODUCER: Final = "urn:muniment:producer"
_SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = "https://openlineage.io/spec/facets"
_ENTRIES: Final = "urn:muniment:schema:openlineage.entries.v1"
_ENDED: Final = {"completed": "COMPLETE", "failed": "FAIL", "aborted": "ABORT", "started": "START"}
#: Of these the upstream thing is the run that made the other one.
_MADE: Final = ("made-by", "output-of")
#: What reads and makes nothing that could be read again.
_ENDS: Final = ("deployment", "evaluation")


def _facet(schema: str, **fields: Any) -> dict[str, Any]:
    return {"_producer": _PRODUCER, "_schemaURL": schema, **fields}


def _dataset(namespace: str, node: dict[str, Any]) -> dict[str, Any]:
    name, _, version = str(node["subject"]).partition("@")
    kind = "MODEL" if node["kind"] == "model" else node["kind"].upper()
    schema = f"{_FACETS}/1-0-1/DatasetTypeDatasetFacet.json#/$defs/DatasetTypeDatasetFacet"
    facets = {"datasetType": _facet(schema, datasetType=kind)}
    if version:
        schema = f"{_FACETS}/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
        facets["version"] = _facet(schema, datasetVersion=version)
    return {"namespace": namespace, "name": name, "facets": facets}


def _events(data: dict[str, Any], ledgerid: str, node: dict[str, Any], making: dict[str, Any]) -> list[dict[str, Any]]:
    """The start of a making, and its end unless it goes on."""
    entries = sorted(making["entries"], key=lambda entry: entry["index"])
    said = [{name: entry[name] for name in ("index", "actor", "digest", "suspect")} for entry in entries]
    times = sorted(entry["occurred_at"] for entry in entries)
    ended = _ENDED.get(str(node["status"]), "COMPLETE") if node["kind"] == "run" else "COMPLETE"
    common = {
        "run": {
            "runId": str(uuid5(UUID(ledgerid), node["id"])),
            "facets": {"muniment_entries": _facet(_ENTRIES, entries=said, marks=node["marks"])},
        },
        "job": {"namespace": data["origin"], "name": node["id"].replace(" ", " serving ")},
        "inputs": making["inputs"],
        "outputs": making["outputs"],
        "producer": _PRODUCER,
        "schemaURL": _SPEC,
    }
    states = [("START", times[0]), *([] if ended == "START" else [(ended, times[-1])])]
    return [{"eventType": state, "eventTime": at, **common} for state, at in states]


def run_events(data: dict[str, Any], ledgerid: str) -> list[dict[str, Any]]:
    """The makings on a lineage, in the order in which they are first named; an incident makes nothing.

    Args:
        data: what ``muniment lineage -o json`` prints.
        ledgerid: of the ledger; a run has the same id in every export of it.
    """
    nodes = {node["id"]: node for node in data["nodes"]}
    makings: dict[str, dict[str, Any]] = {}
    for edge in data["edges"]:
        if nodes[edge["downstream"]]["kind"] == "incident" or edge["relation"] == SAME_BYTES:
            continue  # a copy was not made from what it is one of, as far as anybody said
        made = edge["relation"] in _MADE and nodes[edge["upstream"]]["kind"] == "run"
        at, other = (edge["upstream"], edge["downstream"]) if made else (edge["downstream"], edge["upstream"])
        making = makings.setdefault(at, {"inputs": [], "outputs": [], "entries": []})
        side = making["outputs" if made else "inputs"]
        found = _dataset(data["origin"], nodes[other])
        side += [] if found in side else [found]
        making["entries"] += [entry for entry in edge["entries"] if entry not in making["entries"]]
    for at, making in makings.items():
        if nodes[at]["kind"] not in ("run", *_ENDS):
            making["outputs"].append(_dataset(data["origin"], nodes[at]))
    return [event for at, making in makings.items() for event in _events(data, ledgerid, nodes[at], making)]
