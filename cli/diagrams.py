"""Lineage as text that others draw: Mermaid flowcharts and Graphviz DOT.

Names are tame by their grammar; titles, roles and texts are anybody's, so everything is escaped.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["dot", "mermaid"]

#: Kind: the two brackets of a Mermaid node, and Graphviz's shape.
_SHAPES: Final = {
    "dataset": ("[(", ")]", "cylinder"), "featureset": ("[(", ")]", "cylinder"), "run": ("[[", "]]", "cds"),
    "model": ("([", "])", "box"), "artifact": ("[/", "/]", "folder"), "evaluation": ("{{", "}}", "hexagon"),
    "deployment": ("[", "]", "component"), "incident": (">", "]", "octagon"),
}  # fmt: skip
_OTHER: Final = ("[", "]", "box")
#: What Mermaid would read as its own, or hand on to a page as HTML; its entity codes have no ampersand.
_MERMAID: Final = {ord(mark): f"#{ord(mark)};" for mark in '#"<>&`\\[](){}|;%'}
_DOT: Final = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": ""})


_TROUBLE: Final = {
    "quarantined", "suspect", "rests-on-suspect", "rests-on-quarantined", "invalidated", "unauthorised", "other-digest",
    "other-settings", "evaluation-failed", "canary-aborted", "unauthorised-at-first",
    "emergency-overdue", "emergency-unjustified",
}  # fmt: skip


def _said(node: dict[str, Any]) -> list[str]:
    """The lines in a node."""
    lines = [str(node["subject"])]
    lines += [f"serving {node['serves']}"] if node["serves"] else []
    status = [] if node["status"] is None else [str(node["status"])]
    marks = ", ".join([*status, *(mark for mark in node["marks"] if mark != node["status"])])
    lines += [marks] if marks else []
    return lines + ([str(node["title"])] if node["title"] else [])


def _bad(node: dict[str, Any]) -> bool:
    return bool(_TROUBLE & set(node["marks"]))


def mermaid(data: dict[str, Any]) -> str:
    """A Mermaid flowchart, from what something was made of to what came of it.

    Args:
        data: what ``muniment lineage -o json`` prints.
    """

    def text(value: str) -> str:
        return " ".join(value.split()).translate(_MERMAID)

    numbers = {node["id"]: f"n{number}" for number, node in enumerate(data["nodes"])}
    lines = ["flowchart LR"]
    for node in data["nodes"]:
        left, right, _ = _SHAPES.get(node["kind"], _OTHER)
        label = "<br/>".join(text(line) for line in _said(node))
        lines.append(f'  {numbers[node["id"]]}{left}"{label}"{right}')
    for edge in data["edges"]:
        lower, upper = numbers[edge["downstream"]], numbers[edge["upstream"]]
        lines.append(f'  {upper} -->|"{text(edge["relation"])}"| {lower}')
    for name, kept, style in (
        (
            "live",
            lambda node: node["kind"] == "deployment" and node["status"] in ("live", "canary"),
            "stroke-width:4px",
        ),
        ("bad", _bad, "stroke:#c00,stroke-dasharray:4"),
    ):
        chosen = [numbers[node["id"]] for node in data["nodes"] if kept(node)]
        lines += [f"  classDef {name} {style}", f"  class {','.join(chosen)} {name}"] if chosen else []
    return "\n".join(lines)


def dot(data: dict[str, Any]) -> str:
    """A Graphviz graph, from what something was made of to what came of it.

    Args:
        data: what ``muniment lineage -o json`` prints.
    """

    def quoted(value: str) -> str:
        return f'"{value.translate(_DOT)}"'

    lines = ["digraph lineage {", "  rankdir=LR;"]
    for node in data["nodes"]:
        options = [f"label={quoted(chr(10).join(_said(node)))}", f"shape={_SHAPES.get(node['kind'], _OTHER)[2]}"]
        options += ["penwidth=3"] if node["kind"] == "deployment" and node["status"] in ("live", "canary") else []
        options += ['color="red"', "style=dashed"] if _bad(node) else []
        lines.append(f"  {quoted(node['id'])} [{', '.join(options)}];")
    for edge in data["edges"]:
        ends = f"{quoted(edge['upstream'])} -> {quoted(edge['downstream'])}"
        lines.append(f"  {ends} [label={quoted(edge['relation'])}];")
    return "\n".join([*lines, "}"])
