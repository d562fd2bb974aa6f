"""A ledger with its folders on one backend, and what must hold of it after any fault."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from ledger.application import Ledger, Receipt
from ledger.checkpoint import verify_checkpoint
from ledger.config import load_settings
from ledger.emission import build_payload
from ledger.entry import format_entry
from ledger.envelope import format_envelope, sign_payload
from ledger.home import Home
from ledger.keys import Signer
from ledger.keystore import CHECKPOINT
from ledger.newhome import create_home
from ledger.recorders import open_recorder
from ledger.tiles import bundle_path, bundles_of, format_bundle, tile_coordinates, tile_path, tiles_of
from ledger.treereader import TreeReader
from ledger.verify import verify_log
from projections.catalogue import open_runner
from tests.contract.support import audit, raw

ORIGIN = "ledger.example/faults"


@dataclass(frozen=True)
class Ack:
    """An event that was acknowledged, as the acknowledgement said."""

    index: int
    id: str
    leaf: bytes = field(repr=False)

    @classmethod
    def of(cls, receipt: Receipt) -> Ack:
        return cls(receipt.index, receipt.id, receipt.leaf_hash)


@dataclass(frozen=True)
class Site:
    """A ledger in a folder of its own; other processes open it by the same value.

    Attributes:
        where: the folder that holds ``.muniment``.
        state: the user's state folder.
        url: the store.
    """

    where: Path
    state: Path
    url: str

    @classmethod
    def make(cls, where: Path, url: str | None = None) -> Site:
        """Create a ledger, in a SQLite file of the folder when no URL is given."""
        where.mkdir(parents=True, exist_ok=True)
        site = cls(where, where / "state", url or f"sqlite:///{quote(str(where / '.muniment' / 'ledger.db'))}")
        with site.environment():
            create_home(where, ORIGIN, url=url, keys=Path("keys"), name="admin").new.ledger.close()
        return site

    @contextmanager
    def environment(self) -> Iterator[None]:
        """The user's state folder is this site's."""
        before = os.environ.get("XDG_STATE_HOME")
        os.environ["XDG_STATE_HOME"] = str(self.state)
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_STATE_HOME"]
            else:
                os.environ["XDG_STATE_HOME"] = before

    def home(self) -> Home:
        return Home(load_settings(str(self.where)))

    @property
    def published(self) -> Path:
        return self.where / "published"

    def open(self) -> Ledger:
        """Open for writing as the admin, as a user does."""
        return self.home().open()

    def plain(self) -> tuple[Ledger, Signer]:
        """Open without the user's files: the end of it signs nothing."""
        home = self.home()
        recorder = open_recorder(self.url)
        keys = home.keystore(recorder.identity().ledgerid)
        actor = str(home.settings.actor)
        key = keys.load(actor)
        return Ledger(recorder, actor=actor, signers=[key], checkpoint_signer=keys.load(CHECKPOINT)), key


def envelope(ledger: Ledger, key: Signer, number: int, event_id: str | None = None, size: int = 0) -> bytes:
    """A signed event by an emitter of its own, so that any process may send it, again and again."""
    payload, _ = build_payload(
        ledgerid=ledger.ledgerid,
        actor=str(ledger.actor),
        type="external.observed",
        subject=f"external:n{number}",
        data={"system": "faults", "content": {"x": "x" * size}},
        emitter=str(uuid4()),
        sequence=1,
        event_id=event_id,
    )
    return format_envelope(sign_payload(payload, [key]))


@dataclass
class Found:
    """What is wrong with a site; everything must be empty."""

    lost: list[str]
    unverifiable: list[str]
    repairs: list[str]

    def __bool__(self) -> bool:
        return bool(self.lost or self.unverifiable or self.repairs)


def lost(url: str, acks: Sequence[Ack]) -> list[str]:
    """Acknowledged events that are not where they were acknowledged, or not the same."""
    with raw(url) as store:
        rows = {position - 1: (name, bytes(leaf)) for position, name, leaf in store.run(
            "SELECT position, id, leaf_hash FROM $entry")}  # fmt: skip
    return [f"{ack.id} at {ack.index}" for ack in acks if rows.get(ack.index) != (ack.id, ack.leaf)]


def good(url: str, site: Site | None = None) -> list[str]:
    """Why a log does not verify: by our own arithmetic, and by `verify_log`."""
    try:
        audit(url)
    except AssertionError as error:
        return [str(error)]
    recorder = open_recorder(url)
    try:
        report = verify_log(recorder, None if site is None else site.home().trust())
    finally:
        recorder.close()
    return [] if report.ok else [repr(report.findings[:3])]


def published_faults(site: Site, ledger: Ledger) -> list[str]:
    """What a published checkpoint covers and is not there, or other than the log has it."""
    path = site.published / "checkpoint"
    if not path.exists():
        return []
    size = verify_checkpoint(path.read_bytes(), [ledger.vkey]).size
    reader = TreeReader(ledger.recorder)
    wanted = {
        tile_path(level, index, width): b"".join(reader.read_hashes(tile_coordinates(level, index, width)))
        for level, index, width in tiles_of(size)
    }
    for index, width in bundles_of(size):
        rows = ledger.recorder.rows(index * 256, width)
        wanted[bundle_path(index, width)] = format_bundle([format_entry(row.entry) for row in rows])
    return [
        f"published {name} is missing or wrong"
        for name, data in wanted.items()
        if not (site.published / name).is_file() or (site.published / name).read_bytes() != data
    ]


def examine(site: Site, acks: Sequence[Ack], remembered: int = 0) -> Found:
    """Open a site again, check everything, and go on using it without any repair.

    Args:
        site: nobody is using it.
        acks: what was acknowledged.
        remembered: size of the last head whose remembering was finished.
    """
    found = Found(lost(site.url, acks), good(site.url, site), [])
    try:
        with site.environment(), site.open() as ledger:
            known = site.home().recall()
            if known is None or known.size < remembered:
                found.lost.append(f"the remembered head is {known}, and size {remembered} was remembered")
            found.unverifiable += published_faults(site, ledger)
            runner = open_runner(ledger, site.url)
            try:
                runner.catch_up()
                found.unverifiable += [f"the view {name}" for name, equal in runner.rebuild().items() if not equal]
            finally:
                runner.views.close()
            before = ledger.recorder.head().size
            receipt = ledger.emit("external.observed", "external:after", system="faults")
            if receipt.index != before:
                found.repairs.append(f"the next event got index {receipt.index} instead of {before}")
    except Exception as error:
        found.repairs.append(repr(error))
    return found


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A folder that is removed again; in memory unless a parent is given."""
    shared = Path("/dev/shm")
    base = parent or (shared if shared.is_dir() else None)
    with tempfile.TemporaryDirectory(prefix="muniment-faults-", dir=base) as folder:
        yield Path(folder)
