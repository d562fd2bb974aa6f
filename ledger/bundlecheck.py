"""Checking a bundle: the tree and its signed head, then keys and roles, then every content that is in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.bodyschemas import BODY_SCHEMAS, body_schema_digest
from ledger.bundle import Bundle, Selection, rests_authority_on
from ledger.bundlelog import BundleLog
from ledger.bundlerules import RuleCheck
from ledger.checkpoint import Checkpoint, verify_checkpoint
from ledger.cosignature import verify_lines
from ledger.domain import LedgerState
from ledger.domain.erasure import withheld_by
from ledger.entry import ZERO_HASH
from ledger.errors import AuthenticationError, VerificationError, fault_of
from ledger.findings import MAX_FINDINGS, Anchor, Finding, Witnessed, entries
from ledger.gaps import spans_of, witness_gaps
from ledger.identity import LogKeys
from ledger.note import Note, VerifierKey, format_note, parse_note
from ledger.replay import ContentError
from ledger.stored import Row
from ledger.suspects import find_suspects
from ledger.verdicts import Fault, Gap, GapKind, Verdict
from ledger.witnesspolicy import Policy
from ledger.worlds import StoreWorld

__all__ = ["BundleVerification", "verify_bundle"]


@dataclass(slots=True)
class BundleVerification:
    """What a bundle was found to be.

    Attributes:
        head: the signed head in it.
        ledgerid: 32 hex digits, of its first entry.
        selection: whose contents are in it.
        pinned_by: which of the keys given from outside signed the head; empty when none was given.
        anchored_by: heads given from outside that the bundle extends.
        findings: what is wrong, first place first.
        gaps: what was not verified.
        rows: the rows whose content was checked, in order.
        note: the head as the log signed it, without what others added.
        witnessed: what witnesses of the policy vouch for, by their keys.
        policy: whose cosignatures count.
        required: for so many entries enough witnesses must vouch.
    """

    head: Checkpoint | None = None
    ledgerid: str = ""
    selection: Selection | None = None
    pinned_by: str = ""
    anchored_by: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    note: bytes = b""
    witnessed: dict[VerifierKey, Witnessed] = field(default_factory=dict)
    policy: Policy | None = None
    required: int = 0

    @property
    def met(self) -> bool:
        """Whether enough witnesses vouch for as many entries as was asked for."""
        if not self.required:
            return True
        sizes = {vkey: item.size for vkey, item in self.witnessed.items()}
        return self.policy is not None and self.policy.met_up_to(sizes) >= self.required

    @property
    def verdict(self) -> Verdict:
        """The conclusion: without a key from outside a bundle only agrees with itself."""
        if self.findings:
            return Verdict.BAD
        stale = any(gap.kind is GapKind.STALE for gap in self.gaps)
        return Verdict.VERIFIED if self.pinned_by and self.met and not stale else Verdict.UNVERIFIED


def verify_bundle(
    bundle: Bundle, vkeys: Sequence[VerifierKey], anchors: Sequence[Anchor] = (), policy: Policy | None = None,
    *, stamped: bool = False,
) -> BundleVerification:  # fmt: skip
    """Check a bundle.

    Args:
        bundle: as parsed.
        vkeys: keys of the log, known from outside; one of them must have signed the head. Without any the verdict is at
            best ``unverified``.
        anchors: heads of the log that somebody vouches for, already authenticated.
        policy: whose cosignatures of the head count; without one they are not checked.
        stamped: whether the caller checks the timestamps, so that they are no gap here.

    Returns:
        What was found.
    """
    return _Check(bundle, policy, stamped=stamped).run(vkeys, anchors)


class _Check:
    """One verification."""

    def __init__(self, bundle: Bundle, policy: Policy | None, *, stamped: bool) -> None:
        self.bundle, self.policy, self.stamped = bundle, policy, stamped
        self.found = BundleVerification(bundle.head, bundle.rows[0].entry.ledgerid, bundle.selection)
        self.blind: dict[str, list[int]] = defaultdict(list)  # stream that is not all here: entries it left unjudged
        self.withheld: list[Row] = []  # excused by a record or not: that stands behind them

    def add(self, fault: Fault, index: int | None, message: str) -> None:
        """Note what is wrong."""
        if len(self.found.findings) < MAX_FINDINGS:
            self.found.findings.append(Finding(fault, index, message))

    def run(self, vkeys: Sequence[VerifierKey], anchors: Sequence[Anchor]) -> BundleVerification:
        """See `verify_bundle`."""
        self._check_headers()
        if not self.found.findings:
            self.log = BundleLog(self.bundle, self.found.ledgerid)
            if self.log.root != self.bundle.head.root:
                self.add(Fault.CHECKPOINT, None, f"the entries do not give the root signed at {self.bundle.head.size}")
        if not self.found.findings:
            self._check_pinned(vkeys)
            self._check_anchors(anchors)
            self._check_contents()
        self._check_schemas()
        return self.found

    def _check_schemas(self) -> None:
        """Nobody signs the schemas; those that were published never change, and are known here."""
        unknown = []
        for name, schema in self.bundle.schemas.items():
            known = BODY_SCHEMAS.get(name)
            if known is None:
                unknown.append(name)
            elif known != body_schema_digest(name, schema):
                self.add(Fault.BUNDLE, None, f"the schema of {name} is not the one that was published")
        if unknown:
            words = f"schemas of types not known here were not compared: {', '.join(unknown[:5])}"
            self.found.gaps.append(Gap(GapKind.OPAQUE, words))

    def _check_headers(self) -> None:
        prev, revisions, ids, numbers = ZERO_HASH, dict[str, int](), set[tuple[str, str]](), set[tuple[str, str, int]]()
        for index, row in enumerate(self.bundle.rows):
            entry = row.entry
            if (entry.index, entry.prev, entry.ledgerid) != (index, prev, self.found.ledgerid):
                self.add(Fault.CHAIN, index, "the entry does not follow the one before it")
                return
            if entry.revision != revisions.get(entry.stream, 0) + 1:
                self.add(Fault.HEADER, index, f"its revision does not follow the one before in {entry.stream}")
            if (entry.actor, entry.id) in ids:
                self.add(Fault.HEADER, index, "its author's event id stands at an earlier entry too")
            if (entry.actor, entry.emitter, entry.sequence) in numbers:
                self.add(Fault.SEQUENCE, index, "its emitter used this number before")
            prev, revisions[entry.stream] = row.leaf_hash.hex(), entry.revision
            ids.add((entry.actor, entry.id))
            numbers.add((entry.actor, entry.emitter, entry.sequence))

    def _check_pinned(self, vkeys: Sequence[VerifierKey]) -> None:
        if not vkeys:
            gap = "no key of the log was given from outside: whoever made the file may have made the ledger too"
            self.found.gaps.append(Gap(GapKind.UNPINNED, gap))
            return
        for vkey in vkeys:
            try:
                verify_checkpoint(self.bundle.note, [vkey])
            except (AuthenticationError, VerificationError):
                continue
            self.found.pinned_by = f"{vkey.name}+{vkey.key_hash.hex()}"
            return
        self.add(Fault.CHECKPOINT, None, "no key given from outside signed this head")

    def _check_anchors(self, anchors: Sequence[Anchor]) -> None:
        size = self.bundle.head.size
        world = StoreWorld(self.log)
        for anchor in anchors:
            head = anchor.checkpoint
            if head.origin != self.bundle.head.origin:
                self.add(Fault.ANCHOR, None, f"{anchor.by} is about another log, {head.origin}")
            elif head.size > size:
                words = f"{anchor.by} is of size {head.size}, and the bundle ends at {size}: they were not compared"
                self.found.gaps.append(Gap(GapKind.UNANCHORED, words, 0, size))
            elif head.size and world.root_hash(head.size) != head.root:
                self.add(Fault.ANCHOR, None, f"its first {head.size} entries are not those of {anchor.by}")
            else:
                self.found.anchored_by.append(anchor.by)

    # -- contents ------------------------------------------------------------------------------

    def _check_contents(self) -> None:
        self.world = StoreWorld(self.log)
        rules = RuleCheck(self.world)
        size, voids, opaque = self.bundle.head.size, dict[int, Finding](), list[int]()
        for row in self.bundle.rows:
            index = row.entry.index
            if row.payload is None:
                self._check_absent(row)
                rules.missing(row)
                continue
            self.found.rows.append(row)
            ruling = rules.judge(row)
            error = ruling.error
            if ruling.opaque:
                opaque.append(index)
            if ruling.blind:
                self.blind[ruling.blind].append(index)
            if isinstance(error, ContentError):
                self.add(error.fault, index, error.message)
            elif error is not None:
                voids[index] = Finding(fault_of(error), index, f"it is void: {error.message}")
        self._add_voids(voids)
        self._settle_withheld()
        self._check_ledger(size)
        self.found.findings.sort(key=lambda finding: (finding.index is None, finding.index or 0))
        self._note_gaps(size, opaque)

    def _check_absent(self, row: Row) -> None:
        index = row.entry.index
        if rests_authority_on(row.entry.stream):
            self.add(Fault.PAYLOAD, index, "its content is missing, and keys and roles rest on it")
        elif index in self.bundle.withheld:
            self.withheld.append(row)
        elif self.bundle.selection.asks_for(row.entry):
            self.add(Fault.PAYLOAD, index, "it belongs to the selection, and its content is missing")

    def _settle_withheld(self) -> None:
        """Missing content is excused by a valid record that it was erased, and by nothing else."""
        state = self.world.state_before(f"ledger:{self.found.ledgerid}", self.bundle.head.size)
        for row in self.withheld:
            index = row.entry.index
            excuse = withheld_by(state if isinstance(state, LedgerState) else None, row.entry)
            if excuse is None:
                self.add(Fault.PAYLOAD, index, "its content is missing, and no record says that it was erased")
            else:
                words = f"the content of entry {index} was withheld: {excuse.text}"
                self.found.gaps.append(Gap(GapKind.WITHHELD, words, index, index + 1))

    def _check_ledger(self, size: int) -> None:
        state = self.world.state_before(f"ledger:{self.found.ledgerid}", size)
        if not isinstance(state, LedgerState):
            self.add(Fault.LEGALITY, 0, "entry 0 does not found this ledger")
            return
        if (state.origin, state.ledgerid) != (self.bundle.head.origin, self.found.ledgerid):
            self.add(Fault.CHECKPOINT, 0, f"the head is of {self.bundle.head.origin}, and entry 0 of {state.origin}")
        try:
            state.log_keys.verify(self.bundle.note)
        except (AuthenticationError, VerificationError) as error:
            self.add(Fault.CHECKPOINT, None, f"by the keys in the log itself: {error.message}")
        self._check_outsiders(state.log_keys)

    def _check_outsiders(self, keys: LogKeys) -> None:
        """What others say of the head: cosignatures by the policy; for the rest, that it was not checked."""
        note, size, policy = parse_note(self.bundle.note), self.bundle.head.size, self.policy
        own = {(key.vkey.name, key.vkey.key_hash) for key in keys.keys}
        mine = tuple(line for line in note.signatures if (line.name, line.key_hash) in own)
        self.found.note = format_note(Note(note.text, mine)) if mine else b""
        self.found.policy, unread = policy, Counter(said.kind for said in self.bundle.attestations)
        lines = [line for line in note.signatures if line not in mine]
        unread["cosignature"] += len(lines)
        for item in () if policy is None else policy.witnesses:
            unread["cosignature"] -= sum(
                (line.name, line.key_hash) == (item.vkey.name, item.vkey.key_hash) for line in lines
            )
            try:
                for said in verify_lines(note.text, lines, [item.vkey]):
                    self.found.witnessed[item.vkey] = Witnessed(size, said.time)
            except VerificationError as error:
                self.add(Fault.ANCHOR, None, f"the cosignature of {item.vkey.name} in the bundle: {error.message}")
        if policy is not None:
            self.found.gaps += witness_gaps(self.found.witnessed, size, policy)
        if self.stamped:
            del unread["rfc3161"]
        words = ", ".join(f"{count} {kind}" for kind, count in sorted(unread.items()) if count)
        if words:
            self.found.gaps.append(Gap(GapKind.ATTESTATIONS, f"not checked here, what others say of the head: {words}"))

    def _add_voids(self, voids: dict[int, Finding]) -> None:
        state = self.world.state_before(f"ledger:{self.found.ledgerid}", self.bundle.head.size)
        acknowledged = state.acknowledged if isinstance(state, LedgerState) else frozenset[tuple[int, str]]()
        for index, finding in voids.items():
            if (index, self.bundle.rows[index].leaf_hash.hex()) in acknowledged:
                words = f"void entry {index}, acknowledged by an admin: {finding.message}"
                self.found.gaps.append(Gap(GapKind.ACKNOWLEDGED, words, index, index + 1))
            else:
                self.add(finding.fault, index, finding.message)

    def _note_gaps(self, size: int, opaque: list[int]) -> None:
        gaps = self.found.gaps
        bare = size - len(self.found.rows) - len(self.bundle.withheld)
        if bare:
            words = f"of {bare} entries only the header is here, as labelled by the operator"
            gaps.append(Gap(GapKind.CONTENT, words))
        for stream, indexes in self.blind.items():
            for start, stop in spans_of(indexes):
                words = f"{entries(start, stop)}: rules were not judged, since not all of {stream} before is here"
                gaps.append(Gap(GapKind.RULES, words, start, stop))
        if self.bundle.selection.kind == "digests":
            words = "that no other entry mentions these digests is not proven"
            gaps.append(Gap(GapKind.SELECTION, words))
        if opaque:
            words = f"{len(opaque)} entries are of types not known here, the first at {opaque[0]}"
            gaps.append(Gap(GapKind.OPAQUE, words))
        bad = {finding.index for finding in self.found.findings}
        world = self.world.at(size)
        suspects = find_suspects(self.log, world, size, lambda row: row.payload is None or row.entry.index in bad)
        for suspect in suspects.listed:
            gaps.append(Gap(GapKind.SUSPECT, suspect.text, suspect.index, suspect.index + 1))
        if not self.found.anchored_by:
            words = f"no head from outside was compared with {entries(0, size)}"
            gaps.append(Gap(GapKind.UNANCHORED, words, 0, size))
