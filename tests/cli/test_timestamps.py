"""Timestamps over signed heads, by an authority of our own: what is asked for, kept, checked and said."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.config import state_folder
from tests.cli.refusing import EVENT, cut_tail
from tests.cli.support import Shop, run
from tests.contract.bundles import lines_of, written
from tests.contract.support import raw
from tests.tsa import Authority, serve


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "good")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "stranger")


def stamped(shop: Shop, authority: Authority) -> None:
    with serve(authority) as url:
        run("checkpoint", "timestamp", "--tsa", url, "--tsa-certs", authority.roots).good()


def stamped_a_day_ahead(shop: Shop, authority: Authority) -> None:
    """A pinned authority stamps a head over an entry that the store says was recorded a day later."""
    run(*EVENT).good()
    pin(authority)
    with shop.home.open() as ledger:
        now = ledger.recorder.now
        ledger.recorder.now = lambda: now() + 86_400_000_000  # type: ignore[method-assign]
        ledger.emit("dataset.registered", "dataset:tx", digest="sha256:" + "ab" * 32)
    stamped(shop, authority)


def pin(authority: Authority) -> None:
    shutil.copy(authority.roots, ".muniment/tsa-roots.pem")


def forget() -> None:
    """As an auditor on a new machine."""
    shutil.rmtree(state_folder() / "heads")


def test_a_head_is_timestamped_and_anchors_the_log_up_to_it(any_shop: Shop, authority: Authority):
    run(*EVENT).good()
    pin(authority)
    with serve(authority) as url:
        made = run("checkpoint", "timestamp", "--tsa", url, "-o", "json").good().json
        assert (made["size"], made["authority"], made["new"]) == (3, "CN=Test Authority", True)
        assert run("checkpoint", "timestamp", "--tsa", url, "-o", "json").good().json["serial"] != made["serial"]
    with raw(any_shop.url) as store:
        assert store.run("SELECT kind, issuer FROM $attestation") == [("rfc3161", "CN=Test Authority")] * 2
    run(*EVENT).good()
    forget()
    found = run("verify", "log", "--no-remember", "-o", "json").good().json
    assert (found["anchored_size"], found["unanchored_from"]) == (3, 3)
    assert found["anchored_by"].startswith("the timestamp authority CN=Test Authority at 20")
    assert found["timestamps"] == {
        "verified": 2, "size": 3, "authority": "CN=Test Authority", "time": found["timestamps"]["time"],
        "not_verified": 0,
    }  # fmt: skip
    text = run("verify", "log", "--no-remember").good().out
    assert "timestamped up to size 3 by CN=Test Authority at 20" in text
    assert "UNANCHORED: entry 3" in text


def test_openssl_accepts_what_is_stored(any_shop: Shop, authority: Authority, stranger: Authority):
    run(*EVENT).good()
    stamped(any_shop, authority)
    run("checkpoint", "show", "--export", "out").good()
    token, head = Path("out/checkpoint.1.tsr"), Path("out/checkpoint")
    assert authority.accepts(token, head)
    assert not stranger.accepts(token, head)
    Path("other").write_bytes(head.read_bytes() + b"x")
    assert not authority.accepts(token, Path("other"))


def test_an_authority_nobody_trusts_here_counts_for_nothing(any_shop: Shop, authority: Authority, stranger: Authority):
    run(*EVENT).good()
    stamped(any_shop, authority)
    forget()
    for certs in ((), ("--tsa-certs", stranger.roots)):
        found = run("verify", "log", "--no-remember", *certs)
        assert found.code == 0
        assert "1 timestamp(s) not verified and not counted, the first over size 3" in found.out
        assert "UNANCHORED: entries 0 to 2" in found.out
        data = run("verify", "log", "--no-remember", *certs, "-o", "json").good().json
        assert (data["anchored_size"], data["timestamps"]["not_verified"]) == (0, 1)


SPOILT = {
    "other": (1, "answers another request"), "cut": (1, "no timestamp"), "garbage": (1, "no timestamp"),
    "type": (6, "text/html"), "large": (6, "more than"), "404": (6, "404"), "stranger": (1, "no trusted authority"),
    "usage": (6, "gave no timestamp"), "expired": (1, "no trusted authority"), "down": (6, ""),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_is_no_good_answer_is_not_stored(
    shop: Shop, authority: Authority, stranger: Authority, tmp_path: Path, spoil: str
):
    code, words = SPOILT[spoil]
    run(*EVENT).good()
    pin(authority)
    who = stranger if spoil == "stranger" else authority
    if spoil == "usage":
        who = Authority(tmp_path / "usage", usage="critical,serverAuth")
        shutil.copy(who.roots, ".muniment/tsa-roots.pem")
    if spoil == "expired":
        who = Authority(tmp_path / "expired", days=0)
        shutil.copy(who.roots, ".muniment/tsa-roots.pem")
    with serve(who, status=404 if spoil == "404" else 200, spoil=spoil) as url:
        if spoil == "other":
            run("checkpoint", "timestamp", "--tsa", url).good()  # the first answer is right
        # `usage`: openssl refuses to sign with such a certificate at all, so nothing comes.
        if spoil != "down":
            error = run("checkpoint", "timestamp", "--tsa", url).refused(code, url, words).err
            # It is the authority's fault, and nothing that a verification of the store would tell.
            assert "verify log" not in error
            assert "doctor" not in error
            assert code != 1 or "Nothing was stored" in error
    if spoil == "down":
        run("checkpoint", "timestamp", "--tsa", url).refused(code, words)
    with raw(shop.url) as store:
        assert store.run("SELECT count(*) FROM $attestation") == [(1 if spoil == "other" else 0,)]


def test_wrong_options_are_said(shop: Shop, authority: Authority):
    run("checkpoint", "timestamp", "--tsa", "http://127.0.0.1:1/").refused(8, "--tsa-certs FILE")
    run("checkpoint", "timestamp", "--tsa", "ftp://x", "--tsa-certs", authority.roots).refused(8, "URL")
    Path("bad.pem").write_text("nonsense")
    run("checkpoint", "timestamp", "--tsa", "http://127.0.0.1:1/", "--tsa-certs", "bad.pem").refused(7, "bad.pem")
    pin(authority)
    Path(".muniment/tsa-roots.pem").chmod(0o666)
    run("verify", "log").refused(7, "tsa-roots.pem")


def test_an_altered_timestamp_or_one_over_another_head_is_a_finding(any_shop: Shop, authority: Authority):
    run(*EVENT).good()
    pin(authority)
    stamped(any_shop, authority)
    with raw(any_shop.url) as store:
        store.unprotect()
        ((body,),) = store.run("SELECT body FROM $attestation")
        body = bytes(body)
        store.run("UPDATE $attestation SET body = ?", (body[:100],))
        assert [item["fault"] for item in run("verify", "log", "-o", "json").json["findings"]] == ["anchor"]
        store.run("UPDATE $attestation SET body = ?, size = 2", (body,))
        found = run("verify", "log", "-o", "json")
        assert (found.code, [item["fault"] for item in found.json["findings"]]) == (1, ["anchor"])
        assert "not over this signed head" in found.json["findings"][0]["message"]
        flipped = body[:-5] + bytes([body[-5] ^ 1]) + body[-4:]
        store.run("UPDATE $attestation SET body = ?, size = 3", (flipped,))
        data = run("verify", "log", "-o", "json").good().json
        assert (data["timestamps"]["verified"], data["timestamps"]["not_verified"]) == (0, 1)


def test_a_log_rewritten_below_a_timestamp_is_found(any_shop: Shop, authority: Authority):
    """The operator rewrites the tail with all keys, but the token stays."""
    for _ in range(3):
        run(*EVENT).good()
    pin(authority)
    stamped(any_shop, authority)
    with raw(any_shop.url) as store:
        notes = store.run("SELECT size, note FROM $checkpoint WHERE size > 3")
        tokens = store.run("SELECT number, size, kind, issuer, body, recorded_at FROM $attestation")
    cut_tail(any_shop, 3)
    forget()
    for number in range(2):
        run(*EVENT, "-d", f"name=other-{number}").good()
    forget()
    found = run("verify", "log", "--no-remember", "-o", "json")
    assert found.code == 1, "the token is over a head that the store no longer has"
    assert notes[-1][0] == tokens[0][1] == 5
    with raw(any_shop.url) as store:  # and the old head put back where it was
        store.unprotect()
        store.run("UPDATE $checkpoint SET note = ? WHERE size = 5", (bytes(notes[-1][1]),))
    found = run("verify", "log", "--no-remember", "-o", "json")
    assert found.code == 1
    assert "anchor" in {item["fault"] for item in found.json["findings"]}
    assert "the timestamp authority" in str(found.json["findings"])


def test_an_entry_recorded_after_it_was_seen_is_a_finding(shop: Shop, authority: Authority):
    """A store whose clock ran a day ahead: what it says of its times cannot be."""
    stamped_a_day_ahead(shop, authority)
    found = run("verify", "log", "-o", "json")
    assert found.code == 1
    assert [(item["fault"], item["index"]) for item in found.json["findings"]] == [("anchor", 3)]
    assert "had seen a head over it already" in found.json["findings"][0]["message"]


def test_the_first_entry_that_is_too_late_is_named(
    any_shop: Shop, authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    """The same with the authority's time moved back instead, to just before each entry in turn."""
    from ledger import timestamps

    for _ in range(4):
        run(*EVENT).good()
    pin(authority)
    stamped(any_shop, authority)
    with raw(any_shop.url) as store:
        times = [time for (time,) in store.run("SELECT recorded_at FROM $entry ORDER BY position")]
    real = timestamps.verify_stamp
    for index, time in enumerate(times):
        moved = time - timestamps.CLOCK_SLACK - 1

        def earlier(*arguments: Any, moved: int = moved, **options: Any) -> timestamps.Stamp:
            return replace(real(*arguments, **options), time=moved, accuracy=0)

        monkeypatch.setattr(timestamps, "verify_stamp", earlier)
        findings = run("verify", "log", "--all", "-o", "json").json["findings"]
        assert [(item["fault"], item["index"]) for item in findings] == [("anchor", index)]


