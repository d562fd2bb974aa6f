"""Fixtures of the attacks that are made on the command line."""

from __future__ import annotations

from tests.cli.conftest import any_shop, empty, shop
from tests.cli.test_timestamps import authority

__all__ = ["any_shop", "authority", "empty", "shop"]
