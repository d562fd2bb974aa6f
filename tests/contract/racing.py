"""Events made outside the ledger, and what happens between judging and appending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.units import Unit
from tests.contract.support import Cast


def signed(  # noqa: PLR0917
    cast: Cast, actor: str, type: str, subject: str, data: Any, sequence: int = 1, event_id: str | None = None
) -> bytes:
    """An envelope made outside the ledger, by an emitter of its own."""
    payload, _ = build_payload(
        ledgerid=cast.admin.ledgerid,
        actor=actor,
        type=type,
        subject=subject,
        data=data,
        emitter="0189aaaa-0000-7000-8000-000000000001",
        sequence=sequence,
        event_id=event_id,
    )
    return format_envelope(sign_payload(payload, [cast.keys[actor]]))


class before_append:  # noqa: N801 - reads as a statement
    """Let something happen between judging and appending, once."""

    def __init__(self, recorder: SqlRecorder, what: Callable[[], Any]) -> None:
        self.recorder, self.what, self.calls = recorder, what, 0

    def __enter__(self) -> before_append:
        self.original = self.recorder.append
        self.recorder.append = self.append  # type: ignore[method-assign]
        return self

    def append(self, units: Sequence[Unit]) -> Any:
        self.calls += 1
        if self.calls == 1:
            self.recorder.append = self.original  # type: ignore[method-assign]
            self.what()
            self.recorder.append = self.append  # type: ignore[method-assign]
        return self.original(units)

    def __exit__(self, *error: object) -> None:
        del self.recorder.append
