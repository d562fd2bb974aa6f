"""What can only be told once a pass over the log has come to its end."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.auditpass import Pass
from ledger.domain import LedgerState
from ledger.domain.erasure import withheld_by
from ledger.emitters import survey
from ledger.entry import Entry, entry_hash
from ledger.errors import InputError
from ledger.findings import MAX_FINDINGS, Finding
from ledger.identity import Trust
from ledger.successor import successor_fault
from ledger.suspects import find_suspects
from ledger.verdicts import Fault

__all__ = ["finish"]


def finish(done: Pass, trust: Trust | None) -> None:
    """Check what can only be told at the end, and put the findings in order.

    Args:
        done: the pass; its report is completed.
        trust: pinned identity, None when none is known.
    """
    size = done.expected
    _check_head(done, size)
    _check_rest(done, size)
    state = done.ledger()
    _check_identity(done, trust, state)
    done.report.restores = () if state is None else state.restores
    _check_withheld(done)
    acknowledged = _acknowledged(done, state)
    for index, finding in done.voids.items():
        if index in acknowledged:
            done.report.acknowledged.append((index, finding.message))
        else:
            done.report.findings.append(finding)
    if done.level == "full":
        done.world.index = size
        done.report.suspects = find_suspects(done.log, done.world, size, lambda row: row.entry.index in done.voids)
    done.report.size = size
    done.report.root = done.range.root().hex() if done.whole else ""
    judge = done.world.judged if done.level == "full" and done.ledger() is not None else None
    done.report.emitters = survey(done.log, judge, _holed(done), done.after)
    found: dict[tuple[str, int | None, str], Finding] = {}
    for item in done.report.findings:  # of a row's findings the first one made says most
        found.setdefault((item.fault, item.index, "" if item.index is not None else item.message), item)
    done.report.findings[:] = sorted(found.values(), key=lambda finding: _place(finding, size))
    del done.report.findings[MAX_FINDINGS:]


def _acknowledged(done: Pass, state: LedgerState | None) -> frozenset[int]:
    """Void entries that an admin has seen as they are: an acknowledgement is of one leaf hash and excuses no other."""
    said = frozenset() if state is None else state.acknowledged
    rows = (row for index, _ in said if index in done.voids for row in done.log.rows(index, 1))
    return frozenset(row.entry.index for row in rows if (row.entry.index, _leaf_of(row.entry)) in said)


def _leaf_of(entry: Entry) -> str:
    try:
        return entry_hash(entry).hex()
    except InputError:  # its columns are no entry
        return ""


def _check_withheld(done: Pass) -> None:
    """Missing content is a failure, unless a valid record of the log says that this very content was erased."""
    state = done.erasures() if done.absent or (done.level == "full" and done.ledger() is not None) else None
    for index, row in done.absent.items():
        found = withheld_by(state, row.entry)
        if found is None:
            done.add(Fault.PAYLOAD, index, "its content is missing, and no valid record says that it was erased")
        else:
            done.report.withheld.append((index, found))
    if state is not None and done.level == "full":
        done.report.unfinished = [
            (index, state.withheld[index, stream].record)
            for index, stream in sorted(state.withheld)
            if index >= done.after and index not in done.absent and _names_truly(done, state, index, stream)
        ]


def _names_truly(done: Pass, state: LedgerState, index: int, stream: str) -> bool:
    """Whether a record names an entry that may be withheld, with its own stream; another one allows nothing."""
    entries = (row.entry for row in done.log.rows(index, 1))
    return any((e.index, e.stream) == (index, stream) and withheld_by(state, e) is not None for e in entries)


def _holed(done: Pass) -> Iterator[tuple[str, str]]:
    """Actor and emitter of those between whose numbers some are missing."""
    for index, _ in done.missing:
        (row,) = done.log.rows(index, 1)
        yield row.entry.actor, row.entry.emitter


def _check_head(done: Pass, size: int) -> None:
    head = done.head
    if head.size > size:
        done.add(Fault.HEAD, size, f"the head row counts {head.size} entries and {size} are there: the tail is missing")
    elif head.size < size:
        done.add(Fault.HEAD, head.size, f"the head row counts {head.size} entries and {size} are there")
    elif done.whole:
        expected = (done.last_stored_leaf, done.range.to_bytes(), done.recorded_at)
        if (head.last_leaf, head.peaks, head.recorded_at) != expected:
            done.add(Fault.HEAD, None, "the head row does not fit the last entry")
        if done.level == "full":
            _check_authority(done)


def _check_authority(done: Pass) -> None:
    found = done.head.authority
    done.report.authority = found
    if found == done.authority:
        return
    # Authority entries that are void here, or of a newer version's types, moved it too.
    if found not in done.voids and found not in done.report.opaque:
        done.add(Fault.HEAD, None, f"the head row says authority {found}, and the log {done.authority}")


def _check_rest(done: Pass, size: int) -> None:
    if done.level != "hash":
        keys = done.keys()
        done.heads.finish(size, keys)
        vkey = None if keys is None else keys.at(size)
        fault = successor_fault(done.log.successor(), vkey, (done.identity.ledgerid, size, done.range.root()))
        if fault and done.whole:
            done.add(Fault.CHECKPOINT, None, fault)
    after, contents, tiles, odd_tiles = done.counted
    entries = done.after + after
    if entries != size and done.whole:
        done.add(Fault.HEAD, None, f"the store has {entries} rows of entries, and {size} of them follow each other")
    full = after - len(done.absent)
    if contents > full:
        words = f"the store has {done.after + contents} contents for {done.after + full} entries that have one"
        done.add(Fault.PAYLOAD, None, words)
    for index in done.log.repeated_ids(done.after):
        done.add(Fault.HEADER, index, "its author's event id stands at an earlier entry too")
    if done.whole and (tiles != done.tiles.count or odd_tiles):
        done.add(
            Fault.TREE, None, f"the store has {tiles} full tiles, and a log of {size} entries has {done.tiles.count}"
        )


def _check_identity(done: Pass, trust: Trust | None, state: LedgerState | None) -> None:
    if state is not None and state.origin != done.identity.origin:
        done.add(Fault.HEAD, None, f"the store calls the log {done.identity.origin!r} and entry 0 {state.origin!r}")
    if trust is None:
        return
    done.report.pinned = True
    if (trust.ledgerid, trust.origin) != (done.identity.ledgerid, done.identity.origin):
        done.add(
            Fault.ANCHOR, 0, f"this is the ledger {done.identity.origin}, and {trust.origin} is the one trusted here"
        )
    genesis = done.log.leaf_hashes(0, 1)
    if not genesis or genesis[0].hex() != trust.genesis:
        done.add(Fault.ANCHOR, 0, "entry 0 is not the one the trust file pins")
    if state is not None and (found := trust.contradiction(state.log_keys, done.expected)):
        done.add(Fault.ANCHOR, *found)


def _place(finding: Finding, size: int) -> tuple[int, bool]:
    """Where a finding stands in a report: what is located comes before a bound that holds it."""
    if finding.index is not None:
        return finding.index, False
    return (finding.sizes[1] - 1 if finding.sizes else size), True
