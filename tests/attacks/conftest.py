"""Fixtures of the attacks that are made on the command line, and on a store of its own for each."""

from __future__ import annotations

from tests.cli.conftest import any_shop, empty, grow, grow_any, grown, pg_grow, pg_grown, shop
from tests.cli.test_timestamps import authority
from tests.contract.conftest import memory_path, quick_url

__all__ = [
    "any_shop",
    "authority",
    "empty",
    "grow",
    "grow_any",
    "grown",
    "memory_path",
    "pg_grow",
    "pg_grown",
    "quick_url",
    "shop",
]
