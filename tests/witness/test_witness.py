"""The witness: what it cosigns, what it refuses, what it never forgets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from ledger.addcheckpoint import AddCheckpoint, format_add_checkpoint, parse_add_checkpoint
from ledger.checkpoint import format_checkpoint, verify_checkpoint, verify_cosignature
from ledger.cosignature import add_lines, parse_lines, verify_lines
from ledger.errors import ConfigurationError, InputError, StorageError
from ledger.keys import Ed25519Signer
from ledger.merkle import prove_consistency
from ledger.merkleproof import proven_before, verify_consistency
from ledger.note import TYPE_COSIGNATURE, Note, NoteSignature, VerifierKey, format_note, parse_note
from tests.unit.reference_merkle import mth
from tests.witness.support import Log, made
from witness.judging import Answer, Latest
from witness.service import Witness, create_witness, open_witness

ROOT = Path(__file__).parents[2]
LOG = Log()
FORK = Log(fork_at=5)
OTHER = Log(origin="ledger.example/other")
STRANGER = Log(key=Ed25519Signer.from_seed(b"s" * 32))


@pytest.fixture
def witness(tmp_path: Path):
    found = made(tmp_path / "w", LOG)
    yield found
    found.close()


def cosigned(witness: Witness, log: Log, old: int, size: int) -> int:
    """Submit a head that must be cosigned; returns the time."""
    answer = witness.add_checkpoint(log.request(old, size))
    assert (answer.status, answer.evidence) == (200, ""), answer
    (found,) = verify_lines(format_checkpoint(log.checkpoint(size)), parse_lines(answer.body), [witness.vkey])
    return found.time


def latest(witness: Witness, origin: str = LOG.origin) -> Latest:
    with witness.state.changing():
        return witness.state.latest(origin)[0]


def test_it_cosigns_what_grows_and_says_where_it_is(witness: Witness):
    for old, size in ((0, 1), (1, 2), (2, 7), (7, 7), (7, 256), (256, 300)):
        assert cosigned(witness, LOG, old, size) > 1_700_000_000
        assert latest(witness) == Latest(size, LOG.checkpoint(size).root)
    answer = witness.add_checkpoint(LOG.request(0, 300))
    assert (answer.status, answer.kind, answer.body) == (409, "text/x.tlog.size", b"300\n")
    assert witness.state.evidence() == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 12, 17])
def test_every_step_between_small_sizes_needs_its_own_proof(tmp_path: Path, size: int):
    """From each old size, the right proof and every spoiled one."""
    found = made(tmp_path / "w", LOG)
    cosigned(found, LOG, 0, size)
    new = 2 * size + 3
    good = tuple(prove_consistency(LOG.tree, size, new))
    spoiled = [(), (*good, bytes(32)), good[:-1], good[1:], good[::-1] if good[::-1] != good else (bytes(32),)]
    spoiled += [(*good[:at], bytes(32), *good[at + 1 :]) for at in range(len(good))]
    for proof in spoiled:
        answer = found.add_checkpoint(LOG.request(size, new, proof))
        assert (answer.status, answer.evidence) == (422, ""), (size, len(proof))
    assert latest(found).size == size, "nothing was stored"
    cosigned(found, LOG, size, new)
    found.close()


def test_sizes_that_do_not_fit_are_refused(witness: Witness):
    cosigned(witness, LOG, 0, 10)
    answer = witness.add_checkpoint(LOG.request(11, 10))
    assert answer.status == 400
    for old, size in ((0, 10), (0, 5), (5, 7), (9, 20), (15, 20), (5, 5)):
        answer = witness.add_checkpoint(LOG.request(old, size))
        assert (answer.status, answer.body, answer.evidence) == (409, b"10\n", ""), (old, size)
    assert latest(witness).size == 10
    assert witness.state.evidence() == [], "an old head shown again proves nothing"


def test_a_fork_is_refused_and_both_notes_are_kept(witness: Witness):
    cosigned(witness, LOG, 0, 10)
    same = witness.add_checkpoint(FORK.request(10, 10))
    assert (same.status, same.kind, same.body, same.evidence) == (409, "text/x.tlog.size", b"10\n", "fork")
    again = witness.add_checkpoint(FORK.request(3, 10))
    assert (again.status, again.evidence) == (409, "fork"), "whatever old size it claims"
    grown = witness.add_checkpoint(FORK.request(10, 20))
    assert (grown.status, grown.evidence) == (422, "rewritten"), "the proof leads to what was signed, from another past"
    rewritten = witness.add_checkpoint(FORK.request(0, 20, ()))
    assert (rewritten.status, rewritten.evidence) == (409, "")
    kept = witness.state.evidence()
    assert [item.kind for item in kept] == ["fork", "rewritten"], "the same pair is kept once"
    # Anybody can check it: two notes, both signed by the log, of one size and with two roots.
    known, shown = (verify_checkpoint(note, [LOG.vkey]) for note in (kept[0].known, kept[0].shown))
    assert (known.size, known.origin) == (shown.size, shown.origin)
    assert known.root != shown.root
    assert verify_cosignature(parse_note(kept[0].known), witness.vkey) > 0
    assert latest(witness) == Latest(10, LOG.checkpoint(10).root)
    cosigned(witness, LOG, 10, 20)


def _junk(note: bytes, number: int) -> bytes:
    """The same note with a signature line more, of nobody."""
    parsed = parse_note(note)
    return format_note(
        Note(parsed.text, (NoteSignature("junk.example/j", b"junk", b"%d" % number), *parsed.signatures))
    )


@pytest.mark.parametrize(("old", "size"), [(old, size) for old in range(1, 20) for size in range(old + 1, 24)])
def test_a_fork_that_is_shown_at_a_larger_size_proves_itself(tmp_path: Path, old: int, size: int):
    """Its own proof leads to the head that the log signed, and begins with another root than the one cosigned."""
    fork = Log(fork_at=0)
    found = made(tmp_path / "w", LOG)
    cosigned(found, LOG, 0, old)
    for _ in range(2):
        answer = found.add_checkpoint(fork.request(old, size))
        # Of a size that is a power of two the proof does not hold the root: nothing is proven yet.
        assert (answer.status, answer.evidence) == (422, "" if old.bit_count() == 1 else "rewritten")
    kept, unproven = found.state.evidence(), found.state.unproven()
    assert (len(kept), len(unproven)) == ((0, 1) if old.bit_count() == 1 else (1, 0))
    for item in kept:  # whoever has the log's key checks it with what is usual, and needs nobody's word
        known = verify_checkpoint(item.known, [LOG.vkey])
        shown = parse_add_checkpoint(item.shown)
        head = verify_checkpoint(shown.note, [LOG.vkey])
        before = proven_before(shown.old, head.size, head.root, shown.proof)
        assert before is not None
        assert (shown.old, before) == (known.size, mth(fork.leaves[:old]))
        assert before != known.root
        verify_consistency(shown.old, before, head.size, head.root, shown.proof)
    assert latest(found).size == old
    found.close()


def _bad(log: Log, old: int, size: int) -> bytes:
    """A head of the log with a proof that anybody could have spoiled."""
    return log.request(old, size, (bytes(32),))


def test_an_unproven_head_is_kept_and_proves_a_fork_once_the_size_is_cosigned(witness: Witness):
    cosigned(witness, LOG, 0, 8)
    assert witness.add_checkpoint(_bad(FORK, 8, 12)).evidence == ""
    assert witness.add_checkpoint(_bad(LOG, 8, 14)).evidence == "", "true, with a proof that somebody spoiled"
    assert [(item.size, item.root) for item in witness.state.unproven()] == [
        (12, FORK.checkpoint(12).root), (14, LOG.checkpoint(14).root)
    ]  # fmt: skip
    answer = witness.add_checkpoint(LOG.request(8, 12))
    assert (answer.status, answer.evidence) == (200, "fork"), "its promise is one history, and this one goes on"
    (kept,) = witness.state.evidence()
    known, shown = (verify_checkpoint(note, [LOG.vkey]) for note in (kept.known, kept.shown))
    assert (known.root, shown.root) == (LOG.checkpoint(12).root, FORK.checkpoint(12).root)
    assert verify_cosignature(parse_note(kept.known), witness.vkey) > 0
    cosigned(witness, LOG, 12, 14)
    assert witness.state.unproven() == [], "what was cosigned after all is under no suspicion"


def test_two_unproven_heads_of_one_size_are_a_fork(witness: Witness):
    cosigned(witness, LOG, 0, 8)
    assert witness.add_checkpoint(_bad(LOG, 8, 12)).evidence == ""
    assert witness.add_checkpoint(_bad(FORK, 8, 12)).evidence == "fork"
    assert witness.add_checkpoint(FORK.request(3, 12, ())).evidence == "fork", "whatever old size it claims"
    (kept,) = witness.state.evidence()
    assert (kept.known, kept.shown) == (LOG.note(12), FORK.note(12))


def test_unproven_heads_have_a_bounded_room_and_none_pushes_another_out(witness: Witness):
    cosigned(witness, LOG, 0, 8)
    assert witness.add_checkpoint(_bad(FORK, 8, 300)).status == 422, "what speaks against the log"
    told = []
    for size in range(9, 9 + 40):
        for number in range(2):
            note = _junk(LOG.note(size), number)
            body = format_add_checkpoint(AddCheckpoint(8, (bytes(32),), note))
            answer = witness.add_checkpoint(body)
            assert answer.status == 422
            told += [size] if answer.notice else []
    assert [item.size for item in witness.state.unproven()] == [300, *range(9, 40)]
    notes = [FORK.note(300), *map(LOG.note, range(9, 40))]
    assert [item.note for item in witness.state.unproven()] == notes, "nobody's lines are not kept"
    assert told == [40], "it is said once"
    (crowded,) = witness.state.crowded()
    assert (crowded.origin, crowded.count) == (LOG.origin, 18)
    for body in (LOG.request(3, 60), _bad(LOG, 8, 8), _bad(STRANGER, 8, 70), _bad(OTHER, 8, 70), _bad(LOG, 9, 70)):
        assert witness.add_checkpoint(body).status != 200
    assert witness.state.crowded() == [crowded], "only signed heads, larger and from where this witness is"
    assert witness.add_checkpoint(LOG.request(8, 300)).evidence == "fork", "whatever was sent to push it out"


def test_an_unproven_head_is_proven_by_whoever_has_the_log(witness: Witness):
    cosigned(witness, LOG, 0, 8)
    for size in (12, 16, 18):
        assert witness.add_checkpoint(_bad(LOG, 8, size)).status == 422
    answer = witness.add_checkpoint(LOG.request(8, 20))
    assert (answer.status, answer.unproven) == (200, (12, 16, 18))
    for body in (LOG.request(12, 24), LOG.request(12, 20, (bytes(32),)), FORK.request(12, 20)):
        witness.add_checkpoint(body)
        assert [item.size for item in witness.state.unproven()][:3] == [12, 16, 18], "only to the head that it cosigned"
    for left in ((16, 18), (18,), ()):
        (size,) = {12, 16, 18}.intersection(item.size for item in witness.state.unproven()) - set(left)
        assert witness.add_checkpoint(LOG.request(size, 20)).status == 409
        assert tuple(item.size for item in witness.state.unproven()) == left
    assert [item.kind for item in witness.state.evidence()] == ["fork"], "the other history, of size 20"


def test_or_turns_into_evidence_where_the_log_has_another_past(witness: Witness):
    cosigned(witness, LOG, 0, 8)
    assert witness.add_checkpoint(_bad(FORK, 8, 13)).status == 422
    cosigned(witness, LOG, 8, 20)
    answer = witness.add_checkpoint(LOG.request(13, 20))
    assert (answer.status, answer.evidence) == (409, "rewritten")
    (kept,) = witness.state.evidence()
    known = verify_checkpoint(kept.known, [LOG.vkey])
    shown = parse_add_checkpoint(kept.shown)
    head = verify_checkpoint(shown.note, [LOG.vkey])
    before = proven_before(shown.old, head.size, head.root, shown.proof)
    assert (shown.old, known.root) == (known.size, FORK.checkpoint(13).root)
    assert before == LOG.checkpoint(13).root != known.root
    assert witness.state.unproven() == []


def test_a_state_from_before_unproven_heads_were_kept_is_opened(tmp_path: Path):
    found = made(tmp_path / "w", LOG)
    cosigned(found, LOG, 0, 8)
    found.close()
    connection = apsw.Connection(str(tmp_path / "w" / "state.db"))
    connection.execute("DROP TABLE unproven; DROP TABLE crowded")
    connection.close()
    again = open_witness(tmp_path / "w")
    assert again.add_checkpoint(_bad(LOG, 8, 12)).status == 422
    assert len(again.state.unproven()) == 1
    again.close()


def test_strangers_cannot_fill_a_witness_with_evidence_against_an_honest_log(witness: Witness):
    cosigned(witness, LOG, 0, 10)
    for number in range(105):
        note = _junk(LOG.note(12), number)
        answer = witness.add_checkpoint(format_add_checkpoint(AddCheckpoint(10, (bytes(32),), note)))
        assert (answer.status, answer.evidence) == (422, "")
    assert witness.state.evidence() == []
    assert witness.add_checkpoint(FORK.request(10, 10)).evidence == "fork"
    assert len(witness.state.evidence()) == 1


def test_one_fork_is_kept_once_whoever_shows_it_with_whatever_lines(witness: Witness):
    times = iter(range(1_700_000_000, 1_800_000_000))
    witness._clock = lambda: next(times)  # every cosignature is another
    cosigned(witness, LOG, 0, 10)
    for number in range(3):
        note = _junk(FORK.note(10), number)
        assert witness.add_checkpoint(format_add_checkpoint(AddCheckpoint(10, (), note))).evidence == "fork"
        cosigned(witness, LOG, 10, 10)
    (kept,) = witness.state.evidence()
    assert kept.shown == FORK.note(10), "what nobody verified is not kept"


def test_what_an_earlier_version_kept_of_bad_proofs_leaves_room_for_forks(witness: Witness):
    cosigned(witness, LOG, 0, 10)
    with witness.state.changing():
        known = witness.state.latest(LOG.origin)[1]
        for size in range(11, 111):
            assert witness.state.keep_evidence(LOG.origin, "inconsistent", known, LOG.note(size), 1)
    assert witness.add_checkpoint(FORK.request(10, 10)).evidence == "fork"
    assert [item.kind for item in witness.state.evidence()] == ["fork"], "and is no evidence any more"


def test_a_log_cannot_fill_its_witness_with_evidence(witness: Witness):
    cosigned(witness, LOG, 0, 10)
    for number in range(120):
        fork = Log(size=10, fork_at=9)
        fork.leaves[9] = bytes([number]) * 32
        answer = witness.add_checkpoint(fork.request(0, 10, ()))
        assert (answer.status, answer.evidence) == (409, "fork" if number < 100 else ""), "what is said to be kept is"
    assert len(witness.state.evidence()) == 100


def test_who_is_not_known_or_did_not_sign_is_refused(witness: Witness):
    assert witness.add_checkpoint(OTHER.request(0, 3)).status == 404
    assert witness.add_checkpoint(STRANGER.request(0, 3)).status == 403
    good = parse_note(LOG.note(3))
    bad = Note(good.text, (good.signatures[0].__class__(*_flipped(good.signatures[0])),))
    body = b"old 0\n\n" + format_note(bad)
    assert witness.add_checkpoint(body).status == 403
    assert latest(witness) == Latest()
    assert witness.state.evidence() == []


def _flipped(line) -> tuple[str, bytes, bytes]:
    return line.name, line.key_hash, bytes([line.blob[0] ^ 1]) + line.blob[1:]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 100,
        b"old 0\n",
        b"old 0\n\n",
        b"old 0\n\nledger.example/witnessed\n3\n",
        b"old 0\n\n" + LOG.note(3)[:-1],
        b"old 0\n\n" + LOG.note(3).replace(b"\n3\n", b"\n03\n"),
        b"old 0\n\n" + LOG.note(3).replace(b"\n\n", b"\nextension\n\n"),
        b"old x\n\n" + LOG.note(3),
    ],
)
def test_what_is_no_request_is_refused(witness: Witness, body: bytes):
    assert witness.add_checkpoint(body).status == 400


def test_unknown_lines_are_ignored_and_not_kept(witness: Witness):
    line = parse_note(STRANGER.note(3)).signatures[0]
    mixed = add_lines(LOG.note(3), [line])
    assert witness.add_checkpoint(b"old 0\n\n" + mixed).status == 200
    ((_, note),) = witness.state.heads()
    assert [item.name for item in parse_note(note).signatures] == [LOG.origin, witness.vkey.name]
    assert line not in parse_note(note).signatures


def test_a_log_that_changes_its_key_is_known_with_both(witness: Witness):
    cosigned(witness, LOG, 0, 3)
    assert witness.add_log(STRANGER.vkey)
    assert not witness.add_log(STRANGER.vkey)
    cosigned(witness, STRANGER, 3, 8)
    cosigned(witness, LOG, 8, 9)


def test_a_witness_does_not_witness_itself(witness: Witness):
    own = VerifierKey("ledger.example/self", 1, witness.vkey.public)
    with pytest.raises(ConfigurationError, match="own key"):
        witness.add_log(own)
    with pytest.raises(ConfigurationError, match="not the key of a log"):
        witness.add_log(VerifierKey("w", TYPE_COSIGNATURE, LOG.vkey.public))


def test_a_monitor_sees_the_last_head_with_its_cosignature(witness: Witness):
    assert witness.last_checkpoint(LOG.digest).status == 404
    cosigned(witness, LOG, 0, 3)
    cosigned(witness, LOG, 3, 8)
    answer = witness.last_checkpoint(LOG.digest)
    assert answer.status == 200
    assert verify_checkpoint(answer.body, [LOG.vkey, witness.vkey]) == LOG.checkpoint(8)
    assert verify_cosignature(parse_note(answer.body), witness.vkey) > 0
    assert witness.last_checkpoint("0" * 64).status == 404


# -- two at once, restarts, lost state -------------------------------------------------------------


def submit_together(requests: list[tuple[Witness, bytes]]) -> list[Answer]:
    """Submit at the same moment, each in a thread."""
    answers: dict[int, Answer] = {}
    barrier = threading.Barrier(len(requests))

    def submit(number: int, witness: Witness, body: bytes) -> None:
        barrier.wait()
        answers[number] = witness.add_checkpoint(body)

    threads = [threading.Thread(target=submit, args=(n, *request)) for n, request in enumerate(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [answers[number] for number in range(len(requests))]


def test_of_two_histories_at_once_exactly_one_is_cosigned(tmp_path: Path):
    """The same size and two roots, both signed by the log, to two openings of the same state, as of two processes."""
    pairs = [(Log(f"{LOG.origin}/{n}", size=9), Log(f"{LOG.origin}/{n}", size=9, fork_at=4)) for n in range(20)]
    first = made(tmp_path / "w", *[log for log, _ in pairs])
    second = open_witness(tmp_path / "w")
    for number, (log, fork) in enumerate(pairs):
        order = (first, second) if number % 2 else (second, first)
        answers = submit_together(list(zip(order, (log.request(0, 9), fork.request(0, 9)), strict=True)))
        assert sorted(answer.status for answer in answers) == [200, 409], answers
        assert [answer.evidence for answer in answers if answer.status == 409] == ["fork"]
        won = (log, fork)[[answer.status for answer in answers].index(200)]
        assert latest(first, log.origin) == Latest(9, won.checkpoint(9).root)
    assert len(first.state.evidence()) == len(pairs)
    first.close()
    second.close()


def test_requests_at_once_never_take_it_back(tmp_path: Path):
    """The race of the specification: N and N + K from the same old size."""
    logs = [Log(f"{LOG.origin}/{n}", size=30) for n in range(10)]
    found = made(tmp_path / "w", *logs)
    for log in logs:
        cosigned(found, log, 0, 10)
        answers = submit_together([(found, log.request(10, size)) for size in (12, 20, 15, 30)])
        assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
        won = (12, 20, 15, 30)[[answer.status for answer in answers].index(200)]
        assert latest(found, log.origin).size == won
        assert {answer.body for answer in answers if answer.status == 409} == {b"%d\n" % won}
    found.close()


def test_a_restart_forgets_nothing(tmp_path: Path):
    found = made(tmp_path / "w", LOG)
    cosigned(found, LOG, 0, 10)
    found.close()
    again = open_witness(tmp_path / "w")
    assert again.vkey == found.vkey
    assert again.add_checkpoint(FORK.request(0, 10)).status == 409
    cosigned(again, LOG, 10, 11)
    again.close()


def test_a_witness_whose_old_copy_was_put_back_cosigns_a_second_history(tmp_path: Path):
    """Nothing shows it at the witness: its newest state is what it rests on."""
    found = made(tmp_path / "w", LOG)
    cosigned(found, LOG, 0, 3)
    found.close()
    shutil.copytree(tmp_path / "w", tmp_path / "old")
    found = open_witness(tmp_path / "w")
    cosigned(found, LOG, 3, 10)
    found.close()
    forgetful = open_witness(tmp_path / "old")
    cosigned(forgetful, FORK, 3, 10)
    forgetful.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from witness.service import open_witness
from witness.state import WitnessState
found = open_witness(Path(sys.argv[1]))
advance, changing = WitnessState.advance, WitnessState.changing
if sys.argv[2] == "before":   # stored in the transaction, which is not committed
    def killed(self, *args):
        advance(self, *args)
        os.kill(os.getpid(), signal.SIGKILL)
    WitnessState.advance = killed
    found.add_checkpoint(sys.stdin.buffer.read())
else:                         # committed, and nobody was answered
    found.add_checkpoint(sys.stdin.buffer.read())
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("moment", "size"), [("before", 5), ("after", 9)])
def test_killed_between_storing_and_answering_it_cosigns_one_history(tmp_path: Path, moment: str, size: int):
    found = made(tmp_path / "w", LOG)
    cosigned(found, LOG, 0, 5)
    found.close()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "w"), moment],
        input=LOG.request(5, 9), check=False, timeout=60, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    again = open_witness(tmp_path / "w")
    assert latest(again).size == size
    fork = Log(fork_at=7)
    if moment == "after":
        assert again.add_checkpoint(fork.request(5, 9)).status == 409
        cosigned(again, LOG, 9, 9)  # the log asks again and gets what it did not get
    else:
        cosigned(again, LOG, 5, 9)
        assert again.add_checkpoint(fork.request(9, 9)).evidence == "fork"
    again.close()


def test_a_state_that_is_lost_or_another_witness_s_stops_it(tmp_path: Path):
    made(tmp_path / "a").close()
    made(tmp_path / "b", name="witness.example/w2").close()
    with pytest.raises(ConfigurationError, match="already exists"):
        create_witness(tmp_path / "a", "witness.example/w1")
    (tmp_path / "a" / "state.db").replace(tmp_path / "kept")
    with pytest.raises(ConfigurationError, match="is missing") as caught:
        open_witness(tmp_path / "a")
    assert "new key" in caught.value.hint
    (tmp_path / "b" / "state.db").replace(tmp_path / "a" / "state.db")
    with pytest.raises(ConfigurationError, match="not the state of the witness"):
        open_witness(tmp_path / "a")
    (tmp_path / "a" / "state.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError):
        open_witness(tmp_path / "a")
    with pytest.raises(ConfigurationError, match="holds no witness"):
        open_witness(tmp_path / "nowhere")
    (tmp_path / "b" / "witness.vkey").write_text((tmp_path / "a" / "witness.vkey").read_text())
    with pytest.raises(ConfigurationError, match="is not that of"):
        open_witness(tmp_path / "b")
    with pytest.raises(InputError):
        create_witness(tmp_path / "c", "a name with spaces")
    assert not (tmp_path / "c").exists()


def test_the_state_goes_only_forward_even_by_sql(tmp_path: Path):
    found = made(tmp_path / "w", LOG)
    cosigned(found, LOG, 0, 10)
    store = apsw.Connection(str(tmp_path / "w" / "state.db"))
    for statement in (
        "UPDATE latest SET size = 9",
        "UPDATE latest SET root = x'00'",
        "DELETE FROM latest",
        "INSERT OR REPLACE INTO latest SELECT origin, 1, root, note FROM latest",
        "UPDATE witness SET vkey = 'x'",
    ):
        with pytest.raises(apsw.ConstraintError, match="never goes back"):
            store.execute(statement)
    store.close()
    found.close()


def test_nothing_is_cosigned_when_the_state_cannot_be_kept(tmp_path: Path):
    found = made(tmp_path / "w", LOG)
    cosigned(found, LOG, 0, 10)
    found.state._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError):
        found.add_checkpoint(LOG.request(10, 12))
    found.state._connection.execute("PRAGMA query_only = 0")
    assert latest(found).size == 10
    cosigned(found, LOG, 10, 12)
    found.close()


def test_its_state_is_synced_before_it_answers(tmp_path: Path):
    found = made(tmp_path / "w")
    assert found.state._connection.execute("PRAGMA synchronous").fetchall() == [(2,)], "FULL"
    assert (tmp_path / "w" / "state.db").stat().st_mode & 0o077 == 0
    found.close()
