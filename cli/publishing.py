"""Published heads: `muniment checkpoint publish`, and `verify log --anchor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cli.app import App, common_options, pass_app
from cli.output import print_record

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.verdicts import Gap
    from ledger.verify import Anchor

__all__ = ["PlaceType", "anchor_option", "keep_contradicting", "publish", "published_anchors"]

_PLACES = "FILE|FOLDER|REPOSITORY|URL"


class PlaceType(click.ParamType[str]):
    """A file, a folder, or the URL of a place in an object store."""

    name = "place"

    def __init__(self, *, exists: bool = False, file_okay: bool = True) -> None:
        self._path = click.Path(exists=exists, file_okay=file_okay)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The URL without a slash at its end, or the path."""
        from ledger.objectstore import check_object_url, is_url

        return check_object_url(value) if is_url(value) else str(self._path.convert(value, param, ctx))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Paths; nobody is asked what is in an object store."""
        return self._path.shell_complete(ctx, param, incomplete)


anchor_option = click.option(
    "--anchor", "places", multiple=True, type=PlaceType(exists=True), metavar=_PLACES,
    help="Where heads were published that the log must extend; git and object stores hold all earlier ones too.",
)  # fmt: skip


@click.command()
@click.argument("place", metavar=_PLACES, type=PlaceType())
@common_options
@pass_app
def publish(app: App, /, place: str) -> None:
    """Publish the last signed head in a file, as a commit in a git repository, or in an object store.

    The present head is signed first when the key is here; cosignatures are in it. Only ever forward: when another
    history is published there the command ends with exit code 1 and keeps evidence. It may be repeated at any time.
    In a folder and in a repository the file is named checkpoint; pushing is up to you.

    Object stores are s3://bucket/prefix, gs://bucket/prefix and az://container/prefix. There checkpoint is the last
    head, and each head ever published is an object under checkpoints/ that is never replaced. Credentials, region and
    endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, …).

    \b
    Example:
      muniment checkpoint publish /srv/www/checkpoint
      muniment checkpoint publish ../transparency && git -C ../transparency push
      muniment checkpoint publish s3://transparency/loans
    """
    from cli.witnessing import head_check
    from ledger.checkpoint import parse_checkpoint
    from ledger.note import parse_note
    from ledger.places import open_place
    from ledger.published import ContradictedError, publish_head

    where = open_place(place)
    with app.signer() as ledger:
        note = ledger.cosigned(ledger.signed_head())
        try:
            written = publish_head(ledger.recorder, note, where, head_check(app, ledger))
        except ContradictedError as error:
            keep_contradicting(app, ledger, place, error.note)
            raise
    size = parse_checkpoint(parse_note(note).text).size
    text = f"published the head of size {size} in {place}" if written else f"{place} holds the head of size {size}"
    print_record(app, {"place": place, "size": size, "written": written}, text)


def keep_contradicting(app: App, ledger: Ledger, place: str, note: bytes) -> None:
    """Keep evidence of a published head that the store contradicts, and say where."""
    import time

    from ledger.casefiles import keep_if_any

    trust = app.home.trust()
    if trust is not None:
        app.note(keep_if_any(ledger.recorder, trust, f"what is published in {place}", note, time.time_ns() // 1000)[1])


def published_anchors(app: App, ledger: Ledger, places: tuple[str, ...]) -> tuple[list[Anchor], list[Gap]]:
    """Heads that were published, as anchors, and which of them were not read."""
    from cli.witnessing import head_check
    from ledger.places import open_place
    from ledger.published import read_published
    from ledger.verify import Anchor

    anchors, gaps = [], []
    for place in places:
        found = read_published(open_place(place), head_check(app, ledger))
        anchors += [Anchor(f"what is published in {place}", head, note) for head, note in found.heads]
        gaps += found.gaps
    return anchors, gaps
