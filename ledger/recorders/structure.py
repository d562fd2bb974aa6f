"""What a PostgreSQL schema of ours may hold: which triggers there are, and that tables are tables and nothing else."""

from __future__ import annotations

import re

__all__ = ["FOREIGN", "TRIGGERS", "triggers_made"]

_STEP = re.compile(
    r"(CREATE|DROP) TRIGGER (\w+) (?:[A-Z ]+ )?ON \{s\}\.(\w+)(?:\s+FOR EACH \w+ EXECUTE FUNCTION \{s\}\.(\w+))?"
)
#: Table, name and function of each trigger in a schema, and whether it fires; a function elsewhere has no name here.
TRIGGERS = """
SELECT c.relname, t.tgname, CASE WHEN p.pronamespace = c.relnamespace THEN p.proname ELSE '' END,
    t.tgenabled IN ('O', 'A')
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
WHERE n.nspname = ? AND NOT t.tgisinternal ORDER BY 1, 2
"""
#: Tables that are something else, or show each reader and writer something else: views, rules, policies, partitions,
#: columns that are worked out.
FOREIGN = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ? AND c.relkind NOT IN ('i', 'S', 't') AND (c.relkind <> 'r' OR c.relrowsecurity OR c.relispartition
    OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid)
    OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '')
    OR EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid))
ORDER BY 1
"""


def triggers_made(statements: str) -> set[tuple[str, str, str]]:
    """The triggers that statements leave.

    Args:
        statements: those that make a schema ``{s}``, in their order.

    Returns:
        Table, name and function of each.
    """
    found: dict[tuple[str, str], str] = {}
    for verb, name, table, function in _STEP.findall(statements):
        if verb == "CREATE":
            found[table, name] = function
        else:
            del found[table, name]
    return {(table, name, function) for (table, name), function in found.items()}
