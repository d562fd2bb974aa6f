"""What is printed: nothing that drives a terminal, nothing secret, and data on stdout alone."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import select
import subprocess
from pathlib import Path

import pytest

from cli.output import clean, to_json
from ledger.keys import Ed25519Signer
from ledger.keystore import Keystore
from tests.cli.support import DIGEST, ORIGIN, Grow, Result, Shop, run, run_process
from tests.contract.support import raw
from tests.fork_server import quick_script

#: A window's title, a colour, a cleared screen, C1 controls, a bell, a backspace, writing turned round.
NASTY = "a\x1b]0;owned\x07b\x1b[31mc\x1b[2Jd\x9b31me\x9d0;f\x07g\x08h\u202ei\u2066j\x7fk\r\x85l"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: What rich or click would read as something else than text.
MARKUP = "[bold]x[/bold] [/] [link=http://evil]y[/link] :boom: {z} %s \\["


def tell(shop: Shop) -> None:
    shop.people()
    run("actor", "name", "p-author", NASTY).good()
    shop.version(signer="p-author")
    run("request", "model:tx@1", "--env", "prod", "--reason", NASTY, "--as", "p-author").good()
    run("approve", "model:tx@1", "--rationale", NASTY + MARKUP, "--as", "p-approver").good()
    run("record", "deployment", "deployment:prod/tx", "--model", "model:tx@1", "--as", "p-deployer").good()
    title = json.dumps(MARKUP)  # a title has no control characters, so it cannot hold the others
    body = ("-d", f"title={title}", "-d", "deployment=deployment:prod/tx", "-d", f"description={json.dumps(NASTY)}")
    run("emit", "incident.opened", "incident:1", *body, "--as", "p-author").good()
    run("incident", "note", "incident:1", NASTY + MARKUP, "--as", "p-author").good()
    run(
        "emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}", "-d", f"{NASTY}={json.dumps(NASTY)}"
    ).good()


@pytest.fixture
def told(grow: Grow) -> Shop:
    """Events of every kind with texts that nobody should print as they are."""
    return grow(tell)


COMMANDS = (
    ("log",), ("log", "-o", "json"), ("log", "-o", "ndjson"), ("show", "8"), ("show", "8", "-o", "json"),
    ("show", "12"),
    ("state",), ("state", "-o", "json"), ("timeline", "incident:1"), ("timeline", "incident:1", "-o", "json"),
    ("timeline", "incident:1", "-o", "ndjson"), ("report", "generate", "control-assessment"), ("incident", "list"),
    ("report", "generate", "control-assessment", "-o", "json"), ("actor", "list"), ("actor", "list", "-o", "json"),
    ("verify", "log"), ("verify", "event", "8"), ("doctor",), ("key", "list"), ("projection", "status"),
    *(("lineage", "deployment:prod/tx", "-o", form) for form in ("text", "json", "mermaid", "dot", "openlineage")),
    ("impact", "model:tx"), ("impact", "model:tx", "-o", "json"), ("why", "model:tx@1"), ("why", "deployment:prod/tx"),
    ("why", "model:tx@1", "-o", "json"), ("history", "model:tx@1"), ("history", "model:tx@1", "-o", "json"),
    ("inventory",), ("inventory", "-o", "json"), ("waiver", "list"), ("waiver", "list", "-o", "json"),
    ("log", "--graph"), ("log", "--graph", "-o", "json"), ("config", "explain"), ("config", "explain", "-o", "json"),
    *((*command, "-o", form) for form in ("csv", "md") for command in (
        ("log",), ("log", "--graph"), ("show", "8"), ("state",), ("timeline", "incident:1"), ("incident", "list"),
        ("actor", "list"), ("report", "generate", "control-assessment"), ("config", "explain"), ("doctor",),
        ("lineage", "model:tx"), ("impact", "model:tx"), ("diff", "model:tx@1", "model:tx@1"),
        ("why", "model:tx@1"), ("history", "model:tx@1"), ("inventory",),
    )),
)  # fmt: skip


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> str:
    """What a command writes when its output is a terminal, one that shows no colours if nothing else is said."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", **environment}
    process = subprocess.Popen([quick_script(), *arguments], stdout=follower, stderr=follower, cwd=cwd, env=environment)
    os.close(follower)
    found = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            data = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        found += data
    os.close(leader)
    assert process.wait(timeout=60) in (0, 1)
    return found.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_control_character_of_an_event_is_printed(told: Shop, command: tuple[str, ...]):
    result = run(*command).good()
    out = result.out.replace("\r\n", "\n")  # as CSV ends its lines
    assert not CONTROL.search(out), CONTROL.findall(out)
    assert not CONTROL.search(result.err), CONTROL.findall(result.err)


