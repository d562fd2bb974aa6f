"""The spellings that people and pipelines rely on: what is typed, and what comes out."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from pathlib import Path

import pytest

from ledger.checkpoint import signed_by, verify_checkpoint
from ledger.envelope import parse_envelope
from ledger.errors import LedgerError
from ledger.merkleproof import verify_consistency
from ledger.note import format_vkey, parse_note, parse_vkey
from ledger.proof import verify_proof
from ledger.tiles import bundle_path, bundles_of, tile_path, tiles_of
from tests.cli.support import DIGEST, ORIGIN, Shop, data_of, emit, run, run_process
from tests.unit.reference_merkle import mth


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- init ---------------------------------------------------------------------------------------------------------


def test_init_and_the_first_event_in_an_empty_folder(empty: Path):
    made = run_process("init", "--origin", "example.com/first").good()
    assert "example.com/first" in made.out
    assert "Next:  muniment emit dataset.registered dataset:NAME" in made.err
    folder = empty / ".muniment"
    assert mode(folder) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    assert {path.name for path in folder.iterdir()} >= {"ledger.db", "trust.json", "config.toml", "people.json"}
    assert {mode(folder / name) for name in ("ledger.db", "trust.json", "config.toml", "people.json")} == {0o600}
    done = run_process("emit", "dataset.registered", "dataset:tx", "-d", "name=tx", "-d", f"digest={DIGEST}").good()
    assert done.out.startswith("recorded 2 ")
    assert "ledger example.com/first, as" in done.err
    assert data_of(2) == {"name": "tx", "digest": DIGEST}
    assert run_process("verify", "log").good().out.startswith("✓ example.com/first: 3 entries verified")


def test_init_makes_three_keys_that_nobody_else_may_read(empty: Path, isolated_environment: Path):
    run("init", "--origin", ORIGIN).good()
    files = list((isolated_environment / ".config" / "muniment" / "keys").rglob("*.pem"))
    assert sorted(path.name.partition(".")[0] for path in files if not path.name.startswith("p-")) == [
        "checkpoint", "root",
    ]  # fmt: skip
    assert len(files) == 3
    assert {mode(path) for path in files} == {0o600}
    assert {mode(path.parent) for path in files} == {0o700}
    assert not list(empty.rglob("*.pem"))


def test_init_in_another_folder(empty: Path):
    (empty / "there").mkdir()
    made = run("init", "there", "--origin", ORIGIN, "-o", "json").good().json
    assert made["folder"] == str(empty / "there" / ".muniment")
    assert (made["origin"], made["size"]) == (ORIGIN, 2)
    assert run("--ledger", "there", "log", "-o", "json").good().json[1]["entry"]["actor"] == "root"
    assert run("log", "--ledger", "there", "-o", "json").good().json[1]["entry"]["actor"] == "root"


def test_commands_find_the_ledger_from_a_folder_below(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    below = shop.folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert "ledger.created" in run("log").good().out
    monkeypatch.chdir("/")
    run("log").refused(8, "no ledger was found", "muniment init")
    monkeypatch.setenv("MUNIMENT_LEDGER", str(shop.folder))
    assert "ledger.created" in run("log").good().out


def test_a_sample_is_a_whole_story(empty: Path):
    run_process("init", "--sample").good()
    state = run("state", "-o", "json").good().json
    (deployment,) = state["deployments"]
    assert deployment["live"]["model"] == "model:churn@1"
    assert {v["version"]: v["status"] for v in state["models"][0]["versions"]} == {
        "model:churn@1": "live", "model:churn@2": "rolled back",
    }  # fmt: skip
    assert run("verify", "log", "-o", "json").good().json["ok"]
    findings = run("report", "generate", "control-assessment", "-o", "json").good().json["findings"]
    assert [finding["control"] for finding in findings if finding["state"] != "satisfied"] == [
        "gate-before-authorise", "emergency-reviewed",
    ], "it has neither"  # fmt: skip
    timeline = run("timeline", "incident:inc-1", "-o", "json").good().json
    assert "dataset:customers@2026-02" in [row["subject"] for row in timeline["rows"] if row["upstream"]]
    assert not (empty / ".muniment" / "keys").stat().st_mode & 0o077


# -- emit ---------------------------------------------------------------------------------------------------------


def test_dotted_keys_and_json_values(shop: Shop):
    body = emit(
        "-d", f"digest={DIGEST}", "-d", "row_count=442", "-d", "profile.age.mean=48.5", "-d", "profile.age.max=79",
        "-d", 'columns={"age":"int","sex":"int"}', "-d", "columns.bmi=float", "-d", "description=two words, a = b",
    )  # fmt: skip
    assert body == {
        "digest": DIGEST,
        "row_count": 442,
        "profile": {"age": {"mean": 48.5, "max": 79}},
        "columns": {"age": "int", "sex": "int", "bmi": "float"},
        "description": "two words, a = b",
    }


@pytest.mark.parametrize("text", ["2026", "1e5", "true", "3.14", "-0", "007", "[1]", '{"a":1}', '"quoted', "tx", "n/a"])
def test_what_looks_like_json_is_text_in_a_text_field(shop: Shop, text: str):
    assert emit("-d", f"digest={DIGEST}", "-d", f"name={text}") == {"digest": DIGEST, "name": text}


def test_what_looks_like_a_number_is_text_inside_a_map_of_texts(shop: Shop):
    assert emit("-d", f"digest={DIGEST}", "-d", "columns.year=2026")["columns"] == {"year": "2026"}


def test_text_in_quotes_is_that_text(shop: Shop):
    assert emit("-d", f"digest={DIGEST}", "-d", 'name="2026 é"')["name"] == "2026 é"


def test_a_body_from_a_file_and_from_standard_input(shop: Shop):
    body = {"digest": DIGEST, "row_count": 3, "columns": {"a": "int"}}
    Path("body.json").write_text(json.dumps(body, indent=2) + "\n")
    assert emit("-d", "@body.json") == body
    assert emit("-d", "@-", stdin=json.dumps(body).encode()) == body
    assert emit("-d", "@body.json", "-d", "name=tx", "-d", "profile.a.mean=1") == {
        **body, "name": "tx", "profile": {"a": {"mean": 1}},
    }  # fmt: skip
    run_process(
        "emit", "dataset.registered", "dataset:tx", "-d", "@-", stdin=json.dumps(body).encode(), cwd=shop.folder
    ).good()


def test_fields_a_schema_does_not_know_are_kept_and_said(shop: Shop):
    done = run("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}", "-d", "colour=blue").good()
    assert "colour" in done.err
    assert data_of(2)["colour"] == "blue"


def test_the_envelope_of_an_event(shop: Shop):
    run("actor", "enrol", "p-author", "--kind", "person", "--role", "emitter").good()
    options = (
        "--at",
        "2026-11-01T12:00:00+02:00",
        "--on-behalf-of",
        "p-author",
        "--correlation",
        "c-1",
        "--causation",
        "e-1",
    )
    done = run(
        "emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}", *options, "--strength", "imported",
        "--id", "01a207ab-59b2-77d6-b7de-8a557980374b", "-o", "json",
    ).good().json  # fmt: skip
    event = run("show", done["id"], "-o", "json").good().json["event"]
    assert event["time"] == "2026-11-01T10:00:00.000000Z"
    assert (event["onbehalfof"], event["correlationid"], event["causationid"]) == (
        "urn:muniment:p-author",
        "c-1",
        "e-1",
    )
    assert (event["evidencestrength"], event["id"]) == ("imported", done["id"])


def test_an_event_signed_elsewhere(shop: Shop):
    """The same event again repeats nothing."""
    run("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}").good()
    envelope = run("show", 2, "--envelope").good().stdout
    parse_envelope(envelope)
    Path("event.json").write_bytes(envelope + b"\n")
    for name, stdin in (("event.json", b""), ("-", envelope)):
        again = run("emit", "--envelope", name, "-o", "json", stdin=stdin).good().json
        assert (again["index"], again["existing"]) == (2, True)
    assert shop.size() == 3


def test_the_same_id_and_content_is_the_first_receipt(any_shop: Shop):
    options = ("-d", f"digest={DIGEST}", "--id", "01a207ab-59b2-77d6-b7de-8a557980374b")
    first = run("emit", "dataset.registered", "dataset:tx", *options, "-o", "json").good().json
    again = run("emit", "dataset.registered", "dataset:tx", *options, "-o", "json").good()
    assert again.json == {**first, "existing": True}
    assert run("emit", "dataset.registered", "dataset:tx", *options).good().out.startswith("already recorded 2 ")
    assert any_shop.size() == 3


def test_the_list_of_event_types_needs_no_ledger(empty: Path):
    from ledger.events import all_event_types

    names = [kind.name for kind in all_event_types()]
    assert [item["type"] for item in run("emit", "--list", "-o", "json").good().json] == names
    assert [line.split()[0] for line in run("emit", "--list").good().out.splitlines()] == names


def test_who_signs(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    shop.enrol("p-other", "emitter")
    body = ("-d", f"digest={DIGEST}")
    for before, after in ((("--as", "p-other"), ()), ((), ("--as", "p-other"))):
        done = run(*before, "emit", "dataset.registered", "dataset:tx", *body, *after, "-o", "json").good()
        assert run("show", done.json["index"], "-o", "json").json["entry"]["actor"] == "p-other"
    monkeypatch.setenv("MUNIMENT_ACTOR", "p-other")
    done = run("emit", "dataset.registered", "dataset:tx", *body, "-o", "json").good()
    assert run("show", done.json["index"], "-o", "json").json["entry"]["actor"] == "p-other"


# -- log and show -------------------------------------------------------------------------------------------------


def test_log_in_lines_of_json_each_with_its_event(any_shop: Shop):
    for number in range(3):
        emit("-d", f"digest={DIGEST}", "-d", f"row_count={number}", subject=f"dataset:tx@{number}")
    lines = run("log", "-o", "ndjson").good().lines
    assert [line["index"] for line in lines] == list(range(5))
    assert [line["entry"]["index"] for line in lines] == list(range(5))
    assert [line["event"]["subject"] for line in lines[2:]] == [f"dataset:tx@{number}" for number in range(3)]
    assert lines[4]["event"]["data"]["row_count"] == 2
    assert run("log", "-o", "json").good().json == lines
    assert run_process("log", "-o", "ndjson", cwd=any_shop.folder).good().lines == lines


def test_log_can_be_narrowed(shop: Shop):
    for name in ("a", "b", "a"):
        emit("-d", f"digest={DIGEST}", subject=f"dataset:{name}@1")

    def indexes(*options: object) -> list[int]:
        return [item["index"] for item in run("log", *options, "-o", "json").good().json]

    assert indexes("dataset:a@1") == indexes("dataset:a") == [2, 4]
    assert indexes("--type", "dataset") == indexes("--type", "dataset.registered") == [2, 3, 4]
    assert indexes("--actor", "root") == [0, 1]
    assert indexes("-n", 2) == [3, 4]
    assert indexes("-n", 2, "--reverse") == [4, 3]
    assert indexes("-n", 0) == indexes() == [0, 1, 2, 3, 4]
    assert indexes("--reverse") == [4, 3, 2, 1, 0]
    assert indexes("dataset:a", "-n", 1) == [4]
    assert indexes("dataset:nothing") == []


def test_log_as_text_is_a_line_an_entry_and_the_last_fifty(shop: Shop):
    with shop.home.open() as ledger:
        for number in range(60):
            ledger.emit("dataset.registered", f"dataset:n{number}", digest=DIGEST)
    lines = run("log").good().out.splitlines()
    assert len(lines) == 50
    assert [int(line.split()[0]) for line in lines] == list(range(12, 62))
    assert lines[-1].split()[2:4] == ["dataset.registered", "dataset:n59"]
    assert len(run("log", "-n", 0).good().out.splitlines()) == 62


def test_a_page_border_loses_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    import cli.log

    monkeypatch.setattr(cli.log, "_PAGE", 2)
    for _ in range(5):
        emit("-d", f"digest={DIGEST}")
    for options in ((), ("--reverse",)):
        found = [item["index"] for item in run("log", *options, "-o", "json").good().json]
        assert sorted(found) == list(range(7))
        assert found == sorted(found, reverse=bool(options))


def test_show_one_event_in_each_of_its_forms(any_shop: Shop):
    emit("-d", f"digest={DIGEST}")
    shown = run("show", 2, "-o", "json").good().json
    assert (shown["verdict"], shown["reason"], shown["marks"]) == ("valid", None, [])
    assert run("show", shown["entry"]["id"], "-o", "json").good().json == shown
    entry = run("show", 2, "--entry").good().stdout
    assert json.loads(entry) == shown["entry"]
    raw = run("show", 2, "--raw").good().stdout
    assert json.loads(raw) == shown["event"]
    assert hashlib.sha256(b"\0" + entry).hexdigest() == shown["leaf_hash"]
    assert hashlib.sha256(raw).hexdigest() == shown["entry"]["payload"]
    assert hashlib.sha256(run("show", 2, "--envelope").good().stdout).hexdigest() == shown["entry"]["envelope"]
    text = run("show", 2).good().out
    assert "dataset.registered" in text
    assert DIGEST in text


# -- heads, tiles and proofs --------------------------------------------------------------------------------------


def test_checkpoint_show_prints_the_signed_note_exactly(any_shop: Shop):
    emit("-d", f"digest={DIGEST}")
    note = run("checkpoint", "show").good().stdout
    vkey = parse_vkey(run("checkpoint", "show", "--vkey").good().out.removesuffix("\n"))
    head = verify_checkpoint(note, [vkey])
    assert (head.origin, head.size) == (ORIGIN, 3)
    leaves = [bytes.fromhex(item["leaf_hash"]) for item in run("log", "-o", "json").json]
    assert head.root == mth(leaves)
    assert parse_note(note).text.splitlines() == [ORIGIN, "3", base64.b64encode(mth(leaves)).decode()]
    trust = any_shop.home.trust()
    assert trust is not None
    assert [format_vkey(item) for item in trust.vkeys] == [format_vkey(vkey)]
    assert run_process("checkpoint", "show", cwd=any_shop.folder).good().stdout == note


def test_checkpoint_show_signs_the_present_head_first(shop: Shop):
    """After a writer that did not have the checkpoint key."""
    (key,) = shop.keys.glob("checkpoint.*.pem")
    away = key.rename(shop.folder / "checkpoint.away")
    emit("-d", f"digest={DIGEST}")
    run("checkpoint", "show").refused(8, "not signed yet", "operator")
    away.rename(key)
    assert run("checkpoint", "show").good().out.splitlines()[1] == "3"


def test_export_tiles_writes_a_log_that_can_be_recomputed(any_shop: Shop):
    with any_shop.home.open() as ledger:
        for number in range(300):
            ledger.emit("monitor.signal", f"monitor:n{number}", metric="auc", value=0.5)
    done = run("export", "tiles", "published", "-o", "json").good().json
    folder = any_shop.folder / "published"
    assert (done["size"], done["folder"]) == (302, "published")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    wanted = {tile_path(*tile) for tile in tiles_of(302)} | {bundle_path(*bundle) for bundle in bundles_of(302)}
    assert files == {"checkpoint", "log.vkey"} | wanted
    assert len(files) == done["files"]
    entries: list[bytes] = []
    for bundle in bundles_of(302):
        data = (folder / bundle_path(*bundle)).read_bytes()
        while data:
            length = int.from_bytes(data[:2], "big")
            entries.append(data[2 : 2 + length])
            data = data[2 + length :]
    leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    for level, index, width in tiles_of(302):
        layer = leaves if level == 0 else [mth(leaves[i : i + 256]) for i in range(0, 256, 256)]
        assert (folder / tile_path(level, index, width)).read_bytes() == b"".join(layer[index * 256 :][:width])
    vkey = parse_vkey((folder / "log.vkey").read_text().removesuffix("\n"))
    assert verify_checkpoint((folder / "checkpoint").read_bytes(), [vkey]).root == mth(leaves)
    assert not any(DIGEST.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_inclusion_proof_verifies_with_the_entry_it_is_about(any_shop: Shop):
    for number in range(4):
        emit("-d", f"digest={DIGEST}", subject=f"dataset:tx@{number}")
    vkey = parse_vkey(run("checkpoint", "show", "--vkey").good().out.strip())
    for index in range(6):
        assert run("proof", "inclusion", index, "-o", "proof").good().stdout == b""
        proof = Path("proof").read_bytes()
        assert run("proof", "inclusion", index).good().stdout == proof
        entry = run("show", index, "--entry").good().stdout
        found, head = verify_proof(proof, entry, signed_by(vkey))
        assert (found, head.size) == (index, 6)
        other = run("show", (index + 1) % 6, "--entry").good().stdout
        with pytest.raises(LedgerError):
            verify_proof(proof, other, signed_by(vkey))


def test_a_consistency_proof_verifies(any_shop: Shop):
    for number in range(4):
        emit("-d", f"digest={DIGEST}", subject=f"dataset:tx@{number}")
    found = run("proof", "consistency", 3, 6, "-o", "json").good().json
    hashes = [base64.b64decode(item) for item in found["hashes"]]
    old, new = (base64.b64decode(found[name]["root"]) for name in ("old", "new"))
    verify_consistency(3, old, 6, new, hashes)
    leaves = [bytes.fromhex(item["leaf_hash"]) for item in run("log", "-o", "json").json]
    assert (old, new) == (mth(leaves[:3]), mth(leaves))
    lines = run("proof", "consistency", 3, 6).good().out.splitlines()
    assert lines[0] == f"old 3 {found['old']['root']}"
    assert lines[2:] == found["hashes"]
