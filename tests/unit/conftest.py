"""What the tests of keys and roles share."""

from __future__ import annotations

import pytest

from tests.unit.rings import Ring


@pytest.fixture
def ring() -> Ring:
    return Ring().people()
