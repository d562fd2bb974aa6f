"""`muniment proof` and `checkpoint`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cli.anchoring import export_head, timestamp
from cli.app import App, common_options, pass_app
from cli.output import print_record
from cli.publishing import publish
from cli.witnessing import note_witnessed, policy_option, witness, witnessed_head

__all__ = ["checkpoint", "proof"]


@click.group(short_help="Make proofs others can check.")
def proof() -> None:
    """Proofs in C2SP and RFC 9162 form, for verifiers that are not ours."""


def _write(path: str, data: bytes) -> None:
    from ledger.errors import StorageError

    if path == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


@proof.command()
@click.argument("index", type=click.IntRange(min=0))
@click.option("-o", "--output", "path", default="-", metavar="FILE", help="Where to write it; stdout by default.")
@click.option("--witnessed", is_flag=True, help="Under the last head that enough witnesses of the policy cosigned.")
@policy_option
@click.option("--ledger", hidden=True, expose_value=False)
@pass_app
def inclusion(app: App, /, index: int, path: str, *, witnessed: bool, policy: Path | None) -> None:
    """Write a .tlog-proof that an entry is in the log under its signed head.

    The head is the present one, which is signed first when the key is here, and carries the cosignatures that the store
    has of it. With --witnessed it is the last one that a quorum cosigned, so that the proof rests on them alone.

    The entry itself, which the proof is about, comes from `muniment show INDEX --entry`.

    Example: muniment proof inclusion 12 -o 12.tlog-proof
    """
    with app.signer() as ledger:
        note = witnessed_head(app, ledger, policy, index) if witnessed or policy is not None else None
        _write(path, ledger.prove_inclusion(index, note))


@proof.command()
@click.argument("old", type=click.IntRange(min=1))
@click.argument("new", type=click.IntRange(min=1))
@common_options
@pass_app
def consistency(app: App, /, old: int, new: int) -> None:
    """Print the hashes that show that the log of size NEW extends the one of size OLD (RFC 9162 2.1.4).

    Example: muniment proof consistency 100 200
    """
    from ledger.base64text import encode_base64
    from ledger.merkle import root_hash
    from ledger.treereader import TreeReader

    with app.reader() as ledger:
        hashes = [encode_base64(item) for item in ledger.prove_consistency(old, new)]
        reader = TreeReader(ledger.recorder)
        roots = [encode_base64(root_hash(reader, size)) for size in (old, new)]
    data = {"old": {"size": old, "root": roots[0]}, "new": {"size": new, "root": roots[1]}, "hashes": hashes}
    print_record(app, data, "\n".join([f"old {old} {roots[0]}", f"new {new} {roots[1]}", *hashes]))


@click.group(short_help="Show signed heads and their key, and have them witnessed.")
def checkpoint() -> None:
    """The log's signed heads (C2SP tlog-checkpoint)."""


@checkpoint.command()
@click.option("--vkey", is_flag=True, help="Print the verifier key instead, of heads that are signed now.")
@click.option(
    "--export", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Write it there instead, as it was timestamped, with its timestamps (.tsr) and its cosigned form.",
)  # fmt: skip
@click.option("--ledger", hidden=True, expose_value=False)
@pass_app
def show(app: App, /, *, vkey: bool, folder: Path | None) -> None:
    """Print the newest signed head exactly, signing the present one first when the key is here.

    Behind the log's signature come the cosignatures that the store has of this head. Where there is a witness policy,
    it says on stderr whether they are enough.

    Example: muniment checkpoint show > head.txt
    """
    from ledger.note import format_vkey

    with app.signer() as ledger:
        if vkey:
            click.echo(format_vkey(ledger.vkey))
            return
        if folder is not None:
            size, tokens = export_head(ledger, folder)
            app.note(f"wrote the head of size {size} and {tokens} timestamp(s) to {folder}")
            return
        note = ledger.checkpoint()
        sys.stdout.buffer.write(ledger.cosigned(note))
        note_witnessed(app, ledger, note)


checkpoint.add_command(witness)
checkpoint.add_command(timestamp)
checkpoint.add_command(publish)


@checkpoint.command("keys")
@common_options
@pass_app
def list_keys(app: App) -> None:
    """List the verifier keys of the log's heads, and from which size on each of them signs.

    The root keys change them. An old head or proof is checked with the key of its size.
    """
    from cli.output import Grid, print_list, table
    from ledger.note import format_vkey

    with app.reader() as ledger:
        keys = ledger.log_keys().keys
        here = app.home.keystore(ledger.ledgerid)
        items = [
            {
                "since": key.since,
                "vkey": format_vkey(key.vkey),
                "dual": key.dual if key.since else None,
                "private_key_here": here.has("checkpoint", keyid=key.vkey.public_key.keyid),
            }
            for key in keys
        ]
    columns = ("from size", "verifier key", "first head by", "private key here")
    words = {None: "", True: "old and new", False: "new alone"}
    rows = [
        (str(item["since"]), str(item["vkey"]), words[item["dual"]], "yes" if item["private_key_here"] else "")  # type: ignore[index]
        for item in items
    ]
    grid = Grid(("since", "vkey", "dual", "private_key_here"), items)
    print_list(app, "keys", grid, lambda: table(app, "Checkpoint keys", columns, rows))
