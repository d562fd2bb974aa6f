"""What is kept outside a store, changed by somebody else: this machine's trust state, and files that are handed over.

A damaged trust state is exit 7 (or 1, when it is whole and contradicts the log), never a first use and never another
error. A damaged file is never accepted; of bundles we and the one-file verify.py say the same.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.bundle import Selection
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.entry import format_entry
from ledger.errors import LedgerError, exit_code
from ledger.evidence import Evidence, Shown, format_evidence, parse_evidence, verify_evidence
from ledger.home import Home
from ledger.proof import verify_proof
from ledger.statefile import MAX_STATE_FILE
from ledger.trust import RememberedHead, TrustPin
from ledger.verdicts import EXIT_OF
from ledger.verified import VerifiedMark
from tests.attacks.oracle import Attacker, Known, Row, row_of
from tests.attacks.tamper import four_ways
from tests.cli.support import run
from tests.contract.bundles import bundle_of, ours, theirs, vkey_of
from tests.contract.support import ORIGIN, Cast
from tests.contract.tampering import sixteen
from tests.faults.scorecard import Result

NewUrl = Callable[[], str]
EVENT = ("emit", "dataset.registered", "dataset:late", "-d", f"digest=sha256:{'a' * 64}")


# -- trust state -----------------------------------------------------------------------------------


@contextmanager
def _machine(folder: Path, url: str) -> Iterator[tuple[Home, Home]]:
    """A machine that knows two ledgers, each verified in full and remembered."""
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        for kind in ("CONFIG", "STATE", "CACHE", "DATA"):
            (folder / kind).mkdir(mode=0o700)
            patch.setenv(f"XDG_{kind}_HOME", str(folder / kind))
        homes = []
        for name, options in (("mine", ("--ledger", url)), ("other", ())):
            (folder / name).mkdir()
            patch.chdir(folder / name)
            run(*options, "init", "--origin", f"ledger.example/{name}", "--keys", "keys").good()
            run(*EVENT).good()
            run("verify", "log", "--jobs", "1").good()
            homes.append(Home.find(str(folder / name)))
        patch.chdir(folder / "mine")
        yield homes[0], homes[1]


def _kept(home: Home) -> dict[str, Path]:
    trust = home.trust()
    assert trust is not None
    assert home.trust_path is not None
    head = RememberedHead(trust).path
    return {
        "trust.json": home.trust_path,
        "pin": TrustPin(home.trust_path).path,
        "head": head,
        "mark": VerifiedMark(trust).path,
    }


def _damages(good: bytes, other: bytes, share: float, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """What was done in words, and the bytes."""
    for place in range(len(good)):
        for changed in four_ways(good, place, chance):
            if chance.random() < share:
                yield f"byte {place}: {good[place]} -> {changed[place]}", changed
        if chance.random() < share and place < len(good.rstrip()):  # without the last newline nothing is missing
            yield f"cut to {place}", good[:place]
    yield "emptied", b""
    yield "another ledger's", other
    yield "doubled", good + good
    yield "longer than any", good + b" " * MAX_STATE_FILE


def trust_state(folder: Path, new_url: NewUrl, share: float, seed: int) -> Result:
    """Every byte of the trust file, its note, the remembered head and the mark of the last verification.

    Args:
        folder: empty.
        new_url: gives an empty store.
        share: part of the changes of bytes that is tried.
        seed: of the choice.
    """
    result, chance = (
        Result.counting("accepted", "first use", "crashed", "other exit", "not undone"),
        random.Random(seed),
    )
    with _machine(folder, new_url()) as (mine, other), pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.trust.os.fsync", lambda descriptor: None)
        theirs, files = _kept(other), _kept(mine)
        for name, path in files.items():
            before = {key: item.read_bytes() for key, item in files.items()}
            for what, data in _damages(before[name], theirs[name].read_bytes(), share, chance):
                path.write_bytes(data)
                _look(result, name, what, (before[name], data))
                for key, item in files.items():
                    item.write_bytes(before[key])
        if run("verify", "log").code != 0:
            result.failed("not undone", "the ledger does not verify after the last trial")
    return result


#: What the oracle says of each file.
_ROWS = {
    "trust.json": row_of(Attacker.VERIFIER, "trust.json: any byte"),
    "pin": row_of(Attacker.VERIFIER, "the note about trust.json: any byte"),
    "head": row_of(Attacker.VERIFIER, "the remembered head: any byte"),
    "mark": row_of(Attacker.VERIFIER, "the mark of the last verification: any byte"),
}


def _look(result: Result, name: str, what: str, change: tuple[bytes, bytes]) -> None:
    result.n += 1
    row = _ROWS[name]
    row.judge([], None, ended=True)
    found = run("verify", "log", "--jobs", "1", "-o", "json")
    kind = f"{name}: exit {found.code}"
    result.figures[kind] = result.figures.get(kind, 0) + 1
    what = f"{name}, {what}: exit {found.code} {found.err[-300:]}"
    if found.code == 70 or "Traceback" in found.err:
        result.failed("crashed", what)
    elif found.code == 0:
        if not _harmless(name, change, found.json):
            result.failed("accepted", what)
    elif found.code not in row.exits:
        result.failed("other exit", what)
    if "first use" in found.err + found.out:
        result.failed("first use", what)


def _harmless(name: str, change: tuple[bytes, bytes], report: Any) -> bool:
    """Whether a change may pass: words for people, and a mark that nothing rested on, all being judged again."""
    try:
        before, after = (json.loads(data) for data in change)
    except ValueError:
        return False
    differ = {key for key in before if before[key] != after.get(key)}
    if name == "pin":
        return differ == {"path"}
    if name == "mark":
        judged_again = report["earlier"] is None or report["verified_from"] in (None, 0)
        return differ == {"at"} or judged_again
    return False


# -- files that are handed over --------------------------------------------------------------------


def bundles(folder: Path, new_url: NewUrl, share: float, seed: int) -> Result:
    """Every byte of a bundle in four ways, put to us and to verify.py.

    Args:
        folder: for files.
        new_url: gives an empty store.
        share: part of the changes that is tried.
        seed: of the choice.
    """
    result, chance = Result.counting("accepted", "we and verify.py differ", "crashed"), random.Random(seed)
    cast, _ = sixteen(new_url())
    key = vkey_of(cast)
    for selection in (Selection("all"), Selection("indexes", (3, 11, 15))):
        good = bundle_of(cast, selection)
        assert str(ours(good, key).verdict) == theirs(folder / "b", good, key)["verdict"] == "verified"
        for place in range(len(good)):
            for data in four_ways(good, place, chance):
                if chance.random() < share:
                    _put_to_both(result, folder / "b", data, key, f"{selection.kind}, byte {place}")
    cast.recorder.close()
    return result


def _put_to_both(result: Result, path: Path, data: bytes, key: str, what: str) -> None:
    result.n += 1
    try:
        mine, other = ours(data, key), theirs(path, data, key)
    except Exception as error:
        result.failed("crashed", f"{what}: {error!r}")
        return
    verdicts = {str(mine.verdict), other["verdict"]}
    row = row_of(Attacker.COURIER, "bundle: any byte", Known.HEAD)
    if "verified" in verdicts or row.judge(mine.findings, None) or EXIT_OF[mine.verdict] not in row.exits:
        result.failed("accepted", what)
    if len(verdicts) > 1 or str(mine.findings[0].fault) != other["findings"][0]["fault"]:
        result.failed("we and verify.py differ", f"{what}: {mine.findings[:1]} {other['findings'][:1]}")


def evidence_files(folder: Path, new_url: NewUrl, share: float, seed: int) -> Result:
    """Every byte of an evidence file about a fork, and of one about a log that was never forked.

    The first may say what it said or nothing, the second must never be a proof.

    Args:
        folder: unused, as for the others.
        new_url: gives an empty store.
        share: part of the changes that is tried.
        seed: of the choice.
    """
    result, chance = Result.counting("accepted", "crashed"), random.Random(seed)
    cast, _ = sixteen(new_url())
    for name, evidence in (("fork", _evidence(cast, forked=True)), ("no fork", _evidence(cast, forked=False))):
        good = format_evidence(evidence)
        true = _proves(cast, good, result, "as it is")
        if (true is not None) != (name == "fork"):
            result.failed("accepted", f"{name}: an untouched file is not judged as it must be")
        for place in range(len(good)):
            for data in four_ways(good, place, chance):
                if chance.random() < share:
                    result.n += 1
                    said = _proves(cast, data, result, f"{name}, byte {place}")
                    if said is not None and said != true:
                        result.failed("accepted", f"{name}, byte {place}: {good[place]} -> {data[place]}")
    cast.recorder.close()
    return result


def _evidence(cast: Cast, *, forked: bool) -> Evidence:
    """A head of 12 entries against one of 16: of the same history, or of two that the checkpoint key signed."""
    notes = {item.size: item.note for item in cast.recorder.checkpoints(-1, 10)}
    trust, head = cast.new.trust, cast.recorder.head()
    before = trust.verify_head(notes[12])
    if forked:
        before = Checkpoint(ORIGIN, 12, bytes(32))
        notes[12] = sign_checkpoint(before, cast.new.checkpoint)
    root = trust.verify_head(notes[16]).root
    real = trust.verify_head({item.size: item.note for item in cast.recorder.checkpoints(-1, 10)}[12]).root
    return Evidence(
        "forked", trust.ledgerid, trust.origin, trust.genesis, trust.vkeys, "a witness", notes[12],
        Shown(trust.ledgerid, trust.origin, trust.genesis, head.size, root, notes[16]),
        real, 16, cast.admin.prove_consistency(12, 16), 1_795_420_800_000_000,
    )  # fmt: skip


def _refused(result: Result, row: Row, error: LedgerError, what: str) -> None:
    """A file that is refused must be so with an exit code that the oracle says."""
    if row.judge([], None, ended=True) or exit_code(error) not in row.exits:
        result.failed("crashed", f"{what}: exit code {exit_code(error)}: {error}")


def _proves(cast: Cast, data: bytes, result: Result, what: str) -> Any:
    try:
        verdict = verify_evidence(parse_evidence(data), cast.new.trust.verify_head)
    except LedgerError as error:
        _refused(result, row_of(Attacker.COURIER, "evidence: any byte", Known.HEAD), error, what)
        return None
    except Exception as error:
        result.failed("crashed", f"{what}: {error!r}")
        return None
    return (verdict.known, verdict.shown) if verdict.proven else None


def proof_files(folder: Path, new_url: NewUrl, share: float, seed: int) -> Result:
    """Every byte of a proof file and of the entry it is about.

    Args:
        folder: unused, as for the others.
        new_url: gives an empty store.
        share: part of the changes that is tried.
        seed: of the choice.
    """
    result, chance = Result.counting("accepted", "crashed"), random.Random(seed)
    cast, _ = sixteen(new_url())
    verify_head = cast.new.trust.verify_head
    row = row_of(Attacker.COURIER, "proof file: any byte", Known.HEAD)
    for index in range(16):
        proof = cast.admin.prove_inclusion(index)
        entry = format_entry(cast.recorder.rows(index, 1)[0].entry)
        verify_proof(proof, entry, verify_head)
        both = proof + entry
        for place in range(len(both)):
            for data in four_ways(both, place, chance):
                if chance.random() >= share:
                    continue
                result.n += 1
                try:
                    verify_proof(data[: len(proof)], data[len(proof) :], verify_head)
                except LedgerError as error:
                    _refused(result, row, error, f"{index}, byte {place}")
                    continue
                except Exception as error:
                    result.failed("crashed", f"{index}, byte {place}: {error!r}")
                    continue
                result.failed("accepted", f"{index}, byte {place}: {both[place]} -> {data[place]}")
    cast.recorder.close()
    return result
