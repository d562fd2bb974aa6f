"""`muniment verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import console, print_record, progress, styled
from cli.reading import _find

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.verify import Anchor, LogVerification

__all__ = ["verify"]


@click.group(short_help="Check the log, or one event, from stored bytes.")
def verify() -> None:
    """Check stored bytes; nothing the store says of itself is believed."""


def _anchors(app: App, /, ledger: Ledger, expect: tuple[Path, ...]) -> list[Anchor]:
    from ledger.checkpoint import verify_checkpoint
    from ledger.errors import InputError, TrustStateError
    from ledger.verify import Anchor

    trust = app.home.trust()
    found = []
    known = app.home.recall()
    if known is not None:
        found.append(Anchor("the head this machine remembers", known))
    for path in expect:
        vkeys = trust.vkeys if trust is not None else [ledger.vkey]
        try:
            found.append(Anchor(f"the checkpoint {path}", verify_checkpoint(path.read_bytes(), vkeys)))
        except InputError as error:
            raise TrustStateError(f"{path} is no checkpoint: {error.message}") from error
    return found


def _result(found: LogVerification) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "origin": found.origin,
        "ledgerid": found.ledgerid,
        "size": found.size,
        "root": found.root,
        "checkpoints": found.checkpoints,
        "signed_size": found.signed_size,
        "anchored_size": found.anchored_size,
        "anchored_by": found.anchored_by or None,
        "unanchored_from": found.anchored_size if found.anchored_size < found.size else None,
        "findings": [
            {"fault": f.fault, "index": f.index, "sizes": f.sizes and list(f.sizes), "message": f.message}
            for f in found.findings
        ],
        "acknowledged": [{"index": index, "reason": reason} for index, reason in found.acknowledged],
        "opaque": found.opaque,
        "missing_sequences": [
            {"actor": actor, "emitter": emitter, "missing": count} for actor, emitter, count in found.missing
        ],
    }


def _text(app: App, /, found: LogVerification, *, first_use: bool, pinned: bool) -> None:
    from ledger.findings import entries

    out = console(app)
    if found.ok:
        out.print(styled(f"✓ {found.origin}: {found.size} entries verified, root {found.root}", "green"))
    else:
        out.print(styled(f"✗ {found.origin}: {len(found.findings)} finding(s)", "red"))
        for finding in found.findings:
            where = "" if finding.index is None else f" at entry {finding.index}"
            out.print(styled(f"  {finding.fault}{where}: {finding.message}", "red"))
    out.print(f"  signed heads: {found.checkpoints} good, the last at size {found.signed_size}")
    if found.signed_size < found.size:
        rest = entries(found.signed_size, found.size)
        out.print(styled(f"? UNSIGNED: {rest}: no signed head covers them yet", "yellow"))
    if found.anchored_size:
        out.print(styled(f"  anchored up to size {found.anchored_size} by {found.anchored_by}"))
    if found.anchored_size < found.size:
        rest = entries(found.anchored_size, found.size)
        out.print(styled(f"? UNANCHORED: {rest}: nobody outside the store vouches for them yet", "yellow"))
    if first_use:
        out.print("  first use on this machine: no earlier head was remembered to compare with")
    if not pinned:
        out.print(styled("? the ledger's identity is not pinned here: it is what entry 0 says", "yellow"))
    for index, reason in found.acknowledged:
        out.print(styled(f"  acknowledged void entry {index}: {reason}"))
    if found.opaque:
        words = f"{len(found.opaque)} entries are of types this Muniment does not know, the first at {found.opaque[0]}"
        out.print(styled(f"? {words}", "yellow"))
    for actor, emitter, count in found.missing:
        out.print(styled(f"? {count} event(s) of emitter {emitter} of {actor} are not in the log", "yellow"))


@verify.command("log")
@click.option(
    "--expect", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="CHECKPOINT",
    help="A signed head the log must extend, from a place you trust; may be repeated.",
)  # fmt: skip
@click.option("--no-remember", is_flag=True, help="Do not keep the head as the last one seen.")
@common_options
@pass_app
def verify_log_command(app: App, /, expect: tuple[Path, ...], *, no_remember: bool) -> int:
    """Check every entry, its content, signatures and legality, the tree, and every signed head.

    \b
    Example:
      muniment verify log
      muniment verify log --expect head-from-ci.txt -o json
    """
    from ledger.errors import TrustStateError
    from ledger.verify import verify_log

    trust = app.home.trust()
    with app.reader(checked=False) as ledger:
        anchors = _anchors(app, ledger, expect)
        first_use = app.home.remembered() is not None and app.home.recall() is None
        with progress(app, "verifying") as advance:
            found = verify_log(ledger.recorder, trust, anchors, advance)
        if found.ok and not no_remember and trust is not None:
            last = ledger.recorder.last_checkpoint()
            if last is not None:
                try:
                    app.home.remember(ledger, last.note)
                except OSError as error:
                    raise TrustStateError(f"the head cannot be remembered: {error}") from error
    if app.output == "text":
        _text(app, found, first_use=first_use, pinned=trust is not None)
    else:
        print_record(app, _result(found), "")
    return 0 if found.ok else 1


@verify.command("event")
@click.argument("event", metavar="INDEX|ID")
@common_options
@pass_app
def verify_event(app: App, /, event: str) -> int:
    """Check one event: content, header, signatures, legality, and its place under the last signed head.

    Example: muniment verify event 12
    """
    from ledger.checks import check_event

    with app.reader() as ledger:
        row = _find(ledger, event)
        trust = app.home.trust()
        checks = check_event(ledger, row, list(trust.vkeys) if trust is not None else [ledger.vkey])
    good = all(ok is not False for _, ok, _ in checks)
    data = {
        "ok": good,
        "index": row.entry.index,
        "id": row.entry.id,
        "checks": [{"check": name, "ok": ok, "message": message} for name, ok, message in checks],
    }
    signs = {True: "✓", False: "✗", None: "?"}
    print_record(app, data, "\n".join(f"{signs[ok]} {name}: {message}" for name, ok, message in checks))
    return 0 if good else 1
