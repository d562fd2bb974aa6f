"""Findings of validators: which of them somebody settled who may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ledger.domain.independence import approval_makers, independent
from ledger.domain.lifecycle import Named
from ledger.domain.states import ModelState
from ledger.domain.world import World
from ledger.names import parse_name, stream_of
from projections.gaterows import GateRows, says_of
from projections.journal import JournalRow
from projections.known import Known

__all__ = ["actors_behind", "independent_of", "open_points", "settled"]

#: What became of a finding so that it is not open any more.
_SETTLED: Final = ("fixed", "accepted")
_SEVERITIES: Final = ("critical", "high", "medium", "low")


def actors_behind(row: JournalRow) -> frozenset[str]:
    """Who stands behind an entry: its author, and whom it acted for."""
    return frozenset({row["actor"], row["on_behalf_of"]} - {""})


def settled(rows: Iterable[JournalRow], may: Callable[[JournalRow], bool]) -> set[tuple[str, str]]:
    """Findings that are not open any more, as validation and name.

    What is neither fixed nor accepted opens one again, whoever says so.

    Args:
        rows: entries `finding.disposed`, in log order.
        may: whether the author of one may settle it.
    """
    found: set[tuple[str, str]] = set()
    for row in rows:
        finding = (row["data"]["validation"], row["data"]["finding"])
        if row["data"]["disposition"] not in _SETTLED:
            found.discard(finding)
        elif may(row):
            found.add(finding)
    return found


def independent_of(world: World, about: str, row: JournalRow) -> bool:
    """Whether whoever stands behind an entry neither made nor owns what a finding is about.

    Args:
        world: states as they were known.
        about: a version, or a model: then all its versions.
        row: the entry.
    """
    return all(independent(world, actors_behind(row), makers) for makers in _makers(world, about, row["index"]))


def _makers(world: World, about: str, index: int) -> Iterator[frozenset[str] | None]:
    model, wanted = world.state(stream_of(about)), parse_name(about)
    if not isinstance(model, ModelState):
        return
    yield frozenset(owner for _, owner in model.owners[-1:])
    for name, version in model.versions.items():
        if wanted.version in (None, name):
            named = Named(f"{stream_of(about)}@{name}", wanted, model, version)
            yield approval_makers(world, named, (), max(index, version.index))


def open_points(known: Known, named: Named) -> dict[str, list[dict[str, Any]]]:
    """What validators left open about a version, for whoever decides on it.

    Args:
        known: the ledger, as it was known at a size.
        named: the version.

    Returns:
        ``findings`` that nobody independent called fixed or accepted, by severity, and ``validations``, the last ones
        that did not say pass. What was withdrawn is in neither.
    """
    stem, digest = stream_of(named.subject), named.version.digest
    rows = [
        row for row in GateRows(known)(("stream", "=", stem))
        if row["subject"] in (stem, named.subject) and says_of(row, digest)
    ]  # fmt: skip
    validated = {row["id"]: row for row in rows if row["type"] == "validation.completed"}
    about = {name: row["subject"] for name, row in validated.items()}
    done = settled(
        (row for row in rows if row["type"] == "finding.disposed"),
        lambda row: independent_of(known.world, about.get(row["data"]["validation"], stem), row),
    )
    findings = [
        {"finding": one["id"], "severity": one["severity"], "statement": one["statement"], "validation": row["id"],
         "index": row["index"]}
        for row in validated.values() if row["id"] not in named.model.withdrawn
        for one in row["data"].get("findings") or [] if (row["id"], one["id"]) not in done
    ]  # fmt: skip
    standing = named.model.validations_of(named.name.version or "", digest)
    return {
        "findings": sorted(findings, key=lambda one: _SEVERITIES.index(one["severity"])),
        "validations": [
            {"verdict": one.verdict, "validation": one.id, "index": one.index}
            for one in standing if one.verdict != "pass"
        ],
    }  # fmt: skip
