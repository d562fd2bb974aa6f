"""Fixtures that every test may use: real stores, and a world of its own for each test."""

import gc
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from tests import fork_server
from tests.postgres_server import ENOUGH, MEMORY, shared_server

# A shell ignores interrupts in what it runs in the background, and that is inherited: tests that interrupt a process
# would wait for ever. What has a handler here has the default in every process that is started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is about time: a busy machine must fail none.
settings.register_profile("unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# In memory, where there is plenty: no test asks a real disk for durability (`tests.faults` replays recorded writes).
if Path(MEMORY).is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)


# A worker holds twelve thousand tests; a part of its time went into looking through them for garbage again and again.
def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000, 10, 10)


# Read now: `isolated_environment` hides it before a test can ask for a server.
_EXTERNAL_POSTGRES = os.environ.get("MUNIMENT_TEST_POSTGRES", "")


@pytest.fixture(scope="session")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL, for a role that may create schemas, databases and roles.

    ``MUNIMENT_TEST_POSTGRES`` names one to use; without it a server is started, once for all workers. A test that asks
    for PostgreSQL is never skipped.
    """
    if not _EXTERNAL_POSTGRES:
        base = tmp_path_factory.getbasetemp()
        with shared_server(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) as url:
            yield url
        return
    if urlsplit(_EXTERNAL_POSTGRES).scheme not in {"postgresql", "postgres"}:
        pytest.fail("MUNIMENT_TEST_POSTGRES must be a URL: postgresql://user@host:port/database", pytrace=False)
    try:
        psycopg.connect(_EXTERNAL_POSTGRES, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        pytest.fail(f"MUNIMENT_TEST_POSTGRES names a server that does not answer: {error}", pytrace=False)
    yield _EXTERNAL_POSTGRES


@pytest.fixture
def postgres_url(postgres_dsn: str) -> Iterator[str]:
    """The URL of a PostgreSQL store of this test's own: ``…?schema=NAME``, a schema that nobody has made yet.

    The schema is dropped afterwards. It fails, instead of hanging, when the test left a transaction open.
    """
    schema = f"test_{uuid.uuid4().hex[:16]}"
    yield f"{postgres_dsn}{'&' if '?' in postgres_dsn else '?'}schema={schema}"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '15s'")
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Gives the URL of another store that nobody has made yet, of the kind asked for, as often as it is called."""
    schemas: list[str] = []
    files = iter(range(100))

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / f'store-{next(files)}.db'}"
        dsn = request.getfixturevalue("postgres_dsn")
        schemas.append(f"test_{uuid.uuid4().hex[:16]}")
        return f"{dsn}{'&' if '?' in dsn else '?'}schema={schemas[-1]}"

    yield make
    if schemas:
        with psycopg.connect(request.getfixturevalue("postgres_dsn"), autocommit=True) as connection:
            connection.execute("SET lock_timeout = '15s'")
            for schema in schemas:
                connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store: the test runs on SQLite, and again on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session", autouse=True)
def _fork_server_ends() -> Iterator[None]:
    yield
    fork_server.stop()


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, _homes: Path) -> Path:
    """Give the test, and every process it starts, an empty home and none of the developer's settings.

    Returns:
        The home: ``.config``, ``.local/state`` and the others are below it and not made yet.
    """
    # Not tmp_path, which belongs to the test alone; not mktemp, whose numbering gets slow after thousands of tests.
    home = Path(tempfile.mkdtemp(dir=_homes))
    unwanted = ("MUNIMENT_",) if _EXTERNAL_POSTGRES else ("MUNIMENT_", "PG")
    for name in list(os.environ):
        if name.startswith(unwanted):
            monkeypatch.delenv(name)
    # What rich and click take from the terminal: output must be the same everywhere.
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / ".local" / "share"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".local" / "state"))
    return home
