"""The checklists that come with Muniment, one or several as one policy: a row of the rules asks for one policy."""

from __future__ import annotations

from importlib import resources
from typing import Final

from ledger.policy.checks import FORMAT

__all__ = ["STARTERS", "starter"]

#: By name, in the order of a version's life.
STARTERS: Final = ("pre-production", "production")


def starter(*names: str) -> str:
    """The source of a policy.

    Args:
        names: of checklists.

    Returns:
        The checklist as it is; of several one with the checks of all, in their order and each id once.
    """
    packs = resources.files("ledger.policy") / "packs"
    sources = [(packs / f"{name}.yaml").read_text("utf-8") for name in dict.fromkeys(names)]
    if len(sources) == 1:
        return sources[0]
    titles: list[str] = []
    checks: dict[str, str] = {}
    for source in sources:
        head, *blocks = source.rstrip("\n").split("\n- id: ")
        titles.append(head.partition("title: ")[2].partition("\n")[0])
        for block in blocks:
            checks.setdefault(block.partition("\n")[0], block)
    told = [f"schema: {FORMAT}", f"title: {' and '.join(titles)}", "checks:"]
    return "\n- id: ".join(["\n".join(told), *checks.values()]) + "\n"
