"""Heads published in an object store: forward only, each kept once, read back as anchors, and what goes wrong.

S3 is moto's, in a process of its own; what it never does (lie, hang, refuse) a scripted server does.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import objectstore, places
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.config import state_folder
from ledger.errors import StorageError
from ledger.keys import Ed25519Signer
from ledger.objectstore import Bucket
from ledger.places import open_place
from tests.cli.refusing import EVENT, cut_tail
from tests.cli.support import ORIGIN, Shop, run, run_process
from tests.cli.test_pinned import evidence_files, fork
from tests.contract.support import raw
from tests.objects import KEY_ID, SECRET, TOKEN, S3Bucket, listing, moto_server, scripted, speak_with


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    with moto_server() as port:
        yield port


@pytest.fixture
def bucket(s3_port: int, isolated_environment: Path, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    speak_with(monkeypatch, s3_port)
    return S3Bucket(s3_port)


def kept(size: int) -> str:
    return f"checkpoints/{size:020d}"


def publish(bucket: S3Bucket) -> bool:
    return run("checkpoint", "publish", bucket.url, "-o", "json").good().json["written"]


def test_heads_are_published_forward_kept_once_and_read_back(any_shop: Shop, bucket: S3Bucket):
    run(*EVENT).good()
    assert publish(bucket) is True
    first = run("checkpoint", "show").good().stdout
    assert (bucket.get("checkpoint"), bucket.get(kept(3))) == (first, first)
    assert publish(bucket) is False
    run(*EVENT).good()
    assert publish(bucket) is True
    second = run("checkpoint", "show").good().stdout
    assert [bucket.get(name) for name in ("checkpoint", kept(3), kept(4))] == [second, first, second]
    run(*EVENT).good()
    shutil.rmtree(state_folder() / "heads")
    found = run("verify", "log", "--anchor", f"{bucket.url}/", "--no-remember", "-o", "json").good().json
    assert (found["anchored_size"], found["anchored_by"]) == (4, f"what is published in {bucket.url}")
    assert "attestations" not in {gap["kind"] for gap in found["not_verified"]}
    with raw(any_shop.url) as store:
        rows = store.run("SELECT size, kind, issuer FROM $attestation ORDER BY number")
    assert rows == [(3, "published", bucket.url), (4, "published", bucket.url)]


def test_another_history_is_never_published_over_and_every_head_that_is_kept_convicts(
    any_shop: Shop, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    for _ in range(4):
        run(*EVENT).good()
    publish(bucket)
    before = bucket.get("checkpoint")
    fork(any_shop, monkeypatch, isolated_environment, 3, 4)
    shutil.rmtree(state_folder() / "heads")  # somebody who remembers nothing, and has what was published
    run("checkpoint", "publish", bucket.url).refused(1, "not of this history", "evidence kept in")
    assert bucket.get("checkpoint") == bucket.get(kept(6)) == before
    assert bucket.get(kept(7)) is None
    (path,) = evidence_files()
    assert "PROVEN" in run("verify", "evidence", path).good().out
    # The operator of the bucket takes the last head away, or puts the head of the fork there: what is kept still tells.
    for present in (None, run("checkpoint", "show").good().stdout):
        bucket.delete("checkpoint")
        if present is not None:
            bucket.put("checkpoint", present)
        found = run("verify", "log", "--anchor", bucket.url)
        assert found.code == 1
        assert "what is published in" in found.out
    bucket.delete("checkpoint")
    run("checkpoint", "publish", bucket.url).refused(1, "not of this history")


def test_a_store_behind_what_is_published_is_refused(any_shop: Shop, bucket: S3Bucket):
    for _ in range(3):
        run(*EVENT).good()
    publish(bucket)
    cut_tail(any_shop, 3)
    shutil.rmtree(state_folder() / "heads")
    run("checkpoint", "publish", bucket.url).refused(1, "shrank")
    assert run("verify", "log", "--anchor", bucket.url).code == 1


def test_what_is_no_head_of_this_log_is_neither_read_as_one_nor_written_over(shop: Shop, bucket: S3Bucket):
    run(*EVENT).good()
    for name, content in (
        ("checkpoint", b"something of mine\n"),
        (kept(3), b"something of mine\n"),
        (kept(9), b"\x1f\x8b\xff\x00"),
        ("checkpoints/latest", b"x"),
        ("checkpoints/3/4", b"x"),
        (kept(5), run("checkpoint", "show").good().stdout),  # a head under the name of another size
    ):
        bucket.put(name, content)
        run("checkpoint", "publish", bucket.url).refused(6, "something else")
        assert bucket.get(name) == content
        run("verify", "log", "--anchor", bucket.url).refused(7, "is no checkpoint")
        bucket.delete(name)
    assert publish(bucket) is True


def test_an_object_without_end_is_not_read_to_its_end(shop: Shop, bucket: S3Bucket):
    bucket.put("checkpoint", b"x" * 65_537)
    for command in (("checkpoint", "publish", bucket.url), ("verify", "log", "--anchor", bucket.url)):
        run(*command).refused(6, "too long", "at most 65536 bytes")


def test_nothing_published_and_no_bucket_are_told_apart(shop: Shop, bucket: S3Bucket):
    run("verify", "log", "--anchor", bucket.url).refused(7, "no head is published")
    for command in (("checkpoint", "publish", "s3://nobody/log"), ("verify", "log", "--anchor", "s3://nobody/log")):
        run(*command).refused(6, "no such bucket")


# -- publishers --------------------------------------------------------------------------------------


def test_killed_between_the_two_writes_it_is_gone_on_with(shop: Shop, bucket: S3Bucket):
    run(*EVENT).good()
    assert run_process("checkpoint", "publish", bucket.url, MUNIMENT_CRASHPOINT="publish.kept").code == -9
    assert bucket.get("checkpoint") is None
    assert run("verify", "log", "--anchor", bucket.url, "-o", "json").good().json["anchored_size"] == 3
    assert publish(bucket) is True
    assert bucket.get("checkpoint") == bucket.get(kept(3))
    assert publish(bucket) is False


@pytest.mark.parametrize("mode", ["create", "replace"])
def test_a_write_whose_answer_was_lost_is_no_failure_the_next_time(
    shop: Shop, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, mode: str
):
    run(*EVENT).good()
    publish(bucket)
    run(*EVENT).good()
    write = getattr(Bucket, mode)

    def lost(self, *arguments):
        write(self, *arguments)
        raise StorageError("no answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, mode, lost)
        run("checkpoint", "publish", bucket.url).refused(6, "no answer")
    assert publish(bucket) is (mode == "create")
    assert bucket.get("checkpoint") == bucket.get(kept(4)) == run("checkpoint", "show").good().stdout


def test_of_two_publishers_at_once_neither_goes_back(shop: Shop, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch):
    """The other one publishes a later head while this one has looked and not yet written."""
    run(*EVENT).good()
    publish(bucket)
    run(*EVENT).good()
    replace, others = Bucket.replace, iter([True])

    def slow(self, *arguments):
        if next(others, False):
            run(*EVENT).good()
            publish(bucket)
        return replace(self, *arguments)

    monkeypatch.setattr(Bucket, "replace", slow)
    run("checkpoint", "publish", bucket.url).refused(6, "a head of size 5 already")
    assert bucket.get("checkpoint") == bucket.get(kept(5))
    assert publish(bucket) is False
    assert run("verify", "log", "--anchor", bucket.url, "-o", "json").good().json["anchored_size"] == 5


def test_many_publishers_of_one_head_all_succeed(bucket: S3Bucket):
    key = Ed25519Signer.generate()
    head = Checkpoint(ORIGIN, 7, bytes(32))
    note = sign_checkpoint(head, key)
    publishers = [open_place(bucket.url) for _ in range(8)]
    wrote: list[bool] = []
    moved: list[str] = []

    def work(place):
        assert place.last() == []
        start.wait()
        try:
            wrote.append(place.put(head, note))
        except Exception as error:
            moved.append(type(error).__name__)

    start = threading.Barrier(8)
    threads = [threading.Thread(target=work, args=(place,)) for place in publishers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrote, moved) == ([True], ["MovedError"] * 7)
    again = open_place(bucket.url)
    assert (again.last(), again.put(head, note)) == ([note], False)


def test_a_conflict_that_left_nothing_there_is_tried_again(bucket: S3Bucket, shop: Shop, monkeypatch):
    """S3 answers 409 to one of two writes, and the other one may have failed as well."""
    create, conflicts = Bucket.create, iter([True])
    monkeypatch.setattr(Bucket, "create", lambda self, *rest: False if next(conflicts, False) else create(self, *rest))
    assert publish(bucket) is True
    assert bucket.get("checkpoint") == bucket.get(kept(2))
    monkeypatch.setattr(Bucket, "create", lambda *_rest: False)
    run(*EVENT).good()
    run("checkpoint", "publish", bucket.url).refused(6, "others kept publishing")


# -- tiles -------------------------------------------------------------------------------------------


def test_tiles_are_those_of_a_folder_written_once_and_the_checkpoint_last(any_shop: Shop, bucket: S3Bucket):
    with any_shop.home.open() as ledger:
        for number in range(254):
            ledger.emit("monitor.signal", f"monitor:n{number}", metric="auc", value=0.5)
    died = run_process("export", "tiles", bucket.url, MUNIMENT_CRASHPOINT="publish.tiles_written")
    assert (died.code, bucket.get("checkpoint"), bucket.get(kept(256))) == (-9, None, None)
    done = run("export", "tiles", bucket.url, "-o", "json").good().json
    assert done == {"folder": bucket.url, "size": 256, "files": 2}, "the tiles were there"
    run(*EVENT).good()
    # A tile, a bundle and the head are new; the tile of the level above is the same.
    assert run("export", "tiles", bucket.url, "-o", "json").good().json["files"] == 3
    assert run("export", "tiles", bucket.url, "-o", "json").good().json["files"] == 0
    run("export", "tiles", "folder").good()
    files = [path for path in Path("folder").rglob("*") if path.is_file()]
    assert len(files) == 7
    for path in files:
        assert bucket.get(str(path.relative_to("folder"))) == path.read_bytes()
    assert run("verify", "log", "--anchor", bucket.url, "-o", "json").good().json["anchored_size"] == 257


def test_tiles_of_another_history_are_neither_written_over_nor_added_to(
    shop: Shop, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, isolated_environment: Path
):
    run("export", "tiles", bucket.url).good()
    run(*EVENT).good()
    bucket.put("tile/0/000.p/3", b"x")
    run("export", "tiles", bucket.url).refused(1, "tile/0/000.p/3", "not of this history")
    assert (bucket.get("tile/0/000.p/3"), bucket.get(kept(3))) == (b"x", None)
    run("checkpoint", "publish", bucket.url).good()
    fork(shop, monkeypatch, isolated_environment, 2, 4)
    shutil.rmtree(state_folder() / "heads")
    run("export", "tiles", bucket.url).refused(1, "not of this history", "evidence kept in")
    assert bucket.get("tile/0/000.p/6") is None


# -- stores that fail or lie --------------------------------------------------------------------------


def test_a_store_that_ignores_conditions_is_refused(shop: Shop, isolated_environment: Path, monkeypatch):
    def answer(method, _path, query, _body):
        if method == "PUT":
            assert query["if-none-match"] == "*"
            return 200, b""
        return (200, listing([])) if "list-type" in query else (404, b"")

    with scripted(answer) as (port, _):
        speak_with(monkeypatch, port)
        run("checkpoint", "publish", "s3://liar/log").refused(6, "ignores If-None-Match")


REFUSAL = f"<Error><Code>AccessDenied</Code><Message>{SECRET} {TOKEN} {KEY_ID}</Message></Error>\x1b[31m".encode()


def test_a_refusal_is_told_without_a_word_of_the_other_side(
    shop: Shop, isolated_environment: Path, monkeypatch: pytest.MonkeyPatch
):
    for status, body, words in (
        (403, REFUSAL, "access is denied, HTTP status 403 (AccessDenied)"),
        (401, REFUSAL, "access is denied, HTTP status 401"),
        (400, REFUSAL.replace(b"AccessDenied", b"<b>\x07"), "HTTP status 400"),
        (301, b"", "the region may be wrong"),
        (200, b"\xff<not xml", "it failed (GenericError)"),
    ):

        def answer(_method, _path, query, _body, status=status, body=body):
            return (404, b"") if status == 200 and "list-type" not in query else (status, body)

        with scripted(answer) as (port, _):
            speak_with(monkeypatch, port)
            for command in (("checkpoint", "publish", "s3://b12/log"), ("verify", "log", "--anchor", "s3://b12/log")):
                said = run(*command).refused(6, words).err
                assert not any(word in said for word in (SECRET, TOKEN, KEY_ID, "\x1b", "\x07", "<"))


def test_credentials_are_in_no_record(shop: Shop, bucket: S3Bucket):
    publish(bucket)
    run("verify", "log", "--anchor", bucket.url).good()
    everywhere = [path for root in (Path(), state_folder()) for path in root.rglob("*") if path.is_file()]
    assert any(bucket.url.encode() in path.read_bytes() for path in everywhere)
    for path in everywhere:
        assert not any(word.encode() in path.read_bytes() for word in (SECRET, TOKEN, KEY_ID)), path


@pytest.mark.parametrize(
    "url",
    [
        f"s3://{KEY_ID}:{SECRET}@bucket/log",
        f"s3://bucket/log?key={SECRET}",
        f"s3://bucket/log#{SECRET}",
        f"https://user:{SECRET}@bucket.example/log",
        "s3://bucket/../other",
        "s3://bucket/a//b",
        "s3://bucket/%2e%2e/b",
        "s3:///log",
        "file:///etc/passwd",
        "memory:///x",
    ],
)
def test_a_url_of_anything_else_is_refused_and_not_repeated(empty: Path, url: str):
    for command in (("checkpoint", "publish", url), ("verify", "log", "--anchor", url)):
        said = run(*command).refused(2, "s3://bucket/prefix").err
        assert SECRET not in said


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://192.0.2.1:9000", "plain http"),
        ("http://127.0.0.1.example:9000", "plain http"),
        (f"http://user:{SECRET}@127.0.0.1:9000", "no https URL"),
        ("ftp://127.0.0.1", "no https URL"),
        ("http://[::1", "no https URL"),
    ],
)
def test_plain_http_goes_to_this_machine_only(empty: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, words: str):
    speak_with(monkeypatch, 9)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    assert SECRET not in run("checkpoint", "publish", "s3://bucket/log").refused(8, words).err


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_never_sees_what_is_for_this_machine(
    bucket: S3Bucket, s3_port: int, monkeypatch: pytest.MonkeyPatch, host: str
):
    with scripted(lambda *_asked: (404, b"")) as (proxy, asked):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{s3_port}")
        assert Bucket(bucket.url).create("x", b"1")
    assert (bucket.get("x"), asked) == (b"1", [])


def test_nobody_there_no_credentials_and_silence_end_soon(
    shop: Shop, isolated_environment: Path, monkeypatch: pytest.MonkeyPatch
):
    speak_with(monkeypatch, 9)
    run("checkpoint", "publish", "s3://bucket/log").refused(6, "no connection")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    run("verify", "log", "--anchor", "s3://bucket/log").refused(8, "credentials are missing")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        speak_with(monkeypatch, silent.getsockname()[1])
        for name, words in (("_REQUEST_SECONDS", "no answer in time"), ("_SECONDS", "no answer in 0.2 s")):
            with monkeypatch.context() as patch:
                patch.setattr(objectstore, name, 0.2)
                started = time.monotonic()
                run("checkpoint", "publish", "s3://bucket/log").refused(6, words)
                assert time.monotonic() - started < 3


def test_a_list_without_end_is_left(shop: Shop, isolated_environment: Path, monkeypatch: pytest.MonkeyPatch):
    """Pages of nothing, each of which promises another one."""
    monkeypatch.setattr(objectstore, "_SECONDS", 0.5)

    def answer(_method, _path, query, _body):
        return (200, listing([], more="again")) if "list-type" in query else (404, b"")

    with scripted(answer) as (port, _):
        speak_with(monkeypatch, port)
        run("verify", "log", "--anchor", "s3://bucket/log").refused(6, "no answer in 0.5 s")


@pytest.mark.parametrize(("step", "enough"), [(1, 100), (7, 57)])
def test_of_a_million_heads_the_newest_are_read(monkeypatch: pytest.MonkeyPatch, step: int, enough: int):
    """In a few requests; the rest is said to be unread. Here a hundred of them are read at once, and not a thousand."""
    monkeypatch.setattr(places, "_MAX_KEPT", 100)
    key, total = Ed25519Signer.generate(), 1_000_000
    top = total * step

    def answer(_method, path, query, _body):
        if "list-type" in query:
            after = query.get("continuation-token") or query.get("start-after") or ""
            first = int(after[-20:]) // step + 1 if after else 1
            keys = [f"log/{kept(number * step)}" for number in range(first, min(first + 1000, total + 1))]
            return 200, listing(keys, more=keys[-1] if keys and first + 1000 <= total else "")
        size = top if path.endswith("/checkpoint") else int(path[-20:])
        return 200, sign_checkpoint(Checkpoint(ORIGIN, size, bytes(32)), key)

    with scripted(answer) as (port, asked):
        speak_with(monkeypatch, port)
        notes, more = open_place("s3://bucket/log").read()
    sizes = [int(note.split(b"\n")[1]) for note in notes]
    assert sizes == [top - number * step for number in range(len(sizes))]
    assert enough <= len(sizes) <= 100
    assert more
    assert sum("list-type" in line for line in asked) <= 10


def test_heads_that_are_not_read_are_named(shop: Shop, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch):
    for _ in range(3):
        run(*EVENT).good()
        publish(bucket)
    monkeypatch.setattr(places, "_MAX_KEPT", 2)
    gaps = run("verify", "log", "--anchor", bucket.url, "-o", "json").good().json["not_verified"]
    assert [gap["message"] for gap in gaps if gap["kind"] == "attestations"] == [
        f"more heads are published in {bucket.url} than are read at once: 2 of them were"
    ]
    bucket.delete("checkpoint")
    run("checkpoint", "publish", bucket.url).refused(6, "more than 2 heads behind the last one")


def test_a_process_that_found_nobody_ends_as_it_should(isolated_environment: Path, monkeypatch: pytest.MonkeyPatch):
    """Threads of the library that outlive its last call abort the process now and then: so several are asked."""
    speak_with(monkeypatch, 9)
    program = (
        "from ledger.errors import StorageError; from ledger.objectstore import Bucket\n"
        "try: Bucket('s3://bucket/log').read('checkpoint', 10)\n"
        "except StorageError: pass"
    )
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(8)]
    assert [process.wait(timeout=60) for process in started] == [0] * 8


# -- the library --------------------------------------------------------------------------------------


def test_the_library_is_asked_for_only_with_a_url(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    program = "import sys, cli.publishing, cli.export, ledger.places; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "obstore", None)
    run("checkpoint", "publish", "place").good()
    for command in (("checkpoint", "publish", "s3://bucket/log"), ("verify", "log", "--anchor", "gs://bucket/log")):
        run(*command).refused(8, "obstore", "[objects]'")
