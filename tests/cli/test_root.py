"""Root keys held by several people: proposals are signed on machines of their own and submitted, on either store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.application import Ledger
from ledger.verify import verify_log
from tests.cli.support import ORIGIN, Result, Shop, run

HOLDERS = ("alice", "bob", "carol")


def make_keys(*names: str) -> None:
    for name in names:
        run("root", "new-key", f"{name}.pem").good()


def sign(file: str, *names: str) -> Result:
    """Sign as each of these, the last answer is given back."""
    done = None
    for name in names:
        done = run("root", "sign", file, "--key", f"{name}.pem", "--yes")
    assert done is not None
    return done


def founded(url: str, *holders: str, threshold: int = 2) -> Shop:
    options = [item for name in holders for item in ("--root", f"{name}.pem.pub")]
    where = ("--ledger", url) if url.startswith("postgres") else ()
    run(*where, "init", "--origin", ORIGIN, "--keys", "keys", "--threshold", threshold, *options).good()
    sign("founding.ceremony", *holders).good()
    run("root", "submit", "founding.ceremony").good()
    folder = Path.cwd()
    return Shop(folder, url if where else f"sqlite:///{folder / '.muniment' / 'ledger.db'}")


@pytest.fixture
def urls(request: pytest.FixtureRequest, empty: Path) -> Iterator[str]:
    make_keys(*HOLDERS)
    if request.param == "sqlite":
        yield "sqlite:"
        return
    yield request.getfixturevalue("postgres_url")


both = pytest.mark.parametrize("urls", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def held(empty: Path) -> Shop:
    """A ledger of three root holders, two of whom must sign, on SQLite."""
    make_keys(*HOLDERS)
    return founded("sqlite:", *HOLDERS)


@both
def test_three_holders_found_a_ledger_and_rule_it(urls: str):
    shop = founded(urls, *HOLDERS)
    assert run("verify", "log", "-o", "json").good().json["anchored_size"] == 2
    run("doctor", "--prod").good()
    assert run("root", "submit", "founding.ceremony", "-o", "json").good().json["existing"] is True
    run("root", "propose", "event", "actor.revoked", "actor:nobody", "-d", "reason=x", "--out", "no.ceremony").good()
    sign("no.ceremony", "alice", "bob").good()
    run("root", "submit", "no.ceremony").refused(5, "not enrolled")
    make_keys("dave")
    roots = ["--root", "alice.pem.pub", "--root", "bob.pem.pub", "--root", "dave.pem.pub"]
    run("root", "propose", "roots", *roots, "--threshold", "2", "--reason", "carol has left").good()
    copy = Path("copy.ceremony")
    copy.write_bytes(Path("proposal.ceremony").read_bytes())
    sign("copy.ceremony", "alice").good()
    sign("proposal.ceremony", "bob", "dave").good()
    run("root", "submit", "proposal.ceremony").refused(4, "2 root keys must sign and 1 did")
    run("root", "submit", "proposal.ceremony", "copy.ceremony").good()
    run("root", "propose", "event", "actor.revoked", "actor:nobody", "-d", "reason=x", "--out", "no2.ceremony").good()
    sign("no2.ceremony", "carol").refused(4, "neither one of the 3 root keys")
    with Ledger.open(shop.url if not shop.sqlite else shop.home.url) as ledger:
        found = verify_log(ledger.recorder, shop.home.trust())
        assert found.ok
        assert ledger.ledger_state().threshold == 2


@both
def test_the_checkpoint_key_changes_and_every_machine_follows(urls: str, monkeypatch, tmp_path: Path):
    shop = founded(urls, *HOLDERS)
    old_trust = (shop.folder / ".muniment" / "trust.json").read_bytes()
    Path("old-head").write_bytes(run("checkpoint", "show").good().stdout)
    Path("old-proof").write_bytes(run("proof", "inclusion", "1").good().stdout)
    run("root", "propose", "checkpoint-key", "--reason", "every second year").good()
    sign("proposal.ceremony", "alice", "carol").good()
    run("root", "submit", "proposal.ceremony").good()
    both_signed = run("checkpoint", "show").good()
    assert both_signed.out.count("— ") == 2
    Path("head").write_bytes(both_signed.stdout)
    run("emit", "external.observed", "external:x", "-d", "system=test").good()
    assert run("checkpoint", "show").good().out.count("— ") == 1
    keys = run("checkpoint", "keys", "-o", "json").good().json["keys"]
    assert [key["since"] for key in keys] == [0, 3]
    # A verifier that pins the old key only, and one who has followed.
    for trust, size in ((old_trust, 3), (None, 4)):
        if trust is not None:
            monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
            (shop.folder / ".muniment" / "trust.json").write_bytes(trust)
        done = run("verify", "log", "--all", "--expect", "old-head", "--expect", "head").good()
        assert f"anchored up to size {size}" in done.out
        assert json.loads((shop.folder / ".muniment" / "trust.json").read_text())["since"] == [0, 3]
    run("verify", "event", "1").good()
    run("backup", "create", "x.backup").good()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a third machine"))
    (shop.folder / ".muniment" / "trust.json").write_bytes(old_trust)
    run("backup", "verify", "x.backup", "--expect", "head").good()
    run("backup", "restore", "x.backup", "--to", "sqlite:///restored.db").good()
    assert run("doctor").code == 0


def test_a_head_by_the_replaced_key_is_refused_and_named(held: Shop):
    from ledger.checkpoint import Checkpoint, sign_checkpoint

    old = held.home.keystore(str(held.home.trust().ledgerid)).load("checkpoint")
    run("root", "propose", "checkpoint-key", "--reason", "stolen").good()
    sign("proposal.ceremony", "alice", "bob").good()
    run("root", "submit", "proposal.ceremony").good()
    Path("forged").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), old))
    run("verify", "log", "--expect", "forged").refused(4, "which was replaced at entry 2")


def test_the_old_key_must_be_there_for_one_head_or_be_called_lost(held: Shop):
    (old,) = held.keys.glob("checkpoint.*.pem")
    run("root", "propose", "checkpoint-key", "--reason", "x").good()
    away = old.rename(held.folder / "away.pem")
    sign("proposal.ceremony", "alice", "bob").good()
    run("root", "submit", "proposal.ceremony").good()
    done = run("doctor", "-o", "json")
    (words,) = [check["message"] for check in done.json["checks"] if check["check"] == "checkpoint key"]
    assert "the next head needs" in words
    run("checkpoint", "show").refused(8, "not signed yet")
    away.rename(old)
    assert run("checkpoint", "show").good().out.count("— ") == 2


# -- bad input -----------------------------------------------------------------------------------------


def proposal(held: Shop) -> bytes:
    run("root", "propose", "event", "actor.revoked", f"actor:{held.home.settings.actor}", "-d", "reason=x").good()
    return Path("proposal.ceremony").read_bytes()


def test_what_is_signed_is_shown_and_somebody_must_want_it(held: Shop):
    data = proposal(held)
    done = run("root", "sign", "proposal.ceremony", "--key", "alice.pem")
    assert done.code == 2
    assert "--yes" in done.err
    assert '"reason":"x"' in done.err
    assert Path("proposal.ceremony").read_bytes() == data
    run("root", "sign", "proposal.ceremony", "--key", "alice.pem", "--code", "0000").refused(2, "another one was read")
    code = run("root", "show", "proposal.ceremony", "-o", "json").good().json["code"]
    run("root", "sign", "proposal.ceremony", "--key", "alice.pem", "--code", code).good()
    sign("proposal.ceremony", "alice").refused(5, "has signed this already")


def test_a_proposal_for_another_ledger_goes_nowhere(held: Shop):
    proposal(held)
    sign("proposal.ceremony", "alice", "bob").good()
    trust = (held.folder / ".muniment" / "trust.json").read_bytes()
    other = held.folder / "other"
    other.mkdir()
    run("init", other, "--origin", "ledger.example/other").good()
    run("--ledger", other, "root", "submit", "proposal.ceremony").refused(2, "and this one is ledger.example/other")
    theirs = other / ".muniment" / "trust.json"
    run("root", "sign", "proposal.ceremony", "--key", "carol.pem", "--yes", "--trust", theirs).refused(2, "Do not sign")
    Path("mine.json").write_bytes(trust)
    run("root", "sign", "proposal.ceremony", "--key", "carol.pem", "--yes", "--trust", "mine.json").good()


def test_who_carries_a_proposal_cannot_tell_the_holders_who_is_removed(held: Shop, tmp_path: Path, monkeypatch):
    """The file names the root keys, and nobody signs that: a removed one left out of it would not be shown."""
    make_keys("mallory")
    roots = ["--root", "alice.pem.pub", "--root", "carol.pem.pub", "--root", "mallory.pem.pub"]
    made = run("root", "propose", "roots", *roots, "--threshold", "2", "--reason", "x", "-o", "json").good().json
    data = json.loads(Path("proposal.ceremony").read_bytes())
    data["roots"] = [Path(f"{name}.pem.pub").read_text().strip() for name in ("alice", "carol", "mallory")]
    forged = json.dumps(data, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    Path("forged.ceremony").write_bytes(forged)
    assert "THE LOG SAYS OTHERWISE" in (shown := run("root", "show", "forged.ceremony").good().out)
    assert f"REMOVED {Path('bob.pem.pub').read_text().strip()}" in shown
    sign("forged.ceremony", "alice").refused(5, "stale")
    assert Path("forged.ceremony").read_bytes() == forged
    away = tmp_path / "no ledger here"
    away.mkdir()
    for name in ("alice.pem", "forged.ceremony"):
        Path(name).rename(away / name)
    monkeypatch.chdir(away)
    assert "checked   NOT against the log" in run("root", "show", "forged.ceremony").good().out
    run("root", "sign", "forged.ceremony", "--key", "alice.pem", "--code", made["code"]).refused(2, "another one")


def test_no_secret_goes_round_to_be_signed(held: Shop, monkeypatch):
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    held.enrol("p-x", "emitter")
    revoke = ("root", "propose", "event", "actor.revoked", "actor:p-x", "-d")
    done = run(*revoke, f"reason=leaked {token}").refused(2, "looks like a secret")
    assert token not in done.err
    assert not Path("proposal.ceremony").exists()
    monkeypatch.setenv("MUNIMENT_SECRETS", "off")  # on a machine that does not look
    run(*revoke, f"reason=leaked {token}").good()
    sign("proposal.ceremony", "alice", "bob").good()
    monkeypatch.delenv("MUNIMENT_SECRETS")
    size = held.size()
    done = run("root", "submit", "proposal.ceremony").refused(2, "looks like a secret", "reason")
    assert token not in done.err
    assert held.size() == size
    monkeypatch.setenv("MUNIMENT_SECRETS_ALLOW", "reason")
    run("root", "submit", "proposal.ceremony").good()
    monkeypatch.delenv("MUNIMENT_SECRETS_ALLOW")
    assert run("root", "submit", "proposal.ceremony", "-o", "json").good().json["existing"], "what is recorded stays so"


def test_no_holder_signs_a_secret(held: Shop, monkeypatch):
    """Whoever proposed it looked away; each holder's own machine looks, also where there is no ledger."""
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    held.enrol("p-x", "emitter")
    monkeypatch.setenv("MUNIMENT_SECRETS", "off")
    run("root", "propose", "event", "actor.revoked", "actor:p-x", "-d", f"reason=leaked {token}").good()
    monkeypatch.delenv("MUNIMENT_SECRETS")
    away = held.folder.parent / "a holder's machine"
    away.mkdir()
    for name in ("alice.pem", "proposal.ceremony"):
        shutil.copy(name, away)
    for place in (held.folder, away):
        monkeypatch.chdir(place)
        before = Path("proposal.ceremony").read_bytes()
        done = run("root", "sign", "proposal.ceremony", "--key", "alice.pem", "--yes")
        assert token not in done.refused(2, "looks like a secret", "reason", "MUNIMENT_SECRETS_ALLOW").err
        assert Path("proposal.ceremony").read_bytes() == before
    monkeypatch.setenv("MUNIMENT_SECRETS_ALLOW", "reason")  # it is none, says the holder
    sign("proposal.ceremony", "alice").good()
    monkeypatch.chdir(held.folder)
    monkeypatch.delenv("MUNIMENT_SECRETS_ALLOW")
    settings = Path(".muniment/config.toml")
    settings.write_text(settings.read_text() + 'secrets = "off"\n')  # the ledger's own setting, where it is
    sign("proposal.ceremony", "bob").good()


