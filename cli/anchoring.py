"""Timestamps over signed heads: `muniment checkpoint timestamp`, and what `verify log` says of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import print_record, styled
from cli.values import OUT_FILE

if TYPE_CHECKING:
    from cryptography import x509
    from rich.console import Console

    from ledger.application import Ledger
    from ledger.freshness import Word
    from ledger.timestamps import StampCheck

__all__ = [
    "check_timestamps",
    "describe_timestamps",
    "export_head",
    "stamp_words",
    "summarise",
    "timestamp",
    "tsa_option",
    "tsa_roots",
]

tsa_option = click.option(
    "--tsa-certs", type=OUT_FILE, metavar="FILE",
    help="Certificates (PEM) of the timestamp authorities you trust; .muniment/tsa-roots.pem by default.",
)  # fmt: skip


def tsa_roots(app: App, path: Path | None, *, needed: bool) -> list[x509.Certificate]:
    """Certificates of the authorities that are trusted: those named, or those beside trust.json."""
    from ledger.timestamps import TSA_FILE, read_roots

    if path is None:
        folder = app.home.folder
        path = Path(TSA_FILE) if folder is None else folder / TSA_FILE
        if not needed and (folder is None or not (path.exists() or path.is_symlink())):
            return []
    return read_roots(path)


@click.command()
@click.option("--tsa", "url", required=True, metavar="URL", help="The authority, by http or https (RFC 3161).")
@tsa_option
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=30.0, show_default=True, metavar="SECONDS",
    help="How long to wait for its answer.",
)  # fmt: skip
@common_options
@pass_app
def timestamp(app: App, /, url: str, tsa_certs: Path | None, *, timeout: float) -> None:
    """Have the last signed head timestamped by an authority (RFC 3161), and keep the token in the store.

    The present head is signed first when the key is here. The answer is stored only after it was verified: it is over
    this very head, answers this request, and is signed by an authority whose root you trust, for this purpose and at a
    time when its certificate was valid.

    \b
    Example:
      muniment checkpoint timestamp --tsa http://timestamp.example/tsr --tsa-certs authority.pem
    """
    from ledger.entry import format_time
    from ledger.timestamps import stamp_head

    roots = tsa_roots(app, tsa_certs, needed=True)
    with app.signer() as ledger:
        head = ledger.head_verifier(app.home.trust())(ledger.signed_head())
        stamp, new = stamp_head(ledger.recorder, head, url, roots, seconds=timeout)
    data = {
        "origin": head.origin,
        "size": head.size,
        "root": head.root.hex(),
        "authority": stamp.authority,
        "time": format_time(stamp.time),
        "serial": str(stamp.serial),
        "new": new,
    }
    print_record(app, data, f"timestamped size {head.size} by {stamp.authority} at {data['time']}")


def check_timestamps(app: App, ledger: Ledger, tsa_certs: Path | None) -> StampCheck:
    """Check the timestamps in the store; what trusted authorities signed becomes anchors."""
    from ledger.timestamps import check_stamps

    return check_stamps(
        ledger.recorder, tsa_roots(app, tsa_certs, needed=False), ledger.head_verifier(app.home.trust())
    )


def summarise(stamps: StampCheck | None) -> dict[str, Any] | None:
    """The timestamps for JSON; None where there are none or they were not looked at."""
    from ledger.entry import format_time

    if stamps is None or not (stamps.stamps or stamps.unknown):
        return None
    last = max(stamps.stamps, key=lambda item: (item[0], -item[1].time), default=None)
    return {
        "verified": len(stamps.stamps),
        "size": last and last[0],
        "authority": last and last[1].authority,
        "time": last and format_time(last[1].time),
        "not_verified": len(stamps.unknown),
    }


def stamp_words(stamps: StampCheck | None) -> list[Word]:
    """What trusted authorities said, and when."""
    from ledger.freshness import Word

    found = () if stamps is None else stamps.stamps
    return [Word(f"the authority {stamp.authority}", stamp.time // 10**6) for _, stamp in found]


def describe_timestamps(out: Console, stamps: StampCheck | None) -> None:
    """Print what timestamps say; those that no trusted authority signed are among the gaps."""
    from ledger.entry import format_time

    if stamps is not None and stamps.stamps:
        size, stamp = max(stamps.stamps, key=lambda item: (item[0], -item[1].time))
        out.print(styled(f"  timestamped up to size {size} by {stamp.authority} at {format_time(stamp.time)}"))


def export_head(ledger: Ledger, folder: Path) -> tuple[int, int]:
    """Write the last signed head as it was timestamped, and every token over it, for other tools.

    Returns:
        Its size and the number of tokens.
    """
    from ledger.checkpoint import parse_checkpoint
    from ledger.durable import write_atomically
    from ledger.errors import StorageError
    from ledger.note import parse_note
    from ledger.timestamps import KIND

    size = parse_checkpoint(parse_note(ledger.signed_head()).text).size
    (stored,) = ledger.recorder.checkpoints(size - 1, 1)
    tokens = [
        item.body for item in ledger.recorder.attestations((size - 1, 2**62), 1000)
        if item.kind == KIND and item.size == size
    ]  # fmt: skip
    files = {"checkpoint": stored.note, "checkpoint.cosigned": ledger.cosigned(stored.note)}
    files |= {f"checkpoint.{number}.tsr": body for number, body in enumerate(tokens, 1)}
    try:
        for name, data in files.items():
            write_atomically(folder / name, data, mode=0o644)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}") from error
    return size, len(tokens)
