"""`muniment emitter`: what emitters say of their numbers, and what of these is in the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app, write_options
from cli.output import Grid, print_record, table

if TYPE_CHECKING:
    from ledger.appending import Receipt
    from ledger.application import Ledger
    from ledger.emitters import EmitterReport

__all__ = ["describe_emitter", "emitter", "emitter_remarks", "examine_emitters", "now", "survey_of"]

_COLUMNS = (
    "actor", "emitter", "highest", "missing", "ranges", "declared", "late", "closed.last", "after_close",
    "heartbeat.heard", "heartbeat.interval", "overdue",
)  # fmt: skip
#: Emitters that `doctor` names.
_SHOWN = 20


def now() -> int:
    """Microseconds since the Unix epoch, by this machine."""
    return time.time_ns() // 1000


def describe_emitter(item: EmitterReport, moment: int) -> dict[str, Any]:
    """An emitter as data.

    Args:
        item: its numbers.
        moment: when it is asked, microseconds since the Unix epoch.
    """
    from ledger.entry import format_time

    closed, beat = item.closed, item.heartbeat
    return {
        "actor": item.actor,
        "emitter": item.emitter,
        "highest": item.highest,
        "missing": item.missing,
        "ranges": [list(span) for span in item.ranges],
        "declared": [
            {
                "index": gap.index,
                "declared_by": gap.by,
                "first": gap.first,
                "last": gap.last,
                "absent": gap.absent,
                "reason": gap.reason,
            }
            for gap in item.declared
        ],
        "late": item.late,
        "closed": None if closed is None else {"index": closed.index, "last": closed.last},
        "after_close": item.after_close,
        "heartbeat": None
        if beat is None
        else {"index": beat.index, "last": beat.last, "interval": beat.interval, "heard": format_time(beat.heard)},
        "overdue": 0 if beat is None else beat.overdue(moment),
    }


def emitter_remarks(item: EmitterReport, moment: int) -> Iterator[tuple[str, str]]:
    """Lines about an emitter that are neither a finding nor a gap, each with its colour; see `describe_emitter`."""
    from ledger.entry import format_time

    name, beat = f"emitter {item.emitter} of {item.actor}", item.heartbeat
    if item.late:
        yield f"  {item.late} event(s) of {name} overtook the one before: late arrivals, legal", ""
    if item.after_close and item.closed is not None:
        words = f"{item.after_close} event(s) of {name} are numbered beyond {item.closed.last}"
        yield f"? {words}, which it called its last in entry {item.closed.index}", "yellow"
    if beat is not None and (late := beat.overdue(moment)):
        words = f"{name} is silent since {format_time(beat.heard)}: {late} interval(s) of {beat.interval} s have passed"
        yield f"? {words}", "yellow"


def survey_of(ledger: Ledger) -> list[EmitterReport]:
    """All emitters of which there is something to tell."""
    from ledger.emitters import survey

    recorder, world = ledger.recorder, ledger.world
    world.refresh()
    with recorder.snapshot():
        _, missing = recorder.sequence_faults(0)
        entries = [recorder.rows(index, 1)[0].entry for index, _ in missing]
        return survey(recorder, world.judge_row, [(entry.actor, entry.emitter) for entry in entries])


def examine_emitters(ledger: Ledger) -> Iterator[tuple[str, str, str, str]]:
    """What `doctor` says of emitters: name, state, words and hint of each check."""
    found, moment = survey_of(ledger), now()
    counts = {
        "missing": sum(item.missing > 0 for item in found),
        "declared": sum(bool(item.declared) for item in found),
        "late": sum(item.late > 0 for item in found),
        "silent": sum(item.heartbeat is not None and item.heartbeat.overdue(moment) > 0 for item in found),
        "closed": sum(item.closed is not None for item in found),
    }
    if not found:
        return
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none with anything missing"
    yield "emitters", "good", f"{len(found)} that tell of their numbers, or have gaps: {words}", ""
    odd = [item for item in found if item.missing or item.after_close or _silent(item, moment)]
    for item in odd[:_SHOWN]:
        yield f"emitter {item.emitter}", "warning", _state(item, moment), _hint(item, moment)
    if len(odd) > _SHOWN:
        yield "more emitters", "warning", f"{len(odd) - _SHOWN} more are missing or silent", "muniment emitter list"


def _silent(item: EmitterReport, moment: int) -> int:
    return 0 if item.heartbeat is None else item.heartbeat.overdue(moment)


def _state(item: EmitterReport, moment: int) -> str:
    parts = []
    if item.missing:
        numbers = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in item.ranges)
        parts.append(f"{item.missing} event(s) are not in the log: {numbers}")
    parts += [line.strip("? ") for line, _ in emitter_remarks(item, moment)]
    return f"of {item.actor}; " + "; ".join(parts)


def _hint(item: EmitterReport, moment: int) -> str:
    if item.missing:
        return f"If they will not come, say why: muniment emitter gap {item.emitter} --first … --last … --reason …"
    if _silent(item, moment):
        return f"Look after it; when it has ended, say so: muniment emitter close {item.emitter} --last {item.highest}"
    return "Find out who else signs with its id and key."


@click.group(short_help="Say and see which numbers of emitters are missing, and why.")
def emitter() -> None:
    """Emitters number their events, so that an omission shows: here they say where their numbers end."""


def _subject(emitter_id: str) -> str:
    from uuid import UUID

    try:
        good = str(UUID(emitter_id)) == emitter_id
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter(f"{emitter_id!r} is no emitter id: it is a UUID in lower case", param_hint="EMITTER")
    return f"emitter:{emitter_id}"


def _say(app: App, type: str, emitter_id: str, body: dict[str, Any], options: dict[str, Any]) -> None:
    """Record what is said of an emitter unless the log says otherwise; what was said before may be repeated."""
    from ledger.emitters import check_said

    subject = _subject(emitter_id)

    def step(ledger: Ledger) -> Receipt:
        actor, event_id = str(ledger.actor), options["event_id"]
        if event_id is None or ledger.recorder.find(event_id, actor) is None:
            ledger.world.refresh()
            pair = (body.get("actor") or actor, emitter_id)
            check_said(ledger.recorder, ledger.world.judge_row, pair, type, body["last"], first=body.get("first", 0))
        return ledger.emit(type, subject, body, **options)

    app.record(step)


_number = click.IntRange(1, 2**53 - 1)
_emitter_argument = click.argument("emitter_id", metavar="EMITTER")


@emitter.command("close")
@_emitter_argument
@click.option("--last", type=_number, required=True, help="The highest number it gave out.")
@write_options
@pass_app
def close(app: App, /, emitter_id: str, last: int, **options: Any) -> None:
    """Say that an emitter of yours has given out its last number.

    What is not in the log up to there is missing from then on, also behind the last event that arrived. A program that
    uses Muniment says it itself: Ledger.close_emitter(), or muniment.open(close_emitter=True). Refused, with exit code
    5, where a higher number is known, or another one was called its last.

    Example: muniment emitter close 019b0000-0000-7000-8000-0000000000e1 --last 1200
    """
    _say(app, "emitter.closed", emitter_id, {"last": last}, options)


@emitter.command("heartbeat")
@_emitter_argument
@click.option("--last", type=_number, required=True, help="The highest number it has given out so far.")
@click.option("--interval", type=click.IntRange(1, 31_622_400), required=True, metavar="SECONDS",
              help="Its next event is recorded within so many seconds.")  # fmt: skip
@write_options
@pass_app
def heartbeat(app: App, /, emitter_id: str, last: int, interval: int, **options: Any) -> None:
    """Say that an emitter of yours is alive; a program does it itself: Ledger.heartbeat().

    Example: muniment emitter heartbeat 019b0000-0000-7000-8000-0000000000e1 --last 40 --interval 3600
    """
    _say(app, "emitter.heartbeat", emitter_id, {"last": last, "interval": interval}, options)


@emitter.command("gap")
@_emitter_argument
@click.option("--first", type=_number, required=True, help="First number that will not come.")
@click.option("--last", type=_number, required=True, help="Last number that will not come.")
@click.option("--reason", required=True, help="Why.")
@click.option("--of", "owner", metavar="ACTOR",
              help="The emitter's actor, when that is not you: for an admin, or who answers for it.")  # fmt: skip
@write_options
@pass_app
def gap(app: App, /, emitter_id: str, first: int, last: int, reason: str, owner: str | None, **options: Any) -> None:
    """Say that numbers of an emitter will not come, and why; they are listed as declared, and no longer as missing.

    Refused, with exit code 5, where all of them are in the log, or lie behind its last number.

    Example: muniment emitter gap 019b0000-0000-7000-8000-0000000000e1 --first 7 --last 9 --reason "disk was lost"
    """
    body = {"first": first, "last": last, "reason": reason, "actor": owner}
    _say(app, "gap.declared", emitter_id, body, options)


@emitter.command("list")
@common_options
@pass_app
def list_emitters(app: App, /) -> None:
    """List emitters that tell of their numbers, and those with numbers missing or late.

    What is said is judged, and the rest of the log is not checked: muniment verify log does that.

    Example: muniment emitter list
    """
    with app.reader() as ledger:
        found, moment = survey_of(ledger), now()
    items = [describe_emitter(item, moment) for item in found]
    if app.output != "text":
        print_record(app, {"emitters": items}, "", Grid(_COLUMNS, items))
        return
    rows = [
        (
            app.display(item.actor), item.emitter, str(item.highest), str(item.missing or ""),
            str(sum(gap.absent for gap in item.declared) or ""), str(item.late or ""),
            "" if item.closed is None else f"at {item.closed.last}", str(_silent(item, moment) or ""),
        )
        for item in found
    ]  # fmt: skip
    names = ("actor", "emitter", "highest", "missing", "declared", "late", "closed", "intervals silent")
    table(app, "Emitters", names, rows)
