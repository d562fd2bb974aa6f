"""An object store (S3, GCS, Azure) as a few small objects: read, listed, and written only on a condition.

Nothing is overwritten blindly: an object is made where there is none, or replaced where it is the one that was read.
Credentials and the endpoint come from the usual variables of the environment, never from the URL. What the library says
of an error holds what the other side sent and may name keys, so no word of it is passed on.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ledger.errors import ConfigurationError, InputError, StorageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["Bucket", "Stored", "check_object_url", "is_url"]

_URL = re.compile(r"(s3|gs|az)://[a-z0-9][a-z0-9._-]{1,254}((?:/[A-Za-z0-9!_.*'()=,+-]+)*)/?")
#: Variables that name another endpoint than the service's own, the first one that is set.
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
#: What the library calls them.
_SETTINGS = {"s3": "endpoint", "gs": "base_url", "az": "endpoint"}
#: For everything that one call asks, for one request, and for its connection.
_SECONDS, _REQUEST_SECONDS, _CONNECT_SECONDS = 60.0, 10.0, 5.0
_AT_ONCE = 16

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_SIGNS = (
    ("kind: Timeout", "no answer in time"),
    ("kind: Connect", "no connection"),
    ("BadScheme", "it would be plain http"),
    ("Missing", "credentials are missing"),
    ("redirect", "it is elsewhere: the region may be wrong"),
)
_Result = TypeVar("_Result")


def is_url(place: str) -> bool:
    """Whether a place is meant as a URL, and not as a file or folder."""
    return "://" in place


def check_object_url(url: str) -> str:
    """Check the URL of a place in an object store.

    Args:
        url: ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``.

    Returns:
        The same without a slash at the end.

    Raises:
        InputError: it is another one, or has more in it. It is not repeated: people put credentials there.
    """
    match = _URL.fullmatch(url)
    if match is None or {".", ".."} & set(match[2].split("/")):
        raise InputError(
            "the URL is none of s3://bucket/prefix, gs://bucket/prefix and az://container/prefix",
            hint="Credentials and the endpoint come from the environment: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, …",
        )
    return url.rstrip("/")


def _library() -> ModuleType:
    try:
        import obstore  # noqa: PLC0415 - only who publishes in an object store needs it
        import obstore.exceptions  # noqa: PLC0415
        import obstore.store  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "object stores need the package obstore, which is not installed", hint="pip install 'muniment[objects]'"
        ) from error
    return obstore


def _work(todo: SimpleQueue[tuple[int, Callable[[], Any]]], done: SimpleQueue[tuple[int, Any]]) -> None:
    with suppress(Empty):
        while True:
            index, job = todo.get_nowait()
            try:
                done.put((index, job()))
            except Exception as error:  # noqa: BLE001 - it is raised again by who waits
                done.put((index, error))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _endpoint(scheme: str) -> str | None:
    """The endpoint that the environment names, None for the service's own.

    Raises:
        ConfigurationError: it is no https URL, nor an http URL of this machine.
    """
    name = next((name for name in _ENDPOINTS[scheme] if os.environ.get(name)), None)
    if name is None:
        return None
    value = os.environ[name]
    try:
        parts = urlsplit(value)
        host, bare = parts.hostname or "", not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        host, bare = "", False
    if not host or not bare or parts.scheme not in ("http", "https"):
        raise ConfigurationError(f"{name} is no https URL", hint="It is a URL such as https://storage.example:9000")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(
            f"{name} is a plain http URL of another machine", hint="Use https; plain http is for 127.0.0.1 only."
        )
    return value


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that was read.

    Attributes:
        data: its bytes.
        tag: its entity tag, by which S3 and Azure know it again; empty where there is none.
        version: its generation, by which GCS does; empty where there is none.
    """

    data: bytes
    tag: str
    version: str


