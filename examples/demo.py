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
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import tamper
from pipeline import DEPLOYMENT, MODEL
from story import CONCERN, INCIDENT, ORIGIN, Story, Told, chapter, tell

import muniment
from ledger.keystore import CHECKPOINT
from ledger.trust import read_trust

FOLDER: Final = Path("demo-ledger")
FORGED: Final = "It was checked on live patients too, and is good."


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
        found["control"]
        for found in ask_muniment(story.folder, *assess)["findings"]
        if found["state"] == "not satisfied"
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