@pytest.mark.parametrize(
    "command", [("log",), ("log", "--graph"), ("show", "8"), ("timeline", "incident:1"), ("show", "12", "-o", "json")]
)
def test_nor_on_a_terminal(told: Shop, command: tuple[str, ...]):
    """click and rich treat a terminal otherwise than a file."""
    found = on_a_terminal(*command, cwd=told.folder)
    assert found.strip()
    assert not CONTROL.search(found), CONTROL.findall(found)


def test_streams_have_colours_on_a_terminal_that_shows_them(told: Shop):
    shown = on_a_terminal("log", "--graph", cwd=told.folder, NO_COLOR="", TERM="xterm-256color")
    assert len(set(re.findall(r"\x1b\[\d+m(?=[●│├┤┼╰╯┴])", shown))) > 2
    plain = on_a_terminal("--no-color", "log", "--graph", cwd=told.folder, NO_COLOR="", TERM="xterm-256color")
    assert not re.search(r"\x1b\[\d+m", plain)


def test_the_text_itself_stays_readable(told: Shop):
    shown = run("show", "8").good().out
    assert "]0;owned" in shown
    timeline = run("timeline", "incident:1").good().out
    for part in ("[bold]x[/bold]", "[link=http://evil]y[/link]", ":boom:", "{z} %s"):
        assert part in timeline, part
    assert MARKUP in run("incident", "list", "-o", "json").good().json["incidents"][0]["title"]


def test_json_for_machines_gives_the_text_back_exactly(told: Shop):
    lines = run("log", "-o", "ndjson").good().lines
    assert lines[8]["event"]["data"]["rationale"] == NASTY + MARKUP
    assert lines[12]["event"]["data"][NASTY] == NASTY


def test_raw_bytes_are_given_as_they_are(told: Shop):
    """Who asks for exactly the signed bytes gets them; JSON escapes what is below 32."""
    payload = run("show", "8", "--raw").good().stdout
    assert json.loads(payload)["data"]["rationale"] == NASTY + MARKUP


def test_what_is_wrong_with_the_log_is_printed_without_control_characters(told: Shop):
    """A stored text that nobody signed reaches the messages of verification."""
    body = ("-d", f"digest={DIGEST}")
    run("emit", "dataset.registered", "dataset:tx", *body).good()
    with raw(told.url) as store:
        store.unprotect()
        ((last,),) = store.run("SELECT max(position) FROM $entry")
        store.run("UPDATE $entry SET subject = ?, actor = ? WHERE position = ?", (NASTY, NASTY, last))
    for command in (("verify", "log"), ("verify", "log", "-o", "json"), ("report", "generate", "control-assessment"),
                    ("log",), ("log", "-o", "json"), ("verify", "event", str(last - 1))):  # fmt: skip
        result = run(*command)
        assert not CONTROL.search(result.out + result.err), command
    assert not CONTROL.search(on_a_terminal("verify", "log", cwd=told.folder))


def test_what_somebody_typed_is_not_sent_back_to_the_terminal(shop: Shop):
    for arguments in (
        ("show", NASTY), ("state", NASTY), ("timeline", NASTY), ("lineage", NASTY), ("impact", NASTY),
        ("diff", NASTY, NASTY), ("why", NASTY), ("history", NASTY), ("emit", NASTY, "dataset:x"),
        ("report", "generate", NASTY),
        ("emit", "approval.requested", "model:x@1", "-d", f"{NASTY}=1"), ("state", "--known-at", NASTY),
        ("emit", "dataset.registered", "dataset:x", "-d", f"{NASTY}=1"), ("--ledger", NASTY, "log"),
    ):  # fmt: skip
        result = run(*arguments)
        assert result.code in (2, 8)
        assert not CONTROL.search(result.err), (arguments, result.err)


