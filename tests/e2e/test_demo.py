"""The demonstration is run once, and its facts are asked of the ledger it left, not of what it printed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from ledger.events.approvals import ApprovalGranted, ApprovalRequested
from ledger.home import Home
from ledger.keystore import CHECKPOINT
from tests.fork_server import quick_script

ROOT = Path(__file__).resolve().parents[2]
MODEL = "model:diabetes-progression"
DATASET = "dataset:clinic-patients"
DEPLOYMENT = "deployment:prod/progression-triage"
INCIDENT = "incident:triage-finds-nobody"


class Demo:
    """The ledger that the demonstration left.

    Args:
        folder: where it is.
        environment: the environment it was made in.
        said: what the demonstration printed.
    """

    def __init__(self, folder: Path, environment: dict[str, str], said: str) -> None:
        self.folder, self.environment, self.said = folder, environment, said

    def muniment(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [quick_script(), *arguments], cwd=folder or self.folder, env=self.environment, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip

    def ask(self, *arguments: str, folder: Path | None = None, code: int = 0) -> Any:
        done = self.muniment(*arguments, "-o", "json", folder=folder)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """All entries with their events."""
        found: list[dict[str, Any]] = self.ask("log")
        return found

    def events(self, kind: str, **data: Any) -> list[dict[str, Any]]:
        """Entries of a type whose body has these values."""
        return [
            item
            for item in self.log
            if item["entry"]["type"] == f"muniment.{kind}.v1"
            and all(item["event"]["data"].get(name) == value for name, value in data.items())
        ]

    def copy(self, target: Path) -> Path:
        """A copy of the ledger, to be falsified."""
        shutil.copytree(self.folder, target, ignore=shutil.ignore_patterns("work", "keys"))
        return target


def run_demo(cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "demo.py")]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run it once for all workers, in an empty folder and with an empty home."""
    base = tmp_path_factory.getbasetemp()
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo"
    base.mkdir(exist_ok=True)
    work = base / "work"
    unwanted = ("MUNIMENT_", "XDG_", "FORCE_COLOR", "CLICOLOR")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    environment |= {"HOME": str(base / "home"), "NO_COLOR": "1", "PYTHONWARNINGS": "error::UserWarning"}
    with (base / "lock").open("a+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not (base / "said").exists():
            work.mkdir()
            done = run_demo(work, environment)
            (base / "code").write_text(str(done.returncode))
            (base / "said").write_text(done.stdout + done.stderr)
    said = (base / "said").read_text()
    assert (base / "code").read_text() == "0", said
    return Demo(work / "demo-ledger", environment, said)


def test_it_leaves_nothing_but_its_folder_and_writes_no_warning(demo: Demo):
    assert [path.name for path in demo.folder.parent.iterdir()] == ["demo-ledger"]
    assert {path.name for path in demo.folder.iterdir()} == {".muniment", "work"}
    assert "Warning" not in demo.said
    assert "Traceback" not in demo.said


def test_which_version_is_live_and_what_became_of_the_others(demo: Demo):
    state = demo.ask("state")
    (model,), (deployment,) = state["models"], state["deployments"]
    assert model["model"] == MODEL
    statuses = {item["version"]: item["status"] for item in model["versions"]}
    assert statuses == {f"{MODEL}@1": "approved", f"{MODEL}@2": "rolled back", f"{MODEL}@3": "live"}
    assert deployment["deployment"] == DEPLOYMENT
    assert (deployment["live"]["model"], deployment["live"]["marks"]) == (f"{MODEL}@3", ["unauthorised"])
    went = [item for item in deployment["history"] if item["type"] in ("deployment.completed", "rollback.completed")]
    assert [(item["type"], item["model"]) for item in went] == [
        ("deployment.completed", f"{MODEL}@1"), ("deployment.completed", f"{MODEL}@2"),
        ("rollback.completed", f"{MODEL}@1"), ("deployment.completed", f"{MODEL}@3"),
    ]  # fmt: skip


def test_what_was_live_when_monitoring_saw_the_drop(demo: Demo):
    (drop,) = demo.events("monitor.signal", severity="critical")
    before = demo.ask("state", DEPLOYMENT, "--at", drop["event"]["time"])
    assert before["deployments"][0]["live"]["model"] == f"{MODEL}@2"
    known = demo.ask("state", DEPLOYMENT, "--known-at", str(drop["index"]))
    assert known["deployments"][0]["live"]["model"] == f"{MODEL}@2"


def test_exactly_one_control_failed_and_cites_the_hotfix(demo: Demo):
    findings = demo.ask("report", "generate", "control-assessment")["findings"]
    states = {finding["control"]: finding["state"] for finding in findings}
    assert [name for name, state in states.items() if state == "not satisfied"] == ["deployment-authorised"]
    assert [name for name, state in states.items() if state == "not applicable"] == [
        "gate-before-authorise", "emergency-reviewed",
    ]  # fmt: skip
    assert set(states.values()) == {"satisfied", "not satisfied", "not applicable"}
    (hotfix,) = demo.events("deployment.completed", model=f"{MODEL}@3")
    (bad,) = [finding for finding in findings if finding["state"] == "not satisfied"]
    assert [item["index"] for item in bad["evidence"]] == [hotfix["index"]]
    assert bad["evidence"][0]["leaf_hash"] == hotfix["leaf_hash"]
    assert bad["population"]["failed"] == 1


def test_the_timeline_shows_the_damaged_data_upstream_and_what_moved_in_it(demo: Demo):
    timeline = demo.ask("timeline", INCIDENT)
    assert (timeline["failing_version"], timeline["previous_version"]) == (f"{MODEL}@2", f"{MODEL}@1")
    upstream = [row for row in timeline["rows"] if row["upstream"]]
    damaged = [row for row in upstream if row["subject"] == f"{DATASET}@2"]
    assert len(damaged) == 1
    assert damaged == upstream[:1], "the cause comes first among what changed upstream"
    moved = {change["field"]: change["ratio"] for change in damaged[0]["changed"]}
    for column in ("s1", "s2", "s3"):  # cholesterol, in mmol/L instead of mg/dL
        assert moved[f"profile.{column}.mean"] == pytest.approx(1 / 38.67, rel=0.05)
    assert moved["profile.s6.mean"] == pytest.approx(1 / 18.02, rel=0.05)
    for column in ("age", "bmi", "bp", "s4", "s5"):
        assert moved.get(f"profile.{column}.mean", 1.0) == pytest.approx(1, rel=0.1)
    compared = demo.ask("show", str(damaged[0]["compared_with"]))
    assert compared["entry"]["subject"] == f"{DATASET}@1"
    assert not [row for row in timeline["rows"] if row["subject"] == f"{DATASET}@1"], "shared by nothing that failed"
    marks = [row["marks"] for row in timeline["rows"] if row["marks"]]
    assert marks == [["unauthorised"]]


def test_the_data_set_is_the_file_that_was_trained_on(demo: Demo):
    for version in (1, 2):
        (entry,) = [
            item for item in demo.events("dataset.registered") if item["event"]["subject"] == f"{DATASET}@{version}"
        ]
        content = (demo.folder / entry["event"]["data"]["uri"]).read_bytes()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        assert entry["event"]["data"]["digest"] == digest
        started = [
            item for item in demo.events("run.started") if item["event"]["data"]["inputs"][0]["digest"] == digest
        ]
        assert started


def test_the_rollback_went_to_version_1_for_the_incident(demo: Demo):
    (authorised,), (done,) = demo.events("rollback.authorised"), demo.events("rollback.completed")
    for item in (authorised, done):
        assert item["event"]["data"]["model"] == f"{MODEL}@1"
        assert item["event"]["data"]["incident"] == INCIDENT
    assert authorised["index"] < done["index"]
    assert authorised["entry"]["actor"] != done["entry"]["actor"]


def test_every_evaluation_has_its_subgroups(demo: Demo):
    evaluations = demo.events("evaluation.completed")
    assert [item["event"]["subject"] for item in evaluations] == [f"{MODEL}@{number}" for number in (1, 2, 3)]
    for item in evaluations:
        data = item["event"]["data"]
        assert data["verdict"] == "pass"
        assert [part["slice"] for part in data["slices"]] == ["sex=1", "sex=2"]
        assert all(part["count"] > 0 for part in data["slices"])
        assert all(set(part["metrics"]) == set(data["metrics"]) for part in data["slices"])
    (drop,) = demo.events("monitor.signal", severity="critical")
    good = [item for item in demo.events("monitor.signal") if item is not drop]
    assert drop["event"]["data"]["value"] < 0.55 < min(item["event"]["data"]["value"] for item in good[:1])


def test_the_approver_is_another_person_than_requester_and_trainer(demo: Demo):
    people = {item["actor"]: item["person"] for item in demo.ask("actor", "list")["actors"]}
    requests = {item["entry"]["id"]: item for item in demo.events("approval.requested")}
    grants = demo.events("approval.granted")
    assert len(grants) == len(requests) == 2
    for grant in grants:
        body = ApprovalGranted.model_validate_json(json.dumps(grant["event"]["data"]))
        request = requests[body.request]
        ApprovalRequested.model_validate_json(json.dumps(request["event"]["data"]))
        makers = {request["entry"]["actor"]}
        makers |= {item["entry"]["actor"] for item in (*demo.events("run.started"), *demo.events("version.registered"))}
        approver = people[grant["entry"]["actor"]]
        assert approver not in {people[actor] for actor in makers}
        assert body.seen is not None
        assert {item.index for item in body.evidence} >= {request["index"]}
        assert body.rationale


def test_the_incident_is_closed_with_its_cause_and_what_is_to_be_done(demo: Demo):
    (listed,) = demo.ask("incident", "list")["incidents"]
    assert (listed["incident"], listed["status"], listed["severity"]) == (INCIDENT, "closed", "critical")
    (cause,) = demo.events("incident.root_cause_recorded")
    assert cause["event"]["data"]["category"] == "data"
    assert f"{DATASET}@2" in cause["event"]["data"]["statement"]
    cited = {item["index"] for item in cause["event"]["data"]["evidence"]}
    assert cited == {
        item["index"] for item in demo.events("dataset.registered") if item["event"]["subject"].startswith(DATASET)
    }
    items = demo.events("incident.action_item_created")
    assert len(items) >= 2
    assert all(item["event"]["data"]["owner"] and item["event"]["data"]["due"] for item in items)
    order = [item["entry"]["type"].split(".")[2] for item in demo.log if item["entry"]["stream"] == INCIDENT]
    assert order[0] == "opened"
    assert order[-1] == "closed"


def test_the_log_verifies_and_every_controlled_place_is_anchored(demo: Demo):
    found = demo.ask("verify", "log")
    assert found["ok"]
    assert found["anchored_size"] == found["signed_size"] == found["size"] == len(demo.log)
    assert found["emitters"] == []
    assert found["acknowledged"] == []


def test_the_commands_it_proposes_work(demo: Demo):
    proposed = [line.strip() for line in demo.said.splitlines() if line.startswith("   muniment ")]
    assert len(proposed) >= 5
    for line in proposed[-5:]:
        done = demo.muniment(*line.split()[1:])
        assert done.returncode == 0, done.stderr


def test_nothing_secret_or_personal_is_in_the_log(demo: Demo):
    names = set(json.loads((demo.folder / ".muniment" / "people.json").read_text()).values())
    text = demo.muniment("log", "-o", "ndjson").stdout
    assert names
    assert not [name for name in names if name in text]
    assert "PRIVATE KEY" not in text


# -- falsified copies ---------------------------------------------------------------------------------------------


def faults(demo: Demo, copy: Path) -> list[tuple[str, int | None]]:
    found = demo.ask("verify", "log", folder=copy, code=1)
    assert not found["ok"]
    return [(finding["fault"], finding["index"]) for finding in found["findings"]]


@pytest.fixture
def tamper(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the examples, which are no package."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import tamper as found

    return found


def test_a_changed_byte_is_refused_at_its_place(demo: Demo, tamper: Any, tmp_path: Path):
    (drop,) = demo.events("monitor.signal", severity="critical")
    copy = demo.copy(tmp_path / "copy")
    value = json.dumps(drop["event"]["data"]["value"])
    tamper.change_payload(copy / ".muniment" / "ledger.db", drop["index"], f'"value":{value}'.encode(), b'"value":0.8')
    assert faults(demo, copy) == [("payload", drop["index"])]


def test_a_cut_tail_is_refused_where_it_was_cut(demo: Demo, tamper: Any, tmp_path: Path):
    (hotfix,) = demo.events("deployment.completed", model=f"{MODEL}@3")
    copy = demo.copy(tmp_path / "copy")
    tamper.cut_tail(copy / ".muniment" / "ledger.db", hotfix["index"])
    assert faults(demo, copy) == [("anchor", hotfix["index"])]
    refused = demo.muniment("incident", "open", "incident:x", "--title", "x", folder=copy)
    assert refused.returncode in (1, 8), "no key is in the copy, and the log shrank"
    forgetful = {**demo.environment, "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        [quick_script(), "verify", "log", "--no-remember"], cwd=copy, env=forgetful, check=False, capture_output=True
    )
    assert done.returncode == 0, "what is left is a good log: only the head remembered tells"


def test_a_rewritten_approval_is_refused_though_every_hash_and_head_fits(demo: Demo, tamper: Any, tmp_path: Path):
    approval = demo.events("approval.granted")[1]
    rationale = approval["event"]["data"]["rationale"].encode()
    home = Home.find(str(demo.folder))
    trust = home.trust()
    assert trust is not None
    signer = home.keystore(trust.ledgerid).load(CHECKPOINT)
    copy = demo.copy(tmp_path / "copy")
    store = copy / ".muniment" / "ledger.db"
    doubt = rationale[rationale.index(b"Not yet seen") :]
    tamper.rewrite_payload(store, approval["index"], doubt, b"It is perfect.", origin=trust.origin, signer=signer)
    found = faults(demo, copy)
    assert ("signature", approval["index"]) in found
    assert ("anchor", None) in found
    assert {fault for fault, _ in found} <= {"anchor", "signature", "legality"}
    event = demo.muniment("verify", "event", str(approval["index"]), folder=copy)
    assert event.returncode == 1


def test_the_original_is_untouched_by_all_this(demo: Demo):
    assert demo.ask("verify", "log")["ok"]


# -- its folder ---------------------------------------------------------------------------------------------------


def test_it_removes_nothing_that_is_not_an_earlier_demonstration(demo: Demo, tmp_path: Path):
    mine = tmp_path / "demo-ledger"
    mine.mkdir()
    (mine / "precious.txt").write_text("mine")
    done = run_demo(tmp_path, demo.environment)
    assert done.returncode == 1
    assert "is not an earlier demonstration" in done.stderr
    assert (mine / "precious.txt").read_text() == "mine"
