"""Who a ledger is: the keys that sign its heads, one after another, and what somebody outside it pinned."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from ledger.errors import AuthenticationError, VerificationError
from ledger.note import VerifierKey, parse_note

__all__ = ["LogKey", "LogKeys", "Trust"]


@dataclass(frozen=True, slots=True)
class LogKey:
    """A key of the log, and which heads it signs.

    Attributes:
        vkey: verifier key.
        since: smallest size it signs: one more than the index of the entry that brought it, 0 for the first one.
        dual: the first head it signs is signed by the key before it too.
    """

    vkey: VerifierKey
    since: int = 0
    dual: bool = True


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The keys that sign a log's heads, in the order in which they came.

    Args:
        keys: at least one; ``since`` rises.
    """

    keys: tuple[LogKey, ...]

    @property
    def current(self) -> VerifierKey:
        """The key that signs now."""
        return self.keys[-1].vkey

    def at(self, size: int) -> VerifierKey:
        """The key that signs heads of a size."""
        return next(key.vkey for key in reversed(self.keys) if key.since <= size or key is self.keys[0])

    def needed(self, before: int, size: int) -> tuple[VerifierKey, ...]:
        """All keys that must sign a head: the first one behind a change is signed by old and new.

        Args:
            before: size of the signed head before it, 0 for none.
            size: its size.

        Returns:
            The key of its size first.
        """
        found = [self.at(size)]
        for old, new in zip(self.keys, self.keys[1:], strict=False):
            if before < new.since <= size and new.dual and old.vkey not in found:
                found.append(old.vkey)
        return tuple(found)

    def verify(self, note: bytes, before: int | None = None) -> Checkpoint:
        """Check a signed head under the key that signs heads of its size.

        Args:
            note: the note as received.
            before: size of the signed head before it; then the first head behind a change must have both signatures.

        Returns:
            The head.

        Raises:
            InputError: not a note, or not a checkpoint.
            VerificationError: fault ``checkpoint``: the line of such a key does not verify.
            AuthenticationError: it is not signed as it must be; a key that was replaced is named.
        """
        parsed = parse_note(note)
        size = parse_checkpoint(parsed.text).size
        try:
            head = verify_checkpoint(note, [self.at(size)])
        except AuthenticationError as error:
            lines = {(line.name, line.key_hash) for line in parsed.signatures}
            raise AuthenticationError(self._explain(lines, size) or error.message) from None
        for vkey in self.needed(size if before is None else before, size)[1:]:
            try:
                verify_checkpoint(note, [vkey])
            except AuthenticationError:
                raise AuthenticationError(
                    f"the head of size {size} is the first one behind a change of the checkpoint key and is not signed "
                    f"by the old key {vkey.key_hash.hex()} too"
                ) from None
        return head

    def _explain(self, lines: set[tuple[str, bytes]], size: int) -> str:
        for old, new in zip(self.keys, self.keys[1:], strict=False):
            if (old.vkey.name, old.vkey.key_hash) in lines and size >= new.since:
                return (
                    f"the head of size {size} is signed by the checkpoint key {old.vkey.key_hash.hex()}, which was "
                    f"replaced at entry {new.since - 1}"
                )
        return ""


@dataclass(frozen=True, slots=True)
class Trust:
    """The pinned identity of a ledger.

    Attributes:
        ledgerid: 32 hex digits.
        origin: name in every checkpoint.
        vkeys: verifier keys of its checkpoints, in the order in which they came.
        genesis: leaf hash of entry 0, hex.
        since: smallest size that each of them signs; none when there was no change of the key.
    """

    ledgerid: str
    origin: str
    vkeys: tuple[VerifierKey, ...]
    genesis: str
    since: tuple[int, ...] = ()

    def keys_at(self, size: int) -> tuple[VerifierKey, ...]:
        """The pinned keys that may sign a head of a size."""
        if not self.since:
            return self.vkeys
        return (LogKeys(tuple(map(LogKey, self.vkeys, self.since))).at(size),)

    def verify_head(self, note: bytes) -> Checkpoint:
        """Check a signed head under the pinned key that signs heads of its size.

        Raises:
            InputError, VerificationError, AuthenticationError: as `LogKeys.verify`.
        """
        if not self.since:
            return verify_checkpoint(note, self.vkeys)
        return LogKeys(tuple(map(LogKey, self.vkeys, self.since))).verify(note)

    def follow(self, keys: LogKeys) -> Trust:
        """Take in changes of the key that a log proves, as far as they go on from what is pinned.

        Args:
            keys: all keys of the log.

        Returns:
            The same, when there is nothing new.

        Raises:
            VerificationError: fault ``anchor``: the log is not under the pinned key.
        """
        found = [(key.vkey, key.since) for key in keys.keys]
        pinned = list(zip(self.vkeys, self.since or range(len(self.vkeys)), strict=False))
        if not self.since and len(pinned) > 1:  # written by hand: any of them signs
            if keys.keys[0].vkey not in self.vkeys:
                raise _other_key()
            return self
        if found[: len(pinned)] != pinned[: len(found)]:
            raise _other_key()
        if len(found) <= len(pinned):
            return self
        vkeys, since = zip(*found, strict=True)
        return Trust(self.ledgerid, self.origin, tuple(vkeys), self.genesis, tuple(since))

    def contradiction(self, keys: LogKeys, size: int) -> tuple[int, str] | None:
        """Say where and how a log's own keys contradict the pinned ones, as far as a log of this size can tell.

        Args:
            keys: all keys the log names.
            size: its number of entries.

        Returns:
            Leaf index of the entry that says otherwise, and words; None when they agree.
        """
        if keys.keys[0].vkey not in (self.vkeys[:1] if self.since else self.vkeys):
            return 0, "entry 0 names a checkpoint key that the trust file does not list"
        here = {key.since: key.vkey for key in keys.keys}
        for vkey, since in zip(self.vkeys, self.since, strict=False):
            if since <= size and here.get(since) != vkey:
                key = vkey.key_hash.hex()
                known = f"the trust file knows that entry {since - 1} changed the checkpoint key to {key}"
                return since - 1, f"{known}, and here it does not"
        return None


def _other_key() -> VerificationError:
    return VerificationError("the log names another checkpoint key than the trust file pins", fault="anchor", index=0)
