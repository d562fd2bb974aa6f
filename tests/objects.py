"""Object stores for tests: moto's S3 as a process of its own, and one that answers whatever a test says."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

import pytest

#: What the tests sign requests with; no message, log or record may hold the secret ones.
KEY_ID, SECRET, TOKEN = "TESTKEYIDTESTKEYID", "testing-secret-0123456789abcdef", "testing-token-0123456789abcdef"

_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_buckets = count(1)


@contextmanager
def moto_server() -> Iterator[int]:
    """An S3 on a free port of this machine, which ends with the block."""
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(timeout=20)


def speak_with(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Set the environment for an S3 on a port of this machine."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN,
        "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_METADATA_ENDPOINT": "http://127.0.0.1:9",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


class S3Bucket:
    """A new bucket, looked at and changed with plain HTTP: by its owner, not with the library under test."""

    def __init__(self, port: int) -> None:
        self.name, self._port = f"bucket-{next(_buckets)}", port
        assert self.ask("PUT", "")[0] == 200

    @property
    def url(self) -> str:
        return f"s3://{self.name}/log"

    def ask(self, method: str, key: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=OWNER/20261126/us-east-1/s3/aws4_request"}
        connection.request(method, f"/{self.name}/{key}", body, signed)  # moto looks no further
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def get(self, key: str) -> bytes | None:
        status, body = self.ask("GET", f"log/{key}")
        assert status in (200, 404)
        return body if status == 200 else None

    def put(self, key: str, body: bytes) -> None:
        assert self.ask("PUT", f"log/{key}", body)[0] == 200

    def delete(self, key: str) -> None:
        assert self.ask("DELETE", f"log/{key}")[0] == 204


Answer = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]


@contextmanager
def scripted(answer: Callable[[str, str, dict[str, str], bytes], Answer]) -> Iterator[tuple[int, list[str]]]:
    """A server that answers as it is told; gives its port and the requests it got."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            pass

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(f"{self.command} {self.path}")
            query = {**dict(parse_qsl(parts.query)), "if-none-match": self.headers.get("If-None-Match", "")}
            status, data, *more = answer(self.command, parts.path, query, body)
            headers = {"Content-Length": str(len(data)), "ETag": '"tag"', **(more[0] if more else {})}
            headers |= {"Last-Modified": "Thu, 26 Nov 2026 09:00:00 GMT"}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else data)

        do_GET = do_PUT = do_HEAD = _answer  # noqa: N815 - names of the standard library

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            """Who hangs up on an endless answer is right to."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def listing(keys: list[str], *, more: str = "") -> bytes:
    """An answer to ListObjectsV2; ``more`` is a token for the next page."""
    rows = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-26T09:00:00.000Z</LastModified>"
        f'<ETag>"tag"</ETag><Size>1</Size></Contents>'
        for key in keys
    )
    rest = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    return f'<?xml version="1.0"?><ListBucketResult>{rows}{rest}</ListBucketResult>'.encode()
