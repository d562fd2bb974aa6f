"""A go-between for PostgreSQL's wire protocol that cuts the connection at a chosen message."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

#: Told of each message: True when it is the client's, its type byte, its body. True cuts instead of passing it on.
Rule = Callable[[bool, bytes, bytes], bool]


def commit_request(from_client: bool, kind: bytes, body: bytes) -> bool:
    """The client asks for COMMIT."""
    return from_client and kind in b"QP" and b"COMMIT" in body


def commit_reply(from_client: bool, kind: bytes, body: bytes) -> bool:
    """The server says that COMMIT is done (CommandComplete)."""
    return not from_client and kind == b"C" and body == b"COMMIT\0"


def append_request(from_client: bool, kind: bytes, body: bytes) -> bool:
    """The client sends events (Bind; their types are among the arguments): nothing arrives."""
    return from_client and kind == b"B" and b"muniment." in body


class AppendReply:
    """The server says that an append is done (CommandComplete): it is committed, and nobody hears of it."""

    def __init__(self) -> None:
        self._sent = False

    def __call__(self, from_client: bool, kind: bytes, body: bytes) -> bool:
        self._sent = self._sent or append_request(from_client, kind, body)
        done = self._sent and not from_client and kind == b"C"
        self._sent = self._sent and not done
        return done


def never(from_client: bool, kind: bytes, body: bytes) -> bool:
    return False


class Proxy:
    """Forwards connections to a server until its rule says to cut.

    Args:
        dsn: URL of the server.
    """

    def __init__(self, dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            info = connection.info
            self._host, self._port = info.host, info.port
            login = f"{info.user}:{info.password}" if info.password else info.user
            database = info.dbname
        self._folder = Path(tempfile.mkdtemp(prefix="mp-"))  # the path of a Unix socket must be short
        self.dsn = f"postgresql://{login}@/{database}?host={self._folder}&port=5432"
        self.rule: Rule = never
        self.refusing = False
        self.cuts = 0
        self.connections = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / ".s.PGSQL.5432"))
        self._listener.listen(50)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut_next(self, rule: Rule, times: int = 1, *, then_refuse: bool = False) -> None:
        """Cut at the next messages that fit."""
        left = times

        def once(from_client: bool, kind: bytes, body: bytes) -> bool:
            nonlocal left
            if left < 1 or not rule(from_client, kind, body):
                return False
            left -= 1
            self.refusing = then_refuse and left == 0
            return True

        self.rule = once

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()
        for thread in self._threads:
            thread.join(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _cut_all(self) -> None:
        with self._lock:
            for item in self._open:
                with suppress(OSError):
                    item.shutdown(socket.SHUT_RDWR)

    def _server(self) -> socket.socket:
        if self._host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self._host}/.s.PGSQL.{self._port}")
            return server
        return socket.create_connection((self._host, self._port))

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.refusing:
                client.close()
                continue
            server = self._server()
            with self._lock:
                self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pump, args=(source, target, source is client), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        stream = source.makefile("rb")
        started = not from_client  # a client's first packet has no type byte
        try:
            while True:
                kind = stream.read(1) if started else b""
                length = stream.read(4)
                if len(length) < 4:
                    break
                body = stream.read(int.from_bytes(length, "big") - 4)
                if started and self.rule(from_client, kind, body):
                    self.cuts += 1
                    break
                target.sendall(kind + length + body)
                started = True
        except (OSError, ValueError):
            pass
        finally:
            for item in (source, target):
                with suppress(OSError):
                    item.shutdown(socket.SHUT_RDWR)
            stream.close()
            source.close()


@contextmanager
def proxy_to(dsn: str) -> Iterator[Proxy]:
    """Run a `Proxy`."""
    proxy = Proxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()
