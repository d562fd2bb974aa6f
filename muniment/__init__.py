"""Muniment: an audit and provenance ledger for machine-learning governance.

::

    import muniment

    muniment.emit("dataset.registered", "dataset:tx@2026-11", digest="sha256:…")

Everything here is loaded on first use, so that importing costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledger.application import Ledger, Receipt
    from ledger.commands import (
        approve,
        record_deployment,
        record_rollback,
        reject,
        request_approval,
        roll_back,
    )
    from ledger.errors import (
        AuthenticationError,
        ConfigurationError,
        ConflictError,
        InputError,
        LedgerError,
        NotAllowedError,
        NothingToVerifyError,
        PolicyError,
        StorageError,
        TrustStateError,
        VerificationError,
    )
    from ledger.session import emit, file_digest, init, open
    from muniment.gating import authorise, check_gate, record_gate

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "InputError",
    "Ledger",
    "LedgerError",
    "NotAllowedError",
    "NothingToVerifyError",
    "PolicyError",
    "Receipt",
    "StorageError",
    "TrustStateError",
    "VerificationError",
    "approve",
    "authorise",
    "check_gate",
    "emit",
    "file_digest",
    "init",
    "open",
    "record_deployment",
    "record_gate",
    "record_rollback",
    "reject",
    "request_approval",
    "roll_back",
]

_HOMES = {
    "approve": "ledger.commands",
    "authorise": "muniment.gating",
    "check_gate": "muniment.gating",
    "record_deployment": "ledger.commands",
    "record_gate": "muniment.gating",
    "record_rollback": "ledger.commands",
    "reject": "ledger.commands",
    "request_approval": "ledger.commands",
    "roll_back": "ledger.commands",
    "Ledger": "ledger.application",
    "Receipt": "ledger.application",
    "emit": "ledger.session",
    "file_digest": "ledger.session",
    "init": "ledger.session",
    "open": "ledger.session",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("muniment")
    if name not in __all__:
        raise AttributeError(f"module 'muniment' has no attribute {name!r}")
    home = _HOMES.get(name, "ledger.errors")
    module = importlib.import_module(home)
    if not hasattr(module, name):
        raise ImportError(
            f"{module.__file__} is not Muniment's own {home}: a file or folder named 'ledger' beside your script "
            "hides it. Rename it, or run the script from elsewhere."
        )
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
