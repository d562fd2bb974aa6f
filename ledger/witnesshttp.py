"""Talking to others over HTTP, a witness say: one small answer, in a time that the other side cannot stretch.

On the standard library's client.
Redirects are not followed, proxies of the environment are not used, and nothing is sent but what is given: to a witness
the signed head and its proof, which are public.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from ledger.addcheckpoint import UNPROVEN_HEADER
from ledger.errors import ConfigurationError, StorageError

__all__ = ["MAX_REPLY", "Reply", "check_url", "exchange"]

#: Bytes of an answer that are read at most: 16 signature lines, or a checkpoint.
MAX_REPLY = 65_536


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        status: of HTTP.
        kind: content type without its parameters, lower case.
        body: at most `MAX_REPLY` bytes.
        unproven: the header by which Muniment's witness names heads that it keeps as unproven.
    """

    status: int
    kind: str
    body: bytes
    unproven: str = ""


def check_url(url: str) -> str:
    """Check the URL prefix of a witness.

    Returns:
        The same without slashes at the end.

    Raises:
        ConfigurationError: it is not an http or https URL with a host and nothing but a path.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    bare = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not parts.hostname or not bare or port == 0 or not url.isascii():
        raise ConfigurationError(f"{url[:200]!r} is not the http or https URL of a witness")
    return url.rstrip("/")


def _connect(url: str, seconds: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = str(parts.hostname)
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=seconds)
    return http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=ssl.create_default_context())


class _Deadline(threading.Timer):
    """Cuts connections after some seconds: the timeout of a socket begins anew with every byte, this one does not."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds, self._cut)
        self.daemon = True
        self.passed = threading.Event()
        self.opened: list[socket.socket] = []
        self.start()

    def _cut(self) -> None:
        self.passed.set()
        for sock in self.opened:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def exchange(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    seconds: float = 10.0,
    kind: str = "",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one request and read its answer.

    Args:
        method: GET or POST.
        url: checked by `check_url`, with a path added.
        body: of a POST.
        seconds: for everything together.
        kind: content type of the body, empty for none.
        headers: more of them.

    Raises:
        StorageError: no answer came in that time, or one that is none, or one that is too large.
    """
    connection = _connect(url, seconds)
    sent = {"Connection": "close", **({"Content-Type": kind} if kind else {}), **(headers or {})}
    deadline = _Deadline(seconds)
    try:
        connection.connect()
        deadline.opened.append(connection.sock)  # the connection forgets it while it reads the answer
        parts = urlsplit(url)
        connection.request(method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, sent)
        answer = connection.getresponse()
        data = answer.read(MAX_REPLY + 1)
        status, type_ = answer.status, answer.headers.get("Content-Type", "")
        unproven = answer.headers.get(UNPROVEN_HEADER, "")
        left = answer.length  # None where the end of the connection is the end of the answer
    except (OSError, http.client.HTTPException) as error:
        words = (
            f"no answer in {seconds:g} s"
            if deadline.passed.is_set() or isinstance(error, TimeoutError)
            else _words(error)
        )
        raise StorageError(words) from error
    finally:
        deadline.cancel()
        connection.close()
    if deadline.passed.is_set():  # what was read may be cut
        raise StorageError(f"no answer in {seconds:g} s")
    if len(data) > MAX_REPLY:
        raise StorageError(f"an answer of more than {MAX_REPLY} bytes")
    if left:
        raise StorageError("an answer that was cut off")
    return Reply(status, type_.partition(";")[0].strip().lower(), data, unproven)


def _words(error: Exception) -> str:
    if isinstance(error, http.client.HTTPException):
        return f"no HTTP answer ({type(error).__name__})"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
