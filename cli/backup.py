"""`muniment backup`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.conclusion import conclusion, finding_lines, gap_lines
from cli.output import console, print_record, progress, styled
from cli.values import IN_FILE

if TYPE_CHECKING:
    from ledger.backupcheck import BackupCheck
    from ledger.errors import VerificationError
    from ledger.identity import Trust
    from ledger.transfer import Outside

__all__ = ["backup"]

_KEYS_APART = "A backup holds no private key: keep copies of the keys' folder apart, and of .muniment/trust.json."
_EXPECT = click.option(
    "--expect", multiple=True, type=IN_FILE, metavar="CHECKPOINT",
    help="A signed head the log reached, from a place you trust; may be repeated.",
)  # fmt: skip


@click.group(short_help="Back up the log, check backups, restore one.")
def backup() -> None:
    """Backups are one file each, whatever the store is; private keys are never in them."""


def _has_ledger(app: App) -> bool:
    """Whether a ledger is named here at all; a backup can be checked where there is none."""
    from ledger.config import find_folder

    return bool(app.ledger or os.environ.get("MUNIMENT_LEDGER")) or find_folder(Path.cwd()) is not None


def _trust(app: App, /, file: Path | None = None) -> Trust | None:
    """What is pinned here, with the keys that a backup says came since."""
    from ledger.backupcheck import follow_backup

    trust = app.home.trust() if _has_ledger(app) else None
    return trust if trust is None or file is None else follow_backup(file, trust)


def _outside(app: App, /, expect: tuple[Path, ...], trust: Trust | None) -> Outside:
    """What this machine knows of the ledger, and heads from files under its pinned keys and those that came since."""
    from ledger.errors import InputError, NothingToVerifyError, TrustStateError
    from ledger.findings import Anchor
    from ledger.note import MAX_NOTE
    from ledger.statefile import read_named_file
    from ledger.transfer import Outside
    from ledger.trust import RememberedHead

    known = None if trust is None else RememberedHead(trust).recall()
    anchors = [] if known is None else [Anchor("the head this machine remembers", known)]
    for path in expect:
        if trust is None:
            raise NothingToVerifyError(
                f"{path} cannot be checked: no trust.json pins the ledger's key here",
                hint="Run this in the folder that holds the ledger's .muniment/trust.json.",
            )
        try:
            anchors.append(Anchor(f"the checkpoint {path}", trust.verify_head(read_named_file(path, MAX_NOTE))))
        except InputError as error:
            raise TrustStateError(f"{path} is no checkpoint: {error.message}") from error
    return Outside(trust, tuple(anchors))


@backup.command()
@click.argument("where", metavar="FILE|DIR", type=click.Path(path_type=Path))
@click.option("--unverified", is_flag=True, help="Keep it though it does not verify: a damaged store, say.")
@_EXPECT
@common_options
@pass_app
def create(app: App, /, where: Path, expect: tuple[Path, ...], *, unverified: bool) -> None:
    """Back up the log to a new file, while others append.

    The backup is verified before it gets its name; nothing half-made is ever left under it. In a folder it is named
    after the ledger and its size. Private keys, settings, trust.json and people.json are not in it.

    \b
    Example:
      muniment backup create /mnt/backups
      muniment backup create ledger.backup -o json
    """
    from ledger.backup import create_backup

    # A verified backup is compared with them by its verification.
    with app.reader(checked=unverified) as ledger, progress(app, "backing up") as advance:
        app.follow(ledger)
        outside = _outside(app, expect, _trust(app))
        path, manifest = create_backup(ledger.recorder, where, outside, verified=not unverified, advance=advance)
    data = {"file": str(path), "verified": not unverified, **asdict(manifest)}
    print_record(app, data, f"backed up {manifest.origin}, {manifest.size} entries, to {path}")
    if unverified:
        app.note("Warning: it was not verified: muniment backup verify FILE tells what is wrong")
    app.note(_KEYS_APART)


def _result(found: BackupCheck) -> dict[str, Any]:
    from ledger.gaps import gaps_of

    return {
        **conclusion(found.log.verdict, found.log.findings, gaps_of(found.log)),
        "ok": found.log.ok,
        **asdict(found.manifest),
        "verified_size": found.log.size,
        "signed_size": found.log.signed_size,
        "anchored_size": found.log.anchored_size,
        "known_size": found.known or None,
        "known_by": found.known_by or None,
        "missing": found.missing,
    }


def _still_at(app: App, /, ledgerid: str, url: str) -> str:
    """Where the ledger found here still takes entries, when that is another store; otherwise nothing."""
    from ledger.config import redact_url
    from ledger.errors import LedgerError

    try:
        if not _has_ledger(app) or app.home.url == url:
            return ""
        with app.home.open_reader() as ledger:
            here = ledger.ledgerid == ledgerid and ledger.recorder.successor() is None
    except LedgerError:  # it is gone, which is why there is a restore
        return ""
    return redact_url(app.home.url) if here else ""


def _age(found: BackupCheck) -> str:
    if not found.known:
        return "nothing outside it says how long the log was when this machine last saw it"
    if found.missing:
        return f"it covers {found.manifest.size} of {found.known} entries known to exist ({found.known_by})"
    return f"it covers all {found.known} entries known to exist ({found.known_by})"


def _unreadable(app: App, error: VerificationError, /) -> int:
    """Say that a backup is too damaged to be gone through; returns the exit code."""
    from ledger.findings import Finding
    from ledger.verdicts import EXIT_OF, Verdict

    finding = Finding(error.fault, error.index, error.message)
    print_record(app, {**conclusion(Verdict.BAD, [finding], []), "ok": False}, f"✗ {finding.text}")
    if error.hint:
        app.note(error.hint)
    return EXIT_OF[Verdict.BAD]


@backup.command()
@click.argument("file", metavar="FILE", type=IN_FILE)
@_EXPECT
@common_options
@pass_app
def verify(app: App, /, file: Path, expect: tuple[Path, ...]) -> int:
    """Check a backup from its stored bytes, and say how old it is.

    It is compared with trust.json, with the head this machine remembers and with heads given with --expect. Exit code
    1 when it is bad; being old is no fault.

    \b
    Example:
      muniment backup verify ledger.backup
    """
    from ledger.backupcheck import verify_backup
    from ledger.errors import VerificationError
    from ledger.gaps import gaps_of
    from ledger.verdicts import EXIT_OF

    try:
        trust = _trust(app, file)
    except VerificationError as error:
        return _unreadable(app, error)
    outside = _outside(app, expect, trust)
    try:
        with progress(app, "verifying") as advance:
            found = verify_backup(file, outside, advance=advance)
    except VerificationError as error:
        return _unreadable(app, error)
    if app.output != "text":
        print_record(app, _result(found), "")
        return EXIT_OF[found.log.verdict]
    out = console(app)
    made = f"made {found.manifest.created} by Muniment {found.manifest.muniment}"
    if found.log.ok:
        out.print(styled(f"✓ {found.manifest.origin}: {found.log.size} entries verified, {made}", "green"))
    else:
        out.print(styled(f"✗ {found.manifest.origin}: {len(found.log.findings)} finding(s), {made}", "red"))
    out.print(styled(f"{'?' if found.missing or not found.known else ' '} {_age(found)}"))
    for line, colour in (*finding_lines(found.log.findings), *gap_lines(gaps_of(found.log))):
        out.print(styled(line, colour))
    return EXIT_OF[found.log.verdict]


@backup.command()
@click.argument("file", metavar="FILE", type=IN_FILE)
@click.option("--to", "target", metavar="URL", help="The store to make; by default the one of the ledger found here.")
@click.option("--older", is_flag=True, help="Restore it even though longer heads of this log are known.")
@_EXPECT
@common_options
@pass_app
def restore(app: App, /, file: Path, target: str | None, expect: tuple[Path, ...], *, older: bool) -> None:
    """Restore a backup to a store that does not exist yet; it is verified there before it is opened.

    A backup that is behind the head this machine remembers, or behind a head given with --expect, is refused. With
    --older it is restored, and writing stays refused: the log shrank, and going on would fork it. Only the root keys
    may decide to go on all the same: muniment admin restored.

    \b
    Example:
      muniment backup restore ledger.backup --to sqlite:///restored.db
    """
    from ledger.backup import restore_backup
    from ledger.config import absolute_url, redact_url

    outside = _outside(app, expect, _trust(app, file))
    url = app.home.url if target is None else absolute_url(target, Path.cwd())
    with progress(app, "restoring and verifying") as advance:
        done = restore_backup(file, url, outside, older=older, advance=advance)
    check = done.check
    data = {**_result(check), "store": redact_url(url), "existing": done.existing}
    words = "had been restored already to" if done.existing else "restored to"
    print_record(app, data, f"{check.manifest.origin}, {check.manifest.size} entries, {words} {redact_url(url)}")
    if check.missing:
        app.note(
            f"Warning: {check.missing} of {check.known} entries known to exist are lost, the first is entry "
            f"{check.manifest.size}. Writing stays refused on every machine that remembers a longer log: it shrank, "
            "and new entries in these places would fork it. Find the lost entries. To go on without them, the root "
            "keys must say so: muniment admin restored --reason TEXT"
        )
    elif not check.known:
        app.note(f"Note: {_age(check)}; --expect CHECKPOINT compares it with a head you kept")
    still = _still_at(app, check.manifest.ledgerid, url)
    if still:
        app.note(
            f"Warning: the ledger is still at {still}. Only read the restored store, and remove it: entries in both "
            "would fork the log."
        )
    app.note("Private keys and .muniment/trust.json are in no backup: they come from where you keep them.")
