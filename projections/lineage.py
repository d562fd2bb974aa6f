"""Lineage: what was made from what, as edges that point upstream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger.domain import RecordedEvent
from ledger.errors import InputError
from ledger.events import Body, Ref
from ledger.events.artifacts import ArtifactProduced
from ledger.events.datasets import DatasetRegistered, DatasetVersioned
from ledger.events.deployments import CanaryStageEntered, DeploymentCompleted, DeploymentPromoted, RollbackCompleted
from ledger.events.evaluations import EvaluationCompleted
from ledger.events.features import FeaturesetChanged, FeaturesetDefined, FeaturesetMaterialized
from ledger.events.incidents import IncidentLinked, IncidentOpened
from ledger.events.models import ModelDescribed, ModelRegistered, VersionComposed, VersionRegistered
from ledger.events.runs import RunAborted, RunAttached, RunCompleted, RunFailed, RunStarted
from ledger.events.serving import ServingSnapshot
from ledger.names import parse_name, stream_of
from ledger.replay import Judged
from projections.base import Column, RowOf, Selection, Table, ViewReader, some_at_a_time
from projections.groups import SIGNALS
from projections.journal import occurred_at, short_type

__all__ = [
    "BASE", "BYTES", "EDGE", "LOADED", "MADE_FROM", "NAMED", "READ", "Lineage", "digests_read", "edges",
    "is_next_version", "named_bytes", "upstream",
]  # fmt: skip

EDGE: Final = Table(
    "lineage_edge",
    (
        Column("position", number=True),
        Column("downstream"),
        Column("relation"),
        Column("upstream"),
        Column("digest"),
        Column("occurred_at", number=True),
        Column("actor"),
    ),
    unique=4,
    indexes=(("downstream", "position"), ("upstream", "position"), ("digest", "position")),
)
#: Under which digest a thing is known, by what was said of it and not of who read it.
BYTES: Final = Table(
    "lineage_bytes",
    (
        Column("position", number=True),
        Column("subject"),
        Column("digest"),
        Column("occurred_at", number=True),
        Column("actor"),
    ),
    indexes=(("subject", "position"), ("digest", "position")),
)
#: Which bytes a deployment was ever told to have loaded, and the first entry that says so; no bytes where a snapshot
#: tells of none. Platforms take snapshots all the time, and what is asked here must not take longer for that.
LOADED: Final = Table(
    "lineage_loaded",
    (
        Column("deployment"),
        Column("digest"),
        Column("position", number=True),
        Column("occurred_at", number=True),
    ),
    unique=2,
    indexes=(("digest",),),
    first=True,
)
#: Which deployments and versions the signals of monitors name, each of which is an entry of the monitor's own stream.
NAMED: Final = Table(
    "lineage_named",
    (
        Column("position", number=True),
        Column("subject"),
    ),
    unique=2,
    indexes=(("subject", "position"),),
)
#: Bodies that say under which digest a thing is known.
_NAMING: Final = (
    DatasetRegistered, DatasetVersioned, FeaturesetDefined, FeaturesetChanged, VersionRegistered, ArtifactProduced,
)  # fmt: skip
#: Relations that carry a fault downstream; being measured on a data set or deployed does not.
MADE_FROM: Final = ("input", "made-by", "derived-from", "output-of", "composed-of", "packaged-as", "base-model")
#: A model, and so each version of it, was made from another one.
BASE: Final = "base-model"
#: Of these the digest is that of the upstream thing, as it was read.
READ: Final = ("input", "derived-from", "composed-of")


@dataclass(frozen=True)
class _Link:
    """A field of some bodies that names what their subject was made from, or, turned round, what was made from it."""

    bodies: tuple[type[Body], ...]
    field: str
    relation: str
    digest: str = ""  # the field with its digest, where it is no reference that has its own
    turned: bool = False
    said: str = ""  # the field in which each body says the relation itself


#: Of types that are not named here only `refs` are followed: a field of the same name is an author's own.
_LINKS: Final = (
    _Link((RunStarted, RunCompleted, RunFailed, RunAborted, RunAttached), "inputs", "input"),
    _Link((RunCompleted, RunAttached), "outputs", "output-of", turned=True),
    _Link((FeaturesetDefined, FeaturesetChanged, FeaturesetMaterialized), "inputs", "input"),
    _Link((DatasetVersioned,), "previous", "derived-from"),
    _Link((VersionRegistered, ArtifactProduced), "run", "made-by"),
    _Link((VersionComposed,), "parents", "composed-of"),
    _Link((ArtifactProduced,), "model", "packaged-as", digest="digest", turned=True),
    _Link((EvaluationCompleted,), "dataset", "evaluated-on", digest="dataset_digest"),
    _Link(
        (DeploymentCompleted, DeploymentPromoted, CanaryStageEntered, RollbackCompleted), "model", "serves",
        digest="digest",
    ),
    _Link((IncidentOpened,), "deployment", "affects"),
    _Link((IncidentOpened,), "model", "affects"),
    _Link((IncidentLinked,), "subject", "", said="relation"),
)  # fmt: skip


def _is_model(said: str | None) -> bool:
    """Whether what a publisher calls a base model is a name of this ledger; else it stays text."""
    try:
        return said is not None and parse_name(said).kind == "model"
    except InputError:
        return False


def _edges(event: RecordedEvent) -> Iterator[tuple[str, str, str, str]]:
    body, subject = event.body, event.payload.subject
    if body is None:
        return
    if isinstance(body, EvaluationCompleted):  # each is a thing of its own, and says something of its subject
        name = f"evaluation:{event.payload.id}"
        yield name, "evaluates", subject, body.digest or ""
        subject = name
    for link in _LINKS:
        if isinstance(body, link.bodies):
            value = getattr(body, link.field)
            for item in value if isinstance(value, tuple) else () if value is None else (value,):
                name, digest = (item.subject, item.digest) if isinstance(item, Ref) else (item, None)
                digest = digest or (link.digest and getattr(body, link.digest)) or ""
                relation = getattr(body, link.said) if link.said else link.relation
                yield (name, relation, subject, digest) if link.turned else (subject, relation, name, digest)
    if isinstance(body, ModelRegistered | ModelDescribed) and _is_model(body.base_model):
        yield subject, BASE, body.base_model or "", ""
    for ref in body.refs:
        yield event.payload.subject, ref.role, ref.subject, ref.digest or ""


class Lineage:
    """The lineage projection."""

    name = "lineage"
    version = 7
    tables = (EDGE, BYTES, LOADED, NAMED)

    def rows(self, judged: Judged) -> Iterator[RowOf]:
        """See `Projection.rows`."""
        event = judged.event
        if event is None or judged.verdict.kind != "valid":
            return
        if isinstance(event.body, _NAMING) and event.body.digest is not None:
            said = (event.payload.subject, event.body.digest, occurred_at(judged), event.actor)
            yield BYTES, (event.index + 1, *said)
        if short_type(event.payload.type) in SIGNALS:
            named = {str(event.payload.data.get(name) or "") for name in ("deployment", "model")}
            for name in sorted(named - {"", event.payload.subject}):
                yield NAMED, (event.index + 1, name)
        if isinstance(event.body, ServingSnapshot):
            for digest in sorted({one.digest for one in event.body.loaded}) or [""]:
                yield LOADED, (event.stream, digest, event.index + 1, occurred_at(judged))
        found = {edge[:3]: edge[3] for edge in _edges(event)}  # one event names a pair and its relation once
        for (downstream, relation, upstream_name), digest in sorted(found.items()):
            yield EDGE, (event.index + 1, downstream, relation, upstream_name, digest, occurred_at(judged), event.actor)


def edges(
    views: ViewReader, side: str, names: Sequence[str], *, size: int, where: Selection = ()
) -> Iterator[dict[str, Any]]:
    """Edges that things have on one side.

    Args:
        views: the views.
        side: ``downstream`` for what the things were made from, ``upstream`` for what was made from them, ``digest``
            for what names these bytes.
        names: the things, or digests.
        size: log size that was known.
        where: further conditions.
    """
    for some in some_at_a_time(names):
        yield from views.select(EDGE, [(side, "IN", some), ("position", "<=", size), *where])


def named_bytes(
    views: ViewReader, side: str, values: Sequence[str], *, size: int, where: Selection = ()
) -> Iterator[dict[str, Any]]:
    """What is said of the bytes of things.

    Args:
        views: the views.
        side: ``subject`` for the digests of these things, ``digest`` for the things that have these.
        values: the things, or digests.
        size: log size that was known.
        where: further conditions.
    """
    for some in some_at_a_time(values):
        yield from views.select(BYTES, [(side, "IN", some), ("position", "<=", size), *where])


def _edges_from(views: ViewReader, names: Sequence[str], size: int) -> Iterator[dict[str, Any]]:
    return edges(views, "downstream", names, size=size, where=[("relation", "IN", MADE_FROM)])


def upstream(views: ViewReader, subject: str, *, size: int, previous: bool = True) -> dict[str, int]:
    """Everything a thing was made from, by following edges upstream.

    Args:
        views: the views.
        subject: where to start, for example ``model:tx@2``.
        size: log size that was known.
        previous: whether to go from data to an earlier version of it, which is what was put right.

    Returns:
        Subject to number of steps; the start itself is 0.
    """
    found = {subject: 0}
    frontier = [subject]
    depth = 0
    while frontier:  # nothing is found twice, so circles end
        depth += 1
        rows = _edges_from(views, frontier, size)
        names = {
            row["upstream"] for row in rows
            if previous or not is_next_version(row["downstream"], row["relation"], row["upstream"])
        }  # fmt: skip
        frontier = sorted(names - found.keys())
        found.update(dict.fromkeys(frontier, depth))
    return found


def is_next_version(downstream: str, relation: str, upstream_name: str) -> bool:
    """Whether data was made from an earlier version of it: how what was wrong is put right, so no fault goes on."""
    of_data = relation in READ and downstream.startswith("dataset:")
    return of_data and stream_of(downstream) == stream_of(upstream_name)


def digests_read(views: ViewReader, subjects: Iterable[str], *, size: int) -> dict[str, set[str]]:
    """Under which digests things were read: the name alone does not tell when a thing without versions changed.

    Args:
        views: the views.
        subjects: who read, for example everything `upstream` found.
        size: log size that was known.

    Returns:
        Name of what was read to the digests it was read as.
    """
    found: dict[str, set[str]] = {}
    for row in _edges_from(views, sorted(subjects), size):
        if row["digest"]:
            found.setdefault(row["upstream"], set()).add(row["digest"])
    return found
