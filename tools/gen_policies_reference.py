"""Write docs/reference/policies.md from the form of policies and the checklists; with --check, fail when it differs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from writing import write_page  # noqa: E402

from ledger.policy import FIELDS, STARTERS, fine, parse_policy, starter  # noqa: E402
from ledger.policy.checks import Check  # noqa: E402
from ledger.policy.engine import MACROS  # noqa: E402
from ledger.policy.members import FUNCTIONS, METHODS  # noqa: E402

TARGET = ROOT / "docs" / "reference" / "policies.md"
_HEAD = """# Policies

Made by `tools/gen_policies_reference.py`. A policy is a list of checks in YAML, each an expression in
[CEL](https://cel.dev) over one document, `input`: what the log holds of a version, for one environment.
[How to put a gate before deployments](../how-to/gate-deployments.md) uses one.

```yaml
schema: muniment.checks/v2
title: What production asks for
checks:
- id: evaluation-passed                                          # lower-case words joined by dashes
  title: An evaluation passed
  tiers: [medium, high]                                          # optional: for all when absent
  when: input.environment == "prod"                              # optional: where it is false, the check does not apply
  otherwise: It is asked for in prod alone.                      # optional, with `when`: why it does not apply
  pass: input.evaluations.exists(e, e.verdict == "pass")
  reason: Record an evaluation that passes.                      # what to do when it fails
  waivable: true                                                 # optional
```

A source has at most 49,152 characters and 256 checks, no unknown field, no name twice, no anchors or merge keys. An
expression has at most 4,096 characters, looks at `input`, and goes through lists at most two deep. All checks of a
policy have 10 seconds of processor time and 512 MiB of memory together; what takes more, and what follows, is an error.

| result | when | does the gate allow |
| --- | --- | --- |
| `pass` | `pass` is true | yes |
| `not-applicable` | another tier, or `when` is false: `otherwise` says why | yes |
| `waived` | `pass` is false, and a waiver covers the check | yes, and the waiver is named |
| `fail` | `pass` is false | no |
| `error` | an expression failed, gave no truth value, or has a name that stands for nothing; it cannot be waived | no |

A name that stands for nothing is one of a member that the document has not (`input.model.thirdparty`), of a variable
that is neither `input` nor a macro's, or of a function that there is not. `policy define` refuses it, `policy lint`
reports it, and at the gate it denies, whatever stands beside it. Members behind a computed key, `map`, `dyn` or `? :`,
and those of `metrics`, `measurements` and `findings`, are not looked at. There are the functions
@FUNCTIONS@;
to call on a value
@METHODS@.

Other errors do not always come out: CEL passes over one where the rest decides alone. `||` and `exists` are true when
one side or item is, `&&` and `all` are false when one is. In `e.metrics.auc > 0.9 || e.verdict == "pass"` a missing
`auc` is no error where the verdict passes, nor in `exists(e, e.metrics.auc > 0.9)` where another evaluation has it; so
it is with an index past the end, a division by zero, and types that cannot be compared. What comes out would have come
out whatever that part had said, but a part that always fails asks nothing. Say what is to be there:
`has(e.metrics.auc) && double(e.metrics.auc) > 0.9` is false where it is missing.

`[].all(…)` is true in CEL: a check over a list that must not be empty says so, with `size() > 0` or `exists`.

`muniment policy starter pre-production production` prints one policy with the checks of the two checklists below: the
rules name one policy for an environment and tier, and only pre-production asks for data, code and the run. In both, a
check of what was not recorded fails. The exceptions can only stop something, and pass
while nothing is recorded: `nothing-stops-it`, `approved-by-others` and `no-open-incident`; and `canary-ready` at tiers
low and medium. What a third party made is asked for no run, code and data, and a version of tier low for neither a run
nor data: these checks do not apply then, and say why. Latency and cost
are compared with what was last recorded of the version that is live there, if another one is; the baseline that a test
names is its author's word, and can only refuse. A feature set that names no data is data that nobody registered.

## The document

`muniment gate input MODEL@VERSION --env ENV` prints it. Nothing in it is ever absent: what is not known is `""`,
`null`, `false` or an empty list. Times are in UTC as text, ages in seconds. Numbers are as their authors wrote them:
compare them through `double()`. `by` are actors; `independent` says that they are shown to be other persons
than whoever made the version and, above tier low, owns it. Ages count from when something happened, as its author
says, and at the latest from when it was recorded. Third party is what was registered as such and of which no run is
recorded. A finding is open until somebody independent calls it fixed or accepted. Policies with
`schema: muniment.checks/v1` look at a document without `by`, `independent`, `read`, `trained_on`, `dataset_digest`,
`cost_unit`, the drills' `subject` and what begins with `live_`.

| member | what |
| --- | --- |
"""
_EXAMPLE = """## An example

Every check of both checklists passes over this document. `muniment policy lint` runs a policy over it, and over one of
a version of which nothing but its registration is known, at each tier; a check that can be evaluated over none of them
is reported, and `muniment policy define` warns of it. Names of metrics are their authors' own: ask `has(e.metrics.psi)`
before `e.metrics.psi`.

```json
"""


def _row(check: Check) -> str:
    expression, when = (" ".join(text.split()).replace("|", "\\|") for text in (check.passes, check.when or ""))
    asked = f"when `{when}`: `{expression}`" if when else f"`{expression}`"
    tiers = ", ".join(check.tiers) or "all"
    return f"| `{check.id}` | {check.title} | {tiers} | {'yes' if check.waivable else 'no'} | {asked} |"


def _head() -> str:
    """The beginning, with the functions there are; lines of them are not broken."""
    there = {"@FUNCTIONS@": FUNCTIONS, "@METHODS@": METHODS | MACROS}
    text = _HEAD
    for place, names in there.items():
        text = text.replace(place, ", ".join(f"`{name}`" for name in sorted(names)))
    return text


def reference() -> str:
    """The page's text."""
    parts = [_head() + "\n".join(f"| `{name}` | {words} |" for name, words in FIELDS.items()) + "\n"]
    parts.append(_EXAMPLE + json.dumps(fine(), indent=1, ensure_ascii=False) + "\n```\n")
    for name in STARTERS:
        policy = parse_policy(starter(name))
        rows = "\n".join(map(_row, policy.checks))
        parts.append(
            f"## {policy.title}\n\n`muniment policy starter {name}` prints it, to be edited.\n\n"
            f"| check | asks that | tiers | waivable | expression |\n| --- | --- | --- | --- | --- |\n{rows}\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(write_page(TARGET, reference(), "gen_policies_reference.py", (__doc__ or "").splitlines()[0]))
