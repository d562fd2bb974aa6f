"""Help: complete, quick, and the same in every place that says it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from cli.main import COMMANDS, cli
from ledger.errors import EXIT_CODES
from tests.cli.support import DIGEST, Shop, run, run_process

HEAVY = {
    "ledger", "muniment", "projections", "rich", "pydantic", "eventsourcing", "psycopg", "apsw", "cryptography",
}  # fmt: skip
NAMES = [name for group in COMMANDS.values() for name in group]


def loaded_by(*arguments: str, whole: bool = False) -> set[str]:
    """Top-level packages, or all modules, that a command of its own process imported."""
    code = (
        "import json, sys\n"
        "from cli.main import main\n"
        "try:\n    main(json.loads(sys.argv[1]))\n"
        "except SystemExit:\n    pass\n"
        "sys.stdout.flush()\n"
        "sys.stderr.write('LOADED ' + json.dumps(sorted(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stderr.rpartition("LOADED ")[2]))
    return modules if whole else {name.partition(".")[0] for name in modules}


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, (*path, name))


TREE = dict(walk(cli, ("muniment",)))


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("nonsense",), ("emit", "--help"), ("record", "--help")]
)
def test_help_loads_nothing_of_the_ledger(arguments: tuple[str, ...]):
    loaded = loaded_by(*arguments)
    assert "click" in loaded
    assert not loaded & HEAVY


def test_what_was_measured_can_be_seen():
    """The check above would see what a command does load."""
    assert {"ledger", "pydantic"} <= loaded_by("emit", "--list")


def test_emit_on_sqlite_loads_no_more_than_it_needs(shop: Shop):
    loaded = loaded_by("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}", whole=True)
    assert {"ledger.recorders.sqlite", "apsw", "pydantic"} <= loaded
    packages = {name.partition(".")[0] for name in loaded}
    assert not packages & {"psycopg", "psycopg_pool", "rich", "jinja2", "projections", "sqlite3", "asyncio", "sklearn"}
    assert not loaded & {"ledger.recorders.postgres", "ledger.recorders.postgres_store", "ledger.verify"}
    assert {name for name in loaded if name.startswith("eventsourcing.")} <= {
        "eventsourcing.domain", "eventsourcing.persistence", "eventsourcing.utils",
    }  # fmt: skip


def test_log_loads_neither_views_nor_tables(shop: Shop):
    assert not loaded_by("log") & {"psycopg", "rich", "projections"}


def test_every_listed_command_loads_and_says_what_the_table_says():
    assert list(cli.list_commands(click.Context(cli))) == NAMES
    for group in COMMANDS.values():
        for name, (where, text) in group.items():
            command = TREE["muniment", name]
            assert command.name == name, where
            assert command.short_help == text, where
            assert text.endswith(".")


def test_the_help_lists_every_command():
    done = run_process("--help").good()
    listed = {line.split()[0] for line in done.out.splitlines() if line.startswith("  ") and line.split()}
    assert set(NAMES) <= listed
    assert run("-h").good().out == done.out
    assert run().err.startswith("Usage: ") or run().out.startswith("Usage: ")


def test_the_help_says_every_exit_code():
    words = run("--help").good().out.replace("\n", " ")
    for code in EXIT_CODES.values():
        assert f" {code} " in words


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_command_and_option_has_help(path: tuple[str, ...]):
    command = TREE[path]
    assert command.help
    assert command.help.strip().splitlines()[0].endswith(".")
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{' '.join(path)} {parameter.opts}"
            assert parameter.help.strip().endswith((".", ")")), f"{' '.join(path)} {parameter.opts}: {parameter.help}"
    done = run(*path[1:], "--help").good()
    assert done.out.startswith(f"Usage: {' '.join(path)} ")
    assert done.err == ""


@pytest.mark.parametrize("path", [path for path in TREE if len(path) > 1], ids=" ".join)
def test_options_that_belong_everywhere_are_everywhere(path: tuple[str, ...]):
    command = TREE[path]
    if isinstance(command, click.Group):
        return
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--ledger" in options
    assert "-o" in options or path[-1] == "show", "`checkpoint show` prints the note and nothing else"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("emti", "emit"), ("stat", "state"), ("verfy", "verify"), ("actors", "actor"), ("reports", "report")],
)
def test_a_slip_names_the_command_that_was_meant(typed: str, meant: str):
    result = run(typed).refused(2, f"No such command '{typed}'", f"Did you mean {meant}")
    assert run_process(typed).err == result.err


@pytest.mark.parametrize(("typed", "meant"), [("canary", "record canary"), ("close", "incident close")])
def test_the_name_of_a_command_in_a_group_leads_there(typed: str, meant: str):
    run(typed).refused(2, f"No such command '{typed}'", f"Did you mean `muniment {meant}`")


def test_a_command_that_is_like_nothing_is_only_unknown():
    assert "Did you mean" not in run("xyzzy").refused(2, "No such command 'xyzzy'").err


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(TREE["muniment", name], click.Group)])
def test_a_group_without_a_command_shows_its_commands(name: str):
    result = run(name)
    assert result.code == 2
    assert f"Usage: muniment {name}" in result.out + result.err


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert run("--version").good().out == f"muniment, version {version('muniment')}\n"
