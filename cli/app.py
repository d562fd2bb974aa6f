"""What every command shares: global options, the ledger meant, and how errors are shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ledger.application import Ledger, Receipt
    from ledger.errors import LedgerError, VerificationError
    from ledger.home import Home
    from ledger.identity import Trust
    from projections.runner import Runner

__all__ = [
    "App",
    "ask_passphrase",
    "ask_pin",
    "common_options",
    "global_options",
    "new_passphrase",
    "options_with",
    "pass_app",
    "show_error",
    "write_options",
]

FORMATS = ("text", "json", "ndjson", "csv", "md")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def global_options(function: _Function) -> _Function:
    """Options before the command."""
    for option in reversed(
        [
            click.option("--ledger", metavar="URL|DIR", help="Which ledger: a store's URL or a folder with .muniment."),
            click.option("-o", "--output", type=click.Choice(FORMATS), help="Output format; text by default."),
            click.option("--no-color", is_flag=True, help="No colours (NO_COLOR works too)."),
            click.option("--as", "actor", metavar="ACTOR", help="Actor to sign as (MUNIMENT_ACTOR)."),
            click.option("--expect-origin", metavar="NAME", help="Refuse any ledger but the one of this origin."),
        ]
    ):
        function = option(function)
    return function


def _override(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def set_value(ctx: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        app = ctx.find_object(App)
        if value and app is not None:
            setattr(app, name, value)
        elif value:  # a shell completes the line, and no command runs
            ctx.meta[f"muniment.{name}"] = value
        return value

    return set_value


def common_options(function: _Function) -> _Function:
    """The same options after the command, where people type them."""
    return options_with()(function)


def options_with(*forms: str) -> Callable[[_Function], _Function]:
    """`common_options` of a command that has formats of its own beside the others.

    Args:
        forms: their names; they are given after the command.
    """

    def decorate(function: _Function) -> _Function:
        options = [
            click.option(
                "-o", "--output", type=click.Choice([*FORMATS, *forms]), expose_value=False,
                callback=_override("output"), help="Output format; text by default.",
            ),
            click.option("--ledger", hidden=True, expose_value=False, callback=_override("ledger")),
        ]  # fmt: skip
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def write_options(function: _Function) -> _Function:
    """`common_options` and the options of events we sign."""
    options = [
        click.option("--as", "actor", expose_value=False, callback=_override("actor"), help="Actor to sign as."),
        click.option("--at", "occurred_at", metavar="TIME", help="When it happened (ISO 8601); now by default."),
        click.option("--on-behalf-of", metavar="ACTOR", help="Actor this is done for."),
        click.option("--correlation", metavar="ID", help="Id that ties an undertaking together."),
        click.option("--id", "event_id", metavar="UUID", help="Event id; the same id again repeats nothing."),
    ]
    for option in reversed(options):
        function = option(function)
    return common_options(function)


class App:
    """The state of one invocation.

    Args:
        ledger: ``--ledger``.
        output: ``-o``.
        no_color: ``--no-color``.
        actor: ``--as``.
        expect_origin: ``--expect-origin``.
    """

    def __init__(
        self, *, ledger: str | None, output: str | None, no_color: bool, actor: str | None, expect_origin: str | None
    ) -> None:
        self.ledger = ledger
        self.output = output or "text"
        self.colours_refused = no_color
        self.no_color = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self.actor = actor
        self.expect_origin = expect_origin
        self._home: Home | None = None
        self._contradicted: VerificationError | None = None

    @property
    def home(self) -> Home:
        """The ledger meant and what this machine has about it."""
        if self._home is None:
            from ledger.home import Home

            self._home = Home.find(self.ledger, ask_passphrase, ask_pin)
        return self._home

    def of(self, ledger: str) -> App:
        """The same invocation for another ledger, a folder or URL."""
        return App(
            ledger=ledger, output=self.output, no_color=self.colours_refused, actor=self.actor, expect_origin=None
        )

    def _check_origin(self, ledger: Ledger) -> None:
        if self.expect_origin is not None and ledger.origin != self.expect_origin:
            from ledger.errors import ConfigurationError

            raise ConfigurationError(f"this is the ledger {ledger.origin}, and {self.expect_origin} was expected")

    @contextmanager
    def reader(self, *, checked: bool = True) -> Iterator[Ledger]:
        """The ledger for looking at it, after it was compared with the pinned identity and the head last seen.

        A log that contradicts them can still be looked at: that is said before, and the command ends with exit
        code 1 after it has shown what it was asked for.

        Args:
            checked: False for the commands that compare for themselves.
        """
        from ledger.errors import LedgerError, VerificationError

        with self.home.open_reader() as ledger:
            self._check_origin(ledger)
            moved = ledger.recorder.successor()
            if moved is not None:
                self.note(f"Warning: this ledger has moved to {moved[0]}; what is read here has ended")
            if checked:
                try:
                    self.home.check(ledger)
                except VerificationError as error:
                    self.note(f"Warning: {error.message}; what follows is what is there now")
                    self._contradicted = error
            try:
                yield ledger
            except LedgerError as error:
                if self._contradicted is None:
                    raise
                self.note(f"Error: {error.message}")
                self.finish()

    def finish(self) -> None:
        """Called when a command has shown what it had to show.

        Raises:
            VerificationError: what it showed is not the log that was seen before.
        """
        if self._contradicted is not None:
            raise self._contradicted

    def trust_of(self, ledgerid: str) -> Trust | None:
        """What is pinned here about a ledger; None where there is no ledger, or another one."""
        from ledger.config import find_folder

        named = bool(self.ledger or os.environ.get("MUNIMENT_LEDGER"))
        if not named and find_folder(Path.cwd()) is None:
            return None
        trust = self.home.trust()
        return trust if trust is not None and trust.ledgerid == ledgerid else None

    def follow(self, ledger: Ledger) -> None:
        """Learn which keys sign heads by now; what contradicts the pinned ones is found, and said, by verification."""
        from ledger.errors import AuthenticationError, VerificationError

        try:
            self.home.follow(ledger)
        except (AuthenticationError, VerificationError) as error:
            self.note(f"Warning: {error.message}")

    @contextmanager
    def signer(self) -> Iterator[Ledger]:
        """The ledger for reading and for signing its head, where the checkpoint key is here."""
        with self.home.open_signer() as ledger:
            self._check_origin(ledger)
            yield ledger

    @contextmanager
    def writer(self) -> Iterator[Ledger]:
        """The ledger for writing; its origin is said on stderr and its head signed at the end."""
        with self._appending(self.home.open(self.actor)) as ledger:
            ledger.screening.notify = self.note
            self.note(f"ledger {ledger.origin}, as {self.display(str(ledger.actor))}")
            yield ledger

    @contextmanager
    def courier(self) -> Iterator[Ledger]:
        """The ledger for appending events signed elsewhere; its head is signed at the end where the key is here."""
        with self._appending(self.home.open_courier()) as ledger:
            ledger.screening.notify = self.note
            self.note(f"ledger {ledger.origin}")
            yield ledger

    @contextmanager
    def _appending(self, ledger: Ledger) -> Iterator[Ledger]:
        try:
            self._check_origin(ledger)
            yield ledger
        except BaseException:
            ledger.recorder.close()  # nothing more is signed or remembered after a failure
            raise
        else:
            ledger.close()

    @contextmanager
    def views(self) -> Iterator[tuple[Ledger, Runner, int]]:
        """The ledger with its views brought up to the head, and the size they stand at."""
        from cli.known import with_near
        from cli.output import progress
        from ledger.errors import UnknownThingError
        from projections.catalogue import open_runner

        with self.reader(checked=False) as ledger:
            self.home.check(ledger)  # what is told as fact must rest on the log that was seen before
            runner = open_runner(ledger, self.home.url)
            try:
                with progress(self, "reading the log") as advance:
                    size = runner.catch_up(advance)
                yield ledger, runner, size
            except UnknownThingError as error:
                asked = click.get_current_context().params
                if asked.get("at") or asked.get("known_at"):
                    raise  # what was said about the past does not change with the names that came later
                hint = with_near(ledger, error.subject, error.hint)
                raise UnknownThingError(error.message, error.subject, hint=hint) from error
            finally:
                runner.views.close()

    def marked(self, ledger: Ledger, value: Any, size: int) -> Any:
        """Plain values with words in place of every sealed field, as known at a log size."""
        from projections.sealed import mark_sealed

        return mark_sealed(ledger, value, size, lambda: self.home.data_keys(ledger.ledgerid))

    def display(self, actor: str) -> str:
        """An actor's display name with its id, or the id."""
        name = self.home.names().get(actor)
        return actor if name is None else f"{name} ({actor})"

    def note(self, text: str) -> None:
        """Say something on stderr."""
        from cli.output import clean

        click.echo(clean(text), err=True)

    def record(self, step: Callable[..., Receipt], /, *arguments: Any, **options: Any) -> None:
        """Do what appends one event, and print its receipt.

        Args:
            step: gets the ledger for writing, and the rest.
            arguments: of it.
            options: of it.
        """
        with self.writer() as ledger:
            self.show_receipt(step(ledger, *arguments, **options))

    def emit(self, type: str, subject: str, data: Mapping[str, Any] | None = None, /, **options: Any) -> None:
        """Append one event and print its receipt; see `Ledger.emit`."""
        self.record(lambda ledger: ledger.emit(type, subject, data, **options))

    def show_receipt(self, receipt: Receipt, *, then: str = "") -> None:
        """Print a receipt: data on stdout, remarks on stderr."""
        from cli.output import print_record
        from ledger.entry import format_time

        data = {
            "id": receipt.id,
            "index": receipt.index,
            "leaf_hash": receipt.leaf_hash.hex(),
            "stream": receipt.stream,
            "revision": receipt.revision,
            "recorded_at": format_time(receipt.recorded_at),
            "status": receipt.status,
            "marks": list(receipt.marks),
            "existing": receipt.existing,
        }
        text = f"{'already recorded' if receipt.existing else 'recorded'} {receipt.index} {receipt.id}"
        print_record(self, data, text)
        for mark in receipt.marks:
            self.note(f"marked {mark}: kept as it is, and shown with this mark")
        if then:
            self.note(then)


