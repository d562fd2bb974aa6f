"""A power cut while a ledger is made, and right after Muniment said that it is made."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.domain.signed import ROOT_ACTOR
from ledger.errors import LedgerError
from ledger.founding import found_home, propose_home
from ledger.keys import Ed25519Signer
from ledger.keystore import CHECKPOINT
from ledger.newhome import create_home
from ledger.verify import verify_log
from ledger.wrapping import WrappingKeys
from tests.faults.disk import Disk, Variant, write_folder
from tests.faults.site import ORIGIN, Site, scratch
from tests.faults.vfs import recording

Make = Callable[[Path], list[str]]


def init(where: Path) -> list[str]:
    """`muniment init`; returns whose keys it made."""
    made = create_home(where, ORIGIN, keys=Path("keys"), name="Ada").new
    made.ledger.close()
    return [ROOT_ACTOR, CHECKPOINT, made.admin]


def init_with_roots(where: Path) -> list[str]:
    """`muniment init --root` and what follows it."""
    root, ceremony = Ed25519Signer.from_seed(b"r" * 32), where / "ceremony"
    made = propose_home(where, ORIGIN, [root.public], 1, ceremony=ceremony, keys=Path("keys"), name="Ada")
    found_home(made.home, made.founding.ceremony.sign(root))
    return [CHECKPOINT, made.founding.admin]


def use(site: Site, owners: list[str]) -> None:
    """All that was made is there, and the first event is taken."""
    home = site.home()
    assert home.names() == {str(home.settings.actor): "Ada"}
    with home.open() as ledger:
        keys = home.keystore(ledger.ledgerid)
        assert all(keys.load(owner) for owner in owners)
        assert home.recall() is not None
        assert verify_log(ledger.recorder, home.trust()).ok
        assert ledger.emit("external.observed", "external:x", system="s").index == 2


@pytest.mark.parametrize("make", [init, init_with_roots], ids=["init", "init --root"])
def test_what_was_said_to_be_made_is_made(make: Make):
    """Before that, whoever comes finds a ledger or an error that says what is missing; nothing in between."""
    with scratch() as folder:
        site = Site(folder, folder / "state", "")
        with recording(folder) as recorder, site.environment():
            owners = make(folder)
        disk, outcomes = Disk({}), {True: 0, False: 0}
        for number, op in enumerate(recorder.ops, 1):
            disk.apply(op)
            last = number == len(recorder.ops)
            for variant in Variant if last or number % 5 == 0 else ():
                files = disk.cut(variant, random.Random(number))
                with scratch() as found:
                    write_folder(files, folder, found)
                    after = Site(found, found / "state", "")
                    with after.environment():
                        outcomes[_usable(after, owners)] += 1
                        if last:
                            use(after, owners)
        assert all(outcomes.values()), outcomes


def _usable(site: Site, owners: list[str]) -> bool:
    try:
        home = site.home()
        with home.open_reader() as ledger:
            keys = home.keystore(ledger.ledgerid)
            return all(keys.load(owner) for owner in owners)
    except LedgerError:
        return False


def test_a_key_that_was_kept_is_kept(tmp_path: Path):
    """Each key for itself, in a folder that was not there: events that need it may be recorded from then on."""

    def wrapping(place: Path) -> Any:
        return WrappingKeys(place, lambda: None).make()

    with scratch() as folder:
        with recording(folder) as recorder:
            name, key = wrapping(folder / "a" / "b")
        disk = Disk({}, recorder.ops)
        with scratch() as found:
            write_folder(disk.cut(Variant.DROPPED, random.Random(1)), folder, found)
            assert WrappingKeys(found / "a" / "b", lambda: None).load(name) == key