def test_a_holder_elsewhere_is_not_bound_by_the_settings_of_another_ledger(held: Shop, monkeypatch):
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    held.enrol("p-x", "emitter")
    monkeypatch.setenv("MUNIMENT_SECRETS", "off")
    run("root", "propose", "event", "actor.revoked", "actor:p-x", "-d", f"reason=leaked {token}").good()
    monkeypatch.delenv("MUNIMENT_SECRETS")
    other = held.folder.parent / "other"
    other.mkdir()
    for name in ("alice.pem", "proposal.ceremony"):
        shutil.copy(name, other)
    monkeypatch.chdir(other)
    run("init", "--origin", "ledger.example/other").good()
    settings = Path(".muniment/config.toml")
    settings.write_text(settings.read_text() + 'secrets = "off"\n')
    run("root", "sign", "proposal.ceremony", "--key", "alice.pem", "--yes").refused(2, "looks like a secret")


def test_a_stale_proposal_is_refused(held: Shop):
    proposal(held)
    sign("proposal.ceremony", "alice", "bob").good()
    roots = ["--root", "alice.pem.pub", "--root", "bob.pem.pub"]
    run("root", "propose", "roots", *roots, "--threshold", "2", "--reason", "x", "--out", "r.ceremony").good()
    sign("r.ceremony", "alice", "carol").good()
    run("root", "submit", "r.ceremony").good()
    run("root", "submit", "proposal.ceremony").refused(5, "stale")
    run("root", "submit", "r.ceremony").good()  # again repeats nothing


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda data: data[:-20], 2, "ceremony file"),
        (lambda data: b"x" * 300_000, 2, "at most"),
        (lambda data: data.replace(b'"threshold":2', b'"threshold":1'), 5, "stale"),
        (lambda data: b"", 2, "ceremony file"),
    ],
    ids=["cut", "large", "threshold", "empty"],
)
def test_a_damaged_file_is_refused(held: Shop, change: Any, code: int, words: str):
    proposal(held)
    sign("proposal.ceremony", "alice").good()
    file = Path("proposal.ceremony")
    file.write_bytes(change(file.read_bytes()))
    size = held.size()
    run("root", "submit", "proposal.ceremony").refused(code, words)
    assert held.size() == size


