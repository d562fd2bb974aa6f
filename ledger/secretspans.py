"""Where secrets stand in a text: by their own form, behind base 64, and cut into pieces that stand side by side."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ledger.secretpatterns import PATTERNS, Pattern, is_placeholder, looks_base32, looks_mixed

__all__ = [
    "MIN_ENCODED",
    "Span",
    "encoded_spans",
    "key_spans",
    "merged",
    "near",
    "pieces",
    "spans_of",
    "suspects_in",
]

#: Begin, end and kind of a secret in a text.
Span = tuple[int, int, str]
#: Characters of base 64 that may hide a secret: the shortest that is known by its form has 20 bytes.
MIN_ENCODED: Final = 24
#: Texts over which a token may be spread.
_MOST_PIECES: Final = 4

_EXACT = tuple((trigger, pattern) for pattern in PATTERNS if not pattern.folded for trigger in pattern.triggers)
_FOLDED = tuple((trigger, pattern) for pattern in PATTERNS if pattern.folded for trigger in pattern.triggers)
_PEM: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,5}PRIVATE KEY(?: BLOCK)?-----")
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,}={0,2}")
_PARTS = re.compile(r"[^A-Za-z0-9]+")
_URL_SAFE = str.maketrans("-_", "+/")
_PRINTABLE = frozenset((9, 10, 13, *range(32, 127)))
#: Tokens that are one run of characters, known by how they begin: what follows them in a setting or a URL is none.
_TOKENS = frozenset(
    pattern.name for pattern in PATTERNS
    if not pattern.folded and pattern.only in ("", "mixed")
    and pattern.name not in ("jwk", "jwt", "webhook-url", "azure-signature", "azure-client-secret")
)  # fmt: skip


def spans_of(pattern: Pattern, text: str) -> Iterator[Span]:
    """Where a pattern finds a secret."""
    for match in pattern.compiled().finditer(text):
        group = "s" if "s" in match.re.groupindex else 0
        found = match[group]
        if pattern.only in ("set", "assigned") and is_placeholder(found):
            continue
        if pattern.only in ("mixed", "assigned") and not looks_mixed(found):
            continue
        if pattern.only == "base32" and not looks_base32(found):
            continue
        yield (*match.span(group), pattern.name)


def key_spans(text: str) -> Iterator[Span]:
    """Private keys in blocks: each up to its end, or to the end of the text."""
    at = 0
    while (match := _PEM.search(text, at)) is not None:
        end = text.find("-----END", match.end())
        close = -1 if end < 0 else text.find("-----", end + 8)
        at = len(text) if close < 0 else close + 5
        yield match.start(), at, "private-key"
    at = text.find("PuTTY-User-Key-File-")
    if at >= 0:
        yield at, len(text), "private-key"


def merged(found: list[Span]) -> list[Span]:
    """Spans in order, those that overlap as one."""
    found.sort(key=lambda span: (span[0], -span[1]))
    merged: list[Span] = []
    for start, stop, name in found:
        if merged and start < merged[-1][1]:
            first, last, known = merged[-1]
            merged[-1] = (first, max(last, stop), known if known != "high-entropy" else name)
        else:
            merged.append((start, stop, name))
    return merged


def near(text: str) -> list[Pattern]:
    """The patterns of which a text holds a trigger."""
    lower = text.lower()
    found = {id(pattern): pattern for trigger, pattern in _EXACT if trigger in text}
    found.update((id(pattern), pattern) for trigger, pattern in _FOLDED if trigger in lower)
    return list(found.values())


def suspects_in(text: str, candidates: Sequence[Pattern]) -> list[Pattern]:
    """Those of `near` that match anywhere in a text."""
    return [pattern for pattern in candidates if next(spans_of(pattern, text), None) is not None]


def _decoded(run: str) -> str:
    """What a run of base 64 stands for, as far as it is text; empty when it is none."""
    # Of nearly every run, a path, a digest, a name, a few characters tell that it stands for no text.
    if not _PRINTABLE.issuperset(binascii.a2b_base64(run[:8].translate(_URL_SAFE))):
        return ""
    whole = run.rstrip("=").translate(_URL_SAFE)
    try:
        if not _PRINTABLE.issuperset(binascii.a2b_base64(whole[:MIN_ENCODED])):
            return ""
        whole = whole[: len(whole) - (len(whole) % 4 == 1)]
        return binascii.a2b_base64(whole + "=" * (-len(whole) % 4)).decode("ascii", "ignore")
    except binascii.Error:
        return ""


def _holds_secret(text: str) -> bool:
    return bool(suspects_in(text, near(text))) or next(key_spans(text), None) is not None


def encoded_spans(text: str) -> Iterator[Span]:
    """Runs of base 64 that stand for text with a secret in it; what was encoded twice is not looked into."""
    for match in _ENCODED.finditer(text):
        run, at = match[0], match.start()
        found = _decoded(run)
        if found:
            if _holds_secret(found):
                yield at, match.end(), "base64"
            continue
        for part in run.split("/") if "/" in run else ():  # a path, one part of which is encoded
            if len(part) >= MIN_ENCODED and (inner := _decoded(part)) and _holds_secret(inner):
                yield at, at + len(part), "base64"
            at += len(part) + 1


def _is_word(piece: str) -> bool:
    """Whether what follows the beginning of a token is a word or a name, and no piece of one."""
    if len(piece) < 8:
        return piece.isalpha() and (piece.islower() or piece.istitle())
    if piece == piece.upper() or looks_mixed(piece):
        return False
    return not any(len(part) >= 8 and (part.isdigit() or looks_mixed(part)) for part in _PARTS.split(piece))


def pieces(texts: Sequence[str], candidates: Sequence[Pattern]) -> Iterator[tuple[int, Span]]:
    """Tokens that are cut in two or more, in texts that stand side by side.

    Args:
        texts: the items of a list, or the values of an object, in order.
        candidates: by `near`; how a token begins stands whole in the text that it begins in.

    Yields:
        Which text, and the part of it that is a piece of a token.
    """
    for pattern in candidates:
        if pattern.name in _TOKENS:
            for number in range(len(texts) - 1):
                yield from _cut_at(texts, number, pattern)


def _cut_at(texts: Sequence[str], number: int, pattern: Pattern) -> Iterator[tuple[int, Span]]:
    """The pieces of a token that begins in one of the texts and ends in one of the next."""
    for count in range(2, _MOST_PIECES + 1):
        window = texts[number : number + count]
        if len(window) < count or next(spans_of(pattern, window[-1]), None) is not None:
            return
        joined, last = "".join(window), len(window[-1])
        for start, stop, name in spans_of(pattern, joined):
            if start >= len(window[0]) or stop <= len(joined) - last:
                continue
            # A token that is whole in one text, and then a word, is not cut.
            whole = next(spans_of(pattern, window[0]), None) is not None
            rest = (*window[1:-1], window[-1][: stop - len(joined) + last])
            if not whole and not any(map(_is_word, rest)):
                yield number, (start, len(window[0]), name)
                yield from ((number + at, (0, len(window[at]), name)) for at in range(1, count - 1))
                yield number + count - 1, (0, stop - len(joined) + last, name)
            return
