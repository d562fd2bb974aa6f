"""The witness over HTTP: the answers of the specification, and patience that ends."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ledger.addcheckpoint import MAX_REQUEST
from ledger.checkpoint import format_checkpoint, verify_checkpoint
from ledger.cosignature import parse_lines, verify_lines
from tests.witness.support import Log, call, made, post, serving

LOG = Log()


@pytest.fixture
def server(tmp_path: Path):
    witness = made(tmp_path / "w", LOG)
    with serving(witness, prefix="/w1", lifetime=1.5) as found:
        yield found
    witness.close()


def test_the_answers_are_those_of_the_specification(server):
    status, kind, body = post(server.url, LOG.request(0, 5))
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert body.endswith(b"\n")
    assert verify_lines(format_checkpoint(LOG.checkpoint(5)), parse_lines(body), [server.witness.vkey])
    assert post(server.url, LOG.request(3, 9)) == (409, "text/x.tlog.size", b"5\n")
    assert post(server.url, LOG.request(5, 9, ()))[0] == 422
    assert post(server.url, Log(origin="ledger.example/other").request(0, 9))[0] == 404
    assert post(server.url, b"nonsense")[0] == 400
    assert post(server.url, LOG.request(9, 5))[0] == 400
    status, kind, note = call(server.url, "GET", f"/{LOG.digest}/checkpoint")
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert verify_checkpoint(note, [LOG.vkey, server.witness.vkey]) == LOG.checkpoint(5)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/add-checkpoint", 404),
        ("GET", f"/{'0' * 64}/checkpoint", 404),
        ("GET", f"/{LOG.digest}/else", 404),
        ("GET", "/../../etc/passwd", 404),
        ("POST", "/", 404),
        ("POST", "/add-checkpoint/", 404),
        ("PUT", "/add-checkpoint", 501),
        ("DELETE", "/add-checkpoint", 501),
    ],
)
def test_there_is_nothing_else(server, method: str, path: str, status: int):
    assert call(server.url, method, path, b"" if method != "GET" else None)[0] == status
    parts = urlsplit(server.url)
    outside = f"http://{parts.hostname}:{parts.port}"
    assert post(outside, LOG.request(0, 5))[0] == 404, "only below its prefix"


def test_what_is_too_large_or_without_a_length_is_not_read(server):
    parts = urlsplit(server.url)
    for header, status in (
        (f"Content-Length: {MAX_REQUEST + 1}", 413),
        ("Content-Length: 99999999999999999999", 413),
        ("Content-Length: -1", 411),
        ("Content-Length: +5", 411),
        ("Transfer-Encoding: chunked", 411),
        ("X-Nothing: 1", 411),
    ):
        with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
            connection.sendall(f"POST /w1/add-checkpoint HTTP/1.1\r\nHost: w\r\n{header}\r\n\r\n".encode())
            answer = connection.makefile("rb").readline()
        assert f" {status} ".encode() in answer, (header, answer)
    assert post(server.url, LOG.request(0, 5))[0] == 200


def test_a_connection_is_kept_for_the_next_request(server):
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    for old, size, status in ((0, 5, 200), (0, 9, 409), (5, 9, 200)):
        connection.request("POST", "/w1/add-checkpoint", LOG.request(old, size))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_who_sends_slowly_or_nothing_is_cut_off_and_others_are_served(server):
    parts = urlsplit(server.url)
    address = (parts.hostname, parts.port)
    silent = [socket.create_connection(address, timeout=60) for _ in range(10)]
    dripping = socket.create_connection(address, timeout=60)
    dripping.sendall(b"POST /w1/add-checkpoint HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
    ended = threading.Event()

    def drip() -> None:
        try:
            while True:
                dripping.sendall(b"o")
                time.sleep(0.1)
        except OSError:
            ended.set()

    threading.Thread(target=drip, daemon=True).start()
    assert post(server.url, LOG.request(0, 5))[0] == 200
    assert ended.wait(25), "a byte now and then does not keep a connection"  # it would be 30 s if nobody had said 1.5
    for connection in silent:
        assert connection.recv(1) == b""
        connection.close()
    dripping.close()


def test_too_many_connections_are_turned_away_and_it_goes_on(server):
    parts = urlsplit(server.url)
    waiting = [socket.create_connection((parts.hostname, parts.port), timeout=60) for _ in range(64)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.create_connection((parts.hostname, parts.port), timeout=60) as one_more:
            one_more.settimeout(0.3)
            try:
                answer = one_more.makefile("rb").readline()
            except TimeoutError:
                continue
        if b" 503 " in answer:
            break
    assert b" 503 " in answer
    for connection in waiting:
        connection.close()
    deadline = time.monotonic() + 60
    while (status := post_or_none(server.url)) != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == 200


def post_or_none(url: str) -> int | None:
    try:
        return post(url, LOG.request(0, 5))[0]
    except OSError:
        return None


def test_a_state_that_fails_is_an_error_and_no_cosignature(server):
    server.witness.state._connection.execute("PRAGMA query_only = 1")
    said: list[str] = []
    server.report = said.append
    status, _, body = post(server.url, LOG.request(0, 5))
    assert status == 500
    assert b"\xe2\x80\x94" not in body
    assert said == ["the state failed: nothing was cosigned"]
    server.witness.state._connection.execute("PRAGMA query_only = 0")
    assert post(server.url, LOG.request(0, 5))[0] == 200