def test_files_are_not_overwritten_and_private_keys_not_taken_for_public_ones(held: Shop):
    proposal(held)
    again = ("root", "propose", "event", "actor.revoked", "actor:x", "-d", "reason=x")
    run(*again).refused(8, "already exists")
    before = {path.name for path in held.keys.iterdir()}
    run("root", "propose", "checkpoint-key", "--reason", "x").refused(8, "already exists")
    assert {path.name for path in held.keys.iterdir()} == before, "no key is left behind"
    run("root", "new-key", "alice.pem").refused(8, "cannot be written")
    run("root", "propose", "roots", "--root", "alice.pem", "--threshold", "1", "--reason", "x").refused(
        2, "PRIVATE key"
    )
    Path("empty.pub").write_text("hello\n")
    run("root", "propose", "roots", "--root", "empty.pub", "--threshold", "1", "--reason", "x").refused(2, "ed25519:")


def test_a_key_file_others_can_read_signs_nothing(held: Shop):
    proposal(held)
    Path("alice.pem").chmod(0o644)
    sign("proposal.ceremony", "alice").refused(8, "can be read by others")


def test_init_asks_for_roots_and_threshold_together_and_cleans_up(empty: Path):
    make_keys("alice", "bob")
    twice = ("--root", "alice.pem.pub", "--root", "alice.pem.pub")
    for options, code in (
        (("--root", "alice.pem.pub"), 2),
        (("--threshold", "2"), 2),
        ((*twice, "--threshold", "2"), 2),
        (("--root", "alice.pem.pub", "--threshold", "2"), 2),
    ):
        assert run("init", "--origin", ORIGIN, *options).code == code
        assert not (empty / ".muniment").exists()
        assert not (empty / "founding.ceremony").exists()


