"""What `muniment verify log` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.anchoring import describe_timestamps, summarise
from cli.conclusion import conclusion, finding_lines, gap_lines
from cli.emitters import describe_emitter, emitter_remarks, now
from cli.output import console, print_record, styled
from cli.witnessing import describe, summary, witnessed_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cli.app import App
    from ledger.domain import Suspicion
    from ledger.findings import LogVerification
    from ledger.timestamps import StampCheck
    from ledger.verdicts import Gap, Verdict
    from ledger.verified import Verified
    from ledger.witnesspolicy import Policy

__all__ = ["LogReport"]


@dataclass
class LogReport:
    """A verification of a log, and everything from outside that bears on it.

    Attributes:
        found: the verification.
        policy: whose cosignatures count.
        stamps: what timestamps say, None when they were not looked at.
        before: the earlier verification that this one went on from.
        first_use: whether this machine remembered no head.
        required: how many entries the witnesses must vouch for.
        stale: that nobody said anything about the log as recently as was asked for, None otherwise.
        unread: that more heads are published than were read.
        sealed: that fields are sealed with data keys that were never here.
    """

    found: LogVerification
    policy: Policy | None = None
    stamps: StampCheck | None = None
    before: Verified | None = None
    first_use: bool = False
    required: int = 0
    stale: Gap | None = None
    unread: Sequence[Gap] = ()
    sealed: Sequence[Gap] = ()
    gaps: list[Gap] = field(init=False)

    def __post_init__(self) -> None:
        from ledger.gaps import gaps_of

        self.gaps = [
            *gaps_of(self.found, self.policy),
            *self.sealed,
            *([] if self.stamps is None else self.stamps.gaps),
        ]
        self.gaps += [*self.unread, *([] if self.stale is None else [self.stale])]

    @property
    def unwitnessed(self) -> bool:
        """Whether witnesses were asked for and do not vouch for enough of the log."""
        return witnessed_size(self.found, self.policy) < self.required

    @property
    def verdict(self) -> Verdict:
        """The conclusion: a good log is unverified when too few witnesses vouch for it, or nobody did so recently."""
        from ledger.verdicts import Verdict

        short = self.unwitnessed or self.stale is not None
        return Verdict.UNVERIFIED if self.found.ok and short else self.found.verdict

    def show(self, app: App, /) -> None:
        """Print it in the form that was asked for."""
        if app.output != "text":
            print_record(app, self.as_json(), "")
            return
        out = console(app)
        for line, colour in self._lines():
            out.print(styled(line, colour))
        if self.found.level != "hash":
            describe(out, self.found, self.policy)
            describe_timestamps(out, self.stamps)
        for line, colour in (*gap_lines(self.gaps), *_remarks(self.found)):
            out.print(styled(line, colour))

    # -- for machines ------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        found = self.found
        return {
            **conclusion(self.verdict, found.findings, self.gaps),
            "ok": found.ok,
            "origin": found.origin,
            "ledgerid": found.ledgerid,
            "size": found.size,
            "root": found.root,
            "checkpoints": found.checkpoints,
            "signed_size": found.signed_size,
            "anchored_size": found.anchored_size,
            "anchored_by": found.anchored_by or None,
            "unanchored_from": found.anchored_size if found.anchored_size < found.size else None,
            **_listed(found),
            "level": found.level,
            "unchecked": list(found.unchecked),
            "verified_from": found.verified_from,
            "earlier": found.earlier or None,
            "jobs": found.jobs,
            "witnessed": summary(found, self.policy),
            "timestamps": summarise(self.stamps),
        }

    # -- for people --------------------------------------------------------------------------------

    def _lines(self) -> Iterator[tuple[str, str]]:
        """The verdict, what is wrong, and what the signed heads and anchors come to; each line with its colour."""
        from ledger.verdicts import Verdict

        found = self.found
        words = f"{found.origin}: {found.size} entries"
        if not found.ok:
            yield f"✗ {found.origin or 'this store'}: {len(found.findings)} finding(s)", "red"
        elif self.verdict is Verdict.UNVERIFIED:
            why = "too few witnesses vouch for them" if self.unwitnessed else "nobody vouched for them recently enough"
            yield f"? {words} fit, and {why}, root {found.root}", "yellow"
        elif found.level == "full":  # only a full verification is green
            yield f"✓ {words} verified, root {found.root}", "green"
        else:
            yield f"? {words} fit at level {found.level}, root {found.root}", "yellow"
        yield from finding_lines(found.findings)
        if found.unchecked:
            yield "? SIGNATURES AND LEGALITY WERE NOT CHECKED: muniment verify log --level full does it", "yellow"
        yield from self._heads()

    def _heads(self) -> Iterator[tuple[str, str]]:
        from ledger.entry import format_time
        from ledger.findings import entries

        found, before = self.found, self.before
        if found.earlier and before is not None:
            rest = entries(0, found.verified_from)
            yield f"  {rest} were verified on {format_time(before.at)} and are anchored by the remembered head", ""
        if found.level == "hash":
            return
        since = " since then" if found.earlier else ""
        yield f"  signed heads: {found.checkpoints} good{since}, the last at size {found.signed_size}", ""
        if found.anchored_size:
            yield f"  anchored up to size {found.anchored_size} by {found.anchored_by}", ""
        if self.first_use:
            yield "  first use on this machine: no earlier head was remembered to compare with", ""


def _listed(found: LogVerification) -> dict[str, Any]:
    return {
        "suspect": [_suspect(item) for item in found.suspects.listed],
        "suspect_count": found.suspects.count,
        "withheld": [
            {"index": index, "record": item.record, "erased_by": item.actor, "basis": item.basis}
            for index, item in found.withheld
        ],
        "erasure_unfinished": [{"index": index, "record": record} for index, record in found.unfinished],
        "acknowledged": [{"index": index, "reason": reason} for index, reason in found.acknowledged],
        "opaque": found.opaque,
        "restores": [
            {
                "index": item.index,
                "size": item.size,
                "lost_from": item.lost_from,
                "lost_to": item.lost_to,
                "reason": item.reason,
            }
            for item in found.restores
        ],
        "emitters": [describe_emitter(item, now()) for item in found.emitters],
    }


def _suspect(item: Suspicion) -> dict[str, Any]:
    return {"index": item.index, "cause": item.cause, "keyid": item.keyid, "owner": item.owner}


def _remarks(found: LogVerification) -> Iterator[tuple[str, str]]:
    """What is in the log, and is neither a finding nor a gap; each line with its colour."""
    from ledger.findings import entries

    if found.withheld:
        share = f"{len(found.withheld)} of {found.size} entries"
        yield (
            f"? {share} are complete as labelled by the operator: their content was erased, by a record here",
            "yellow",
        )
    if found.unfinished:
        stored, record = found.unfinished[0]
        words = f"the erasure recorded by entry {record} is not finished: the content of entry {stored} is still stored"
        yield f"? {words}; run the same `muniment subject erase` again", "yellow"
    for restore in found.restores:
        lost = entries(restore.lost_from, restore.lost_to)
        words = f"RESTORED to {restore.size} entries, the root keys say at entry {restore.index}: {restore.reason}"
        yield f"? {words}; lost of the history before: {lost}", "yellow"
    for item in found.emitters:
        yield from emitter_remarks(item, now())
