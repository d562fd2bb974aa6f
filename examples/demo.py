"""The life of a model, with an incident in it, told through a ledger; then what the ledger has to say about it.

Run it with ``make demo``. It trains real models on real data (see ``pipeline.py``), leaves the ledger in
``demo-ledger/`` below the working folder and takes well under two minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pipeline
import tamper
from pipeline import DEPLOYMENT, MODEL, Scores, Snapshot, Table, Trained, emit, log

import muniment
from ledger.creation import enrol_actor, new_person_id
from ledger.keys import Ed25519Signer
from ledger.keystore import CHECKPOINT
from ledger.trust import read_trust

if TYPE_CHECKING:
    from ledger.home import Home

FOLDER: Final = Path("demo-ledger")
ORIGIN: Final = "muniment.example/demo"
INCIDENT: Final = "incident:triage-finds-nobody"
#: How many of the 442 patients are in version 1 of the data set, and in version 2; the others come in as live patients.
FIRST, SECOND, WINDOW = 180, 260, 91

CONCERN: Final = "Not yet seen on live patients: watch the first days."
FORGED: Final = "It was checked on live patients too, and is good."


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
        receipt = enrol_actor(ledger, actor, key, kind=kind, roles=roles, responsible=responsible)
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


# -- what the ledger says ------------------------------------------------------------------------------------------


def run_muniment(folder: Path, *arguments: str, expected: int = 0, errors: int = subprocess.STDOUT) -> str:
    """Run the command line in a folder and insist on its exit code.

    Args:
        folder: where; the nearest ledger is meant.
        arguments: the command and its options.
        expected: the exit code.
        errors: where standard error goes; between the lines of standard output when not said.

    Returns:
        What it printed.

    Raises:
        SystemExit: it is not installed, or ended otherwise than it should.
    """
    script = Path(sys.executable).with_name("muniment")
    if not script.exists():
        raise SystemExit(f"{script} is missing: install Muniment into this environment, for example with `make demo`")
    width = str(shutil.get_terminal_size((120, 24)).columns)
    done = subprocess.run(
        [script, *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": width},
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        check=False,
    )
    if done.returncode != expected:
        print(done.stdout)
        raise SystemExit(f"`muniment {' '.join(arguments)}` ended with {done.returncode} instead of {expected}")
    return done.stdout


def show_muniment(folder: Path, *arguments: str, expected: int = 0) -> None:
    """Print a command and what it prints; see `run_muniment`."""
    print(f"   $ muniment {' '.join(arguments)}\n", flush=True)
    said = run_muniment(folder, *arguments, expected=expected)
    print("\n".join(f"   {line}".rstrip() for line in said.rstrip().splitlines()) + "\n")


def ask_muniment(folder: Path, *arguments: str, expected: int = 0) -> Any:
    """What a command answers to programs; see `run_muniment`."""
    return json.loads(run_muniment(folder, *arguments, "-o", "json", expected=expected, errors=subprocess.DEVNULL))


def read_back(story: Story) -> None:
    """Show state, timeline, control report and verification."""
    chapter("What is live", "Every version, how far it got, and what runs where: folded from the log.")
    show_muniment(story.folder, "state")
    chapter(
        "What happened",
        "The incident's timeline; its cause is the data set, and in it the columns whose profile moved.",
    )
    show_muniment(story.folder, "timeline", INCIDENT)
    chapter("Which controls held", "All but one: the hotfix.")
    assess = ("report", "generate", "control-assessment")
    show_muniment(story.folder, *assess)
    failed = [
        found["control"] for found in ask_muniment(story.folder, *assess)["findings"] if found["state"] != "satisfied"
    ]
    if failed != ["deployment-authorised"]:
        raise SystemExit(f"exactly one control should have failed, and these did: {failed}")
    chapter("Is the log whole", "Every stored byte, hash, signature, role and decision is checked again.")
    show_muniment(story.folder, "verify", "log")


def falsify(story: Story, told: Told) -> None:
    """Falsify three copies and show that each is refused, with the class and the place of what is wrong."""
    chapter(
        "Three falsified copies",
        "Each is made past Muniment, in the SQLite file itself, with the triggers dropped. Verification knows the "
        "ledger by what is kept apart from it: the identity in trust.json, and the head this user saw last.",
    )
    digit = f"{told.dropped.value:.4f}"[2]
    signer = story.home.keystore(story.ledgerid).load(CHECKPOINT)

    def one_byte(store: Path) -> None:
        tamper.change_payload(store, told.drop.index, f'"value":0.{digit}'.encode(), b'"value":0.8')

    def tail(store: Path) -> None:
        tamper.cut_tail(store, told.hotfix.index)

    def approval(store: Path) -> None:
        old, new = CONCERN.encode(), FORGED.encode()
        tamper.rewrite_payload(store, told.approval.index, old, new, origin=ORIGIN, signer=signer)

    at = told.drop.index
    what = f"One byte: the drop that monitoring saw (entry {at}) reads 0.8 instead of 0.{digit}"
    _refused(story, one_byte, what, ("payload", at))
    at = told.hotfix.index
    what = (
        f"The tail cut off: no hotfix and nothing after it, from entry {at} on. What is left is a good log; only the "
        "head remembered tells"
    )
    _refused(story, tail, what, ("anchor", at))
    at = told.approval.index
    what = (
        f"The operator's own: the approver's doubt (entry {at}) is rewritten, then every hash behind it, the tree and "
        "the head, and the heads are signed anew with the true checkpoint key"
    )
    _refused(story, approval, what, ("anchor", None), ("signature", at))


def _refused(story: Story, falsifier: Callable[[Path], None], what: str, *expected: tuple[str, int | None]) -> None:
    """Falsify a copy, verify it, and insist that it is refused for the faults expected, at their places."""
    print(textwrap.fill(f"{what}.", 110, initial_indent=" - ", subsequent_indent="   ") + "\n")
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "copy"
        shutil.copytree(story.folder, copy, ignore=shutil.ignore_patterns("work", "keys"))
        falsifier(copy / ".muniment" / story.store.name)
        show_muniment(copy, "verify", "log", expected=1)
        findings = ask_muniment(copy, "verify", "log", expected=1)["findings"]
    found = [(finding["fault"], finding["index"]) for finding in findings]
    if not set(expected) <= set(found):
        raise SystemExit(f"it was refused, but not for {expected}: {found}")


def next_commands(told: Told) -> list[tuple[str, str]]:
    """Five commands to explore the ledger with, and what each shows."""
    return [
        (f"muniment log {MODEL}", "everything that happened to the model"),
        (f"muniment show {told.hotfix.index}", "the hotfix, as it was signed"),
        (f"muniment state {DEPLOYMENT} --at {told.before_rollback}", "what was live when monitoring saw the drop"),
        (f"muniment verify event {told.approval.index}", "the approver's doubt, checked from stored bytes"),
        ("muniment report generate control-assessment -o json", "the control report with all its evidence"),
    ]


def explore(story: Story, told: Told, seconds: float) -> None:
    """Print what to try next."""
    chapter("Explore it", f"All this took {seconds:.0f} seconds. The ledger is in {story.folder}/:")
    print(f"   cd {story.folder}\n")
    for command, shows in next_commands(told):
        print(f"   # {shows}\n   {command}")


# -- the folder ----------------------------------------------------------------------------------------------------


def make_folder(folder: Path) -> None:
    """Make the demonstration's folder anew.

    Raises:
        SystemExit: there is something that is not an earlier demonstration's; nothing is removed then.
    """
    if folder.is_symlink() or folder.exists():
        if not _is_earlier_demo(folder):
            raise SystemExit(
                f"{folder} exists and is not an earlier demonstration's: move it away, or run this elsewhere"
            )
        shutil.rmtree(folder)
    folder.mkdir()


def _is_earlier_demo(folder: Path) -> bool:
    """Whether a folder is empty, or holds a ledger of this demonstration's name, its work files and nothing else."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    found = {path.name for path in folder.iterdir()}
    if found - {".muniment", "work"}:
        return False
    try:
        trust = read_trust(folder / ".muniment" / "trust.json")
    except muniment.LedgerError:
        return False
    return not found or (trust is not None and trust.origin == ORIGIN)


def main() -> None:
    """Tell the story, read it back, falsify copies."""
    started = time.monotonic()
    for name in [name for name in os.environ if name.startswith("MUNIMENT_")]:
        del os.environ[name]  # settings of another ledger must not lead the demonstration there
    make_folder(FOLDER)
    chapter(
        "A ledger, people and keys",
        f"{FOLDER}/ becomes the ledger {ORIGIN!r}, with five persons and three services. All their private keys lie in "
        "one folder here, so that one program can play everybody: fine for a demonstration, and worth nothing as "
        "evidence. In earnest each person and service keeps its own key, and only the operator has the checkpoint key.",
    )
    story = Story(FOLDER)
    told = tell(story)
    read_back(story)
    falsify(story, told)
    explore(story, told, time.monotonic() - started)


if __name__ == "__main__":
    main()
