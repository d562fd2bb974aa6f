"""The shortest way in: make a ledger, record what a pipeline did, see where each event stands."""

import tempfile

import muniment

folder = tempfile.mkdtemp(prefix="muniment-quickstart-")
muniment.init(folder, origin="muniment.example/quickstart", keys="keys")

data = {"role": "input", "subject": "dataset:prices@1", "digest": muniment.file_digest(__file__)}
with muniment.open(folder) as ledger:  # in a project with a ledger: muniment.open(), or only muniment.emit(...)
    receipts = [
        ledger.emit("dataset.registered", "dataset:prices@1", digest=data["digest"], row_count=1200),
        ledger.emit("run.started", "run:prices-1", job="train", seed=7, inputs=[data]),
        ledger.emit("run.completed", "run:prices-1", metrics={"mae": 3.25}),
    ]

for receipt in receipts:
    print(f"#{receipt.index} {receipt.stream} revision {receipt.revision}, leaf hash {receipt.leaf_hash.hex()}")
print(f"Now try:  cd {folder} && muniment log && muniment verify log")
