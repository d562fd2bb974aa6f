"""The story that ``demo.py`` tells: who is in it, and what they do through the ledger, chapter by chapter."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pipeline
from pipeline import DEPLOYMENT, MODEL, Scores, Snapshot, Table, Trained, emit, log

import muniment
from ledger.creation import enrol_actor, new_person_id
from ledger.keys import Ed25519Signer

if TYPE_CHECKING:
    from ledger.home import Home

ORIGIN: Final = "muniment.example/demo"
INCIDENT: Final = "incident:triage-finds-nobody"
#: How many of the 442 patients are in version 1 of the data set, and in version 2; the others come in as live patients.
FIRST, SECOND, WINDOW = 180, 260, 91

CONCERN: Final = "Not yet seen on live patients: watch the first days."


@dataclass(frozen=True)
class Cast:
    """Actor ids of everybody in the story; persons have opaque ones, and names that the ledger does not hold."""

    engineer: str
    owner: str
    approver: str
    releaser: str
    commander: str
    trainer: str = "ci-train"
    deployer: str = "ci-deploy"
    monitor: str = "live-monitor"


class Story:
    """A new ledger, everybody's keys and what has happened so far.

    Args:
        folder: where the ledger is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.home: Home = muniment.init(folder, origin=ORIGIN, name="Platform admin", keys="keys")
        self.store = folder / ".muniment" / "ledger.db"
        trust = self.home.trust()
        assert trust is not None
        self.ledgerid = trust.ledgerid
        patients = pipeline.load_patients()
        self.first = patients.rows(slice(0, FIRST))
        self.second = pipeline.in_mmol_per_litre(patients.rows(slice(0, SECOND)))
        self.live = [patients.rows(slice(at, at + WINDOW)) for at in (SECOND, SECOND + WINDOW)]
        self.cast = self._enrol()

    # -- people and keys --------------------------------------------------------------------

    def _enrol(self) -> Cast:
        persons = {
            "engineer": ("Data engineer", ["emitter"]),
            "owner": ("Model owner", ["owner", "emitter"]),
            "approver": ("Model risk approver", ["approver", "validator"]),
            "releaser": ("Release manager", ["deployer"]),
            "commander": ("On-call incident commander", ["incident-commander"]),
        }
        ids = {role: new_person_id() for role in persons}
        cast = Cast(**ids)
        services = (
            (cast.trainer, ["emitter"], cast.owner),
            (cast.deployer, ["deployer", "emitter"], cast.releaser),
            (cast.monitor, ["emitter"], cast.commander),
        )
        with muniment.open(self.folder) as ledger:
            for role, (name, roles) in persons.items():
                self.home.set_name(ids[role], name)
                self._enrol_one(ledger, ids[role], roles, None, name)
            for service, roles, responsible in services:
                self._enrol_one(
                    ledger, service, roles, responsible, f"answered for by the {self.home.names()[responsible]}"
                )
        return cast

    def _enrol_one(
        self, ledger: muniment.Ledger, actor: str, roles: Sequence[str], responsible: str | None, who: str
    ) -> None:
        key = Ed25519Signer.generate()
        kind = "person" if responsible is None else "service"
        (receipt,) = enrol_actor(ledger, actor, key, kind=kind, roles=roles, responsible=responsible)
        self.home.keystore(self.ledgerid).save(actor, key)
        log(receipt, "actor.enrolled", f"actor:{actor:<14}  {who}: {', '.join(roles)}")

    @contextmanager
    def signing_as(self, actor: str) -> Iterator[muniment.Ledger]:
        """The ledger, signing as somebody; the head is signed and remembered when the block ends."""
        with muniment.open(self.folder, actor=actor) as ledger:
            yield ledger

    # -- steps that happen more than once ---------------------------------------------------

    def register_data(self, version: str, table: Table, description: str) -> Snapshot:
        """The data engineer registers a version of the data set."""
        with self.signing_as(self.cast.engineer) as ledger:
            return pipeline.register_data(ledger, self.work, version, table, description)

    def make_version(self, version: str, data: Snapshot, description: str, *, clip: bool = False) -> Trained:
        """The training service runs, registers what it made and evaluates it, for the model's owner."""
        owner = self.cast.owner
        with self.signing_as(self.cast.trainer) as ledger:
            trained = pipeline.train(ledger, self.work, version, data, owner=owner, clip=clip)
            pipeline.register_version(ledger, version, trained, owner=owner, description=description)
            pipeline.evaluate(ledger, version, trained)
        show(f"run {version}, on its own hold-out", trained.scores)
        return trained

    def release(self, version: str, reason: str, rationale: str) -> muniment.Receipt:
        """Request, approval by another person, authorisation, and the report that it is live."""
        model = f"{MODEL}@{version}"
        with self.signing_as(self.cast.owner) as ledger:
            log(muniment.request_approval(ledger, model, "prod", reason=reason), "approval.requested", model)
        with self.signing_as(self.cast.approver) as ledger:
            approval = log(muniment.approve(ledger, model, "prod", rationale=rationale), "approval.granted", model)
        with self.signing_as(self.cast.releaser) as ledger:
            log(muniment.authorise(ledger, DEPLOYMENT, model), "deployment.authorised", DEPLOYMENT)
        with self.signing_as(self.cast.deployer) as ledger:
            receipt = muniment.record_deployment(ledger, DEPLOYMENT, model, strategy="all at once")
            log(receipt, "deployment.completed", f"{DEPLOYMENT} -> {model}")
        return approval

    def watch(
        self, version: str, trained: Trained, window: int, baseline: float, name: str | None = None
    ) -> tuple[Scores, muniment.Receipt]:
        """The monitoring service measures the live version on patients whose outcome has become known."""
        table, name = self.live[window - 1], name or f"window-{window}"
        with self.signing_as(self.cast.monitor) as ledger:
            scores, receipt = pipeline.watch(
                ledger, self.work, version, trained.model, window=name, table=table, baseline=baseline
            )
        show(f"version {version}, live, {name}", scores)
        return scores, receipt


