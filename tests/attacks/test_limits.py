"""What docs/THREATS.md says that nothing shows: each limit is tried, so that it is neither more nor less than that.

A test here that fails because something was found is good news: the row of THREATS has to say so then.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import commands
from ledger.application import Ledger
from ledger.checkpoint import Checkpoint, cosign_checkpoint, format_checkpoint
from ledger.config import state_folder
from ledger.cosignature import format_cosignature
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import AuthenticationError, ConfigurationError, LedgerError, PolicyError, StorageError
from ledger.findings import Anchor
from ledger.keys import Ed25519Signer
from ledger.note import format_vkey
from ledger.payload import parse_payload
from ledger.recorders import open_recorder
from ledger.sealing import find_sealed
from ledger.successor import Successor, sign_successor
from ledger.transfer import LedgerCopy, Outside
from ledger.verify import verify_log
from tests.cli.conftest import stores_closed
from tests.cli.erased import ERASE, SECRET, tell
from tests.cli.killing import killed
from tests.cli.refusing import EVENT, cut_tail
from tests.cli.support import Shop, run
from tests.cli.test_pinned import fork
from tests.cli.test_restore import _keep as keep
from tests.cli.test_timestamps import pin, stamped, stamped_a_day_ahead
from tests.contract.support import MODEL, PROD, Cast, approved, digest, make_cast, raw, register
from tests.contract.tampering import Forger, acknowledge, remembered, sixteen
from tests.contract.test_witnessed import KEYS, POLICY, VKEYS, cosign, vouched
from tests.tsa import Authority
from tests.unit.reference_merkle import mth

__all__ = ["stores_closed"]

PARENT = {"role": "teacher", "subject": "model:t@1"}
EMITTER = "0189aaaa-0000-7000-8000-000000000001"


def envelope(cast: Cast, actor: str, sequence: int) -> bytes:
    """An event that the rules allow, signed by its author."""
    payload, _ = build_payload(
        ledgerid=cast.admin.ledgerid, actor=actor, type="external.observed", subject="external:x",
        data={"system": "s"}, emitter=EMITTER, sequence=sequence,
    )  # fmt: skip
    return format_envelope(sign_payload(payload, [cast.keys[actor]]))


# -- people and keys -------------------------------------------------------------------------------


def test_a_person_whom_an_admin_invented_approves(quick_url: str):
    cast = make_cast(quick_url)
    register(cast)
    commands.request_approval(cast["p-author"], MODEL, "prod", reason="ready")
    cast.enrol("p-nobody", "person", ("approver",), None)
    commands.approve(cast["p-nobody"], MODEL, "prod", rationale="as the admin wants it")
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_a_maker_whom_a_registration_leaves_out_approves_where_no_gate_asks(quick_url: str):
    cast = make_cast(quick_url)
    cast.enrol("robot", "service", ("emitter",), "p-approver")
    made = {"outputs": [{"role": "output", "subject": MODEL, "digest": digest(MODEL)}]}
    cast["robot"].emit("run.completed", "run:hidden", made)
    approved(cast)  # by the person behind that run
    commands.authorise(cast["p-deployer"], PROD, MODEL)
    assert verify_log(cast.recorder, cast.new.trust).ok


@pytest.mark.parametrize("kind", ["run.attached", "version.composed"])
def test_an_approver_is_a_maker_when_somebody_says_that_it_was_done_for_them(quick_url: str, kind: str):
    cast = make_cast(quick_url)
    approved(cast)
    run = next(row.entry.stream for row in cast.recorder.rows(0, 99) if row.entry.type == "muniment.run.completed.v1")
    subject, said = (run, {"reason": "x"}) if kind == "run.attached" else (MODEL, {"parents": [PARENT]})
    cast["trainer"].emit(kind, subject, said, on_behalf_of="p-approver")
    with pytest.raises(PolicyError, match="not shown to be another person than whoever made it"):
        commands.authorise(cast["p-deployer"], PROD, MODEL)


def test_the_machine_that_enrols_can_sign_as_whom_it_enrolled(any_shop: Shop):
    run("actor", "enrol", "p-bob", "--kind", "person", "--role", "emitter").good()
    run(*EVENT, "--as", "p-bob").good()  # with the key file that was made here
    assert run("log", "-o", "json").good().json[-1]["entry"]["actor"] == "p-bob"
    run("verify", "log").good()


def test_a_signer_that_signs_something_else_is_refused(quick_url: str):
    """A token, or its library, that lies."""
    cast = make_cast(quick_url, actors=("p-author",))
    true = cast.keys["p-author"]

    class Lying:
        public = true.public

        def sign(self, message: bytes) -> bytes:
            return true.sign(message + b"!")

    size = cast.recorder.head().size
    with Ledger(cast.recorder, actor="p-author", signers=[Lying()]) as ledger, pytest.raises(AuthenticationError):
        ledger.emit("run.started", "run:x")
    again = open_recorder(quick_url)
    assert again.head().size == size
    again.close()


# -- the log ---------------------------------------------------------------------------------------


def test_a_legal_event_put_in_past_muniment_is_an_event_like_any_other(quick_url: str):
    cast, _ = sixteen(quick_url)
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(envelope(cast, "p-author", 1))
        forger.write()
    found = verify_log(cast.recorder, cast.new.trust, [remembered(cast)])
    assert (found.findings, found.size, found.signed_size) == ([], index + 1, index)


@pytest.mark.parametrize("key", [False, True], ids=["without keys", "with the checkpoint key"])
def test_a_fact_that_is_left_out_is_seen_with_an_anchor_only(quick_url: str, key: bool):
    cast, steps = sixteen(quick_url)
    anchor = remembered(cast)
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        del forger.rows[steps["incident"]]
        if not key:
            store.run("DELETE FROM $checkpoint WHERE size > ?", (steps["incident"],))
        forger.write(cast.new.checkpoint if key else None)
    found = verify_log(cast.recorder, cast.new.trust)
    assert found.ok
    assert found.signed_size < 16
    assert "anchor" in {item.fault for item in verify_log(cast.recorder, cast.new.trust, [anchor]).findings}


def test_an_altered_entry_that_an_admin_acknowledges_is_listed_and_no_more(quick_url: str):
    cast, steps = sixteen(quick_url)
    anchor, index = remembered(cast), steps["note"]
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        forger.alter(index, lambda payload: payload.replace(b"looking into it", b"nothing to see!"))
        forger.write(cast.new.checkpoint)
    assert [item.index for item in verify_log(cast.recorder, cast.new.trust).findings] == [index]
    with Ledger(open_recorder(quick_url), actor="p-admin", signers=[cast.keys["p-admin"]]) as admin:
        acknowledge(admin, index, "as it is now")
    found = verify_log(cast.recorder, cast.new.trust)
    assert (found.findings, [place for place, _ in found.acknowledged]) == ([], [index])
    assert "anchor" in {item.fault for item in verify_log(cast.recorder, cast.new.trust, [anchor]).findings}


def test_what_was_never_submitted_is_a_gap_at_most(quick_url: str):
    cast = make_cast(quick_url)
    for number in (1, 4):
        cast.admin.append(envelope(cast, "p-author", number))
    found = verify_log(cast.recorder, cast.new.trust)
    assert found.ok
    assert [(item.actor, item.emitter, item.missing) for item in found.emitters] == [("p-author", EMITTER, 2)]


def test_a_clock_that_is_ahead_is_believed_and_stops_the_ledger(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    recorder = open_recorder(quick_url, clock=lambda: time.time_ns() // 1000 + 3600 * 10**6)
    with Ledger(recorder, actor="p-author", signers=[cast.keys["p-author"]]) as ahead:
        ahead.emit("external.observed", "external:x", system="s")
    assert verify_log(cast.recorder, cast.new.trust).ok
    with pytest.raises(StorageError, match="clock"):
        cast["p-author"].emit("external.observed", "external:x", system="s")


def test_a_clock_that_is_late_dates_as_far_back_as_the_last_entry(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    last = cast.recorder.rows(cast.recorder.head().size - 1, 1)[0].entry.recorded_at
    recorder = open_recorder(quick_url, clock=lambda: last)
    with Ledger(recorder, actor="p-author", signers=[cast.keys["p-author"]]) as late:
        index = late.emit("external.observed", "external:x", system="s").index
    assert cast.recorder.rows(index, 1)[0].entry.recorded_at == last
    assert verify_log(cast.recorder, cast.new.trust).ok


# -- who is asked, and who is not ------------------------------------------------------------------


def test_the_witnesses_of_the_attackers_policy_vouch_for_anything(quick_url: str):
    cast, steps = sixteen(quick_url)
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        del forger.rows[steps["incident"]]
        forger.write(cast.new.checkpoint)
    head = format_checkpoint(Checkpoint(cast.admin.origin, 15, mth(cast.recorder.leaf_hashes(0, 15))))
    for who in (0, 1):  # the keys that this policy names, in the attacker's hands
        line = format_cosignature(cosign_checkpoint(head, KEYS[who], VKEYS[who].name, 1))
        cast.recorder.add_attestation(15, "cosignature", format_vkey(VKEYS[who]), line)
    found = verify_log(cast.recorder, cast.new.trust)
    assert (found.ok, vouched(found), POLICY.describe_quorum()) == (True, 15, "2 of w0, w1, w2")


def test_a_cosignature_that_was_taken_out_is_not_missed_once_there_is_a_later_one(quick_url: str):
    cast, _ = sixteen(quick_url)
    for size in (12, 16):
        for who in (0, 1):
            cosign(cast.recorder, size, who)
    with raw(quick_url) as store:
        store.unprotect()
        store.run("DELETE FROM $attestation WHERE size = 12")
    found = verify_log(cast.recorder, cast.new.trust, [remembered(cast)])
    assert (found.findings, vouched(found)) == ([], 16)


def test_an_old_copy_is_good_to_whoever_remembers_nothing_and_asks_nobody(any_shop: Shop):
    for _ in range(3):
        run(*EVENT).good()
    cut_tail(any_shop, 3)
    assert run("verify", "log").code == 1
    shutil.rmtree(state_folder())
    found = run("verify", "log").good()
    assert "first use on this machine" in found.out
    assert "UNANCHORED" in found.out


def test_a_rewritten_publication_is_seen_by_whoever_kept_a_copy(
    any_shop: Shop, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    for _ in range(3):
        run(*EVENT).good()
    run("checkpoint", "publish", "place").good()
    shutil.copy("place", "kept")
    fork(any_shop, monkeypatch, isolated_environment, 3, 4)
    Path("place").unlink()
    shutil.rmtree(state_folder())  # somebody who comes for the first time
    run("checkpoint", "publish", "place").good()
    run("verify", "log", "--anchor", "place").good()
    found = run("verify", "log", "--anchor", "place", "--anchor", "kept")
    assert found.code == 1
    assert "anchor" in found.out
    assert "kept vouches for" in found.out


def test_a_timestamp_that_was_taken_out_is_not_missed(any_shop: Shop, authority: Authority):
    run(*EVENT).good()
    stamped(any_shop, authority)
    pin(authority)
    shutil.rmtree(state_folder() / "heads")
    assert run("verify", "log", "--no-remember", "-o", "json").good().json["anchored_size"] == 3
    with raw(any_shop.url) as store:
        store.unprotect()
        store.run("DELETE FROM $attestation")
    found = run("verify", "log", "--no-remember", "-o", "json").good().json
    assert (found["anchored_size"], found["timestamps"]) == (0, None)


def test_a_lying_authority_dates_entries_back_with_the_checkpoint_key_and_the_stores_clock_only(
    shop: Shop, authority: Authority
):
    """It is a day later than the authority says: who owns the store's times and heads makes them fit."""
    stamped_a_day_ahead(shop, authority)
    found = run("verify", "log", "-o", "json")
    assert (found.code, [item["index"] for item in found.json["findings"]]) == (1, [3])
    (path,) = Path().rglob("checkpoint.*.pem")
    with raw(shop.url) as store:
        store.unprotect()
        forger = Forger(store)
        forger.rows[3]["recorded_at"] = forger.rows[2]["recorded_at"]
        store.run("DELETE FROM $attestation")
        forger.write()  # without the key the signed heads do not fit
        shutil.rmtree(state_folder() / "heads")
        assert run("verify", "log", "--no-remember").code == 1
        forger.write(Ed25519Signer.from_pem(path.read_bytes(), None))
    stamped(shop, authority)
    data = run("verify", "log", "--no-remember", "-o", "json").good().json
    assert (data["timestamps"]["size"], data["anchored_size"], data["findings"]) == (4, 4, [])


