"""A small C2SP witness: it cosigns heads of logs that only ever grow (C2SP tlog-witness, tlog-cosignature).

It knows nothing of ledgers, events or stores of Muniment, and no part of the ledger knows it: a witness is worth
something only where it is somebody else.
"""
