"""Verify one ledger and print the peak memory of this process in MB; run in a process of its own.

python -m benchmarks.memory URL
"""

from __future__ import annotations

import sys
from pathlib import Path

from ledger.recorders import open_recorder
from ledger.verify import verify_log


def peak() -> float:
    """The high-water mark of resident memory; getrusage would tell that of the process that started this one."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell the peak of a process's memory")


if __name__ == "__main__":
    recorder = open_recorder(sys.argv[1])
    if not verify_log(recorder).ok:
        sys.exit("the ledger does not verify")
    print(f"{peak():.3f}")
