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

__all__ = ["PROJECTIONS", "open_runner"]

PROJECTIONS: Final[tuple[Projection, ...]] = (Journal(), Lineage(), ModelStateView())


def open_runner(ledger: Ledger, url: str) -> Runner:
    """The runner of all projections of a ledger.

    Args:
        ledger: an open ledger.
        url: its store.
    """
    return Runner(ledger, open_views(url), PROJECTIONS)
