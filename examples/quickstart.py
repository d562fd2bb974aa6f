"""The shortest way in: make a ledger, record what a pipeline did, see where each event stands."""

import tempfile

import muniment

folder = tempfile.mkdtemp(prefix="muniment-quickstart-")
muniment.init(folder, origin="muniment.example/quickstart", keys="keys")

with muniment.open(folder) as ledger:  # in your own project: muniment.open(), or just muniment.emit(…)
    digest = muniment.file_digest(__file__)  # any file will do: only its digest enters the ledger
    receipts = [
        ledger.emit("dataset.registered", "dataset:prices@1", digest=digest, row_count=1200),
        ledger.emit("run.started", "run:prices-1", job="train", seed=7, inputs=[{"role": "input", "subject": "dataset:prices@1", "digest": digest}]),
        ledger.emit("run.completed", "run:prices-1", metrics={"mae": 3.25}),
    ]

for receipt in receipts:
    print(f"#{receipt.index}  {receipt.stream}  revision {receipt.revision}  leaf {receipt.leaf_hash.hex()[:16]}…")
print(f"Look around:  cd {folder}  and then  muniment log  or  muniment verify log")
