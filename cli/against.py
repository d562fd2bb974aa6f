"""What is said with a no to a version: which approvals it took along, and which stand all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cli.app import App

__all__ = ["record_against"]


def record_against(app: App, step: Callable[..., Any], model: str, environment: str | None, **options: Any) -> None:
    """Take back an approval or end a request, and say what that did to approvals of the version.

    Args:
        app: the command's.
        step: appends the event; gets the ledger for writing, the model, the environment and the options.
        model: ``model:<name>@<version>``.
        environment: which, None where it is not said.
        options: of ``step``.
    """
    from ledger.approvals import taken_back

    with app.writer() as ledger:
        receipt = step(ledger, model, environment, **options)
        done = taken_back(ledger, model, receipt)
        app.show_receipt(receipt)
    if done.approval is not None:
        app.note(
            f"Taken back: the approval of entry {done.approval.index}, given by {app.display(done.approval.actor)}"
        )
    for one in done.fell:
        app.note(f"With it falls the approval of entry {one.index}, given by {app.display(one.actor)}")
    for one in done.left:
        app.note(
            f"Warning: the approval of entry {one.index}, given by {app.display(one.actor)}, still stands for "
            f"{done.environment}. To take it back: muniment revoke {model} --approval {one.id} --rationale …"
        )
