"""Taking in models that were live before the ledger was: the sheet, what it would change, and what is still missing."""
