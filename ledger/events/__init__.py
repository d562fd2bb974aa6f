"""The catalogue of events: one module per family, frozen bodies, explicit versioned topics.

Importing this package registers every type; the registry is closed afterwards.
"""

from __future__ import annotations

from ledger.events import (
    actors,
    approvals,
    datasets,
    deployments,
    evaluations,
    externals,
    incidents,
    keyring,
    ledgers,
    models,
    monitors,
    runs,
    subjects,
)
from ledger.events.base import (
    Body,
    Category,
    DecisionBody,
    Erasable,
    EventType,
    Evidence,
    FactBody,
    Ref,
    Seen,
    all_event_types,
    find_event_type,
    known_event_type,
    load_body,
)

__all__ = [
    "Body",
    "Category",
    "DecisionBody",
    "Erasable",
    "EventType",
    "Evidence",
    "FactBody",
    "Ref",
    "Seen",
    "actors",
    "all_event_types",
    "approvals",
    "datasets",
    "deployments",
    "evaluations",
    "externals",
    "find_event_type",
    "incidents",
    "keyring",
    "known_event_type",
    "ledgers",
    "load_body",
    "models",
    "monitors",
    "runs",
    "subjects",
]
