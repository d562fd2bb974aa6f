"""What a verification of a log, good or bad, did not verify: the gaps of docs/FORMAT.md §22, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ledger.findings import LogVerification, Witnessed, entries
from ledger.note import VerifierKey
from ledger.verdicts import Gap, GapKind
from ledger.witnesspolicy import Policy

__all__ = ["file_gaps", "gaps_of", "spans_of", "unpinned", "witness_gaps"]

_EARLIER = {
    "hashed": "were judged by an earlier verification: their bytes are those judged then; --all checks them again",
    "not read": "were not read: a change in one of them would not be seen; --all checks them again",
}


def spans_of(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending indexes as stretches without a hole, the end excluded."""
    start = stop = None
    for index in indexes:
        if start is not None and index == stop:
            stop = index + 1
            continue
        if start is not None and stop is not None:
            yield start, stop
        start, stop = index, index + 1
    if start is not None and stop is not None:
        yield start, stop


def unpinned() -> Gap:
    """That nothing outside says who the ledger is."""
    return Gap(GapKind.UNPINNED, "the ledger's identity is not pinned here: it is what entry 0 says")


def gaps_of(found: LogVerification, policy: Policy | None = None) -> list[Gap]:
    """What a verification did not verify.

    Args:
        found: the verification.
        policy: whose cosignatures count, None when nobody said so.

    Returns:
        The gaps, in the order in which docs/FORMAT.md lists their kinds.
    """
    size = found.size
    gaps = [Gap(GapKind.LEVEL, f"not checked at level {found.level}: {what}", 0, size) for what in found.unchecked]
    if found.earlier:
        first = found.verified_from
        gaps.append(Gap(GapKind.EARLIER, f"{entries(0, first)} {_EARLIER[found.earlier]}", 0, first))
    if found.level != "hash":  # where no head is looked at, that is said by the level
        gaps += _uncovered(GapKind.UNSIGNED, found.signed_size, size, "no signed head covers them yet")
        words = "nobody outside the store vouches for them yet"
        gaps += _uncovered(GapKind.UNANCHORED, found.anchored_size, size, words)
        gaps += witness_gaps(found.witnessed, size, policy)
    gaps += [] if found.pinned else [unpinned()]
    for start, stop in spans_of(found.opaque):
        gaps.append(Gap(GapKind.OPAQUE, f"{entries(start, stop)}: of types this Muniment does not know", start, stop))
    gaps += _suspect(found)
    for index, reason in found.acknowledged:
        gaps.append(Gap(GapKind.ACKNOWLEDGED, f"acknowledged void entry {index}: {reason}", index, index + 1))
    gaps += _sequences(found)
    return gaps + list(_withheld(found))


def file_gaps(of_events: Iterable[Gap], unread: Iterable[int], *, pinned: bool) -> list[Gap]:
    """What was not verified when a log was asked what it says of a file.

    Args:
        of_events: the gaps of the events that mention it.
        unread: entries of which it cannot be told whether they do.
        pinned: whether who the ledger is was known from outside.
    """
    told_once = (GapKind.LEVEL, GapKind.UNPINNED)
    gaps = [Gap(GapKind.LEVEL, "only the events that mention these bytes were checked, not the log: see verify log")]
    gaps += [gap for gap in of_events if gap.kind not in told_once]
    for start, stop in spans_of(unread):
        words = f"{entries(start, stop)}: whether they mention these bytes cannot be told, content is erased or sealed"
        gaps.append(Gap(GapKind.SELECTION, words, start, stop))
    return gaps if pinned else [*gaps, unpinned()]


def _uncovered(kind: GapKind, reached: int, size: int, words: str) -> list[Gap]:
    return [Gap(kind, f"{entries(reached, size)}: {words}", reached, size)] if reached < size else []


def witness_gaps(witnessed: Mapping[VerifierKey, Witnessed], size: int, policy: Policy | None) -> list[Gap]:
    """What cosignatures leave open.

    Args:
        witnessed: what each key that cosigned vouches for.
        size: entries of the log.
        policy: whose cosignatures count.
    """
    names = frozenset() if policy is None else frozenset(item.vkey for item in policy.witnesses)
    strangers = sum(vkey not in names for vkey in witnessed)
    gaps = []
    if policy is not None and policy.witnesses:
        reached = policy.met_up_to({vkey: item.size for vkey, item in witnessed.items()})
        asked = policy.describe_quorum().encode(errors="backslashreplace").decode()
        gaps += _uncovered(GapKind.UNWITNESSED, min(reached, size), size, f"the policy asks for {asked}")
    if strangers:
        words = f"{strangers} key(s) that no policy here names cosigned too: that says nothing"
        gaps.append(Gap(GapKind.ATTESTATIONS, words))
    return gaps


def _suspect(found: LogVerification) -> list[Gap]:
    suspects = found.suspects
    gaps = [Gap(GapKind.SUSPECT, item.text, item.index, item.index + 1) for item in suspects.listed]
    more = suspects.count - len(suspects.listed)
    return gaps + ([Gap(GapKind.SUSPECT, f"{more} more entries are suspect")] if more else [])


def _numbers(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _sequences(found: LogVerification) -> Iterator[Gap]:
    for item in found.emitters:
        whose = f"event(s) of emitter {item.emitter} of {item.actor} are not in the log"
        if item.missing:
            numbers = ", ".join(_numbers(*span) for span in item.ranges)
            yield Gap(GapKind.SEQUENCES, f"{item.missing} {whose}: {numbers}")
        for gap in item.declared:
            said = f"as {gap.by} declared for {_numbers(gap.first, gap.last)}: {gap.reason}"
            yield Gap(GapKind.SEQUENCES, f"{gap.absent} {whose}, {said}", gap.index, gap.index + 1)


def _withheld(found: LogVerification) -> Iterator[Gap]:
    by = dict(found.withheld)
    for excuse in dict.fromkeys(by.values()):
        for start, stop in spans_of(index for index, item in sorted(by.items()) if item == excuse):
            yield Gap(GapKind.WITHHELD, f"withheld {entries(start, stop)}: {excuse.text}", start, stop)
