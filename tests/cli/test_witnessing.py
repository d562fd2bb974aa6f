"""`muniment checkpoint witness` and what verify and doctor say of witnesses, with witnesses good and bad."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ledger.addcheckpoint import UNPROVEN_HEADER, AddCheckpoint, format_add_checkpoint, parse_add_checkpoint
from ledger.checkpoint import cosign_checkpoint, parse_checkpoint, signed_by, verify_cosignature
from ledger.cosignature import format_lines
from ledger.keys import Ed25519Signer
from ledger.note import TYPE_COSIGNATURE, VerifierKey, format_vkey, parse_note, parse_vkey
from ledger.proof import parse_proof, verify_proof
from tests.cli.support import Shop, run
from tests.contract.support import raw
from tests.witness.support import serving
from witness.service import Witness, create_witness

POLICY = ".muniment/witness-policy"


@contextmanager
def witnesses(shop: Shop, count: int, *, down: int = 0) -> Iterator[list[Witness]]:
    """Witnesses that know the shop's log, the last ones of them not reachable; the policy asks for a majority."""
    vkey = run("checkpoint", "show", "--vkey").good().out.strip()
    found, lines = [], [f"log {vkey}"]
    with ExitStack() as stack:
        for number in range(count):
            made = create_witness(shop.folder / f"w{number}", f"w{number}.example")
            stack.callback(made.close)
            made.add_log(parse_vkey(vkey))
            found.append(made)
            url = "http://127.0.0.1:9"  # discard: nobody is there
            if number < count - down:
                url = stack.enter_context(serving(made)).url
            lines.append(f"witness w{number} {format_vkey(made.vkey)} {url}")
        names = " ".join(f"w{number}" for number in range(count))
        lines += [f"group majority {count // 2 + 1} {names}", "quorum majority"]
        (shop.folder / POLICY).write_text("\n".join(lines) + "\n")
        yield found


def emit(number: int) -> None:
    run("emit", "external.observed", f"external:{number}", "-d", "system=s").good()


def test_a_majority_of_witnesses_is_enough_and_everything_carries_their_lines(any_shop: Shop):
    with witnesses(any_shop, 3, down=1) as found:
        emit(1)
        done = run("checkpoint", "witness", "-o", "json").good().json
        assert (done["size"], done["met"], done["contradicted"], done["new"]) == (3, True, False, 2)
        assert [item["outcome"] for item in done["witnesses"]] == ["cosigned", "cosigned", "not cosigned"]
        assert run("checkpoint", "witness").good().out.splitlines()[-1] == "✓ size 3 is witnessed by 2 of w0, w1, w2"
        shown = run("checkpoint", "show").good()
        assert "size 3 is witnessed: cosigned by w0 at 2" in shown.err
        note = parse_note(shown.stdout)
        assert [line.name for line in note.signatures] == ["ledger.example/cli", "w0.example", "w1.example"]
        for witness in found[:2]:
            assert verify_cosignature(note, witness.vkey) > 1_700_000_000
        run("proof", "inclusion", "1", "-o", "x.tlog-proof").good()
        proof = Path("x.tlog-proof").read_bytes()
        assert parse_note(parse_proof(proof).checkpoint_note) == note
        log = parse_vkey(run("checkpoint", "show", "--vkey").good().out.strip())
        entry = run("show", "1", "--entry").good().stdout
        assert verify_proof(proof, entry, signed_by(log, *(witness.vkey for witness in found)))[0] == 1
        run("export", "tiles", "out").good()
        assert parse_note(Path("out/checkpoint").read_bytes()) == note


def test_a_witness_is_shown_how_the_log_extends_heads_that_nobody_proved_to_it(any_shop: Shop):
    with witnesses(any_shop, 1) as (witness,):
        run("checkpoint", "witness").good()
        for number in range(3):  # strangers take heads that were published, and spoil the way there
            emit(number)
            spoiled = AddCheckpoint(2, (bytes(32),), run("checkpoint", "show").good().stdout)
            assert witness.add_checkpoint(format_add_checkpoint(spoiled)).status == 422
        assert [item.size for item in witness.state.unproven()] == [3, 4, 5]
        emit(3)
        (asked,) = run("checkpoint", "witness", "-o", "json").good().json["witnesses"]
        assert asked["message"] == "cosigned size 6; it was shown how this log extends its first 3, 4, 5 entries"
        assert (witness.state.unproven(), witness.state.evidence()) == ([], [])


