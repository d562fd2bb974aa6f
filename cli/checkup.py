"""What `muniment doctor` looks at."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.app import App
    from ledger.application import Ledger

__all__ = ["Checkup", "examine"]

#: First SQLite without the WAL-reset race that can lose commits.
_SAFE_SQLITE = (3, 51, 3)


@dataclass(frozen=True, slots=True)
class Checkup:
    """One thing looked at: ``good``, ``warning`` or ``bad``."""

    name: str
    state: str
    message: str
    hint: str = ""


def _installation(_app: App) -> Iterator[Checkup]:
    import ledger
    import muniment

    ours = Path(muniment.__file__).resolve().parent.parent
    found = Path(str(ledger.__file__)).resolve().parent.parent
    if ours == found:
        yield Checkup("installation", "good", f"muniment {muniment.__version__}, Python {sys.version.split()[0]}")
    else:
        yield Checkup(
            "installation", "bad", f"the package 'ledger' is loaded from {found}, not from Muniment",
            "A file or folder named 'ledger' hides ours: rename it.",
        )  # fmt: skip
    import apsw

    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    state = "good" if version >= _SAFE_SQLITE else "bad"
    hint = "" if state == "good" else "Upgrade apsw: this SQLite can lose commits in WAL mode."
    yield Checkup("sqlite", state, f"SQLite {apsw.sqlite_lib_version()} through apsw", hint)


def _settings(app: App) -> Iterator[Checkup]:
    from ledger.config import redact_url

    settings = app.home.settings
    for name, origin in settings.origins.items():
        value = redact_url(settings.url) if name == "ledger" else getattr(settings, name)
        shown = " ".join(value) if isinstance(value, tuple) else str(value)
        yield Checkup(f"setting {name}", "good", f"{shown} (from {origin})")
    if settings.secrets != "on":
        hint = 'Set secrets = "on": a log cannot forget what was signed.'
        yield Checkup("secrets", "warning", f"events are not kept free of secrets: {settings.secrets}", hint)


def _files(app: App) -> Iterator[Checkup]:
    folder = app.home.folder
    if folder is None:
        yield Checkup("folder", "warning", "the ledger was named by URL: no trust file pins its identity")
        return
    for path in sorted(folder.glob("*.db")):
        mode = stat.S_IMODE(path.stat().st_mode)
        state = "good" if not mode & 0o077 else "warning"
        yield Checkup(f"file {path.name}", state, f"mode {mode:04o}", "" if state == "good" else f"chmod 600 {path}")


def _store(app: App, ledger: Ledger) -> Iterator[Checkup]:
    head = ledger.recorder.head()
    yield Checkup("ledger", "good", f"{ledger.origin} ({ledger.ledgerid}), {head.size} entries")
    moved = ledger.recorder.successor()
    if moved is not None:
        hint = "Use it there: --ledger URL, or `ledger` in .muniment/config.toml"
        yield Checkup("successor", "bad", f"this ledger has moved to {moved[0]}; nothing can be appended here", hint)
    behind = (head.recorded_at - time.time_ns() // 1000) / 1e6
    if behind > 1:
        hint = "Set the clock; more than 5 s behind refuses to append."
        yield Checkup("clock", "bad", f"this machine's clock is {behind:.1f} s behind the last entry", hint)
    else:
        yield Checkup("clock", "good", "not behind the last entry")
    from cli.stores import examine_store

    for name, good, message, hint in examine_store(ledger.recorder):
        yield Checkup(name, "good" if good else "bad", message, "" if good else hint)
    last = ledger.recorder.last_checkpoint()
    signed = 0 if last is None else last.size
    state = "good" if signed == head.size else "warning"
    hint = "" if state == "good" else "muniment checkpoint show, where the checkpoint key is"
    yield Checkup("signed head", state, f"signed up to size {signed} of {head.size}", hint)


def _trust(app: App, ledger: Ledger) -> Iterator[Checkup]:
    from ledger.entry import format_time
    from ledger.verified import VerifiedMark

    app.home.follow(ledger)
    trust = app.home.trust()
    if trust is None:
        return
    verified = VerifiedMark(trust).recall()
    if verified is not None:
        words = f"in full up to size {verified.size} on {format_time(verified.at)}"
        hint = "The next one does not judge these entries again; let `muniment verify log --all` do it regularly."
        yield Checkup("last verification", "good", words, hint)
    app.home.check(ledger)
    known = app.home.recall()
    if known is None:
        yield Checkup("remembered head", "warning", "first use: none yet", "muniment verify log")
        return
    yield Checkup("remembered head", "good", f"the store extends the head of size {known.size} seen before")


def _keys(app: App, ledger: Ledger) -> Iterator[Checkup]:
    keys = app.home.keystore(ledger.ledgerid)
    owners = sorted({key.owner for key in keys.list()})
    yield Checkup("private keys", "good", f"{', '.join(owners) or 'none'} in {keys.folder}")
    actor = app.home.settings.actor
    if actor is not None and actor not in owners:
        yield Checkup("actor", "bad", f"you sign as {actor}, whose key is not here", "Sign as another: --as ACTOR.")
    for key in keys.list():
        mode = stat.S_IMODE(key.path.stat().st_mode)
        if mode & 0o077:
            yield Checkup(
                f"key {key.path.name}", "bad", f"others can read it (mode {mode:04o})", f"chmod 600 {key.path}"
            )
    yield from _checkpoint_key(app, ledger)


def _checkpoint_key(app: App, ledger: Ledger) -> Iterator[Checkup]:
    from ledger.custody import head_keyids
    from ledger.keystore import CHECKPOINT

    keys = app.home.keystore(ledger.ledgerid)
    missing = [keyid for keyid in head_keyids(ledger) if not keys.has(CHECKPOINT, keyid=keyid)]
    if not missing:
        return
    if not keys.has(CHECKPOINT):
        yield Checkup("checkpoint key", "warning", "not here: heads are signed elsewhere")
        return
    hint = "`muniment checkpoint keys` shows all. Sign where they are, or copy them here under the name 'checkpoint'."
    yield Checkup("checkpoint key", "warning", f"the next head needs {missing[0][:16]}…, which is not here", hint)


def _roots(app: App, ledger: Ledger, *, prod: bool) -> Iterator[Checkup]:
    state = ledger.ledger_state()
    worse = "bad" if prod else "warning"
    count, threshold = len(state.roots), state.threshold
    if threshold == 1:
        who = "one root key alone" if count == 1 else f"any one of {count} root keys"
        hint = "Let several persons hold one each: muniment root propose roots --help"
        yield Checkup("roots", worse, f"{who} rules this ledger: a stolen one cannot be replaced in time", hint)
    elif threshold == count:
        hint = "Add a root key: muniment root propose roots --help"
        yield Checkup("roots", "warning", f"all {count} root keys must sign: if one is lost, nothing replaces it", hint)
    else:
        yield Checkup("roots", "good", f"{threshold} of {count} root keys must sign")
    ids = {key.keyid[:16] for key in state.roots}
    lying = [key for key in app.home.keystore(ledger.ledgerid).list() if key.keyid_prefix in ids and not key.on_token]
    if lying:
        yield Checkup(
            "root key", worse, "the root key lies beside the keys in daily use",
            "Move it to a safe place; it is needed only to change admins and roots.",
        )  # fmt: skip


def _witnesses(app: App, ledger: Ledger) -> Iterator[Checkup]:
    from cli.witnessing import examine_witnesses

    for found in examine_witnesses(app, ledger):
        yield Checkup(*found)


def _people(ledger: Ledger) -> Iterator[Checkup]:
    from cli.people import people

    for name, state, words, hint in people(ledger):
        yield Checkup(name, state, words, hint)


def _emitters(ledger: Ledger) -> Iterator[Checkup]:
    from cli.emitters import examine_emitters

    for name, state, words, hint in examine_emitters(ledger):
        yield Checkup(name, state, words, hint)


#: Entries that are looked at; a checkup takes no longer because the log is long.
_NEWEST = 200_000


def _sealed(app: App, ledger: Ledger) -> Iterator[Checkup]:
    from ledger.unknownkeys import find_unknown_keys, unknown_key_gap

    size = ledger.recorder.head().size
    keys = app.home.data_keys(ledger.ledgerid)
    try:
        found = find_unknown_keys(ledger, keys, max(0, size - _NEWEST))
    finally:
        keys.close()
    if found:
        hint = f"See who signed it: muniment show {found[0][0]}. If the key store is an old copy, put the newer back."
        yield Checkup("sealed fields", "warning", unknown_key_gap(found).message, hint)


def _guard(name: str, step: Callable[[], Iterator[Checkup]]) -> list[Checkup]:
    from ledger.errors import LedgerError

    try:
        return list(step())
    except LedgerError as error:
        return [Checkup(name, "bad", error.message, error.hint)]


def examine(app: App, /, *, prod: bool = False) -> list[Checkup]:
    """Look at everything; a step that fails is a finding, not the end.

    Args:
        app: the invocation.
        prod: ask what production asks.
    """
    from ledger.errors import LedgerError

    found = _guard("installation", lambda: _installation(app))
    try:
        home = app.home
    except LedgerError as error:
        return [*found, Checkup("ledger", "bad", error.message, error.hint)]
    found += _guard("settings", lambda: _settings(app)) + _guard("files", lambda: _files(app))
    try:
        ledger = home.open_reader()
    except LedgerError as error:
        return [*found, Checkup("store", "bad", error.message, error.hint)]
    with ledger:
        found += _guard("store", lambda: _store(app, ledger))
        found += _guard("trust", lambda: _trust(app, ledger))
        found += _guard("witnesses", lambda: _witnesses(app, ledger))
        found += _guard("private keys", lambda: _keys(app, ledger))
        found += _guard("roots", lambda: _roots(app, ledger, prod=prod))
        found += _guard("people", lambda: _people(ledger))
        found += _guard("emitters", lambda: _emitters(ledger))
        found += _guard("sealed fields", lambda: _sealed(app, ledger))
    return found
