"""Fixtures of the attacks that are made on the command line, and on a store of its own for each."""

from __future__ import annotations

from tests.cli.conftest import any_shop, empty, shop
from tests.cli.test_timestamps import authority
from tests.contract.conftest import memory_path, quick_url

__all__ = ["any_shop", "authority", "empty", "memory_path", "quick_url", "shop"]
