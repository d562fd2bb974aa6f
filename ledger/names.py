"""Names of governed things and of actors: one ASCII grammar, no case folding.

::

    name      = kind ":" [ namespace "/" ] part [ "@" version ]     at most 200 bytes
    kind      = [a-z][a-z0-9-]{0,31}
    part      = [A-Za-z0-9][A-Za-z0-9._+-]*      (namespace and version have the same form)
    actor     = [a-z0-9][a-z0-9._-]{0,63}
    source    = "urn:muniment:" actor

Two names are the same thing only if they are the same bytes, so there is nothing to normalise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ledger.errors import InputError

__all__ = [
    "MAX_NAME_BYTES",
    "Name",
    "format_name",
    "format_source",
    "parse_actor",
    "parse_name",
    "parse_source",
    "stream_of",
]

MAX_NAME_BYTES = 200

_PART = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
_NAME = re.compile(rf"([a-z][a-z0-9-]{{0,31}}):(?:({_PART})/)?({_PART})(?:@({_PART}))?")
_MODEL = "model:churn@3"
#: What a name looks like, by the kind of thing or the family of events that it was asked for.
_EXAMPLES = {
    "approval": _MODEL, "artifact": "artifact:weights", "canary": "deployment:prod/churn",
    "dataset": "dataset:churn@3", "deployment": "deployment:prod/churn", "evaluation": _MODEL,
    "experiment": "experiment:churn", "featureset": "featureset:churn@3", "incident": "incident:inc-1",
    "model": _MODEL, "monitor": "monitor:churn", "policy": "policy:production@1", "postmortem": "incident:inc-1",
    "risk": _MODEL, "rollback": "deployment:prod/churn", "run": "run:churn-42", "serving": "deployment:prod/churn",
    "validation": _MODEL, "version": _MODEL, "waiver": "waiver:drift-1",
}  # fmt: skip
_ACTOR = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SOURCE_PREFIX = "urn:muniment:"


@dataclass(frozen=True, slots=True)
class Name:
    """The parts of a name.

    Args:
        kind: what it is, such as ``model`` or ``dataset``.
        namespace: the part before the slash, or None.
        name: the thing itself.
        version: the part after ``@``, or None for the thing with all its versions.
    """

    kind: str
    namespace: str | None
    name: str
    version: str | None


@lru_cache(maxsize=4096)
def parse_name(text: str, asked: str = "") -> Name:
    """Read a name.

    Args:
        text: for example ``model:credit/scoring@1.4.0``; at most 200 bytes of ASCII.
        asked: the kind of thing, or the family of events, that it is for; the words of a refusal fit it.

    Returns:
        Its parts; ``format_name`` gives the same text back.

    Raises:
        InputError: the text is not in the grammar or too long.
    """
    if len(text) > MAX_NAME_BYTES:
        raise InputError(f"the name {text[:40]!r}… is longer than {MAX_NAME_BYTES} bytes")
    match = _NAME.fullmatch(text)
    if match is None:
        example = _EXAMPLES.get(asked)
        meant = f"{(example or '').partition(':')[0]}:{text}"
        question = f"did you mean {meant}? " if _NAME.fullmatch(meant) else ""
        raise InputError(
            f"{text!r} is not a name",
            hint=f"{question}names look like kind:[namespace/]name[@version], for example {example or _MODEL}",
        )
    kind, namespace, name, version = match.groups()
    return Name(kind, namespace, name, version)


def format_name(name: Name) -> str:
    """Write a name.

    Args:
        name: its parts.

    Returns:
        The text; ``parse_name`` gives the same parts back.

    Raises:
        InputError: a part is outside the grammar, or the whole is too long.
    """
    namespace = "" if name.namespace is None else f"{name.namespace}/"
    version = "" if name.version is None else f"@{name.version}"
    text = f"{name.kind}:{namespace}{name.name}{version}"
    # A separator smuggled into a part would move the borders: reading back shows it.
    if parse_name(text) != name:
        raise InputError(f"{name!r} is not a name")
    return text


def stream_of(subject: str) -> str:
    """Return the stream a subject belongs to: the subject without its version.

    Args:
        subject: a name, with or without ``@version``.

    Returns:
        The name without ``@version``.

    Raises:
        InputError: the subject is not a name.
    """
    parse_name(subject)
    return subject.partition("@")[0]


@lru_cache(maxsize=4096)
def parse_actor(text: str) -> str:
    """Check an actor id.

    Args:
        text: 1 to 64 characters of ``a-z 0-9 . _ -``, first a letter or digit.

    Returns:
        The same text.

    Raises:
        InputError: not an actor id.
    """
    if _ACTOR.fullmatch(text) is None:
        raise InputError(f"{text[:80]!r} is not an actor id", hint="use 1 to 64 characters of a-z 0-9 . _ -")
    return text


def format_source(actor: str) -> str:
    """Write the CloudEvents ``source`` of an actor.

    Args:
        actor: an actor id.

    Returns:
        ``urn:muniment:<actor>``.

    Raises:
        InputError: not an actor id.
    """
    return _SOURCE_PREFIX + parse_actor(actor)


@lru_cache(maxsize=4096)
def parse_source(text: str) -> str:
    """Read the actor out of a CloudEvents ``source``.

    Args:
        text: ``urn:muniment:<actor>``.

    Returns:
        The actor id.

    Raises:
        InputError: another prefix, or no actor id after it.
    """
    if not text.startswith(_SOURCE_PREFIX):
        raise InputError(f"{text[:80]!r} is not a source of the form urn:muniment:<actor>")
    return parse_actor(text[len(_SOURCE_PREFIX) :])
