"""The `muniment` command: lazy loading, global options, and exit codes.

Nothing of the ledger is imported before a command runs, so that help and completion stay quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from cli.app import App, global_options, show_error

__all__ = ["COMMANDS", "COMPLETE_VARIABLE", "cli", "main"]

#: How a shell asks for completions, by click's protocol.
COMPLETE_VARIABLE = "_MUNIMENT_COMPLETE"

#: Command: (where it is, its short help), in the order of `muniment --help`.
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "init": ("cli.create:init", "Create a ledger here."),
        "doctor": ("cli.operate:doctor", "Check this installation, the store and the trust state."),
    },
    "Write": {
        "emit": ("cli.emit:emit", "Append one event."),
        "record": ("cli.record:record", "Record facts with friendly options."),
        "request": ("cli.decisions:request", "Ask that a version may go to an environment."),
        "approve": ("cli.decisions:approve", "Approve the newest open request of a version."),
        "reject": ("cli.decisions:reject", "Turn the newest open request of a version down."),
        "request-changes": ("cli.decisions:request_changes", "Send the newest open request of a version back."),
        "escalate": (
            "cli.decisions:escalate",
            "Pass the newest open request of a version to a role or to somebody.",
        ),
        "revoke": ("cli.governing:revoke", "Take an approval back."),
        "withdraw": ("cli.governing:withdraw", "Withdraw a request for approval."),
        "condition": ("cli.governing:condition", "Say that a condition of an approval is met."),
        "classify": ("cli.governing:classify", "Set the risk tier of a model by a short list of questions."),
        "waiver": ("cli.governing:waiver", "Let a check be unmet for a while, knowingly."),
        "policy": ("cli.policies:policy", "Checks as data: define, show, retire, try."),
        "gate": ("cli.gates:gate", "Run policies over versions: now, again, and over the past."),
        "authorise": ("cli.decisions:authorise", "Authorise a deployment; nothing is deployed by it."),
        "rollback": ("cli.decisions:rollback", "Authorise a return to an earlier version; never blocked."),
        "quarantine": ("cli.protection:quarantine", "Put something in quarantine; never blocked."),
        "release": ("cli.protection:release", "Let something go from quarantine."),
        "demote": ("cli.protection:demote", "Record that a version lost its place in an environment."),
        "retire": ("cli.protection:retire", "Retire a version, or a model with all of its versions."),
        "review": ("cli.governing:review", "Review a decision that was taken in an emergency."),
        "import": ("cli.importing:import_", "Take in what was there before the ledger."),
        "incident": ("cli.incident:incident", "Open, note, mitigate, explain and close incidents."),
    },
    "Read": {
        "log": ("cli.log:log", "Show entries in log order."),
        "show": ("cli.reading:show", "Show one event with its entry."),
        "state": ("cli.reading:state", "Show what is registered, approved and live, as of any time."),
        "history": ("cli.history:history", "Show what happened to a thing, in order, by both clocks."),
        "inventory": (
            "cli.inventory:inventory",
            "Show all models with owner, tier, approvals, what is live, and what is open.",
        ),
        "lineage": ("cli.lineage:lineage", "Show what a thing was made from, and what was made from it."),
        "impact": ("cli.impact:impact", "Show what is live that ever saw a data set, a run or a model."),
        "why": ("cli.why:why", "Show why a version may be deployed or not, with the entries that say so."),
        "diff": ("cli.difference:diff", "Show what differs between two versions of a model."),
        "inbox": ("cli.inbox:inbox", "Show what waits for you."),
        "due": ("cli.inbox:due", "Show what is about to end or overdue."),
        "timeline": ("cli.timeline:timeline", "Show an incident's timeline with what changed."),
        "report": ("cli.report:report", "Generate machine-readable reports."),
    },
    "Check": {
        "verify": ("cli.verify:verify", "Check the log, an event, a file or a bundle from bytes."),
        "serving": ("cli.serving:serving", "Compare what is loaded with what the ledger says is live."),
        "failure-modes": ("cli.failures:failure_modes", "Find ways in which models fail in production."),
        "proof": ("cli.proof:proof", "Make proofs others can check."),
        "checkpoint": ("cli.proof:checkpoint", "Show signed heads and their key, and have them witnessed."),
        "export": ("cli.export:export", "Export the log for foreign verifiers."),
    },
    "Operate": {
        "actor": ("cli.actors:actor", "Enrol, show and offboard actors; grant and end roles."),
        "key": ("cli.actors:key", "Enrol, list, rotate and revoke keys."),
        "entry": ("cli.keyring:entry", "Reaffirm suspect entries."),
        "slo": ("cli.watching:slo", "Say what is promised, and see how it is kept."),
        "watch": ("cli.watching:watch", "Record breaches of promises, decide by rule, tell the platform."),
        "emitter": ("cli.emitters:emitter", "Say and see which numbers of emitters are missing, and why."),
        "root": ("cli.root:root", "What several root keys sign: propose, sign, submit."),
        "subject": ("cli.subjects:subject", "Erase what is recorded about a data subject."),
        "hold": ("cli.subjects:hold", "Place, release and list legal holds."),
        "config": ("cli.config:config", "Tell where each setting comes from."),
        "completion": ("cli.completion:completion", "Print what makes the shell complete commands."),
        "projection": ("cli.operate:projection", "Show and rebuild views."),
        "witness": ("cli.witness:witness", "Be a witness of others' logs (C2SP tlog-witness)."),
        "backup": ("cli.backup:backup", "Back up the log, check backups, restore one."),
        "admin": (
            "cli.admin:admin",
            "Move a ledger, migrate a store, grant access, acknowledge void entries.",
        ),
    },
}


class _ReaderGoneError(Exception):
    """Whoever read the output went away; click ends with 1 on a broken pipe, which is a verdict here."""


@contextmanager
def _told_of_readers() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGoneError from error


class LazyGroup(click.Group):
    """Loads a command's module when that command is used."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the command line, and print the help where that is asked for."""
        with _told_of_readers():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _told_of_readers():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        for group in COMMANDS.values():
            if cmd_name in group:
                module, _, attribute = group[cmd_name][0].partition(":")
                command: click.Command = getattr(importlib.import_module(module), attribute)
                if ctx.resilient_parsing:
                    from cli.completion import complete_values

                    complete_values(command)
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of this name."""
        from difflib import get_close_matches

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self.list_commands(ctx), n=2) if args else []
            near = near or [f"`muniment {path}`" for path in self._below(ctx, args[:1])[:3]]
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {' or '.join(near)}?", ctx) from error

    def _below(self, ctx: click.Context, wanted: list[str]) -> list[str]:
        """Commands of this very name inside groups; it imports them all, for one message."""
        groups = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        inside = {name: group.commands for name, group in groups.items() if isinstance(group, click.Group)}
        return [f"{name} {word}" for word in wanted for name, commands in inside.items() if word in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help from the table, importing nothing."""
        for title, group in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in group.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@global_options
