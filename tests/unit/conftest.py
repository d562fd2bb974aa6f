"""Worlds that the tests of rules begin with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.bodies import full_world
from tests.unit.rings import Ring
from tests.unit.story import Story


@pytest.fixture
def ring() -> Ring:
    return Ring().people()


@pytest.fixture(scope="module")
def full() -> tuple[Story, dict[str, Any]]:
    return full_world()
