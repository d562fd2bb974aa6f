"""The read side: projections turn the log into state, lineage, timelines and reports."""
