"""Strict JSON in, RFC 8785 canonical JSON out.

The ledger hashes and signs bytes, so two readers of the same bytes must never see two different values.
:func:`parse_json` therefore refuses everything JSON leaves open (RFC 8259 4 and 6, RFC 7493 I-JSON):
duplicate names, numbers with more than one spelling, lone surrogates, a BOM, bytes around the value.
:func:`format_json` writes the one canonical spelling of RFC 8785 (JCS).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ledger.errors import InputError

__all__ = ["MAX_DEPTH", "MAX_INTEGER", "format_json", "parse_json", "parse_object"]

#: Containers inside containers; a bare scalar has depth 0, ``[]`` has depth 1.
MAX_DEPTH = 32
#: Largest magnitude of an integer every JSON reader keeps exactly (RFC 7493 2.2).
MAX_INTEGER = 2**53 - 1

_MAX_NUMBER_CHARS = 32  # the longest ES spelling of a double has 25 characters
_SPACE = " \t\n\r"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# RFC 8785 3.2.2.2: only `"`, `\` and U+0000..U+001F are escaped, with the short forms or lower-case \u00xx.
# That is what the standard encoder does with ensure_ascii=False.
_quote = json.encoder.encode_basestring


def parse_json(data: bytes, *, what: str = "JSON", max_depth: int = MAX_DEPTH) -> Any:
    """Read one JSON value that has exactly one meaning.

    White space between tokens is allowed (authors format payloads as they like); around the value it is not.

    Args:
        data: UTF-8 bytes of one JSON value.
        what: what the bytes are, for error messages.
        max_depth: deepest nesting of arrays and objects accepted.

    Returns:
        dict, list, str, int, float, bool or None. Numbers written without a fraction or exponent are int.

    Raises:
        InputError: not UTF-8, a BOM, bytes around the value, a duplicate name, NaN or Infinity, a lone surrogate,
            an integer over 2**53-1, a number not spelled as ECMAScript Number::toString spells it, or too deep.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not UTF-8 (byte {error.start})") from None
    if not text or text[0] in _SPACE or text[-1] in _SPACE:
        raise InputError(f"{what} is empty or has white space around the value")
    try:
        value = _decode(text)
    except InputError as error:
        raise InputError(f"{what}: {error.message}") from None
    except RecursionError:
        raise InputError(f"{what} is nested deeper than {max_depth}") from None
    except ValueError as error:
        raise InputError(f"{what} is not JSON: {str(error)[:120]}") from None
    # A shallow count proves the depth without a walk; brackets inside strings only make us walk needlessly.
    if text.count("[") + text.count("{") > max_depth and _depth(value) > max_depth:
        raise InputError(f"{what} is nested deeper than {max_depth}")
    # After a strict UTF-8 decode only an escape can bring a surrogate in.
    if "\\u" in text and _SURROGATE_ESCAPE.search(text) and _has_surrogate(value):
        raise InputError(f"{what} holds a lone surrogate")
    return value


def parse_object(text: str, start: int) -> tuple[dict[str, Any], int] | None:
    """Read one object inside a text, by the rules of `parse_json`.

    Args:
        text: without surrogates, as a UTF-8 decoder gives it.
        start: where the object begins.

    Returns:
        The object and where it ends; None when there is none, or nothing that is plain to see: `parse_json` tells.
    """
    # One letter is found in a twentieth of the time of two.
    if ("\\" in text and "\\u" in text) or text.count("[") + text.count("{") > MAX_DEPTH:
        return None
    try:
        value, end = _SCAN(text, start)
    except (InputError, ValueError, RecursionError, StopIteration):
        return None
    return (value, end) if isinstance(value, dict) else None


def format_json(value: Any) -> bytes:
    """Write ``value`` as RFC 8785 canonical JSON.

    Args:
        value: None, bool, int, float, str, list, tuple (written as a list) or dict with str keys, nested.

    Returns:
        UTF-8 bytes; names sorted by UTF-16 code units (RFC 8785 3.2.3), numbers as ECMAScript writes them (3.2.2.3).

    Raises:
        InputError: an integer over 2**53-1 (also a float that would be written as one), NaN, Infinity, a lone
            surrogate, a key that is not str, an unknown type, or nesting that never ends.
    """
    try:
        return _write(value).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("a string holds a lone surrogate and cannot be written as JSON") from None
    except RecursionError:
        raise InputError("the value is nested too deeply to be written as JSON") from None