class Bucket:
    """A place in an object store. Every call ends within a minute.

    Args:
        url: checked by `check_object_url`.

    Raises:
        ConfigurationError: the package that speaks with object stores is missing, or the environment is wrong.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._library = _library()
        scheme = url.partition(":")[0]
        endpoint = _endpoint(scheme)
        config = {} if endpoint is None else {_SETTINGS[scheme]: endpoint}
        if scheme == "s3":
            config["conditional_put"] = "etag"
        options: dict[str, Any] = {
            "allow_http": False,
            "allow_invalid_certificates": False,
            "timeout": timedelta(seconds=_REQUEST_SECONDS),
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        }
        if endpoint is not None and urlsplit(endpoint).scheme == "http":
            # A proxy named by us takes the place of the environment's, and then none is used for this machine.
            options |= {"allow_http": True, "proxy_url": endpoint, "proxy_excludes": urlsplit(endpoint).hostname}
        retry = {"max_retries": 1, "retry_timeout": timedelta(seconds=_REQUEST_SECONDS)}
        try:
            self._store: ObjectStore = self._library.store.from_url(
                url, config=config, client_options=options, retry_config=retry
            )
        except (self._library.exceptions.BaseError, ValueError) as error:
            raise ConfigurationError(
                f"{url} cannot be opened: {self._why(error)}",
                hint="Credentials, region and endpoint come from the environment.",
            ) from None

    def _run(self, *jobs: Callable[[], _Result]) -> list[_Result]:
        """Do jobs, several at once, in bounded time; gives their results in that order.

        The library's blocking calls on threads of our own: with its asynchronous ones the process often aborts when it
        ends. Nobody waits for a thread that is not back in time.
        """
        errors, end = self._library.exceptions, time.monotonic() + _SECONDS
        todo: SimpleQueue[tuple[int, Callable[[], _Result]]] = SimpleQueue()
        done: SimpleQueue[tuple[int, _Result | Exception]] = SimpleQueue()
        for item in enumerate(jobs):
            todo.put(item)
        threads = [Thread(target=_work, args=(todo, done), daemon=True) for _ in jobs[:_AT_ONCE]]
        for thread in threads:
            thread.start()
        found: dict[int, _Result] = {}
        try:
            while len(found) < len(jobs):
                index, result = done.get(timeout=max(0.0, end - time.monotonic()))
                if isinstance(result, Exception):
                    raise result
                found[index] = result
        except Empty:
            raise StorageError(f"{self.url}: no answer in {_SECONDS:g} s", hint="Try again.") from None
        except (errors.BaseError, OSError, ValueError) as error:
            raise self._failed(error) from None
        finally:
            with suppress(Empty):
                while True:
                    todo.get_nowait()
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
        return [found[index] for index in range(len(jobs))]

    def _failed(self, error: Exception) -> StorageError:
        code, why = _CODE.search(str(error)), self._why(error)
        if isinstance(error, FileNotFoundError) or (code and code[1] in _NO_BUCKET):
            return StorageError(f"{self.url}: there is no such bucket", hint="Make it, or name another.")
        if isinstance(
            error, (self._library.exceptions.PermissionDeniedError, self._library.exceptions.UnauthenticatedError)
        ):
            return StorageError(
                f"{self.url}: access is denied, {why}",
                hint="Who publishes there must be allowed to read, list and write; who verifies, to read and list.",
            )
        return StorageError(f"{self.url}: {why}", hint="Try again; what is there stays.")

    @staticmethod
    def _why(error: Exception) -> str:
        text = str(error)
        status, code = _STATUS.search(text), _CODE.search(text)
        if status:
            return f"HTTP status {status[1]}" + (f" ({code[1]})" if code else "")
        return next((words for sign, words in _SIGNS if sign in text), f"it failed ({type(error).__name__})")

    def _get(self, name: str, limit: int) -> Stored | None:
        try:
            found = self._library.get(self._store, name)
        except FileNotFoundError:
            return None
        parts, size = [], 0
        for part in found.stream(min_chunk_size=limit + 1):
            size += len(part)
            if size > limit:
                raise StorageError(f"{name} in {self.url} is too long: such an object has at most {limit} bytes")
            parts.append(bytes(part))
        return Stored(b"".join(parts), found.meta["e_tag"] or "", found.meta["version"] or "")

    def read(self, name: str, limit: int) -> Stored | None:
        """Read an object.

        Args:
            name: of the object, below the URL.
            limit: the most bytes that it may have; no more are read.

        Returns:
            The object, None when there is none.

        Raises:
            StorageError: it is longer, may not be read, or nobody answers.
        """
        return self._run(partial(self._get, name, limit))[0]

    def read_all(self, names: Sequence[str], limit: int) -> list[bytes]:
        """Read objects that were listed, several at once.

        Args:
            names: of the objects.
            limit: the most bytes that each may have.

        Returns:
            Their bytes, in that order.

        Raises:
            StorageError: as `read`, or one is gone meanwhile.
        """
        found = self._run(*(partial(self._get, name, limit) for name in names))
        if None in found:
            raise StorageError(f"{names[found.index(None)]} in {self.url} was listed and is gone", hint="Try again.")
        return [item.data for item in found if item is not None]

    def names(self, folder: str, after: str | None, limit: int) -> tuple[list[str], bool]:
        """List objects in order of their names.

        Args:
            folder: the part before the last slash of the names.
            after: a name; those behind it are listed. None lists from the first on.
            limit: how many at most.

        Returns:
            Their names, below the URL, and whether there are more.

        Raises:
            StorageError: they may not be listed, or nobody answers.
        """

        def work() -> list[str]:
            found: list[str] = []
            for page in self._library.list(self._store, folder, offset=after, chunk_size=limit + 1):
                found += [item["path"] for item in page]
                if len(found) > limit:
                    break
            return found

        found = self._run(work)[0]
        return found[:limit], len(found) > limit

    def create(self, name: str, data: bytes) -> bool:
        """Write an object where there is none.

        Args:
            name: of the object.
            data: its bytes.

        Returns:
            Whether it was written: False when there is one already.

        Raises:
            StorageError: it may not be written, or nobody answers; then it may have been written all the same.
        """
        return self._run(partial(self._put, name, data, "create"))[0]

    def create_all(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Write objects where there are none, several at once.

        Args:
            objects: their names and bytes.

        Returns:
            Of each whether it was written, as `create`.

        Raises:
            StorageError: as `create`; some of them may have been written.
        """
        return self._run(*(partial(self._put, name, data, "create") for name, data in objects))

    def replace(self, name: str, data: bytes, present: Stored) -> bool:
        """Write an object in the place of one that was read.

        Args:
            name: of the object.
            data: its bytes.
            present: what was read.

        Returns:
            Whether it was written: False when it is another one by now.

        Raises:
            StorageError: as `create`.
        """
        known = {"e_tag": present.tag, "version": present.version}
        return self._run(partial(self._put, name, data, {key: value for key, value in known.items() if value}))[0]

    def _put(self, name: str, data: bytes, mode: object) -> bool:
        errors = self._library.exceptions
        try:
            self._library.put(self._store, name, data, mode=mode, use_multipart=False)
        except (errors.AlreadyExistsError, errors.PreconditionError):
            return False
        return True
