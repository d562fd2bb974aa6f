"""How fast a log is verified, at each level and with one and more workers; prints one JSON object a figure.

    python benchmarks/verify.py [--size N] [--jobs N] [--keep FILE] [--level LEVEL]...

The log is filled past the judge with events that are really signed and legal, in streams of several kinds. Beside each
rate stands the rate of bare Ed25519 verifications, measured in the same run, and the largest memory of any process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ledger.application import Ledger
from ledger.audit import verify_store
from ledger.creation import create_ledger, enrol_actor
from ledger.domain import make_event
from ledger.emission import build_payload
from ledger.envelope import sign_payload
from ledger.keys import Ed25519Signer
from ledger.mapper import EventMapper
from ledger.recorders import open_recorder
from ledger.recorders.append import Unit

BATCH = 1000
HEADS_EVERY = 5000
DIGEST = "sha256:" + "ab" * 32


def bodies(number: int) -> tuple[str, str, dict[str, Any]]:
    """Type, subject and body of one event of a plausible mixture."""
    match number % 10:
        case 0:
            return "dataset.registered", f"dataset:d{number // 50}@{number}", {"digest": DIGEST, "row_count": number}
        case 1:
            return "evaluation.completed", "model:m@1", {"metrics": {"auc": 0.91, "f1": 0.5}, "verdict": "pass"}
        case 2 | 3 | 4:
            return "monitor.signal", f"monitor:m{number % 100}", {"metric": "psi", "value": 0.125 + number % 7}
        case 5 | 6 | 7:
            inputs = [{"role": "input", "subject": "dataset:d1@1", "digest": DIGEST}]
            body = {"parameters": {"depth": 6, "rate": 0.1}, "seed": number, "metrics": {"auc": 0.9}, "inputs": inputs}
            return "run.completed", f"run:r{number}", body
        case _:
            return "external.observed", f"external:e{number % 1000}", {"system": "ci", "content": {"job": number}}


def fill(url: str, size: int) -> None:
    """Make a ledger of about this many entries."""
    new = create_ledger(url, "ledger.example/benchmark", admin="p-admin")
    signer = Ed25519Signer.generate()
    enrol_actor(new.ledger, "ci", signer, kind="service", roles=["emitter"], responsible="p-admin")
    body = {"digest": DIGEST, "owner": "p-admin", "tier": "low"}
    Ledger(new.ledger.recorder, actor="ci", signers=[signer]).emit("version.registered", "model:m@1", body)
    mapper, ledgerid, recorder = EventMapper(), new.ledger.ledgerid, new.ledger.recorder

    def events(start: int, stop: int) -> Iterator[Any]:
        for number in range(start, stop):
            kind, subject, data = bodies(number)
            emitter = f"00000000-0000-4000-8000-{number // 20:012d}"
            encoded, payload = build_payload(
                ledgerid=ledgerid, actor="ci", type=kind, subject=subject, data=data, emitter=emitter,
                sequence=number % 20 + 1,
            )  # fmt: skip
            envelope = sign_payload(encoded, [signer])
            keys = tuple(signature.keyid for signature in envelope.signatures)
            yield mapper.to_signed(make_event(-1, payload, keys), envelope)

    for first in range(0, size, BATCH):
        recorder.append([Unit(tuple(events(first, min(first + BATCH, size))))])
        if first % HEADS_EVERY == 0:
            new.ledger.checkpoint()
    new.ledger.checkpoint()
    new.ledger.close()


def raw_rate(count: int = 4000) -> float:
    """Bare verifications a second of processor time, of messages as long as a payload."""
    signer = Ed25519Signer.generate()
    message = secrets.token_bytes(800)
    signature, key = signer.sign(message), signer.private_key.public_key()
    started = time.process_time()
    for _ in range(count):
        key.verify(signature, message)
    return count / (time.process_time() - started)


def say(name: str, value: float, unit: str, **more: Any) -> None:
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, **more}), flush=True)


def measure(url: str, level: str, jobs: int) -> None:
    raw = raw_rate()
    recorder = open_recorder(url)
    before = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    found = verify_store(url, recorder, level=level, jobs=jobs)
    took = time.perf_counter() - started
    found.raise_if_bad()
    recorder.close()
    after = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    main, workers = (b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))
    more = {"level": level, "jobs": jobs, "size": found.size}
    say("verify.rate", found.size / took, "events/s", **more)
    say("verify.rate_cpu", found.size / (main + workers), "events/s", **more)
    say("verify.raw", raw, "signatures/s", **more)
    say("verify.main_cpu", main / found.size * 1e6, "us/event", **more)
    say("verify.worker_cpu", workers / found.size * 1e6, "us/event", **more)
    say("verify.peak", after[0].ru_maxrss / 1024, "MB", **more)
    say("verify.worker_peak", after[1].ru_maxrss / 1024, "MB", **more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20_000, help="entries in the log")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="largest number of workers")
    parser.add_argument("--keep", type=Path, help="make the log here, or use the one that is here already")
    parser.add_argument("--one", nargs=3, metavar=("URL", "LEVEL", "JOBS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        url, level, jobs = arguments.one
        measure(url, level, int(jobs))
        return
    with tempfile.TemporaryDirectory(prefix="muniment-benchmark-") as folder:
        path = arguments.keep or Path(folder) / "ledger.db"
        url = f"sqlite:///{path.resolve()}"
        if not path.exists():
            fill(url, arguments.size)
        for level, jobs in (("hash", 1), ("checkpoint", 1), ("full", 1), ("full", arguments.jobs)):
            # A process each: its peak memory is its own.
            subprocess.run([sys.executable, __file__, "--one", url, level, str(jobs)], check=True)


if __name__ == "__main__":
    main()
