"""A PostgreSQL URL: our schema in it, and what libpq gets."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg

from ledger.errors import ConfigurationError, InputError

__all__ = ["conninfo", "sets_option", "split_schema"]

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,50}")
# A host that vanishes without a word is noticed in time for another one to be found.
_DEFAULTS = {
    "connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3",
    "tcp_user_timeout": "25000", "fallback_application_name": "muniment",
}  # fmt: skip


def split_schema(url: str) -> tuple[str, str]:
    """Split our ``schema`` parameter off a PostgreSQL URL.

    Args:
        url: ``postgresql://user@host/db?schema=name``; other parameters are libpq's.

    Returns:
        The URL for libpq and the schema's name (``muniment`` when none is given).

    Raises:
        InputError: the name is not lower-case letters, digits and underscores.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"the PostgreSQL URL is malformed: {error}") from error
    if parts.netloc.count("@") > 1 or "@" in parts.path or parts.fragment:
        raise _malformed()
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    named = [value for name, value in parameters if name == "schema"]
    if len(named) > 1:
        raise InputError("the PostgreSQL URL names a schema twice")
    schema = named[0] if named else "muniment"
    if not _SCHEMA.fullmatch(schema):
        raise InputError(f"the schema {schema!r} must be lower-case letters, digits and underscores")
    # libpq takes a plus for a plus.
    query = urlencode([(name, value) for name, value in parameters if name != "schema"], quote_via=quote)
    return urlunsplit(parts._replace(query=query)), schema


def _malformed() -> ConfigurationError:
    return ConfigurationError(
        "the PostgreSQL URL is malformed",
        hint="Is there a character such as @ / ? # % in the password? Write it percent-encoded: %40 %2F %3F %23 %25",
    )


def conninfo(url: str) -> str:
    """Add what the URL leaves open.

    Of several hosts we want the one that takes writes; a single host may be a standby that is only read.
    """
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise _malformed() from None  # libpq's words repeat a part of it, which may be the password
    hosts = str(given.get("host", "")) + str(given.get("hostaddr", ""))
    defaults = {**_DEFAULTS, "target_session_attrs": "read-write"} if "," in hosts else _DEFAULTS
    return psycopg.conninfo.make_conninfo(url, **{name: defaults[name] for name in defaults if name not in given})


def sets_option(url: str, name: str) -> bool:
    """Whether whoever connects says what a setting of the server is for this session; the server itself does not count.

    Args:
        url: for libpq; ``options`` in it wins over the variable PGOPTIONS.
        name: of the setting.
    """
    options = psycopg.conninfo.conninfo_to_dict(url).get("options")
    return name in str(os.environ.get("PGOPTIONS", "") if options is None else options)
