"""`muniment config`: where each setting comes from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_record

if TYPE_CHECKING:
    from ledger.config import Candidate, Chain

__all__ = ["config"]

_COLUMNS = ("setting", "value", "source", "says", "state", "why")


@click.group(short_help="Tell where each setting comes from.")
def config() -> None:
    """Settings come from options, environment variables and config.toml files, in that order."""


@config.command()
@common_options
@pass_app
def explain(app: App) -> None:
    """Show each setting, where it was taken from, and every place that was looked at, in order.

    Passwords are not shown. Exit code 8 when a file is malformed.

    \b
    Example:
      muniment config explain
      muniment config explain -o json | jq -r '.settings[] | .setting + " from " + (.source // "nowhere")'
    """
    from ledger.config import settings_chain

    chain = settings_chain(app.ledger, actor=app.actor)
    settings = [*_from_chain(chain), *_of_this_call(app)]
    hint = None
    if chain.chosen("ledger") is None:
        hint = "No ledger was found here or above. Create one: muniment init --origin NAME, or name one: --ledger"
    rows = [
        {"setting": item["setting"], "value": item["value"], **place} for item in settings for place in item["places"]
    ]
    data = {"folder": None if chain.folder is None else str(chain.folder), "settings": settings, "next": hint}
    print_record(app, data, "\n".join(_text(settings)), Grid(_COLUMNS, rows))
    if hint and app.output == "text":
        app.note(f"\n{hint}")


def _from_chain(chain: Chain) -> list[dict[str, Any]]:
    from ledger.config import config_folder, redact_url

    found = []
    for name, candidates in chain.candidates.items():
        chosen, value = chain.chosen(name), chain.resolved(name)
        places = [_place(candidate, chosen, redact=name == "ledger") for candidate in candidates]
        if name == "keys":
            default = str(config_folder() / "keys" / "LEDGERID")
            value = value or default
            places.append(_default(default, chosen is None))
        source = "the default" if chosen is None and name == "keys" else None if chosen is None else chosen.source
        shown = redact_url(value) if value and name == "ledger" else value
        found.append({"setting": name, "value": shown, "source": source, "places": places})
    return found


def _place(candidate: Candidate, chosen: Candidate | None, *, redact: bool) -> dict[str, Any]:
    from ledger.config import redact_url

    says = redact_url(candidate.value) if redact and candidate.value else candidate.value or None
    if candidate is chosen:
        state, why = "used", ""
    elif says is None:
        state, why = "not set", ""
    elif candidate.ignored:
        state, why = "not used", candidate.ignored
    else:
        state, why = "not used", "" if chosen is None else f"{chosen.source} comes before it"
    return {"source": candidate.source, "says": says, "state": state, "why": why}


def _default(value: str, used: bool) -> dict[str, Any]:
    state = "used" if used else "not used"
    return {"source": "the default", "says": value, "state": state, "why": "" if used else "it is set above"}


def _of_this_call(app: App) -> list[dict[str, Any]]:
    """Settings that no file has: options and variables only."""
    output = None if app.output == "text" else app.output
    dumb = os.environ.get("TERM") if os.environ.get("TERM") == "dumb" else None
    listed: list[tuple[str, list[tuple[str, str | None]], str | None]] = [
        ("output", [("-o", output)], "text"),
        (
            "colours off",
            [("--no-color", "yes" if app.colours_refused else None), ("NO_COLOR", os.environ.get("NO_COLOR") or None),
             ("TERM", dumb)],
            "no",
        ),
        ("expected origin", [("--expect-origin", app.expect_origin)], None),
        ("passphrase", [("MUNIMENT_PASSPHRASE", "(not shown)" if "MUNIMENT_PASSPHRASE" in os.environ else None)], None),
    ]  # fmt: skip
    found = []
    for name, candidates, default in listed:
        used = next((source for source, says in candidates if says is not None), None)
        value = next((says for _, says in candidates if says is not None), default)
        places = [
            {
                "source": source,
                "says": says,
                "state": "used" if source == used else "not set" if says is None else "not used",
                "why": f"{used} comes before it" if says is not None and source != used else "",
            }
            for source, says in candidates
        ]
        if default is not None:
            places.append(_default(default, used is None))
        source = used or (None if default is None else "the default")
        found.append({"setting": name, "value": value, "source": source, "places": places})
    return found


def _text(settings: list[dict[str, Any]]) -> list[str]:
    lines = []
    for item in settings:
        origin = f"  (from {item['source']})" if item["source"] else ""
        lines.append(f"{item['setting']}: {item['value'] or 'not set'}{origin}")
        for number, place in enumerate(item["places"], 1):
            says = "" if place["says"] is None else f": {place['says']}"
            why = f", {place['why']}" if place["why"] else ""
            lines.append(f"  {number}. {place['source']}{says}  [{place['state']}{why}]")
    return lines
