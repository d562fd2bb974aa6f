"""What the scenarios share: a new ledger in a folder of its own, and the command line run in it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shlex
import tempfile
from pathlib import Path
from typing import Any, Final

import muniment
from cli.main import main
from ledger.home import Home

__all__ = ["STORE", "Scene", "digest"]

#: Environment variable with the store to use, ``postgresql://…``; a SQLite file when it is not set.
STORE: Final = "MUNIMENT_SCENARIO_STORE"


def digest(text: str) -> str:
    """A digest that stands for the bytes of something."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Scene:
    """A ledger and the people in it.

    Args:
        name: of the scenario.
        people: actor to its roles, parted by blanks.
    """

    def __init__(self, name: str, **people: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"muniment-{name}-"))
        store = os.environ.get(STORE)
        chosen = ("--ledger", store) if store else ()
        self.do(*chosen, "init", "--origin", f"muniment.example/{name}", "--keys", "keys", "--name", "Platform admin")
        for actor, roles in people.items():
            given = [item for role in roles.split() for item in ("--role", role)]
            self.do("actor", "enrol", actor.replace("_", "-"), "--kind", "person", *given)

    def do(self, *arguments: object, expected: int = 0) -> str:
        """Run a command in the folder and insist on its exit code.

        Returns:
            What it printed: its data, and the error and the next step when it refused.
        """
        words = [str(argument) for argument in arguments]
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        err = io.StringIO()
        code: object = 0
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(words)
            except SystemExit as end:
                code = end.code
        printed = out.buffer.getvalue().decode()
        if code != expected:
            raise SystemExit(
                f"`muniment {shlex.join(words)}` ended with {code}, not {expected}\n{printed}{err.getvalue()}"
            )
        said = [line for line in err.getvalue().splitlines() if line.startswith(("Error:", "Next:"))]
        return printed + "".join(f"{line}\n" for line in said)

    def show(self, *arguments: object, expected: int = 0) -> str:
        """As `do`, and print the command with what it printed."""
        printed = self.do(*arguments, expected=expected)
        print(f"$ muniment {shlex.join(str(argument) for argument in arguments)}\n{printed}")
        return printed

    def ask(self, *arguments: object, expected: int = 0) -> Any:
        """The JSON that a command answers; see `do`."""
        return json.loads(self.do(*arguments, "-o", "json", expected=expected))

    def open(self, actor: str) -> muniment.Ledger:
        """The ledger, signing as somebody: for pipelines, which record much."""
        return Home.find(str(self.folder)).open(actor)

    def write(self, name: str, text: str) -> None:
        """Write a file into the folder."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def release(self, model: str, deployment: str, *, by: tuple[str, str, str]) -> None:
        """Ask, approve, authorise and deploy; ``by`` is who asks, who approves, and who deploys."""
        environment = deployment.partition(":")[2].partition("/")[0]
        self.do("request", model, "--env", environment, "--as", by[0])
        self.do("approve", model, "--rationale", "fit for its purpose", "--as", by[1])
        self.do("authorise", deployment, "--model", model, "--as", by[2])
        self.do("record", "deployment", deployment, "--model", model, "--as", by[2])

    def end(self, *lines: str) -> None:
        """Say what was to be seen, and check every byte of the log."""
        print("What this shows:")
        for line in lines:
            print(f"- {line}")
        print(self.do("verify", "log").splitlines()[0])
        print(f"The ledger is in {self.folder}")
