"""`muniment init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.app import App, common_options, new_passphrase, pass_app
from cli.output import print_record
from cli.values import IN_FILE, OUT_FILE, rules_named

if TYPE_CHECKING:
    from ledger.events.ledgers import RuleSet
    from ledger.newhome import NewHome

__all__ = ["init"]


@click.command(short_help="Create a ledger here.")
@click.argument("where", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("--origin", metavar="NAME", help="Name of the log in checkpoints, by convention a URL without scheme.")
@click.option("--name", help="Display name of the first admin; your user name by default.")
@click.option("--keys", type=click.Path(path_type=Path), help="Folder for private keys, relative to .muniment.")
@click.option("--encrypt", is_flag=True, help="Encrypt the private keys; MUNIMENT_PASSPHRASE, or asked.")
@click.option(
    "--root",
    "roots",
    multiple=True,
    type=IN_FILE,
    metavar="PUBKEYFILE",
    help="Public key of a root, held by somebody; repeat it. The holders then sign before there is a ledger.",
)
@click.option("--threshold", type=click.IntRange(1, 15), metavar="M", help="How many of the --root keys must sign.")
@click.option(
    "--out",
    type=OUT_FILE,
    default="founding.ceremony",
    show_default=True,
    help="With --root: file to write.",
)
@click.option(
    "--rules",
    metavar="NAME|FILE",
    help="Rules in force from the first entry on: default, light, standard, full, or a JSON file of them.",
)
@click.option("--sample", is_flag=True, help="Fill it with a finished history of several persons (demo trust).")
@common_options
@pass_app
def init(
    app: App,
    /,
    where: Path,
    origin: str | None,
    name: str | None,
    keys: Path | None,
    roots: tuple[Path, ...],
    threshold: int | None,
    out: Path,
    rules: str | None,
    *,
    encrypt: bool,
    sample: bool,
) -> None:
    """Create a ledger in WHERE/.muniment, with its keys and a first admin for you.

    The store is a SQLite file there, or the PostgreSQL URL given with --ledger.

    For production give the public keys of several persons with --root, made by `muniment root new-key` on their own
    machines, and a --threshold. The ledger comes into being when each of them has signed the file that is written.

    `muniment admin rules starter` prints the rules that have a name. The root keys can change them later.

    \b
    Example:
      muniment init --origin example.com/ml-ledger
      muniment init --origin example.com/ml-ledger --root alice.pub --root bob.pub --root carol.pub --threshold 2
    """
    from ledger.newhome import create_home

    if origin is None:
        if not sample:
            raise click.UsageError(
                "Missing option '--origin', the log's name, for example --origin example.com/ml-ledger"
            )
        origin = "sample.example/ledger"
    if sample and keys is None:
        keys = Path("keys")
    table = rules_named(rules or "default")
    if roots or threshold is not None:
        if sample or not roots or threshold is None:
            raise click.UsageError("--root and --threshold go together, and not with --sample")
        _propose(app, where, origin, roots, threshold, out=out, name=name, keys=keys, encrypt=encrypt, rules=table)
        return
    made = create_home(
        where, origin, url=app.ledger, name=name, keys=keys, passphrase=new_passphrase() if encrypt else None,
        rules=table,
    )  # fmt: skip
    if sample:
        from cli.sample import fill_sample

        fill_sample(made)
        app.note("This is demo trust: every person's private key lies in this one folder.")
    _show_new(app, made, sample=sample)


def _show_new(app: App, made: NewHome, *, sample: bool) -> None:
    """Say what was made, and what to do next."""
    from ledger.config import redact_url

    ledger, home = made.new.ledger, made.home
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
        app.note(
            "Warning: one root key alone rules this ledger: lost or stolen, nothing replaces it. Before production: "
            "muniment root propose roots --help"
        )
        app.note("Next:  muniment emit dataset.registered dataset:NAME -d digest=sha256:HEX")


def _propose(
    app: App,
    /,
    where: Path,
    origin: str,
    roots: tuple[Path, ...],
    threshold: int,
    *,
    out: Path,
    name: str | None,
    keys: Path | None,
    encrypt: bool,
    rules: RuleSet,
) -> None:
    from cli.ceremonies import as_data, read_public
    from ledger.ceremony import describe
    from ledger.founding import propose_home

    made = propose_home(
        where, origin, [read_public(path) for path in roots], threshold, ceremony=out, url=app.ledger, name=name,
        keys=keys, passphrase=new_passphrase() if encrypt else None, rules=rules,
    )  # fmt: skip
    ceremony = made.founding.ceremony
    data = {"file": str(out), "folder": str(made.home.folder), "actor": made.founding.admin, **as_data(ceremony)}
    print_record(app, data, "\n".join(describe(ceremony)))
    app.note(f"There is no ledger yet. Private keys are in {made.home.keystore(ceremony.ledgerid).folder}.")
    if len(roots) == 1:
        app.note("Warning: one root key alone will rule this ledger: lost or stolen, nothing replaces it.")
    app.note(f"Next:  each holder runs: muniment root sign {out.name} --key KEYFILE; then here: muniment root submit")
