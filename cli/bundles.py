"""`muniment verify bundle`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.checking import FILE, read_file
from cli.conclusion import conclusion, finding_lines, gap_lines
from cli.output import print_record

if TYPE_CHECKING:
    from ledger.bundlecheck import BundleVerification
    from ledger.checkpoint import VerifierKey
    from ledger.findings import Anchor

__all__ = ["verify_bundle_command"]


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
    return [Anchor(f"the checkpoint {path}", verify_checkpoint(read_file(path, MAX_NOTE), vkeys)) for path in paths]


def _bundle_result(found: BundleVerification) -> dict[str, Any]:
    return {
        **conclusion(found.verdict, found.findings, found.gaps),
        "origin": None if found.head is None else found.head.origin,
        "ledgerid": found.ledgerid or None,
        "size": None if found.head is None else found.head.size,
        "root": None if found.head is None else found.head.root.hex(),
        "pinned_by": found.pinned_by or None,
        "anchored_by": found.anchored_by,
        "contents": [row.entry.index for row in found.rows],
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
    lines.extend(line for line, _ in finding_lines(found.findings))
    if found.pinned_by:
        lines.append(f"  signed by the key {found.pinned_by}")
    lines.extend(f"  extends {by}" for by in found.anchored_by)
    if not found.findings:
        lines.append(f"  {len(found.rows)} contents, every header, and every change of keys and roles")
    lines.extend(line for line, _ in gap_lines(found.gaps))
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
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--vkey", multiple=True, metavar="VKEY", help="The log's verifier key, from a source you trust.")
@click.option("--expect", multiple=True, type=FILE, metavar="CHECKPOINT", help="A signed head the bundle must extend.")
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
