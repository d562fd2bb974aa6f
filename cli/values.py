"""Values typed on the command line: ``key=value`` with dotted keys and JSON values, and files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ledger.events import EventType
    from ledger.events.ledgers import RuleSet

__all__ = [
    "DATASET",
    "DEPLOYMENT",
    "INCIDENT",
    "IN_FILE",
    "MODEL",
    "MONITOR",
    "OUT_FILE",
    "POLICY",
    "RUN",
    "SHARE",
    "WAIVER",
    "NameOf",
    "asked_of_nothing",
    "end_of",
    "fit_body",
    "moment_of",
    "parse_duration",
    "parse_pairs",
    "read_json",
    "read_source",
    "rules_named",
    "text_pairs",
]

#: A file that is read, and one that is written.
IN_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT_FILE = click.Path(dir_okay=False, path_type=Path)

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d|w|y)", re.ASCII)
_UNIT = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 365 * 86_400}


class NameOf(click.types.StringParamType):
    """The name of a thing of some kind; what is no name at all is refused with one of that kind as an example.

    Args:
        kind: what it is of.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See `click.ParamType.convert`."""
        from ledger.errors import InputError
        from ledger.names import parse_name

        name = parse_name(value, self._kind)
        if name.kind == "deployment" and name.namespace is None:
            raise InputError(
                f"{value!r} names no environment: a deployment is deployment:<environment>/<service>",
                hint=f"Put it before the service, for example deployment:prod/{name.name}",
            )
        return value


class _Share(click.FloatRange):
    """A share, for which people write percents."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType.convert`."""
        text = str(value).strip()
        number = text.removesuffix("%")
        if _NUMBER.fullmatch(number) and (number != text or 1 < float(number) <= 100):
            self.fail(f"it is a share of all, from 0 to 1: for {number} % write {float(number) / 100:g}.", param, ctx)
        return super().convert(value, param, ctx)


DATASET, DEPLOYMENT, INCIDENT, MODEL, MONITOR, POLICY, RUN, WAIVER = map(
    NameOf, ("dataset", "deployment", "incident", "model", "monitor", "policy", "run", "waiver")
)
SHARE = _Share(0, 1)


@contextmanager
def asked_of_nothing() -> Iterator[None]:
    """A policy or a version that is not there is asked for wrongly: nothing was run, and nothing refused."""
    from ledger.errors import InputError, PolicyError

    try:
        yield
    except PolicyError as error:
        raise InputError(error.message, hint=error.hint) from error


