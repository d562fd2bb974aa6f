"""Pinned trust: damage is never first use, and a log that is not the one seen before leaves evidence of it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.casefiles import MAX_EVIDENCE_FILES
from ledger.checkpoint import parse_checkpoint
from ledger.config import state_folder
from ledger.evidence import parse_evidence
from ledger.note import format_vkey, parse_note
from tests.cli.refusing import EVENT, cut_tail, head_file, refused
from tests.cli.support import DIGEST, ORIGIN, Grow, Shop, run, run_process

READERS = [
    ("log", "-n", "0"),
    ("log", "-o", "json"),
    ("show", "1"),
    ("actor", "list"),
    ("key", "list"),
    ("proof", "consistency", "1", "2"),
    ("projection", "status"),
    ("verify", "event", "1"),
    ("verify", "log"),
    ("verify", "log", "--level", "hash"),
    ("verify", "log", "--level", "checkpoint"),
]
REFUSING = [
    EVENT,
    ("state",),
    ("log", "--graph"),
    ("report", "generate", "control-assessment"),
    ("incident", "list"),
    ("projection", "rebuild"),
    ("proof", "inclusion", "1"),
    ("checkpoint", "show"),
    ("export", "tiles", "out"),
    ("backup", "create", "out.backup"),
]


def evidence_files() -> list[Path]:
    return sorted((state_folder() / "evidence").rglob("*"))[1:]


# -- damage is never first use ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["points nowhere", "others can"])
def test_nothing_is_appended_when_the_folder_of_the_head_is_not_ours_alone(shop: Shop, how: str):
    run(*EVENT).good()
    heads, before = state_folder() / "heads", run("log", "-o", "json").good().stdout
    shutil.rmtree(heads)
    if how == "points nowhere":
        heads.symlink_to("nowhere")
    else:
        heads.mkdir()
        heads.chmod(0o775)
    for command in (EVENT, ("verify", "log"), ("show", "1")):
        run(*command).refused(7, how)
    assert run("doctor").code == 1
    heads.unlink() if how == "points nowhere" else heads.rmdir()
    assert run("log", "-o", "json").good().stdout == before


def _replaced_by(path: Path, kind: str, other: bytes) -> None:
    good = path.read_bytes()
    if kind in ("empty", "torn", "nonsense", "another ledger's", "too large"):
        path.write_bytes({
            "empty": b"", "torn": good[: len(good) // 2], "nonsense": b'{"a":1}\n', "another ledger's": other,
            "too large": good + b" " * 2_000_000,
        }[kind])  # fmt: skip
    elif kind == "others may write":
        path.chmod(0o666)
    elif kind == "the group may write":
        path.chmod(0o620)
    elif kind == "another owner's":
        os.chown(path, 12345, -1)
    else:
        moved = path.rename(path.with_name("away"))
        make: dict[str, Callable[[], object]] = {
            "a link": lambda: path.symlink_to(moved),
            "a link to nothing": lambda: path.symlink_to("nothing"),
            "a folder": path.mkdir,
            "a pipe": lambda: os.mkfifo(path),
        }
        make[kind]()


DAMAGES = [
    "empty", "torn", "nonsense", "another ledger's", "too large", "others may write", "the group may write",
    "another owner's", "a link", "a link to nothing", "a folder", "a pipe",
]  # fmt: skip


@pytest.mark.parametrize("name", ["trust", "head", "pin"])
def test_damaged_trust_state_ends_with_7_and_is_never_first_use(any_shop: Shop, isolated_environment: Path, name: str):
    Path("other").mkdir()
    run("init", "other", "--origin", ORIGIN, "--keys", "keys").good()
    run(*EVENT).good()
    ours = any_shop.home.trust().ledgerid
    state = state_folder()
    path, other = {
        "trust": (Path(".muniment/trust.json"), Path("other/.muniment/trust.json")),
        "head": (state / "heads" / f"{ours}.checkpoint",
                 next(p for p in (state / "heads").glob("*.checkpoint") if ours not in p.name)),
        "pin": next((p, q) for p in (state / "pins").iterdir() for q in (state / "pins").iterdir()
                    if ours.encode() in p.read_bytes() and ours.encode() not in q.read_bytes()),
    }[name]  # fmt: skip
    good, foreign = path.read_bytes(), other.read_bytes()
    # The files are the same whatever the store is: with PostgreSQL some of it is enough.
    for kind in DAMAGES if any_shop.url.startswith("sqlite") else DAMAGES[::4]:
        if kind == "another owner's" and os.geteuid() != 0:
            continue
        _replaced_by(path, kind, foreign)
        for command in (EVENT, ("log",), ("verify", "log"), ("verify", "log", "--level", "hash")):
            result = refused(any_shop, 7, *command, words=(str(path.name),))
            assert "first use" not in result.err, kind
        assert run("doctor").code == 1
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        path.write_bytes(good)
        path.chmod(0o600)
        run("verify", "log").good()
    run(*EVENT).good()


def test_a_trust_file_replaced_by_one_with_another_key_is_seen(any_new_shop: Shop):
    """The same ledger by name and first entry, but a key that somebody else holds."""
    import json

    from ledger.keys import Ed25519Signer
    from ledger.note import TYPE_ED25519, VerifierKey

    path = Path(".muniment/trust.json")
    data = json.loads(path.read_bytes())
    data["vkeys"].append(format_vkey(VerifierKey(ORIGIN, TYPE_ED25519, Ed25519Signer.generate().public.raw)))
    path.write_text(json.dumps(data))
    pin = (
        refused(any_new_shop, 7, "verify", "log", words=("is not what it was", "delete "))
        .err.split("delete ")[1]
        .strip()
    )
    Path(pin).unlink()  # as the message says, when it was on purpose
    run("verify", "log").good()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_head_that_was_kept(any_shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str):
    run(*EVENT).good()
    path = state_folder() / "heads" / f"{any_shop.home.trust().ledgerid}.checkpoint"
    before = path.read_bytes()
    real = getattr(os, step)

    def full(*arguments: object, **options: object) -> object:
        target = str(Path(f"/proc/self/fd/{arguments[0]}").readlink()) if step == "fsync" else str(arguments[1])
        if "/heads/" in target:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, step, full)
        recorded = run(*EVENT, "-o", "json")
    assert (recorded.code, recorded.json["index"]) == (7, 3), "the event is recorded; what failed is the memory of it"
    assert "No space left" in recorded.err
    assert path.read_bytes() == before
    assert sorted(item.suffix for item in path.parent.iterdir()) == [".checkpoint", ".lock"]
    run("verify", "log").good()
    assert parse_checkpoint(parse_note(path.read_bytes()).text).size == 4


@pytest.mark.parametrize("place", ["file.written", "file.renamed"])
def test_a_kill_while_the_head_is_kept_leaves_the_old_or_the_new_one(any_shop: Shop, place: str):
    run(*EVENT).good()
    path = state_folder() / "heads" / f"{any_shop.home.trust().ledgerid}.checkpoint"
    killed = run_process(*EVENT, cwd=any_shop.folder, MUNIMENT_CRASHPOINT=place)
    assert killed.code == -9
    assert parse_checkpoint(parse_note(path.read_bytes()).text).size == (3 if place == "file.written" else 4)
    run("verify", "log").good()
    run(*EVENT).good()


def test_two_processes_that_keep_heads_at_once_keep_the_largest(any_shop: Shop):
    code = (
        "import sys; from ledger.home import Home; home = Home.find(sys.argv[1]); ledger = home.open_reader()\n"
        "notes = [item.note for item in ledger.recorder.checkpoints(-1, 100)]\n"
        "order = notes if sys.argv[2] == '0' else notes[::-1]\n"
        "for note in order * 20:\n    home.remember(ledger, note)\n"
    )
    for _number in range(4):
        run(*EVENT).good()
    path = state_folder() / "heads" / f"{any_shop.home.trust().ledgerid}.checkpoint"
    largest = path.read_bytes()
    path.unlink()
    command = [str(Path(run_process.__globals__["sys"].executable)), "-c", code, str(any_shop.folder)]
    both = [subprocess.Popen([*command, way]) for way in ("0", "1")]
    assert [process.wait(60) for process in both] == [0, 0]
    assert path.read_bytes() == largest
    run("verify", "log").good()


# -- a log that is not the one seen before ---------------------------------------------------------


@contextmanager
def as_the_operator(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    """Another machine with the same keys, which remembers nothing."""
    with monkeypatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(home / "elsewhere"))
        yield


@pytest.fixture
def victim(grow_any: Grow) -> Shop:
    """A ledger of six entries, each signed and remembered here."""
    return grow_any(_four_more)


def _four_more(_: Shop) -> None:
    for _number in range(4):
        run(*EVENT).good()


def fork(shop: Shop, monkeypatch: pytest.MonkeyPatch, home: Path, size: int, more: int) -> None:
    """The operator forgets everything from an entry on and goes on with something else, all signed."""
    cut_tail(shop, size)
    with as_the_operator(monkeypatch, home):
        for number in range(more):
            run(*EVENT, "-d", f"name=other-{number}").good()


def damage(shop: Shop, monkeypatch: pytest.MonkeyPatch, home: Path, kind: str) -> None:
    if kind == "shrunk":
        cut_tail(shop, 3)
    elif kind == "forked":
        fork(shop, monkeypatch, home, 3, 4)
    elif kind == "forked at one size":
        fork(shop, monkeypatch, home, 3, 3)
    else:
        with as_the_operator(monkeypatch, home):
            Path("other").mkdir()
            run("init", "other", "--origin", ORIGIN, "--keys", "keys").good()
            for _ in range(6):
                run("--ledger", "other", *EVENT).good()
        url = f"sqlite:///{(Path('other') / '.muniment' / 'ledger.db').resolve()}"
        Path(".muniment/config.toml").write_text(f'ledger = "{url}"\nactor = "{shop.home.settings.actor}"\n')


KINDS = ["shrunk", "forked", "forked at one size", "replaced"]


@pytest.mark.parametrize("kind", KINDS)
def test_reading_shows_and_then_ends_with_1_and_everything_else_refuses(
    victim: Shop, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path, kind: str
):
    head = head_file(isolated_environment).read_bytes()
    damage(victim, monkeypatch, isolated_environment, kind)
    for command in READERS:
        result = run(*command)
        assert result.code == 1, f"{command}: {result.out} {result.err}"
        assert result.stdout, f"{command} shows what is there"
        assert "anchor" in result.err + result.out
        assert "bug in Muniment" not in result.err
    for command in REFUSING:
        result = run(*command)
        assert (result.code, result.stdout) == (1, b""), f"{command}: {result.code} {result.out} {result.err}"
    assert not Path("out.backup").exists()
    assert run("doctor").code == 1
    ours = [path for path in (state_folder() / "heads").glob("*.checkpoint") if path.read_bytes() == head]
    assert len(ours) == 1, "nothing that was shown here is remembered"
    (kept,) = evidence_files()
    assert kept.stat().st_mode & 0o777 == 0o600
    evidence = parse_evidence(kept.read_bytes())
    assert evidence.contradiction == kind.partition(" ")[0]
    assert evidence.known == head
    checked = run("verify", "evidence", kept, "-o", "json")
    proven = kind.startswith("forked")
    assert (checked.code, checked.json["proven"]) == ((0, True) if proven else (3, False)), checked.out


def test_evidence_is_named_once_and_never_overwritten(
    victim: Shop, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    fork(victim, monkeypatch, isolated_environment, 3, 4)
    first = run("log")
    (kept,) = evidence_files()
    assert str(kept) in first.err
    before = kept.read_bytes(), kept.stat().st_mtime_ns
    with as_the_operator(monkeypatch, isolated_environment):
        run(*EVENT).good()  # the fork goes on growing and says nothing new
    assert str(kept) in run("log").err
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in evidence_files()] == [before]


def test_evidence_is_bounded_and_a_full_disk_is_said(
    victim: Shop, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    fork(victim, monkeypatch, isolated_environment, 3, 4)
    real = os.link
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    assert "the evidence cannot be kept" in (said := run("log")).err
    assert said.code == 1
    monkeypatch.setattr(os, "link", real)
    folder = state_folder() / "evidence" / victim.home.trust().ledgerid
    assert list(folder.iterdir()) == []
    for number in range(MAX_EVIDENCE_FILES):
        (folder / f"{number:032x}.evidence").write_bytes(b"")
    assert "the evidence is not kept" in (said := run("log")).err
    assert said.code == 1
    assert len(list(folder.iterdir())) == MAX_EVIDENCE_FILES
    (folder / f"{0:032x}.evidence").unlink()
    run("log")
    assert len([path for path in folder.iterdir() if path.stat().st_size]) == 1


def test_an_expected_head_that_the_log_contradicts_leaves_evidence_too(
    victim: Shop, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    """An auditor on a machine of their own, with a head that they were given."""
    Path("head.txt").write_bytes(run("checkpoint", "show").good().stdout)
    fork(victim, monkeypatch, isolated_environment, 3, 4)
    monkeypatch.setenv("XDG_STATE_HOME", str(isolated_environment / "auditor"))
    found = run("verify", "log", "--expect", "head.txt")
    assert found.code == 1
    (kept,) = evidence_files()
    assert str(kept) in found.err
    assert parse_evidence(kept.read_bytes()).by == "the checkpoint head.txt"
    run("verify", "evidence", kept).good()


def test_evidence_is_checked_with_a_key_and_nothing_else(
    victim: Shop, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    vkey = run("checkpoint", "show", "--vkey").good().out
    fork(victim, monkeypatch, isolated_environment, 3, 4)
    run("log")
    (kept,) = evidence_files()
    alone = isolated_environment / "alone"
    alone.mkdir()
    shutil.copy(kept, alone / "e")
    (alone / "log.vkey").write_text(vkey)
    monkeypatch.chdir(alone)
    run("verify", "evidence", "e").refused(3, "--vkey")
    assert "PROVEN" in run("verify", "evidence", "e", "--vkey", "log.vkey").good().out
    assert "PROVEN" in run("verify", "evidence", "e", "--vkey", vkey.strip()).good().out
    stranger = "ledger.example/cli+86a28eb5+AdPgSH/KWo1eEN1qvW/iMdtrMFviaDgjoj/M3xYpcYNH"
    assert run("verify", "evidence", "e", "--vkey", stranger).code == 2
    assert run("verify", "evidence", "e", "--vkey", "nowhere").code == 2
    text = (alone / "e").read_bytes()
    (alone / "e").write_bytes(text.replace(b'"root":"', b'"root":"A', 1))
    run("verify", "evidence", "e", "--vkey", "log.vkey").refused(2)
    (alone / "e").write_bytes(text[:-2])
    run("verify", "evidence", "e", "--vkey", "log.vkey").refused(2)


def test_an_unsigned_log_that_contradicts_a_head_is_shown_and_not_proven(
    victim: Shop, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    """A thief of the store without the checkpoint key: what stands there now, nobody signed."""
    from ledger.application import Ledger
    from ledger.keystore import Keystore

    signer = Keystore(victim.keys).load(str(victim.home.settings.actor))
    cut_tail(victim, 3)
    with Ledger.open(victim.url, actor=victim.home.settings.actor, signers=[signer]) as ledger:
        for number in range(5):
            ledger.emit("dataset.registered", "dataset:tx", digest=DIGEST, name=f"n{number}")
    assert run("log").code == 1
    (kept,) = evidence_files()
    assert run("verify", "evidence", kept, "-o", "json").json["proven"] is False
    assert parse_evidence(kept.read_bytes()).proof_size == 8