def test_verify_and_doctor_say_who_vouches_for_what(any_shop: Shop):
    with witnesses(any_shop, 3, down=1):
        first = run("verify", "log").good().out
        assert "UNWITNESSED: entries 0 to 1: the policy asks for 2 of w0, w1, w2" in first
        assert run("verify", "log", "--require-witnesses").code == 3
        run("checkpoint", "witness").good()
        run("verify", "log", "--require-witnesses").good()
        emit(1)
        emit(2)
        found = run("verify", "log").good().out
        assert "  w0 cosigned up to size 2, at 2" in found
        assert "  witnessed up to size 2 by 2 of w0, w1, w2" in found
        assert "UNWITNESSED: entries 2 to 3" in found
        late = run("verify", "log", "--require-witnesses")
        assert late.code == 3
        assert "do not vouch for 4 entries" in late.err
        run("verify", "log", "--require-witnesses", "2").good()
        assert run("verify", "log", "--require-witnesses", "3", "--all").code == 3
        said = run("verify", "log", "-o", "json").good().json["witnessed"]
        assert (said["size"], said["quorum"], said["unknown"]) == (2, "2 of w0, w1, w2", [])
        assert [(item["name"], item["size"]) for item in said["by"]] == [("w0", 2), ("w1", 2)]
        rows = {row["check"]: row for row in run("doctor", "-o", "json").good().json["checks"]}
        assert rows["witness w0"]["state"] == "good"
        assert "cosigned up to size 2" in rows["witness w0"]["message"]
        assert rows["witness w2"]["state"] == "warning"
        assert rows["witnessed"]["message"] == "up to size 2 of 4 signed, by 2 of w0, w1, w2"
        asked = run("verify", "log", "--ask-witnesses").good()
        assert "w2 shows no head" in asked.err
    # Without a policy nobody's word counts, and it is said that somebody signed.
    Path(POLICY).rename("elsewhere")
    found = run("verify", "log").good().out
    assert "2 key(s) that no policy here names cosigned too" in found
    assert "witnessed up to" not in found
    run("verify", "log", "--require-witnesses").refused(8, "no witness policy")
    assert "witnessed up to size 2" in run("verify", "log", "--policy", "elsewhere").good().out


def test_a_witness_that_is_ahead_of_what_we_know_tells_its_size(any_shop: Shop):
    """The cosignatures were lost: the first request names size 0, and the second one the size of the answer."""
    with witnesses(any_shop, 1):
        emit(1)
        run("checkpoint", "witness").good()
        any_shop.unprotected("DELETE FROM $attestation")
        emit(2)
        done = run("checkpoint", "witness", "-o", "json").good().json
        assert (done["size"], done["met"], done["new"]) == (4, True, 1)


def test_a_witness_that_forgot_is_named(shop: Shop):
    with witnesses(shop, 1) as (witness,):
        emit(1)
        run("checkpoint", "witness").good()
        key = witness._signer
        fresh = create_witness(shop.folder / "fresh", "w0.example")
        fresh.add_log(parse_vkey(run("checkpoint", "show", "--vkey").good().out.strip()))
        witness.state, witness._signer = fresh.state, key  # the state is put back to its beginning
        emit(2)
        assert "has forgotten that it cosigned size 3" in run("checkpoint", "witness").good().out
        fresh.close()


def test_a_proof_under_the_last_witnessed_head(any_shop: Shop):
    run("proof", "inclusion", "1", "--witnessed").refused(8, "no witness policy")
    with witnesses(any_shop, 3, down=1) as found:
        run("proof", "inclusion", "1", "--witnessed").refused(3, "no head that covers entry 1", "checkpoint witness")
        emit(1)
        run("checkpoint", "witness").good()
        emit(2)
        emit(3)
        assert "size 5 is NOT witnessed: cosigned by nobody" in run("checkpoint", "show").good().err
        proof = run("proof", "inclusion", "2", "--witnessed").good().stdout
        note = parse_note(parse_proof(proof).checkpoint_note)
        assert parse_checkpoint(note.text).size == 3
        for witness in found[:2]:
            assert verify_cosignature(note, witness.vkey) > 0
        log = parse_vkey(run("checkpoint", "show", "--vkey").good().out.strip())
        assert verify_proof(proof, run("show", "2", "--entry").good().stdout, signed_by(log))[0] == 2
        assert (
            parse_checkpoint(parse_note(parse_proof(run("proof", "inclusion", "2").stdout).checkpoint_note).text).size
            == 5
        )
        run("proof", "inclusion", "4", "--witnessed").refused(3, "no head that covers entry 4")