def parse_duration(text: str) -> int:
    """Microseconds of a duration such as ``90s``, ``30m``, ``12h``, ``14d``, ``2w`` or ``1y`` (365 days)."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no duration; write it as 30m, 12h, 14d, 2w or 1y")
    return int(match[1]) * _UNIT[match[2]] * 1_000_000


def moment_of(text: str, *, how: str = "Write it as 2026-11-23T08:00:00Z.") -> str:
    """A time as events give it, of a time with a zone (ISO 8601); ``how`` tells how it is written."""
    from ledger.emission import microseconds
    from ledger.entry import format_time
    from ledger.errors import InputError

    try:
        return format_time(microseconds(text))
    except InputError as error:
        raise InputError(error.message, hint=how) from error


def end_of(text: str) -> str:
    """A time as events give it, of a time with a zone (ISO 8601) or of how long it is from now."""
    from ledger.emission import microseconds
    from ledger.entry import format_time

    if _DURATION.fullmatch(text):
        return format_time(microseconds(None) + parse_duration(text))
    return moment_of(text, how="Write it as 2026-11-23T08:00:00Z, or as how long from now: 30m, 12h, 14d, 2w or 1y.")


def read_source(name: str) -> bytes:
    """Bytes of a file, or of standard input for ``-``: an event, or part of one.

    Raises:
        InputError: it cannot be read, or is longer than any of these.
    """
    from ledger.errors import InputError
    from ledger.statefile import MAX_STATE_FILE, read_named_file

    if name != "-":
        return read_named_file(Path(name), MAX_STATE_FILE)
    data = sys.stdin.buffer.read(MAX_STATE_FILE + 1)
    if len(data) > MAX_STATE_FILE:
        raise InputError(f"standard input is too long: at most {MAX_STATE_FILE} bytes are read")
    return data


def _check_text(pair: str) -> None:
    try:
        pair.encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter(f"{pair!r} is not UTF-8") from error


def read_json(name: str) -> Any:
    """The JSON value in a file, or on standard input for ``-``.

    Raises:
        InputError: it cannot be read, is empty or no JSON.
    """
    from ledger.errors import InputError
    from ledger.strictjson import parse_json

    what = "standard input" if name == "-" else name
    data = read_source(name).strip()
    if not data:
        raise InputError(f"{what} is empty, and should hold JSON")
    return parse_json(data, what=what)


def _value(key: str, text: str) -> Any:
    from ledger.errors import InputError
    from ledger.strictjson import parse_json

    if text[:1] not in '"[{-+.0123456789tfn':
        return text
    try:
        return parse_json(text.encode(), what=key)
    except InputError as error:
        if text[:1] == "{" and text[-1:] == "}":  # nobody types that for anything but an object
            how = f"Numbers are written as 0.9, and text that looks like an object in quotes: {key}='\"…\"'"
            raise InputError(error.message, hint=how) from error
    # People write 0.90 or .9; what is signed is the shortest form of the same number. Anything else is a plain word.
    return float(text) if _NUMBER.fullmatch(text) and isfinite(float(text)) else text


def _insert(data: dict[str, Any], key: str, value: Any) -> None:
    place = data
    parts = key.split(".")
    if not all(parts):
        raise click.BadParameter(f"{key!r} is no key; write it as name or name.part")
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise click.BadParameter(f"{key!r} would put a part inside a value given before")
    if parts[-1] in place:
        raise click.BadParameter(f"{key!r} is given twice")
    place[parts[-1]] = value


def parse_pairs(pairs: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Parse ``-d`` values.

    Args:
        pairs: ``key=value`` or ``@file`` (a JSON object; ``@-`` is standard input).

    Returns:
        The body, and what was typed for each dotted key.
    """
    data: dict[str, Any] = {}
    typed: dict[str, str] = {}
    for pair in pairs:
        _check_text(pair)
        if pair.startswith("@"):
            found = read_json(pair[1:])
            if not isinstance(found, dict):
                raise click.BadParameter(f"{pair[1:]} must hold a JSON object")
            for key, value in found.items():
                if key in data:
                    raise click.BadParameter(f"{key!r} is given twice")
                data[key] = value
            continue
        key, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is neither key=value nor @file")
        _insert(data, key, _value(key, text))
        typed[key] = text
    return data, typed


def text_pairs(pairs: Iterable[str], what: str) -> dict[str, Any]:
    """Parse ``name=value`` options such as ``--metric`` into one level of names."""
    found: dict[str, Any] = {}
    for pair in pairs:
        _check_text(pair)
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{pair!r} must be {what}")
        if key in found:
            raise click.BadParameter(f"{key!r} is given twice")
        found[key] = _value(key, text)
        if what.endswith("=NUMBER") and (isinstance(found[key], bool) or not isinstance(found[key], int | float)):
            raise click.BadParameter(f"{text!r} is no number; write it as {key}=0.9")
    return found


def fit_body(kind: EventType, data: dict[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """Give text fields the text that was typed, where it happened to look like a number.

    ``-d name=2026`` means the text 2026 when the schema says that a name is text.
    """
    from pydantic import ValidationError
    from pydantic_core import to_json

    try:
        kind.body.model_validate_json(to_json(data))
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] == "string_type" and key in typed:
                place: Any = data
                for part in key.split(".")[:-1]:
                    place = place[part]
                place[key.rpartition(".")[2]] = typed[key]
    return data


def rules_named(name: str) -> RuleSet:
    """The rules of a name, or of a JSON file.

    Raises:
        InputError: there are none of that name and no such file, or it holds no rules.
    """
    from ledger.domain.lifecycle import check_rules
    from ledger.domain.rulesets import STARTERS
    from ledger.errors import InputError
    from ledger.events import find_event_type, load_body
    from ledger.events.ledgers import RulesChanged

    if name in STARTERS:
        return STARTERS[name]
    if name != "-" and not Path(name).exists():
        raise InputError(f"{name!r} is neither a file nor one of {', '.join(STARTERS)}",
                         hint="Print one to edit: muniment admin rules starter standard")  # fmt: skip
    body = load_body(find_event_type("ledger.rules_changed"), {"rules": read_json(name), "reason": "a new ledger"})
    assert isinstance(body, RulesChanged)  # noqa: S101 - for the type checker
    check_rules(body.rules)
    return body.rules
