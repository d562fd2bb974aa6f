"""What `muniment doctor` asks of each kind of store."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.recorders.sql import SqlRecorder

__all__ = ["examine_store"]

#: (what, whether it is good, words, next step)
Found = tuple[str, bool, str, str]


def _sqlite(recorder: SqlRecorder) -> Iterator[Found]:
    (mode,) = recorder.ask("PRAGMA journal_mode")[0]
    yield "journal", mode == "wal", f"journal_mode {mode}", "Restore the store from a verified copy."
    (level,) = recorder.ask("PRAGMA synchronous")[0]
    yield "durability", level >= 2, f"synchronous {level} (2 is FULL)", "This Muniment sets FULL itself; report this."
    (word,) = recorder.ask("PRAGMA quick_check(1)")[0]
    yield "file structure", word == "ok", f"quick_check {word}", "Restore the store from a verified copy."


def _postgres(recorder: SqlRecorder) -> Iterator[Found]:
    (version,) = recorder.ask("SELECT current_setting('server_version')")[0]
    yield "server", True, f"PostgreSQL {version}", ""
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        (value,) = recorder.ask("SELECT current_setting(?)", (name,))[0]
        yield (
            name,
            value != "off",
            f"{name} {value}",
            f"Set {name} = on: without it commits can be lost.",
        )
    (sums,) = recorder.ask("SELECT current_setting('data_checksums')")[0]
    words = "" if sums == "on" else ": what the disk alters is found by `verify log` only"
    yield "data checksums", True, f"data_checksums {sums}{words}", ""
    (encoding,) = recorder.ask("SELECT current_setting('server_encoding')")[0]
    yield "encoding", encoding == "UTF8", f"encoding {encoding}", "Make the database with encoding UTF8."
    yield _standbys(recorder)
    yield from _access(recorder)


def _standbys(recorder: SqlRecorder) -> Found:
    names, waits, standby, visible, in_step = recorder.ask(
        "SELECT current_setting('synchronous_standby_names'), "
        "current_setting('synchronous_commit') IN ('on', 'remote_apply'), pg_catalog.pg_is_in_recovery(), "
        "pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'), "
        "(SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))"
    )[0]
    if standby:
        return "standbys", True, "this server is a standby: it can be read, and not written", ""
    if not names:
        return "standbys", True, "none is synchronous: a failover may lose what was recorded last", ""
    connected = f" ({in_step} connected)" if visible else ""
    return (
        "standbys",
        waits and (in_step > 0 or not visible),
        f"commits of this session {'wait' if waits else 'do not wait'} for {names}{connected}",
        "Start the standby: until then every append waits for it.",
    )


def _access(recorder: SqlRecorder) -> Iterator[Found]:
    from ledger.recorders.postgres import PostgresRecorder

    if not isinstance(recorder, PostgresRecorder):
        return
    there = recorder.has_functions
    yield (
        "functions", True,
        "appends are one call on the server" if there else "none: only the owner can append, and more slowly", "",
    )  # fmt: skip
    role, owner, writer, reader = recorder.ask(
        "SELECT current_user, pg_catalog.pg_has_role(n.nspowner, 'USAGE'), "
        "coalesce((SELECT bool_and(pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) FROM pg_catalog.pg_proc p "
        "WHERE p.pronamespace = n.oid AND p.proname IN ('append', 'add_checkpoint', 'add_attestation')), false), "
        "pg_catalog.has_table_privilege(n.nspname || '.entry', 'SELECT') "
        "FROM pg_catalog.pg_namespace n WHERE n.nspname = ?",
        (recorder.schema,),
    )[0]
    access = "owner" if owner else "writer" if writer else "reader"
    yield "database role", bool(reader), f"{role} is {access} here", "Ask the owner: muniment admin grant ROLE reader"


def examine_store(recorder: SqlRecorder) -> Iterator[Found]:
    """Look at the settings of a store that durability rests on, and at what is in it beside rows."""
    yield from _sqlite(recorder) if recorder.backend == "sqlite" else _postgres(recorder)
    odd, gone = recorder.structure_faults(deep=False), recorder.missing_guards()
    words = "; ".join(odd) or "all are as Muniment makes them"
    yield "tables", not odd, words, "Restore the store from a verified copy."
    words = f"{', '.join(gone)} missing: mistakes in SQL can change the log" if gone else "all triggers are there"
    yield "guards", not gone, words, "Find out who took them off; a backup that is restored has them again."
