"""Which ledger, which actor, which keys: read once, from named places, and never from anywhere else.

Order: an explicit value, then the environment (``MUNIMENT_*``), then the nearest ``.muniment/config.toml``
upwards, then the user's own configuration file.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import platformdirs

from ledger.durable import write_atomically
from ledger.errors import ConfigurationError

__all__ = [
    "FOLDER",
    "SETTINGS",
    "Candidate",
    "Chain",
    "Settings",
    "absolute_url",
    "config_folder",
    "find_folder",
    "load_settings",
    "redact_url",
    "replace_setting",
    "settings_chain",
    "state_folder",
    "write_settings",
]

FOLDER = ".muniment"
#: Name of the file with the settings.
SETTINGS = "config.toml"
_KNOWN = ("ledger", "actor", "keys", "secrets", "secrets_allow")
_OPTION, _VARIABLE = "--ledger", "MUNIMENT_LEDGER"


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings.

    Attributes:
        url: store of the ledger.
        folder: the ``.muniment`` folder it was found in, or None.
        actor: actor id to sign as, or None when none is set.
        keys: folder of private keys, or None for the user's configuration folder.
        origins: where each value came from, for people.
        secrets: ``on``, ``warn`` or ``off``: what is done about secrets in what is signed (`screen.Screening`).
        secrets_allow: paths of fields that may hold what looks like one.
    """

    url: str
    folder: Path | None
    actor: str | None
    keys: Path | None
    origins: Mapping[str, str] = field(default_factory=dict)
    secrets: str = "on"
    secrets_allow: tuple[str, ...] = ()


def config_folder() -> Path:
    """The user's configuration folder of Muniment."""
    return platformdirs.user_config_path("muniment")


def state_folder() -> Path:
    """The user's state folder of Muniment."""
    return platformdirs.user_state_path("muniment")


def find_folder(start: Path) -> Path | None:
    """The nearest ``.muniment`` folder at ``start`` or above."""
    for place in (start, *start.parents):
        if (place / FOLDER / SETTINGS).is_file():
            return place / FOLDER
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", hint="Mend the file or remove it.") from error
    for name, value in values.items():
        if name not in _KNOWN or not isinstance(value, str):
            raise ConfigurationError(f"{path}: {name!r} is no setting; known are {', '.join(_KNOWN)}, each a string")
    return values


def absolute_url(url: str, base: Path) -> str:
    """Make the path of a relative SQLite URL absolute, so that the working folder does not matter.

    Args:
        url: URL of a store.
        base: folder that a relative path is meant from.
    """
    if not url.startswith("sqlite:///") or url.startswith("sqlite:////"):
        return url
    path, mark, query = url.removeprefix("sqlite:///").partition("?")
    return f"sqlite:///{quote(str((base / path).resolve()))}{mark}{query}"


def _same_store(named: str, start: Path, own: str, folder: Path) -> bool:
    one, other = absolute_url(named, start), absolute_url(own, folder)
    if one.startswith("sqlite:"):  # ?mode=ro opens the same file
        return one.partition("?")[0] == other.partition("?")[0]
    return one == other


@dataclass(frozen=True, slots=True)
class Candidate:
    """One place a setting may come from.

    Attributes:
        source: the option, the environment variable or the file.
        value: what it says, None when it says nothing.
        ignored: why it does not count although it says something.
    """

    source: str
    value: str | None
    ignored: str = ""

    @property
    def counts(self) -> bool:
        """Whether the setting may be taken from here."""
        return bool(self.value) and not self.ignored


@dataclass(frozen=True, slots=True)
class Chain:
    """All places that were looked at; in each list the first that counts wins.

    Attributes:
        start: folder that was searched upwards from.
        folder: the ``.muniment`` folder that counts, or None.
        candidates: by setting, in order.
    """

    start: Path
    folder: Path | None
    candidates: Mapping[str, tuple[Candidate, ...]]

    def chosen(self, name: str) -> Candidate | None:
        """The place a setting is taken from, None when nothing sets it."""
        return next((candidate for candidate in self.candidates[name] if candidate.counts), None)

    def resolved(self, name: str) -> str | None:
        """A setting as it takes effect, with whole paths, None when nothing sets it."""
        found = self.chosen(name)
        if found is None or found.value is None:
            return None
        if name == "ledger":
            typed = found.source in (_OPTION, _VARIABLE)
            return absolute_url(found.value, self.start if typed or self.folder is None else self.folder)
        return str((self.folder or self.start) / found.value) if name == "keys" else found.value


