"""Names of events in other vocabularies lead to the word that is used here."""

from __future__ import annotations

import re

import pytest

from ledger.errors import InputError
from ledger.events import all_event_types, find_event_type
from ledger.events.othernames import OTHER_NAMES

KNOWN = {kind.name: kind for kind in all_event_types()}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_another_name_is_told_as_one_of_ours(name: str):
    assert name not in KNOWN, "it is a type by now"
    with pytest.raises(InputError, match=f"{name}' is no event type") as told:
        find_event_type(name)
    hint = told.value.hint
    assert hint == f"It is said as {OTHER_NAMES[name]}."
    named = re.findall(r"[a-z_]+\.[a-z_]+", hint)
    assert named
    assert set(named) <= KNOWN.keys()
    for field, value in re.findall(r"([a-z_]+)=(\S+?)\.?$", hint):
        assert field in KNOWN[named[0]].body.model_fields, (field, value)


def test_what_is_nobodys_name_leads_to_what_is_near():
    with pytest.raises(InputError) as told:
        find_event_type("run.complete")
    assert told.value.hint.startswith("Did you mean run.completed")
