"""Ways in which models fail in production, and the query that finds each in a log."""
