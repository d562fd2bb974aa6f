"""The suspect entries of a log, as of a size: found by looking through what the actors concerned wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from operator import attrgetter

from ledger.domain import ActorState, Suspicion, World, first_doubt, signed_of, suspicion
from ledger.errors import VerificationError
from ledger.replay import open_row
from ledger.stored import LogReader, Row

__all__ = ["MAX_SUSPECTS", "Doubts", "Suspects", "find_suspects", "suspicion_of"]

#: At most so many suspect entries are listed, the first ones; the others are counted.
MAX_SUSPECTS = 1000
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Suspects:
    """Suspect entries: how many there are, and the first of them in log order."""

    count: int = 0
    listed: tuple[Suspicion, ...] = ()


def suspicion_of(world: World, row: Row) -> Suspicion | None:
    """Why an entry is suspect in a world, None when it is not, or when its content cannot be read.

    Args:
        world: the world of whoever asks.
        row: the entry, which is not void.
    """
    try:
        event, _ = open_row(row)
    except VerificationError:
        return None
    return suspicion(world, signed_of(event))


class Doubts:
    """Asks of many entries whether they are suspect, in one world.

    Args:
        world: the world of whoever asks.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._first: dict[str, int | None] = {}

    def may(self, actor: str, index: int) -> bool:
        """Whether an entry of an author may be suspect; its content need not be read when not."""
        if actor not in self._first:
            state = self._world.state(f"actor:{actor}")
            self._first[actor] = first_doubt(self._world, state) if isinstance(state, ActorState) else None
        first = self._first[actor]
        return first is not None and index >= first

    def of(self, row: Row) -> Suspicion | None:
        """Why an entry that is not void is suspect, None when it is not."""
        return suspicion_of(self._world, row) if self.may(row.entry.actor, row.entry.index) else None


def _of_actor(log: LogReader, world: World, actor: str, span: tuple[int, int], *, void: Callable[[Row], bool]) -> (
    Iterator[Suspicion]
):  # fmt: skip
    start, stop = span
    while rows := log.actor_rows(actor, start, stop, _PAGE):
        for row in rows:
            found = suspicion_of(world, row)
            if found is not None and not void(row):
                yield found
        start = rows[-1].entry.index + 1


def find_suspects(log: LogReader, world: World, size: int, void: Callable[[Row], bool]) -> Suspects:
    """Find the suspect entries; reads nothing but states of actors when no key was ever compromised.

    Args:
        log: the store.
        world: the world at ``size``.
        size: entries to look at.
        void: says of a row whether it is void; a void entry supports nothing, so it is not suspect.
    """
    count = 0

    def counted() -> Iterator[Suspicion]:
        nonlocal count
        for stream in log.authority_streams():
            state = world.state(stream)
            doubt = first_doubt(world, state) if isinstance(state, ActorState) else None
            if isinstance(state, ActorState) and doubt is not None:
                for found in _of_actor(log, world, state.actor, (doubt, size), void=void):
                    count += 1
                    yield found

    listed = nsmallest(MAX_SUSPECTS, counted(), key=attrgetter("index"))
    return Suspects(count, tuple(listed))
