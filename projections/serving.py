"""What is really loaded in a deployment, by its serving snapshots, against what the ledger says is live there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from ledger.entry import format_time
from projections.asof import AsOf
from projections.base import ViewReader, some_at_a_time
from projections.journal import JournalRow, journal_rows
from projections.loaded import names_of
from projections.service import Service, Tenure, read_service

__all__ = ["Serving", "read_serving", "snapshots"]

#: How far back is looked for a snapshot of all instances; what is older says nothing of what is loaded now.
_SPANS: Final = (3_600_000_000, 86_400_000_000, 30 * 86_400_000_000)
#: Shares are measured.
_TOLERANCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One version that an instance has loaded, by a snapshot."""

    instance: str
    digest: str
    model: str | None
    traffic: float | None


@dataclass(frozen=True)
class Serving:
    """What a deployment has loaded.

    Attributes:
        deployment: its name.
        at: when the last snapshot was taken; None without one.
        index: its entry.
        instances: how many are known.
        outdated: something went live since.
        findings: what is not as the ledger says, each with ``kind``, ``words`` and what it is about.
    """

    deployment: str
    at: int | None = None
    index: int | None = None
    instances: int = 0
    outdated: bool = False
    findings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """``matches``, ``mismatch``, ``outdated`` or ``not known``."""
        if self.at is None:
            return "not known"
        return "outdated" if self.outdated else "mismatch" if self.findings else "matches"

    def describe(self) -> dict[str, Any]:
        """For machines."""
        return {
            "state": self.state,
            "at": None if self.at is None else format_time(self.at),
            "index": self.index,
            "instances": self.instances,
            "findings": self.findings,
        }


def snapshots(views: ViewReader, as_of: AsOf, names: Iterable[str]) -> dict[str, list[JournalRow]]:
    """For each deployment the last snapshot of all instances and those of some since, in order of occurrence."""
    end, found = min(as_of.bound, as_of.recorded_at), {name: list[JournalRow]() for name in names}
    left = set(found)
    for span in _SPANS:
        since = _since(views, as_of, sorted(left), end - span)
        for name in sorted(left):
            rows = since.get(name, [])
            whole = [place for place, row in enumerate(rows) if row["data"].get("complete", True)]
            found[name] = rows[whole[-1] :] if whole else rows
            # What happened since was recorded since, so nothing behind such a snapshot is left out.
            if whole and rows[whole[-1]]["occurred_at"] > end - span:
                left.discard(name)
    return found


def _since(views: ViewReader, as_of: AsOf, names: list[str], since: int) -> dict[str, list[JournalRow]]:
    found: dict[str, list[JournalRow]] = {}
    for some in some_at_a_time(names):
        where: list[tuple[str, str, Any]] = [("stream", "IN", some), ("type", "=", "serving.snapshot")]
        where += [("verdict", "=", "valid"), ("occurred_at", "<=", as_of.bound), ("recorded_at", ">", since)]
        rows = journal_rows(views, where, size=as_of.size)
        for row in sorted(rows, key=lambda row: (row["occurred_at"], row["index"])):
            found.setdefault(row["stream"], []).append(row)
    return found


def _loaded(rows: list[JournalRow]) -> list[_Loaded]:
    """What each instance has loaded, by the last snapshot that names it."""
    found: dict[str, list[_Loaded]] = {}
    for row in rows:
        new: dict[str, list[_Loaded]] = {}
        for number, item in enumerate(row["data"]["loaded"], start=1):
            instance = item.get("instance") or f"#{number}"
            one = _Loaded(instance, item["digest"], item.get("model"), item.get("traffic"))
            new.setdefault(instance, []).append(one)
        found.update(new)
    return [one for items in found.values() for one in items]


def _finding(kind: str, words: str, items: list[_Loaded], model: str | None = None) -> dict[str, Any]:
    digests = sorted({item.digest for item in items})
    return {
        "kind": kind, "words": words, "model": model, "digests": digests,
        "instances": sorted({item.instance for item in items}),
    }  # fmt: skip


