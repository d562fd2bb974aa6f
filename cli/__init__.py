"""The command line: thin shells over `ledger` and `projections`, one module per command group."""