pass_app = click.make_pass_decorator(App)


def ask_passphrase() -> bytes | None:
    """The passphrase of a private key: ``MUNIMENT_PASSPHRASE``, or asked on a terminal; None without one."""
    value = os.environ.get("MUNIMENT_PASSPHRASE")
    if value is not None:
        return value.encode()
    if sys.stdin.isatty():
        return str(click.prompt("Passphrase of the private key", hide_input=True, err=True)).encode()
    return None


def ask_pin(token: str) -> bytes | None:
    """The PIN of a PKCS#11 token, asked on a terminal; None without one."""
    if not sys.stdin.isatty():
        return None
    return str(click.prompt(f"PIN of the token {token}", hide_input=True, err=True)).encode()


def new_passphrase() -> bytes:
    """The passphrase for new private keys: ``MUNIMENT_PASSPHRASE``, or asked twice."""
    value = os.environ.get("MUNIMENT_PASSPHRASE")
    if value is None:
        value = click.prompt("Passphrase for the private key", hide_input=True, confirmation_prompt=True, err=True)
    return str(value).encode()


def _next_step(error: LedgerError, command: str) -> str:
    """What to do next when the error itself does not say."""
    from ledger import errors

    steps = {
        errors.InputError: f"{command} --help shows what it takes.",
        errors.AuthenticationError: "`muniment actor list` and `muniment key list` show who may sign, and with what.",
        errors.NotAllowedError: "Ask somebody who may: muniment actor list",
        errors.PolicyError: "See what there is: muniment state",
        errors.ConflictError: "Look again, then decide again: muniment log",
        errors.VerificationError: "Keep the store as it is and run: muniment verify log",
        errors.NothingToVerifyError: "See what the log holds: muniment log",
        errors.StorageError: "`muniment doctor` looks at the store.",
        errors.TrustStateError: "Restore it from a copy you trust; `muniment doctor` looks at the rest.",
        errors.ConfigurationError: "`muniment doctor` shows the settings in force.",
    }
    return error.hint or next((steps[cls] for cls in type(error).__mro__ if cls in steps), "")


def show_error(error: LedgerError, command: str = "muniment") -> None:
    """Print what went wrong and the next step to stderr.

    Args:
        error: what went wrong.
        command: the command that was run, for a look at its help.
    """
    from cli.output import clean
    from ledger.errors import VerificationError

    where = ""
    if isinstance(error, VerificationError):
        where = f" [{error.fault}{'' if error.index is None else f' at entry {error.index}'}]"
    click.echo(clean(f"Error: {error.message}{where}"), err=True)
    click.echo(clean(f"Next:  {_next_step(error, command)}"), err=True)
