"""Whose cosignatures make a signed head good enough: the policy file (C2SP tlog-policy)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ledger.errors import InputError
from ledger.note import TYPE_COSIGNATURE, TYPE_ED25519, VerifierKey, parse_vkey

__all__ = ["MAX_POLICY", "NO_QUORUM", "Group", "Policy", "PolicyLog", "PolicyWitness", "parse_policy"]

#: Bytes of a policy file.
MAX_POLICY = 262_144
#: Logs, witnesses and groups of each kind that a policy may have; the specification asks for at least 32.
MAX_MEMBERS = 256
#: The quorum that needs nobody.
NO_QUORUM = "none"

_OCTETS = re.compile(rb"[\t\n\x20-\x7e\x80-\xff]*")
_BLANK = re.compile(r"[ \t]+")
_THRESHOLD = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log whose heads the policy accepts."""

    vkey: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness.

    Attributes:
        name: in this policy; it means nothing outside.
        vkey: its key.
        url: its submission prefix, None when it is not given.
    """

    name: str
    vkey: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these members."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy file says.

    Attributes:
        logs: accepted logs; none when the log is known from elsewhere.
        witnesses: in the order of the file.
        groups: by name, in the order of the file.
        quorum: name of a witness or group, or `NO_QUORUM`.
    """

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: Mapping[str, Group]
    quorum: str

    def met(self, witnesses: Collection[VerifierKey]) -> bool:
        """Whether cosignatures by these keys make the quorum."""
        witnessed = {item.name for item in self.witnesses if item.vkey in witnesses}
        for group in self.groups.values():  # members come before their group
            if sum(member in witnessed for member in group.members) >= group.threshold:
                witnessed.add(group.name)
        return self.quorum == NO_QUORUM or self.quorum in witnessed

    def met_up_to(self, sizes: Mapping[VerifierKey, int]) -> int:
        """The largest tree size that a quorum vouches for.

        Who cosigned a tree vouches for every smaller one that it extends, so the members of a quorum need not have
        cosigned the same head of one log.

        Args:
            sizes: the largest size that each witness cosigned, of one and the same log.

        Returns:
            That size; 0 when there is none, or when the policy asks for nobody.
        """
        if self.quorum == NO_QUORUM:
            return 0
        for size in sorted(set(sizes.values()), reverse=True):
            if self.met([vkey for vkey, reached in sizes.items() if reached >= size]):
                return size
        return 0

    def describe_quorum(self) -> str:
        """The quorum in words."""
        if self.quorum == NO_QUORUM:
            return "no witness"
        group = self.groups.get(self.quorum)
        return self.quorum if group is None else f"{group.threshold} of {', '.join(group.members)}"


class _Reader:
    """Takes the lines of a policy one by one."""

    def __init__(self) -> None:
        self.logs: list[PolicyLog] = []
        self.witnesses: list[PolicyWitness] = []
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._names: set[str] = set()
        self._members: set[str] = set()

    def take(self, words: list[str]) -> None:
        kind, *rest = words
        counts = {"log": (1, 2), "witness": (2, 3), "group": (3, MAX_MEMBERS + 2), "quorum": (1, 1)}
        if kind not in counts:
            raise InputError(f"{kind[:40]!r} is none of log, witness, group and quorum")
        least, most = counts[kind]
        if not least <= len(rest) <= most:
            forms = {
                "log": "log VKEY [URL]",
                "witness": "witness NAME VKEY [URL]",
                "group": "group NAME all|any|K MEMBER...",
                "quorum": "quorum NAME",
            }
            raise InputError(f"it must have the form: {forms[kind]}")
        getattr(self, f"_{kind}")(*rest)

    def _log(self, text: str, url: str | None = None) -> None:
        vkey = _key(text, TYPE_ED25519, "a log")
        self._unused(vkey)
        self.logs.append(PolicyLog(vkey, url))
        _limit(self.logs)

    def _witness(self, name: str, text: str, url: str | None = None) -> None:
        vkey = _key(text, TYPE_COSIGNATURE, "a witness")
        self._unused(vkey)
        self._define(name)
        self.witnesses.append(PolicyWitness(name, vkey, url))
        _limit(self.witnesses)

    def _group(self, name: str, threshold: str, *members: str) -> None:
        for member in members:
            if member not in self._names:
                raise InputError(f"the member {member!r} is not defined on a line before")
            if member in self._members:
                raise InputError(f"{member!r} is a member already; nobody may count twice")
            self._members.add(member)
        numbers = {"all": len(members), "any": 1}
        if threshold in numbers:
            needed = numbers[threshold]
        elif _THRESHOLD.fullmatch(threshold) and int(threshold) <= len(members):
            needed = int(threshold)
        else:
            raise InputError(f"the threshold is all, any or a number from 1 to {len(members)}, not {threshold!r}")
        self._define(name)
        self.groups[name] = Group(name, needed, members)
        _limit(self.groups)

    def _quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise InputError("there is a quorum already")
        if name != NO_QUORUM and name not in self._names:
            raise InputError(f"{name!r} is not defined on a line before")
        self.quorum = name

    def _define(self, name: str) -> None:
        if name == NO_QUORUM:
            raise InputError(f"the name {NO_QUORUM!r} is taken by the quorum that needs nobody")
        if name in self._names:
            raise InputError(f"the name {name!r} is defined already")
        self._names.add(name)

    def _unused(self, vkey: VerifierKey) -> None:
        # The same key under another name is the same signer; and a log that is its own witness is none.
        vkeys = [*(item.vkey for item in self.logs), *(item.vkey for item in self.witnesses)]
        if any(other.public == vkey.public for other in vkeys):
            raise InputError(f"the key of {vkey.name} is there already")


def _limit(found: Collection[object]) -> None:
    if len(found) > MAX_MEMBERS:
        raise InputError(f"a policy has at most {MAX_MEMBERS} of these")


def _key(text: str, kind: int, what: str) -> VerifierKey:
    vkey = parse_vkey(text)
    if vkey.type != kind:
        raise InputError(f"the key of {vkey.name} has type {vkey.type:#04x}, and {what} signs with type {kind:#04x}")
    return vkey


def parse_policy(data: bytes, name: str = "the policy") -> Policy:
    """Read a policy file.

    Args:
        data: the file.
        name: what to call it in errors.

    Returns:
        The policy. Names are compared octet by octet; octets that are no UTF-8 stand as surrogate escapes.

    Raises:
        InputError: the line at which it is wrong, and why.
    """
    if len(data) > MAX_POLICY:
        raise InputError(f"{name} has more than {MAX_POLICY} bytes")
    if not data.endswith(b"\n"):
        raise InputError(f"{name} does not end with a newline: its last line may be cut")
    reader = _Reader()
    for number, line in enumerate(data[:-1].split(b"\n"), 1):
        if _OCTETS.fullmatch(line) is None:
            raise InputError(f"{name}, line {number}: a control character other than tab")
        text = line.decode("utf-8", "surrogateescape").strip(" \t")
        if not text or text.startswith("#"):
            continue
        try:
            reader.take(_BLANK.split(text))
        except InputError as error:
            raise InputError(f"{name}, line {number}: {error.message}") from error
    if reader.quorum is None:
        raise InputError(f"{name} has no quorum line")
    return Policy(tuple(reader.logs), tuple(reader.witnesses), reader.groups, reader.quorum)