# -- the verifier's own machine --------------------------------------------------------------------


def test_a_planted_folder_is_refused_only_by_the_expected_origin(shop: Shop):
    run(*EVENT).good()
    Path("planted").mkdir()
    run("init", "planted", "--origin", "evil.example/x", "--keys", "other-keys").good()
    shutil.rmtree(".muniment")
    shutil.move("planted/.muniment", ".muniment")
    shutil.rmtree(state_folder())  # with the notes of what trust.json said
    run("verify", "log").good()
    run("--expect-origin", "ledger.example/cli", "verify", "log").refused(8, "evil.example/x")


def test_names_of_persons_are_whatever_the_file_says(any_shop: Shop):
    path = Path(".muniment/people.json")
    names = json.loads(path.read_text())
    (actor,) = names
    path.write_text(json.dumps({actor: "Somebody Else"}))
    assert "Somebody Else" in run(*EVENT).good().err
    assert run("log", "-o", "json").good().json[-1]["entry"]["actor"] == actor
    run("verify", "log").good()


def test_a_lying_script_says_what_it_likes(any_shop: Shop):
    run(*EVENT).good()
    run("export", "bundle", "--all", "b").good()
    Path("b").write_bytes(Path("b").read_bytes().replace(b"dataset:tx", b"dataset:ty"))
    Path("verify.py").write_text("print('VERIFIED')\n")
    done = subprocess.run([sys.executable, "verify.py", "b"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "VERIFIED\n"
    assert run("verify", "bundle", "b").code == 1


def test_when_content_went_is_recorded_nowhere(shop: Shop):
    """Recorded before the hold, deleted while it stands by an eraser who may delete in the store."""
    tell(shop)
    killed("erase.recorded", *ERASE)
    run("hold", "place", "person:*", "--matter", "M-14", "--reason", "claim").good()
    run(*ERASE).refused(1, "under the legal hold")
    with raw(shop.url) as store:
        store.unprotect()
        store.run("DELETE FROM $content WHERE position = 6")
    found = run("verify", "log", "--all", "-o", "json").good().json
    assert [item["index"] for item in found["withheld"]] == [5]


def test_a_record_that_names_a_key_and_no_entry_passes_a_hold(any_shop: Shop):
    """Nothing but the sealed fields says which entries a data key is for, and the record is about the key only."""
    tell(any_shop)
    run("hold", "place", "deployment:prod/*", "--matter", "M-13", "--reason", "claim").good()
    run(*ERASE).refused(1, "deployment:prod/x is under the legal hold")
    with any_shop.home.open("p-eraser") as ledger:
        keys = any_shop.home.data_keys(ledger.ledgerid)
        (field,) = find_sealed(parse_payload(ledger.recorder.rows(6, 1)[0].payload or b"").data)
        body = {"subject": "person:p-7f3a", "basis": "b", "reason": "r", "data_keys": [field.data_key]}
        ledger.emit("subject.erased", f"ledger:{ledger.ledgerid}", body)
        keys.destroy([field.data_key])
        keys.close()
    assert "erased by p-eraser" in str(run("show", 6, "-o", "json").good().json["sealed"])
    run("verify", "log", "--all").good()


# -- copies ----------------------------------------------------------------------------------------


def test_a_copy_of_the_keys_opens_what_was_erased(shop: Shop):
    tell(shop)
    shutil.copy(".muniment/ledger.keys.db", "kept")
    run(*ERASE).good()
    assert run("show", 3, "-o", "json").good().json["sealed"]["title"].startswith("erased by")
    for path in Path(".muniment").glob("ledger.keys.db*"):
        path.unlink()
    shutil.copy("kept", ".muniment/ledger.keys.db")
    shown = run("show", 3, "-o", "json").good().json
    assert shown["event"]["data"]["title"] == SECRET, "nothing here can destroy a copy"
    run("verify", "log").good()


def test_a_store_whose_note_was_taken_out_goes_on_to_whoever_saw_nothing_since(
    quick_url: str, new_store: Callable[[str], str]
):
    cast, _ = sixteen(quick_url)
    target = new_store("sqlite")
    LedgerCopy(cast.admin, target, Outside(cast.new.trust)).run([cast.new.checkpoint])
    with raw(quick_url) as store:
        store.unprotect()
        store.run("DELETE FROM $successor")
    for url, title in ((quick_url, "here"), (target, "there")):
        with Ledger(open_recorder(url), actor="p-author", signers=[cast.keys["p-author"]],
                    checkpoint_signer=cast.new.checkpoint) as ledger:  # fmt: skip
            ledger.emit("incident.opened", "incident:9", title=title)
            note = ledger.checkpoint()
            assert verify_log(ledger.recorder, cast.new.trust).ok
    seen = Anchor("who saw the other one", cast.new.trust.verify_head(note))
    assert "anchor" in {item.fault for item in verify_log(cast.recorder, cast.new.trust, [seen]).findings}


def test_a_store_that_the_checkpoint_key_sealed_goes_nowhere_and_is_good(quick_url: str, tmp_path: Path):
    """Nobody ever copied it: that shows only to whoever goes and looks for the copy."""
    cast, _ = sixteen(quick_url)
    anchor, head = remembered(cast), cast.recorder.head()
    place = f"sqlite:///{tmp_path / 'nowhere.db'}"
    said = Successor(cast.admin.origin, cast.admin.ledgerid, head.size, head.root(), "ab" * 16, place)
    with raw(quick_url) as store:
        store.run("INSERT INTO $successor VALUES (1, ?, ?)", (place, sign_successor(said, cast.new.checkpoint)))
    found = verify_log(cast.recorder, cast.new.trust, [anchor])
    assert (found.findings, found.size, found.anchored_size) == ([], 16, 16)
    with pytest.raises(ConfigurationError, match="has moved to"):
        cast["p-author"].emit("external.observed", "external:x", system="s")
    with pytest.raises(LedgerError, match="no ledger"):
        open_recorder(place).identity()


def test_a_backup_that_is_opened_by_sql_is_an_old_copy(any_shop: Shop):
    run(*EVENT).good()
    run("backup", "create", "b").good()
    known = run("checkpoint", "show").good().stdout
    with raw(f"sqlite:///{Path('b').resolve()}") as store:
        store.unprotect()
        store.run("UPDATE $log SET format = -format")
    opened = ("--ledger", f"sqlite:///{Path('b').resolve()}")
    run(*opened, "verify", "log").good()
    run(*EVENT).good()
    Path("later").write_bytes(run("checkpoint", "show").good().stdout)
    assert Path("later").read_bytes() != known
    found = run(*opened, "verify", "log", "--expect", "later")
    assert found.code == 1
    assert "anchor" in found.out


def test_an_old_copy_forgets_that_an_admin_was_revoked(any_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What that admin signs in it is good, until somebody comes who remembers more."""
    admin = str(any_shop.home.settings.actor)
    run("actor", "enrol", "p-two", "--kind", "person", "--role", "admin", "--as", "root").good()
    put_back = keep(any_shop, tmp_path / "old")
    run("actor", "revoke", "p-two", "--reason", "left", "--as", "root").good()
    run("actor", "enrol", "p-bob", "--kind", "person", "--role", "emitter", "--as", "p-two").refused(4, "revoked")
    memory = state_folder()
    put_back()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    run("actor", "enrol", "p-bob", "--kind", "person", "--role", "emitter", "--as", "p-two").good()
    run("verify", "log").good()
    monkeypatch.setenv("XDG_STATE_HOME", str(memory.parent))
    assert run("verify", "log").code == 1
    run(*EVENT, "--as", admin).refused(1, "anchor")


def test_a_machine_that_lost_which_restores_its_head_includes_takes_an_old_one_for_a_new_one(
    any_shop: Shop, tmp_path: Path
):
    put_back = keep(any_shop, tmp_path / "old")
    for _ in range(3):
        run(*EVENT).good()
    put_back()
    run("admin", "restored", "--reason", "the disk was lost").good()
    later = keep(any_shop, tmp_path / "later")
    run(*EVENT).good()
    later()
    run("admin", "restore-accept").refused(1, "have not said")
    (settled,) = (state_folder() / "heads").glob("*.restores")
    settled.unlink()
    run("admin", "restore-accept").good()
    run("verify", "log").good()


def test_an_event_of_another_ledger_put_in_by_sql_is_void(quick_url: str):
    cast, _ = sixteen(quick_url)
    payload, _ = build_payload(
        ledgerid="ab" * 16, actor="p-author", type="external.observed", subject="external:x", data={"system": "s"},
        emitter=EMITTER, sequence=1,
    )  # fmt: skip
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(format_envelope(sign_payload(payload, [cast.keys["p-author"]])))
        forger.write()
    found = verify_log(cast.recorder, cast.new.trust)
    assert [(item.fault, item.index) for item in found.findings] == [("header", index)]
