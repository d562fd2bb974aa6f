"""`muniment verify bundle`, `checkpoint` and `file`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import print_record

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.bundlecheck import BundleVerification
    from ledger.checkpoint import VerifierKey
    from ledger.findings import Anchor
    from ledger.stored import Row

__all__ = ["verify_bundle_command", "verify_checkpoint", "verify_file"]

_IN = click.Path(exists=True, dir_okay=False, allow_dash=True)
_SIGNS = {True: "✓", False: "✗", None: "?"}


def _read(path: str, limit: int) -> bytes:
    """At most ``limit`` bytes and one, of a file or of standard input."""
    from ledger.errors import InputError

    try:
        with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


# -- bundle ---------------------------------------------------------------------------------------


def _keys(app: App, /, given: tuple[str, ...], ledgerid: str) -> list[VerifierKey]:
    """Keys from the command line, or those that trust.json pins for this ledger."""
    from ledger.checkpoint import parse_vkey

    if given:
        return [parse_vkey(text.strip()) for text in given]
    trust = app.trust_of(ledgerid)
    return [] if trust is None else list(trust.vkeys)


def _anchors(paths: tuple[str, ...], vkeys: list[VerifierKey]) -> list[Anchor]:
    from ledger.checkpoint import MAX_NOTE, verify_checkpoint
    from ledger.errors import NothingToVerifyError
    from ledger.findings import Anchor

    if paths and not vkeys:
        raise NothingToVerifyError(
            "a head given with --expect cannot be checked without the log's key", hint="Give it: --vkey VKEY"
        )
    return [Anchor(f"the checkpoint {path}", verify_checkpoint(_read(path, MAX_NOTE), vkeys)) for path in paths]


def _bundle_result(found: BundleVerification) -> dict[str, Any]:
    return {
        "verdict": str(found.verdict),
        "origin": None if found.head is None else found.head.origin,
        "ledgerid": found.ledgerid or None,
        "size": None if found.head is None else found.head.size,
        "root": None if found.head is None else found.head.root.hex(),
        "pinned_by": found.pinned_by or None,
        "anchored_by": found.anchored_by,
        "contents": [row.entry.index for row in found.rows],
        "findings": [{"fault": f.fault, "index": f.index, "message": f.message} for f in found.findings],
        "not_verified": [gap.as_json() for gap in found.gaps],
    }


def _bundle_text(found: BundleVerification) -> str:
    from ledger.verdicts import Verdict

    words = {
        Verdict.VERIFIED: "✓ verified",
        Verdict.BAD: f"✗ bad: {len(found.findings)} finding(s)",
        Verdict.UNVERIFIED: "? UNVERIFIED: it agrees with itself, and whose it is, is not known",
    }
    lines = [words[found.verdict]]
    if found.head is not None:
        lines.append(f"  {found.head.origin} at size {found.head.size}, root {found.head.root.hex()}")
    for finding in found.findings:
        where = "" if finding.index is None else f" at entry {finding.index}"
        lines.append(f"  {finding.fault}{where}: {finding.message}")
    if found.pinned_by:
        lines.append(f"  signed by the key {found.pinned_by}")
    lines.extend(f"  extends {by}" for by in found.anchored_by)
    if not found.findings:
        lines.append(f"  {len(found.rows)} contents, every header, and every change of keys and roles")
    lines.extend(f"? {gap.kind}: {gap.message}" for gap in found.gaps)
    return "\n".join(lines)


def _check_bundle(app: App, /, file: str, vkey: tuple[str, ...], expect: tuple[str, ...]) -> BundleVerification:
    from ledger.bundle import parse_bundle
    from ledger.bundlecheck import BundleVerification, verify_bundle
    from ledger.errors import InputError
    from ledger.findings import Finding
    from ledger.verdicts import Fault

    for text in vkey:
        _keys(app, (text,), "")  # what was typed wrongly is said before a long file is read
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as source:
            bundle = parse_bundle(source)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except InputError as error:
        return BundleVerification(findings=[Finding(Fault.BUNDLE, None, error.message)])
    vkeys = _keys(app, vkey, bundle.rows[0].entry.ledgerid)
    return verify_bundle(bundle, vkeys, _anchors(expect, vkeys))


@click.command("bundle")
@click.argument("file", metavar="FILE", type=_IN)
@click.option("--vkey", multiple=True, metavar="VKEY", help="The log's verifier key, from a source you trust.")
@click.option("--expect", multiple=True, type=_IN, metavar="CHECKPOINT", help="A signed head the bundle must extend.")
@common_options
@pass_app
def verify_bundle_command(app: App, /, file: str, vkey: tuple[str, ...], expect: tuple[str, ...]) -> int:
    """Check a bundle offline: the tree, the signed head, keys and roles, and every content in it.

    Without --vkey the keys that trust.json pins for this ledger are used. Without any key the exit code is 3: whoever
    made the file may have made the ledger too. Exit code 1 when anything is wrong, a damaged file too.

    \b
    Example:
      muniment verify bundle tx.bundle --vkey "$(cat log.vkey)"
      muniment verify bundle - --expect head-from-ci.txt -o json < tx.bundle
    """
    from ledger.verdicts import EXIT_OF

    found = _check_bundle(app, file, vkey, expect)
    print_record(app, _bundle_result(found), _bundle_text(found))
    return EXIT_OF[found.verdict]


# -- checkpoint -----------------------------------------------------------------------------------


def _head_of(ledger: Ledger, which: str) -> tuple[str, bytes]:
    from ledger.checkpoint import MAX_NOTE
    from ledger.errors import NothingToVerifyError

    if not (which.isascii() and which.isdigit()):
        return ("standard input" if which == "-" else which), _read(which, MAX_NOTE)
    found = ledger.recorder.checkpoints(int(which) - 1, 1)
    if not found or found[0].size != int(which):
        raise NothingToVerifyError(
            f"no head of size {which} was ever signed here", hint="The newest one: muniment checkpoint show"
        )
    return f"the head signed at size {which}", found[0].note


@click.command("checkpoint")
@click.argument("which", metavar="FILE|SIZE")
@common_options
@pass_app
def verify_checkpoint(app: App, /, which: str) -> int:
    """Check a signed head, from a file or stored at a size: its signature, and that this log extends it.

    The log's stored hashes are compared, not its entries: `muniment verify log --expect FILE` does both. A name made of
    digits is a size; write ./12 for such a file.

    \b
    Example:
      muniment verify checkpoint head-from-ci.txt
      muniment verify checkpoint 120
    """
    from ledger.checkpoints import check_extends
    from ledger.errors import AuthenticationError, InputError, VerificationError
    from ledger.verdicts import EXIT_OF, Fault, Gap, GapKind, Verdict

    head, finding = None, None
    with app.reader() as ledger:
        app.follow(ledger)
        trust = app.home.trust()
        name, note = _head_of(ledger, which)
        try:
            head = ledger.head_verifier(trust)(note)
            check_extends(ledger.recorder, head)
        except (AuthenticationError, InputError) as error:
            finding = (Fault.CHECKPOINT, error.message)
        except VerificationError as error:
            finding = (Fault(error.fault), error.message)
    gaps = [Gap(GapKind.LEVEL, "entries were not hashed: the stored hashes that lead to the root were")]
    if trust is None:
        gaps.append(Gap(GapKind.UNPINNED, "the log's key is not pinned here: it is what entry 0 says"))
    verdict = Verdict.VERIFIED if finding is None else Verdict.BAD
    data = {
        "verdict": str(verdict),
        "size": None if head is None else head.size,
        "root": None if head is None else head.root.hex(),
        "findings": [] if finding is None else [{"fault": str(finding[0]), "index": None, "message": finding[1]}],
        "not_verified": [gap.as_json() for gap in gaps],
    }
    good = "" if head is None else f"✓ {name} is signed, and this log extends it: size {head.size}"
    lines = [good if finding is None else f"✗ {finding[0]}: {finding[1]}"]
    print_record(app, data, "\n".join([*lines, *(f"? {gap.kind}: {gap.message}" for gap in gaps)]))
    return EXIT_OF[verdict]


# -- file -----------------------------------------------------------------------------------------


def _mention(ledger: Ledger, row: Row, verify_head: Any) -> dict[str, Any]:
    from ledger.checks import check_event
    from ledger.entry import format_time

    checks = check_event(ledger, row, verify_head)
    return {
        "index": row.entry.index,
        "id": row.entry.id,
        "type": row.entry.type,
        "subject": row.entry.subject,
        "actor": row.entry.actor,
        "recorded_at": format_time(row.entry.recorded_at),
        "ok": all(ok is not False for _, ok, _ in checks),
        "checks": [{"check": name, "ok": ok, "message": message} for name, ok, message in checks],
    }


def _standing(app: App, /, subjects: set[str], digests: tuple[str, ...]) -> list[dict[str, Any]]:
    """What the views say now of versions that are registered with these bytes."""
    from projections.asof import resolve_as_of
    from projections.model_state import state_as_of

    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, at=None, known_at=None, head=size)
        state = state_as_of(runner.views, as_of, None)
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


def _file_text(data: Any) -> str:
    if not data["mentions"]:
        return f"? these bytes are not mentioned in this ledger: {data['digests'][0]}"
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
    return "\n".join(lines)


@click.command("file")
@click.argument("file", metavar="FILE", type=_IN)
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
    from ledger.verdicts import EXIT_OF, Verdict

    digests = file_digests(file)
    with app.reader() as ledger:
        app.follow(ledger)
        trust = app.home.trust()
        verify_head = ledger.head_verifier(trust)
        with ledger.recorder.snapshot():
            rows = find_mentions(ledger.recorder, ledger.recorder.head().size, digests)
        found = [_mention(ledger, row, verify_head) for row in rows]
    good = all(item["ok"] for item in found)
    verdict = Verdict.UNVERIFIED if not found else Verdict.VERIFIED if good else Verdict.BAD
    standing = _standing(app, {item["subject"] for item in found if item["ok"]}, digests) if found and good else []
    data = {"verdict": str(verdict), "digests": list(digests), "mentions": found, "standing": standing}
    print_record(app, data, _file_text(data))
    return EXIT_OF[verdict]
