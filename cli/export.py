"""`muniment export`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.app import App, common_options, pass_app
from cli.output import print_record
from cli.publishing import PlaceType, keep_contradicting

if TYPE_CHECKING:
    from ledger.bundle import Selection

__all__ = ["export"]


@click.group(short_help="Export the log for foreign verifiers.")
def export() -> None:
    """Export the log in forms that other tools read."""


@export.command()
@click.argument("folder", metavar="FOLDER|URL", type=PlaceType(file_okay=False))
@common_options
@pass_app
def tiles(app: App, /, folder: str) -> None:
    """Write checkpoint, log.vkey and tile/… as a C2SP tiled log; entries hold digests, never content.

    In an object store (s3://bucket/prefix, gs://, az://) nothing is overwritten, and the head goes only forward, as
    with checkpoint publish; credentials come from the environment.

    \b
    Example:
      muniment export tiles /srv/log
      muniment export tiles s3://transparency/loans
    """
    from cli.witnessing import head_check
    from ledger.objectstore import is_url
    from ledger.publish import export_tiles, upload_tiles
    from ledger.published import ContradictedError

    with app.signer() as ledger:
        try:
            if is_url(folder):
                size, files = upload_tiles(ledger, folder, head_check(app, ledger))
            else:
                size, files = export_tiles(ledger, Path(folder))
        except ContradictedError as error:
            keep_contradicting(app, ledger, folder, error.note)
            raise
    print_record(app, {"folder": folder, "size": size, "files": files}, f"wrote {files} files of size {size}")


def _write(path: str, parts: Iterable[bytes]) -> int:
    """Write a file, or nothing of it; returns its number of bytes."""
    import os
    import tempfile

    from ledger.errors import StorageError

    if path == "-":
        return sum(sys.stdout.buffer.write(part) for part in parts)
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                size = sum(file.write(part) for part in parts)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    return size


def _selection(*, subject: str | None, indexes: tuple[int, ...], files: tuple[str, ...], everything: bool) -> Selection:
    from cli.digests import file_digests
    from ledger.bundle import Selection
    from ledger.errors import InputError
    from ledger.names import parse_name

    if sum(map(bool, (subject, indexes, files, everything))) != 1:
        raise InputError(
            "say what goes into the bundle, in one way", hint="One of --subject, --index, --file and --all."
        )
    if subject is not None:
        parse_name(subject)
        return Selection("subject", (subject,))
    if indexes:
        return Selection("indexes", tuple(sorted(set(indexes))))
    if files:
        return Selection("digests", tuple(sorted({item for file in files for item in file_digests(file)})))
    return Selection("all")


@export.command()
@click.argument("out", metavar="OUT", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--subject", metavar="SUBJECT", help="Contents of all entries about it; without @version its whole stream."
)
@click.option(
    "--index", "indexes", type=click.IntRange(min=0), multiple=True, help="Content of this entry; repeatable."
)
@click.option(
    "--file", "files", type=click.Path(exists=True, dir_okay=False, allow_dash=True), multiple=True, metavar="FILE",
    help="Contents of all entries that mention these bytes.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Contents of all entries: then rules can be judged too.")
@common_options
@pass_app
def bundle(
    app: App,
    /,
    out: str,
    *,
    subject: str | None,
    indexes: tuple[int, ...],
    files: tuple[str, ...],
    everything: bool,
) -> None:
    """Write one file that others check offline: entries, envelopes, the signed head, keys and schemas.

    Every header up to the signed head is in it, and every change of keys and roles with its content, so that whoever
    checks it needs nothing else but the log's verifier key. Contents are in it in the clear.

    \b
    Example:
      muniment export bundle --subject model:tx@2 tx.bundle
      muniment export bundle --all -o json everything.bundle
    """
    from ledger.bundling import export_bundle

    chosen = _selection(subject=subject, indexes=indexes, files=files, everything=everything)
    with app.signer() as ledger:
        size = _write(out, export_bundle(ledger, chosen))
    if out != "-":
        data = {"file": out, "bytes": size, "selection": {"kind": chosen.kind, "items": list(chosen.items)}}
        print_record(app, data, f"wrote {out}, {size} bytes")
    app.note("Next:  muniment verify bundle FILE, or without Muniment: python3 verify.py FILE --vkey VKEY")


@export.command()
@click.argument("out", metavar="OUT", type=click.Path(dir_okay=False, allow_dash=True))
@common_options
@pass_app
def verifier(_app: App, /, out: str) -> None:
    """Write verify.py, which checks bundles with nothing but Python and cryptography.

    Auditors: take it from a release you trust, never from whoever hands you the bundle.

    Example: muniment export verifier verify.py
    """
    from importlib.resources import files

    _write(out, [files("ledger").joinpath("standalone.py").read_bytes()])
