"""What forbids an erasure, and what excuses no missing content: holds, forgers, thieves, and what comes meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

import ledger.crashpoints
import ledger.erasing
import ledger.recorders.postgres_store
from ledger.application import Ledger
from ledger.datakeys import DataKeys
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import ConflictError
from ledger.sealing import MARK
from tests.cli.erased import ERASE, EVERY_WAY, MAIL, SECRET, WHO, all_good, stored
from tests.cli.killing import killed
from tests.cli.support import Shop, run


def test_only_an_eraser_erases_and_a_legal_hold_forbids_it(here: Shop) -> None:
    run(*ERASE[:-2]).refused(4, "needs the role eraser")
    placed = run("hold", "place", "person:*", "--matter", "M-12", "--reason", "claim", "-o", "json").good().json
    run(*ERASE).refused(1, "under the legal hold", "M-12", "hold release")
    assert [one["hold"] for one in run("hold", "list", "-o", "json").good().json["holds"]] == [placed["id"]]
    run("hold", "release", placed["id"], "--reason", "x", "--as", "p-eraser").refused(4)
    run("hold", "release", placed["id"], "--reason", "settled").good()
    run("hold", "release", placed["id"], "--reason", "again").refused(5, "stands")
    assert run("hold", "list", "-o", "json").good().json["holds"] == []
    by = ("--authority", "District court", "--custodian", "records office")
    run("hold", "place", "deployment:prod/*", "--matter", "M-13", "--reason", "claim", *by).good()
    (held,) = run("hold", "list", "-o", "json").good().json["holds"]
    assert (held["authority"], held["custodian"]) == ("District court", "records office")
    assert "District court" in run("hold", "list").good().out
    run(*ERASE).refused(1, "deployment:prod/x is under the legal hold")  # a sealed field stands in that stream
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET


def test_what_authority_and_decisions_rest_on_is_never_withheld(here: Shop) -> None:
    run(*ERASE, "--entry", 6).refused(1, "deployment.failed", "never withheld")
    run(*ERASE, "--entry", 1).refused(1, "actor.enrolled", "never withheld")
    run(*ERASE, "--entry", 99).refused(2, "there is no entry 99")
    run(*ERASE, "--entry", 4).good()
    all_good(4, 5)


def test_content_missing_without_a_record_or_with_an_insufficient_one_stays_a_failure(told: Shop) -> None:
    def missing(*places: int) -> list[tuple[str, int]]:
        told.unprotected(f"DELETE FROM $content WHERE position IN ({', '.join(str(place + 1) for place in places)})")
        found = run("verify", "log", "--all", "-o", "json")
        assert found.code == 1
        assert run("verify", "event", places[0]).code == 1
        assert "content is missing" in run("log").out
        return [(item["fault"], item["index"]) for item in found.json["findings"]]

    run(*ERASE).good()
    assert missing(4) == [("payload", 4)]  # nothing names it
    assert missing(3) == [("payload", 3), ("payload", 4)]  # named for its fields only, and of a type never withheld


@pytest.mark.parametrize(
    ("grow_any", "forger"),
    [("sqlite", "role"), ("sqlite", "stream"), ("sqlite", "leaf"), ("postgres", "leaf")],
    indirect=["grow_any"],
)
def test_a_forged_record_excuses_nothing(told: Shop, forger: str) -> None:
    home = told.home
    with home.open("p-eraser" if forger != "role" else None) as opened:
        row = opened.recorder.rows(4, 1)[0]
        entry = {"index": 4, "leaf_hash": row.leaf_hash.hex(), "stream": row.entry.stream, "scope": "whole"}
        if forger == "stream":
            entry["stream"] = "incident:other"  # as if no hold covered it
        if forger == "leaf":
            entry["leaf_hash"] = "ab" * 32
        body = {"subject": WHO, "basis": "b", "reason": "r", "entries": [entry]}
        if forger == "stream":
            opened.emit("subject.erased", f"ledger:{opened.ledgerid}", body)
        else:
            from ledger.errors import LedgerError

            with pytest.raises(LedgerError):
                opened.emit("subject.erased", f"ledger:{opened.ledgerid}", body)
    if forger != "stream":
        with Ledger.open(told.url) as opened, pytest.raises(Exception, match="append-only"):
            opened.recorder.withhold([4])
    told.unprotected("DELETE FROM $content WHERE position = 5")
    found = run("verify", "log", "--all", "-o", "json")
    assert (found.code, [(f["fault"], f["index"]) for f in found.json["findings"]]) == (1, [("payload", 4)])


@pytest.mark.parametrize("scope", ["stream", "type"])
def test_a_thief_of_an_erasers_key_destroys_nothing_through_others(told: Shop, scope: str) -> None:
    """A record that names another stream, or a type on which others rest: whoever erases later must not act on it."""
    index = 5 if scope == "stream" else 6
    with told.home.open("p-eraser") as opened:
        row = opened.recorder.rows(index, 1)[0]
        stream = "incident:other" if scope == "stream" else row.entry.stream
        entry = {"index": index, "leaf_hash": row.leaf_hash.hex(), "stream": stream, "scope": "whole"}
        body = {"subject": WHO, "basis": "b", "reason": "r", "entries": [entry]}
        opened.emit("subject.erased", f"ledger:{opened.ledgerid}", body)
    run(*ERASE).good()
    all_good(5)
    with Ledger.open(told.url) as opened:
        assert opened.recorder.rows(6, 1)[0].payload is not None


@pytest.mark.parametrize("hold", ["incident:*", "deployment:prod/*", "person:*"])
def test_a_record_kept_in_store_does_not_outlive_a_later_hold(told: Shop, hold: str) -> None:
    """Recorded while nothing forbade it, to be carried out when a hold does."""
    killed("erase.recorded", *ERASE)
    run("hold", "place", hold, "--matter", "M-14", "--reason", "claim").good()
    before = stored(told)
    run(*ERASE).refused(1, "under the legal hold", "M-14")
    assert stored(told) == before
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET
    assert "content is missing" not in run("log").out


def meanwhile(monkeypatch: pytest.MonkeyPatch, point: str, *arguments: str) -> None:
    """Run a command, as another process would, when the next one comes to a crash point."""
    waiting = [arguments]

    def reached(name: str) -> None:
        if name == point and waiting:
            run(*waiting.pop()).good()

    monkeypatch.setattr("ledger.erasing.crashpoint", reached)


@pytest.mark.parametrize(("point", "hold"), [("recorded", "person:*"), ("recorded", "incident:*"),
                                             ("keys_deleted", "person:*")])  # fmt: skip
def test_a_hold_stops_an_erasure_under_way_before_each_step(
    told: Shop, monkeypatch: pytest.MonkeyPatch, point: str, hold: str
) -> None:
    meanwhile(monkeypatch, f"erase.{point}", "hold", "place", hold, "--matter", "M-15", "--reason", "claim")
    run(*ERASE).refused(1, "under the legal hold", "M-15")
    assert MAIL.encode() in stored(told)
    closed = run("show", 3, "-o", "json").good().json["event"]["data"]["title"] != SECRET
    assert closed == (point == "keys_deleted")
    (held,) = run("hold", "list", "-o", "json").good().json["holds"]
    run("hold", "release", held["hold"], "--reason", "settled").good()
    assert run(*ERASE, "-o", "json").good().json["records"] == [7]
    all_good(5)


def test_a_field_sealed_under_a_hold_while_the_record_is_on_its_way_is_not_lost(
    told: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("hold", "place", "incident:inc-9", "--matter", "M-16", "--reason", "claim").good()
    plan, late = ledger.erasing.plan_erasure, ["note=held"]

    def planned(*arguments: Any) -> ledger.erasing.Plan:
        found = plan(*arguments)
        while late:
            run("emit", "incident.noted", "incident:inc-9", "--personal", late.pop(), "--about", WHO).good()
        return found

    monkeypatch.setattr("ledger.erasing.plan_erasure", planned)
    run(*ERASE).refused(1, "incident:inc-9 is under the legal hold", "M-16")
    assert run("show", 8, "-o", "json").good().json["event"]["data"]["note"] == "held"
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET


@pytest.mark.parametrize("spelled", ["plain", "within", "escaped"])
def test_nothing_is_passed_off_as_erased_by_naming_the_key_of_an_earlier_erasure(told: Shop, spelled: str) -> None:
    text = run("show", 3, "-o", "json", "--raw").good().out.partition('"title":"')[2].partition('"')[0]
    text = f"as said: {text}." if spelled == "within" else text
    run(*ERASE).good()
    with told.home.open() as opened:
        opened.emit("incident.noted", "incident:1", note="sealed:v1: is how sealed fields begin")
        payload, _ = build_payload(
            ledgerid=opened.ledgerid, actor=str(opened.actor), type="incident.noted", subject="incident:1",
            data={"note": text}, emitter="0189aaaa-0000-7000-8000-000000000001", sequence=1,
        )  # fmt: skip
        if spelled == "escaped":
            payload = payload.replace(b'"sealed:', rb'"\u0073ealed:')
            assert MARK not in payload
        envelope = format_envelope(sign_payload(payload, opened.signers))
        with pytest.raises(ConflictError, match="which entry 7 erased"):
            opened.append(envelope)
        assert told.size() == 9
        # Logs have such entries from before this was asked: they stay good, and no record is said to be about them.
        with pytest.MonkeyPatch.context() as before:
            before.setattr("ledger.appending.check_sealed", lambda *_: None)
            opened.append(envelope)
    all_good(5, ways=EVERY_WAY)
    by = "by p-eraser under GDPR Art. 17 (entry 7)"
    shown = run("show", 9, "-o", "json").good().json
    if spelled != "within":
        assert shown["sealed"] == {"note": f"closed: its data key was erased before this entry was recorded, {by}"}
    rows = run("timeline", "incident:1", "-o", "json").good().json["rows"]
    what = {row["index"]: row["what"] for row in rows}
    assert f"sealed field: its data key was erased {by}, before entry 9 was recorded" in what[9]
    assert what[3].endswith(f"its data key was erased {by}")


def test_what_is_sealed_while_its_key_is_erased_is_refused_and_not_lost(
    told: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal, erasing = DataKeys.seal, [ERASE]

    def sealed(self: DataKeys, *arguments: Any, **options: Any) -> dict[str, Any]:
        found = seal(self, *arguments, **options)
        while erasing:
            run(*erasing.pop()).good()
        return found

    monkeypatch.setattr(DataKeys, "seal", sealed)
    note = ("emit", "incident.noted", "incident:1", "--personal", "note=late", "--about", WHO)
    run(*note).refused(5, "which entry 7 erased", "another data key")
    assert told.size() == 8
    run(*note).good()
    assert run("show", 8, "-o", "json").good().json["event"]["data"]["note"] == "late"