def show(what: str, scores: Scores) -> None:
    """Print how good a model was found."""
    groups = ", ".join(f"{part['slice']} {part['metrics'][pipeline.METRIC]:.2f}" for part in scores.slices)
    found = f"{scores.value:.2f} ({groups}), finds {scores.metrics['recall']:.0%} of those it should"
    print(f"        {what}: balanced accuracy {found}; {scores.count} patients")


_chapters = iter(range(1, 100))


def chapter(title: str, text: str) -> None:
    """Print a heading and what happens next."""
    print(f"\n{next(_chapters)}. {title}\n")
    print(textwrap.fill(text, 110, initial_indent="   ", subsequent_indent="   ") + "\n")


# -- the story -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What the falsifiers below need to know of the story."""

    drop: muniment.Receipt
    dropped: Scores
    approval: muniment.Receipt
    hotfix: muniment.Receipt
    before_rollback: str


def tell(story: Story) -> Told:
    """Everything that happens, from the first data set to the end of the incident."""
    data, good = _first_version(story)
    damaged, bad, approval = _second_version(story, good)
    dropped, drop = _incident(story, good, bad)
    hotfix = _hotfix(story, data, damaged, good)
    seen = datetime.fromtimestamp(drop.recorded_at / 1_000_000, UTC)
    return Told(drop, dropped, approval, hotfix, f"{seen:%Y-%m-%dT%H:%M:%S.%fZ}")


def _first_version(story: Story) -> tuple[Snapshot, Trained]:
    chapter(
        "A data set",
        f"{FIRST} patients of the diabetes clinics, ten measurements each, and whether their disease progressed "
        "further than half of all patients' did within a year. The ledger learns the file's digest and profile, not "
        "its rows.",
    )
    data = story.register_data("1", story.first, "Export of the laboratory system, all units in mg/dL.")
    chapter(
        "Version 1",
        "It is trained, evaluated (for each sex too), requested by its owner, approved by somebody else, authorised "
        "and deployed. Muniment deploys nothing: the pipeline reports that it did.",
    )
    good = story.make_version("1", data, "First version.")
    by_sex = " and ".join(f"{part['metrics'][pipeline.METRIC]:.2f}" for part in good.scores.slices)
    rationale = (
        f"Balanced accuracy {good.scores.value:.2f}, and {by_sex} for the two sexes: no more apart than chance on "
        f"{good.scores.count} patients allows."
    )
    story.release("1", "First version for the clinics.", rationale)
    print()
    story.watch("1", good, 1, good.scores.value)
    return data, good


def _second_version(story: Story, good: Trained) -> tuple[Snapshot, Trained, muniment.Receipt]:
    chapter(
        "A damaged data set",
        f"{SECOND - FIRST} more patients. But the laboratory system was updated, and now exports cholesterol (s1 to "
        "s3) and glucose (s6) in mmol/L instead of mg/dL, for all patients, old and new. Nobody notices: the file is "
        "consistent in itself.",
    )
    damaged = story.register_data("2", story.second, "Export of the laboratory system, with the patients of spring.")
    chapter(
        "Version 2",
        "Its hold-out is drawn from the same file, in the same wrong units, so it looks as good as version 1 did. It "
        "goes through every step it should.",
    )
    bad = story.make_version("2", damaged, "Trained on more patients.")
    rationale = (
        f"Hold-out {bad.scores.value:.2f} against {good.scores.value:.2f} for version 1, on more patients. {CONCERN}"
    )
    approval = story.release("2", "More patients to learn from.", rationale)
    return damaged, bad, approval


