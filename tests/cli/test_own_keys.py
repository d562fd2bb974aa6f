"""People who bring keys of their own, and what is refused about it; drills of what happens to keys."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.custody import propose, write_ceremony
from ledger.keys import Ed25519Signer, format_public_key
from ledger.screen import Screening
from tests.cli.support import ORIGIN, Shop, run
from tests.cli.test_root import HOLDERS, founded, make_keys, sign


def request(shop: Shop, *options: object, by: str | None = None) -> str:
    """Ask for a key to be enrolled; the actor's id is given back."""
    author = by or str(shop.home.settings.actor)
    made = run("key", "request", *options, "--by", author, "-o", "json").good().json
    assert Path(made["private_key"]).stat().st_mode & 0o777 == 0o600
    return str(made["actor"])


def test_a_person_is_enrolled_with_a_key_that_nobody_else_saw(any_shop: Shop):
    """The person's machine has nothing but trust.json."""
    trust = (any_shop.folder / ".muniment" / "trust.json").read_bytes()
    admin = str(any_shop.home.settings.actor)
    (any_shop.folder / "trust.json").write_bytes(trust)
    hidden = (any_shop.folder / ".muniment").rename(any_shop.folder / "away")
    made = run("key", "request", "--by", admin, "--role", "approver", "--trust", "trust.json", "-o", "json").good()
    hidden.rename(any_shop.folder / ".muniment")
    private = Path(made.json["private_key"])
    assert made.json["key"] not in private.read_text()
    assert any_shop.keys not in private.parents
    file = Path("key.request").read_bytes()
    assert b"PRIVATE" not in file
    shown = run("actor", "enrol", "--request", "key.request", "--code", made.json["code"], "--display", "Anna").good()
    assert "in the roles approver" in shown.err
    assert not list(any_shop.keys.glob(f"{made.json['actor']}.*")), "it is not on the admin's machine"
    shutil.move(private, any_shop.keys / private.name)
    run("incident", "open", "incident:1", "--title", "x", "--as", made.json["actor"]).good()
    run("verify", "log").good()


def test_the_codes_of_a_request_and_of_its_proposal_are_told_apart(shop: Shop):
    """One is for who made the request, the other for the holders; neither is taken for the other."""
    made = run("key", "request", "--by", "root", "--role", "admin", "--trust", ".muniment/trust.json").good()
    code = made.out.rpartition("; code ")[2].strip()
    assert "muniment root propose request key.request --code CODE" in made.err
    assert "The proposal names the root keys too, so it has another code" in made.err
    wrong = " ".join(["0000"] * 8)
    run("root", "propose", "request", "key.request", "--code", wrong).refused(2, "another one was read out")
    assert not Path("proposal.ceremony").exists()
    unchecked = run("root", "propose", "request", "key.request", "--out", "a.ceremony").good()
    assert f"Compare the code of the request, {code}, with whoever made it" in unchecked.err
    done = run("root", "propose", "request", "key.request", "--code", code, "-o", "json").good()
    assert (done.json["request_code"], "Compare the code" in done.err) == (code, False)
    proposal = done.json["code"]
    assert proposal != code
    assert f"has another code, {proposal}: read that to the holders" in done.err
    assert f"request   had the code {code}" in run("root", "show", "proposal.ceremony").good().out
    key = next(shop.keys.glob("root.*"))
    sign = ("root", "sign", "proposal.ceremony", "--key", key, "--code")
    run(*sign, code).refused(2, "that is the code of the request", proposal)
    run(*sign, wrong).refused(2, "another one was read out")
    run(*sign, proposal).good()


