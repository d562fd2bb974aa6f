"""Write docs/reference/verdicts.md from the tests' oracle; with --check, fail when it differs."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from writing import write_page  # noqa: E402

from ledger.verdicts import Fault  # noqa: E402
from tests.attacks.oracle import ROWS, Attacker, Outcome, Row, Where  # noqa: E402

TARGET = ROOT / "docs" / "reference" / "verdicts.md"
_HEAD = """# Verdicts

Made by `tools/gen_verdicts_reference.py` from `tests/attacks/oracle.py`: what the tests do to ledgers and files, and
what they demand that is said of it. Every line is tried on every change, on SQLite and PostgreSQL where it is about a
store; the campaign (`make campaign`) judges thousands of random deeds by the same lines.

- **known outside**: at least so much. Who knows more sees no less. *A head over the place* is a remembered head, an
  `--expect` file, a timestamp, or what a witness shows, at or above the damage; what lies above every such head is as
  with *nothing*. [THREATS.md](../THREATS.md) says what that means.
- **verdict**, **fault**: the words of [FORMAT.md, section 22](../FORMAT.md#22-what-a-verification-concludes). At
  least one finding at the place has one of these classes; later places may have findings that follow from it.
- **place**: the first bad index; or the sizes between which it lies. A deed after which the log cannot be gone
  through at all ends with an error instead.
"""


def _faults(row: Row) -> str:
    if len(row.faults) == len(Fault):
        return "any"
    return ", ".join(f"`{fault}`" for fault in Fault if fault in row.faults)


def _line(row: Row) -> str:
    clean = row.outcome in (Outcome.NOTHING, Outcome.UNVERIFIED)
    where = "" if clean or not row.faults else row.where.value
    outcome = f"**{row.outcome}**" if row.outcome is Outcome.NOTHING else str(row.outcome)
    exits = " or ".join(str(code) for code in row.exits)
    where = "" if where == Where.NONE.value else where
    return f"| {row.damage} | {row.known} | {outcome} | {_faults(row)} | {where} | {exits} | {row.remark} |"


def reference() -> str:
    """The page's text."""
    parts = [_HEAD]
    order = list(Attacker)
    rows = sorted(ROWS, key=lambda row: order.index(row.attacker))
    for attacker, group in groupby(rows, key=lambda row: row.attacker):
        lines = [_line(row) for row in group]
        parts.append(
            f"## Who has {attacker}\n\n"
            "| damage | known outside | verdict | fault | place | exit code | |\n"
            "| --- | --- | --- | --- | --- | --- | --- |\n" + "\n".join(lines) + "\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(write_page(TARGET, reference(), "gen_verdicts_reference.py", (__doc__ or "").splitlines()[0]))
