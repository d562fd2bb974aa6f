"""A new `.muniment` folder: a ledger made in it, with its keys and a first admin."""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ledger.config import FOLDER, load_settings, write_settings
from ledger.creation import NewLedger, create_ledger
from ledger.domain.signing import ROOT_ACTOR
from ledger.durable import sync_folder, write_atomically
from ledger.errors import ConfigurationError
from ledger.events.ledgers import RuleSet
from ledger.home import Home
from ledger.keystore import CHECKPOINT
from ledger.trust import write_trust

__all__ = ["NewHome", "create_home", "made_folder", "user_name"]


@dataclass(frozen=True, slots=True)
class NewHome:
    """A ledger that was just made, in its folder."""

    home: Home
    new: NewLedger


def create_home(
    where: Path,
    origin: str,
    *,
    url: str | None = None,
    name: str | None = None,
    rules: RuleSet | None = None,
    keys: Path | None = None,
    passphrase: bytes | None = None,
) -> NewHome:
    """Create ``where/.muniment`` with a new ledger, its keys and a first admin for this user.

    Args:
        where: existing folder.
        origin: name of the log.
        url: another store than ``.muniment/ledger.db``.
        name: display name of the first admin, the system's user name when None.
        rules: rules in force, the default table when None.
        keys: folder for the private keys, relative to ``.muniment``; the user's configuration folder when None.
        passphrase: encrypts the private keys.

    Raises:
        ConfigurationError: there is a ledger already.
    """
    with made_folder(where) as folder:
        return _fill(folder, origin, url=url, name=name, rules=rules, keys=keys, passphrase=passphrase)


@contextmanager
def made_folder(where: Path) -> Iterator[Path]:
    """Make ``where/.muniment``; removed again when what is done in it fails.

    Raises:
        ConfigurationError: there is one already, or it cannot be made.
    """
    folder = where / FOLDER
    if folder.exists():
        raise ConfigurationError(f"{folder} already exists", hint="Use it, or make the ledger in another folder.")
    try:
        folder.mkdir(mode=0o700)
        sync_folder(where)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        write_atomically(folder / ".gitignore", b"*\n", 0o644)
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # this call made it, with all that is in it
        raise


def _fill(
    folder: Path,
    origin: str,
    *,
    url: str | None,
    name: str | None,
    rules: RuleSet | None,
    keys: Path | None,
    passphrase: bytes | None,
) -> NewHome:
    store = url or f"sqlite:///{quote(str((folder / 'ledger.db').resolve()))}"
    options: dict[str, Any] = {} if rules is None else {"rules": rules}
    new = create_ledger(store, origin, **options)
    values = {"ledger": url or "sqlite:///ledger.db", "actor": new.admin}
    if keys is not None:
        values["keys"] = str(keys)
    write_settings(folder, values)
    write_trust(folder / "trust.json", new.trust)
    home = Home(load_settings(str(folder.parent)), lambda: passphrase)
    keystore = home.keystore(new.trust.ledgerid)
    for owner, key in ((ROOT_ACTOR, new.root), (CHECKPOINT, new.checkpoint), (new.admin, new.admin_key)):
        keystore.save(owner, key, passphrase)
    home.set_name(new.admin, name or user_name())
    home.remember(new.ledger, new.ledger.checkpoint())
    return NewHome(home, new)


def user_name() -> str:
    """The system's name of this user, for display."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # no entry in the user database, as in some containers
        return "first admin"
    return "first admin" if user == ROOT_ACTOR else user  # `root` means the root keys here
