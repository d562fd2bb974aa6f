"""`muniment verify`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.anchoring import check_timestamps, describe_timestamps, summarise, tsa_option
from cli.app import App, common_options, pass_app
from cli.backup import verify as verify_backup
from cli.checking import verify_bundle_command, verify_checkpoint, verify_file
from cli.evidence import evidence, keep_contradictions
from cli.output import console, print_record, progress, styled
from cli.publishing import anchor_option, published_anchors
from cli.reading import _find
from cli.witnessing import (
    check_policy,
    describe,
    find_policy,
    policy_option,
    seen_anchors,
    summary,
    witnessed_size,
)

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.domain import Suspicion
    from ledger.identity import Trust
    from ledger.timestamps import StampCheck
    from ledger.verified import Verified
    from ledger.verify import Anchor, LogVerification
    from ledger.witnesspolicy import Policy

__all__ = ["verify"]

_SHOWN = 20  # suspect entries in text
LEVELS = ("hash", "checkpoint", "full")  # as `segment.LEVELS`, which help need not load


@click.group(short_help="Check the log, an event, a file or a bundle from bytes.")
def verify() -> None:
    """Check stored bytes; nothing the store says of itself is believed."""


def _anchors(app: App, /, ledger: Ledger, expect: tuple[Path, ...]) -> list[Anchor]:
    from ledger.checkpoint import MAX_NOTE
    from ledger.errors import InputError, TrustStateError
    from ledger.home import REMEMBERED
    from ledger.statefile import read_named_file
    from ledger.verify import Anchor

    trust = app.home.trust()
    remembered = app.home.remembered()
    known = None if remembered is None else remembered.recall_note()
    found = [] if known is None else [Anchor(REMEMBERED, known[1], known[0])]
    for path in expect:
        verify_head = ledger.head_verifier(trust)
        try:
            note = read_named_file(path, MAX_NOTE)
            found.append(Anchor(f"the checkpoint {path}", verify_head(note), note))
        except InputError as error:
            raise TrustStateError(f"{path} is no checkpoint: {error.message}") from error
    return found


def _result(found: LogVerification, policy: Policy | None) -> dict[str, Any]:
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
        "suspect": [_suspect(item) for item in found.suspects.listed],
        "suspect_count": found.suspects.count,
        "withheld": [
            {"index": index, "record": item.record, "erased_by": item.actor, "basis": item.basis}
            for index, item in found.withheld
        ],
        "erasure_unfinished": [{"index": index, "record": record} for index, record in found.unfinished],
        "acknowledged": [{"index": index, "reason": reason} for index, reason in found.acknowledged],
        "opaque": found.opaque,
        "restores": [
            {
                "index": item.index,
                "size": item.size,
                "lost_from": item.lost_from,
                "lost_to": item.lost_to,
                "reason": item.reason,
            }
            for item in found.restores
        ],
        "missing_sequences": [
            {
                "actor": actor,
                "emitter": emitter,
                "missing": count,
                "ranges": [list(item) for item in found.gaps.get((actor, emitter), ())],
            }
            for actor, emitter, count in found.missing
        ],
        "late_sequences": [
            {"actor": actor, "emitter": emitter, "overtaken": count} for actor, emitter, count in found.overtaken
        ],
        "level": found.level,
        "unchecked": list(found.unchecked),
        "verified_from": found.verified_from,
        "earlier": found.earlier or None,
        "jobs": found.jobs,
        "witnessed": summary(found, policy),
    }


def _suspect(item: Suspicion) -> dict[str, Any]:
    return {"index": item.index, "cause": item.cause, "keyid": item.keyid, "owner": item.owner}


def _verdict(found: LogVerification) -> tuple[str, str]:
    """The first line, and its colour: only a full verification is green."""
    if not found.ok:
        return f"✗ {found.origin}: {len(found.findings)} finding(s)", "red"
    if found.level == "full":
        return f"✓ {found.origin}: {found.size} entries verified, root {found.root}", "green"
    return f"? {found.origin}: {found.size} entries fit at level {found.level}, root {found.root}", "yellow"


def _scope(found: LogVerification, before: Verified | None) -> Iterator[tuple[str, str]]:
    """Lines that say what this verification did not do, each with its colour."""
    from ledger.entry import format_time
    from ledger.findings import entries

    for words in found.unchecked:
        yield f"? not checked: {words}", "yellow"
    if found.unchecked:
        yield "? SIGNATURES AND LEGALITY WERE NOT CHECKED: muniment verify log --level full does it", "yellow"
    if found.earlier and before is not None:
        rest = entries(0, found.verified_from)
        yield f"  {rest} were verified on {format_time(before.at)} and are anchored by the remembered head", ""
        if found.earlier == "hashed":
            yield "  their bytes are those verified then, and were not judged again; --all checks them again", ""
        else:
            yield "? they were not read: a change in one of them would not be seen; --all checks them again", "yellow"


def _text(
    app: App,
    /,
    found: LogVerification,
    before: Verified | None,
    policy: Policy | None,
    stamps: StampCheck | None,
    *,
    first_use: bool,
    pinned: bool,
) -> None:
    from ledger.findings import entries

    out = console(app)
    out.print(styled(*_verdict(found)))
    for finding in found.findings:
        where = "" if finding.index is None else f" at entry {finding.index}"
        out.print(styled(f"  {finding.fault}{where}: {finding.message}", "red"))
    for line, colour in _scope(found, before):
        out.print(styled(line, colour))
    if found.level == "hash":
        return
    since = " since then" if found.earlier else ""
    out.print(f"  signed heads: {found.checkpoints} good{since}, the last at size {found.signed_size}")
    if found.signed_size < found.size:
        rest = entries(found.signed_size, found.size)
        out.print(styled(f"? UNSIGNED: {rest}: no signed head covers them yet", "yellow"))
    if found.anchored_size:
        out.print(styled(f"  anchored up to size {found.anchored_size} by {found.anchored_by}"))
    if found.anchored_size < found.size:
        rest = entries(found.anchored_size, found.size)
        out.print(styled(f"? UNANCHORED: {rest}: nobody outside the store vouches for them yet", "yellow"))
    describe(out, found, policy)
    describe_timestamps(out, stamps)
    if first_use:
        out.print("  first use on this machine: no earlier head was remembered to compare with")
    if not pinned:
        out.print(styled("? the ledger's identity is not pinned here: it is what entry 0 says", "yellow"))
    for line, colour in _remarks(found):
        out.print(styled(line, colour))


def _remarks(found: LogVerification) -> Iterator[tuple[str, str]]:
    """What is in the log and is no finding, each line with its colour."""
    from ledger.findings import entries

    for suspect in found.suspects.listed[:_SHOWN]:
        yield f"? {suspect.text}", "yellow"
    if found.suspects.count > _SHOWN:
        yield f"? {found.suspects.count} entries are suspect; -o json lists more of them", "yellow"
    for index, item in found.withheld[:_SHOWN]:
        yield f"  withheld entry {index}: {item.text}", ""
    if found.withheld:
        share = f"{len(found.withheld)} of {found.size} entries"
        yield (
            f"? {share} are complete as labelled by the operator: their content was erased, by a record here",
            "yellow",
        )
    if found.unfinished:
        stored, record = found.unfinished[0]
        words = f"the erasure recorded by entry {record} is not finished: the content of entry {stored} is still stored"
        yield f"? {words}; run the same `muniment subject erase` again", "yellow"
    for index, reason in found.acknowledged:
        yield f"  acknowledged void entry {index}: {reason}", ""
    for restore in found.restores:
        lost = entries(restore.lost_from, restore.lost_to)
        words = f"RESTORED to {restore.size} entries, the root keys say at entry {restore.index}: {restore.reason}"
        yield f"? {words}; lost of the history before: {lost}", "yellow"
    if found.opaque:
        words = f"{len(found.opaque)} entries are of types this Muniment does not know, the first at {found.opaque[0]}"
        yield f"? {words}", "yellow"
    for actor, emitter, missing in found.missing:
        numbers = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in found.gaps.get((actor, emitter), ()))
        yield f"? {missing} event(s) of emitter {emitter} of {actor} are not in the log: {numbers}", "yellow"
    for actor, emitter, late in found.overtaken:
        yield (
            f"  {late} event(s) of emitter {emitter} of {actor} overtook the one before: late arrivals, legal",
            "",
        )


def _check_required(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and value != "all" and not (value.isascii() and value.isdecimal() and len(value) < 19):
        raise click.BadParameter("it is a number of entries, or all")
    return value


@verify.command("log")
@click.option(
    "--expect", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="CHECKPOINT",
    help="A signed head the log must extend, from a place you trust; may be repeated.",
)  # fmt: skip
@policy_option
@click.option(
    "--require-witnesses",
    "required",
    is_flag=False,
    flag_value="all",
    metavar="[SIZE]",
    callback=_check_required,
    help="Exit 3 unless enough witnesses of the policy vouch for the first SIZE entries, all of them by default.",
)
@tsa_option
@anchor_option
@click.option("--ask-witnesses", is_flag=True, help="Ask the witnesses what they saw last: the log must extend it.")
@click.option("--level", type=click.Choice(LEVELS), default="full", show_default=True, help="How much to check.")
@click.option("--all", "everything", is_flag=True, help="Judge again what was verified before on this machine.")
@click.option("--tail", is_flag=True, help="Do not even read what was verified before: a change there goes unseen.")
@click.option("--jobs", type=click.IntRange(1, 256), metavar="N", help="Processes that check; all cores by default.")
@click.option("--no-remember", is_flag=True, help="Keep neither the head as the last one seen nor how far this came.")
@common_options
@pass_app
def verify_log_command(
    app: App,
    /,
    expect: tuple[Path, ...],
    *,
    policy: Path | None,
    required: str | None,
    ask_witnesses: bool,
    tsa_certs: Path | None,
    places: tuple[Path, ...],
    level: str,
    everything: bool,
    tail: bool,
    jobs: int | None,
    no_remember: bool,
) -> int:
    """Check every entry, its content, signatures and legality, the tree, and every signed head.

    What was verified in full before on this machine is hashed again, to the last byte of every entry and its content,
    and not judged again: the same bytes give the same verdict. With --all it is judged again too, with --tail not even
    read. Run --all from time to time, and after a new version of Muniment, which does it by itself.

    \b
    Levels:
      full        all of it
      checkpoint  entries, chain, tree, tiles, signed heads and anchors; contents are
                  not read, and signatures of events and legality not checked
      hash        entries, chain, tree, tiles, and contents against their digests;
                  no signature is checked, of an event or of a head, and no anchor

    \b
    Example:
      muniment verify log
      muniment verify log --all --jobs 4
      muniment verify log --expect head-from-ci.txt -o json
    """  # fmt: skip
    from ledger.audit import verify_store
    from ledger.errors import InputError

    if level == "hash" and (expect or places or ask_witnesses or required):
        name = (
            "--expect"
            if expect
            else "--anchor"
            if places
            else "--ask-witnesses"
            if ask_witnesses
            else "--require-witnesses"
        )
        raise InputError(f"{name} needs signed heads to be checked", hint="Take --level checkpoint or full.")
    if tail and (everything or level != "full"):
        raise InputError("--tail goes on from a full verification: it does not go with --all or --level")
    witnesses = _policy(app, policy, needed=bool(required or ask_witnesses))
    # At the other levels the remembered head is one of the anchors.
    with app.reader(checked=level == "hash") as ledger:
        app.follow(ledger)
        trust = app.home.trust()
        anchors = _anchors(app, ledger, expect) if level != "hash" else []
        if witnesses is not None:
            check_policy(app, ledger, witnesses)
            anchors += seen_anchors(app, ledger, witnesses) if ask_witnesses else []
        stamps = check_timestamps(app, ledger, tsa_certs) if level != "hash" else None
        anchors += [] if stamps is None else stamps.anchors
        anchors += published_anchors(app, ledger, places)
        first_use = app.home.remembered() is not None and app.home.recall() is None
        before = _verified_before(app) if level == "full" else None
        since = None if before is None else before.since(reread=not tail, again=everything)
        with progress(app, "verifying") as advance:
            found = verify_store(
                app.home.url, ledger.recorder, trust, anchors, advance, level=level, since=since, jobs=jobs
            )
        found.findings += [] if stamps is None else stamps.findings
        if found.ok and level != "hash" and not no_remember and trust is not None:
            _remember(app, ledger, trust, found)
    if app.output == "text":
        _text(app, found, before, witnesses, stamps, first_use=first_use, pinned=trust is not None)
    else:
        print_record(app, {**_result(found, witnesses), "timestamps": summarise(stamps)}, "")
    if any(finding.fault == "anchor" for finding in found.findings):
        keep_contradictions(app, anchors)
    if found.unchecked:
        app.note(f"Level {level} did not check: {'; '.join(found.unchecked)}.")
    if found.ok and required and witnessed_size(found, witnesses) < (size := _required(required, found.size)):
        app.note(f"Witnesses do not vouch for {size} entries: muniment checkpoint witness asks them to.")
        return 3
    return 0 if found.ok else 1


def _required(required: str, size: int) -> int:
    return size if required == "all" else int(required)


def _policy(app: App, path: Path | None, *, needed: bool) -> Policy | None:
    from ledger.errors import ConfigurationError

    found = find_policy(app, path)
    if found is None and needed:
        raise ConfigurationError(
            "there is no witness policy here", hint="Name one: --policy FILE, or keep it as .muniment/witness-policy."
        )
    return found


def _verified_before(app: App, /) -> Verified | None:
    """What this machine verified in full, None when there is nothing to rest on."""
    from ledger.verified import VerifiedMark

    trust = app.home.trust()
    found = None if trust is None else VerifiedMark(trust).recall()
    return found if found is not None and found.trustworthy(app.home.recall()) else None


def _remember(app: App, /, ledger: Ledger, trust: Trust, found: LogVerification) -> None:
    import time

    from ledger.errors import TrustStateError
    from ledger.verified import VerifiedMark

    app.home.pin()
    last = ledger.recorder.last_checkpoint()
    if last is not None:
        try:
            app.home.remember(ledger, last.note)
        except OSError as error:
            raise TrustStateError(f"the head cannot be remembered: {error}") from error
    VerifiedMark(trust).keep(found, time.time_ns() // 1000)


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
        checks = check_event(ledger, row, ledger.head_verifier(trust))
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


verify.add_command(verify_backup, "backup")
for _command in (verify_bundle_command, verify_checkpoint, verify_file):
    verify.add_command(_command)
verify.add_command(evidence)
