"""`admin copy` when the connection to PostgreSQL is lost at a COMMIT, the one moment whose outcome is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from ledger.application import Ledger
from ledger.errors import ConfigurationError, StorageError
from ledger.recorders.postgres_url import split_schema
from ledger.transfer import LedgerCopy, Outside
from ledger.verify import verify_log
from tests.contract.postgres_proxy import Proxy, Rule, commit_reply, commit_request, proxy_to
from tests.contract.support import Cast, audit, make_cast

NewStore = Callable[[str], str]


@pytest.fixture
def proxy(postgres_dsn: str) -> Iterator[Proxy]:
    with proxy_to(postgres_dsn) as found:
        yield found


def through(proxy: Proxy, url: str) -> str:
    return f"{proxy.dsn}&schema={url.partition('schema=')[2]}"


def takes_entries(url: str, cast: Cast) -> bool:
    try:
        with Ledger.open(url, actor="p-author", signers=[cast.keys["p-author"]]) as ledger:
            ledger.emit("external.observed", "external:x", system="s", content={})
    except ConfigurationError:
        return False
    return True


def attempt(source: str, target: str, cast: Cast) -> str:
    """One run of the command; its step, or ``lost`` when the connection was."""
    with Ledger.open(source) as ledger:
        moving = LedgerCopy(ledger, target, Outside(cast.new.trust))
        try:
            return moving.run([cast.new.checkpoint]).step
        except StorageError as error:
            return "lost" if "same command again" in error.hint else "lost, without a hint"
        finally:
            moving.close()


@pytest.mark.parametrize(("rule", "sealed"), [(commit_request, False), (commit_reply, True)])
def test_the_commit_that_seals_the_source(rule: Rule, sealed: bool, proxy: Proxy, new_store: NewStore):
    source, target = new_store("postgres"), new_store("sqlite")
    cast = make_cast(source)
    proxy.cut_next(rule)
    assert attempt(through(proxy, source), target, cast) == "lost"
    assert proxy.cuts == 1
    assert takes_entries(source, cast) is not sealed
    assert not takes_entries(target, cast)
    assert attempt(source, target, cast) == ("open" if sealed else "resume")
    assert (takes_entries(source, cast), takes_entries(target, cast)) == (False, True)
    audit(target)


@pytest.mark.parametrize("rule", [commit_request, commit_reply], ids=["request", "reply"])
def test_every_commit_of_the_target(rule: Rule, proxy: Proxy, new_store: NewStore):
    """Cut at the first commit, then, going on, at the second, and so on until nothing is left to cut."""
    source, target = new_store("sqlite"), new_store("postgres")
    cast = make_cast(source)
    attempts, cuts, step = 0, 0, "lost"
    while step == "lost":
        attempts += 1
        left = attempts

        def nth(from_client: bool, kind: bytes, body: bytes) -> bool:
            nonlocal left
            left -= rule(from_client, kind, body)
            return left == 0

        proxy.cut_next(nth)
        step = attempt(source, through(proxy, target), cast)
        cuts += step == "lost"
        open_now = [takes_entries(source, cast), takes_entries(target, cast)]
        assert open_now.count(True) <= 1, "two stores of one log take entries"
        assert open_now[0] or cast.recorder.successor() is not None
    assert cuts >= 4
    proxy.cut_next(lambda *_: False)
    assert attempt(source, target, cast) == "none"
    assert (takes_entries(source, cast), takes_entries(target, cast)) == (False, True)
    audit(target)
    with Ledger.open(target) as ledger:
        assert verify_log(ledger.recorder, cast.new.trust).ok


def test_a_transaction_under_an_older_snapshot_cannot_append_after_the_seal(new_store: NewStore):
    source, target = new_store("postgres"), new_store("sqlite")
    cast = make_cast(source)
    dsn, schema = split_schema(source)
    with psycopg.connect(dsn) as late:
        late.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        late.execute(f"SELECT count(*) FROM {schema}.head".encode())
        assert attempt(source, target, cast) == "copy"
        assert late.execute(f"SELECT count(*) FROM {schema}.successor".encode()).fetchall() == [(0,)], "it sees no note"
        with pytest.raises(psycopg.errors.SerializationFailure):
            late.execute(f"UPDATE {schema}.head SET size = size + 1".encode())
        late.rollback()
