"""Layouts of a store, as steps from one to the next; the only DDL besides that of layout 1.

A new store is made of layout 1 and every step since, so that a migrated store and a new one have the same tables,
triggers and indexes. A step never changes what is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from ledger.errors import ConfigurationError

__all__ = ["FORMAT_VERSION", "POSTGRES_TABLES", "moved_away", "moved_to", "postgres_routines", "refused", "steps_from"]

#: What a trigger says when the log has a successor; the place follows.
_MOVED = "this ledger has moved to "

_SQLITE_FORBID = "SELECT RAISE(ABORT, 'the log is append-only')"
# A store is opened once, from -N to N, and a layout only goes up.
_LOG_FORWARD = (
    "NEW.id = OLD.id AND NEW.ledgerid = OLD.ledgerid AND NEW.origin = OLD.origin AND "
    "((OLD.format < 0 AND NEW.format = -OLD.format) OR (OLD.format > 0 AND NEW.format > OLD.format))"
)

_SQLITE_2 = f"""
CREATE TABLE successor (id INTEGER PRIMARY KEY CHECK (id = 1), place TEXT NOT NULL, note BLOB NOT NULL) STRICT;
CREATE TABLE transfer (id INTEGER PRIMARY KEY CHECK (id = 1), kind TEXT NOT NULL, token TEXT NOT NULL,
    manifest BLOB NOT NULL) STRICT;
DROP TRIGGER log_no_update;
CREATE TRIGGER log_forward BEFORE UPDATE ON log WHEN NOT ({_LOG_FORWARD}) BEGIN {_SQLITE_FORBID}; END;
CREATE TRIGGER head_moved BEFORE UPDATE ON head WHEN EXISTS (SELECT 1 FROM successor)
    BEGIN SELECT RAISE(ABORT, '{_MOVED}' || (SELECT place FROM successor)); END;
""" + "".join(  # noqa: S608 - our own names
    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} {when}BEGIN {_SQLITE_FORBID}; END;\n"
    for table in ("successor", "transfer")
    for verb, when in (
        ("UPDATE", ""),
        ("DELETE", ""),
        # INSERT OR REPLACE deletes what is in its way without firing DELETE triggers.
        ("INSERT", f"WHEN EXISTS (SELECT 1 FROM {table}) "),  # noqa: S608 - our own names
    )
)

#: Tables of layout 2 on PostgreSQL; ``{s}`` is the schema.
POSTGRES_TABLES = """
CREATE TABLE {s}.successor (id integer PRIMARY KEY CHECK (id = 1), place text COLLATE "C" NOT NULL,
    note bytea NOT NULL);
CREATE TABLE {s}.transfer (id integer PRIMARY KEY CHECK (id = 1), kind text COLLATE "C" NOT NULL,
    token text COLLATE "C" NOT NULL, manifest bytea NOT NULL);
"""
_POSTGRES_TRIGGERS = f"""
CREATE FUNCTION {{s}}.log_forward() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NOT ({_LOG_FORWARD}) THEN RAISE EXCEPTION 'the log is append-only'; END IF;
    RETURN NEW;
END $body$;
CREATE FUNCTION {{s}}.head_moved() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE place text;
BEGIN
    SELECT s.place INTO place FROM {{s}}.successor s;
    IF FOUND THEN RAISE EXCEPTION '{_MOVED}%', place; END IF;
    RETURN NEW;
END $body$;
DROP TRIGGER append_only ON {{s}}.log;
CREATE TRIGGER log_forward BEFORE UPDATE ON {{s}}.log FOR EACH ROW EXECUTE FUNCTION {{s}}.log_forward();
CREATE TRIGGER log_kept BEFORE DELETE OR TRUNCATE ON {{s}}.log FOR EACH STATEMENT EXECUTE FUNCTION {{s}}.forbid();
CREATE TRIGGER head_moved BEFORE UPDATE ON {{s}}.head FOR EACH ROW EXECUTE FUNCTION {{s}}.head_moved();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {{s}}.successor
    FOR EACH STATEMENT EXECUTE FUNCTION {{s}}.forbid();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {{s}}.transfer
    FOR EACH STATEMENT EXECUTE FUNCTION {{s}}.forbid();
"""  # noqa: S608 - our own names


def postgres_routines() -> str:
    """Triggers and functions of layout 2 on PostgreSQL, which not every role may make; ``{s}`` is the schema."""
    functions = (files("ledger.recorders") / "postgres_functions.sql").read_text(encoding="utf-8")
    return _POSTGRES_TRIGGERS + functions.replace(":schema", "{s}")


#: Version of the stored layout. In ``log.format`` its negative says that the store is closed: a backup, or a copy that
#: is not finished.
FORMAT_VERSION = 2

_CLOSED = {
    "backup": ("this file is a backup, and nothing is read from or written to it", "muniment backup restore FILE"),
    "restore": ("a backup is being restored to this store", "Finish it with the same `muniment backup restore` again."),
}
_COPYING = (
    "this store is a copy in progress, and the ledger is still where it is copied from",
    "Finish it there with the same `muniment admin copy` again.",
)


def steps_from(version: int, backend: str) -> Sequence[str]:
    """The statements that lead from a layout to this Muniment's, a step each; ``{s}`` is a PostgreSQL schema."""
    steps = (_SQLITE_2,) if backend == "sqlite" else (POSTGRES_TABLES + postgres_routines(),)
    return steps[version - 1 :]


def refused(version: int, kind: str = "") -> ConfigurationError:
    """Why a store of another layout is not opened.

    Args:
        version: what its ``log.format`` says.
        kind: what kind of closed store it is.
    """
    if version == -FORMAT_VERSION:
        words, hint = _CLOSED.get(kind, _COPYING)
        return ConfigurationError(words, hint=hint)
    words = f"this store has layout {version}, and this Muniment reads layout {FORMAT_VERSION}"
    if 0 < version < FORMAT_VERSION:
        return ConfigurationError(words, hint="Bring it up to date: muniment admin migrate")
    return ConfigurationError(words, hint="Use the Muniment that made it, or a newer one; a layout never goes back.")


def moved_away(message: str) -> ConfigurationError | None:
    """What a trigger's message means when it says that the ledger has a successor, otherwise None."""
    _, mark, place = message.partition(_MOVED)
    return moved_to(place) if mark else None


def moved_to(place: str) -> ConfigurationError:
    """The log goes on at another place."""
    return ConfigurationError(
        f"{_MOVED}{place}: this store takes nothing more",
        hint="Use it there: --ledger URL, or `ledger` in .muniment/config.toml",
    )
