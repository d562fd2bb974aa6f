"""Telling a platform something: a command that gets it on standard input, or a webhook.

Who is told acts, or does not; what is told has a key, so that it may be told again. Webhooks are signed as Standard
Webhooks say (webhook-id, webhook-timestamp, webhook-signature), with a secret that is in no event and in no message.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import shlex
import signal
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from ledger.errors import ConfigurationError, StorageError, TrustStateError
from ledger.statefile import read_state_file
from ledger.witnesshttp import Reply, exchange

__all__ = ["MAX_TOLD", "Channel", "Command", "Outcome", "Webhook", "read_secret"]

#: Bytes of what is told at most.
MAX_TOLD: Final = 65_536
#: What a command finds in its environment, with what it is given by name.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_SHORTEST_SECRET: Final = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of telling.

    Attributes:
        told: whether it was.
        attempts: how often it was tried.
        status: exit code of the command, or status of the answer; None when there was none.
        reason: why it was not told, empty when it was.
    """

    told: bool
    attempts: int
    status: int | None
    reason: str = ""


def _marked(name: str, whole: str) -> str:
    """A name, and a few digits of a digest: enough to tell recipients apart, too few to confirm a guessed secret."""
    return f"{name[:240]}#{sha256(whole.encode(errors='surrogateescape')).hexdigest()[:6]}"


class Channel(Protocol):
    """A way to tell."""

    @property
    def name(self) -> Literal["exec", "webhook"]:
        """Its name in events."""

    @property
    def recipient(self) -> str:
        """Who is told, without anything secret: a name, and what tells apart those of one name."""

    def tell(self, key: str, body: bytes) -> Outcome:
        """Tell it; what goes wrong is in the outcome.

        Args:
            key: the same when the same thing is told again.
            body: JSON, at most `MAX_TOLD` bytes.
        """


