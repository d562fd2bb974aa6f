"""Write the JSON Schemas in schemas/, and their digests into both verifiers; with --check, fail when a file differs.

A published file is never edited: a change of a body is a new version with a new file. `schemas/PUBLISHED.json`
holds the digest of every published file, and this tool refuses to change one of them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from textwrap import fill
from typing import Any

from writing import write_files

from ledger.entry import MAX_HEADER_STRING
from ledger.events import EventType, all_event_types
from ledger.payload import EVIDENCE_STRENGTHS
from ledger.strictjson import format_json
from ledger.verdicts import EXIT_OF, FAULT_WORDS, GAP_WORDS

ROOT = Path(__file__).resolve().parent.parent / "schemas"
LEDGER = ROOT.parent / "ledger"
#: Where the digests stand in `verify.py`, which shares no code with us.
BEGIN, END = '_PUBLISHED = """\n', '\n"""\n'
MODULE = '''"""Digests of the schemas that bundles hold, by type: half of each SHA-256 (tools/gen_schemas.py)."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from ledger.strictjson import format_json

__all__ = ["BODY_SCHEMAS", "body_schema_digest"]


def body_schema_digest(topic: str, schema: Any) -> str:
    """The digest of a schema as it stands in a bundle."""
    return hashlib.sha256(format_json({"schema": schema, "type": topic})).hexdigest()[:32]