@pytest.mark.parametrize("text", [NASTY, "", "plain", "tab\tand\nline", "é☃𝄞"])
def test_cleaning_and_json(text: str):
    assert json.loads(to_json({text: [text]})) == {text: [text]}
    assert not CONTROL.search(to_json({text: [text]}))
    assert not CONTROL.search(clean(text))
    assert clean(clean(text)) == clean(text)
    if text != NASTY:
        assert clean(text) == text


# -- secrets ------------------------------------------------------------------------------------------------------


def secrets_of(folder: Path, passphrase: bytes) -> list[bytes]:
    """Every spelling of every private key: its 32 bytes, in hexadecimal, in base64, and the lines of its file."""
    keystore = Keystore(folder, lambda: passphrase)
    found = [passphrase]
    for stored in keystore.list():
        signer = keystore.load(stored.owner, keyid=stored.keyid_prefix)
        assert isinstance(signer, Ed25519Signer)
        seed = base64.b64decode(b"".join(signer.to_pem(None).splitlines()[1:-1]))[-32:]
        assert Ed25519Signer.from_seed(seed).public == signer.public, "this is the seed"
        found += [seed, seed.hex().encode(), base64.b64encode(seed)[:42]]
        found += [line for line in stored.path.read_bytes().splitlines() if b"-----" not in line]
    assert len(found) > 12
    return found


def test_no_command_prints_a_secret(empty: Path, monkeypatch: pytest.MonkeyPatch):
    passphrase = "correct-horse-battery"
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", passphrase)
    said: list[Result] = [run("init", "--origin", ORIGIN, "--keys", "keys", "--encrypt")]
    shop = Shop(empty, f"sqlite:///{empty}/.muniment/ledger.db")
    said.append(run("actor", "enrol", "--kind", "person", "--role", "approver", "--display", "Ada"))
    said.append(run("key", "enrol", "p-nobody"))
    said.append(run("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}"))
    forms: tuple[tuple[str, ...], ...] = ((), ("-o", "json"))
    reading = (
        ("log",), ("show", "1"), ("state",), ("verify", "log"), ("verify", "event", "1"), ("doctor",),
        ("actor", "list"), ("key", "list"), ("report", "generate", "control-assessment"), ("projection", "status"),
        ("proof", "consistency", "1", "2"),
    )  # fmt: skip
    said += [run(*command, *form) for command in reading for form in forms]
    said += [run("checkpoint", "show"), run("checkpoint", "show", "--vkey"), run("proof", "inclusion", "1")]
    said += [run("show", "1", option) for option in ("--raw", "--envelope", "--entry")]
    said.append(run("export", "tiles", "published"))
    (key,) = shop.keys.glob("checkpoint.*.pem")
    key.chmod(0o644)
    said.append(run("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}"))
    key.chmod(0o600)
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", passphrase + "!")
    said.append(run("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}"))
    monkeypatch.setenv("MUNIMENT_DEBUG", "")
    printed = b"".join(result.stdout + result.err.encode() for result in said)
    published = b"".join(path.read_bytes() for path in Path("published").rglob("*") if path.is_file())
    kept = b"".join(path.read_bytes() for path in (empty / ".muniment").iterdir() if path.is_file())
    assert len(printed) > 10_000
    for secret in secrets_of(shop.keys, passphrase.encode()):
        for where in (printed, published, kept):
            assert secret not in where


def test_a_password_in_the_url_is_not_shown(empty: Path):
    (empty / ".muniment").mkdir()
    (empty / ".muniment" / "config.toml").write_text(
        'ledger = "postgresql://me:geheim@127.0.0.1:1/x?connect_timeout=1"\n'
    )
    for command in (("doctor",), ("doctor", "-o", "json"), ("log",)):
        result = run(*command)
        assert result.code in (1, 6)
        assert "geheim" not in result.out + result.err
    assert "127.0.0.1" in run("doctor").out


# -- streams and formats ------------------------------------------------------------------------------------------


