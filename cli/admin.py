"""`muniment admin`: what is done to a store as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.app import App, common_options, pass_app
from cli.keyring import acknowledge
from cli.lifecycle import lifecycle, rules
from cli.output import print_record, progress
from cli.values import IN_FILE

if TYPE_CHECKING:
    from ledger.restoring import Accepted
    from ledger.transfer import CopyPlan, Outside

__all__ = ["admin"]


@click.group(short_help="Move a ledger, migrate a store, grant access, acknowledge void entries.")
def admin() -> None:
    """Work on a store as a whole; nothing that is recorded changes."""


admin.add_command(acknowledge)
admin.add_command(lifecycle)
admin.add_command(rules)


@admin.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@common_options
@pass_app
def migrate(app: App, /, *, dry_run: bool) -> None:
    """Bring the store's layout up to this Muniment's, in one transaction.

    Cut in the middle, the store is as it was. A layout never goes back: an older Muniment does not open the store
    afterwards.

    \b
    Example:
      muniment backup create before-the-update.backup    (with the Muniment that made the store)
      muniment admin migrate
    """
    from ledger.migration import migrate as bring_up_to_date

    found = bring_up_to_date(app.home.url, dry_run=dry_run)
    data = {"from": found.found, "to": found.layout, "done": found.done}
    if found.found == found.layout:
        text = f"the store has layout {found.layout} already"
    else:
        text = f"{'migrated' if found.done else 'would migrate'} from layout {found.found} to {found.layout}"
    print_record(app, data, text)


@admin.command()
@click.argument("role")
@click.argument("access", type=click.Choice(["reader", "writer", "eraser"]))
@common_options
@pass_app
def grant(app: App, /, role: str, access: str) -> None:
    """Let the PostgreSQL ROLE use the ledger's store; it must exist already.

    A reader reads everything. A writer also appends and stores signed heads, by calling functions on the server, and
    can write no table: it cannot change or remove what is recorded, nor set the clock. An eraser is a writer who
    may also have contents deleted that a recorded erasure names. Whoever ran `init` owns the store and grants.

    \b
    Example:
      psql -c 'CREATE ROLE pipelines LOGIN'
      muniment admin grant pipelines writer
    """
    from ledger.errors import ConfigurationError

    if not app.home.url.startswith("postgres"):
        raise ConfigurationError(
            "only PostgreSQL has roles; a SQLite store is as open as its file", hint="chmod 600 the file."
        )
    from ledger.recorders.postgres import PostgresRecorder

    recorder = PostgresRecorder(app.home.url)
    try:
        recorder.identity()
        recorder.grant(role, access)
    finally:
        recorder.close()
    print_record(app, {"role": role, "access": access, "schema": recorder.schema}, f"{role} is a {access} now")


def _outside(app: App) -> Outside:
    from ledger.findings import Anchor
    from ledger.transfer import Outside

    known = app.home.recall()
    anchors = () if known is None else (Anchor("the head this machine remembers", known),)
    return Outside(app.home.trust(), anchors)


def _point_to(app: App, /, target_url: str, *, keep: bool) -> bool:
    from ledger.errors import ConfigurationError

    try:
        changed = not keep and app.home.point_to(target_url)
    except ConfigurationError as error:  # the ledger has moved all the same
        app.note(f"Warning: {error.message}")
        changed = False
    if not changed:
        app.note("Next:  name the new store from now on: --ledger URL, or `ledger` in .muniment/config.toml")
        return False
    app.note(f"{app.home.folder}/config.toml now names the new store")
    source = app.home.settings.origins["ledger"]
    if not source.endswith("config.toml"):
        app.note(f"{source} still names the old store")
    return True


_DONE = {
    "copy": "moved to",
    "resume": "moved, going on with a copy that was cut, to",
    "open": "moved, opening a copy that was finished, to",
    "none": "had been moved already to",
}
_WOULD = {
    "copy": "would be copied and moved to",
    "resume": "would be copied further and moved to",
    "open": "is sealed, and its finished copy would be opened:",
    "none": "has been moved already to",
}


def _print(app: App, /, origin: str, place: str, plan: CopyPlan, *, done: bool, configured: bool) -> None:
    data = {
        "origin": origin,
        "target": place,
        "step": plan.step,
        "size": plan.size,
        "copied_before": plan.copied,
        "done": done,
        "config_updated": configured,
    }
    words = (_DONE if done else _WOULD)[plan.step]
    rest = f"; {plan.copied} of them are there already" if plan.step == "resume" and not done else ""
    print_record(app, data, f"{origin} with {plan.size} entries {words} {place}{rest}")


@admin.command()
@click.argument("target", metavar="TARGET_URL")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--keep-config", is_flag=True, help="Leave .muniment/config.toml as it is.")
@common_options
@pass_app
def copy(app: App, /, target: str, *, dry_run: bool, keep_config: bool) -> None:
    """Move the ledger to another store, SQLite or PostgreSQL, keeping every byte.

    Entries, content, signatures, tiles and signed heads are copied, so every proof and every trust.json stays valid.
    The copy is verified; then the store found here is sealed with a signed note of where the ledger went and takes
    nothing more, and the target is opened. Others may append meanwhile. A cut at any moment is safe: run the same
    command again. The target must not exist yet. Views are made anew when they are first used.

    \b
    Example:
      muniment admin copy 'postgresql://user@host/database?schema=ml_ledger' --dry-run
      muniment admin copy 'postgresql://user@host/database?schema=ml_ledger'
    """
    from ledger.config import absolute_url
    from ledger.transfer import LedgerCopy

    target = absolute_url(target, Path.cwd())
    with app.reader(checked=False) as ledger:
        app.home.follow(ledger)
        moving = LedgerCopy(ledger, target, _outside(app))
        try:
            plan = moving.plan()
            if plan.step in ("copy", "resume"):
                app.home.check(ledger)  # once it has moved, the head last seen may be of the new store
            if dry_run:
                _print(app, ledger.origin, moving.place, plan, done=False, configured=False)
                return
            signers = app.home.checkpoint_signers(ledger)
            with progress(app, "copying and verifying") as advance:
                plan = moving.run(signers, advance)
        finally:
            moving.close()
        configured = _point_to(app, target, keep=keep_config)
        _print(app, ledger.origin, moving.place, plan, done=True, configured=configured)


def _show(app: App, /, done: Accepted, words: str) -> None:
    restore = done.restore
    data = {
        "index": restore.index,
        "size": restore.size,
        "lost_from": restore.lost_from,
        "lost_to": restore.lost_to,
        "reason": restore.reason,
        "remembered": done.known.size,
        "evidence": done.evidence or None,
    }
    lost = f"entries {restore.lost_from} to {restore.lost_to - 1} are lost"
    print_record(app, data, f"{words} at entry {restore.index}: restored to {restore.size} entries, {lost}")
    if done.evidence:
        app.note(f"both heads are kept in {done.evidence}")


@admin.command()
@click.option("--reason", required=True, help="Why the ledger goes on from an old copy; it is recorded.")
@click.option("--lost-from", type=click.IntRange(1), metavar="INDEX", help="First entry lost; the size by default.")
@click.option(
    "--expect", multiple=True, type=IN_FILE, metavar="CHECKPOINT",
    help="A signed head the log had reached, beside the remembered one; may be repeated.",
)  # fmt: skip
@common_options
@pass_app
def restored(app: App, /, reason: str, lost_from: int | None, expect: tuple[Path, ...]) -> None:
    """Say, with the root key, that the ledger goes on from an old copy and what is lost.

    The store must hold less than, or something else than, the longest head known here. It is verified, the event
    ledger.restored is signed by the root key and recorded, the head is signed, and this machine goes along. Every other
    machine that remembers the longer log refuses the store until somebody there runs: muniment admin restore-accept.
    Nothing that was lost comes back: revocations, approvals and incidents among it must be recorded anew.

    \b
    Example:
      muniment backup restore old.backup --older
      muniment admin restored --reason 'disk of the database lost, backup of 2 May'
    """
    from ledger.note import MAX_NOTE
    from ledger.restoring import declare_restore
    from ledger.statefile import read_named_file

    with progress(app, "verifying") as advance:
        notes = [read_named_file(path, MAX_NOTE) for path in expect]
        done = declare_restore(app.home, reason, notes=notes, lost_from=lost_from, advance=advance)
    _show(app, done, "the root key said so")
    app.note("Next:  tell everybody who remembers a longer log; they run: muniment admin restore-accept")


@admin.command("restore-accept")
@click.option("--beyond", is_flag=True, help="Also when this machine has seen more than the root keys said is lost.")
@common_options
@pass_app
def restore_accept(app: App, /, *, beyond: bool) -> None:
    """Go along with a restore that the root keys stated: forget the head of the history that was given up.

    Ask the operator first. The head that is forgotten and the one that takes its place are kept as evidence, which
    `muniment verify evidence` reads. The next verification checks everything.

    \b
    Example:
      muniment admin restore-accept
    """
    from ledger.restoring import accept_restore

    _show(app, accept_restore(app.home, beyond=beyond), "accepted what the root keys said")
