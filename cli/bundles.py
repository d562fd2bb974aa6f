"""`muniment verify bundle`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.anchoring import stamp_words, summarise, tsa_option, tsa_roots
from cli.app import App, common_options, pass_app
from cli.checking import FILE, read_file
from cli.conclusion import conclusion, finding_lines, gap_lines
from cli.output import print_record
from cli.witnessing import age_option, find_policy, policy_option, require_option, summary

if TYPE_CHECKING:
    from cryptography import x509

    from ledger.bundle import Bundle
    from ledger.bundlecheck import BundleVerification
    from ledger.findings import Anchor
    from ledger.identity import Trust
    from ledger.note import VerifierKey
    from ledger.timestamps import StampCheck
    from ledger.witnesspolicy import Policy

__all__ = ["verify_bundle_command"]


def _keys(given: tuple[str, ...]) -> list[VerifierKey]:
    from ledger.note import parse_vkey

    return [parse_vkey(text.strip()) for text in given]


def _anchors(paths: tuple[str, ...], vkeys: list[VerifierKey], trust: Trust | None) -> list[Anchor]:
    from ledger.checkpoint import signed_by
    from ledger.errors import NothingToVerifyError
    from ledger.findings import Anchor
    from ledger.note import MAX_NOTE

    if paths and not vkeys:
        raise NothingToVerifyError(
            "a head given with --expect cannot be checked without the log's key", hint="Give it: --vkey VKEY"
        )
    verify_head = signed_by(*vkeys) if trust is None else trust.verify_head
    return [Anchor(f"the checkpoint {path}", verify_head(read_file(path, MAX_NOTE))) for path in paths]


def _result(found: BundleVerification, stamps: StampCheck | None) -> dict[str, Any]:
    return {
        **conclusion(found.verdict, found.findings, found.gaps),
        "origin": None if found.head is None else found.head.origin,
        "ledgerid": found.ledgerid or None,
        "size": None if found.head is None else found.head.size,
        "root": None if found.head is None else found.head.root.hex(),
        "pinned_by": found.pinned_by or None,
        "anchored_by": found.anchored_by,
        "contents": [row.entry.index for row in found.rows],
        "witnessed": summary(found, found.policy),
        "timestamps": summarise(stamps),
    }


def _first_line(found: BundleVerification) -> str:
    from ledger.verdicts import Verdict

    if found.verdict is Verdict.VERIFIED:
        return "✓ verified"
    if found.verdict is Verdict.BAD:
        return f"✗ bad: {len(found.findings)} finding(s)"
    if not found.pinned_by:
        return "? UNVERIFIED: it agrees with itself, and whose it is, is not known"
    if not found.met:
        return f"? UNVERIFIED: too few witnesses vouch for {found.required} entries"
    return "? UNVERIFIED: nobody vouched for it recently enough"


def _text(found: BundleVerification) -> str:
    lines = [_first_line(found)]
    if found.head is not None:
        lines.append(f"  {found.head.origin} at size {found.head.size}, root {found.head.root.hex()}")
    lines.extend(line for line, _ in finding_lines(found.findings))
    if found.pinned_by:
        lines.append(f"  signed by the key {found.pinned_by}")
    lines.extend(f"  extends {by}" for by in found.anchored_by)
    said = summary(found, found.policy)
    lines.extend(f"  {item['name']} cosigned size {item['size']}, at {item['time']}" for item in said["by"])
    if said["size"]:
        lines.append(f"  witnessed up to size {said['size']} by {said['quorum']}")
    if not found.findings:
        lines.append(f"  {len(found.rows)} contents, every header, and every change of keys and roles")
    lines.extend(line for line, _ in gap_lines(found.gaps))
    return "\n".join(lines)


@dataclass(frozen=True)
class _Request:
    """What was asked for on the command line."""

    file: str
    vkey: tuple[str, ...]
    expect: tuple[str, ...]
    policy: Path | None
    required: str | None
    max_age: int | None
    tsa_certs: Path | None


def _parse(file: str) -> Bundle:
    """A bundle; `InputError` when it is none, and ``OSError`` as what it is."""
    from ledger.bundle import parse_bundle

    with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as source:
        return parse_bundle(source)


def _outside(app: App, /, asked: _Request, ledgerid: str) -> tuple[Policy | None, list[x509.Certificate]]:
    """Whose word counts: as named, or as kept here when this ledger is the one that is pinned here."""
    from ledger.errors import ConfigurationError

    here = app.trust_of(ledgerid) is not None
    policy = find_policy(app, asked.policy) if here or asked.policy is not None else None
    if policy is None and asked.required:
        raise ConfigurationError("there is no witness policy for this ledger here", hint="Name one: --policy FILE")
    roots = tsa_roots(app, asked.tsa_certs, needed=False) if here or asked.tsa_certs is not None else []
    return policy, roots


def _check(app: App, /, asked: _Request, bundle: Bundle) -> tuple[BundleVerification, StampCheck | None]:
    import time

    from ledger.bundlecheck import verify_bundle
    from ledger.freshness import stale, words_of
    from ledger.verdicts import Verdict
    from ledger.witnessing import check_policy_log

    ledgerid = bundle.rows[0].entry.ledgerid
    policy, roots = _outside(app, asked, ledgerid)
    trust = None if asked.vkey else app.trust_of(ledgerid)
    vkeys = _keys(asked.vkey) if trust is None else list(trust.keys_at(bundle.head.size))
    if policy is not None and vkeys:
        check_policy_log(policy, vkeys if trust is None else trust.vkeys)
    elif policy is not None:
        vkeys = [item.vkey for item in policy.logs]  # a policy that names the log's key pins it
    found = verify_bundle(bundle, vkeys, _anchors(asked.expect, vkeys, trust), policy, stamped=bool(roots))
    if asked.required:
        found.required = bundle.head.size if asked.required == "all" else int(asked.required)
    stamps = None if not roots or found.verdict is Verdict.BAD else _check_stamps(found, bundle, roots)
    if asked.max_age is not None:
        words = [*words_of(found.witnessed, policy), *stamp_words(stamps)]
        old = stale(words, asked.max_age, int(time.time()))
        found.gaps += [] if old is None else [old]
    return found, stamps


def _check_stamps(found: BundleVerification, bundle: Bundle, roots: list[x509.Certificate]) -> StampCheck:
    """Check the timestamps over the head, which is good, as the log signed it."""
    from ledger.bundlelog import BundleLog
    from ledger.timestamps import check_stamps
    from ledger.verdicts import GapKind

    log = BundleLog(replace(bundle, note=found.note), found.ledgerid)
    stamps = check_stamps(log, roots, lambda _: bundle.head)
    found.findings += stamps.findings
    found.anchored_by += [anchor.by for anchor in stamps.anchors]
    if stamps.anchors:
        found.gaps = [gap for gap in found.gaps if gap.kind is not GapKind.UNANCHORED]
    found.gaps += stamps.gaps
    return stamps


@click.command("bundle")
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--vkey", multiple=True, metavar="VKEY", help="The log's verifier key, from a source you trust.")
@click.option("--expect", multiple=True, type=FILE, metavar="CHECKPOINT", help="A signed head the bundle must extend.")
@policy_option
@require_option
@age_option
@tsa_option
@common_options
@pass_app
def verify_bundle_command(app: App, /, **options: Any) -> int:
    """Check a bundle offline: the tree, the signed head, keys and roles, and every content in it.

    Without --vkey the keys that trust.json pins for this ledger are used, or those that the policy names. Without any
    key the exit code is 3: whoever made the file may have made the ledger too. Exit code 1 when anything is wrong, a
    damaged file too.

    \b
    Example:
      muniment verify bundle tx.bundle --vkey "$(cat log.vkey)"
      muniment verify bundle - --expect head-from-ci.txt -o json < tx.bundle
      muniment verify bundle tx.bundle --policy witnesses.txt --require-witnesses
    """
    from ledger.bundlecheck import BundleVerification
    from ledger.errors import InputError
    from ledger.findings import Finding
    from ledger.verdicts import EXIT_OF, Fault

    asked, stamps = _Request(**options), None
    if asked.vkey:
        _keys(asked.vkey)  # what was typed wrongly is said before a long file is read
    try:
        bundle = _parse(asked.file)
    except OSError as error:
        raise InputError(f"{asked.file} cannot be read: {error.strerror}") from error
    except InputError as error:
        found = BundleVerification(findings=[Finding(Fault.BUNDLE, None, error.message)])
    else:
        found, stamps = _check(app, asked, bundle)
    print_record(app, _result(found, stamps), _text(found))
    return EXIT_OF[found.verdict]
