"""Reports of verification compared with each other, and gone on from."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from ledger.findings import LogVerification
from ledger.recorders.sql import SqlRecorder
from ledger.segment import Segment, Span, Task, check_span
from ledger.verify import Runner, Since


def told(found: LogVerification) -> dict[str, Any]:
    """A report without the number of processes that made it."""
    return {name: value for name, value in asdict(found).items() if name != "jobs"}


def elsewhere(log: SqlRecorder) -> Runner:
    """Check each stretch as another process would: what goes there and what comes back is pickled."""

    def run(task: Task, spans: Iterable[Span]) -> Iterator[Segment]:
        there = pickle.loads(pickle.dumps(task))  # noqa: S301 - our own
        for span in spans:
            yield pickle.loads(pickle.dumps(check_span(log, there, span).without_events()))  # noqa: S301

    return run


def since(found: LogVerification, *, reread: bool = True) -> Since:
    assert found.ok, found.findings
    return Since(found.signed_size, found.signed_root, found.heads, found.authority, reread)