# -- the store is put back, rewritten, forked --------------------------------------------------------


def test_a_store_that_was_put_back_is_found_by_the_witnesses(shop: Shop):
    """The operator puts an old copy back and forgets the head of this machine: only the witnesses know better."""
    with witnesses(shop, 3):
        emit(1)
        run("checkpoint", "witness").good()
        kept = Path("kept")
        shutil.copytree(".muniment", kept)
        emit(2)
        emit(3)
        run("checkpoint", "witness").good()
        shutil.rmtree(".muniment")
        shutil.copytree(kept, ".muniment")
        forget(shop)
        run("verify", "log", "--require-witnesses").good()  # as old as it is, it was witnessed then
        forget(shop)
        back = run("checkpoint", "witness")
        assert back.code == 1
        assert back.out.count("✗ w") == 3
        assert "it saw 5 entries of this log, and the last signed head here has 3" in back.out
        assert "IS NOT THE ONE THAT WAS WITNESSED" in back.out
        data = run("checkpoint", "witness", "-o", "json")
        assert data.code == 1
        shows = parse_note(data.json["witnesses"][0]["shows"].encode())
        assert parse_checkpoint(shows.text).size == 5
        asked = run("verify", "log", "--ask-witnesses")
        assert asked.code == 1
        assert "the log shrank: the witness w0" in asked.out
        # It grows past the size the witnesses saw: another history.
        forget(shop)
        for number in range(10, 14):
            emit(number)
        forked = run("checkpoint", "witness")
        assert forked.code == 1
        assert "does not find that this log extends what it cosigned at size" in forked.out
        assert run("verify", "log", "--ask-witnesses").code == 1


def test_another_root_of_the_same_size_is_found(shop: Shop):
    with witnesses(shop, 1) as (witness,):
        emit(1)
        kept = Path("kept")
        shutil.copytree(".muniment", kept)
        emit(2)
        run("checkpoint", "witness").good()
        shutil.rmtree(".muniment")
        shutil.copytree(kept, ".muniment")
        forget(shop)
        emit(3)
        forked = run("checkpoint", "witness")
        assert forked.code == 1
        assert "it cosigned another root for size 4" in forked.out
        (kept_as,) = [line.rpartition(" in ")[2] for line in forked.err.splitlines() if "vidence kept in" in line]
        proven = run("verify", "evidence", kept_as, "-o", "json").good().json
        assert proven["proven"], "two heads of one size, both signed by the key of this log"
        assert [item.kind for item in witness.state.evidence()] == ["fork"], "and the witness keeps both heads"


def forget(shop: Shop) -> None:
    """What this machine remembers is removed, as an operator can."""
    remembered = shop.home.remembered()
    assert remembered is not None
    for path in remembered.path.parent.parent.rglob("*"):
        if path.is_file():
            path.unlink()


# -- witnesses that are none -------------------------------------------------------------------------

KEY, OTHER = Ed25519Signer.from_seed(b"w" * 32), Ed25519Signer.from_seed(b"o" * 32)
VKEY = VerifierKey("bad.example", TYPE_COSIGNATURE, KEY.public.raw)
Reply = Callable[[BaseHTTPRequestHandler, bytes], None]