def settings_chain(ledger: str | None = None, *, actor: str | None = None, start: Path | None = None) -> Chain:
    """Look at every place that settings come from.

    Args:
        ledger: a store's URL, or a folder that holds a ``.muniment`` folder.
        actor: the actor named on the command line.
        start: folder to search upwards from, the working folder when None.

    Raises:
        ConfigurationError: a file is malformed, or the folder named holds no ledger.
    """
    start = (start or Path.cwd()).resolve()
    variable = os.environ.get(_VARIABLE)
    named = ledger or variable or None
    nearest = folder = find_folder(start)
    followed = ""
    if named is not None and "://" not in named:
        folder, followed = _named_folder(named), "it names a folder, whose file says which store"
    typed = [
        Candidate(_OPTION, ledger, followed if ledger else ""),
        Candidate(_VARIABLE, variable, f"{_OPTION} was given" if ledger else followed),
    ]
    found = {} if folder is None else _read(folder / SETTINGS)
    other = ""
    if named and not followed and folder and not _same_store(named, start, found.get("ledger", ""), folder):
        other = "it is of another ledger than the one named"
        folder = None  # this folder's identity, head and keys are not ours either
    user = _read(config_folder() / SETTINGS)
    file = folder or (nearest if other else None)
    candidates = {}
    for name in _KNOWN:
        first = typed if name == "ledger" else [Candidate(f"MUNIMENT_{name.upper()}", _environment(name))]
        if name == "actor":
            first.insert(0, Candidate("--as", actor))
        if file is not None:
            first.append(Candidate(str(file / SETTINGS), found.get(name), other))
        candidates[name] = (*first, Candidate(str(config_folder() / SETTINGS), user.get(name)))
    return Chain(start, folder, candidates)


def _environment(name: str) -> str | None:
    return os.environ.get(f"MUNIMENT_{name.upper()}")


def _named_folder(named: str) -> Path:
    place = Path(named).resolve()
    folder = place if (place / SETTINGS).is_file() else find_folder(place) if place.is_dir() else None
    if folder is None:
        raise ConfigurationError(
            f"there is no ledger in {named}", hint="Name a folder with .muniment in it, or a URL: sqlite:///…"
        )
    return folder


def load_settings(ledger: str | None = None, *, start: Path | None = None) -> Settings:
    """Resolve the settings.

    Args:
        ledger: a store's URL, or a folder that holds a ``.muniment`` folder; wins over everything else.
        start: folder to search upwards from, the working folder when None.

    Raises:
        ConfigurationError: no ledger is named anywhere, or a file is malformed.
    """
    chain = settings_chain(ledger, start=start)
    url, keys = chain.resolved("ledger"), chain.resolved("keys")
    if url is None:
        raise ConfigurationError(
            "no ledger was found here or above", hint="Create one: muniment init --origin NAME, or name one: --ledger"
        )
    chosen = {name: chain.chosen(name) for name in _KNOWN}
    return Settings(
        url=url,
        folder=chain.folder,
        actor=chain.resolved("actor"),
        keys=None if keys is None else Path(keys),
        origins={name: candidate.source for name, candidate in chosen.items() if candidate is not None},
        secrets=chain.resolved("secrets") or "on",
        secrets_allow=tuple((chain.resolved("secrets_allow") or "").replace(",", " ").split()),
    )


def secrets_elsewhere() -> tuple[str, tuple[str, ...]]:
    """What is done about secrets, and which fields may hold what looks like one, where no ledger is set up.

    The environment and the user's own file say so; the folder of another ledger that one happens to be in does not.
    """
    user = _read(config_folder() / SETTINGS)
    mode, allow = (_environment(name) or user.get(name) for name in ("secrets", "secrets_allow"))
    return mode or "on", tuple((allow or "").replace(",", " ").split())


def redact_url(url: str) -> str:
    """A store's URL as it may be shown: without its password."""
    if url.startswith("sqlite:") or "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://***"  # what part of it is the password cannot be told
    rest = f"{parts.path}?{parts.query}#{parts.fragment}"
    if parts.netloc.count("@") > 1 or ("@" in rest and ":" in parts.netloc and "@" not in parts.netloc):
        return f"{parts.scheme}://***"  # a password with characters that end it
    if parts.password is not None:
        user, _, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}")
    query = [(name, "***" if name in ("password", "sslpassword") else value) for name, value in parse_qsl(parts.query)]
    return urlunsplit(parts._replace(query=urlencode(query, safe="/*"))) if query else urlunsplit(parts)


def _line(name: str, value: str) -> str:
    return f"{name} = {json.dumps(value, ensure_ascii=False)}\n"  # such a string is TOML too


def replace_setting(folder: Path, name: str, value: str) -> bytes:
    """The text of ``config.toml`` with another value; everything else stays as it is written.

    Args:
        folder: the ``.muniment`` folder.
        name: the setting.
        value: its new value.

    Raises:
        ConfigurationError: the file is malformed, or written in a way that only people can change.
    """
    wanted = {**_read(folder / SETTINGS), name: value}
    lines = (folder / SETTINGS).read_text(encoding="utf-8").splitlines(keepends=True)
    pattern = re.compile(rf"\s*{name}\s*=")
    lines = [_line(name, value) if pattern.match(line) else line for line in lines]
    text = "".join(lines if any(map(pattern.match, lines)) else [*lines, _line(name, value)])
    try:
        good = tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        good = False
    if not good:
        raise ConfigurationError(
            f"{folder / SETTINGS} cannot be changed line by line", hint=f"Write into it yourself: {_line(name, value)}"
        )
    return text.encode()


def write_settings(folder: Path, values: Mapping[str, str]) -> None:
    """Write ``config.toml`` of a new ``.muniment`` folder."""
    lines = ["# Settings of this ledger; `muniment config explain` shows what is in force.\n"]
    for name, value in values.items():
        lines.append(_line(name, value))
    write_atomically(folder / SETTINGS, "".join(lines).encode())  # mode 0600: a store's URL may hold a password