def _show(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _refuse_constant(token: str) -> NoReturn:
    raise InputError(f"{token} is not a JSON number")


def _parse_int(text: str) -> int:
    # Length first: int() of a megabyte of digits is slow or refused by the interpreter.
    if len(text) > _MAX_NUMBER_CHARS or abs(number := int(text)) > MAX_INTEGER:
        raise InputError(f"integer {_show(text)} is beyond 2^53-1")
    if text == "-0":
        raise InputError("number '-0' must be written 0")
    return number


def _parse_float(token: str) -> float:
    number = float(token)
    if repr(number) == token and "e" not in token and token[-2:] != ".0":
        return number  # see `_format_float`: nothing finite is written otherwise
    if not math.isfinite(number):
        raise InputError(f"number {_show(token)} is too large")
    if (wanted := _format_float(number)) != token:
        raise InputError(f"number {_show(token)} must be written {wanted}")
    return number


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InputError(f"the name {_show(name)} appears twice in one object")
            seen.add(name)
    return result


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_object, parse_int=_parse_int, parse_float=_parse_float, parse_constant=_refuse_constant
)
_SCAN: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # type: ignore[attr-defined] # in no stub


def _decode(text: str) -> Any:
    """As ``_DECODER.decode``, without its search for white space around the value, which was refused before."""
    try:
        value, end = _SCAN(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else _DECODER.decode(text)  # that raises, and says where


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _depth(value: Any) -> int:
    depth = 0
    layer = [value]
    while layer := [item for item in layer if isinstance(item, (dict, list))]:
        depth += 1
        layer = [child for item in layer for child in _children(item)]
    return depth


def _has_surrogate(value: Any) -> bool:
    return any(_SURROGATE.search(text) for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, names too."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
        todo.extend(_children(item))


def _format_float(number: float) -> str:
    """Return ECMAScript ``Number::toString(number)`` (ECMA-262 6.1.6.1.20, RFC 8785 3.2.2.3)."""
    text = float.__repr__(number)
    if "e" not in text and not text.endswith(".0"):
        return text  # Python's spelling is ECMAScript's while it has a point, digits behind it and no exponent
    if number == 0:
        return "0"  # also for -0
    if number < 0:
        return "-" + _format_float(-number)
    # repr() gives the shortest digits that round-trip, the closest of them: the same digits ECMAScript asks for.
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    # `number` is 0.digits times ten to `point`; the four cases are steps 6 to 10 of the ECMAScript algorithm.
    if not -6 < point <= 21:
        return digits[0] + (f".{digits[1:]}" if digits[1:] else "") + f"e{point - 1:+d}"
    if point <= 0:
        return "0." + "0" * -point + digits
    return digits + "0" * (point - count) if count <= point else f"{digits[:point]}.{digits[point:]}"


def _write_number(value: float) -> str:
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise InputError("an integer is beyond 2^53-1 and cannot be written as JSON")
        return int.__repr__(value)
    if not math.isfinite(value):
        raise InputError("NaN and Infinity cannot be written as JSON")
    if MAX_INTEGER < abs(value) < 1e21:  # ECMAScript writes these without exponent: an integer we would not read back
        raise InputError("a number between 2^53 and 1e21 cannot be written as JSON")
    return _format_float(value)


def _utf16(name: object) -> bytes:
    if not isinstance(name, str):
        raise InputError(f"an object name is {type(name).__name__}, not a string")
    return name.encode("utf-16-be")


def _write_object(value: dict[Any, Any]) -> str:
    try:
        ascii_names = "".join(value).isascii()
    except TypeError:
        ascii_names = False
    # Code points and UTF-16 code units order ASCII alike.
    names = sorted(value) if ascii_names else sorted(value, key=_utf16)
    # Most values are strings: written here, they save a call each.
    members = [f"{_quote(name)}:{_quote(item) if type(item := value[name]) is str else _write(item)}" for name in names]
    return f"{{{','.join(members)}}}"


def _write(value: Any) -> str:
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, dict):
        return _write_object(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _write_number(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_write, value))}]"
    raise InputError(f"{type(value).__name__} cannot be written as JSON")
