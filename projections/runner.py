"""The runner: feeds judged events to projections page by page.

One transaction a page and view holds the rows and the position. A view that stands on another history
than the log now has is refused, never mended silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ledger.application import Ledger
from ledger.crashpoints import crashpoint
from ledger.errors import LedgerError, StorageError, VerificationError
from ledger.replay import Judged
from ledger.worlds import StoreWorld
from projections.base import Projection, RowOf
from projections.views.store import REBUILD_SUFFIX, Position, ViewStore

__all__ = ["Runner", "ViewStatus"]

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """How a view stands.

    Attributes:
        name: the projection.
        size: log entries it has applied.
        log_size: entries of the log.
        version: version of the projection that made it, 0 when it is empty.
        current: whether this Muniment makes the same version.
    """

    name: str
    size: int
    log_size: int
    version: int
    current: bool

    @property
    def lag(self) -> int:
        """Entries it is behind."""
        return self.log_size - self.size


class Runner:
    """Keeps views up to the log.

    Args:
        ledger: an open ledger.
        views: where the views are.
        projections: which projections to run.
    """

    def __init__(self, ledger: Ledger, views: ViewStore, projections: Sequence[Projection]) -> None:
        self._ledger = ledger
        self.views = views
        self.projections = tuple(projections)

    def status(self) -> list[ViewStatus]:
        """How each view stands; makes nothing but the table of positions."""
        self.views.prepare()
        size = self._ledger.recorder.head().size
        found = []
        for projection in self.projections:
            at = self.views.position(projection) or Position(0, "", 0)
            current = at.version in (0, projection.version)
            found.append(ViewStatus(projection.name, at.size, size, at.version, current))
        return found

    def lag(self) -> int:
        """Entries the slowest view is behind."""
        return max(status.lag for status in self.status())

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Bring every view to the present head.

        Args:
            progress: called with (applied, total) after each page.

        Returns:
            The size they now stand at.

        Raises:
            VerificationError: a view was built over another history.
        """
        self.views.prepare()
        world = self._ledger.world
        size = world.refresh()
        behind = []
        for projection in self.projections:
            at = self.views.position(projection)
            if at is not None and at.size == size and at.version == projection.version:
                self._check_same_history(projection, at)
            else:
                behind.append(projection)
        with self._leases(behind):
            for projection in behind:
                at = self.views.position(projection)
                if at is not None and at.version != projection.version:
                    self.views.drop(projection)
                self.views.ensure(projection)
            self._advance(behind, world, size, "", progress)
        return size

    @contextmanager
    def _leases(self, projections: Sequence[Projection]) -> Iterator[None]:
        """Be the only runner of these views; leases are taken in one order, so that no two wait for each other."""
        with ExitStack() as held:
            for projection in sorted(projections, key=lambda item: item.name):
                held.enter_context(self.views.lease(projection.name))
            yield

    def _check_same_history(self, projection: Projection, at: Position) -> None:
        leaf = self._ledger.world.leaf_hash(at.size - 1) if at.size else None
        if at.size and (leaf is None or leaf.hex() != at.leaf_hash):
            raise VerificationError(
                f"the view {projection.name} was built over another history of this log, up to entry {at.size - 1}",
                fault="anchor",
                hint="First run `muniment verify log`; then, if the log is good: muniment projection rebuild",
            )

    def _advance(
        self,
        projections: Sequence[Projection],
        world: StoreWorld,
        size: int,
        suffix: str,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        """Bring views to a size in one pass: each entry is judged once, from where the first of them stands."""
        at = {projection: self._position(projection, suffix) for projection in projections}
        for projection, position in at.items():
            self._check_same_history(projection, position)
        while (start := min((position.size for position in at.values()), default=size)) < size:
            further = [position.size for position in at.values() if position.size > start]
            judged = self._page(world, start, min([size, start + _PAGE, *further]) - start)
            for projection in [item for item in projections if at[item].size == start]:
                at[projection] = self._apply(projection, judged, start, suffix)
            if progress is not None:
                progress(min(position.size for position in at.values()), size)

    def _position(self, projection: Projection, suffix: str) -> Position:
        return self.views.position(projection, suffix) or Position(0, "", projection.version)

    def _apply(self, projection: Projection, judged: Sequence[Judged], start: int, suffix: str) -> Position:
        """Apply a page to a view, and tell where it then stands."""
        last = judged[-1].row
        new = Position(last.entry.index + 1, last.leaf_hash.hex(), projection.version)
        rows: list[RowOf] = [row for item in judged for row in projection.rows(item)]
        if not self.views.apply(projection, rows, start, new, suffix):
            return self._position(projection, suffix)
        crashpoint("view.committed")
        return new

    def _page(self, world: StoreWorld, start: int, count: int) -> list[Judged]:
        rows = self._ledger.recorder.rows(start, count)
        if not rows or rows[0].entry.index != start or rows[-1].entry.index != start + len(rows) - 1:
            raise VerificationError(f"entry {start} is missing", fault="chain", index=start, hint="muniment verify log")
        return [world.judge_row(row) for row in rows]

    def rebuild(self, name: str | None = None, progress: Callable[[int, int], None] | None = None) -> dict[str, bool]:
        """Build views anew beside the old ones and put them in their place.

        Args:
            name: one projection; all when None.
            progress: called with (applied, total) after each page.

        Returns:
            For each view whether the old rows, at the same size, were equal by hash.
        """
        self.views.prepare()
        projections = [item for item in self.projections if name in (None, item.name)]
        with self._leases(projections):
            return self._rebuild(projections, progress)

    def purge(self) -> None:
        """Drop every view with all that is in it; each is made again from the log when it is asked for.

        Raises:
            StorageError: they are another role's, or others are reading them, so that a file may still hold what was in
                them.
        """
        if not self.views.made():
            return
        if not self.views.may_keep():
            raise StorageError(
                "the views beside the log may not be dropped by this role",
                hint="Let the owner of their schema run the same command: it goes on from here.",
            )
        self.views.prepare()
        for projection in self.projections:
            with self.views.lease(projection.name):
                self.views.drop(projection, REBUILD_SUFFIX)
                self.views.drop(projection)
        self.views.scrub()

    def _rebuild(
        self, projections: Sequence[Projection], progress: Callable[[int, int], None] | None
    ) -> dict[str, bool]:
        world = StoreWorld(self._ledger.recorder)  # a fresh fold, so that nothing cached is believed
        size = world.refresh()
        comparable = {projection: self._comparable(projection, world, size) for projection in projections}
        for projection in projections:
            self.views.drop(projection, REBUILD_SUFFIX)
            self.views.ensure(projection, REBUILD_SUFFIX)
        self._advance(projections, world, size, REBUILD_SUFFIX, progress)
        equal = {}
        for projection in projections:
            same = comparable[projection]
            if same:
                same = self.views.digest(projection) == self.views.digest(projection, REBUILD_SUFFIX)
            equal[projection.name] = same is not False
            self.views.swap(projection)
        return equal

    def _comparable(self, projection: Projection, world: StoreWorld, size: int) -> bool | None:
        """Whether a view can be compared with a new one, brought up to it.

        Returns:
            None for an empty one or one of another version, which is no damaged one; False when it was built over
            another history or cannot be read: that is what a rebuild replaces.
        """
        at = self.views.position(projection)
        if at is None or at.version != projection.version:
            return None
        try:
            self.views.ensure(projection)
            self._advance([projection], world, size, "", None)
        except LedgerError:
            return False
        return True
