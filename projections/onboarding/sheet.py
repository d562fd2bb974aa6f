"""The sheet of models that are taken in: CSV, read strictly, every trouble with its line and column."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from ledger.emission import microseconds
from ledger.errors import InputError
from ledger.events import find_event_type, load_body
from ledger.names import parse_name
from ledger.strictjson import format_json
from projections.onboarding.columns import COLUMNS, MEANING, NAMES, check_header, read_table
from projections.onboarding.training import attached_run, read_data, run_of

__all__ = ["CsvRow", "Step", "Trouble", "read_sheet"]

#: Columns that say what events are about which other columns may be about, too.
_OF_TYPE: Final = {"run.attached": "training_data", "dataset.registered": "training_data"}
#: Facts of which the sheet claims when they happened, long before they are recorded.
_BACKFILLED: Final = ("deployment.completed", "run.attached")
_TIERS: Final = ("low", "medium", "high")


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a row.

    Attributes:
        line: its line in the sheet.
        column: where, empty when it is the row as a whole.
        words: what is wrong.
        todo: what to do.
    """

    line: int
    column: str
    words: str
    todo: str

    def __str__(self) -> str:
        where = f", {self.column}" if self.column else ""
        return f"line {self.line}{where}: {self.words}{'. ' + self.todo if self.todo else ''}"


@dataclass(frozen=True)
class Step:
    """An event that takes part of a row in.

    Attributes:
        id: the same for the same ledger, type, subject and body, so that it is recorded once.
        type, subject, body: the event.
        occurred_at: microseconds since the Unix epoch, None for now.
        strength: see `payload.EVIDENCE_STRENGTHS`.
    """

    id: str
    type: str
    subject: str
    body: dict[str, Any]
    occurred_at: int | None
    strength: str


@dataclass(frozen=True)
class CsvRow:
    """One version of a model.

    Attributes:
        line: its line in the sheet.
        subject: ``model:<name>@<version>``.
        owner: who answers for it.
        tier: its tier.
        deployment: where it is live, None when it is not.
        control: what makes up for what is missing; empty when the row does not say.
        people: column of each actor that is named, with the actor.
        steps: its events, in order.
    """

    line: int
    subject: str
    owner: str
    tier: str
    deployment: str | None
    control: str
    people: Mapping[str, str]
    steps: tuple[Step, ...]


