"""The attacks of the TUF specification, on who reads a log that comes from elsewhere.

`docs/THREATS.md` section 6 says what each of them is here; `threats.py` names the tests, which are here as far as no
other test shows it already.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest

from ledger.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from ledger.config import state_folder
from ledger.cosignature import add_lines, format_cosignature
from ledger.keys import Ed25519Signer
from ledger.note import format_vkey
from tests.cli.conftest import stores_closed
from tests.cli.refusing import EVENT, cut_tail
from tests.cli.support import Shop, run
from tests.cli.test_pinned import fork
from tests.cli.test_timestamps import pin, stamped
from tests.contract.support import raw
from tests.contract.test_witnessed import KEYS, VKEYS
from tests.tsa import Authority
from tests.witness.support import Log, made

__all__ = ["stores_closed"]

DAY = 86_400


def witnessed_at(shop: Shop, moment: int, who: int = 0) -> bytes:
    """The last head cosigned at a moment, in the store, and the policy beside trust.json; the cosigned note."""
    note = run("checkpoint", "show").good().stdout
    text = note.partition(b"\n\n")[0].decode() + "\n"
    line = cosign_checkpoint(text, KEYS[who], VKEYS[who].name, moment)
    size = int(text.split("\n")[1])
    with raw(shop.url) as store:
        row = (10 * moment + who, size, format_vkey(VKEYS[who]), format_cosignature(line))
        store.run("INSERT INTO $attestation VALUES (?, ?, 'cosignature', ?, ?, 0)", row)
    Path(".muniment/witness-policy").write_text(f"witness w0 {format_vkey(VKEYS[0])}\nquorum w0\n")
    return add_lines(note, [line])


# -- indefinite freeze -----------------------------------------------------------------------------


def test_a_log_that_nobody_spoke_of_lately_is_not_called_verified(any_shop: Shop):
    """An old copy, everything in it good: only the time of somebody else's word tells."""
    run(*EVENT).good()
    found = run("verify", "log", "--max-age", "1d")
    assert found.code == 3
    assert "STALE: no witness of the policy" in found.out
    now = int(time.time())
    old = witnessed_at(any_shop, now - 2 * DAY)
    run("verify", "log").good()  # nobody asked how old
    found = run("verify", "log", "--max-age", "1d", "-o", "json")
    assert (found.code, found.json["verdict"], found.json["findings"]) == (3, "unverified", [])
    assert "the witness w0 was the last to say anything of this log, 1728" in found.out
    run("verify", "log", "--max-age", "49h").good()
    witnessed_at(any_shop, now - DAY, who=1)  # whom no policy names
    assert run("verify", "log", "--max-age", "30h").code == 3
    witnessed_at(any_shop, now + DAY)  # a clock that is ahead keeps nothing fresh
    assert run("verify", "log", "--max-age", "30h").code == 3
    Path("old").write_bytes(old)
    run("verify", "checkpoint", "old", "--max-age", "49h").good()
    found = run("verify", "checkpoint", "old", "--max-age", "47h")
    assert found.code == 3
    assert "STALE: the witness w0" in found.out


def test_a_witness_that_cosigns_the_same_head_again_keeps_it_fresh(any_shop: Shop):
    run(*EVENT).good()
    now = int(time.time())
    for moment in (now - 3 * DAY, now - 60, now - 2 * DAY):
        note = witnessed_at(any_shop, moment)
    run("verify", "log", "--max-age", "1h").good()
    size = note.split(b"\n")[1].decode()
    run("verify", "checkpoint", size, "--max-age", "1h").good()
    run("export", "bundle", "--all", "b").good()
    run("verify", "bundle", "b", "--max-age", "1h").good()
    Path(".muniment/witness-policy").write_text(f"witness w1 {format_vkey(VKEYS[1])}\nquorum w1\n")
    found = run("verify", "bundle", "b", "--max-age", "1h")
    assert found.code == 3
    assert "nobody vouched for it recently enough" in found.out
    run("verify", "log", "--max-age", "1h", "--level", "hash").refused(2, "--max-age")
    for text in ("", "1", "h", "1w", "-1h", "1.5h"):
        assert run("verify", "log", "--max-age", text).code == 2


def test_a_timestamp_of_a_trusted_authority_keeps_a_log_fresh_too(any_shop: Shop, authority: Authority):
    stamped(any_shop, authority)
    run("verify", "log", "--max-age", "1h", "--tsa-certs", authority.roots).good()
    assert run("verify", "log", "--max-age", "1h").code == 3


