"""How long ago somebody outside the store said anything about a log.

A log that is cut off from its readers at a moment, with everything in it good, looks like one in which nothing happens.
Only words that carry a time tell: cosignatures, by a witness's clock, and timestamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger.cosignature import verify_lines
from ledger.findings import Witnessed
from ledger.note import VerifierKey, parse_note
from ledger.verdicts import Gap, GapKind
from ledger.witnesspolicy import Policy, PolicyWitness

__all__ = ["CLOCK_SLACK", "Word", "stale", "words_in", "words_of"]

#: Seconds by which another's clock may be ahead of ours; a time beyond says nothing about now.
CLOCK_SLACK = 300


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody outside said about a head of a log.

    Attributes:
        by: who, in words.
        time: when, seconds since the Unix epoch by its own clock.
    """

    by: str
    time: int


def _word(item: PolicyWitness, time: int) -> Word:
    return Word(f"the witness {item.name.encode(errors='backslashreplace').decode()}", time)


def words_of(witnessed: Mapping[VerifierKey, Witnessed], policy: Policy | None) -> list[Word]:
    """What the witnesses of a policy said last, as a verification found it in the store.

    Args:
        witnessed: by the keys that cosigned.
        policy: whose cosignatures count; without one nobody's do.
    """
    known = () if policy is None else policy.witnesses
    return [_word(item, witnessed[item.vkey].time) for item in known if item.vkey in witnessed]


def words_in(note: bytes, policy: Policy | None) -> list[Word]:
    """What the witnesses of a policy said in a signed note.

    Args:
        note: of a head that was checked.
        policy: whose cosignatures count; without one nobody's do.

    Raises:
        InputError: it is no signed note of a checkpoint.
        VerificationError: a cosignature of a witness of the policy does not verify.
    """
    known = {} if policy is None else {item.vkey: item for item in policy.witnesses}
    parsed = parse_note(note)
    return [_word(known[item.vkey], item.time) for item in verify_lines(parsed.text, parsed.signatures, list(known))]


def stale(words: Iterable[Word], max_age: int, now: int) -> Gap | None:
    """The gap that a log leaves when nobody outside said anything about it recently.

    Args:
        words: what was said; what lies in the future is not counted.
        max_age: seconds.
        now: seconds since the Unix epoch.

    Returns:
        None when something younger was said.
    """
    last = max((word for word in words if word.time <= now + CLOCK_SLACK), key=lambda word: word.time, default=None)
    if last is None:
        return Gap(GapKind.STALE, "no witness of the policy and no trusted timestamp says how old this log is")
    age = max(0, now - last.time)
    if age <= max_age:
        return None
    message = f"{last.by} was the last to say anything of this log, {age} s ago, and at most {max_age} s were asked for"
    return Gap(GapKind.STALE, message)
