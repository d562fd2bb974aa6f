"""`muniment verify`: the group, and `verify log`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.anchoring import check_timestamps, stamp_words, tsa_option
from cli.app import App, common_options, pass_app
from cli.backup import verify as verify_backup
from cli.bundles import verify_bundle_command
from cli.checking import verify_checkpoint, verify_event, verify_file
from cli.evidence import evidence, keep_contradictions
from cli.logreport import LogReport
from cli.output import progress
from cli.publishing import anchor_option, published_anchors
from cli.values import IN_FILE
from cli.witnessing import age_option, ask_seen, check_policy, find_policy, policy_option, require_option

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.freshness import Word
    from ledger.identity import Trust
    from ledger.timestamps import StampCheck
    from ledger.verdicts import Gap
    from ledger.verified import Verified
    from ledger.verify import Anchor, LogVerification
    from ledger.witnesspolicy import Policy

__all__ = ["verify"]

LEVELS = ("hash", "checkpoint", "full")  # as `segment.LEVELS`, which help need not load


@click.group(short_help="Check the log, an event, a file or a bundle from bytes.")
def verify() -> None:
    """Check stored bytes; nothing the store says of itself is believed."""


@dataclass(frozen=True)
class _Request:
    """What was asked for on the command line."""

    expect: tuple[Path, ...]
    policy: Path | None
    required: str | None
    max_age: int | None
    ask_witnesses: bool
    tsa_certs: Path | None
    places: tuple[str, ...]
    level: str
    everything: bool
    tail: bool
    jobs: int | None
    no_remember: bool

    def check(self) -> None:
        """Refuse options that do not go together."""
        from ledger.errors import InputError

        outside = {
            "--expect": self.expect,
            "--anchor": self.places,
            "--ask-witnesses": self.ask_witnesses,
            "--require-witnesses": self.required,
            "--max-age": self.max_age is not None,
        }
        given = [name for name, value in outside.items() if value]
        if self.level == "hash" and given:
            raise InputError(f"{given[0]} needs signed heads to be checked", hint="Take --level checkpoint or full.")
        if self.tail and (self.everything or self.level != "full"):
            raise InputError("--tail goes on from a full verification: it does not go with --all or --level")


@verify.command("log")
@click.option(
    "--expect", multiple=True, type=IN_FILE, metavar="CHECKPOINT",
    help="A signed head the log must extend, from a place you trust; may be repeated.",
)  # fmt: skip
@policy_option
@require_option
@age_option
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
def verify_log_command(app: App, /, **options: Any) -> int:
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
    from ledger.verdicts import EXIT_OF, Verdict

    asked = _Request(**options)
    asked.check()
    report, anchors = _verify(app, asked)
    report.show(app)
    found, verdict = report.found, report.verdict
    if any(finding.fault == "anchor" for finding in found.findings):
        keep_contradictions(app, anchors)
    if found.unchecked:
        app.note(f"Level {found.level} did not check: {'; '.join(found.unchecked)}.")
    if verdict is Verdict.UNVERIFIED and report.unwitnessed:
        app.note(f"Witnesses do not vouch for {report.required} entries: muniment checkpoint witness asks them to.")
    if verdict is Verdict.UNVERIFIED and report.stale is not None:
        app.note("Whether there is newer history is not known: get it, or ask with --ask-witnesses.")
    return EXIT_OF[verdict]


def _verify(app: App, asked: _Request, /) -> tuple[LogReport, list[Anchor]]:
    """Verify, keep what is to be remembered; returns what was found and the heads it was compared with."""
    from ledger.audit import verify_store

    level, heads = asked.level, asked.level != "hash"
    policy = _policy(app, asked.policy, needed=bool(asked.required or asked.ask_witnesses))
    # At the other levels the remembered head is one of the anchors.
    with app.reader(checked=not heads) as ledger:
        app.follow(ledger)
        trust = app.home.trust()
        stamps = check_timestamps(app, ledger, asked.tsa_certs) if heads else None
        if policy is not None:
            check_policy(app, ledger, policy)
        seen = ask_seen(app, ledger, policy) if policy is not None and asked.ask_witnesses else []
        anchors = _anchors(app, ledger, asked.expect) if heads else []
        anchors += [*(anchor for anchor, _ in seen), *([] if stamps is None else stamps.anchors)]
        published, unread = published_anchors(app, ledger, asked.places)
        anchors += published
        first_use = app.home.remembered() is not None and app.home.recall() is None
        before = _verified_before(app) if level == "full" else None
        since = None if before is None else before.since(reread=not asked.tail, again=asked.everything)
        with progress(app, "verifying") as advance:
            found = verify_store(
                app.home.url, ledger.recorder, trust, anchors, advance, level=level, since=since, jobs=asked.jobs
            )
        found.findings += [] if stamps is None else stamps.findings
        if found.ok and heads and not asked.no_remember and trust is not None:
            _remember(app, ledger, trust, found)
        sealed = _unknown_keys(app, ledger, found.verified_from if asked.tail else 0) if level == "full" else []
    required = 0 if asked.required is None else found.size if asked.required == "all" else int(asked.required)
    old = None if asked.max_age is None else _stale(found, policy, stamps, [word for _, word in seen], asked.max_age)
    return LogReport(found, policy, stamps, before, first_use, required, old, unread, sealed), anchors


def _unknown_keys(app: App, /, ledger: Ledger, start: int) -> list[Gap]:
    from ledger.unknownkeys import find_unknown_keys, unknown_key_gap

    keys = app.home.data_keys(ledger.ledgerid)
    try:
        found = find_unknown_keys(ledger, keys, start)
    finally:
        keys.close()
    return [unknown_key_gap(found)] if found else []


def _stale(
    found: LogVerification, policy: Policy | None, stamps: StampCheck | None, seen: list[Word], max_age: int
) -> Gap | None:
    import time

    from ledger.freshness import stale, words_of

    return stale([*words_of(found.witnessed, policy), *seen, *stamp_words(stamps)], max_age, int(time.time()))


def _anchors(app: App, /, ledger: Ledger, expect: tuple[Path, ...]) -> list[Anchor]:
    from ledger.errors import InputError, TrustStateError
    from ledger.home import REMEMBERED
    from ledger.note import MAX_NOTE
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


verify.add_command(verify_backup, "backup")
for _command in (verify_event, verify_bundle_command, verify_checkpoint, verify_file):
    verify.add_command(_command)
verify.add_command(evidence)