BODY_SCHEMAS: Final = {
'''
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _event(kind: EventType) -> dict[str, Any]:
    body = kind.body.model_json_schema()
    definitions = body.pop("$defs", {})
    uuid = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "$id": f"urn:muniment:schema:{kind.topic}",
        "title": kind.topic,
        "description": (kind.body.__doc__ or "").strip(),
        "type": "object",
        "required": [
            "specversion", "id", "source", "type", "subject", "time", "dataschema", "ledgerid", "nonce", "emitter",
            "sequence", "data",
        ],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": uuid,
            "source": {"type": "string", "pattern": "^urn:muniment:[a-z0-9][a-z0-9._-]{0,63}$"},
            "type": {"const": kind.topic},
            "subject": {"type": "string", "maxLength": 200},
            "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"},
            "datacontenttype": {"const": "application/json"},
            "dataschema": {"const": f"urn:muniment:schema:{kind.topic}"},
            "ledgerid": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "nonce": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "emitter": uuid,
            "sequence": {"type": "string", "pattern": "^[0-9]{19}$"},
            "evidencestrength": {"enum": list(EVIDENCE_STRENGTHS)},
            "onbehalfof": {"type": "string"},
            "correlationid": {"type": "string"},
            "causationid": {"type": "string"},
            "traceparent": {"type": "string"},
            "data": body,
        },
    }  # fmt: skip
    if kind.kinds:
        schema["properties"]["subject"]["pattern"] = f"^({'|'.join(kind.kinds)}):"
    if definitions:
        schema["$defs"] = definitions
    return schema


def _entry() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": MAX_HEADER_STRING}
    number = {"type": "integer", "minimum": 0}
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    properties: dict[str, Any] = dict.fromkeys(("actor", "emitter", "id", "stream", "subject", "type"), text)
    properties |= dict.fromkeys(("index", "item", "revision", "sequence"), number)
    properties |= dict.fromkeys(("envelope", "payload", "prev"), digest)
    properties["keys"] = {"type": "array", "items": digest, "minItems": 1, "maxItems": 16}
    properties["ledgerid"] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    properties["recorded_at"] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
    properties["v"] = {"const": 1}
    return {
        "$schema": DIALECT,
        "$id": "urn:muniment:schema:entry.v1",
        "title": "Entry v1",
        "description": "The preimage of a leaf; see docs/FORMAT.md.",
        "type": "object",
        "required": sorted(properties),
        "additionalProperties": False,
        "properties": dict(sorted(properties.items())),
    }


def _report() -> dict[str, Any]:
    evidence = {
        "type": "object",
        "required": ["index", "leaf_hash", "type", "subject", "id"],
        "properties": {"index": {"type": "integer", "minimum": 0}, "leaf_hash": {"type": "string"}},
    }
    item = {"type": "object", "required": ["subject", "index", "state", "reason"]}
    states = ["satisfied", "not satisfied", "not applicable", "not assessed", "manual"]
    finding = {
        "type": "object",
        "required": ["control", "title", "state", "reason", "population", "evidence", "items"],
        "properties": {
            "control": {"type": "string"},
            "state": {"enum": states},
            "evidence": {"type": "array", "items": evidence},
            "items": {"type": "array", "items": item},
        },
    }
    return {
        "$schema": DIALECT,
        "$id": "urn:muniment:schema:report.control-assessment.v1",
        "title": "Control assessment v1",
        "type": "object",
        "required": [
            "schema", "report", "ledger", "as_of", "environment", "summary", "findings", "emergencies",
            "waivers", "void_entries", "limits",
        ],
        "properties": {
            "schema": {"const": "urn:muniment:schema:report.control-assessment.v1"},
            "findings": {"type": "array", "items": finding},
        },
    }  # fmt: skip


def _several() -> dict[str, Any]:
    return {
        "$schema": DIALECT,
        "$id": "urn:muniment:schema:report.several-ledgers.v1",
        "title": "One report over several ledgers v1",
        "type": "object",
        "required": ["schema", "report", "summary", "unread", "ledgers"],
        "properties": {
            "schema": {"const": "urn:muniment:schema:report.several-ledgers.v1"},
            "unread": {
                "description": "Ledgers that could not be read; their controls are not assessed",
                "type": "array",
                "items": {
                    "type": "object", "required": ["ledger", "reason"],
                    "properties": {"ledger": {"type": "string"}, "reason": {"type": "string"}},
                },
            },
            "ledgers": {
                "type": "array", "minItems": 1,
                "items": {"type": "object", "required": ["schema", "ledger", "as_of", "summary", "findings"]},
            },
        },
    }  # fmt: skip


def _verification() -> dict[str, Any]:
    """What every ``muniment verify … -o json`` has; each has further members of its own."""
    place = {"type": ["integer", "null"], "minimum": 0}
    finding = {
        "type": "object",
        "required": ["fault", "index", "sizes", "message"],
        "properties": {
            "fault": {"enum": list(FAULT_WORDS)},
            "index": place,
            "sizes": {"type": ["array", "null"], "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
            "message": {"type": "string"},
        },
    }
    gap = {
        "type": "object",
        "required": ["kind", "start", "stop", "message"],
        "properties": {
            "kind": {"enum": list(GAP_WORDS)},
            "start": place,
            "stop": place,
            "message": {"type": "string"},
        },
    }
    return {
        "$schema": DIALECT,
        "$id": "urn:muniment:schema:report.verification.v1",
        "title": "Verification v1",
        "description": "Conclusion, faults and gaps of muniment verify log, event, file, checkpoint and so on.",
        "type": "object",
        "required": ["verdict", "findings", "not_verified"],
        "properties": {
            "verdict": {"enum": list(EXIT_OF)},
            "findings": {"type": "array", "items": finding},
            "not_verified": {"type": "array", "items": gap},
        },
    }  # fmt: skip


def _lineage() -> dict[str, Any]:
    """What ``muniment lineage -o json`` prints."""
    text, place = {"type": "string"}, {"type": "integer", "minimum": 0}
    maybe_text, maybe_place = {"type": ["string", "null"]}, {"type": ["integer", "null"], "minimum": 0}
    entry = {"index": place, "actor": text, "digest": maybe_text, "occurred_at": text, "suspect": {"type": "boolean"}}
    period = {"model": text, "digest": text, "how": {"enum": ["live", "canary"]}, "since": text, "until": maybe_text,
              "index": place, "ended": maybe_place, "marks": {"type": "array", "items": text}}  # fmt: skip
    node = {
        "id": text | {"description": "The name; of a deployment with the version it served behind a space"},
        "kind": text, "subject": text, "serves": maybe_text, "status": maybe_text,
        "index": maybe_place | {"description": "Entry that says what it is"}, "title": maybe_text,
        "digests": {"type": "array", "items": text}, "periods": {"type": "array", "items": _closed(period)},
        "marks": {"type": "array", "items": text},
        "up": maybe_place | {"description": "Steps upstream of the nearest root; null where none lead there"},
        "down": maybe_place | {"description": "Steps downstream of the nearest root; null where none lead there"},
    }  # fmt: skip
    more = {"metrics": {"type": ["object", "null"]}, "tier": text, "owner": text}
    edge = {"downstream": text, "relation": text, "upstream": text,
            "entries": {"type": "array", "items": _closed(entry), "minItems": 1}}  # fmt: skip
    return {
        "$schema": DIALECT,
        "$id": "urn:muniment:schema:report.lineage.v1",
        "title": "Lineage v1",
        "description": "What things were made from and what was made from them; edges name the entries that say so.",
        **_closed({
            "schema": {"const": "urn:muniment:schema:report.lineage.v1"},
            "origin": text,
            "at": maybe_text,
            "known_at": _closed({"size": place, "root": text, "recorded_at": text}),
            "subject": text,
            "up": {"type": "boolean"},
            "down": {"type": "boolean"},
            "depth": maybe_place,
            "roots": {"type": "array", "items": text, "minItems": 1},
            "nodes": {"type": "array", "items": _closed(node, more)},
            "edges": {"type": "array", "items": _closed(edge)},
            "cut": _closed({side: {"type": "array", "items": text} for side in ("up", "down")})
            | {"description": "Ids of nodes from which more would have been reached with a larger depth"},
        }),
    }  # fmt: skip


def _failure_modes() -> dict[str, Any]:
    """The form of ``docs/reference/failure_modes.yaml``."""
    text = {"type": "string", "minLength": 1}
    texts = {"type": "array", "items": text, "minItems": 1, "uniqueItems": True}
    mode = {
        "id": {"type": "string", "pattern": "^[a-z]+(-[a-z]+)*$"},
        "title": text,
        "what": text | {"description": "What the query finds"},
        "events": texts | {"items": {"type": "string", "pattern": r"^[a-z]+\.[a-z_]+$"}},
        "query": {"type": "string", "pattern": "^muniment failure-modes find [a-z-]+$"},
        "see": texts | {"items": {"type": "string", "pattern": "^muniment "}},
        "test": {"type": "string", "pattern": r"^tests/[a-z_/]+\.py::test_[a-z_]+\[[a-z-]+\]$"},
    }
    return {
        "$schema": DIALECT,
        "$id": "urn:muniment:schema:failure-modes.v1",
        "title": "Failure modes v1",
        "description": "Ways to fail, each with the events that show it, the query that finds it and its planted test.",
        **_closed({
            "schema": {"const": "urn:muniment:schema:failure-modes.v1"},
            "modes": {"type": "array", "items": _closed(mode), "minItems": 10},
        }),
    }  # fmt: skip


def _told_decision() -> dict[str, Any]:
    """What ``muniment watch`` tells a command or a webhook."""
    text, maybe = {"type": "string"}, {"type": ["string", "null"]}
    place, leaf = {"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    evidence = _closed({"index": place, "leaf_hash": leaf})
    return {
        "$schema": DIALECT,
        "$id": "urn:muniment:schema:decision.v1",
        "title": "Decision v1",
        "description": "A decision by rule, as a platform is told; the same whenever it is told.",
        **_closed({
            "schema": {"const": "urn:muniment:schema:decision.v1"},
            "ledger": _closed({"origin": text, "ledgerid": text}),
            "decision": _closed({"id": text, "index": place, "leaf_hash": leaf, "type": text}),
            "action": {"enum": ["hold", "rollback"]},
            "deployment": text,
            "model": text | {"description": "The version to hold, or to return to"},
            "digest": text,
            "reason": maybe,
            "decided_at": text,
            "due_at": maybe,
            "slo": text,
            "breach": _closed({"id": text, "index": place, "model": maybe}),
            "evidence": {"type": "array", "items": evidence},
        }),
    }  # fmt: skip


def _closed(needed: dict[str, Any], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object with these members and no others."""
    properties = needed | (more or {})
    return {"type": "object", "required": list(needed), "properties": properties, "additionalProperties": False}


def schemas() -> dict[str, bytes]:
    """Every schema by its path inside ``schemas/``."""
    found: dict[str, Any] = {
        "entry/v1.json": _entry(),
        "reports/control-assessment.v1.json": _report(),
        "reports/several-ledgers.v1.json": _several(),
        "reports/decision.v1.json": _told_decision(),
        "reports/failure-modes.v1.json": _failure_modes(),
        "reports/lineage.v1.json": _lineage(),
        "reports/verification.v1.json": _verification(),
    }
    for kind in all_event_types():
        found[f"events/{kind.name}.v{kind.version}.json"] = _event(kind)
    return {path: (json.dumps(schema, indent=2) + "\n").encode() for path, schema in found.items()}


def _digests(files: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}


def body_digests() -> dict[str, str]:
    """What verifiers compare the schemas in a bundle with: by type, half of the SHA-256 of the bundle's line."""
    lines = {kind.topic: {"schema": kind.body.model_json_schema(), "type": kind.topic} for kind in all_event_types()}
    return {topic: hashlib.sha256(format_json(line)).hexdigest()[:32] for topic, line in sorted(lines.items())}


def _verifiers() -> dict[str, bytes]:
    digests = body_digests()
    module = "\n".join(f'    "{topic}": "{digest}",' for topic, digest in digests.items())
    cells = (f"{topic.removeprefix('muniment.')}={digest}" for topic, digest in digests.items())
    script = (LEDGER / "standalone.py").read_text()
    before, mark, rest = script.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise RuntimeError("ledger/standalone.py has no table of schemas any more")
    table = mark + fill(" ".join(cells), 118, break_on_hyphens=False) + end
    return {"bodyschemas.py": (MODULE + module + "\n}\n").encode(), "standalone.py": (before + table + after).encode()}


def main() -> int:
    """Run the tool."""
    files = schemas()
    register = ROOT / "PUBLISHED.json"
    published = json.loads(register.read_text()) if register.exists() else {}
    broken = [path for path, digest in published.items() if _digests(files).get(path) != digest]
    if broken:
        print(f"published schemas would change: {', '.join(broken)}; make a new version of the type instead")
        return 1
    wanted = {**files, "PUBLISHED.json": (json.dumps(_digests(files), indent=2) + "\n").encode()}
    there = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.json"))
    words = (__doc__ or "").splitlines()[0]
    differ = write_files(ROOT, wanted, "gen_schemas.py", words, there=there)
    return max(differ, write_files(LEDGER, _verifiers(), "gen_schemas.py", words))


if __name__ == "__main__":
    sys.exit(main())
