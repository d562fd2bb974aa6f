"""Published heads: `muniment checkpoint publish`, and `verify log --anchor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.app import App, common_options, pass_app
from cli.output import print_record

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.verify import Anchor

__all__ = ["anchor_option", "publish", "published_anchors"]

anchor_option = click.option(
    "--anchor", "places", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="FILE|FOLDER|REPOSITORY",
    help="Where heads were published that the log must extend; of a git repository all of its history is read.",
)  # fmt: skip


@click.command()
@click.argument("place", metavar="FILE|FOLDER|REPOSITORY", type=click.Path(path_type=Path))
@common_options
@pass_app
def publish(app: App, /, place: Path) -> None:
    """Publish the last signed head in a file, or as a commit in a git repository that others pull.

    The present head is signed first when the key is here; cosignatures are in it. Only ever forward: when another
    history is published there the command ends with exit code 1 and keeps evidence. It may be repeated at any time.
    In a folder and in a repository the file is named checkpoint; pushing is up to you.

    \b
    Example:
      muniment checkpoint publish /srv/www/checkpoint
      muniment checkpoint publish ../transparency && git -C ../transparency push
    """
    from cli.witnessing import head_check
    from ledger.checkpoint import parse_checkpoint
    from ledger.note import parse_note
    from ledger.published import ContradictedError, publish_head

    with app.signer() as ledger:
        note = ledger.cosigned(ledger.signed_head())
        try:
            written = publish_head(ledger.recorder, note, place.resolve(), head_check(app, ledger))
        except ContradictedError as error:
            _keep(app, ledger, place, error.note)
            raise
    size = parse_checkpoint(parse_note(note).text).size
    text = f"published the head of size {size} in {place}" if written else f"{place} holds the head of size {size}"
    print_record(app, {"place": str(place), "size": size, "written": written}, text)


def _keep(app: App, ledger: Ledger, place: Path, note: bytes) -> None:
    import time

    from ledger.casefiles import keep_if_any

    trust = app.home.trust()
    if trust is not None:
        app.note(keep_if_any(ledger.recorder, trust, f"what is published in {place}", note, time.time_ns() // 1000)[1])


def published_anchors(app: App, ledger: Ledger, places: tuple[Path, ...]) -> list[Anchor]:
    """Heads that were published, as anchors."""
    from cli.witnessing import head_check
    from ledger.published import read_published
    from ledger.verify import Anchor

    return [
        Anchor(f"what is published in {place}", head, note)
        for place in places
        for head, note in read_published(place, head_check(app, ledger))
    ]
