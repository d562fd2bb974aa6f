"""Taking in models that were live before the ledger was: the facts as they are, and a waiver asked for each gap.

Nothing is satisfied by it. Every event has an id made of what it says, so going on after an end repeats nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from ledger.application import Ledger
from ledger.domain.actors import ActorState
from ledger.domain.deployed import WaiverState
from ledger.domain.waiving import longest_end
from ledger.domain.world import run_of
from ledger.entry import format_time
from ledger.errors import InputError, LedgerError, NotAllowedError
from ledger.governing import request_waiver
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from projections.catalogue import open_runner
from projections.gates import Stated, policy_named
from projections.known import Known
from projections.onboarding.burndown import CORRELATION, checks_for, items_of, open_waivers
from projections.onboarding.foresight import Foreseen
from projections.onboarding.sheet import CsvRow, Step, Trouble, read_sheet

__all__ = ["Terms", "import_inventory"]

_Advance = Callable[[int, int], None] | None


def _waiver(once: UUID) -> str:
    return f"waiver:import-{once.hex[:16]}"


@dataclass(frozen=True)
class Terms:
    """How waivers are asked for.

    Attributes:
        until: their end, ``YYYY-MM-DDTHH:MM:SSZ``; where the rules allow no waiver to be so long, the end that they do.
        reason: why the checks are not met.
        control: what makes up for it, where the row does not say.
        said: how their end was said, for example ``90d``, where it was not said as a time: who says the same again
            another day asks for the same.
    """

    until: str
    reason: str
    control: str
    said: str = ""


def import_inventory(
    ledger: Ledger, data: bytes, terms: Terms, *, folder: Path, policy: str | Stated | None = None,
    dry_run: bool = False, skip_bad: bool = False, advance: _Advance = None,
) -> dict[str, Any]:  # fmt: skip
    """Record the models of a sheet, and ask for a waiver for each check that what is live does not meet.

    Args:
        ledger: open, signing as whoever takes them in: with the roles owner and emitter.
        data: the sheet, see `projections.onboarding.columns.COLUMNS`.
        terms: how waivers are asked for.
        folder: where files that the sheet names are.
        policy: whose checks are asked: ``policy:<name>[@<version>]``, or one that is not in the log; the one the rules
            name, or the shipped checklists, when None.
        dry_run: record nothing, and tell what would be recorded and what would be missing.
        skip_bad: take in the other rows when some are bad.
        advance: told how many rows are done, of how many.

    Returns:
        ``models``: a row each, with the events that were recorded, were there before or would be recorded, and the
        checks; ``skipped``: what is wrong with the rows that were left out.

    Raises:
        InputError: the sheet is malformed, or a row is bad and ``skip_bad`` is not set; nothing was recorded.
        NotAllowedError: the author's roles do not allow it.
    """
    sheet = read_sheet(data, folder, ledger.ledgerid)
    runner = open_runner(ledger, ledger.recorder.url)
    try:
        known = Known(ledger, runner.views, runner.catch_up())
        stated = policy_named(known, policy) if isinstance(policy, str) else policy
        run = _Import(known, sheet, stated, terms, f"{CORRELATION}{hashlib.sha256(data).hexdigest()[:16]}")
        foreseen = run.foresee(skip_bad)
        if dry_run:
            return run.told(foreseen, advance)
        run.record(advance)
        run.ask(Known(ledger, runner.views, runner.catch_up()), advance)
        return run.told(Known(ledger, runner.views, runner.catch_up()), None)
    finally:
        runner.views.close()


class _Import:
    """One sheet on its way into the ledger."""

    def __init__(
        self, known: Known, sheet: tuple[Sequence[CsvRow], Sequence[Trouble]], stated: Stated | None, terms: Terms,
        correlation: str,
    ) -> None:  # fmt: skip
        self.known, self.ledger, self.stated, self.terms = known, known.ledger, stated, terms
        self.correlation = correlation
        rows, troubles = sheet
        self.rows, self.troubles = list(rows), [*troubles, *self._strangers(rows)]
        streams = sorted({stream_of(step.subject) for row in rows for step in row.steps})
        self.before = {row["id"] for row in known.rows(("stream", "IN", streams))} if streams else set[str]()
        self.now = max(time.time_ns() // 1000, known.recorded_at)
        self.rows = [self._without_known_run(row) for row in self.rows]

    def _strangers(self, rows: Sequence[CsvRow]) -> list[Trouble]:
        """Actors that nobody enrolled."""
        return [
            Trouble(row.line, column, f"nobody is enrolled as {actor!r}", f"Enrol them: muniment actor enrol {actor} …")
            for row in rows for column, actor in row.people.items()
            if not isinstance(self.known.world.state(f"actor:{actor}"), ActorState)
        ]  # fmt: skip

    def _without_known_run(self, row: CsvRow) -> CsvRow:
        """A run that somebody else put on record is not put there again; what the sheet says of it would be lost."""
        attached = next((step for step in row.steps if step.type == "run.attached"), None)
        run = None if attached is None else run_of(self.known.world, attached.subject)
        if attached is None or run is None or attached.id in self.before:
            return row
        name = attached.subject
        if not {(ref["subject"], ref.get("digest", "")) for ref in attached.body.get("inputs", ())} <= {*run.inputs}:
            self.troubles.append(Trouble(row.line, "training_data", f"{name} is on record already",
                                         "Leave it out: what a run read is what was recorded of it."))  # fmt: skip
        if any(one["correlation"].startswith(CORRELATION) for one in self.known.rows(("stream", "=", name))):
            return row  # of an earlier sheet, or of another row: it made this version, too
        (made,) = attached.body["outputs"]
        registered = any(step.type == "version.registered" and step.id in self.before for step in row.steps)
        if not registered and run.made(made["subject"], made["digest"]) is False:
            self.troubles.append(Trouble(row.line, "run", f"entry {run.told} says that {name} made other things",
                                         "Name the run that made it, or leave it out."))  # fmt: skip
        return replace(row, steps=tuple(step for step in row.steps if step is not attached))

    def foresee(self, skip_bad: bool) -> Foreseen:
        """What would be known when all good rows were recorded; bad ones are left out, or refuse the sheet."""
        good = [row for row in self.rows if row.line not in {trouble.line for trouble in self.troubles}]
        foreseen, refused = self._try(good)
        self.troubles = sorted([*self.troubles, *refused], key=lambda trouble: trouble.line)
        bad = {trouble.line for trouble in self.troubles}
        if bad and not skip_bad:
            raise InputError(
                f"{len(bad)} of {len(self.rows)} rows cannot be taken in, and nothing was recorded:\n"
                + "\n".join(f"  {trouble}" for trouble in self.troubles),
                hint="Mend them, or leave them out with --skip-bad.",
            )
        self.rows = [row for row in good if row.line not in bad]
        return self._try(self.rows)[0] if refused else foreseen

    def _try(self, rows: Sequence[CsvRow]) -> tuple[Foreseen, list[Trouble]]:
        foreseen, done, refused = Foreseen.of(self.known), set(self.before), list[Trouble]()
        for row in rows:
            for step in row.steps:
                if step.id in done:
                    continue
                after = foreseen.after(step, self.now)
                if isinstance(after, NotAllowedError):
                    raise after  # the next row would be refused for the same reason
                if isinstance(after, LedgerError):
                    refused.append(Trouble(row.line, "", after.message, after.hint or ""))
                    break
                foreseen, done = after, done | {step.id}
        return foreseen, refused

    def record(self, advance: _Advance) -> None:
        """Record what is not recorded yet."""
        done = set(self.before)
        for count, row in enumerate(self.rows):
            for step in row.steps:
                if step.id not in done:
                    self._emit(step)
                    done.add(step.id)
            if advance is not None:
                advance(count + 1, 2 * len(self.rows))

    def _emit(self, step: Step) -> None:
        self.ledger.emit(
            step.type, step.subject, step.body, occurred_at=step.occurred_at, strength=step.strength, event_id=step.id,
            correlation=self.correlation,
        )  # fmt: skip

    def ask(self, known: Known, advance: _Advance) -> None:
        """Ask for a waiver for each check that is missing, can be waived, and was not asked for in these terms."""
        waivers = open_waivers(known, self.now)
        for count, row in enumerate(self.rows):
            for item in self._items(known, row, waivers):
                if item["state"] == "missing" and item["waivable"]:
                    self._request(known, row, item["check"])
            if advance is not None:
                advance(len(self.rows) + count + 1, 2 * len(self.rows))

    def _request(self, known: Known, row: CsvRow, check: str) -> None:
        environment = parse_name(str(row.deployment)).namespace or ""
        longest = longest_end(known.world, row.subject, environment, self.now)
        if longest is None:
            return  # the rules allow none, and it stays missing
        until = format_time(min(longest, parse_moment(self.terms.until)))
        control = row.control or self.terms.control
        terms = (check, self.terms.said or until, row.owner, self.terms.reason, control)
        once = self._not_decided_against(known, "\n".join(("inventory", row.subject, str(row.deployment), *terms)))
        if once is None:
            return
        body = {
            "check": check, "model": row.subject, "environment": environment,
            "owner": row.owner, "reason": self.terms.reason, "compensating_control": control,
            "expires_at": until, "single_use": False,
        }  # fmt: skip
        request_waiver(self.ledger, body, waiver=_waiver(once), event_id=str(once), correlation=self.correlation)

    def _not_decided_against(self, known: Known, said: str) -> UUID | None:
        """The id of a request in these terms; None when one was denied, or what it got was revoked.

        What has ended by its time may be asked for again, under the next id.
        """
        number = 0
        while True:
            once = uuid5(UUID(self.ledger.ledgerid), f"{said}\n{number}")
            state = known.world.state(_waiver(once))
            if not isinstance(state, WaiverState):
                return once
            if state.ended is not None:
                return None
            number += 1

    def _items(self, known: Known, row: CsvRow, waivers: Sequence[tuple[str, WaiverState]]) -> list[dict[str, Any]]:
        if row.deployment is None:
            return []
        environment = parse_name(row.deployment).namespace or ""
        checks = checks_for(known, row.subject, environment, self.stated)
        return items_of(known, (row.subject, row.deployment), max(self.now, known.recorded_at), checks, waivers)

    def told(self, known: Known, advance: _Advance) -> dict[str, Any]:
        """What became of each row, or would."""
        models, waivers = [], open_waivers(known, self.now)
        for count, row in enumerate(self.rows):
            events = [
                {"type": step.type, "subject": step.subject, "id": step.id, "before": step.id in self.before}
                for step in row.steps
            ]
            models.append({
                "line": row.line, "model": row.subject, "deployment": row.deployment, "owner": row.owner,
                "tier": row.tier, "events": events, "items": self._items(known, row, waivers),
            })  # fmt: skip
            if advance is not None:
                advance(count + 1, len(self.rows))
        skipped = [vars(trouble) for trouble in self.troubles]
        return {"origin": self.ledger.origin, "models": models, "skipped": skipped}
