"""The tables of `verify.py`, which shares no code with the catalogue, against the catalogue."""

from __future__ import annotations

import ledger.standalone as script
from ledger.events import Category, Erasable, all_event_types


def test_every_type_is_known_to_the_script():
    for kind in all_event_types():
        name = kind.topic.removeprefix("muniment.")
        assert (kind.category is Category.AUTHORITY) == (name in script.AUTHORITY), name
        assert (kind.category is Category.DECISION) == (name in script.DECISIONS), name
        assert tuple(script.ROLES.get(name, ())) == tuple(kind.roles), name
        assert (kind.erasable is Erasable.WHOLE) == (name in script.WITHHOLDABLE), name
        if kind.category is not Category.AUTHORITY and {"actor", "ledger"} & set(kind.kinds):
            assert name in script.HARMLESS, name
