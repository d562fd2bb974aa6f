"""The form of a policy: YAML with a list of checks, each a CEL expression over the input document.

::

    schema: muniment.checks/v2
    title: What production asks for
    checks:
    - id: evaluation-passed
      title: An evaluation passed and none failed
      tiers: [medium, high]            # optional; all when absent
      when: input.run.name != ""       # optional; the check does not apply where this is false
      otherwise: It names no run.      # optional, with `when`; why it does not apply
      pass: input.evaluations.exists(e, e.verdict == "pass")
      reason: Record an evaluation that passes.
      waivable: true                   # optional; true when absent

A source is read strictly: no unknown field, no name twice, no anchors or merge keys, at most 48 KiB and 256 checks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_json

from ledger.errors import ConfigurationError, InputError
from ledger.events.base import Line, Text, Tier
from ledger.events.policies import MAX_SOURCE
from ledger.policy.engine import compile_expression

__all__ = ["FORMAT", "Check", "Policy", "parse_policy", "source_digest"]

#: Name of the form, as the event `policy.defined` carries it. It names the form of the document too: expressions of
#: ``muniment.checks/v1`` look at one without the members that came since, so that what they decided stays the same.
FORMAT: Final = "muniment.checks/v2"

_Expression = Annotated[str, Field(min_length=1, max_length=4096)]
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Check(BaseModel):
    """One check."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=True)

    id: Line
    title: Line
    tiers: tuple[Tier, ...] = Field(default=(), description="Tiers it is for; all when empty")
    when: _Expression | None = None
    otherwise: Text | None = Field(default=None, description="Why it does not apply where `when` does not hold")
    passes: _Expression = Field(alias="pass")
    reason: Text = Field(description="What to do when it fails")
    waivable: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Check:
        if self.otherwise is not None and self.when is None:
            raise ValueError("otherwise says why the check does not apply: say when it does, with `when`")
        return self


class Policy(BaseModel):
    """A policy as its source says it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    schema_: str = Field(alias="schema", pattern=r"^muniment\.checks/v[12]$")
    title: Line
    checks: tuple[Check, ...] = Field(min_length=1, max_length=256)


def source_digest(source: str) -> str:
    """SHA-256 of a source's UTF-8 bytes, as ``sha256:`` and hex."""
    return "sha256:" + sha256(source.encode()).hexdigest()


def _load(source: str) -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "policies need PyYAML, which is not installed", hint="pip install 'muniment[gates]'"
        ) from error

    class Strict(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent) or getattr(self.peek_event(), "anchor", None) is not None:  # type: ignore[no-untyped-call]
                raise InputError("anchors and aliases are not allowed in a policy")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise InputError("merge keys (<<) are not allowed in a policy")
            names = [key.value for key, _ in node.value]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise InputError(f"{min(twice)!r} stands twice in one place of the policy")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(source, Loader=Strict)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise InputError(f"the policy is no YAML: {error}") from error
    except RecursionError as error:
        raise InputError("the policy is nested too deep") from error
    except (ValueError, KeyError, AttributeError) as error:  # so PyYAML fails at dates, numbers and tags that are none
        raise InputError(f"the policy holds a value that is none: {error}") from error


@lru_cache(maxsize=64)  # a gate over forty models, or over last year, reads the same few again and again
def parse_policy(source: str) -> Policy:
    """Read a policy and compile its expressions.

    Args:
        source: YAML, see above.

    Returns:
        The policy.

    Raises:
        InputError: it is not in that form, or an expression does not compile or names something else than ``input``.
        ConfigurationError: the extra ``gates`` is not installed.
    """
    if len(source) > MAX_SOURCE:
        raise InputError(f"the policy has {len(source):,} characters; at most {MAX_SOURCE:,} are allowed")
    data = _load(source)
    try:
        policy = Policy.model_validate_json(to_json(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "policy"
        raise InputError(
            f"{where}: {first['msg'].lower()}", hint=f"The form is {FORMAT}: muniment policy starter"
        ) from error
    except ValueError as error:  # what YAML can hold and JSON cannot, such as dates as names
        raise InputError(f"the policy holds what JSON cannot: {error}") from error
    names = [check.id for check in policy.checks]
    for check in policy.checks:
        if _ID.fullmatch(check.id) is None or names.count(check.id) > 1:
            raise InputError(f"{check.id!r}: ids are lower-case words joined by dashes, each once")
        for expression in (check.when, check.passes):
            if expression is not None:
                compile_expression(expression)
    return policy
