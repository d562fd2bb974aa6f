"""A process that forks writers on demand, so that each of them starts warm and is on its own.

It never opens a store itself. It reads one JSON object a line and answers on stdout, where its children write too:
every line is one ``write``, so lines stay whole even when their writer is killed.

    {"mode": ..., "url": ..., "actor": ..., "seed": ..., "tag": ...}    fork a writer; answers ``pid TAG PID``
    {"mode": "sync"}                                                    answers ``synced`` once all children are gone

Writers print ``waits TAG`` where they wait for the others, ``ack TAG INDEX ID`` after each receipt, ``end TAG`` at
their end and ``error TAG TEXT`` when they fail.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from ledger import commands
from ledger.application import Ledger, Receipt
from tests.contract.support import MODEL, digest, seeded_key


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)).replace("\n", " ")[:4000] + "\n").encode())


class Writer:
    """One writing process."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order, self.tag = order, order["tag"]
        self.chance = random.Random(order["seed"])
        key = seeded_key(order["seed"])
        self.ledger = Ledger.open(order["url"], actor=order["actor"], signers=[key])

    def ack(self, receipt: Receipt) -> None:
        say("ack", self.tag, receipt.index, receipt.id)

    def fact(self, number: int) -> Receipt:
        return self.ledger.emit("external.observed", f"external:{self.tag}", system="worker", content={"n": number})

    def any_event(self, number: int) -> Receipt:
        """Facts of its own and of a shared stream, registrations that are checked against it, and decisions."""
        kind = self.chance.randrange(4)
        if kind == 0:
            return self.ledger.emit("run.started", "run:shared", seed=number)
        if kind == 1:
            name = f"dataset:shared@{self.chance.randrange(3)}"
            return self.ledger.emit("dataset.registered", name, digest=digest(name))
        if kind == 2:
            return commands.request_approval(self.ledger, MODEL, "prod", reason=f"{self.tag} {number}")
        return self.fact(number)

    def forever(self) -> None:
        """Until killed."""
        number = 0
        while True:
            number += 1
            self.ack(self.fact(number))

    def burst(self) -> None:
        """A number of events, all writers at the same time."""
        say("waits", self.tag)
        with Path(self.order["gate"]).open("rb") as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)
        for number in range(self.order["count"]):
            self.ack(self.any_event(number))

    def family(self) -> None:
        """Use an open ledger on both sides of a fork, and close it in the child first."""
        self.ack(self.fact(1))
        for use in (True, False):
            child = os.fork()
            if child == 0:
                if use:
                    self.ack(self.fact(2))
                self.ledger.close()
                os._exit(0)
            os.waitpid(child, 0)
            self.ack(self.fact(3))
        self.ledger.close()


def work(order: dict[str, Any]) -> None:
    try:
        writer = Writer(order)
        getattr(writer, order["mode"])()
        say("end", order["tag"])
    except BaseException as error:
        say("error", order["tag"], repr(error))
    finally:
        os._exit(0)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if order["mode"] == "sync":
            while True:
                try:
                    os.wait()
                except ChildProcessError:
                    break
            say("synced")
            continue
        while True:  # collect those that have ended meanwhile
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        child = os.fork()
        if child == 0:
            work(order)
        say("pid", order["tag"], child)


if __name__ == "__main__":
    main()