def answer(status: int, body: bytes, kind: str = "text/plain") -> Reply:
    def reply(handler: BaseHTTPRequestHandler, _request: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def cosigned(key: Ed25519Signer, change: Callable[[str], str] = str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        text = change(parse_note(parse_add_checkpoint(request).note).text)
        answer(200, format_lines([cosign_checkpoint(text, key, VKEY.name, 1_795_420_800)]))(handler, request)

    return reply


def drip(handler: BaseHTTPRequestHandler, _request: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        if handler.server.ended.wait(0.05):  # type: ignore[attr-defined]
            return


def silence(handler: BaseHTTPRequestHandler, _request: bytes) -> None:
    handler.server.ended.wait(5)  # type: ignore[attr-defined]


def hang_up(handler: BaseHTTPRequestHandler, _request: bytes) -> None:
    handler.connection.close()


def endless(handler: BaseHTTPRequestHandler, _request: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.ended.is_set():  # type: ignore[attr-defined]
        handler.wfile.write(b"x" * 65_536)


def raw_answer(data: bytes) -> Reply:
    def reply(handler: BaseHTTPRequestHandler, _request: bytes) -> None:
        handler.wfile.write(data)

    return reply


class Sizes:
    """Another size with every request."""

    def __init__(self) -> None:
        self.next = 0

    def __call__(self, handler: BaseHTTPRequestHandler, request: bytes) -> None:
        self.next = 1 - self.next
        answer(409, b"%d\n" % self.next, "text/x.tlog.size")(handler, request)


@contextmanager
def bad_witness(reply: Reply) -> Iterator[str]:
    """A server that answers a request for a cosignature as it likes, and shows monitors nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                reply(self, self.rfile.read(int(self.headers["Content-Length"])))
            except OSError:
                return  # the client has hung up

        def do_GET(self) -> None:
            answer(404, b"")(self, b"")

        def log_message(self, *_arguments) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.ended = threading.Event()  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.ended.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join(5)


BAD: dict[str, tuple[Reply, int, str]] = {
    "garbage": (answer(200, b"\xff\x00garbage"), 6, "no cosignature"),
    "nothing": (answer(200, b""), 6, "no cosignature"),
    "a page": (answer(200, b"<html></html>\n", "text/html"), 6, "no cosignature"),
    "another key": (cosigned(OTHER), 6, "no cosignature by the key in the policy"),
    "another root": (cosigned(KEY, lambda text: text.replace("\n3\n", "\n2\n")), 6, "wrong signature of bad.example"),
    "not the log": (answer(404, b"unknown"), 6, "does not know this log"),
    "not the key": (answer(403, b"unknown"), 6, "does not know the key"),
    "malformed": (answer(400, b""), 6, "calls the request malformed"),
    "an error": (answer(500, b"x" * 100), 6, "status 500"),
    "too many": (answer(503, b""), 6, "too many requests"),
    "a redirect": (answer(302, b""), 6, "status 302"),
    "no size": (answer(409, b"", "text/x.tlog.size"), 6, "no tree size"),
    "a wrong size": (answer(409, b"007\n", "text/x.tlog.size"), 6, "no tree size"),
    "the same size": (answer(409, b"0\n", "text/x.tlog.size"), 6, "its size is 0"),
    "changing sizes": (Sizes(), 6, "changed with every request"),
    "a larger size without a head": (answer(409, b"99\n", "text/x.tlog.size"), 1, "it saw 99 entries"),
    "no proof without a head": (answer(422, b""), 1, "does not find that this log extends"),
    "silence": (silence, 6, "no answer in 0.5 s"),
    "drops": (drip, 6, "no answer in 0.5 s"),
    "endless": (endless, 6, "more than 65536 bytes"),
    "hanging up": (hang_up, 6, "?"),
    "no HTTP": (raw_answer(b"SSH-2.0-OpenSSH\r\n\r\n"), 6, "no HTTP answer"),
    "a cut answer": (raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nx"), 6, "cut off"),
    "endless headers": (raw_answer(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200), 6, "no HTTP answer"),
}


@pytest.mark.parametrize(("reply", "code", "words"), BAD.values(), ids=BAD)
def test_a_bad_witness_harms_nobody(shop: Shop, reply: Reply, code: int, words: str):
    emit(1)
    with bad_witness(reply) as url:
        Path(POLICY).write_text(f"witness bad {format_vkey(VKEY)} {url}\nquorum bad\n")
        done = run("checkpoint", "witness", "--timeout", "0.5")
    assert done.code == code, done.out + done.err
    assert words in done.out, done.out
    assert "bug in Muniment" not in done.err
    assert ("CLAIMS ANOTHER HISTORY" in done.out) == (code == 1)
    with shop.home.open_reader() as ledger:
        assert ledger.recorder.attestations((-1, 0), 10) == [], "nothing that did not verify is kept"
    run("verify", "log").good()


def test_a_witness_that_names_many_unproven_heads_keeps_nobody_waiting(shop: Shop):
    """It is shown them for as long as one request may take, and no longer."""
    asked: list[int] = []

    def reply(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        asked.append(parse_add_checkpoint(request).old)
        if len(asked) > 1:
            handler.server.ended.wait(0.4)  # type: ignore[attr-defined]
            answer(409, b"42\n", "text/x.tlog.size")(handler, request)
            return
        text = parse_note(parse_add_checkpoint(request).note).text
        lines = format_lines([cosign_checkpoint(text, KEY, VKEY.name, 1_795_420_800)])
        answer(200, lines, f"text/plain\r\n{UNPROVEN_HEADER}: {' '.join(map(str, range(1, 8)))}")(handler, request)

    for number in range(6):
        emit(number)
    with bad_witness(reply) as url:
        Path(POLICY).write_text(f"witness bad {format_vkey(VKEY)} {url}\nquorum bad\n")
        done = run("checkpoint", "witness", "--timeout", "0.5").good()
    assert asked in ([0, 1], [0, 1, 2])
    assert "it could not be shown how this log extends heads that nobody proved" in " ".join(done.out.split())


def test_a_bad_witness_does_not_keep_the_good_ones_waiting(shop: Shop):
    with witnesses(shop, 2) as _, bad_witness(silence) as url:
        policy = Path(POLICY).read_text().replace("group majority 2 w0 w1", "group majority 2 w0 w1 bad")
        Path(POLICY).write_text(f"witness bad {format_vkey(VKEY)} {url}\n{policy}")
        done = run("checkpoint", "witness", "--timeout", "0.5").good()
        assert "? bad: no answer in 0.5 s" in done.out
        assert "✓ size 2 is witnessed" in done.out


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("quorum none\n", "names no witness"),
        ("witness w\nquorum w\n", "line 1: it must have the form"),
        (f"witness w {format_vkey(VKEY)} ftp://w\nquorum w\n", "not the http or https URL"),
        (f"witness w {format_vkey(VKEY)} http://user:secret@w/\nquorum w\n", "not the http or https URL"),
        (f"log {format_vkey(VerifierKey('l', 1, OTHER.public.raw))}\nquorum none\n", "other logs than"),
    ],
)
def test_a_policy_that_asks_for_nothing_here_is_refused(shop: Shop, policy: str, words: str):
    Path(POLICY).write_text(policy)
    done = run("checkpoint", "witness")
    assert done.code in (3, 8)
    assert words in done.err


def test_a_policy_without_urls_asks_nobody_and_still_verifies(shop: Shop):
    Path(POLICY).write_text(f"witness w {format_vkey(VKEY)}\nquorum w\n")
    done = run("checkpoint", "witness")
    assert done.code == 6
    assert "the policy has no URL of it" in done.out
    run("checkpoint", "witness", "--policy", "missing").refused(8, "cannot be read")
    assert run("verify", "log", "--require-witnesses").code == 3
    run("verify", "log", "--require-witnesses", "many").refused(2, "number of entries")
    run("verify", "log", "--level", "hash", "--require-witnesses").refused(2, "--require-witnesses needs signed heads")


@pytest.mark.parametrize("how", ["others write", "a link", "a dangling link", "the folder"])
def test_a_policy_that_rests_on_others_is_damage_and_not_none(shop: Shop, how: str):
    policy = Path(POLICY)
    policy.write_text(f"witness w {format_vkey(VKEY)}\nquorum none\n")
    run("verify", "log").good()
    if how == "others write":
        policy.chmod(0o666)
    elif how == "the folder":
        policy.parent.chmod(0o777)
    else:
        policy.rename("elsewhere")
        policy.symlink_to(Path("elsewhere").resolve() if how == "a link" else "nowhere")
    words = "symbolic link" if "link" in how else "others"
    for command in (("verify", "log"), ("verify", "log", "--require-witnesses"), ("checkpoint", "witness")):
        run(*command).refused(7, words)
    assert run("doctor").code in (1, 7)
    if how == "others write":
        run("verify", "log", "--policy", policy).refused(7, words)


# -- rows that do not verify -----------------------------------------------------------------------


def test_the_owner_drops_a_bad_cosignature_and_is_told_which(any_shop: Shop):
    with witnesses(any_shop, 2) as found:
        emit(1)
        run("checkpoint", "witness").good()
        assert "nothing dropped" in run("checkpoint", "witness", "--drop-bad").good().out
        issuer = format_vkey(found[1].vkey)
        with raw(any_shop.url) as store:
            store.run("INSERT INTO $attestation VALUES (9, 3, 'cosignature', ?, ?, 0)", (issuer, b"x"))
        assert run("verify", "log").code == 1
        done = run("checkpoint", "witness", "--drop-bad", "-o", "json").good().json
        assert [(row["number"], row["issuer"], row["body"]) for row in done["dropped"]] == [(9, issuer, "eA==")]
        run("verify", "log").good()
        assert run("verify", "log", "-o", "json").json["witnessed"]["size"] == 3
