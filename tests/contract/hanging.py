"""Calls that hang because a standby does, and what comes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ledger.application import Ledger, Receipt
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.note import parse_note
from ledger.recorders import open_recorder
from ledger.verify import verify_log
from tests.contract.support import Cast, audit
from tests.postgres_pair import Server
from tests.unit.reference_merkle import mth


def emit(ledger: Ledger, **options: Any) -> Receipt:
    return ledger.emit("external.observed", "external:x", system="s", **options)


def another(cast: Cast, url: str = "", options: str = "") -> Ledger:
    """The same author through a connection of its own."""
    recorder = open_recorder((url or cast.url) + (f"&options={options}" if options else ""))
    return Ledger(recorder, actor="p-author", signers=[cast.keys["p-author"]])


class Call:
    """Something that runs in a thread, and what came of it."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._action()
        except BaseException as error:
            self.error = error

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()

    def done(self, seconds: float = 60) -> Any:
        self._thread.join(seconds)
        assert not self.waits, "it hangs"
        if self.error is not None:
            raise self.error
        return self.result


def waiting_backends(server: Server, event: str = "SyncRep") -> list[int]:
    return [pid for (pid,) in server.ask(f"SELECT pid FROM pg_stat_activity WHERE wait_event = '{event}'")]


def noted(note: bytes) -> Checkpoint:
    return parse_checkpoint(parse_note(note).text)


def check(cast: Cast, primary: Server, receipts: list[Receipt], notes: list[Checkpoint]) -> list[dict[str, Any]]:
    """Everything acknowledged stands where it was acknowledged, once, and the log extends every head signed."""
    rows = audit(f"{primary.dsn}&schema={cast.url.partition('schema=')[2]}")
    assert len({row["id"] for row in rows}) == len(rows), "an event stands twice"
    for receipt in receipts:
        assert rows[receipt.index]["id"] == receipt.id
        assert bytes(rows[receipt.index]["leaf_hash"]) == receipt.leaf_hash
    leaves = [bytes(row["leaf_hash"]) for row in rows]
    for note in notes:
        assert note.size <= len(rows), "a head was signed over what is lost"
        assert note.root == mth(leaves[: note.size])
    report = verify_log(cast.recorder, cast.new.trust)
    assert report.ok, report.findings
    return rows
