"""Write docs/reference/events.md from the catalogue; with --check, fail when it differs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from writing import write_page

from ledger.events import Category, EventType, all_event_types
from ledger.events.othernames import OTHER_NAMES

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "events.md"
_TREATMENT = {
    Category.AUTHORITY: "changes who may do what; refused unless the right keys sign",
    Category.DECISION: "a decision; refused when the rules in force say so; unknown fields are refused",
    Category.FACT: "a fact; never refused for policy, marked instead; unknown fields are kept",
    Category.PROTECTION: "protection; never blocked",
}


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(kind for kind in (_kind(option) for option in field["anyOf"]) if kind != "null")
    if "enum" in field or "const" in field:
        return " / ".join(str(value) for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"map to {_kind(field['additionalProperties'])}"
    return str(field.get("type", "any"))


def _fields(schema: dict[str, Any]) -> list[str]:
    """A table of the fields of a body, or of a type inside one."""
    required = set(schema.get("required", ()))
    return [
        "| field | required | type | |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{name}` | {'yes' if name in required else ''} | {_kind(field)} | {field.get('description', '')} |"
            for name, field in schema["properties"].items()
            if name != "refs"
        ),
        "",
    ]


def _inside() -> list[str]:
    """The types that fields of bodies have, by name."""
    found: dict[str, dict[str, Any]] = {}
    for kind in all_event_types():
        for name, schema in kind.body.model_json_schema().get("$defs", {}).items():
            if found.setdefault(name, schema) != schema:
                raise ValueError(f"two types are called {name}: give one of them another name")
    return [
        line
        for name, schema in sorted(found.items())
        for line in (f"### {name}", "", schema.get("description", ""), "", *_fields(schema))
    ]


def _section(kind: EventType) -> str:
    schema = kind.body.model_json_schema()
    versioned = {True: "with a version", False: "without a version", None: "with or without a version"}[kind.versioned]
    sealed = ", ".join(f"`{name}`" for name in kind.personal)
    anybody = "an admin or the root keys" if kind.category is Category.AUTHORITY else "any enrolled actor"
    subject = " or ".join(f"`{name}:…`" for name in kind.kinds) or "anything"
    return "\n".join(
        [
            f"## {kind.name}",
            "",
            (kind.body.__doc__ or "").strip(),
            "",
            f"- type `{kind.topic}`; subject {subject}, {versioned}",
            f"- {_TREATMENT[kind.category]}",
            f"- roles: {', '.join(kind.roles) or anybody}",
            f"- erasable: {kind.erasable.value}{f'; may be sealed: {sealed}' if sealed else ''}",
            "",
            *_fields(schema),
        ]
    )


def reference() -> str:
    """The page's text."""
    head = [
        "# Events",
        "",
        "Made by `tools/gen_events_reference.py` from the catalogue in `ledger/events/`. Every body may also have",
        "`refs`, a list of [Ref](#ref). JSON Schemas: `schemas/events/`.",
        "",
    ]
    inside = ["## Types inside bodies", "", "The fields of what fields are made of.", "", *_inside()]
    names = [f"| `{name}` | {said} |" for name, said in sorted(OTHER_NAMES.items())]
    others = ["## Other names", "", "What other vocabularies call an event, and how it is said here.", "",
              "| name | here |", "| --- | --- |", *names, ""]  # fmt: skip
    return "\n".join([*head, *(_section(kind) for kind in all_event_types()), *inside, *others])


if __name__ == "__main__":
    sys.exit(write_page(TARGET, reference(), "gen_events_reference.py", (__doc__ or "").splitlines()[0]))