def test_timestamps_in_a_bundle_are_checked_with_certificates_from_outside(
    any_shop: Shop, authority: Authority, stranger: Authority
):
    run(*EVENT).good()
    stamped(any_shop, authority)
    run("export", "bundle", "--all", "b").good()
    vkey = run("checkpoint", "show", "--vkey").good().out.strip()
    plain = run("verify", "bundle", "b", "--vkey", vkey, "-o", "json").good().json
    assert {gap["kind"] for gap in plain["not_verified"]} >= {"attestations", "unanchored"}
    found = run("verify", "bundle", "b", "--tsa-certs", authority.roots, "-o", "json").good().json
    assert found["anchored_by"][0].startswith("the timestamp authority CN=Test Authority at 20")
    assert (found["timestamps"]["verified"], found["timestamps"]["size"]) == (1, found["size"])
    assert not {gap["kind"] for gap in found["not_verified"]} & {"attestations", "unanchored"}
    other = run("verify", "bundle", "b", "--tsa-certs", stranger.roots, "-o", "json").good().json
    assert (other["anchored_by"], other["timestamps"]["not_verified"]) == ([], 1)
    assert {gap["kind"] for gap in other["not_verified"]} >= {"attestations", "unanchored"}
    run(*EVENT).good()
    run("export", "bundle", "--all", "later").good()
    lines = lines_of(Path("later").read_bytes())
    said = {**lines_of(Path("b").read_bytes())[1], "size": found["size"] + 1}
    Path("later").write_bytes(written([lines[0], said, *lines[1:]]))
    moved = run("verify", "bundle", "later", "--tsa-certs", authority.roots, "-o", "json")
    assert (moved.code, moved.json["findings"][0]["fault"]) == (1, "anchor")
