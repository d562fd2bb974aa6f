"""What is known of a deployment, or of data, and said where a decision about it is recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cli.app import App
    from ledger.application import Ledger
    from ledger.domain.world import World
    from projections.asof import AsOf
    from projections.runner import Runner

__all__ = ["lifts", "warn_of_fallback", "warn_of_target", "warn_of_written"]

_SHOWN: Final = 10


@contextmanager
def _known(app: App, ledger: Ledger) -> Iterator[tuple[Runner, AsOf, World]]:
    """The views of a ledger that is open for writing, and what is known now."""
    from projections.asof import resolve_as_of
    from projections.catalogue import open_runner

    runner = open_runner(ledger, app.home.url)
    try:
        as_of = resolve_as_of(ledger, runner.views, head=runner.catch_up())
        yield runner, as_of, ledger.world.at(as_of.size)
    finally:
        runner.views.close()


def lifts(app: App, ledger: Ledger, deployment: str, model: str) -> list[str]:
    """The holds that an authorisation would lift, in words.

    Args:
        app: the invocation.
        ledger: open for writing.
        deployment: ``deployment:<environment>/<service>``.
        model: the version to be authorised.

    Raises:
        PolicyError: it is not registered, as the authorisation would be refused.
    """
    from ledger.domain.lifecycle import version_of
    from projections.service import read_service

    rows = ledger.recorder.stream_rows(deployment, 0, ledger.world.refresh())
    if not any(row.entry.type.startswith("muniment.deployment.held.") for row in rows):
        return []  # most never are: views are not opened for that
    with _known(app, ledger) as (runner, as_of, world):
        key = model, version_of(world, model).version.digest
        held = [
            one.row for one in read_service(runner.views, as_of, deployment).open_decisions()
            if one.action == "hold" and one.key == key
        ]  # fmt: skip
        told = app.marked(ledger, [(row["index"], row["actor"], row["data"].get("reason")) for row in held], as_of.size)
    return [f"by entry {index} of {app.display(actor)}" + (f": {why}" if why else "") for index, actor, why in told]


def warn_of_fallback(app: App, ledger: Ledger, index: int) -> None:
    """Say where the version that a promise names is no good one to return to, as of now.

    Args:
        app: the invocation.
        ledger: open for writing.
        index: of the promise.
    """
    from projections.service import read_service
    from projections.slo.fallback import why_no_return
    from projections.slo.promises import read_promises
    from projections.slo.watching import deployments_of

    with _known(app, ledger) as (runner, as_of, world):
        promise = next(one for one in read_promises(runner.views, as_of) if one.index == index)
        model, subject = promise.body.fallback or "", promise.subject
        names = [subject] if subject.startswith("deployment:") else deployments_of(runner.views, as_of)
        for name in filter(promise.covers, names):
            service = read_service(runner.views, as_of, name)
            why = why_no_return(world, service, model, now=time.time_ns() // 1000)
            if why is not None:
                app.note(
                    f"Warning: {model} is no good version to return to in {name}: {why}. As long as that is so, a rule "
                    "returns to the last good one there, or holds."
                )


def warn_of_target(app: App, ledger: Ledger, deployment: str, model: str, digest: str | None) -> None:
    """Say that a version is no good one to return to, and which is; what cannot be told stops no rollback.

    Args:
        app: the invocation.
        ledger: open for writing.
        deployment: ``deployment:<environment>/<service>``.
        model: the version that somebody wants to return to.
        digest: its digest; the registered one when None.
    """
    from ledger.errors import LedgerError
    from projections.service import read_service
    from projections.slo.fallback import known_good, why_no_return

    now = time.time_ns() // 1000
    try:
        with _known(app, ledger) as (runner, as_of, world):
            service = read_service(runner.views, as_of, deployment)
            why, newest = why_no_return(world, service, model, digest, now=now), service.newest
            good = None if newest is None else known_good(world, service, newest.key, now=now)
    except LedgerError as error:
        app.note(f"Warning: whether {model} is a good version to return to could not be looked up: {error.message}")
        return
    if why is not None:
        better = "No good one is known there." if good is None else f"The last good one there is {good[0]}."
        app.note(f"Warning: {model} is no good version to return to in {deployment}: {why}. {better}")


def warn_of_written(app: App, ledger: Ledger, subject: str) -> None:
    """Say which data sets were made from one that is in quarantine, where the rules do not follow that.

    Args:
        app: the invocation.
        ledger: open for writing.
        subject: the data set or feature set.
    """
    from ledger.errors import LedgerError
    from projections.impact import written

    try:
        with _known(app, ledger) as (runner, as_of, world):
            found = written(runner.views, as_of, world, subject)
    except LedgerError as error:
        app.note(f"Warning: what was made from {subject} could not be looked up: {error.message}")
        return
    for name, run in list(found.items())[:_SHOWN]:
        app.note(
            f"Warning: {name} was made from it by {run}, and the rules do not follow what a run wrote. To stop what "
            f"rests on that: muniment quarantine {name} --reason …"
        )
    if len(found) > _SHOWN:
        app.note(f"Warning: and so were {len(found) - _SHOWN} more. See: muniment lineage {subject} --down")
