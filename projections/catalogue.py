"""Every projection of Muniment, and the views of a ledger brought up to its head."""

from __future__ import annotations

from typing import Final

from ledger.application import Ledger
from projections.base import Projection
from projections.journal import Journal
from projections.lineage import Lineage
from projections.model_state import ModelStateView
from projections.runner import Runner
from projections.views import open_views

__all__ = ["PROJECTIONS", "open_runner", "open_shared_runner"]

PROJECTIONS: Final[tuple[Projection, ...]] = (Journal(), Lineage(), ModelStateView())


def open_runner(ledger: Ledger, url: str) -> Runner:
    """The runner of all projections of a ledger: of the views beside the log, or of the user's own (see `views.own`).

    Args:
        ledger: an open ledger.
        url: its store.
    """
    views = open_views(url)
    if not views.may_keep():
        from projections.views.own import open_own_views  # noqa: PLC0415 - few need it

        place = views.place
        views.close()
        views = open_own_views(ledger, place)
    return Runner(ledger, views, PROJECTIONS)


def open_shared_runner(ledger: Ledger, url: str) -> Runner:
    """The runner of the views beside the log, whoever may write there.

    Args:
        ledger: an open ledger.
        url: its store.
    """
    return Runner(ledger, open_views(url), PROJECTIONS)
