"""Founding a ledger whose root keys are held by several people, each on a machine of their own.

The folder is made first, with the operator's keys and a ceremony file. The ledger comes into being when every holder
has signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.ceremony import Ceremony
from ledger.config import load_settings, write_settings
from ledger.creation import Founding, found_ledger, propose_ledger
from ledger.custody import write_ceremony
from ledger.domain.rulesets import DEFAULT_RULES
from ledger.errors import ConfigurationError
from ledger.events.ledgers import RuleSet
from ledger.home import Home
from ledger.keys import PublicKey
from ledger.keystore import CHECKPOINT
from ledger.newhome import made_folder, user_name
from ledger.trust import write_trust

__all__ = ["ProposedHome", "found_home", "propose_home"]


@dataclass(frozen=True, slots=True)
class ProposedHome:
    """A folder whose ledger waits for signatures, and the ceremony file."""

    home: Home
    founding: Founding
    path: Path


def propose_home(
    where: Path,
    origin: str,
    roots: Sequence[PublicKey],
    threshold: int,
    *,
    ceremony: Path,
    url: str | None = None,
    name: str | None = None,
    keys: Path | None = None,
    passphrase: bytes | None = None,
    rules: RuleSet = DEFAULT_RULES,
) -> ProposedHome:
    """Make ``where/.muniment`` with everything but the ledger, and the file that the root keys must sign.

    Args:
        where: existing folder.
        origin: name of the log.
        roots: public root keys.
        threshold: how many of them a root event will need.
        ceremony: file to write; it must not exist.
        url: another store than ``.muniment/ledger.db``.
        name: display name of the first admin, the system's user name when None.
        keys: folder for the private keys, relative to ``.muniment``; the user's configuration folder when None.
        passphrase: encrypts the private keys.
        rules: rules in force from entry 0 on.

    Raises:
        InputError: origin, roots, threshold or rules are malformed.
        ConfigurationError: the folder or the file exists.
    """
    founding = propose_ledger(origin, roots, threshold, rules=rules)
    with made_folder(where) as folder:
        values = {"ledger": url or "sqlite:///ledger.db", "actor": founding.admin}
        if keys is not None:
            values["keys"] = str(keys)
        write_settings(folder, values)
        home = Home(load_settings(str(folder.parent)), lambda: passphrase)
        keystore = home.keystore(founding.ceremony.ledgerid)
        keystore.save(CHECKPOINT, founding.checkpoint, passphrase)
        keystore.save(founding.admin, founding.admin_key, passphrase)
        home.set_name(founding.admin, name or user_name())
        write_ceremony(ceremony, founding.ceremony, new=True)
    return ProposedHome(home, founding, ceremony)


def found_home(home: Home, ceremony: Ceremony) -> int:
    """Create the ledger of a folder, once all root keys have signed; or go on where an earlier call was cut.

    Args:
        home: what `propose_home` made.
        ceremony: what it proposed, signed.

    Returns:
        Size of the new ledger.

    Raises:
        ConfigurationError: the keys made for this ledger are not here, or its folder is in use for another.
        LedgerError: as `creation.found_ledger`.
    """
    path = home.trust_path
    if path is None:
        raise ConfigurationError(
            "a ledger is founded from the folder in which it was proposed", hint="Run this where .muniment is."
        )
    if path.exists():
        raise ConfigurationError(f"{path.parent} has a ledger already", hint="See it: muniment log")
    checkpoint = home.keystore(ceremony.ledgerid).load(CHECKPOINT)
    ledger, trust = found_ledger(home.url, ceremony, checkpoint=checkpoint)
    with ledger:
        write_trust(path, trust)
        home.remember(ledger, ledger.checkpoint())
        return ledger.recorder.head().size
