"""What became of the authorisation of a version before it was reported live: `authorising.covered` in words.

One authorisation holds in a deployment at a time. It is over when another one follows, whatever that is for, with a
rollback, a hold of its version, and a demotion of it in that environment; one in an emergency also when its review is
due, or found it unjustified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger.entry import format_time
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from projections.base import ViewReader
from projections.journal import JournalRow, journal_rows

__all__ = ["ENDING", "Ended", "ended", "ended_of"]

#: Types of entries that may end an authorisation, or are one.
ENDING: Final = (
    "deployment.authorised", "deployment.held", "emergency.reviewed", "rollback.completed", "version.demoted",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """An authorisation that was over.

    Attributes:
        given: its entry.
        by: the entry that ended it; its own when nothing did but time.
        words: what that did.
    """

    given: JournalRow
    by: JournalRow
    words: str


def ended(rows: Sequence[JournalRow], report: JournalRow) -> Ended | None:
    """How the last authorisation of what was reported live was over by then; None when there was none, or it was not.

    Args:
        rows: valid entries of the types `ENDING` in log order, of the deployment and the model, or more.
        report: the entry by which a version is live, or a canary.
    """
    place, model, digest = report["stream"], report["data"]["model"], report["data"]["digest"]
    given, over = None, None
    for row in rows:
        if row["index"] >= report["index"]:
            break
        data = row["data"]
        mine = row["type"] == "deployment.authorised" and (data["model"], data["digest"]) == (model, digest)
        if mine and row["stream"] == place:
            given, over = row, None
        elif given is not None and over is None and (words := _ends(row, given)):
            over = Ended(given, row, words)
    return over or (None if given is None else _overdue(given, rows, report))


def _ends(row: JournalRow, given: JournalRow) -> str | None:
    """How an entry ends an authorisation; None when it does not."""
    data, model = row["data"], given["data"]["model"]
    here = row["stream"] == given["stream"]
    match row["type"]:
        case "deployment.authorised" if here:
            return f"entry {row['index']} authorised {data['model']} in its place"
        case "rollback.completed" if here:
            return f"the rollback of entry {row['index']} ended it"
        case "deployment.held" if here and data["model"] == model:
            return f"entry {row['index']} put {model} on hold"
        case "emergency.reviewed" if data["decision"] == given["id"] and data["verdict"] == "unjustified":
            return f"the review of entry {row['index']} found it unjustified"
        case "version.demoted" if row["subject"] == model:
            environment = parse_name(given["stream"]).namespace
            return f"entry {row['index']} demoted {model} there" if data["environment"] == environment else None
    return None


def _overdue(given: JournalRow, rows: Sequence[JournalRow], report: JournalRow) -> Ended | None:
    """An emergency covers nothing more from when its review is due until that finds it justified."""
    urgent = given["data"].get("emergency")
    if not urgent or parse_moment(urgent["review_by"]) > report["recorded_at"]:
        return None
    reviews = (row for row in rows if row["type"] == "emergency.reviewed" and row["index"] < report["index"])
    if any(row["data"]["decision"] == given["id"] for row in reviews):
        return None
    by = format_time(parse_moment(urgent["review_by"]))
    return Ended(given, given, f"nobody had reviewed the emergency by {by}")


def ended_of(views: ViewReader, state: dict[str, Any], period: dict[str, Any]) -> dict[str, Any] | None:
    """How the authorisation of something unauthorised was over when it was last reported.

    Args:
        views: the views.
        state: of the deployment, as `model_state.state_as_of` gives it.
        period: in which it is live, or a canary, as `model_state.periods` gives it.

    Returns:
        Plain values: ``authorised`` (its entry), ``index`` of what ended it, and ``words``. None where something else
        is the reason.
    """
    if "unauthorised" not in period["marks"]:
        return None
    which, last = (period["model"], period["digest"]), state[period["how"]]
    same = last is not None and (last["model"], last["digest"]) == which
    index = last["index"] if same else period["index"]
    streams = [state["deployment"], stream_of(period["model"])]
    rows = journal_rows(views, [("stream", "IN", streams), ("verdict", "=", "valid")], size=index + 1)
    over = ended(rows, rows[-1])
    return None if over is None else {
        "authorised": over.given["index"], "index": over.by["index"], "words": over.words,
    }  # fmt: skip
