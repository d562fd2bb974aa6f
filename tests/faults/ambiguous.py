"""Commits whose answer is lost: the same event is sent again, and must be there once.

On PostgreSQL a go-between cuts the connection at any message of the exchange that one append is, in either direction;
which messages there are is learnt from an append that is left alone. On SQLite the process dies around its commit.
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from unittest.mock import patch
from uuid import uuid4

from ledger.application import Ledger
from ledger.errors import StorageError
from ledger.recorders import open_recorder
from tests.contract.postgres_proxy import Proxy, Rule, never, proxy_to
from tests.contract.support import raw
from tests.faults.processes import child
from tests.faults.scorecard import Result
from tests.faults.site import Ack, Site, envelope, good, lost, scratch

ZEROS = ("duplicates", "false errors", "false successes", "unverifiable")
#: Where a process dies on SQLite: before the commit, and when it is done but nobody knows.
_POINTS = ("append.begun", "append.inserted", "append.before_commit", "append.committed")


def _recorded(url: str, event_id: str) -> int:
    with raw(url) as store:
        ((count,),) = store.run("SELECT count(*) FROM $entry WHERE id = ?", (event_id,))
    return int(count)


def _finish(result: Result, site: Site, acks: list[Ack], ids: list[str], seed: int) -> None:
    for what in lost(site.url, acks):
        result.failed("false successes", f"seed {seed}: {what}")
    with raw(site.url) as store:
        counts = Counter(name for (name,) in store.run("SELECT id FROM $entry"))
    for event_id in ids:
        if counts[event_id] > 1:
            result.failed("duplicates", f"seed {seed}: {event_id} is there {counts[event_id]} times")
    for what in good(site.url, site):
        result.failed("unverifiable", f"seed {seed}: {what}")


def _nth(from_client: bool, number: int) -> Rule:
    """Cut at the ``number``-th message in one direction, from 1."""
    seen = 0

    def rule(sent_by_client: bool, kind: bytes, body: bytes) -> bool:
        nonlocal seen
        seen += sent_by_client == from_client
        return sent_by_client == from_client and seen == number

    return rule


def _count(proxy: Proxy, append: Callable[[], object]) -> dict[bool, int]:
    """How many messages go in each direction when nothing is cut: True from the client."""
    seen: Counter[bool] = Counter()

    def rule(sent_by_client: bool, kind: bytes, body: bytes) -> bool:
        seen[sent_by_client] += 1
        return False

    proxy.rule = rule
    append()
    proxy.rule = never
    return dict(seen)


def postgres_commits(dsn: str, url: str, rounds: int, seed: int) -> Result:
    """Cut the connection at each message of an append, again and again.

    Args:
        dsn: URL of the server.
        url: a store there that does not exist yet.
        rounds: how many cuts.
        seed: of the order, and of who is refused afterwards.
    """
    result = Result.counting(*ZEROS)
    chance = random.Random(seed)
    acks: list[Ack] = []
    ids: list[str] = []
    told: Counter[str] = Counter()
    # How long it asks a server that refuses is not what is tested, and would be a minute each time.
    patient = patch("ledger.recorders.postgres_store.FAILOVER_SECONDS", 0.5)
    with scratch() as folder, proxy_to(dsn) as proxy, patient:
        site = Site.make(folder / "site", url)
        direct, key = site.plain()
        ledger = Ledger(open_recorder(f"{proxy.dsn}&schema={url.partition('schema=')[2]}"), actor=direct.actor)
        ledger.append(envelope(direct, key, 0))
        messages = _count(proxy, lambda: ledger.append(envelope(direct, key, 0)))
        moments = [(side, number) for side, count in messages.items() for number in range(1, count + 1)]
        for turn in range(rounds):
            if turn % len(moments) == 0:
                chance.shuffle(moments)
            side, number = moments[turn % len(moments)]
            where = f"message {number} of the {'client' if side else 'server'}, turn {turn} of seed {seed}"
            ids.append(str(uuid4()))
            signed = envelope(direct, key, turn % 7, ids[-1])
            proxy.cut_next(_nth(side, number), then_refuse=chance.random() < 0.05)
            told["cuts"] -= proxy.cuts
            try:
                acks.append(Ack.of(ledger.append(signed)))
                told["answered at once"] += 1
            except StorageError as error:
                told["unknown" if error.outcome_unknown else "refused"] += 1
                if not error.outcome_unknown and _recorded(site.url, ids[-1]):
                    result.failed("false errors", f"{where}: {error!r}")
                proxy.rule, proxy.refusing = never, False
                _again(result, ledger, signed, acks, where)
            except Exception as error:
                result.failed("false errors", f"{where}: {error!r}")
            proxy.rule, proxy.refusing = never, False
            told["cuts"] += proxy.cuts
            result.n += 1
        ledger.recorder.close()
        direct.recorder.close()
        _finish(result, site, acks, ids, seed)
    result.figures = {"moments": len(moments), **told, "acknowledged": len(acks)}
    return result


def _again(result: Result, ledger: Ledger, signed: bytes, acks: list[Ack], where: str) -> None:
    """The same event, with nothing in the way."""
    try:
        acks.append(Ack.of(ledger.append(signed)))
    except Exception as error:
        result.failed("false errors", f"{where}, sent again: {error!r}")


def commits_of_killed(url: str | None, rounds: int, seed: int) -> Result:
    """Let a process die around its commit, and another one send the same event again.

    Args:
        url: a store that does not exist yet; None for a SQLite file.
        rounds: how many deaths.
        seed: of where they die.
    """
    result = Result.counting(*ZEROS)
    chance = random.Random(seed)
    acks: list[Ack] = []
    ids: list[str] = []
    found: Counter[str] = Counter()
    with scratch() as folder:
        site = Site.make(folder / "site", url)
        ledger, key = site.plain()
        for turn in range(rounds):
            point = chance.choice(_POINTS)
            where = f"{point}, turn {turn} of seed {seed}"
            ids.append(str(uuid4()))
            signed = envelope(ledger, key, turn % 7, ids[-1])
            with child("send", site, signed, point=point) as first:
                code = first.end()
            if code != -signal.SIGKILL or first.told("ack"):
                result.failed("false successes", f"{where}: it did not die there: {code}, {first.said}")
            committed = _recorded(site.url, ids[-1]) == 1
            if committed != (point == "append.committed"):
                result.failed("false successes", f"{where}: recorded {committed}")
            found["committed" if committed else "not committed"] += 1
            with child("send", site, signed) as second:
                second.end()
            if not second.told("ack"):
                result.failed("false errors", f"{where}, sent again: {second.told('error')}")
            acks += [ack for (ack,) in second.told("ack")]
            result.n += 1
        ledger.recorder.close()
        _finish(result, site, acks, ids, seed)
    result.figures = {**found, "acknowledged": len(acks)}
    return result