def _incident(story: Story, good: Trained, bad: Trained) -> tuple[Scores, muniment.Receipt]:
    chapter(
        "The incident",
        "The clinics go on measuring in mg/dL, and there version 2 finds nobody at all. Monitoring sees it once "
        "outcomes are known; the person on call opens an incident and goes back to version 1, for which no approval is "
        "needed.",
    )
    scores, signal = story.watch("2", bad, 2, bad.scores.value)
    first, replayed = f"{MODEL}@1", pipeline.score(good.model, story.live[1])
    with story.signing_as(story.cast.commander) as ledger:
        fields = {
            "title": "Triage no longer finds patients whose disease will progress",
            "severity": "critical",
            "deployment": DEPLOYMENT,
            "model": f"{MODEL}@2",
            "description": f"Recall {scores.metrics['recall']:.2f} on {scores.count} live patients.",
        }
        emit(ledger, "incident.opened", INCIDENT, data=fields, causation=signal.id)
        note = f"Version 1 on the same {replayed.count} live patients: balanced accuracy {replayed.value:.2f}."
        emit(ledger, "incident.noted", INCIDENT, note=note)
        show("version 1, replayed on the same patients", replayed)
        back = muniment.roll_back(ledger, DEPLOYMENT, first, incident=INCIDENT, reason="Version 2 finds nobody.")
        log(back, "rollback.authorised", DEPLOYMENT)
    with story.signing_as(story.cast.deployer) as ledger:
        receipt = muniment.record_rollback(ledger, DEPLOYMENT, first, incident=INCIDENT)
        log(receipt, "rollback.completed", f"{DEPLOYMENT} -> {first}")
    with story.signing_as(story.cast.commander) as ledger:
        emit(ledger, "incident.mitigated", INCIDENT, note="Version 1 is live again.")
    return scores, signal


def _hotfix(story: Story, data: Snapshot, damaged: Snapshot, good: Trained) -> muniment.Receipt:
    chapter(
        "A hotfix without approval",
        "Version 3 is version 1 that cuts every measurement to the range it learnt from. It is trained, registered and "
        "evaluated as it should be. Then it is deployed without anybody's approval, since 'the queue was full'. That "
        "is a fact, and facts are never refused: it is recorded and marked.",
    )
    fix = story.make_version("3", data, "Version 1, with inputs cut to the range it was trained on.", clip=True)
    with story.signing_as(story.cast.deployer) as ledger:
        reason = "Deployed by hand out of hours: the approval queue was full."
        receipt = muniment.record_deployment(ledger, DEPLOYMENT, f"{MODEL}@3", strategy="by hand", reason=reason)
        hotfix = log(receipt, "deployment.completed", f"{DEPLOYMENT} -> {MODEL}@3")
    story.watch("3", fix, 2, good.scores.value, "window-2-replayed")
    chapter("The end of the incident", "What was found, what is to be done about it, and by whom.")
    _close(story, data, damaged)
    return hotfix


def _close(story: Story, data: Snapshot, damaged: Snapshot) -> None:
    cast, column = story.cast, story.first.columns.index("s1")
    means = [float(table.values[:, column].mean()) for table in (story.first, story.second, story.live[1])]
    evidence = [{"index": r.index, "leaf_hash": r.leaf_hash.hex()} for r in (data.receipt, damaged.receipt)]
    statement = (
        f"{damaged.subject} holds cholesterol and glucose in mmol/L since the laboratory system was updated; the mean "
        f"of s1 is {means[0]:.0f} in version 1, {means[1]:.1f} in version 2 and {means[2]:.0f} in the live "
        "measurements. The hold-out came from the same file, so the evaluation could not see it."
    )
    items = (
        (
            "prevent",
            "Refuse a data set version whose column means moved more than two standard deviations",
            cast.engineer,
        ),
        ("detect", "Evaluate on the last live patients too, before anybody is asked to approve", cast.owner),
        ("prevent", "Approve version 3 after the fact or take it back, and shorten the approval queue", cast.releaser),
    )
    with story.signing_as(cast.commander) as ledger:
        cause = {"category": "data", "statement": statement, "evidence": evidence}
        emit(ledger, "incident.root_cause_recorded", INCIDENT, data=cause)
        due = (datetime.now(UTC) + timedelta(days=14)).date().isoformat()
        for kind, title, owner in items:
            item = {"kind": kind, "title": title, "owner": owner, "due": due}
            emit(ledger, "incident.action_item_created", INCIDENT, data=item)
        summary = (
            "A change of units upstream; rolled back; the hotfix that is live awaits an approval it should have had."
        )
        emit(ledger, "incident.closed", INCIDENT, summary=summary)