def test_stdout_is_data_and_everything_else_goes_to_stderr(shop: Shop):
    done = run_process(
        "emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}", "-o", "json", cwd=shop.folder
    )
    assert set(done.good().json) == {
        "id", "index", "leaf_hash", "stream", "revision", "recorded_at", "status", "marks", "existing",
    }  # fmt: skip
    assert "ledger ledger.example/cli, as" in done.err
    for command in (("log",), ("actor", "list"), ("key", "list"), ("doctor",), ("verify", "log"), ("report", "list"),
                    ("projection", "status"), ("projection", "rebuild"), ("incident", "list")):  # fmt: skip
        result = run(*command, "-o", "json").good()
        assert result.err == "", command
        assert result.json is not None


def test_formats_before_and_after_the_command_are_the_same(shop: Shop):
    assert run("-o", "json", "log").good().out == run("log", "-o", "json").good().out
    assert run("-o", "ndjson", "log", "-o", "json").good().out == run("log", "-o", "json").good().out


def test_output_that_is_no_terminal_has_no_colours(shop: Shop):
    done = run_process("verify", "log", cwd=shop.folder, NO_COLOR="").good()
    assert "\x1b" not in done.out + done.err


def test_members_of_machine_formats_are_the_published_ones(shop: Shop):
    """They never change inside a major version."""
    shop.version()
    run("record", "deployment", "deployment:dev/tx", "--model", "model:tx@1").good()
    run("incident", "open", "incident:1", "--title", "x", "--deployment", "deployment:dev/tx").good()

    def members(*command: str) -> list[str]:
        return list(run(*command, "-o", "json").good().json)

    assert members("state") == ["origin", "at", "known_at", "asked_at", "models", "deployments"]
    state = run("state", "-o", "json").json
    assert list(state["models"][0]["versions"][0]) == [
        "version", "status", "digest", "owner", "tier", "run", "registered", "evaluations", "approvals",
        "quarantines", "retired", "demoted", "promoted", "live_in", "aliases",
    ]  # fmt: skip
    run("request", "model:tx@1", "--env", "dev").good()
    (asked,) = run("state", "-o", "json").json["models"][0]["versions"][0]["approvals"]
    assert list(asked) == [
        "request", "environment", "status", "reason", "requested", "decided", "rationale", "approval", "expires_at",
        "changes", "escalated", "grants",
    ]  # fmt: skip
    assert list(state["deployments"][0]) == [
        "deployment", "environment", "service", "live", "previous", "authorised", "canary", "history", "emergencies",
        "canaries", "known_good", "decisions", "promises", "serving",
    ]  # fmt: skip
    assert members("timeline", "incident:1") == [
        "origin", "at", "known_at", "incident", "title", "severity", "status", "deployment", "failing_version",
        "previous_version", "rows",
    ]  # fmt: skip
    assert list(run("timeline", "incident:1", "-o", "json").json["rows"][0]) == [
        "index", "occurred_at", "recorded_at", "seconds_from_opening", "seconds_since_last", "lane", "type", "subject",
        "actor", "what", "changed", "compared_with", "why_here", "upstream", "caused_by", "marks", "leaf_hash",
    ]  # fmt: skip
    assert members("report", "generate", "control-assessment") == [
        "schema", "report", "ledger", "as_of", "environment", "summary", "findings", "emergencies", "waivers",
        "suspect_entries", "void_entries", "limits",
    ]  # fmt: skip
    assert members("verify", "log") == [
        "verdict", "findings", "not_verified", "ok", "origin", "ledgerid", "size", "root", "checkpoints",
        "signed_size", "anchored_size", "anchored_by", "unanchored_from",
        "suspect", "suspect_count", "withheld", "erasure_unfinished",
        "acknowledged", "opaque", "restores",
        "emitters",
        "level", "unchecked",
        "verified_from", "earlier", "jobs", "witnessed", "timestamps",
    ]  # fmt: skip
    assert members("verify", "event", "1") == [
        "verdict",
        "findings",
        "not_verified",
        "ok",
        "index",
        "id",
        "checks",
    ]
    assert members("show", "1") == [
        "index", "leaf_hash", "entry", "event", "sealed", "verdict", "reason", "marks", "suspect",
    ]  # fmt: skip
    assert list(run("log", "-o", "json").json[0]) == ["index", "leaf_hash", "entry", "event", "suspect", "withheld"]
