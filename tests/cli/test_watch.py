"""`muniment slo` and `muniment watch`: decided once, told at least once, whoever dies between the two."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

import cli.watching
import ledger.telling
import projections.catalogue
from ledger.application import Ledger
from ledger.crashpoints import CRASHPOINTS
from ledger.errors import StorageError
from tests.cli.killing import killed
from tests.cli.support import Result, Shop, digest, run

PLACE = "deployment:dev/tx"
ONE, TWO = "model:tx@1", "model:tx@2"
RULE = "14.4:1h:5m:rollback"
POINTS = [(backend, name) for name in CRASHPOINTS if name.startswith("watch.") for backend in ("sqlite", "postgres")]


def ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds").replace("+00:00", "Z")


def window(*, good: int, count: int = 1000, start: float = 10, end: float = 5, **more: Any) -> None:
    body = {"metric": "ms", "start": ago(start), "end": ago(end), "count": count, "good": good, "deployment": PLACE}
    run("emit", "monitor.window", "monitor:tx", *(f"-d{name}={value}" for name, value in (body | more).items())).good()


def define(*rules: str, place: str = PLACE, name: str = "latency") -> Result:
    words = ("--monitor", "monitor:tx", "--indicator", "ms", "--objective", "0.99", "--within", "15m")
    return run(
        "slo", "define", place, name, *words, "--on-breach", "hold", *(f"--rule={rule}" for rule in rules or (RULE,))
    ).good()


def _burn(shop: Shop) -> Shop:
    for model in (ONE, TWO):
        shop.version(model)
    run("record", "deployment", PLACE, "--model", ONE, "--at", ago(120)).good()
    run("record", "deployment", PLACE, "--model", TWO, "--at", ago(60)).good()
    define()
    window(good=700)
    return shop


@pytest.fixture
def burning(shop: Shop) -> Shop:
    """Version 2 is live since an hour, after version 1, and burns its budget."""
    return _burn(shop)


@pytest.fixture
def burning_anywhere(any_shop: Shop) -> Shop:
    """The same on either store."""
    return _burn(any_shop)


def platform(folder: Path, code: int = 0) -> str:
    """A command that keeps what it is told, a line each, and ends so."""
    script = folder / "platform.py"
    script.write_text(
        "import json, os, sys\n"
        "told = json.loads(sys.stdin.read())\n"
        f"open({str(folder / 'told')!r}, 'a').write(json.dumps([os.environ['MUNIMENT_DECISION'], told]) + '\\n')\n"
        f"sys.exit({code})\n"
    )
    return f"{sys.executable} {script}"


def told(folder: Path) -> list[Any]:
    file = folder / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def types(shop: Shop) -> list[str]:
    """What was recorded about the deployment by rule, in order."""
    with Ledger.open(shop.url) as opened:
        rows = opened.recorder.rows(0, 100)
    wanted = ("slo.b", "slo.r", "rollback", "deployment.held", "notification")
    return [name for row in rows if (name := row.entry.type.removeprefix("muniment.")).startswith(wanted)]


WHOLE = ["slo.breached.v1", "rollback.authorised.v1", "notification.sent.v1"]
HELD = "deployment.held.v1"


def test_it_is_decided_and_told_once(burning_anywhere: Shop):
    burning = burning_anywhere
    command = platform(burning.folder)
    first = run("watch", "--exec", command, "-o", "json").good().json
    assert [one["type"] for one in first["recorded"]] == ["slo.breached", "rollback.authorised"]
    ((key, body),) = told(burning.folder)
    (open_one,) = first["open"]
    assert key == body["decision"]["id"] == open_one["id"]
    assert (body["action"], body["deployment"], body["model"], body["digest"]) == ("rollback", PLACE, ONE, digest(ONE))
    assert (body["slo"], body["breach"]["model"], body["due_at"]) == ("latency", TWO, open_one["due_at"])
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "reports" / "decision.v1.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(body)
    assert len(body["evidence"]) == 3, "the promise, the breach and the window"
    again = run("watch", "--exec", command, "-o", "json").good().json
    assert (again["recorded"], again["told"], [one["id"] for one in again["open"]]) == ([], [], [key])
    assert types(burning) == WHOLE
    back = f"decided to return from {{}} to {ONE}"
    assert (
        f"! entry {open_one['index']} {back.format(TWO)} in {PLACE}, and that is open" in run("why", PLACE).good().out
    )
    assert back.format("it") in run("authorise", PLACE, "--model", TWO).good().err
    assert "Warning" not in run("authorise", PLACE, "--model", ONE).good().err
    run("record", "rollback", PLACE, "--model", ONE).good()
    assert run("watch", "--exec", command, "-o", "json").good().json == {"recorded": [], "told": [], "open": []}
    assert "nothing to record" in run("watch").good().out
    run("verify", "log").good()


@pytest.mark.parametrize(("any_shop", "point"), POINTS, indirect=["any_shop"])
def test_what_is_killed_goes_on(burning_anywhere: Shop, point: str):
    """Every crash point: name.startswith("watch.")."""
    burning = burning_anywhere
    command = platform(burning.folder)
    killed(point, "watch", "--exec", command)
    run("watch", "--exec", command).good()
    assert types(burning) == WHOLE
    keys = [key for key, _ in told(burning.folder)]
    assert len(keys) == (2 if point == "watch.told" else 1), "at least once"
    assert len(set(keys)) == 1, "with the same key"


def test_whoever_looks_at_what_is_told_does_not_take_it_from_the_platform(burning: Shop):
    other = "deployment:dev/aa"  # the first one that is told of
    run("record", "deployment", other, "--model", ONE, "--at", ago(60)).good()
    define(place=other)
    run("emit", "slo.breached", other, "-dslo=latency").good()
    assert len(run("watch", "--exec", "cat", "-o", "json").good().json["told"]) == 2
    assert types(burning)[1:] == [HELD, *WHOLE[:2], WHOLE[2], WHOLE[2]], "nobody is told before all is decided"
    command = platform(burning.folder)
    both = run("watch", PLACE, "--exec", command, "--exec", f"{command} quiet", "--exec", command, "-o", "json").good()
    names = [one["recipient"].partition("#")[0] for one in both.json["told"]]
    assert names == [sys.executable] * 2, "another one is told, too, and none twice"
    assert len({one["recipient"] for one in both.json["told"]}) == 2
    assert run("watch", PLACE, "--exec", command, "-o", "json").good().json["told"] == []
    assert "quiet" not in run("log", "-o", "ndjson").good().out
    (again,) = run("watch", PLACE, "--exec", command, "--tell-again", "-o", "json").good().json["told"]
    keys = [key for key, _ in told(burning.folder)]
    assert keys == [again["decision"]] * 3, "with the same key"
    for more in (("--follow", "--exec", command), ()):
        run("watch", "--tell-again", *more).refused(2, "--tell-again tells once")


def test_a_time_for_what_nothing_decides_is_refused(shop: Shop):
    define = ("slo", "define", PLACE, "err", "--monitor", "monitor:m", "--indicator", "err", "--objective", "0.99")
    for more in ((), ("--rule", "14.4:1h:5m")):
        run(*define, *more, "--within", "1m").refused(2, "--within is the time for what is decided")
    named = run(*define, "--rule", "14.4:1h:5m:rollback", "--within", "1m", "--fallback", TWO).good()
    assert f"{TWO} is no good version to return to in {PLACE}: {TWO} is not registered" in named.err
    done = run(*define, "--on-breach", "rollback", "--within", "1m", "-o", "json").good()
    assert run("show", done.json["index"], "-o", "json").good().json["event"]["data"]["respond_within"] == "1m"


def test_what_could_not_be_told_is_told_later(burning: Shop, monkeypatch: pytest.MonkeyPatch):
    slept: list[float] = []
    monkeypatch.setattr(ledger.telling, "time", SimpleNamespace(sleep=slept.append, time=time.time))
    failed = run("watch", "--exec", platform(burning.folder, code=7))
    assert failed.code == 6
    assert "NOT told (it ended with 7); it will be told again" in failed.out
    hook = run("watch", "--webhook", "http://127.0.0.1:1/hook?token=hidden", "--timeout", "1", "-o", "json")
    assert hook.code == 6
    assert [(one["channel"], one["attempts"]) for one in hook.json["told"]] == [("webhook", 3)]
    assert slept == [0.0, 0.5, 2.0]
    run("watch", "--exec", platform(burning.folder)).good()
    assert types(burning) == [*WHOLE[:2], "notification.failed.v1", "notification.failed.v1", "notification.sent.v1"]
    everything = run("log", "-o", "ndjson").good().out + hook.out + hook.err
    assert "hidden" not in everything
    assert "http://127.0.0.1:1" in everything
    (waiting,) = run("watch", "-o", "json").good().json["open"]
    assert (waiting["failed_to_tell"], [one["channel"] for one in waiting["told"]]) == (2, ["exec"])


def test_a_deployment_of_which_nothing_is_recorded_is_an_error(burning: Shop):
    size = len(types(burning))
    for command in (("watch",), ("watch", PLACE), ("slo", "check"), ("serving", "check")):
        run(*command, "deployment:dev/none").refused(2, "nothing is recorded of deployment:dev/none", PLACE)
    assert len(types(burning)) == size, "nor is anything decided about the others"


def test_the_secret_is_nowhere(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUNIMENT_WEBHOOK_SECRET", "tiny")
    run("watch", "--webhook", "https://deploy.example.com/").refused(8, "shorter than")
    monkeypatch.setenv("MUNIMENT_WEBHOOK_SECRET", "a secret of enough bytes")
    run("watch", "--webhook", "http://deploy.example.com/").refused(8, "https")
    run("watch", "--exec", "a 'b").refused(8, "no command")
    (shop.folder / "secret").write_text("a secret of enough bytes")
    (shop.folder / "secret").chmod(0o644)
    refused = run("watch", "--webhook", "https://deploy.example.com/", "--secret-file", shop.folder / "secret")
    refused.refused(8, "can be read by others", "chmod 600")


def test_what_a_person_decided_is_not_told(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    shop.version()
    warned = run("rollback", PLACE, "--to", ONE).good().err
    assert f"Warning: {ONE} is no good version to return to in {PLACE}: it was never live there. No good one" in warned

    def broken(*_: Any) -> None:
        raise StorageError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(projections.catalogue, "open_runner", broken)
        assert "could not be looked up: the disk is gone" in run("rollback", PLACE, "--to", ONE).good().err
    assert run("watch", PLACE, "--exec", platform(shop.folder), "-o", "json").good().json["told"] == []
    assert told(shop.folder) == []


def test_checking_records_nothing_and_says_it_by_its_exit_code(burning: Shop):
    before = burning.fingerprint()
    found = run("slo", "check", "-o", "json")
    assert found.code == 1
    (one,) = found.json["promises"]
    assert (one["state"], one["model"], one["rules"][0]["state"], one["rules"][0]["over_long"]["burn_rate"]) == (
        "fires", TWO, "fires", 30.0,
    )  # fmt: skip
    assert one["budget_left"] == pytest.approx(-29.0)
    header = run("slo", "check", "-o", "csv").out.splitlines()[0]
    assert header == "deployment,slo,model,state,budget_left,at,problem"
    text = run("slo", "check", PLACE)
    assert (text.code, "30 and 30 of 14.4" in text.out) == (1, True)
    assert burning.fingerprint() == before
    assert "Warning" not in run("rollback", PLACE, "--to", ONE).good().err
    burning.version("model:tx@3")
    other = run("rollback", PLACE, "--to", "model:tx@3").good()
    assert f"it was never live there. The last good one there is {ONE}." in other.err
    window(good=99_000, count=99_000, start=4, end=1)
    quiet = run("slo", "check", "-o", "json").good().json["promises"][0]
    assert quiet["state"] == "quiet"


def test_what_windows_add_up_to(burning: Shop):
    window(good=900, start=30, end=25, sum=5000, sum_of_squares=30000, min=1, max=9)
    window(good=0, start=8, end=4)
    found = run("slo", "windows", "monitor:tx", "ms", "--since", "1h", "-o", "json").good().json
    assert (found["windows"], found["count"], found["good"], found["min"]) == (2, 2000, 1600, None)
    assert [one["reason"] for one in found["not_counted"]] == ["it overlaps one that counts"]
    text = run("slo", "windows", "monitor:tx", "ms", "--deployment", PLACE).good().out
    assert "2 windows with 2000 values" in text
    assert "good       1600" in text
    assert "not counted: entry" in text
    run("slo", "windows", "monitor:tx", "ms", "--model", TWO).refused(2, "recorded no window")


def test_nothing_to_check_is_no_success(shop: Shop):
    found = run("slo", "check")
    assert (found.code, "No promise is defined" in found.err) == (3, True)
    run("watch").good()


@pytest.mark.parametrize("rule", ["fast", "0:1h:5m", "2:1h", "2:1h:5m:restart", "2:5m:1h", "2:1 hour:5m"])
def test_a_rule_that_is_none(shop: Shop, rule: str):
    done = run("slo", "define", PLACE, "x", "--monitor", "monitor:m", "--indicator", "m", "--objective", "0.9",
               "--rule", rule)  # fmt: skip
    assert done.code == 2, done.err


def test_the_rules_of_the_workbook_and_a_monitor_for_many(shop: Shop):
    run("slo", "define", PLACE, "x", "--indicator", "m", "--objective", "0.9").refused(2, "--monitor")
    words = ("--indicator", "m", "--objective", "0.9", "--workbook-rules", "hold", "--within", "1h")
    done = run("slo", "define", "monitor:m", "x", *words, "--deployment", "deployment:prod/*", "-o", "json").good()
    data = run("show", done.json["index"], "-o", "json").good().json["event"]["data"]
    assert [(rule["burn_rate"], rule.get("action")) for rule in data["rules"]] == [
        (14.4, "hold"), (6.0, "hold"), (1.0, None),
    ]  # fmt: skip
    assert [rule.get("respond_within") for rule in data["rules"]] == ["1h", "1h", None]
    assert data["deployments"] == ["deployment:prod/*"]


def test_following_looks_again(burning: Shop, monkeypatch: pytest.MonkeyPatch):
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    clock = SimpleNamespace(sleep=sleep, time_ns=time.time_ns, monotonic=time.monotonic)
    monkeypatch.setattr(cli.watching, "time", clock)
    done = run("watch", "--follow", "--interval", "2", "--exec", platform(burning.folder, code=1), "-o", "ndjson")
    assert slept == [2.0, 2.0, 2.0]
    assert done.code == 130
    assert [len(line["recorded"]) for line in done.lines] == [2], "what is not told waits before it is told again"
    assert types(burning)[2:] == ["notification.failed.v1"]


def test_a_canary_from_its_first_stage_to_a_hold_and_what_is_loaded(any_shop: Shop):
    for model in (ONE, TWO):
        any_shop.version(model)
    words = ("--model", TWO)
    run("record", "deployment", PLACE, "--model", ONE, "--at", ago(60)).good()
    assert run("serving", "check").code == 3, "nobody has looked"
    run("record", "canary", PLACE, *words, "--stage", 1, "--traffic", 0.05, "--at", ago(50)).good()
    run("record", "canary", PLACE, *words, "--stage", 1, "--traffic", 0.05, "--verdict", "pass", "--at", ago(45)).good()
    run("record", "canary", PLACE, *words, "--stage", 2, "--traffic", 0.5, "--at", ago(40)).good()
    pods = [f"--loaded=pod-{n}={digest(ONE if n else TWO)}" for n in range(4)]
    run("record", "snapshot", PLACE, *pods).good()
    good = run("serving", "check", PLACE, "--max-age", "1h", "-o", "json").good().json["deployments"][0]
    assert (good["state"], good["live"], good["instances"]) == ("matches", ONE, 4)
    define("6:1h:5m:hold")
    window(good=900, start=20, end=6)
    run("watch").good()
    state = run("state", PLACE, "-o", "json").good().json["deployments"][0]
    (decision,) = state["decisions"]
    assert (decision["action"], decision["model"], decision["status"]) == ("hold", TWO, "open")
    assert [stage["verdict"] for stage in state["canaries"][0]["stages"]] == ["pass", None]
    assert state["known_good"]["model"] == ONE
    assert [(one["model"], one["state"]) for one in state["promises"]] == [(ONE, "not assessed"), (TWO, "fires")]
    text = run("state", PLACE).good().out
    for part in ("Canaries", "Decisions", f"hold of {TWO}", "Promises", "50%"):
        assert part in text
    (waiting,) = [one for one in run("due", "-o", "json").good().json["due"] if one["what"] == "decision"]
    assert (waiting["subject"], waiting["state"], waiting["words"]) == (PLACE, "due", f"hold of {TWO}")
    assert "decision" not in run("due", "--within", "5m").good().out
    assert "no canary" not in run("record", "canary", PLACE, *words, "--aborted", "told to").good().err
    assert run("state", PLACE, "-o", "json").json["deployments"][0]["decisions"][0]["status"] == "followed"
    assert [one for one in run("due", "-o", "json").good().json["due"] if one["what"] == "decision"] == []
    run("record", "snapshot", PLACE, *pods).good()
    bad = run("serving", "check")
    assert (bad.code, "former version" not in bad.out, f"{TWO} is still loaded" in bad.out) == (1, True, True)
    assert "Loaded otherwise" in run("state", PLACE).good().out
    run("record", "snapshot", PLACE, f"--loaded=pod-0={digest(TWO)}").good()
    (one,) = run("serving", "check", "-o", "json").json["deployments"]
    assert ("not loaded", []) in [(finding["kind"], finding["instances"]) for finding in one["findings"]]
    assert "()" not in run("serving", "check").out, "it is about no instance"
    run("record", "canary", PLACE, *words, "--promoted").good()
    assert run("serving", "check").code == 3, "looked at before it went live"
    run("record", "snapshot", "deployment:dev/new", f"--loaded=pod-0={digest(ONE)}").good()
    assert "deployment:dev/new" in run("serving", "check").out
    assert f"{ONE} is loaded, which never was live here" in run("state", "deployment:dev/new").good().out
    assert run("why", "deployment:dev/new").good().out.startswith("nothing is live in deployment:dev/new; ")
    assert f"Nothing is live that saw {ONE}, but it is loaded." in run("impact", ONE).good().err


def test_what_is_overdue_waits_in_the_inbox(shop: Shop):
    shop.version()
    body = (f"model={ONE}", f"digest={digest(ONE)}", f"due_at={ago(1)}")
    run("emit", "rollback.authorised", PLACE, *(f"-d{pair}" for pair in body)).good()
    (item,) = run("inbox", "-o", "json").good().json["inbox"]
    assert (item["what"], item["subject"], item["model"]) == ("rollback", PLACE, ONE)
    assert item["next"].endswith(f"muniment record rollback {PLACE} --model {ONE}")
    assert "overdue" in run("inbox").good().out
    run("record", "rollback", PLACE, "--model", ONE).good()
    assert run("inbox", "-o", "json").good().json["inbox"] == []
    run("emit", "deployment.held", PLACE, *(f"-d{pair}" for pair in body)).good()
    told = run("record", "canary", PLACE, "--model", ONE, "--aborted", "told to").good().err
    assert f"{ONE} is no canary in {PLACE}, so that this settles no decision. It is live" in told
    (item,) = run("inbox", "-o", "json").good().json["inbox"]
    assert (item["what"], item["model"]) == ("hold", ONE), "it is live, so that no canary was to end"
    assert item["next"].startswith(f"When another version is live: muniment record deployment {PLACE} --model …; ")
    wish = ("authorise", PLACE, "--model", ONE)
    for words in (wish, (*wish, "--reason", "weekly release"), (*wish, "--emergency", "--reason", "fraud wave")):
        run(*words).refused(1, f"{ONE} is held in {PLACE}, by entry {item['index']}: ", f"{' '.join(wish)} --lift-hold")
    body_ = (PLACE, "-d", f"model={ONE}", "-d", f"digest={digest(ONE)}")
    run("emit", "deployment.authorised", *body_).refused(1, f"{ONE} is held in {PLACE}")
    refusals = run("log", "--type", "decision.refused", "-o", "json").good().json
    assert {one["event"]["data"]["rule"] for one in refusals} == {"hold deployment.authorised/reason"}
    run(*wish, "--lift-hold", "x", "--reason", "y").refused(2, "leave out --reason")
    again = ("--id", "019b0000-0000-7000-8000-0000000000f1")
    assert "not held" not in run(*wish, "--lift-hold", "a known peak", *again).good().err
    run("emit", "deployment.held", PLACE, *(f"-d{pair}" for pair in body)).good()
    run(*wish, "--reason", "a known peak", *again).good()
    first, second = run("state", PLACE, "-o", "json").good().json["deployments"][0]["decisions"][-2:]
    assert (first["status"], first["answer"]["reason"], second["status"]) == ("lifted", "a known peak", "overdue")
    lifted = f"lifted by {first['answer']['actor']}: a known peak (entry"
    assert lifted in run("state", PLACE).good().out
    assert f"{ONE} was put on hold by entry {first['index']}: {lifted}" in run("why", PLACE).good().out
    run(*wish, "--lift-hold", "another").good()
    assert "is not held" in run(*wish, "--lift-hold", "another").good().err


@pytest.mark.parametrize("words", [(), ("--stage", 1), ("--promoted", "--aborted", "x"), ("--promoted", "--stage", 1)])
def test_a_canary_is_one_thing_at_a_time(shop: Shop, words: tuple[Any, ...]):
    shop.version()
    assert run("record", "canary", PLACE, "--model", ONE, *words).code == 2


def test_what_nobody_looked_at_for_long_is_bad(shop: Shop):
    shop.version()
    run("record", "deployment", PLACE, "--model", ONE, "--at", ago(120)).good()
    run("record", "snapshot", PLACE, f"--loaded=pod={digest(ONE)}", "--at", ago(90)).good()
    run("serving", "check").good()
    run("serving", "check", "--max-age", "2h").good()
    old = run("serving", "check", "--max-age", "1h", "-o", "csv")
    assert (old.code, old.out.splitlines()[0]) == (1, "deployment,state,live,at,index,instances,findings")
    assert ",too old," in old.out


def test_failure_modes_are_listed_and_found(shop: Shop):
    listed = run("failure-modes", "list", "-o", "json").good().json["modes"]
    assert len(listed) == 10
    assert "muniment failure-modes find poisoning" in run("failure-modes", "list").good().out
    assert run("failure-modes", "list", "-o", "csv").out.splitlines()[0] == "id,title,what,events,query,see"
    shop.version()
    run("record", "deployment", PLACE, "--model", ONE).good()
    clean = run("failure-modes", "find", "-o", "json").good()
    assert clean.json == {"found": []}
    assert "10 queries looked" in run("failure-modes", "find").good().err
    run("quarantine", ONE, "--reason", "labels were turned").good()
    for mode in listed:
        name = mode["id"]
        done = run("failure-modes", "find", name, "-o", "json")
        assert (done.code, [one["mode"] for one in done.json["found"]]) == (
            (1, ["poisoning"]) if name == "poisoning" else (0, [])
        )  # fmt: skip
    assert run("failure-modes", "find", "-o", "csv").out.splitlines()[0] == "mode,subject,words,entries"
    assert "labels were turned" in run("failure-modes", "find").out
    run("failure-modes", "find", "nothing").refused(2, "no failure mode", "silent-drift")