def test_a_request_is_signed_by_whom_it_asks_and_for_what_it_says(shop: Shop):
    admin = str(shop.home.settings.actor)
    actor = request(shop, "--role", "approver")
    file = Path("key.request")
    data = file.read_bytes()
    assert run("actor", "enrol", "--request", "key.request").code == 2, "nobody wanted it"
    run("actor", "enrol", "--request", "key.request", "--yes", "--as", "root").refused(4, "you are 'root'")
    run("key", "enrol", "--request", "key.request", "--yes").refused(2, "is not signed this way")
    run("root", "propose", "request", "key.request").refused(2, "not the root keys")
    assert run("actor", "enrol", "x", "--request", "key.request", "--yes").code == 2
    file.write_bytes(data.replace(b'"signatures":[{', b'"signatures":[],"x":[{'))
    run("actor", "enrol", "--request", "key.request", "--yes").refused(2)
    body = json.loads(data)
    body["events"][0]["signatures"] = []
    file.write_bytes(json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    run("actor", "enrol", "--request", "key.request", "--yes").refused(4, "must sign too")
    file.write_bytes(data)
    run("actor", "enrol", "--request", "key.request", "--yes").good()
    file.unlink()
    request(shop, actor, "--further")
    run("actor", "enrol", "--request", "key.request", "--yes").refused(2, "is not signed this way")
    run("key", "enrol", "--request", "key.request", "--yes").good()
    file.unlink()
    request(shop, admin, "--further")
    run("key", "enrol", "--request", "key.request", "--yes").refused(4, "root keys")
    file.unlink()
    request(shop, "--role", "admin")
    run("actor", "enrol", "--request", "key.request", "--yes").refused(4, "only the root keys may enrol an admin")


def test_a_request_for_another_ledger_is_refused(shop: Shop):
    (shop.folder / "other").mkdir()
    run("init", "other", "--origin", "ledger.example/other").good()
    request(shop, "--role", "approver")
    run("--ledger", "other", "actor", "enrol", "--request", "key.request", "--yes").refused(
        2, "for the ledger " + ORIGIN
    )


def test_a_request_with_a_secret_is_not_countersigned(shop: Shop):
    token, new = (
        "-".join(("xoxb", "123456789012", "210987654321", "a1b2c3d4e5f6a7b8c9d0e1f2")),
        Ed25519Signer.generate(),
    )
    trust = shop.home.trust()
    assert trust is not None
    body = {"kind": "person", "roles": ["approver"], "key": format_public_key(new.public)}
    event, author = ("actor.enrolled", f"actor:{token}", body), str(shop.home.settings.actor)
    asked = propose(trust.ledgerid, trust.origin, [event], author=author, screening=Screening("off")).sign(new)
    write_ceremony(Path("key.request"), asked, new=True)
    size = shop.size()
    run("actor", "enrol", "--request", "key.request", "--yes").refused(2, "looks like a secret")
    assert shop.size() == size


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--further",),
        ("p-a", "--further", "--role", "approver"),
        ("--kind", "service", "--role", "emitter"),
        ("--role", "king"),
        ("--role", "approver", "--responsible", "p-x"),
        ("--role", "approver", "--trust", "nowhere.json"),
    ],
)
def test_a_request_that_makes_no_sense_leaves_no_key_behind(shop: Shop, options: tuple[str, ...]):
    before = sorted(shop.keys.iterdir())
    assert run("key", "request", "--by", "p-x", *options).code == 2
    assert sorted(shop.keys.iterdir()) == before
    assert not Path("key.request").exists()


# -- drills --------------------------------------------------------------------------------------------


@pytest.fixture
def held(empty: Path) -> Shop:
    make_keys(*HOLDERS)
    return founded("sqlite:", *HOLDERS)


def rule(*arguments: str, by: tuple[str, ...] = ("alice", "bob")) -> None:
    """Propose, let holders sign, submit."""
    run("root", "propose", *arguments, "--out", "drill.ceremony").good()
    sign("drill.ceremony", *by).good()
    run("root", "submit", "drill.ceremony").good()
    Path("drill.ceremony").unlink()


def keys_of(shop: Shop, actor: str) -> list[str]:
    rows = run("key", "list", "-o", "json").good().json["keys"]
    return [row["keyid"] for row in rows if row["actor"] == actor and row["revoked"] is None]


def test_drill_the_last_admin_lost_the_key(held: Shop):
    admin = str(held.home.settings.actor)
    (old,) = keys_of(held, admin)
    for path in held.keys.glob(f"{admin}.*"):
        path.unlink()
    run("emit", "external.observed", "external:x", "-d", "system=x").refused(8, "no private key")
    request(held, admin, "--further", by="root")
    rule("request", "key.request")
    rule("event", "key.revoked", f"actor:{admin}", "-d", f"keyid={old}", "-d", "reason=lost")
    run("emit", "external.observed", "external:x", "-d", "system=x").good()
    assert old not in keys_of(held, admin)
    run("verify", "log", "--all").good()


def test_drill_an_admin_is_enrolled_and_another_revoked(held: Shop):
    first = str(held.home.settings.actor)
    second = request(held, "--role", "admin", "--role", "emitter", by="root")
    rule("request", "key.request")
    rule("event", "actor.revoked", f"actor:{first}", "-d", "reason=has left", by=("bob", "carol"))
    run("emit", "external.observed", "external:x", "-d", "system=x").refused(4, "was revoked")
    run("emit", "external.observed", "external:x", "-d", "system=x", "--as", second).good()
    run("verify", "log").good()


