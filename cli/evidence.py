"""`muniment verify evidence`: what a file of evidence proves, from it and the log's keys alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import print_record
from cli.values import IN_FILE

if TYPE_CHECKING:
    from ledger.evidence import Evidence, Verdict
    from ledger.identity import Trust
    from ledger.note import VerifierKey
    from ledger.verify import Anchor

__all__ = ["evidence", "keep_contradictions"]


def keep_contradictions(app: App, /, anchors: list[Anchor]) -> list[str]:
    """Keep evidence of every anchor that the store contradicts.

    Args:
        app: the invocation.
        anchors: heads vouched for, some of which a verification found contradicted.

    Returns:
        The files.
    """
    import time

    from ledger.casefiles import keep_if_any

    trust = app.home.trust()
    if trust is None:
        return []
    kept = []
    with app.home.open_reader() as ledger:
        for anchor in anchors:
            if anchor.note is None:
                continue
            path, words = keep_if_any(ledger.recorder, trust, anchor.by, anchor.note, time.time_ns() // 1000)
            if path is not None:
                app.note(words[:1].upper() + words[1:])
                kept.append(str(path))
    return kept


def _vkeys(given: tuple[str, ...]) -> list[VerifierKey]:
    from ledger.errors import InputError
    from ledger.note import parse_vkey
    from ledger.statefile import MAX_STATE_FILE, read_named_file

    found = []
    for text in given:
        try:
            given_key = "+" in text and not Path(text).exists()
            lines = [text] if given_key else read_named_file(Path(text), MAX_STATE_FILE).decode().split()
        except (InputError, UnicodeDecodeError) as error:
            raise InputError(f"{text} is neither a verifier key nor a file with some: {error}") from error
        found += [parse_vkey(line) for line in lines]
    return found


def _pinned(app: App, /, ledgerid: str) -> Trust | None:
    """The identity that this machine pins for a ledger, when it is the one found here."""
    from ledger.errors import ConfigurationError

    try:
        trust = app.home.trust()
    except ConfigurationError:  # no ledger is found here, and none is needed
        return None
    return trust if trust is not None and trust.ledgerid == ledgerid else None


def _result(found: Evidence, verdict: Verdict) -> dict[str, Any]:
    from ledger.base64text import encode_base64
    from ledger.entry import format_time

    heads = {}
    for name, head in (("known", verdict.known), ("shown", verdict.shown)):
        heads[name] = head and {"size": head.size, "root": encode_base64(head.root)}
    return {
        "proven": verdict.proven,
        "contradiction": found.contradiction,
        "message": verdict.message,
        "origin": found.origin,
        "ledgerid": found.ledgerid,
        "by": found.by,
        "found_at": format_time(found.found_at),
        "known": heads["known"],
        "shown_signed": heads["shown"],
        "shown_size": found.shown.size,
    }


@click.command()
@click.argument("file", type=IN_FILE)
@click.option(
    "--vkey", "given", multiple=True, metavar="VKEY|FILE",
    help="A verifier key of the log that you trust, or a file of them; those of trust.json by default.",
)  # fmt: skip
@common_options
@pass_app
def evidence(app: App, /, file: Path, given: tuple[str, ...]) -> int:
    """Check what a file of evidence proves; it needs no ledger and no network.

    Muniment writes such a file when a store no longer extends a head that was seen before. Exit code 0: proven,
    keys of the log signed two histories. Exit code 3: the file is well formed and proves nothing by itself, since
    what was shown is not signed, or no key is known here to check it with. Exit code 1: the file is false.

    \b
    Example:
      muniment verify evidence fork.evidence --vkey log.vkey
    """
    from functools import partial

    from ledger.checkpoint import verify_checkpoint
    from ledger.errors import InputError, NothingToVerifyError
    from ledger.evidence import MAX_EVIDENCE, parse_evidence, verify_evidence

    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_EVIDENCE + 1)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    found = parse_evidence(data)
    vkeys, trust = _vkeys(given), None if given else _pinned(app, found.ledgerid)
    if not vkeys and trust is None:
        raise NothingToVerifyError(
            "no key is known here to check this evidence with; those it names itself are its maker's word",
            hint="Name a key of the log that you trust: --vkey log.vkey",
        )
    verdict = verify_evidence(found, partial(verify_checkpoint, vkeys=vkeys) if trust is None else trust.verify_head)
    mark = "✗ PROVEN" if verdict.proven else "? NOT PROVEN"
    lines = [f"{mark}: {verdict.message}", f"  it was found on {_result(found, verdict)['found_at']}, by its maker"]
    print_record(app, _result(found, verdict), "\n".join(lines))
    return 0 if verdict.proven else 3