def test_one_root_key_alone_is_a_warning_and_in_production_a_failure(shop: Shop):
    found = run("doctor", "-o", "json").good().json["checks"]
    states = {check["check"]: check["state"] for check in found}
    assert (states["roots"], states["root key"]) == ("warning", "warning")
    done = run("doctor", "--prod", "-o", "json")
    states = {check["check"]: check["state"] for check in done.json["checks"]}
    assert (done.code, states["roots"], states["root key"]) == (1, "bad", "bad")


def test_init_warns_of_a_single_root_key(empty: Path):
    assert "one root key alone rules this ledger" in run("init", "--origin", ORIGIN).good().err


def test_from_one_root_key_to_several(shop: Shop):
    make_keys(*HOLDERS)
    (first,) = shop.keys.glob("root.*.pem")
    roots = [item for name in HOLDERS for item in ("--root", f"{name}.pem.pub")]
    run("root", "propose", "roots", *roots, "--threshold", "2", "--reason", "production").good()
    sign("proposal.ceremony", *HOLDERS).good()
    run("root", "submit", "proposal.ceremony").refused(4, "1 root keys must sign and 0 did")
    run("root", "sign", "proposal.ceremony", "--key", first, "--yes").good()
    run("root", "submit", "proposal.ceremony").good()
    first.unlink()
    run("doctor", "--prod").good()
