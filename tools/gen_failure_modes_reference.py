"""Write docs/reference/failure_modes.yaml from the table of failure modes; with --check, fail when it differs."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402
from writing import write_page  # noqa: E402

from projections.failures.modes import MODES  # noqa: E402

TARGET = ROOT / "docs" / "reference" / "failure_modes.yaml"
_HEAD = """\
# Made by tools/gen_failure_modes_reference.py from projections/failures/modes.py.
# Each way to fail, with the types of events that show it, the command line that finds it in a ledger (exit code 1 when
# it does), commands that look closer, and the test in which the fault is planted. The form of this file:
# schemas/reports/failure-modes.v1.json.
"""


def reference() -> str:
    """The text of the file."""
    data = {"schema": "urn:muniment:schema:failure-modes.v1", "modes": [mode.describe() for mode in MODES]}
    return _HEAD + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


if __name__ == "__main__":
    sys.exit(write_page(TARGET, reference(), "gen_failure_modes_reference.py", (__doc__ or "").splitlines()[0]))
