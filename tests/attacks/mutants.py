"""Bugs planted into copies of the code that everything rests on: do the tests see them?"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Lock
from typing import Literal

from tests.attacks.planting import ROOT, Mutant, sample
from tests.attacks.targets import MODULES, NAMED
from tests.faults.scorecard import Result

#: What the copies hold.
COPIED = (
    *("pyproject.toml", "README.md", "muniment", "ledger", "projections", "cli"),
    *("tests", "schemas", "docs", "tools"),
)
NAMED_MODULES = tuple(module for modules in NAMED.values() for module in modules)
EXPLAINED = ROOT / "tests" / "attacks" / "survivors.toml"
#: A test run with a bug may take so many times as long as without, and so many seconds more, before it counts as hung.
_TIMES, _MORE = 5, 10
#: Seconds that a test run without any bug may take.
_PATIENCE = 300
#: Bytes of memory that a test run may take: a loop without an end must not take the machine's.
_MEMORY = 8 << 30
#: On which backend the tests are asked; the second one only about what the first one did not see.
BACKENDS = ("not postgres", "postgres")
#: Exit code of pytest when nothing is selected.
_NO_TESTS = 5

Outcome = Literal["killed", "hung", "survived", "error"]


@dataclass(frozen=True)
class Asked:
    """How a run of tests ended: the exit code of pytest, None when it had to be ended; the seconds; what it said."""

    code: int | None
    seconds: float
    said: str = ""


@dataclass(frozen=True)
class Seen:
    """What became of a planted bug: the outcome, and the tests that said so or what went wrong."""

    outcome: Outcome
    by: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why the tests do not see a bug.

    Attributes:
        module: path below the root.
        place: the function or method.
        was: the lines that the bug changes.
        now: what stands there instead.
        equivalent: whether nothing behaves otherwise, so that nobody could see it; only these are not in the share.
        why: the reason.
    """

    module: str
    place: str
    was: str
    now: str
    equivalent: bool
    why: str


