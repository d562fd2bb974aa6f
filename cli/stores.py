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
    (encoding,) = recorder.ask("SELECT current_setting('server_encoding')")[0]
    yield "encoding", encoding == "UTF8", f"encoding {encoding}", "Make the database with encoding UTF8."


def examine_store(recorder: SqlRecorder) -> Iterator[Found]:
    """Look at the settings of a store that durability rests on."""
    return _sqlite(recorder) if recorder.backend == "sqlite" else _postgres(recorder)
