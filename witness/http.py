"""The witness over HTTP, on the standard library's server: small requests, few at a time, none for long."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ledger.addcheckpoint import MAX_REQUEST, UNPROVEN_HEADER
from ledger.errors import LedgerError
from witness.judging import PLAIN, Answer
from witness.service import Witness

__all__ = ["WitnessServer"]

#: Connections at once; more are answered with 503.
_MAX_CONNECTIONS = 64
#: Seconds for which a connection may live; whoever sends slowly is cut off.
_LIFETIME = 30.0


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "muniment-witness"
    sys_version = ""
    timeout = 10  # seconds of silence

    def setup(self) -> None:
        super().setup()
        # A clock that the other side cannot stretch by sending a byte now and then.
        self._end = threading.Timer(self.server.lifetime, self._cut)
        self._end.daemon = True
        self._end.start()

    def _cut(self) -> None:
        with suppress(OSError):  # it may be closed already
            self.connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        self._end.cancel()
        super().finish()

    def _reply(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        if answer.unproven:
            self.send_header(UNPROVEN_HEADER, " ".join(map(str, answer.unproven)))
        if answer.status in (400, 411, 413, 501):
            self.close_connection = True  # what follows may be the rest of a body
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _answer(self, answer: Answer | None) -> None:
        self._reply(answer or Answer(404, b"there is nothing here\n"))

    def do_POST(self) -> None:
        """Take a checkpoint."""
        if self.path != f"{self.server.prefix}/add-checkpoint":
            self.close_connection = True
            self._answer(None)
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdecimal()):
            self._reply(Answer(411, b"a request needs a Content-Length\n"))
            return
        if len(length) > 9 or int(length) > MAX_REQUEST:
            self._reply(Answer(413, b"the request is too large\n"))
            return
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            self.close_connection = True  # cut: there is nobody to answer
            return
        try:
            answer = self.server.witness.add_checkpoint(body)
        except LedgerError:
            self.server.report("the state failed: nothing was cosigned")
            answer = Answer(500, b"the witness cannot keep its state\n")
        if answer.evidence:
            self.server.report(f"evidence kept: {answer.evidence}")
        if answer.notice:
            self.server.report(answer.notice)
        self._reply(answer)

    def do_GET(self) -> None:
        """Show a monitor the last checkpoint."""
        prefix, digest, name = (*self.path.rsplit("/", 2), "", "")[:3]
        if prefix != self.server.prefix or name != "checkpoint" or len(digest) != 64:
            self._answer(None)
            return
        try:
            self._reply(self.server.witness.last_checkpoint(digest))
        except LedgerError:
            self._reply(Answer(500, b"the witness cannot read its state\n", PLAIN))

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


class WitnessServer(ThreadingHTTPServer):
    """Serves a witness.

    Args:
        witness: the witness.
        host: address to listen at.
        port: port; 0 for any.
        prefix: path under which it is, without a slash at the end.
        report: told what its operator should see.
        lifetime: seconds for which a connection may live.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        witness: Witness,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        prefix: str = "",
        report: Any = None,
        lifetime: float = _LIFETIME,
    ) -> None:
        self.witness = witness
        self.prefix = prefix
        self.report = report or (lambda _words: None)
        self.lifetime = lifetime
        self._free = threading.Semaphore(_MAX_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Its submission and monitoring prefix, as seen from this machine."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{self.prefix}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, unless there are too many."""
        if not self._free.acquire(blocking=False):
            with suppress(OSError):
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()  # no thread was started that would
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the other side's business."""
