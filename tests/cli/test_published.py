"""Heads published in files and in git: only ever forward, cut off and gone on with, and read back as anchors."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger import places
from ledger.config import state_folder
from tests.cli.refusing import EVENT, cut_tail
from tests.cli.support import Shop, run, run_process
from tests.cli.test_pinned import evidence_files, fork
from tests.contract.support import raw


def git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", "repo", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


@pytest.fixture(params=["file", "folder", "repo"])
def place(request: pytest.FixtureRequest, any_shop: Shop) -> Path:
    if request.param == "repo":
        subprocess.run(["git", "init", "--quiet", "repo"], check=True, timeout=60)
    elif request.param == "folder":
        Path("folder").mkdir()
    return Path(request.param)


def note_in(place: Path) -> Path:
    return place / "checkpoint" if place.is_dir() else place


def test_heads_are_published_forward_and_read_back(any_shop: Shop, place: Path):
    run(*EVENT).good()
    assert run("checkpoint", "publish", place, "-o", "json").good().json["written"] is True
    assert run("checkpoint", "publish", place, "-o", "json").good().json["written"] is False
    run(*EVENT).good()
    run("checkpoint", "publish", place).good()
    assert note_in(place).read_bytes() == run("checkpoint", "show").good().stdout
    if place.name == "repo":
        assert git("log", "--format=%s").split("\n")[0] == "checkpoint ledger.example/cli 4"
        assert git("status", "--porcelain") == ""
        assert len(git("log", "--format=%H").split()) == 2
    run(*EVENT).good()
    shutil.rmtree(state_folder() / "heads")
    found = run("verify", "log", "--anchor", place, "--no-remember", "-o", "json").good().json
    assert (found["anchored_size"], found["anchored_by"]) == (4, f"what is published in {place}")
    with raw(any_shop.url) as store:
        assert store.run("SELECT size, kind FROM $attestation ORDER BY number") == [(3, "published"), (4, "published")]


def test_another_history_is_never_published_over(
    any_shop: Shop, place: Path, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    for _ in range(4):
        run(*EVENT).good()
    run("checkpoint", "publish", place).good()
    before = note_in(place).read_bytes()
    fork(any_shop, monkeypatch, isolated_environment, 3, 4)
    shutil.rmtree(state_folder() / "heads")  # somebody who remembers nothing, and has what was published
    run("checkpoint", "publish", place).refused(1, "not of this history", "evidence kept in")
    assert note_in(place).read_bytes() == before
    found = run("verify", "log", "--anchor", place)
    assert found.code == 1
    assert "what is published in" in found.out
    (kept,) = evidence_files()
    assert "PROVEN" in run("verify", "evidence", kept).good().out


def test_a_store_behind_what_is_published_is_refused(any_shop: Shop, place: Path):
    for _ in range(3):
        run(*EVENT).good()
    run("checkpoint", "publish", place).good()
    cut_tail(any_shop, 3)
    shutil.rmtree(state_folder() / "heads")
    run("checkpoint", "publish", place).refused(1, "shrank")
    assert run("verify", "log", "--anchor", place).code == 1


def test_what_is_no_head_of_this_log_is_not_overwritten(any_shop: Shop, place: Path):
    note_in(place).write_text("something of mine\n")
    run("checkpoint", "publish", place).refused(6, "something else")
    assert note_in(place).read_text() == "something of mine\n"
    assert run("verify", "log", "--anchor", place).code == 7
    run("verify", "log", "--level", "hash", "--anchor", place).refused(2, "--anchor")


def test_what_is_published_is_read_in_bounds(any_shop: Shop, place: Path, monkeypatch: pytest.MonkeyPatch):
    """Endless data and slow answers end; history in which the file was once removed still counts."""
    run("checkpoint", "publish", place).good()
    run(*EVENT).good()
    if place.name == "repo":
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        git(*author, "rm", "--quiet", "checkpoint")
        git(*author, "commit", "--quiet", "-m", "removed")
        run("checkpoint", "publish", place).good()
        assert run("verify", "log", "--anchor", place, "-o", "json").good().json["anchored_size"] == 3
        with monkeypatch.context() as patch:
            patch.setattr(places, "_SECONDS", -1)
            run("verify", "log", "--anchor", place).refused(6, "git does not run")
    note_in(place).write_bytes(b"x" * 65_537)
    if place.name == "repo":
        git(*author, "commit", "--quiet", "-am", "endless")
    found = run("verify", "log", "--anchor", place)
    assert found.code == 6
    assert "at most 65536 bytes" in found.err


@pytest.mark.parametrize(
    "command", [("verify", "log"), ("backup", "verify", "b"), ("admin", "restored", "--reason", "x")]
)
def test_a_named_file_without_end_is_not_read_to_its_end(shop: Shop, command: tuple[str, ...]):
    run("backup", "create", "b").good()
    Path("long").write_bytes(b"x" * 70_000)
    for name, words in (("/dev/zero", "no plain file"), ("long", "is too long: such a file has at most 65536 bytes")):
        found = run(*command, "--expect", name)
        assert found.code in (2, 7)
        assert words in found.err


def test_an_event_without_end_is_not_read_to_its_end(shop: Shop):
    emit = ("emit", "external.observed", "external:x")
    for name, words in (("/dev/zero", "no plain file"), ("long", "is too long: such a file has at most 1048576 bytes")):
        Path("long").write_bytes(b" " * 1_048_577)
        for command in ((*emit, "-d", f"@{name}"), ("emit", "--envelope", name)):
            run(*command).refused(2, words)
    run(*emit, "-d", "@-", stdin=b" " * 1_048_577).refused(2, "standard input is too long")


def test_a_pipe_is_not_waited_for(shop: Shop):
    """One that nobody writes into, where a head is expected, published or to be published."""
    for pipe in (Path("pipe"), Path("folder/checkpoint")):
        pipe.parent.mkdir(exist_ok=True)
        os.mkfifo(pipe)
    Path("linked").mkdir()
    Path("linked/checkpoint").symlink_to(Path("pipe").resolve())
    with ThreadPoolExecutor() as pool:
        commands: list[tuple[str, ...]] = [
            ("verify", "log", "--anchor", place) for place in ("folder", "linked", "pipe")
        ]
        commands += [("verify", "log", "--expect", "pipe"), ("checkpoint", "publish", "folder")]
        for found in pool.map(lambda command: run_process(*command, seconds=30), commands):
            assert found.code in (6, 7)
            assert "no plain file" in found.err


def test_what_the_shell_hands_over_is_read_though_it_is_a_pipe(shop: Shop):
    note = run("checkpoint", "show").good().stdout
    run_process("verify", "log", "--expect", "/dev/stdin", stdin=note).good()
    reading, writing = os.pipe()
    os.write(writing, note)
    os.close(writing)
    run("verify", "log", "--expect", f"/dev/fd/{reading}").good()
    os.close(reading)


def test_a_commit_that_was_cut_off_is_made_by_the_next_run(shop: Shop):
    subprocess.run(["git", "init", "--quiet", "repo"], check=True, timeout=60)
    Path("repo/.git/index.lock").touch()  # somebody else holds it
    run("checkpoint", "publish", "repo").refused(6, "git failed")
    assert Path("repo/checkpoint").exists()
    Path("repo/.git/index.lock").unlink()
    assert run("checkpoint", "publish", "repo", "-o", "json").good().json["written"] is True
    assert git("show", "HEAD:checkpoint").encode() == run("checkpoint", "show").good().stdout


def test_every_head_is_committed_also_where_its_text_sorts_before_the_last_one(shop: Shop):
    subprocess.run(["git", "init", "--quiet", "repo"], check=True, timeout=60)
    for size in range(3, 11):  # "10" sorts before "9"
        run(*EVENT).good()
        if size >= 9:
            run("checkpoint", "publish", "repo").good()
    assert git("log", "--format=%s").split("\n")[:2] == [
        "checkpoint ledger.example/cli 10",
        "checkpoint ledger.example/cli 9",
    ]
    assert git("show", "HEAD:checkpoint").encode() == run("checkpoint", "show").good().stdout


def test_commits_that_are_not_read_are_named(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    subprocess.run(["git", "init", "--quiet", "repo"], check=True, timeout=60)
    for _ in range(2):
        run(*EVENT).good()
        run("checkpoint", "publish", "repo").good()
    for most, unread in ((1, True), (2, False)):
        monkeypatch.setattr(places, "_MAX_COMMITS", most)
        found = run("verify", "log", "--anchor", "repo", "-o", "json").good().json
        assert any("at once: 1 of them" in gap["message"] for gap in found["not_verified"]) is unread


def test_git_runs_nothing_of_others(shop: Shop):
    subprocess.run(["git", "init", "--quiet", "repo"], check=True, timeout=60)
    hook = Path("repo/.git/hooks/pre-commit")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    run("checkpoint", "publish", "repo").good()
    assert not Path("repo/ran").exists()
    assert git("log", "-1", "--format=%an <%ae>").strip() == "muniment <muniment@localhost>"


@pytest.fixture
def hostile(shop: Shop) -> Path:
    """A handed-over repository with a signed commit, whose settings name programs wherever git takes one."""
    subprocess.run(["git", "init", "--quiet", "repo"], check=True, timeout=60)
    run("checkpoint", "publish", "repo").good()
    signed = git("cat-file", "commit", "HEAD").replace("\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n\n", 1)
    Path("commit").write_text(
        signed.replace("SIGNATURE-----\n", "SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n")
    )
    git("update-ref", "HEAD", git("hash-object", "-t", "commit", "-w", str(Path("commit").resolve())).strip())
    evil = Path("evil").resolve()
    evil.write_text(f"#!/bin/sh\ntouch {evil.parent}/ran\nexit 1\n")
    evil.chmod(0o755)
    Path("repo/.git/hooks").mkdir(exist_ok=True)
    hooks = ("pre-commit", "post-commit", "reference-transaction", "post-index-change", "pre-auto-gc", "post-checkout")
    for name in hooks:
        Path("repo/.git/hooks", name).symlink_to(evil)
    for name in ("rev-list", "cat-file", "hash-object", "mktree", "update-index", "commit-tree", "update-ref"):
        git("config", f"alias.{name}", f"!{evil}")
    for name in ("gpg.program", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "diff.external",
                 "diff.evil.textconv", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process",
                 "core.fsmonitor", "core.gitProxy", "core.alternateRefsCommand", "remote.evil.uploadpack"):  # fmt: skip
        git("config", name, str(evil))
    for name, value in (("log.showSignature", "true"), ("commit.gpgsign", "true"), ("remote.evil.url", "."),
                        ("remote.evil.promisor", "true"), ("core.repositoryformatversion", "1"),
                        ("extensions.partialClone", "evil")):  # fmt: skip
        git("config", name, value)
    Path("repo/.gitattributes").write_text("* filter=evil diff=evil\n")
    Path("repo/.git/config").write_text(Path("repo/.git/config").read_text() + f"[core]\nworktree = {evil.parent}\n")
    return Path("ran")


def test_a_repository_that_names_programs_is_read_and_published_to_and_runs_none(hostile: Path):
    found = run("verify", "log", "--anchor", "repo", "-o", "json").good().json
    assert found["anchored_by"] == "what is published in repo"
    run(*EVENT).good()
    run("checkpoint", "publish", "repo").good()
    assert not hostile.exists()
    shown = subprocess.run(
        ["git", "-C", "repo", "cat-file", "blob", "HEAD:checkpoint"], capture_output=True, check=False, timeout=60
    )
    assert shown.returncode == 0
    assert shown.stdout == Path("repo/checkpoint").read_bytes() == run("checkpoint", "show").good().stdout
    subprocess.run(["git", "-C", "repo", "log"], capture_output=True, check=False, timeout=60)
    assert hostile.exists()  # git, asked as people ask, runs them


def test_what_a_partial_clone_left_out_is_not_fetched(hostile: Path):
    blob = git("rev-parse", "HEAD:checkpoint").strip()
    Path("repo/.git/objects", blob[:2], blob[2:]).unlink()
    run("verify", "log", "--anchor", "repo").refused(6, "git failed", "missing blob")
    assert not hostile.exists()