def explanations(path: Path = EXPLAINED) -> list[Explanation]:
    """The survivors that somebody looked at."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["survivor"]
    return [
        Explanation(row["module"], row["place"], row["was"].strip(), row["now"].strip(), row["equivalent"], row["why"])
        for row in rows
    ]


def _environment(folder: Path, *, writes: bool) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(folder), **({} if writes else {"PYTHONDONTWRITEBYTECODE": "1"})}


class Copy:
    """A copy of the tree in which bugs are planted, one at a time.

    Args:
        folder: an empty place, which is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
            else:
                shutil.copy2(source, folder / name)
        # Compiled once. By hash, since a bug may change neither the size of a file nor the second of its time.
        compiled = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "ledger", "cli"]
        subprocess.run([*compiled, "muniment", "projections"], cwd=folder, check=True)

    def asks(self, tests: str, backend: str, limit: float, *, whole: bool = False) -> Asked:
        """Run tests here until one fails.

        Args:
            tests: a path below the root, or several.
            backend: what ``-k`` selects.
            limit: seconds after which the run is ended.
            whole: whether the copy has no bug, and may keep what pytest compiles.
        """
        options = ("-q", "-x", "-p", "no:cacheprovider", "-k", backend, "--tb=line", "--hypothesis-seed=0")
        begun = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests.split()],
            cwd=self.folder,
            env=_environment(self.folder, writes=whole),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with process:
            resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            try:
                said, _ = process.communicate(timeout=limit)
                return Asked(process.returncode, time.monotonic() - begun, said)
            except subprocess.TimeoutExpired:
                return Asked(None, time.monotonic() - begun)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def is_itself(self) -> bool:
        """Whether Python takes the modules from here and not from where they are installed."""
        script = "import cli, ledger; print(ledger.__file__, cli.__file__)"
        environment = _environment(self.folder, writes=False)
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return all(path.startswith(str(self.folder)) for path in done.stdout.split())

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """The bug is here, for a while."""
        path = self.folder / mutant.module
        good = path.read_text(encoding="utf-8")
        path.write_text(mutant.code, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(good, encoding="utf-8")

    def sees(self, mutant: Mutant, limits: Limits) -> Seen:
        """Whether some test fails with the bug.

        Args:
            mutant: the bug.
            limits: how long each run may take.
        """
        for backend in limits.backends:
            for tests in MODULES[mutant.module]:
                try:
                    asked = self._asks(mutant, tests, backend, limits)
                except RuntimeError as error:
                    return Seen("error", str(error))
                seen = Seen("survived") if asked is None else self._seen(asked, tests)
                if seen.outcome != "survived":
                    return seen
        return Seen("survived")

    def _asks(self, mutant: Mutant, tests: str, backend: str, limits: Limits) -> Asked | None:
        """How the tests end with the bug; None when none of them knows the backend."""
        limit = limits.of(self, tests, backend)
        if limit is None:
            return None
        with self.planted(mutant):
            asked = self.asks(tests, backend, limit)
        if asked.code is not None:
            return asked
        limit = limits.again(self, tests, backend)  # the bug may be the reason, or what else the machine has to do
        with self.planted(mutant):
            return self.asks(tests, backend, limit)

    def _seen(self, asked: Asked, tests: str) -> Seen:
        """What a run says. An exit code that is not of failed tests is a kill only when the bug is the reason."""
        if asked.code is None:
            return Seen("hung", tests)
        if asked.code == 0:
            return Seen("survived")
        if asked.code == 1:
            return Seen("killed", tests)
        # Without the bug the same tests were collected and passed.
        unloaded = "ImportError while loading conftest" in asked.said or "during collection" in asked.said
        if unloaded:
            return Seen("killed", f"{tests} (not loaded)")
        return Seen("error", f"pytest ended with {asked.code} at {tests}: {asked.said[-1000:]}")


class Limits:
    """How long tests may take with a bug: measured without one when they are first asked, under the real load.

    Args:
        backends: on which to ask.
    """

    def __init__(self, backends: Sequence[str] = BACKENDS) -> None:
        self.backends = backends
        self._found: dict[tuple[str, str], Asked] = {}
        self._lock, self._locks = Lock(), defaultdict[tuple[str, str], Lock](Lock)

    def of(self, copy: Copy, tests: str, backend: str) -> float | None:
        """Seconds, or None when none of these tests knows the backend.

        Args:
            copy: without any bug.
            tests: as `Copy.asks` has them.
            backend: likewise.

        Raises:
            RuntimeError: they do not pass without a bug.
        """
        what = (tests, backend)
        with self._lock:
            lock = self._locks[what]
        with lock:
            if what not in self._found:
                self._found[what] = copy.asks(tests, backend, _PATIENCE, whole=True)
            asked = self._found[what]
        if asked.code == _NO_TESTS and backend != BACKENDS[0]:
            return None
        return _limit(asked, tests)

    def again(self, copy: Copy, tests: str, backend: str) -> float:
        """The limit measured anew, under the load of now; it never gets smaller.

        Args:
            copy: without any bug.
            tests: as `of` has them.
            backend: likewise.

        Raises:
            RuntimeError: they do not pass without a bug.
        """
        what = (tests, backend)
        asked = copy.asks(tests, backend, _PATIENCE, whole=True)
        limit = _limit(asked, tests)
        with self._lock:
            self._found[what] = max(self._found.get(what, asked), asked, key=lambda found: found.seconds)
        return limit


def _limit(asked: Asked, tests: str) -> float:
    if asked.code != 0:
        raise RuntimeError(f"{tests} does not pass in a copy without any bug: {asked.said[-1000:]}")
    return _TIMES * asked.seconds + _MORE


def planted_bugs(
    folder: Path,
    count: int,
    seed: int,
    *,
    workers: int = 2,
    modules: Sequence[str] = NAMED_MODULES,
    goal: float = 0.95,
    backends: Sequence[str] = BACKENDS,
    say: Callable[[str], object] = lambda line: None,
) -> Result:
    """Plant bugs, more of them where there is more code.

    Args:
        folder: an empty place for copies of the tree.
        count: how many in all.
        seed: of the choice.
        workers: test runs at a time.
        modules: where to plant them.
        goal: the share that must be killed.
        backends: on which backends to ask.
        say: is told about every bug as soon as its outcome is known.
    """
    mutants = sample(modules, count, random.Random(seed))
    copies: Queue[Copy] = Queue()
    for number in range(workers):
        copy = Copy(folder / str(number))
        if not copy.is_itself():
            raise RuntimeError("the copy's modules are not the ones that its tests would import")
        copies.put(copy)
    limits = Limits(backends)

    def look(mutant: Mutant) -> Seen:
        copy = copies.get()
        try:
            seen = copy.sees(mutant, limits)
        finally:
            copies.put(copy)
        say(f"{seen.outcome} {seen.by}: {mutant}")
        return seen

    with ThreadPoolExecutor(workers) as pool:
        seen = list(pool.map(look, mutants))
    return judged(list(zip(mutants, seen, strict=True)), explanations(), goal)


def judged(found: Sequence[tuple[Mutant, Seen]], known: Sequence[Explanation], goal: float = 0.95) -> Result:
    """Count what was found, with what is known about survivors.

    Args:
        found: the bugs and what became of them.
        known: the survivors that somebody explained.
        goal: the share that must be killed.
    """
    too_few = f"less than {100 * goal:.0f} % killed"
    result = Result.counting(too_few, "instrument errors", "stale explanations")
    explained = {(row.module, row.place, row.was, row.now): row for row in known}
    tally: Counter[str] = Counter()
    for mutant, seen in found:
        tally[seen.outcome] += 1
        known_as = explained.get((mutant.module, mutant.place, mutant.was, mutant.now))
        if seen.outcome == "error":
            result.failed("instrument errors", f"{mutant}\n{seen.by}")
        elif seen.outcome == "hung":
            result.failures.append(f"hung: {mutant}")
        elif seen.outcome == "killed" and known_as is not None:
            result.failed("stale explanations", f"a test sees what is explained as a survivor: {mutant}")
        elif seen.outcome == "survived":
            kind = "unexplained" if known_as is None else "equivalent" if known_as.equivalent else "harmless"
            tally[kind] += 1
            result.failures.append(f"survived, {kind}: {mutant}" + (f"\n  {known_as.why}" if known_as else ""))
    share = _share(tally, len(found))
    if share < goal:
        result.failed(too_few, f"{100 * share:.1f} %")
    result.n = len(found)
    shown = ("killed", "hung", "equivalent", "harmless", "unexplained")
    result.figures = {**{name: tally[name] for name in shown}, "share": f"{100 * share:.1f} %"}
    result.figures["by_module"] = _by_module(found)
    return result


def _share(tally: Counter[str], count: int) -> float:
    judged_ones = count - tally["equivalent"] - tally["error"]
    return (tally["killed"] + tally["hung"]) / judged_ones if judged_ones else 0.0


def _by_module(found: Sequence[tuple[Mutant, Seen]]) -> dict[str, str]:
    all_of = Counter(mutant.module for mutant, _ in found)
    killed = Counter(mutant.module for mutant, seen in found if seen.outcome in ("killed", "hung"))
    return {module: f"{killed[module]}/{count}" for module, count in all_of.items()}
