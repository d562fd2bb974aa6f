"""What a forked child makes anew: locks that other threads of its parent held, and what they were in the middle of.

Those threads are not in the child, so nobody there would ever release their locks or finish their work. A library with
locks of its own, which nobody can make anew, is kept quiet while the process forks.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet

__all__ = ["Quiet", "Renewed", "renew_in_child"]

_PATIENCE_SECONDS = 10.0


class Renewed(Protocol):
    """Something with a lock."""

    def renew(self) -> None:
        """Begin again, in a child just forked, with nothing that belongs to the parent's threads."""


class Quiet(Renewed, Protocol):
    """Something whose lock is held while the process forks."""

    def hold(self, seconds: float) -> bool:
        """Take the lock; False when it was not to be had in that time."""

    def let_go(self) -> None:
        """Release the lock."""


_living: WeakSet[Renewed] = WeakSet()
_quiet: WeakSet[Quiet] = WeakSet()


class _Held(threading.local):
    """What the thread that forks holds."""

    def __init__(self) -> None:
        self.things: list[Quiet] = []


_held = _Held()


def renew_in_child(thing: Renewed, *, quiet: Quiet | None = None) -> None:
    """Renew a thing in every child that this process forks from now on, for as long as the thing lives.

    Args:
        thing: has locks.
        quiet: the same thing, when its lock must be held while the process forks.
    """
    _living.add(thing)
    if quiet is not None:
        _quiet.add(quiet)


def _before() -> None:
    _held.things = [thing for thing in list(_quiet) if thing.hold(_PATIENCE_SECONDS)]


def _in_parent() -> None:
    for thing in _held.things:
        thing.let_go()
    _held.things = []


def _in_child() -> None:
    _held.things = []
    for thing in list(_living):
        thing.renew()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
