"""The ceremony file: exact bytes, signatures that verify, and words for whoever signs."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from ledger.ceremony import MAX_CEREMONY, Ceremony, describe, format_ceremony, parse_ceremony
from ledger.creation import DEFAULT_RULES, propose_ledger
from ledger.custody import adopt, merge, propose, propose_by_roots
from ledger.domain import LedgerState
from ledger.errors import AuthenticationError, ConflictError, InputError, LedgerError
from ledger.keys import Ed25519Signer, format_public_key
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey
from ledger.screen import Screening
from ledger.strictjson import format_json

LEDGERID, ORIGIN = "ab" * 16, "ledger.example/ceremony"
A, B, C, NEW = (Ed25519Signer.from_seed(bytes([n]) * 32) for n in range(1, 5))
VKEY = format_vkey(VerifierKey(ORIGIN, TYPE_ED25519, bytes(range(32))))
STATE = LedgerState(LEDGERID, ORIGIN, VKEY, (A.public, B.public, C.public), 2, DEFAULT_RULES)
LEDGER = f"ledger:{LEDGERID}"


def text(*keys: Ed25519Signer) -> list[str]:
    return [format_public_key(key.public) for key in keys]


def new_roots() -> Ceremony:
    body = {"roots": text(A, B, NEW), "threshold": 2, "reason": "C has left"}
    return propose_by_roots(STATE, "ledger.roots_changed", LEDGER, body)


def changed(ceremony: Ceremony, **values: Any) -> bytes:
    data = json.loads(format_ceremony(ceremony))
    return format_json({**data, **values}) + b"\n"


def test_a_file_is_read_as_it_was_written_and_no_other_way():
    for ceremony in (new_roots(), new_roots().sign(A), new_roots().sign(B).sign(A).sign(NEW)):
        data = format_ceremony(ceremony)
        assert parse_ceremony(data) == ceremony
        assert format_ceremony(parse_ceremony(data)) == data
        for other in (data[:-1], data + b"\n", b" " + data, data.replace(b'{"events', b'{ "events'), data[:-2], b""):
            with pytest.raises(InputError):
                parse_ceremony(other)


def test_every_byte_of_it_counts():
    signed = new_roots().sign(A)
    data = format_ceremony(signed)
    for place in range(0, len(data), 7):
        other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            found = parse_ceremony(other)
        except LedgerError:
            continue
        # Nobody signed the origin, nor which keys are roots: the code tells, and the ledger compares them.
        assert (found.origin, found.roots, found.threshold) != (ORIGIN, STATE.roots, 2), place
        assert not found.fits(STATE)
        assert found.code != signed.code, place


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "muniment ceremony v2"}, "no ceremony file"),
        ({"extra": 1}, "no ceremony file"),
        ({"events": []}, "1 or 2 events"),
        ({"events": "x"}, "1 or 2 events"),
        ({"events": [{"payload": "!", "signatures": []}]}, "not base64"),
        ({"events": [{"payload": "e30=", "signatures": []}]}, "specversion"),
        ({"events": [{"payload": "e30="}]}, "payload and signatures"),
        ({"roots": []}, "threshold do not fit"),
        ({"roots": [1]}, "list of public keys"),
        ({"threshold": 4}, "do not fit"),
        ({"threshold": 0}, "do not fit"),
        ({"threshold": True}, "a number"),
        ({"origin": "a b"}, "origin"),
        ({"ledgerid": "cd" * 16}, "not all of the ledger"),
    ],
)
def test_a_malformed_file_is_refused(values: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        parse_ceremony(changed(new_roots(), **values))
    with pytest.raises(InputError, match="at most"):
        parse_ceremony(b"x" * (MAX_CEREMONY + 1))


def test_a_payload_that_was_changed_after_somebody_signed_it_is_refused():
    signed = new_roots().sign(A)
    data = json.loads(format_ceremony(signed))
    payload = json.loads(base64.b64decode(data["events"][0]["payload"]))
    payload["data"]["threshold"] = 1
    data["events"][0]["payload"] = base64.b64encode(format_json(payload)).decode()
    with pytest.raises(AuthenticationError, match="was changed after it was signed"):
        parse_ceremony(format_json(data) + b"\n")
    data["events"][0]["signatures"] = []
    other = parse_ceremony(format_json(data) + b"\n")
    assert other.code != signed.code, "nobody signed yet, so only the code tells"
    with pytest.raises(InputError, match="not copies of one proposal"):
        signed.add(other)


@pytest.mark.parametrize(
    "values", [{"roots": text(A, C, NEW)}, {"roots": text(A, C, B)}, {"threshold": 1}, {"origin": "ledger.example/x"}]
)
def test_what_nobody_signs_is_in_the_code_and_compared_with_the_log(values: dict[str, Any]):
    """Whoever carries it could else make the holders believe that a root key stays, under the code they were told."""
    ceremony = new_roots()
    other = parse_ceremony(changed(ceremony, **values))
    assert other.code != ceremony.code
    assert ceremony.fits(STATE)
    assert not other.fits(STATE)
    words = "\n".join(describe(other, STATE))
    assert "THE LOG SAYS OTHERWISE" in words
    for part in (f"NEW     {text(NEW)[0]}", f"REMOVED {text(C)[0]}", f"stays   {text(B)[0]}"):
        assert part in words, "what the log says is told, not what the file does"
    assert ceremony.sign(A).code == ceremony.code, "signatures are not in it"


@pytest.mark.parametrize("values", [{"roots": text(A, B)}, {"threshold": 1}, {"origin": "ledger.example/x"}])
def test_a_founding_names_what_its_first_event_says(values: dict[str, Any]):
    founding = propose_ledger(ORIGIN, [A.public, B.public, C.public], 2).ceremony
    with pytest.raises(InputError, match="not those of the ledger that it founds"):
        parse_ceremony(changed(founding, **values))


def test_only_keys_that_count_may_sign_and_each_once():
    stranger = Ed25519Signer.from_seed(b"s" * 32)
    ceremony = new_roots()
    with pytest.raises(AuthenticationError, match="neither one of the 3 root keys"):
        ceremony.sign(stranger)
    with pytest.raises(ConflictError, match="has signed this already"):
        ceremony.sign(A).sign(A)
    forged = replace(ceremony.items[0].with_signatures([stranger]))
    with pytest.raises(AuthenticationError, match="may not"):
        parse_ceremony(format_ceremony(replace(ceremony, items=(forged,))))


def test_what_is_missing_is_said():
    ceremony = new_roots()
    item = ceremony.items[0]
    assert ceremony.missing(item) == [
        "2 root keys must sign and 0 did",
        f"the new key {NEW.public.keyid[:16]}… must sign too, to prove that it is held",
    ]
    for signers in ([A, B], [A, NEW], [NEW]):
        some = ceremony
        for signer in signers:
            some = some.sign(signer)
        with pytest.raises(AuthenticationError, match="is not ready"):
            some.check_complete()
    ceremony.sign(C).sign(NEW).sign(A).check_complete()


def test_copies_that_were_signed_at_the_same_time_are_put_together():
    ceremony = new_roots()
    together = merge([ceremony.sign(A), ceremony.sign(B), ceremony.sign(NEW).sign(A)])
    assert together == ceremony.sign(A).sign(B).sign(NEW)
    with pytest.raises(InputError, match="no ceremony file"):
        merge([])
    with pytest.raises(InputError, match="not copies"):
        merge([ceremony, new_roots()])


def test_the_words_say_all_that_changes():
    words = "\n".join(describe(new_roots().sign(A), STATE))
    for part in (
        f"{ORIGIN} (id {LEDGERID})", "2 of 3 must sign", "these 3, of which 2 must sign", "C has left",
        f"NEW     {text(NEW)[0]}", f"REMOVED {text(C)[0]}", f"stays   {text(A)[0]}",
        f"signed by {A.public.keyid[:16]}", "missing: 2 root keys must sign and 1 did", "code ",
    ):  # fmt: skip
        assert part in words, part
    assert "checked   name, root keys and threshold are those of the log" in words
    offline = "\n".join(describe(new_roots()))
    assert "checked   NOT against the log" in offline
    assert "against those that the file calls the present ones" in offline
    body = {"vkey": VKEY, "dual": False, "reason": "burnt"}
    assert "THE OLD KEY IS CALLED LOST" in "\n".join(
        describe(propose_by_roots(STATE, "ledger.checkpoint_key_changed", LEDGER, body))
    )
    other = propose_by_roots(STATE, "actor.revoked", "actor:p-x", {"reason": "gone"})
    assert 'actor:p-x: {"reason":"gone"}' in "\n".join(describe(other))


def test_every_person_behind_an_actor_is_shown():
    body = {"kind": "person", "roles": ["approver"], "key": text(NEW)[0], "person": "p-alice", "responsible": "p-other"}
    words = "\n".join(describe(propose(LEDGERID, ORIGIN, [("actor.enrolled", "actor:p-new", body)], author="p-admin")))
    assert "a further name of the person p-alice" in words
    assert "p-other answers for it" in words


def test_a_request_to_the_roots_becomes_a_proposal():
    body = {"kind": "person", "roles": ["admin"], "key": text(NEW)[0]}
    event = ("actor.enrolled", "actor:p-new", body)
    asked = propose(LEDGERID, ORIGIN, [event]).sign(NEW)
    assert "not named yet" in asked.missing(asked.items[0])[0]
    with pytest.raises(AuthenticationError):
        asked.sign(A)
    adopted = adopt(STATE, asked)
    assert adopted.code != asked.code, "it names the root keys now"
    signed = adopted.sign(A)
    assert signed.request_code == asked.request_code == asked.code, "and still tells what it was made from"
    assert f"request   had the code {asked.code}" in "\n".join(describe(signed))
    assert "request  " not in "\n".join(describe(asked)), "of itself it says the code"
    other = propose(LEDGERID, ORIGIN, [event]).sign(NEW)
    assert adopt(STATE, other).request_code != asked.code
    rotated = propose(LEDGERID, ORIGIN, [("actor.revoked", "actor:p-x", {"reason": "x"})], roots=STATE.roots)
    assert rotated.request_code is None, "nobody asked"
    adopted.sign(A).sign(B).check_complete()
    with pytest.raises(InputError, match="and this one is"):
        adopt(replace(STATE, origin="ledger.example/other"), asked)
    by_admin = propose(LEDGERID, ORIGIN, [event], author="p-admin").sign(NEW)
    with pytest.raises(InputError, match="asks 'p-admin'"):
        adopt(STATE, by_admin)


def test_a_request_with_a_secret_is_not_adopted():
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    event = ("actor.revoked", "actor:p-x", {"reason": token})
    with pytest.raises(InputError, match="looks like a secret"):
        propose(LEDGERID, ORIGIN, [event])
    asked = propose(LEDGERID, ORIGIN, [event], screening=Screening("off"))
    with pytest.raises(InputError, match="looks like a secret") as caught:
        adopt(STATE, asked)
    assert token not in str(caught.value)
    assert adopt(STATE, asked, Screening("on", ["reason"])).roots == STATE.roots


def test_a_new_ledger_needs_every_root_key():
    founding = propose_ledger(ORIGIN, [A.public, B.public, C.public], 2)
    some = founding.ceremony.sign(A).sign(B)
    assert some.founds
    assert "3 root keys must sign and 2 did" in some.missing(some.items[0])[0]
    assert some.missing(some.items[1]) == [], "the first admin needs the threshold"
    some.sign(C).check_complete()
    for roots, threshold in (([A.public], 2), ([A.public, A.public], 1), ([], 1), ([A.public], 0)):
        with pytest.raises(InputError):
            propose_ledger(ORIGIN, roots, threshold)


def test_a_reason_writes_no_lines_of_its_own():
    """Whoever proposes would otherwise show the holders another key, or another code, than the one they sign."""
    spoof = "yearly\n  stays   ed25519:AAAA\r\ncode      0000 0000\u2028missing: nothing\x85signed by p-a"
    body = {"roots": text(A, B, NEW), "threshold": 2, "reason": spoof}
    lines = describe(propose_by_roots(STATE, "ledger.roots_changed", LEDGER, body))
    assert [line.strip() for line in lines if "yearly" in line] == [
        "reason: yearly /   stays   ed25519:AAAA / code      0000 0000 / missing: nothing / signed by p-a"
    ]
    assert all(len(line.splitlines()) == 1 for line in lines)