def _strangers(views: ViewReader, as_of: AsOf, service: Service, loaded: list[_Loaded]) -> Iterator[dict[str, Any]]:
    """Versions that are neither live nor a canary."""
    serving = {tenure.digest for tenure in service.serving()}
    before = {digest: model for model, digest in service.seen}
    strange = list(dict.fromkeys(item.digest for item in loaded if item.digest not in serving))
    names = names_of(views, as_of, (digest for digest in strange if digest not in before))
    for digest in strange:
        items = [item for item in loaded if item.digest == digest]
        live = "nothing is" if service.live is None else f"{service.live.model} is"
        if digest in before:
            words = f"{before[digest]} is still loaded, and {live} live"
            yield _finding("former version", words, items, before[digest])
        elif digest in names:
            first, *others = names[digest]
            also = f" (the same bytes as {', '.join(others)})" if others else ""
            words = f"{first}{also} is loaded, which never was live here, and {live} live"
            yield _finding("unknown version", words, items, first)
        else:
            words = f"a version is loaded that nobody registered and that never was live here, and {live} live"
            yield _finding("unknown version", words, items)


def _mislabelled(service: Service, loaded: list[_Loaded]) -> Iterator[dict[str, Any]]:
    """Versions that say that they are another one."""
    names = {tenure.digest: tenure.model for tenure in service.serving()}
    for item in loaded:
        if item.model is not None and names.get(item.digest, item.model) != item.model:
            words = f"what is loaded says that it is {item.model}, and has the digest of {names[item.digest]}"
            yield _finding("wrong name", words, [item], item.model)


def _shares(service: Service, loaded: list[_Loaded], *, whole: bool) -> Iterator[dict[str, Any]]:
    """Canaries that get more than the share of their stage."""
    for canary in service.canaries.values():
        share = canary.stages[-1]["traffic"]
        items = [item for item in loaded if item.digest == canary.digest]
        told = [item.traffic for item in items if item.traffic is not None]
        if told and sum(told) > share + _TOLERANCE:
            words = f"{canary.model} gets {sum(told):.0%} of the traffic, and its stage allows {share:.0%}"
            yield _finding("above its share", words, items, canary.model)
        elif not told and whole and len(items) > ceil(share * len(loaded)):
            words = f"{canary.model} is loaded {len(items)} times of {len(loaded)}, and its stage allows {share:.0%}"
            yield _finding("above its share", words, items, canary.model)


def _missing(live: Tenure | None, loaded: list[_Loaded]) -> Iterator[dict[str, Any]]:
    if live is not None and all(item.digest != live.digest for item in loaded):
        yield _finding("not loaded", f"{live.model} is live, and no instance has loaded it", [], live.model)


def read_serving(views: ViewReader, as_of: AsOf, name: str) -> Serving:
    """What a deployment has loaded, compared with what was live when that was looked at.

    During a canary some instances have the new version and some the old one: both are right, as long as the new one
    gets no more than the share of its stage.

    Args:
        views: the views.
        as_of: both clocks.
        name: ``deployment:<environment>/<service>``.
    """
    rows = snapshots(views, as_of, [name])[name]
    if not rows:
        return Serving(name)
    at, whole = rows[-1]["occurred_at"], bool(rows[0]["data"].get("complete", True))
    then = read_service(views, AsOf(at, as_of.size, as_of.root, as_of.recorded_at), name)
    now = read_service(views, as_of, name)
    loaded = _loaded(rows)
    findings = [*_strangers(views, as_of, then, loaded), *_mislabelled(then, loaded)]
    findings += _shares(then, loaded, whole=whole)
    if whole:
        findings += _missing(then.live, loaded)
    changed = (now.live and now.live.key) != (then.live and then.live.key)
    return Serving(name, at, rows[-1]["index"], len({item.instance for item in loaded}), changed, findings)