def test_an_old_copy_that_somebody_has_timestamped_today_is_fresh(any_shop: Shop, authority: Authority):
    """Freshness is of somebody's word about a head, and whoever holds an old copy may ask for one."""
    for _ in range(2):
        run(*EVENT).good()
    cut_tail(any_shop, 3)
    shutil.rmtree(state_folder())
    pin(authority)
    assert run("verify", "log", "--max-age", "1h").code == 3
    stamped(any_shop, authority)
    found = run("verify", "log", "--max-age", "1h", "-o", "json").good().json
    assert (found["size"], found["anchored_size"]) == (3, 3)


# -- endless data ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("verify", "bundle"), ("verify", "evidence"), ("verify", "checkpoint")])
def test_what_never_ends_is_cut_off(shop: Shop, command: tuple[str, ...]):
    assert run(*command, "/dev/zero").code in (1, 2)


# -- fast-forward ----------------------------------------------------------------------------------


def test_a_head_of_a_huge_size_moves_nobody_forward(any_shop: Shop):
    """Signed by the thief of the checkpoint key: it is refused, and the true log is still taken afterwards."""
    run(*EVENT).good()
    (path,) = Path().rglob("checkpoint.*.pem")
    key = Ed25519Signer.from_pem(path.read_bytes(), None)
    huge = sign_checkpoint(Checkpoint("ledger.example/cli", 2**62, bytes(32)), key)
    Path("huge").write_bytes(huge)
    known = any_shop.home.recall()
    for command in (("verify", "log", "--expect", "huge"), ("verify", "log", "--anchor", "huge"),
                    ("verify", "checkpoint", "huge"), ("checkpoint", "publish", "huge")):  # fmt: skip
        found = run(*command)
        assert found.code == 1, command
        assert "the log shrank" in found.out + found.err, command
    assert any_shop.home.recall() == known
    assert Path("huge").read_bytes() == huge
    run(*EVENT).good()
    run("verify", "log").good()


def test_a_witness_that_was_led_on_refuses_the_true_log_from_then_on(tmp_path: Path):
    """The thief of the checkpoint key shows it a made-up log that goes on from what it has seen."""
    true, made_up = Log(), Log(fork_at=10)
    with closing(made(tmp_path / "w", true)) as witness:
        assert witness.add_checkpoint(true.request(0, 10)).status == 200
        assert witness.add_checkpoint(made_up.request(10, 300)).status == 200
        assert witness.add_checkpoint(true.request(10, 12)).status == 409
        for size in (12, 300):
            assert witness.add_checkpoint(true.request(300, size)).status in (400, 409, 422)
        with witness.state.changing():
            latest = witness.state.latest(true.origin)[0]
        assert (latest.size, latest.root) == (300, made_up.checkpoint(300).root)


# -- malicious mirrors -----------------------------------------------------------------------------


def test_of_several_places_the_one_that_lies_is_named(
    any_shop: Shop, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    for _ in range(3):
        run(*EVENT).good()
    run("checkpoint", "publish", "liar").good()
    fork(any_shop, monkeypatch, isolated_environment, 3, 4)
    shutil.rmtree(state_folder())
    run("checkpoint", "publish", "honest").good()
    found = run("verify", "log", "--anchor", "honest", "--anchor", "liar", "-o", "json")
    assert found.code == 1
    assert "anchor" in {item["fault"] for item in found.json["findings"]}
    assert all("liar" in item["message"] and "honest" not in item["message"] for item in found.json["findings"])
    assert (found.json["anchored_size"], found.json["anchored_by"]) == (7, "what is published in honest")


# -- mix-and-match ---------------------------------------------------------------------------------


def test_a_bundle_of_one_moment_with_the_head_of_another_is_bad(any_shop: Shop):
    run(*EVENT).good()
    run("export", "bundle", "--all", "early").good()
    run(*EVENT, "-d", "name=later").good()
    run("export", "bundle", "--all", "late").good()
    early, late = (Path(name).read_bytes().splitlines(keepends=True) for name in ("early", "late"))
    Path("mixed").write_bytes(b"".join([late[0], *early[1:]]))
    body = b"".join([late[0], *early[1:-1]])
    Path("mixed-and-summed").write_bytes(body + b'{"sha256":"%s"}\n' % hashlib.sha256(body).hexdigest().encode())
    for name in ("mixed", "mixed-and-summed"):
        assert run("verify", "bundle", name).code == 1, name
    for name in ("early", "late"):
        run("verify", "bundle", name).good()
