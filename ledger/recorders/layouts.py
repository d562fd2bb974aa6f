"""Layouts of a store, as steps from one to the next; the only DDL besides that of layout 1.

A new store is made of layout 1 and every step since, so that a migrated store and a new one have the same tables,
triggers and indexes. A step never changes what is recorded.
"""

from __future__ import annotations

from importlib.resources import files

from ledger.errors import ConfigurationError

__all__ = [
    "FORMAT_VERSION",
    "QUARANTINE",
    "SQLITE_STEPS",
    "moved_away",
    "moved_to",
    "postgres_routines",
    "postgres_tables",
    "refused",
]

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

_POSTGRES_TABLES_2 = """
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


# -- layout 3: the last signed head in a row of its own, and what outsiders said about signed heads ---

_EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of the empty tree (RFC 6962 2.1)
# Content goes only beside an erasure record in the ledger's own stream that names it. Who may write that record is
# judged by every reader; here it only has to be there, so that no statement by itself removes content.
_ERASED = "muniment.subject.erased.v1"
_SQLITE_RECORDED = f"""EXISTS (
    SELECT 1 FROM entry r JOIN content c ON c.position = r.position, json_each(
        CASE WHEN json_valid(CAST(c.payload AS TEXT)) THEN CAST(c.payload AS TEXT) ELSE '{{}}' END, '$.data.entries') i
    WHERE r.stream = 'ledger:' || (SELECT ledgerid FROM log) AND r.type = '{_ERASED}' AND r.position > OLD.position
        AND json_extract(CAST(c.payload AS TEXT), i.fullkey || '.index') = OLD.position - 1
        AND json_extract(CAST(c.payload AS TEXT), i.fullkey || '.scope') = 'whole'
        AND json_extract(CAST(c.payload AS TEXT), i.fullkey || '.leaf_hash') = (SELECT lower(hex(leaf_hash)) FROM entry
            WHERE position = OLD.position))"""  # noqa: S608 - our own names
_SIGNED_FORWARD = "NEW.id = OLD.id AND NEW.size > OLD.size"

#: On SQLite; the row of an outsider's word is removed by its owner alone (`SqlRecorder.drop_attestations`).
ATTESTATION_KEPT = f"CREATE TRIGGER attestation_no_delete BEFORE DELETE ON attestation BEGIN {_SQLITE_FORBID}; END"

_SQLITE_3 = f"""
CREATE TABLE signed_head (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL) STRICT;
INSERT INTO signed_head VALUES (1, 0, x'{_EMPTY_ROOT}');
CREATE TRIGGER signed_head_forward BEFORE UPDATE ON signed_head WHEN NOT ({_SIGNED_FORWARD})
    BEGIN {_SQLITE_FORBID}; END;
CREATE TRIGGER signed_head_no_delete BEFORE DELETE ON signed_head BEGIN {_SQLITE_FORBID}; END;
CREATE TRIGGER signed_head_no_insert BEFORE INSERT ON signed_head WHEN EXISTS (SELECT 1 FROM signed_head)
    BEGIN {_SQLITE_FORBID}; END;
CREATE TABLE attestation (number INTEGER PRIMARY KEY, size INTEGER NOT NULL, kind TEXT NOT NULL, issuer TEXT NOT NULL,
    body BLOB NOT NULL, recorded_at INTEGER NOT NULL) STRICT;
CREATE INDEX attestation_by_size ON attestation (size, number);
CREATE TRIGGER attestation_no_update BEFORE UPDATE ON attestation BEGIN {_SQLITE_FORBID}; END;
{ATTESTATION_KEPT};
CREATE TRIGGER attestation_no_replace BEFORE INSERT ON attestation
    WHEN EXISTS (SELECT 1 FROM attestation WHERE number = NEW.number) BEGIN {_SQLITE_FORBID}; END;
DROP TRIGGER IF EXISTS content_no_delete;
CREATE TRIGGER content_no_delete BEFORE DELETE ON content WHEN NOT {_SQLITE_RECORDED} BEGIN {_SQLITE_FORBID}; END;
"""  # noqa: S608 - our own names

_POSTGRES_TABLES_3 = f"""
CREATE TABLE {{s}}.signed_head (id integer PRIMARY KEY CHECK (id = 1), size bigint NOT NULL, root bytea NOT NULL);
INSERT INTO {{s}}.signed_head VALUES (1, 0, decode('{_EMPTY_ROOT}', 'hex'));
CREATE TABLE {{s}}.attestation (number bigint PRIMARY KEY, size bigint NOT NULL, kind text COLLATE "C" NOT NULL,
    issuer text COLLATE "C" NOT NULL, body bytea NOT NULL, recorded_at bigint NOT NULL);
