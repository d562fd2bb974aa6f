"""Fixtures of the tests of the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.cli.erased import tell
from tests.cli.gated import people_and_a_version, ruled_and_approved
from tests.cli.kept import DatabasesKept
from tests.cli.support import ORIGIN, Grow, Shop, closing_stores, run
from tests.contract.support import fast_folder


@pytest.fixture(autouse=True)
def stores_closed() -> Iterator[None]:
    """Close the stores of commands that ended early."""
    with closing_stores():
        yield


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, in memory where the machine has it."""
    folder = fast_folder(tmp_path)
    work = folder / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield work
    if folder != tmp_path:
        shutil.rmtree(folder, ignore_errors=True)


def _shop(folder: Path, *options: str) -> Shop:
    made = run(*options, "init", "--origin", ORIGIN, "--keys", "keys", "--name", "Admin", "-o", "json").good()
    assert made.json["origin"] == ORIGIN
    return Shop(folder, options[1] if options else f"sqlite:///{folder / '.muniment' / 'ledger.db'}")


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ledgers that several tests begin with are kept."""
    return tmp_path_factory.mktemp("grown")


@pytest.fixture
def grow(empty: Path, isolated_environment: Path, grown: Path) -> Grow:
    """Gives a ledger on SQLite that a function has filled: it is called once, the others get a copy."""

    def fill(story: Callable[[Shop], None]) -> Shop:
        kept = grown / f"{story.__module__}.{story.__qualname__}"
        if not kept.exists():
            story(_shop(empty))
            _copy(kept, empty, isolated_environment, keep=True)
        else:
            _copy(kept, empty, isolated_environment)
        return Shop(empty, f"sqlite:///{empty / '.muniment' / 'ledger.db'}")

    return fill


def _copy(kept: Path, work: Path, home: Path, *, keep: bool = False) -> None:
    for name, place in (("work", work), ("home", home)):
        source, target = (place, kept / name) if keep else (kept / name, place)
        shutil.copytree(source, target, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def pg_grown(postgres_dsn: str, grown: Path) -> Iterator[DatabasesKept]:
    """The same for ledgers on PostgreSQL, each in a database of its own: one is copied ten times as fast as filled."""
    databases = DatabasesKept(postgres_dsn, grown)
    yield databases
    databases.drop()


@pytest.fixture
def pg_grow(empty: Path, isolated_environment: Path, pg_grown: DatabasesKept) -> Iterator[Grow]:
    """Gives a ledger on PostgreSQL in the same way."""
    copies = []

    def fill(story: Callable[[Shop], None]) -> Shop:
        kept = pg_grown.folder / f"{story.__module__}.{story.__qualname__}-postgres"
        first = not kept.exists()
        url = pg_grown.url(kept.name)
        if first:
            with closing_stores():
                story(_shop(empty, "--ledger", url))
            _copy(kept, empty, isolated_environment, keep=True)
        else:
            _copy(kept, empty, isolated_environment)
        copies.append(pg_grown.copy(kept.name))
        settings = empty / ".muniment" / "config.toml"
        settings.write_text(settings.read_text().replace(url, copies[-1]))
        return Shop(empty, copies[-1])

    yield fill
    for url in copies:
        pg_grown.drop_copy(url)


@pytest.fixture(params=["sqlite", "postgres"])
def grow_any(request: pytest.FixtureRequest) -> Grow:
    """The one and the other."""
    found: Grow = request.getfixturevalue("grow" if request.param == "sqlite" else "pg_grow")
    return found


def nothing(_: Shop) -> None:
    """What happened in a new ledger."""


@pytest.fixture
def shop(grow: Grow) -> Shop:
    """A new ledger in the working folder, on SQLite."""
    return grow(nothing)


@pytest.fixture
def pg_shop(empty: Path, postgres_url: str) -> Shop:
    """A new ledger in the working folder, on PostgreSQL."""
    return _shop(empty, "--ledger", postgres_url)


@pytest.fixture
def access(pg_shop: Shop, postgres_dsn: str) -> Iterator[Callable[[str], str]]:
    """Gives the URL by which a database role with a kind of access opens the ledger of `pg_shop`."""
    made = []

    def grant(kind: str) -> str:
        name = f"{kind}_{uuid4().hex[:12]}"
        with psycopg.connect(postgres_dsn, autocommit=True) as owner:
            owner.execute(f"CREATE ROLE {name}".encode())
        made.append(name)
        run("admin", "grant", name, kind).good()
        return f"{pg_shop.url}&options=-c%20role%3D{name}"

    yield grant
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        for name in made:
            owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


@pytest.fixture
def any_shop(grow_any: Grow) -> Shop:
    """A new ledger in the working folder, on SQLite and again on PostgreSQL."""
    return grow_any(nothing)


@pytest.fixture(params=["sqlite", "postgres"])
def any_new_shop(request: pytest.FixtureRequest, empty: Path) -> Shop:
    """One that was made here and now: its folder is the one that is known, its database the server's usual one."""
    if request.param == "sqlite":
        return _shop(empty)
    found: Shop = request.getfixturevalue("pg_shop")
    return found


@pytest.fixture
def ready(grow_any: Grow) -> Shop:
    """People, a version of a model, and the file of a policy."""
    return grow_any(people_and_a_version)


@pytest.fixture
def asked(grow_any: Grow) -> Shop:
    """The rules ask for that policy, and the version is approved."""
    return grow_any(ruled_and_approved)


@pytest.fixture
def told(grow_any: Grow) -> Shop:
    """A ledger in which something was said about a person: 3 and 6 sealed, 5 in the clear, 4 about nobody."""
    return grow_any(tell)


@pytest.fixture
def here(grow: Grow) -> Shop:
    """The same on SQLite only: for what is decided before any store is asked, or from files."""
    return grow(tell)
