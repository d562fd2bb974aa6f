"""`muniment admin lifecycle` and `admin rules`: the life cycle and the rules in force, as data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app, write_options
from cli.output import Grid, print_record, table, to_json
from cli.values import read_json

if TYPE_CHECKING:
    from ledger.domain.world import World

__all__ = ["lifecycle", "rules"]

_MOVE, _STOP = ("event", "of", "to"), ("decision", "states")
_WAIVER, _SEPARATION = ("environment", "tier", "days"), ("decision", "rule", "asks")
_RULE = ("environment", "tier", "authorisation", "approvals", "evaluation", "roles", "days", "gate")


@click.command(short_help="Show the life cycle of versions and the rules in force.")
@common_options
@pass_app
def lifecycle(app: App) -> None:
    """Show what leads a version where, which states stop which decisions, how long waivers are, and the rules.

    A state is for one environment, or in one deployment (deploy authorised, canary, live, rolled back). What protects,
    takes back or happened is stopped by none. What is held in a deployment is authorised there with a reason alone.
    That and separation of duties, which is by person, are the same in every ledger. The root keys change rules, stops
    and waivers: muniment admin rules change. With -o csv or md the rules are printed.
    """
    from ledger.domain.independence import SEPARATION
    from ledger.domain.lifecycle import stops_of, waivers_of
    from ledger.domain.moves import MOVES, STATES, STOPPABLE
    from ledger.domain.world import ledger_of

    with app.reader() as ledger:
        world = ledger.world.at(ledger.world.refresh())
        state = ledger_of(world)
        rules = [] if state is None else [rule.model_dump(mode="json") for rule in state.rules.rules]
        data: dict[str, Any] = {
            "moves": [{**asdict(move), "of": list(move.of)} for move in MOVES],
            "stops": [{"decision": stop.decision, "states": list(stop.states)} for stop in stops_of(world)],
            "own_stops": state is not None and state.rules.stops is not None,
            "stoppable": [
                {"decision": decision, "states": [state for state in STATES if state in states]}
                for decision, states in STOPPABLE.items()
            ],
            "waivers": [limit.model_dump(mode="json") for limit in waivers_of(world)],
            "own_waivers": state is not None and state.rules.waivers is not None,
            "separation": [dict(zip(_SEPARATION, row, strict=True)) for row in SEPARATION],
            "rules": rules,
            "name": None if state is None else state.rules.name,
        }
    if app.output != "text":
        print_record(app, data, "", Grid(_RULE, rules))
        return
    data["moves"] = [{**move, "event": _event(move)} for move in data["moves"]]
    for title, columns, name in (
        ("Moves", _MOVE, "moves"), ("Stops", _STOP, "stops"),
        ("States that rules may name in stops", _STOP, "stoppable"), ("Waivers, at the longest", _WAIVER, "waivers"),
        ("Separation of duties", _SEPARATION, "separation"),
        (f"Rules ({data['name']})", _RULE, "rules"),
    ):  # fmt: skip
        table(app, title, columns, ([_cell(item[column]) for column in columns] for item in data[name]))


def _event(move: dict[str, Any]) -> str:
    return (
        "time passes" if move["event"] is None else f"{move['event']}{', to another version' if move['other'] else ''}"
    )


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "any"
    return "" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)


@click.group(short_help="Show and change the rules in force.")
def rules() -> None:
    """Rules: what a decision asks for, by environment and tier, and what stops it. `admin lifecycle` explains them."""


@rules.command()
@common_options
@pass_app
def show(app: App) -> None:
    """Print the rules in force as JSON, to be edited.

    Example: muniment admin rules show > rules.json
    """
    from ledger.domain.world import ledger_of

    with app.reader() as ledger:
        state = ledger_of(ledger.world.at(ledger.world.refresh()))
    data = {} if state is None else state.rules.model_dump(mode="json", exclude_none=True)
    rows = [{name: rule.get(name) for name in _RULE} for rule in data["rules"]]
    print_record(app, data, to_json(data), Grid(_RULE, rows))


@rules.command()
@click.argument("name", type=click.Choice(["default", "light", "standard", "full"]), default="standard")
@common_options
@pass_app
def starter(app: App, /, name: str) -> None:
    """Print rules to begin with as JSON, to be edited, or named as they are: muniment init --rules NAME.

    default: one approval of what was evaluated, but in dev. light: the same, and none at tier low.
    standard: two approvals at tier high, which last a year. full: a validator among these, approvals that end,
    short waivers, and states that stop decisions.

    Example: muniment admin rules starter full > rules.json
    """
    from ledger.domain.rulesets import STARTERS

    data = STARTERS[name].model_dump(mode="json", exclude_none=True)
    print_record(
        app, data, to_json(data), Grid(_RULE, [{name: rule.get(name) for name in _RULE} for rule in data["rules"]])
    )


def _pin(world: World, rules: Any) -> None:
    """Name each gate with the digest that its version has in the log."""
    from ledger.domain.deployed import PolicyState
    from ledger.errors import InputError

    rows = rules.get("rules") if isinstance(rules, dict) else None
    for rule in rows if isinstance(rows, list) else ():
        gate = rule.get("gate") if isinstance(rule, dict) else None
        if not isinstance(gate, str) or rule.get("gate_digest") is not None:
            continue
        stream, _, version = gate.partition("@")
        state = world.state(stream)
        known = isinstance(state, PolicyState) and version in state.versions.keys() - state.retired
        if not isinstance(state, PolicyState) or not known:
            raise InputError(
                f"{gate} is no version of a policy that stands in this ledger",
                hint="See: muniment policy list. Define it: muniment policy define policy:NAME@VERSION FILE",
            )
        rule["gate_digest"] = state.versions[version]


def _refuse_open_gates(world: World, rules: Any) -> None:
    """Refuse rules that ask for a policy which refuses nothing; nothing could be authorised under them."""
    from ledger.domain.deployed import PolicyState
    from ledger.errors import InputError

    rows = rules.get("rules") if isinstance(rules, dict) else None
    for gate in {rule.get("gate") for rule in rows if isinstance(rule, dict)} if isinstance(rows, list) else ():
        stream, _, version = gate.partition("@") if isinstance(gate, str) else ("", "", "")
        state = world.state(stream) if stream.startswith("policy:") else None
        if isinstance(state, PolicyState) and version in state.advisory:
            raise InputError(
                f"{gate} is in the mode {state.advisory[version]}: it refuses nothing, and is no gate",
                hint="Define another version of it: muniment policy define policy:NAME@VERSION FILE --mode enforce",
            )


@rules.command()
@click.argument("file", metavar="FILE|-")
@click.option("--reason", required=True, help="Why; shown with every change.")
@write_options
@pass_app
def change(app: App, /, file: str, **options: Any) -> None:
    """Replace the rules by those of a JSON file; for the root keys.

    Where several people hold them: muniment root propose event ledger.rules_changed, then root sign and submit.
    A gate is named as policy:NAME@VERSION; without gate_digest, the digest that the log has of it is taken.

    Example: muniment admin rules change rules.json --reason "a gate before production" --as root
    """
    table_ = read_json(file)
    with app.writer() as ledger:
        world = ledger.world.at(ledger.world.refresh())
        _pin(world, table_)
        _refuse_open_gates(world, table_)
        app.show_receipt(ledger.emit("ledger.rules_changed", f"ledger:{ledger.ledgerid}", rules=table_, **options))
