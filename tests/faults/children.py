"""What the child processes of the experiments do; each function runs in a process of its own.

They say what happened through a pipe, after it happened: ``("ack", Ack)``, ``("note", bytes)``, ``("remembered",
size)``, ``("error", text)``.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

from ledger import crashpoints
from ledger.application import Ledger
from ledger.checkpoint import verify_checkpoint
from ledger.errors import StorageError
from ledger.publish import export_tiles
from projections.catalogue import open_runner
from tests.faults.history import Append, Outcome, Read, SeenHead
from tests.faults.site import Ack, Site, envelope

Say = Callable[..., None]


def _arm(point: str | None, pause: bool) -> None:
    """Arm a crash point as the environment variable does in a process that starts cold."""
    if point is None:
        return
    os.environ["MUNIMENT_CRASHPOINT"] = point
    crashpoints._ARMED = crashpoints._armed()
    if pause:
        reach = crashpoints.__dict__

        def stop(passage: int) -> None:
            crashpoints._passed += 1
            if crashpoints._passed == passage:
                os.kill(os.getpid(), signal.SIGSTOP)

        reach["_reach"] = stop


def run(task: str, pipe: Connection, point: str | None, pause: bool, arguments: tuple[Any, ...]) -> None:
    """Run one of the functions below and leave without cleaning up."""
    lock = threading.Lock()

    def say(*words: Any) -> None:
        with lock:
            pipe.send(words)

    _arm(point, pause)
    try:
        globals()[task](say, *arguments)
        say("end")
    except BaseException as error:
        say("error", repr(error))
    finally:
        pipe.close()
        os._exit(0)


def everyday(say: Say, site: Site, seed: int, rounds: int) -> None:
    """What users do, all of it: single events, batches, threads, heads signed and remembered, views, tiles."""
    chance = random.Random(seed)
    with site.environment():
        for turn in range(rounds):
            home = site.home()
            with home.open() as ledger:
                for step in chance.sample((_singles, _batch, _threads), 3):
                    step(say, site, ledger, chance)
                note = ledger.checkpoint()
                say("note", note)
                home.remember(ledger, note)
                say("remembered", verify_checkpoint(note, [ledger.vkey]).size)
                runner = open_runner(ledger, site.url)
                runner.catch_up()
                runner.views.close()
                export_tiles(ledger, site.published)
            say("round", turn)


def _singles(say: Say, site: Site, ledger: Ledger, chance: random.Random) -> None:
    for number in range(chance.randrange(1, 4)):
        say("ack", Ack.of(ledger.emit("external.observed", f"external:single{number}", system="faults")))


def _batch(say: Say, site: Site, ledger: Ledger, chance: random.Random) -> None:
    (key,) = ledger._signers
    for receipt in ledger.append_batch([envelope(ledger, key, n) for n in range(chance.randrange(2, 6))]):
        say("ack", Ack.of(receipt))


def _threads(say: Say, site: Site, ledger: Ledger, chance: random.Random) -> None:
    def work(name: int) -> None:
        for number in range(2):
            receipt = ledger.emit("external.observed", f"external:thread{name}", system="faults", content={"n": number})
            say("ack", Ack.of(receipt))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send(say: Say, site: Site, signed: bytes) -> None:
    """Append one event that was signed before."""
    ledger, _ = site.plain()
    say("ready")
    say("ack", Ack.of(ledger.append(signed)))


def busy(say: Say, site: Site, seconds: float) -> None:
    """Append and sign heads for a while; that the store refuses in time is said and no end."""
    ledger, _ = site.plain()
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        number += 1
        try:
            say("ack", Ack.of(ledger.emit("external.observed", f"external:busy{os.getpid()}", system="faults")))
            if number % 2 == 0:
                say("note", ledger.checkpoint())
        except StorageError as error:
            say("refused", str(error))
        time.sleep(0.02)  # many such processes work at once, and most of their time is waited for
    ledger.recorder.close()


def working(say: Say, site: Site, seed: str, seconds: float, threads: int) -> None:
    """Random operations of several threads with the times at which they began and ended, for `history`."""
    ledger, key = site.plain()
    until = time.monotonic() + seconds

    def thread(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        try:
            while time.monotonic() < until:
                _operation(say, ledger, key, chance)
        except BaseException as error:
            say("error", repr(error))

    running = [threading.Thread(target=thread, args=(number,)) for number in range(threads)]
    for item in running:
        item.start()
    for item in running:
        item.join()


def _operation(say: Say, ledger: Ledger, key: Any, chance: random.Random) -> None:
    """One append, batch, read or look at a head."""
    kind = chance.random()
    if kind < 0.7:
        count = 1 if kind < 0.55 else chance.randrange(2, 5)
        ids = [str(uuid4()) for _ in range(count)]
        _append(say, ledger, ids, [envelope(ledger, key, chance.randrange(5), name) for name in ids])
        return
    begun = time.monotonic_ns()
    try:
        if kind < 0.8:
            (row,) = ledger.recorder.rows(chance.randrange(ledger.recorder.head().size), 1)
            say("read", Read(row.entry.index, row.entry.id, row.leaf_hash, begun, time.monotonic_ns()))
        elif kind < 0.9:
            head = ledger.recorder.head()
            say("head", SeenHead(head.size, head.root(), begun, time.monotonic_ns()))
        else:
            signed = verify_checkpoint(ledger.checkpoint(), [ledger.vkey])
            say("head", SeenHead(signed.size, signed.root, begun, time.monotonic_ns()))
    except StorageError as error:
        say("refused", str(error))


def _append(say: Say, ledger: Ledger, ids: list[str], signed: list[bytes]) -> None:
    """Append, first saying that it begins: whoever dies meanwhile leaves an operation of unknown outcome."""
    begun = time.monotonic_ns()
    unknown = [Append(name, Outcome.UNKNOWN, begun) for name in ids]
    say("appends", unknown)
    certain = True
    for _ in range(5):
        try:
            receipts = ledger.append_batch(signed)
        except StorageError as error:
            certain = certain and not error.outcome_unknown
            if not error.outcome_unknown:
                break
            continue  # the same event again: that is what the hint says
        ended = time.monotonic_ns()
        say("appends", [Append(r.id, Outcome.OK, begun, ended, r.index, r.leaf_hash) for r in receipts])
        return
    if certain:
        say("appends", [replace(item, outcome=Outcome.FAILED, ended=time.monotonic_ns()) for item in unknown])


def send_at(say: Say, url: str, signed: bytes, now: int) -> None:
    """Append one event that was signed before, by a clock that stands still."""
    with Ledger.open(url, clock=lambda: now) as ledger:
        say("ack", Ack.of(ledger.append(signed)))