@dataclass
class _Reader:
    """One row being read."""

    line: int
    cells: Mapping[str, str]
    folder: Path
    ledgerid: str
    troubles: list[Trouble] = field(default_factory=list)

    def bad(self, column: str, words: str, todo: str) -> None:
        self.troubles.append(Trouble(self.line, column, words, todo))

    def attempt(self, column: str, todo: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except InputError as error:
            self.bad(column, error.message, todo)
            return None

    def required(self) -> None:
        for name, needed, what in COLUMNS:
            if needed and not self.cells[name]:
                self.bad(name, "it is empty", f"Give the {what}.")
        if self.cells["tier"] and self.cells["tier"] not in _TIERS:
            self.bad("tier", f"{self.cells['tier']!r} is no tier", "Write low, medium or high.")
        self._together("on_call", ("runbook",))
        self._together("vendor", ("product", "release", "contract", "unknown"))
        self._together("product", ("vendor",))
        self._together("run", ("trained_at", "training_data"))
        for name in (place := ("environment", "service", "live_since")):
            if not self.cells[name] and any(self.cells[other] for other in place):
                self.bad(
                    name,
                    "it is empty",
                    "environment, service and live_since go together; leave all out when it is not live.",
                )

    def _together(self, name: str, others: tuple[str, ...]) -> None:
        given = [other for other in others if self.cells[other]]
        if given and not self.cells[name]:
            self.bad(name, "it is empty", f"It goes with {given[0]}: fill it in, or leave both out.")

    def subject(self) -> str:
        model, version = self.cells["model"].removeprefix("model:"), self.cells["version"]
        if not model or not version:
            return ""
        name = self.attempt("model", "Names are ASCII letters, digits, dots and dashes.",
                            lambda: parse_name(f"model:{model}@{version}"))  # fmt: skip
        return "" if name is None else f"model:{model}@{version}"

    def digest(self) -> str:
        given, file = self.cells["digest"], self.cells["file"]
        if bool(given) == bool(file):
            self.bad("digest", "both digest and file are given" if given else "neither digest nor file is given",
                     "Give one: sha256:HEX, or a file that holds its bytes.")  # fmt: skip
        elif file:
            return self._file_digest(self.folder / file)
        return given

    def _file_digest(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            self.bad(
                "file",
                f"{path} cannot be read: {error.strerror}",
                "Name a file relative to the sheet, or give its digest.",
            )
            return ""

    def moment(self, column: str, todo: str) -> int | None:
        text = self.cells[column]
        if not text:
            return None
        form = "Write 2024-03-01, or 2024-03-01T08:00:00Z."
        found = self.attempt(column, form, lambda: microseconds(f"{text}T00:00:00Z" if len(text) == 10 else text))
        if found is not None and found > microseconds(None):
            self.bad(column, f"{text} is yet to come", todo)
        return None if found is None else int(found)

    def training(self, since: int | None, made: tuple[str, str]) -> tuple[str, list[Step]]:
        """The run that trained it, and what puts that and the data on record of which the digest is given."""
        run = self.attempt(
            "run", "Names are ASCII letters, digits, dots and dashes.", lambda: run_of(self.cells["run"])
        )
        todo = "Write claims@3 or claims@3=sha256:HEX, parted by semicolons."
        data = self.attempt("training_data", todo, lambda: read_data(self.cells["training_data"]))
        trained = self.moment("trained_at", "Give the date at which the run ended.")
        if trained is not None and since is not None and trained > since:
            self.bad("trained_at", f"it was live before, since {self.cells['live_since']}", "One of them is wrong.")
        if not run or self.troubles:
            return "", []
        at = since if trained is None else trained
        steps = [self.step("dataset.registered", name, {"digest": digest}, at) for name, digest in data if digest]
        return run, [*steps, self.step("run.attached", run, attached_run(data, made), at)]

    def step(self, type_: str, subject: str, body: dict[str, Any], since: int | None) -> Step:
        body = {name: value for name, value in body.items() if value not in ("", None, [])}
        try:
            parse_name(subject)
            load_body(find_event_type(type_), body)
        except InputError as error:
            prefix, _, rest = error.message.removeprefix(f"{type_}: ").partition(": ")
            column, words = (prefix, rest) if prefix in MEANING else ("service", error.message)
            column = "digest" if prefix.startswith("outputs") else _OF_TYPE.get(type_, column)
            if all(trouble.column != column for trouble in self.troubles):
                self.bad(column, words, f"Give the {MEANING[column]}.")
        once = uuid5(UUID(self.ledgerid), f"inventory\n{type_}\n{subject}\n" + format_json(body).decode())
        strength = "backfilled" if type_ in _BACKFILLED else "imported"
        return Step(str(once), type_, subject, body, since, strength)

    def read(self) -> CsvRow:
        self.required()
        since = self.moment("live_since", "Give the date since which it is live.")
        cells, subject, digest = self.cells, self.subject(), self.digest()
        run, trained = self.training(since, (subject, digest))
        place = (
            f"deployment:{cells['environment']}/{cells['service']}"
            if cells["environment"] and cells["service"]
            else None
        )
        steps: list[Step] = []
        if not self.troubles:
            model = subject.partition("@")[0]
            told = ("owner", "title", "purpose", "accountable", "business_unit")
            registered = {name: cells[name] for name in told}
            steps.append(self.step("model.registered", model, registered, since))
            if cells["vendor"]:
                unknown = [part.strip() for part in cells["unknown"].split(";") if part.strip()]
                sold = {name: cells[name] for name in ("vendor", "product", "release", "contract")}
                steps.append(self.step("thirdparty.registered", model, {**sold, "unknown": unknown}, since))
            version = {
                "digest": digest,
                "owner": cells["owner"],
                "tier": cells["tier"],
                "run": run,
                "uri": cells["uri"],
            }
            steps += trained  # the run before what it made: whoever is behind it is asked for from then on
            steps.append(self.step("version.registered", subject, version, since))
            if cells["on_call"]:
                called = {"on_call": cells["on_call"], "runbook": cells["runbook"]}
                steps.append(self.step("model.on_call_assigned", model, called, None))
            if place is not None:
                live = {"model": subject, "digest": digest}
                steps.append(self.step("deployment.completed", place, live, since))
        people = {name: cells[name] for name in ("owner", "on_call") if cells[name]}
        return CsvRow(
            self.line,
            subject,
            cells["owner"],
            cells["tier"],
            place,
            cells["control"],
            people,
            () if self.troubles else tuple(steps),
        )


def read_sheet(data: bytes, folder: Path, ledgerid: str) -> tuple[list[CsvRow], list[Trouble]]:
    """Read a sheet.

    Args:
        data: CSV, UTF-8, with commas, or with semicolons where the header has no comma.
        folder: where files that it names are.
        ledgerid: of the ledger the ids of its events are for.

    Returns:
        All rows, also those with trouble; and what is wrong, in order of lines.

    Raises:
        InputError: it is no such table at all.
    """
    header, lines = read_table(data)
    check_header(header)
    rows: list[CsvRow] = []
    troubles: list[Trouble] = []
    for line, cells in lines:
        if len(cells) > len(header):
            troubles.append(
                Trouble(
                    line,
                    "",
                    f"it has {len(cells)} cells, and the header {len(header)}",
                    "Quote cells that hold commas.",
                )
            )
            continue
        reader = _Reader(line, {**dict.fromkeys(NAMES, ""), **dict(zip(header, cells, strict=False))}, folder, ledgerid)
        rows.append(reader.read())
        troubles += reader.troubles
    return rows, sorted([*troubles, *_contradictions(rows)], key=lambda trouble: trouble.line)


def _contradictions(rows: list[CsvRow]) -> list[Trouble]:
    """Rows that say of one thing what an earlier row says otherwise."""
    found: list[Trouble] = []
    first: dict[tuple[str, str], tuple[CsvRow, Step]] = {}
    for row in rows:
        for step in row.steps:
            before, earlier = first.setdefault((step.type, step.subject), (row, step))
            if before is row:
                continue
            if step.type == "deployment.completed":
                found.append(
                    Trouble(
                        row.line,
                        "service",
                        f"line {before.line} is live in {step.subject} too",
                        "One version is live in a service.",
                    )
                )
            elif step.type == "version.registered":
                found.append(
                    Trouble(
                        row.line,
                        "version",
                        f"line {before.line} is about {row.subject} too",
                        "Give each version one row.",
                    )
                )
            elif wrong := sorted(
                name for name in {*earlier.body, *step.body} - {"outputs"}  # a run may make several
                if earlier.body.get(name) != step.body.get(name)
            ):  # fmt: skip
                found.append(
                    Trouble(
                        row.line,
                        _OF_TYPE.get(step.type, wrong[0]),
                        f"line {before.line} says otherwise of {step.subject}",
                        "Say the same in both rows.",
                    )
                )
    return found
