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

__all__ = ["warn_of_abort", "warn_of_fallback", "warn_of_return", "warn_of_target", "warn_of_written"]

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


def warn_of_fallback(app: App, ledger: Ledger, index: int) -> None:
    """Say where the version that a promise names is no good one to return to, as of now.

    Args:
        app: the invocation.
        ledger: open for writing.
        index: of the promise.
    """
    from projections.service import read_service
    from projections.slo.burnt import burnt, causes_of_return
    from projections.slo.fallback import why_no_return
    from projections.slo.promises import read_promises
    from projections.slo.watching import deployments_of

    now = time.time_ns() // 1000
    with _known(app, ledger) as (runner, as_of, world):
        promise = next(one for one in read_promises(runner.views, as_of) if one.index == index)
        model, subject = promise.body.fallback or "", promise.subject
        names = [subject] if subject.startswith("deployment:") else deployments_of(runner.views, as_of)
        for name in filter(promise.covers, names):
            service = read_service(runner.views, as_of, name)
            burns = burnt(ledger, runner.views, as_of, service, causes_of_return([promise]), now=now)
            why = why_no_return(world, service, model, now=now, burnt=burns)
            if why is not None:
                app.note(
                    f"Warning: {model} is no good version to return to in {name}: {why}. As long as that is so, a rule "
                    "returns to the last good one there, or holds."
                )


def warn_of_abort(app: App, ledger: Ledger, deployment: str, model: str, digest: str | None) -> None:
    """Say that what is reported as stopped is no canary; what cannot be told stops no report.

    Args:
        app: the invocation.
        ledger: open for writing.
        deployment: ``deployment:<environment>/<service>``.
        model: the version that somebody stopped.
        digest: its digest; any when None.
    """
    from ledger.errors import LedgerError
    from projections.service import read_service

    try:
        with _known(app, ledger) as (runner, as_of, _):
            service = read_service(runner.views, as_of, deployment)
    except LedgerError as error:
        app.note(f"Warning: whether {model} is a canary there could not be looked up: {error.message}")
        return
    if any(key[0] == model and digest in (None, key[1]) for key in service.canaries):
        return
    live = service.live is not None and service.live.model == model
    another = f"It is live; when another version is: muniment record deployment {deployment} --model …" if live else ""
    app.note(f"Warning: {model} is no canary in {deployment}, so that this settles no decision. {another}".rstrip())


def warn_of_return(app: App, ledger: Ledger, deployment: str, model: str) -> None:
    """Say where a return from a version is decided and open; what cannot be told stops no authorisation.

    Args:
        app: the invocation.
        ledger: open for writing.
        deployment: ``deployment:<environment>/<service>``.
        model: the version that is to be authorised.
    """
    from ledger.errors import LedgerError
    from projections.service import read_service
    from projections.settling import returns_of

    rows = ledger.recorder.stream_rows(deployment, 0, ledger.world.refresh())
    if not any(row.entry.type.startswith("muniment.rollback.authorised.") for row in rows):
        return  # of most there never is one: views are not opened for that
    try:
        with _known(app, ledger) as (runner, as_of, _):
            found = list(returns_of(read_service(runner.views, as_of, deployment), time.time_ns() // 1000))
    except LedgerError as error:
        app.note(f"Warning: whether a return from {model} is open there could not be looked up: {error.message}")
        return
    for one in found:
        if one["model"] == model:
            decided = f"entry {one['index']} of {app.display(one['actor'])} decided to return from it to {one['to']}"
            app.note(f"Warning: {model} serves in {deployment}, and {decided}; that is {one['status']}. {one['next']}")


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
    from projections.slo.burnt import burnt
    from projections.slo.fallback import known_good, why_no_return

    now = time.time_ns() // 1000
    try:
        with _known(app, ledger) as (runner, as_of, world):
            service = read_service(runner.views, as_of, deployment)
            burns = burnt(ledger, runner.views, as_of, service, now=now)
            why, newest = why_no_return(world, service, model, digest, now=now, burnt=burns), service.newest
            good = None if newest is None else known_good(world, service, newest.key, now=now, burnt=burns)
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
