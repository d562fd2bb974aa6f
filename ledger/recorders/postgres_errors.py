"""What failures of PostgreSQL mean to us, with the next step."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors

from ledger.errors import ConfigurationError, LedgerError, StorageError
from ledger.recorders.layouts import moved_away

__all__ = ["STATEMENT_TIMEOUT", "explain"]

#: How long a statement may take where nobody asked for anything else.
STATEMENT_TIMEOUT = "15min"
# A refused connection has no SQLSTATE (libpq keeps it to itself), only these words of the server's.
_NOT_THERE = re.compile(r'FATAL: +(database|role) ".*" does not exist')


def explain(error: psycopg.Error) -> LedgerError:
    """What a failure of psycopg means to us, with the next step."""
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StorageError(
            "PostgreSQL: this server is a standby or read-only",
            hint="Name the primary, or all hosts: postgresql://user@one,two/database.",
        )
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | errors.UndefinedFunction):
        return ConfigurationError(
            "this database holds no ledger in that schema", hint="Create one: muniment init --ledger URL --origin NAME"
        )
    if isinstance(error, errors.QueryCanceled) and "statement timeout" in str(error):
        return StorageError(
            f"PostgreSQL took longer than allowed: {str(error).strip().splitlines()[0]}",
            hint=f"Where it is known to be slow, allow more than {STATEMENT_TIMEOUT}: "
            "PGOPTIONS='-c statement_timeout=1h', or options=-c%20statement_timeout%3D1h in the URL. Otherwise ask who "
            "runs it what it does.",
        )
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    moved = moved_away(text) if isinstance(error, errors.RaiseException) else None
    if moved is not None:
        return moved
    if isinstance(error, psycopg.OperationalError) and _NOT_THERE.search(text):
        return ConfigurationError(f"PostgreSQL: {text}", hint="Check the names of database and role in the URL.")
    if isinstance(error, errors.InsufficientPrivilege):
        return StorageError(f"PostgreSQL denies access: {text}", hint="Check the role's rights on the schema.")
    if isinstance(error, errors.DiskFull):
        return StorageError(f"PostgreSQL's disk is full: {text}", hint="Free some space and retry.")
    return StorageError(f"PostgreSQL: {text}", hint="Check that the server runs and the URL is right, then retry.")