@dataclass(frozen=True)
class Command:
    """A command, run without a shell.

    Attributes:
        arguments: the program and its arguments.
        seconds: after which it is killed, with all that it started.
        pass_on: names of variables of our environment that it gets too.
    """

    arguments: tuple[str, ...]
    seconds: float = 30.0
    pass_on: tuple[str, ...] = ()
    name: Literal["exec"] = "exec"

    @classmethod
    def parse(cls, text: str, *, seconds: float, pass_on: Sequence[str] = ()) -> Command:
        """A command as people write it, split into words and not given to a shell.

        Raises:
            ConfigurationError: it is empty, or a quote is not closed.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise ConfigurationError(f"{text!r} is no command: {error}") from error
        if not words:
            raise ConfigurationError("the command is empty")
        return cls(words, seconds, tuple(pass_on))

    @property
    def recipient(self) -> str:
        """The program, and a mark of the whole command line: arguments may hold secrets."""
        return _marked(self.arguments[0], "\0".join(self.arguments))

    def _environment(self, key: str) -> dict[str, str]:
        names = (*_ENVIRONMENT, *self.pass_on)
        return {name: os.environ[name] for name in names if name in os.environ} | {"MUNIMENT_DECISION": key}

    def tell(self, key: str, body: bytes) -> Outcome:
        """See `Channel.tell`; its output goes to our standard error."""
        try:
            process = subprocess.Popen(  # noqa: S603 - running what the operator named is what it is for
                self.arguments, stdin=subprocess.PIPE, stdout=2, env=self._environment(key), start_new_session=True
            )
        except OSError as error:
            return Outcome(False, 1, None, f"{self.arguments[0]} cannot be run: {error.strerror}")
        try:
            process.communicate(body, timeout=self.seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Outcome(False, 1, process.returncode, f"it took more than {self.seconds:g} s and was killed")
        code = process.returncode
        return Outcome(code == 0, 1, code, "" if code == 0 else f"it ended with {code}")


def read_secret(path: Path | None, environment: Mapping[str, str], variable: str) -> bytes | None:
    """The secret that webhooks are signed with; text, or base64 behind ``whsec_``.

    Args:
        path: a file that only its owner may read; the variable is asked when None.
        environment: of this process.
        variable: its name.

    Returns:
        The secret, None when there is none.

    Raises:
        ConfigurationError: it cannot be read, others may read it, or it is too short.
    """
    if path is None:
        text = environment.get(variable)
    else:
        try:
            data = read_state_file(path)
        except TrustStateError as error:
            raise ConfigurationError(error.message, hint=error.hint) from error
        if data is None or path.stat().st_mode & 0o077:
            why = "is not there" if data is None else "can be read by others"
            raise ConfigurationError(f"the secret file {path} {why}", hint=f"chmod 600 {path}")
        text = data.decode(errors="replace").strip()
    if text is None:
        return None
    try:
        secret = b64decode(text[6:], validate=True) if text.startswith("whsec_") else text.encode()
    except ValueError as error:
        raise ConfigurationError("the secret of the webhook is no base64 behind whsec_") from error
    if len(secret) < _SHORTEST_SECRET:
        raise ConfigurationError(f"the secret of the webhook is shorter than {_SHORTEST_SECRET} bytes")
    return secret


def _loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


@dataclass(frozen=True)
class Webhook:
    """A webhook.

    Attributes:
        url: of https, or of http on this machine.
        secret: it is signed with it; not signed when None.
        seconds: for one attempt.
        pauses: seconds between attempts; there is one more attempt than pauses.
    """

    url: str = field(repr=False)  # a path or a query may be a secret
    secret: bytes | None = field(default=None, repr=False)
    seconds: float = 10.0
    pauses: tuple[float, ...] = (0.5, 2.0)
    name: Literal["webhook"] = "webhook"

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        clean = self.url.isascii() and self.url.isprintable() and " " not in self.url
        if not host or port == 0 or parts.username or parts.password or parts.fragment or not clean:
            raise ConfigurationError("the webhook is no URL with a host, without a user and without a fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
            raise ConfigurationError(
                "the webhook must be https, or http on this machine",
                hint="What is told would be readable on its way.",
            )

    @property
    def recipient(self) -> str:
        """Scheme, host and port, and a mark of the whole URL: paths and queries may hold secrets."""
        parts = urlsplit(self.url)
        return _marked(f"{parts.scheme}://{parts.netloc}", self.url)

    def headers(self, key: str, body: bytes, now: int) -> dict[str, str]:
        """What identifies and signs a message.

        Args:
            key: its id.
            body: what is told.
            now: seconds since the Unix epoch.
        """
        found = {"webhook-id": key, "webhook-timestamp": str(now), "Idempotency-Key": key}
        if self.secret is not None:
            mac = hmac.digest(self.secret, f"{key}.{now}.".encode() + body, "sha256")
            found["webhook-signature"] = "v1," + b64encode(mac).decode()
        return found

    def tell(self, key: str, body: bytes) -> Outcome:
        """See `Channel.tell`; tried again after silence, a full server and an error of the server."""
        outcome = Outcome(False, 1, None, f"it has more than {MAX_TOLD} bytes")
        if len(body) > MAX_TOLD:
            return outcome
        for attempt, pause in enumerate((0.0, *self.pauses), start=1):
            time.sleep(pause)
            outcome, again = self._once(key, body, attempt)
            if not again:
                break
        return outcome

    def _once(self, key: str, body: bytes, attempt: int) -> tuple[Outcome, bool]:
        try:
            headers = self.headers(key, body, int(time.time()))
            reply: Reply = exchange(
                "POST", self.url, body, seconds=self.seconds, kind="application/json", headers=headers
            )
        except StorageError as error:
            return Outcome(False, attempt, None, error.message), True
        status = reply.status
        if 200 <= status < 300:
            return Outcome(True, attempt, status), False
        words = "; redirects are not followed" if 300 <= status < 400 else ""
        return Outcome(False, attempt, status, f"the answer was {status}{words}"), status == 429 or status >= 500
