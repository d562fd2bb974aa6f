"""`muniment init`."""

from __future__ import annotations

from pathlib import Path

import click

from cli.app import App, common_options, new_passphrase, pass_app
from cli.output import print_record

__all__ = ["init"]


@click.command(short_help="Create a ledger here.")
@click.argument("where", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("--origin", metavar="NAME", help="Name of the log in checkpoints, by convention a URL without scheme.")
@click.option("--name", help="Display name of the first admin; your user name by default.")
@click.option("--keys", type=click.Path(path_type=Path), help="Folder for private keys, relative to .muniment.")
@click.option("--encrypt", is_flag=True, help="Encrypt the private keys; MUNIMENT_PASSPHRASE, or asked.")
@click.option("--sample", is_flag=True, help="Fill it with a finished history of several persons (demo trust).")
@common_options
@pass_app
def init(
    app: App, /, where: Path, origin: str | None, name: str | None, keys: Path | None, *, encrypt: bool, sample: bool
) -> None:
    """Create a ledger in WHERE/.muniment, with its keys and a first admin for you.

    The store is a SQLite file there, or the PostgreSQL URL given with --ledger.

    \b
    Example:
      muniment init --origin example.com/ml-ledger
      muniment emit dataset.registered dataset:tx -d name=tx -d digest=sha256:…
    """
    from ledger.config import redact_url
    from ledger.home import create_home

    if origin is None:
        if not sample:
            raise click.UsageError(
                "Missing option '--origin', the log's name, for example --origin example.com/ml-ledger"
            )
        origin = "sample.example/ledger"
    if sample and keys is None:
        keys = Path("keys")
    made = create_home(
        where, origin, url=app.ledger, name=name, keys=keys, passphrase=new_passphrase() if encrypt else None
    )
    ledger, home = made.new.ledger, made.home
    if sample:
        from cli.sample import fill_sample

        fill_sample(made)
        app.note("This is demo trust: every person's private key lies in this one folder.")
    size = ledger.recorder.head().size
    ledger.recorder.close()
    data = {
        "origin": made.new.trust.origin,
        "ledgerid": made.new.trust.ledgerid,
        "folder": str(home.folder),
        "store": redact_url(home.url),
        "actor": made.new.admin,
        "size": size,
    }
    print_record(app, data, f"created {made.new.trust.origin} in {home.folder}, you are {made.new.admin}")
    app.note(f"Private keys are in {home.keystore(made.new.trust.ledgerid).folder}; move the root key to a safe place.")
    if sample:
        app.note("Next:  muniment state, muniment timeline incident:inc-1, muniment report generate control-assessment")
    else:
        app.note("Next:  muniment emit dataset.registered dataset:NAME -d name=NAME -d digest=sha256:HEX")