@click.version_option(package_name="muniment", prog_name="muniment")
@click.pass_context
def cli(ctx: click.Context, /, **options: Any) -> None:
    """Audit and provenance ledger for machine-learning governance.

    stdout is data, everything else goes to stderr. Exit codes: 0 done and good, 1 checked and bad or refused
    by a gate, 2 usage or malformed input, 3 nothing to check, 4 not authenticated or not allowed, 5 conflict,
    6 store unavailable, 7 local trust state damaged, 8 configuration or keys, 70 a bug in Muniment.
    """
    ctx.obj = App(**options)


@cli.result_callback()
@click.pass_obj
def _finish(app: App, /, result: Any, **_options: Any) -> Any:
    """A command that showed a log which is not the one seen before has not succeeded."""
    app.finish()
    return result


def _command(arguments: list[str]) -> str:
    """The command that was run, as far as it can be told."""
    words = ["muniment"]
    at: click.Command = cli
    for argument in arguments:
        found = at.get_command(click.Context(at), argument) if isinstance(at, click.Group) else None
        if found is not None:
            words.append(argument)
            at = found
    return " ".join(words)


def _report_bug(error: Exception) -> int:
    if os.environ.get("MUNIMENT_DEBUG"):
        raise error
    click.echo(f"Error: a bug in Muniment: {type(error).__name__}: {error}", err=True)
    click.echo("Next:  run it again with MUNIMENT_DEBUG=1 and report what it prints.", err=True)
    return 70


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: without the program's name; ``sys.argv`` when None.
    """
    if COMPLETE_VARIABLE in os.environ:
        importlib.import_module("cli.completion")  # it knows our shells
    try:
        result = cli.main(args=arguments, prog_name="muniment", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        click.echo("Aborted.", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (_ReaderGoneError, BrokenPipeError):
        # The reader went away, as `| head` does; keep Python from complaining when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:  # noqa: BLE001 - the one edge where errors become exit codes
        from ledger.errors import LedgerError, exit_code

        if isinstance(error, LedgerError):
            show_error(error, _command(sys.argv[1:] if arguments is None else arguments))
            code = exit_code(error)
        else:
            code = _report_bug(error)
    sys.exit(code)
