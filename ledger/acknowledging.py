"""Which entries an admin may say to have seen: those that are void, as they stand."""

from __future__ import annotations

from ledger.errors import InputError, PolicyError
from ledger.replay import ContentError, Judged
from ledger.stored import LogReader
from ledger.worlds import StoreWorld

__all__ = ["find_void"]


def find_void(log: LogReader, world: StoreWorld, index: int) -> Judged:
    """The void entry at an index.

    Judging an acknowledgement does not ask for it, because a bundle need not hold the entry. It need not be asked for
    there: a leaf hash commits to an entry and to all before it, so what is valid stays so for that leaf hash.

    Args:
        log: the store.
        world: of that store.
        index: leaf index.

    Raises:
        InputError: there is no such entry.
        PolicyError: it is not void, or its content is not what was recorded.
    """
    rows = log.rows(index, 1) if index < world.size else []
    if not rows or rows[0].entry.index != index:
        raise InputError(f"there is no entry {index}", hint=f"The log has {world.size} entries: muniment log")
    judged = world.judge_row(rows[0])
    if judged.verdict.kind != "void":
        raise PolicyError(f"entry {index} is {judged.verdict.kind}: there is nothing to acknowledge")
    if isinstance(judged.verdict.error, ContentError):
        raise PolicyError(
            f"entry {index} is altered, not only void: {judged.verdict.error.message}",
            hint="Keep the store as it is and find out who changed it: muniment verify log",
        )
    return judged
