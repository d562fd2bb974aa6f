"""`muniment verify event`, `checkpoint` and `file`."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.conclusion import conclusion, gap_lines
from cli.output import print_record
from cli.reading import find_event
from cli.witnessing import age_option, find_policy, policy_option

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.checks import Check, EventVerification

__all__ = ["FILE", "read_file", "verify_checkpoint", "verify_event", "verify_file"]

#: A file that is there, or standard input.
FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)
_SIGNS = {True: "✓", False: "✗", None: "?"}


def read_file(path: str, limit: int) -> bytes:
    """At most ``limit`` bytes and one, of a file or of standard input.

    Raises:
        InputError: it cannot be read.
    """
    from ledger.errors import InputError

    try:
        with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


# -- event ----------------------------------------------------------------------------------------


def _checks(checks: tuple[Check, ...]) -> list[dict[str, Any]]:
    return [{"check": item.name, "ok": item.ok, "message": item.message} for item in checks]


@click.command("event")
@click.argument("event", metavar="INDEX|ID")
@common_options
@pass_app
def verify_event(app: App, /, event: str) -> int:
    """Check one event: content, header, signatures, legality, and its place under the last signed head.

    Example: muniment verify event 12
    """
    from ledger.checks import check_event
    from ledger.verdicts import EXIT_OF, Verdict

    with app.reader() as ledger:
        row = find_event(ledger, event)
        trust = app.home.trust()
        found = check_event(ledger, row, ledger.head_verifier(trust), pinned=trust is not None)
    data = {
        **conclusion(found.verdict, found.findings, found.gaps),
        "ok": found.verdict is not Verdict.BAD,
        "index": row.entry.index,
        "id": row.entry.id,
        "checks": _checks(found.checks),
    }
    lines = [f"{_SIGNS[item.ok]} {item.name}: {item.message}" for item in found.checks]
    print_record(app, data, "\n".join([*lines, *(line for line, _ in gap_lines(found.gaps))]))
    return EXIT_OF[found.verdict]


# -- checkpoint -----------------------------------------------------------------------------------


def _head_of(ledger: Ledger, which: str) -> tuple[str, bytes]:
    from ledger.errors import NothingToVerifyError
    from ledger.note import MAX_NOTE

    if not (which.isascii() and which.isdigit()):
        return ("standard input" if which == "-" else which), read_file(which, MAX_NOTE)
    found = ledger.recorder.checkpoints(int(which) - 1, 1)
    if not found or found[0].size != int(which):
        raise NothingToVerifyError(
            f"no head of size {which} was ever signed here", hint="The newest one: muniment checkpoint show"
        )
    return f"the head signed at size {which}", ledger.cosigned(found[0].note)


@click.command("checkpoint")
@click.argument("which", metavar="FILE|SIZE")
@policy_option
@age_option
@common_options
@pass_app
def verify_checkpoint(app: App, /, which: str, *, policy: Path | None, max_age: int | None) -> int:
    """Check a signed head, from a file or stored at a size: its signature, and that this log extends it.

    The log's stored hashes are compared, not its entries: `muniment verify log --expect FILE` does both. A name made of
    digits is a size; write ./12 for such a file. --max-age looks at the cosignatures that the head carries.

    \b
    Example:
      muniment verify checkpoint head-from-ci.txt
      curl -s https://log.example/checkpoint | muniment verify checkpoint - --max-age 1d
      muniment verify checkpoint 120
    """
    import time

    from ledger.checkpoints import check_extends
    from ledger.errors import AuthenticationError, InputError, VerificationError
    from ledger.findings import Finding
    from ledger.freshness import stale, words_in
    from ledger.gaps import unpinned
    from ledger.verdicts import EXIT_OF, Fault, Gap, GapKind, Verdict

    head, old, findings = None, None, list[Finding]()
    with app.reader() as ledger:
        app.follow(ledger)
        trust = app.home.trust()
        name, note = _head_of(ledger, which)
        try:
            head = ledger.head_verifier(trust)(note)
            check_extends(ledger.recorder, head)
            old = (
                None if max_age is None else stale(words_in(note, find_policy(app, policy)), max_age, int(time.time()))
            )
        except (AuthenticationError, InputError) as error:
            findings.append(Finding(Fault.CHECKPOINT, None, error.message))
        except VerificationError as error:
            findings.append(Finding(error.fault, error.index, error.message))
    gaps = [Gap(GapKind.LEVEL, "entries were not hashed: the stored hashes that lead to the root were")]
    gaps += [] if old is None else [old]
    gaps += [] if trust is not None else [unpinned()]
    verdict = Verdict.BAD if findings else Verdict.VERIFIED if old is None else Verdict.UNVERIFIED
    data = {
        **conclusion(verdict, findings, gaps),
        "size": None if head is None else head.size,
        "root": None if head is None else head.root.hex(),
    }
    good = "" if head is None else f"✓ {name} is signed, and this log extends it: size {head.size}"
    lines = [f"✗ {finding.text}" for finding in findings] or [good]
    print_record(app, data, "\n".join([*lines, *(line for line, _ in gap_lines(gaps))]))
    return EXIT_OF[verdict]


# -- file -----------------------------------------------------------------------------------------


def _mention(found: EventVerification) -> dict[str, Any]:
    from ledger.entry import format_time
    from ledger.verdicts import Verdict

    entry = found.row.entry
    return {
        "index": entry.index,
        "id": entry.id,
        "type": entry.type,
        "subject": entry.subject,
        "actor": entry.actor,
        "recorded_at": format_time(entry.recorded_at),
        "ok": found.verdict is not Verdict.BAD,
        "checks": _checks(found.checks),
    }


def _standing(app: App, /, subjects: set[str], digests: tuple[str, ...]) -> list[dict[str, Any]]:
    """What the views say now of versions that are registered with these bytes."""
    from projections.asof import resolve_as_of
    from projections.model_state import state_as_of
    from projections.suspension import suspend

    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, head=size, now=time.time_ns() // 1000)
        state = suspend(ledger, runner.views, as_of, state_as_of(runner.views, as_of, None))
    live = [item for item in state["deployments"] if item["live"] and item["live"]["digest"] in digests]
    return [
        {
            "version": version["version"],
            "status": version["status"],
            "approvals": [f"{item['environment']}: {item['status']}" for item in version["approvals"]],
            "live": [item["deployment"] for item in live if item["live"]["model"] == version["version"]],
        }
        for model in state["models"]
        for version in model["versions"]
        if version["version"] in subjects and version["digest"] in digests
    ]


def _file_lines(data: Any) -> list[str]:
    if not data["mentions"]:
        return [f"? these bytes are not mentioned in this ledger: {data['digests'][0]}"]
    lines: list[str] = [data["digests"][0]]
    for item in data["mentions"]:
        lines.append(
            f"{_SIGNS[item['ok']]} {item['index']}  {item['type'].removeprefix('muniment.')}  {item['subject']}  "
            f"by {item['actor']}, recorded {item['recorded_at'][:19]}Z"
        )
        lines.extend(
            f"    {_SIGNS[c['ok']]} {c['check']}: {c['message']}" for c in item["checks"] if c["ok"] is not True
        )
    for item in data["standing"]:
        approvals = ", ".join(item["approvals"]) or "no approval"
        lines.append(
            f"{item['version']}: {item['status']}; {approvals}; live in {', '.join(item['live']) or 'nothing'}"
        )
    return lines


@click.command("file")
@click.argument("file", metavar="FILE", type=FILE)
@common_options
@pass_app
def verify_file(app: App, /, file: str) -> int:
    """Tell which events mention exactly these bytes, check each, and say how what they name stands now.

    The file is hashed (SHA-256, 384 and 512) and looked for in the signed bodies of all events, which are read once.
    Exit code 0: mentioned, and every such event is good. 1: one of them is bad. 3: nothing mentions these bytes.

    \b
    Example:
      muniment verify file model.onnx
      curl -s https://models.example/tx.onnx | muniment verify file - -o json
    """
    from cli.digests import file_digests
    from ledger.bundling import find_mentions
    from ledger.checks import check_event
    from ledger.gaps import file_gaps
    from ledger.verdicts import EXIT_OF, Verdict

    digests = file_digests(file)
    with app.reader() as ledger:
        app.follow(ledger)
        trust = app.home.trust()
        verify_head = ledger.head_verifier(trust)
        with ledger.recorder.snapshot():
            rows, unread = find_mentions(ledger.recorder, ledger.recorder.head().size, digests)
        found = [check_event(ledger, row, verify_head, pinned=trust is not None) for row in rows]
    findings = [finding for item in found for finding in item.findings]
    verdict = Verdict.UNVERIFIED if not found else Verdict.BAD if findings else Verdict.VERIFIED
    subjects = {row.entry.subject for row in rows}
    gaps = file_gaps([gap for item in found for gap in item.gaps], unread, pinned=trust is not None)
    data = {
        **conclusion(verdict, findings, gaps),
        "digests": list(digests),
        "mentions": [_mention(item) for item in found],
        "standing": _standing(app, subjects, digests) if verdict is Verdict.VERIFIED else [],
    }
    print_record(app, data, "\n".join([*_file_lines(data), *(line for line, _ in gap_lines(gaps))]))
    return EXIT_OF[verdict]
