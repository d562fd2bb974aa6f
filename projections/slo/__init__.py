"""Promises: what windows of metrics add up to, how fast an error budget burns, and what is decided by rule."""