CREATE INDEX attestation_by_size ON {{s}}.attestation (size, number);
"""  # noqa: S608 - our own names
_POSTGRES_TRIGGERS_3 = f"""
CREATE FUNCTION {{s}}.signed_head_forward() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NOT ({_SIGNED_FORWARD}) THEN RAISE EXCEPTION 'the log is append-only'; END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER signed_head_forward BEFORE UPDATE ON {{s}}.signed_head
    FOR EACH ROW EXECUTE FUNCTION {{s}}.signed_head_forward();
CREATE TRIGGER signed_head_kept BEFORE DELETE OR TRUNCATE ON {{s}}.signed_head
    FOR EACH STATEMENT EXECUTE FUNCTION {{s}}.forbid();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {{s}}.attestation
    FOR EACH STATEMENT EXECUTE FUNCTION {{s}}.forbid();
CREATE TRIGGER attestation_moved BEFORE INSERT ON {{s}}.attestation FOR EACH ROW EXECUTE FUNCTION {{s}}.head_moved();
DROP TRIGGER append_only ON {{s}}.content;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON {{s}}.content
    FOR EACH STATEMENT EXECUTE FUNCTION {{s}}.forbid();
CREATE FUNCTION {{s}}.content_erased() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT c.payload, o.leaf_hash FROM {{s}}.entry k JOIN {{s}}.content c ON c.position = k.position
            JOIN {{s}}.entry o ON o.position = OLD.position
            WHERE k.stream = 'ledger:' || (SELECT l.ledgerid FROM {{s}}.log l) AND k.type = '{_ERASED}'
                AND k.position > OLD.position ORDER BY k.revision DESC
    LOOP
        BEGIN
            IF EXISTS (SELECT FROM
                    jsonb_array_elements(convert_from(r.payload, 'UTF8')::jsonb -> 'data' -> 'entries') i
                    WHERE i -> 'index' = to_jsonb(OLD.position - 1) AND i ->> 'scope' = 'whole'
                        AND i ->> 'leaf_hash' = encode(r.leaf_hash, 'hex')) THEN
                RETURN OLD;
            END IF;
        EXCEPTION WHEN data_exception THEN CONTINUE;  -- put in by SQL: it is void, and no record
        END;
    END LOOP;
    RAISE EXCEPTION 'the log is append-only';
END $body$;
CREATE TRIGGER content_erased BEFORE DELETE ON {{s}}.content FOR EACH ROW EXECUTE FUNCTION {{s}}.content_erased();
"""  # noqa: S608 - our own names


# -- layout 4: where something was put in quarantine, which decisions about anything else ask for ---

#: The type whose entries have an index of their own.
QUARANTINE = "muniment.quarantine.placed.v1"
_SQLITE_4 = f"CREATE INDEX entry_quarantine ON entry (position) WHERE type = '{QUARANTINE}';\n"
_POSTGRES_TABLES_4 = f"CREATE INDEX entry_quarantine ON {{s}}.entry (position) WHERE type = '{QUARANTINE}';\n"


def _functions(name: str) -> str:
    return (files("ledger.recorders") / name).read_text(encoding="utf-8").replace(":schema", "{s}")


#: What each layout adds on SQLite, from 2 on.
SQLITE_STEPS = (_SQLITE_2, _SQLITE_3, _SQLITE_4)


def postgres_tables(version: int) -> str:
    """Tables on PostgreSQL of all layouts after one; ``{s}`` is the schema."""
    return "".join((_POSTGRES_TABLES_2, _POSTGRES_TABLES_3, _POSTGRES_TABLES_4)[version - 1 :])


def postgres_routines(version: int) -> str:
    """Triggers and functions on PostgreSQL of all layouts after one, which not every role may make."""
    steps = (
        _POSTGRES_TRIGGERS + _functions("postgres_append_at.sql") + _functions("postgres_functions.sql"),
        _POSTGRES_TRIGGERS_3 + _functions("postgres_functions_3.sql"),
        _functions("postgres_append_at.sql"),  # in layout 4 it also takes quarantines for what changes
    )
    return "".join(steps[version - 1 :])


#: Version of the stored layout. In ``log.format`` its negative says that the store is closed: a backup, or a copy that
#: is not finished.
FORMAT_VERSION = 4

_CLOSED = {
    "backup": ("this file is a backup, and nothing is read from or written to it", "muniment backup restore FILE"),
    "restore": ("a backup is being restored to this store", "Finish it with the same `muniment backup restore` again."),
}
_COPYING = (
    "this store is a copy in progress, and the ledger is still where it is copied from",
    "Finish it there with the same `muniment admin copy` again.",
)


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
