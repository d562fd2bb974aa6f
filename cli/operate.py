"""`muniment doctor` and `muniment projection`."""

from __future__ import annotations

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_list, print_record, progress, table

__all__ = ["doctor", "projection"]


@click.command(short_help="Check this installation, the store and the trust state.")
@click.option("--prod", is_flag=True, help="Ask what production asks of root keys.")
@common_options
@pass_app
def doctor(app: App, /, *, prod: bool) -> int:
    """Check what can go wrong before it does; each line names the next step where there is one.

    It looks at the surroundings; `muniment verify log` checks the log itself. With --prod a ledger that one root key
    rules alone is a failure, and so is a root key that lies beside the keys in daily use; otherwise they are warnings.
    """
    from cli.checkup import examine

    checks = examine(app, prod=prod)
    good = all(check.state != "bad" for check in checks)
    items = [
        {"check": check.name, "state": check.state, "message": check.message, "next": check.hint or None}
        for check in checks
    ]
    signs = {"good": "✓", "warning": "?", "bad": "✗"}
    lines = []
    for check in checks:
        lines.append(f"{signs[check.state]} {check.name}: {check.message}")
        if check.hint:
            lines.append(f"    next: {check.hint}")
    print_record(app, {"ok": good, "checks": items}, "\n".join(lines), Grid(tuple(items[0]), items))
    return 0 if good else 1


@click.group(short_help="Show and rebuild views.")
def projection() -> None:
    """Views are made from the log and can be made again at any time."""


@projection.command()
@common_options
@pass_app
def status(app: App) -> None:
    """Show how far each view is."""
    from projections.catalogue import open_runner

    with app.reader() as ledger:
        runner = open_runner(ledger, app.home.url)
        try:
            found = runner.status()
        finally:
            runner.views.close()
    items = [
        {"projection": s.name, "size": s.size, "log_size": s.log_size, "lag": s.lag, "current": s.current}
        for s in found
    ]
    columns = ("projection", "size", "log_size", "lag")
    rows = ([str(item[name]) for name in columns] for item in items)
    print_list(app, "projections", Grid((*columns, "current"), items), lambda: table(app, "Views", columns, rows))


@projection.command()
@click.argument("name", required=False)
@common_options
@pass_app
def rebuild(app: App, /, name: str | None) -> int:
    """Build views anew from the log and compare them with the old ones by hash.

    Exit code 1 when an old view differed: it was damaged, and is replaced.
    """
    from ledger.errors import InputError
    from projections.catalogue import PROJECTIONS, open_runner

    names = [item.name for item in PROJECTIONS]
    if name is not None and name not in names:
        raise InputError(f"there is no projection {name!r}", hint=f"There are: {', '.join(names)}.")
    with app.reader(checked=False) as ledger:
        app.home.check(ledger)
        runner = open_runner(ledger, app.home.url)
        try:
            with progress(app, "rebuilding") as advance:
                equal = runner.rebuild(name, advance)
        finally:
            runner.views.close()
    items = [{"projection": item, "equal": same} for item, same in equal.items()]
    words = {True: "rebuilt, equal to the old one", False: "rebuilt; the old one DIFFERED and was replaced"}
    text = "\n".join(f"{item}: {words[same]}" for item, same in equal.items())
    print_record(app, {"projections": items}, text, Grid(("projection", "equal"), items))
    return 0 if all(equal.values()) else 1