def test_drill_a_root_key_is_lost_and_the_others_go_on(held: Shop):
    Path("carol.pem").unlink()
    make_keys("dave")
    roots = [item for name in ("alice", "bob", "dave") for item in ("--root", f"{name}.pem.pub")]
    rule("roots", *roots, "--threshold", "2", "--reason", "carol lost hers", by=("alice", "bob", "dave"))
    person = request(held, "--role", "admin", by="root")
    rule("request", "key.request", by=("alice", "dave"))
    run("emit", "external.observed", "external:x", "-d", "system=x", "--as", person).refused(4, "needs the role")
    run("verify", "log").good()
    run("doctor", "--prod").good()


def test_drill_too_many_root_keys_are_lost(held: Shop):
    run("root", "propose", "event", "actor.revoked", "actor:x", "-d", "reason=x").good()
    sign("proposal.ceremony", "alice").good()
    run("root", "submit", "proposal.ceremony").refused(4, "2 root keys must sign and 1 did")
    run("emit", "external.observed", "external:x", "-d", "system=x").good()


def test_drill_the_checkpoint_key_is_stolen(held: Shop):
    """The thief signs a head of the log's next size; whoever followed the change refuses it."""
    trust = held.home.trust()
    assert trust is not None
    stolen = held.home.keystore(trust.ledgerid).load("checkpoint")
    run("emit", "external.observed", "external:x", "-d", "system=x").good()
    rule("checkpoint-key", "--reason", "stolen")
    run("verify", "log").good()
    run("emit", "external.observed", "external:y", "-d", "system=x").good()
    Path("forged").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, held.size(), bytes(32)), stolen))
    run("verify", "log", "--expect", "forged").refused(4, "which was replaced at entry 3")
    held.unprotected(f"UPDATE checkpoint SET note = x'{Path('forged').read_bytes().hex()}' WHERE size = {held.size()}")
    done = run("verify", "log", "-o", "json")
    assert done.code == 1
    assert any("which was replaced at entry 3" in finding["message"] for finding in done.json["findings"])


def test_drill_an_actors_key_is_stolen(held: Shop):
    actor = request(held, "--role", "emitter")
    run("actor", "enrol", "--request", "key.request", "--yes").good()
    Path("key.request").unlink()
    event = ("emit", "external.observed", "external:x", "-d", "system=x", "--as", actor)
    run(*event).good()
    (stolen,) = keys_of(held, actor)
    run("key", "revoke", stolen, "--reason", "laptop stolen").good()
    run(*event).refused(4, "was revoked")
    request(held, actor, "--further")
    run("key", "enrol", "--request", "key.request", "--yes").good()
    run(*event).good()
    run("verify", "log").good()


def test_drill_a_passphrase_is_forgotten(held: Shop, monkeypatch):
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "correct horse canary")
    actor = request(held, "--role", "emitter", "--encrypt")
    run("actor", "enrol", "--request", "key.request", "--yes").good()
    Path("key.request").unlink()
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "what was it")
    event = ("emit", "external.observed", "external:x", "-d", "system=x", "--as", actor)
    failed = run(*event).refused(8, "wrong passphrase")
    assert "what was it" not in failed.err
    (old,) = keys_of(held, actor)
    request(held, actor, "--further", "--encrypt")
    run("key", "enrol", "--request", "key.request", "--yes").good()
    run("key", "revoke", old, "--reason", "passphrase forgotten").good()
    run(*event).good()
    run("verify", "log").good()


def test_drill_the_hsm_with_the_checkpoint_key_is_dead(held: Shop, monkeypatch, tmp_path: Path):
    for path in held.keys.glob("checkpoint.*"):
        path.unlink()
    old = (held.folder / ".muniment" / "trust.json").read_bytes()
    run("emit", "external.observed", "external:x", "-d", "system=x").good()
    run("checkpoint", "show").refused(8, "not signed yet")
    rule("checkpoint-key", "--lost", "--reason", "the HSM is dead")
    assert run("checkpoint", "show").good().out.count("— ") == 1
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    (held.folder / ".muniment" / "trust.json").write_bytes(old)
    run("verify", "log", "--all").good()
    assert json.loads((held.folder / ".muniment" / "trust.json").read_text())["since"] == [0, 4]
