"""Every error Muniment raises on purpose, by who is to blame.

::

    LedgerError
    ├── InputError              malformed, too large or not in the catalogue: fix what was sent
    │   └── UnknownThingError   it is about something of which nothing is recorded
    ├── AuthenticationError     an unknown key, a missing or wrong signature, a revoked key
    ├── PolicyError             a decision the rules refuse ("refused by a gate")
    │   └── NotAllowedError     this actor may not do this at all (role, separation of duties)
    ├── ConflictError           the same id with other bytes, a stream that moved on
    ├── VerificationError       checked and bad; carries the class of the fault and the first index
    ├── NothingToVerifyError    nothing to check, or it could not be checked
    ├── StorageError            the store or the network failed; the outcome may be unknown
    ├── TrustStateError         the local trust file or the remembered head is damaged
    └── ConfigurationError      no ledger found, a wrong passphrase, unusable keys

``EXIT_CODES`` and ``HTTP_STATUS`` are the only tables from an error to the outside world.
"""

from __future__ import annotations

from ledger.verdicts import Fault

__all__ = [
    "EXIT_CODES",
    "HTTP_STATUS",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "InputError",
    "LedgerError",
    "NotAllowedError",
    "NothingToVerifyError",
    "PolicyError",
    "StorageError",
    "TrustStateError",
    "UnknownThingError",
    "VerificationError",
    "exit_code",
    "fault_of",
    "http_status",
]


class LedgerError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what went wrong, where and why, in one sentence.
        hint: the next thing to do, shown on its own line; empty when there is none.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(LedgerError):
    """What was handed in is malformed, too large or unknown to the catalogue."""


class UnknownThingError(InputError):
    """Something is asked or said about a thing of which nothing is recorded.

    Args:
        message: as `LedgerError`.
        subject: the name of the thing.
        hint: as `LedgerError`.
    """

    def __init__(self, message: str, subject: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.subject = subject


class AuthenticationError(LedgerError):
    """A signature is missing or wrong, or its key is unknown, revoked or another actor's."""


class PolicyError(LedgerError):
    """A decision is refused by the rules in force.

    Args:
        message: as `LedgerError`.
        hint: as `LedgerError`.
        rule: the rule that refuses it, as docs/reference/refusals.md names it; empty where none does.
    """

    def __init__(self, message: str, *, hint: str = "", rule: str = "") -> None:
        super().__init__(message, hint=hint)
        self.rule = rule


class NotAllowedError(PolicyError):
    """This actor may not do this: a missing role or a breach of separation of duties."""


class ConflictError(LedgerError):
    """The same id with other bytes, a stream that moved on since it was read, or the log says otherwise."""


class VerificationError(LedgerError):
    """Something was checked and is bad.

    Args:
        message: what was found.
        fault: class of the fault, or its name.
        index: first bad leaf index, or None when only a size bound is known.
        hint: the next thing to do.
    """

    def __init__(self, message: str, *, fault: Fault | str, index: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.fault = Fault(fault)
        self.index = index


class NothingToVerifyError(LedgerError):
    """There was nothing to check, or what is needed to check it is missing."""


class StorageError(LedgerError):
    """The store or the network failed.

    Args:
        message: what failed.
        outcome_unknown: True when an append may or may not have been recorded; retrying with the
            same event is safe.
        hint: the next thing to do.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.outcome_unknown = outcome_unknown


class TrustStateError(LedgerError):
    """The local trust file or the remembered head is missing parts, damaged or rolled back."""


class ConfigurationError(LedgerError):
    """No ledger was found, the settings are wrong, or a private key cannot be used."""


#: Most specific class first is not needed: look-ups walk the class's own ancestry.
EXIT_CODES: dict[type[LedgerError], int] = {
    LedgerError: 70,
    InputError: 2,
    UnknownThingError: 2,
    AuthenticationError: 4,
    PolicyError: 1,
    NotAllowedError: 4,
    ConflictError: 5,
    VerificationError: 1,
    NothingToVerifyError: 3,
    StorageError: 6,
    TrustStateError: 7,
    ConfigurationError: 8,
}

HTTP_STATUS: dict[type[LedgerError], int] = {
    LedgerError: 500,
    InputError: 400,
    UnknownThingError: 404,
    AuthenticationError: 401,
    PolicyError: 403,
    NotAllowedError: 403,
    ConflictError: 409,
    VerificationError: 422,
    NothingToVerifyError: 404,
    StorageError: 503,
    TrustStateError: 500,
    ConfigurationError: 500,
}


def _look_up(table: dict[type[LedgerError], int], error: LedgerError) -> int:
    return next(table[cls] for cls in type(error).__mro__ if cls in table)


def exit_code(error: LedgerError) -> int:
    """Return the process exit code for ``error`` (table in the README)."""
    return _look_up(EXIT_CODES, error)


def http_status(error: LedgerError) -> int:
    """Return the HTTP status for ``error``."""
    return _look_up(HTTP_STATUS, error)


def fault_of(error: LedgerError) -> Fault:
    """Class of the fault of an entry that is void for this reason.

    Args:
        error: why, as the error that append raises.
    """
    if isinstance(error, VerificationError):
        return error.fault
    if isinstance(error, AuthenticationError):
        return Fault.KEY
    return Fault.SCHEMA if isinstance(error, InputError) else Fault.LEGALITY
