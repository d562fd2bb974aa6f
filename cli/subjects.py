"""`muniment subject` and `muniment hold`: erasing what is recorded about a data subject, and what forbids it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, new_passphrase, pass_app, write_options
from cli.output import Grid, print_record, table

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.erasing import Erased, Plan

__all__ = ["hold", "subject"]

_ERASURE_COLUMNS = (
    "record",
    "subject",
    "erased_by",
    "basis",
    "reason",
    "recorded_at",
    "data_keys",
    "withheld",
    "state",
)
_HOLD_COLUMNS = ("hold", "record", "placed_by", "subjects", "matter", "reason", "custodian", "authority")


@click.group(short_help="Erase what is recorded about a data subject.")
def subject() -> None:
    """Data subjects: whose sealed fields and withheld contents are erased on whose word."""


def _forget(app: App, name: str) -> Callable[[], str]:
    kind, _, actor = name.partition(":")

    def forget() -> str:
        if kind in ("person", "actor") and app.home.forget_name(actor):
            return "the display name is gone from people.json here; other machines have files of their own"
        return ""

    return forget


def _purge_views(app: App, ledger: Ledger) -> Callable[[], str]:
    from projections.catalogue import open_shared_runner

    def purge() -> str:
        runner = open_shared_runner(ledger, app.home.url)
        try:
            runner.purge()
        finally:
            runner.views.close()
        return ""

    return purge


@subject.command("erase")
@click.argument("name", metavar="SUBJECT")
@click.option("--reason", required=True, help="Why, in words that name nobody.")
@click.option("--basis", required=True, help="Legal or contractual basis, for example 'GDPR Art. 17(1)(b)'.")
@click.option("--entry", "chosen", multiple=True, type=click.IntRange(min=0), metavar="INDEX", help="Withhold it too.")
@click.option("--dry-run", is_flag=True, help="Only show what would be erased.")
@click.option("--as", "actor", metavar="ACTOR", help="Actor to sign as.")
@common_options
@pass_app
def erase(
    app: App, /, name: str, reason: str, basis: str, chosen: tuple[int, ...], *, dry_run: bool, actor: str | None
) -> None:
    """Record that what is known about SUBJECT is erased, then destroy it: data keys, withheld contents, views, names.

    Entries, chain and proofs stay. If it is interrupted, the same command goes on. Needs the role eraser; a legal hold
    refuses it.

    \b
    Example:
      muniment subject erase person:p-7f3a --basis 'GDPR Art. 17(1)(b)' --reason 'request of 3 May' --dry-run
    """
    from ledger.erasing import erase_subject, plan_erasure
    from ledger.errors import InputError

    app.actor = actor or app.actor
    with app.writer() as ledger:
        keys = app.home.data_keys(ledger.ledgerid)
        try:
            plan = plan_erasure(ledger, keys, name, frozenset(chosen))
            named = name.partition(":")[2] in app.home.names()
            if not plan.recorded and not plan.data_keys and not plan.entries and not named:
                raise InputError(
                    f"nothing is recorded about {name}: no sealed field, no entry that may be withheld, no name",
                    hint="See who is known here: muniment subject list",
                )
            if dry_run:
                _show_plan(app, plan)
                return
            purge = [_purge_views(app, ledger), _forget(app, name)]
            done = erase_subject(ledger, keys, plan, basis=basis, reason=reason, purge=purge)
        finally:
            keys.close()
    _show_erased(app, name, done)


def _show_plan(app: App, plan: Plan) -> None:
    data = {
        "subject": plan.subject,
        "data_keys": plan.data_keys,
        "entries": plan.entries,
        "recorded": plan.recorded,
    }
    lines = [f"{plan.subject}: {len(plan.data_keys)} data key(s), {len(plan.entries)} entries would be affected"]
    lines += [f"  entry {item['index']}  {item['scope']:<6} {item['stream']}" for item in plan.entries]
    print_record(app, data, "\n".join(lines))


def _show_erased(app: App, name: str, done: Erased) -> None:
    data = {
        "subject": name,
        "records": list(done.records),
        "data_keys_destroyed": done.data_keys,
        "contents_withheld": done.contents,
        "kept_elsewhere": list(done.horizons),
    }
    where = ", ".join(str(index) for index in done.records)
    lines = [
        f"erased: {done.data_keys} data key(s) destroyed, {done.contents} content(s) withheld",
        f"  recorded by entry {where}",
        *(f"  kept elsewhere: {words}" for words in done.horizons),
    ]
    print_record(app, data, "\n".join(lines))


@subject.command("list")
@common_options
@pass_app
def list_subjects(app: App, /) -> None:
    """List who has data keys here, and what was erased.

    Example: muniment subject list
    """
    from ledger.entry import format_time

    with app.reader() as ledger:
        ledger.world.refresh()
        state = ledger.ledger_state()
        keys = app.home.data_keys(ledger.ledgerid)
        try:
            subjects = keys.subjects()
            here = {key for name in subjects for key in keys.of_subject(name)}
        finally:
            keys.close()
        erasures: list[dict[str, Any]] = []
        for record in state.erasures:
            stored = [index for index in record.withheld if ledger.recorder.rows(index, 1)[0].payload is not None]
            open_keys = [key for key in record.data_keys if key in here]
            erasures.append(
                {
                    "record": record.index,
                    "subject": record.subject,
                    "erased_by": record.actor,
                    "basis": record.basis,
                    "reason": record.reason,
                    "recorded_at": format_time(record.recorded_at),
                    "data_keys": len(record.data_keys),
                    "withheld": len(record.withheld),
                    "state": "not finished" if stored or open_keys else "finished here",
                }
            )
    if app.output != "text":
        print_record(app, {"subjects": subjects, "erasures": erasures}, "", Grid(_ERASURE_COLUMNS, erasures))
        return
    table(app, "Data subjects", ("subject", "data keys"), [(name, str(count)) for name, count in subjects.items()])
    rows = [
        (str(one["record"]), one["subject"], app.display(one["erased_by"]), one["basis"], one["state"])
        for one in erasures
    ]
    table(app, "Erasures", ("record", "subject", "by", "basis", "state"), rows)


@subject.command("rotate")
@click.option("--encrypt", is_flag=True, help="Encrypt the new wrapping key with a passphrase.")
@common_options
@pass_app
def rotate(app: App, /, *, encrypt: bool) -> None:
    """Wrap every data key by a new wrapping key, and destroy the old wrapping keys on this machine.

    After an erasure this makes useless what write-ahead logs and backups keep of the wrapped data key. Copy the new
    file to the other machines that seal or read, and remove the old one there.

    Example: muniment subject rotate
    """
    with app.reader() as ledger:
        app.home.check(ledger)
        keys = app.home.data_keys(ledger.ledgerid, new_passphrase if encrypt else None)
        try:
            name, count = keys.rotate(ledger.recorder.head().size)
        finally:
            keys.close()
    data = {"wrapping_key": name, "rewrapped": count}
    print_record(app, data, f"{count} data key(s) are wrapped by {name} now; the old wrapping keys are gone here")


@click.group(short_help="Place, release and list legal holds.")
def hold() -> None:
    """Legal holds: what must not be erased until a matter has ended."""


@hold.command("place")
@click.argument("subjects", nargs=-1, required=True, metavar="PATTERN...")
@click.option("--matter", required=True, help="Id of the matter.")
@click.option("--reason", required=True, help="Why.")
@click.option("--custodian", help="Who keeps what is held.")
@click.option("--authority", help="Who orders it, for example a court or a law.")
@click.option("--yes", is_flag=True, help="Place it also on a kind of subject that nobody has yet.")
@write_options
@pass_app
def place(app: App, /, subjects: tuple[str, ...], matter: str, reason: str, *, yes: bool, **options: Any) -> None:
    """Forbid erasing anything about the subjects that a PATTERN stands for, until the hold is released.

    It also covers what is recorded later. A PATTERN that stands for nothing so far is said; one for a kind of subject
    that nobody has is refused, since a misspelt hold protects nothing.

    Example: muniment hold place 'person:*' 'incident:*' --matter M-12 --reason 'claim filed'
    """
    from ledger.events import find_event_type, load_body
    from ledger.holding import covering_nothing

    body = {"subjects": list(subjects), "matter": matter, "reason": reason}
    body |= {name: value for name in ("custodian", "authority") if (value := options.pop(name)) is not None}
    load_body(find_event_type("hold.placed"), body)  # only well-formed patterns can be compared with what there is
    with app.writer() as ledger:
        ledger.world.refresh()
        empty = covering_nothing(ledger, subjects, lambda: _data_subjects(app, ledger), new_kinds=yes)
        receipt = ledger.emit("hold.placed", f"ledger:{ledger.ledgerid}", body, **options)
        for pattern in empty:
            app.note(
                f"warning: {pattern} covers nothing that is recorded so far, only what comes later. If it is misspelt: "
                f"muniment hold release {receipt.id} --reason …, and place it anew"
            )
        app.show_receipt(receipt, then=f"Release it with: muniment hold release {receipt.id} --reason …")


def _data_subjects(app: App, ledger: Ledger) -> list[str]:
    from ledger.errors import StorageError

    keys = app.home.data_keys(ledger.ledgerid)
    try:
        return list(keys.subjects())
    except StorageError as error:  # whoever places holds need not have rights on the key store
        app.note(f"who has sealed fields was not looked at: {error.message}")
        return []
    finally:
        keys.close()


@hold.command("release")
@click.argument("hold_id", metavar="HOLD")
@click.option("--reason", required=True, help="Why it ends.")
@write_options
@pass_app
def release(app: App, /, hold_id: str, reason: str, **options: Any) -> None:
    """End a hold; what it covered may be erased from then on.

    Example: muniment hold release 019b0000-0000-7000-8000-000000000002 --reason 'settled'
    """
    with app.writer() as ledger:
        body = {"hold": hold_id, "reason": reason}
        app.show_receipt(ledger.emit("hold.released", f"ledger:{ledger.ledgerid}", body, **options))


@hold.command("list")
@common_options
@pass_app
def list_holds(app: App, /) -> None:
    """List the holds that stand.

    Example: muniment hold list
    """
    with app.reader() as ledger:
        ledger.world.refresh()
        holds: list[dict[str, Any]] = [
            {
                "hold": one.id,
                "record": one.index,
                "placed_by": one.actor,
                "subjects": list(one.subjects),
                "matter": one.matter,
                "reason": one.reason,
                "custodian": one.custodian,
                "authority": one.authority,
            }
            for one in ledger.ledger_state().holds
        ]
    if app.output != "text":
        print_record(app, {"holds": holds}, "", Grid(_HOLD_COLUMNS, holds))
        return
    rows = [
        (one["hold"], ", ".join(one["subjects"]), one["matter"], app.display(one["placed_by"]),
         one["authority"] or "", one["custodian"] or "")
        for one in holds
    ]  # fmt: skip
    table(app, "Holds", ("hold", "subjects", "matter", "by", "ordered by", "kept by"), rows)
