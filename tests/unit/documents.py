"""Input documents as gates get them; the same that `muniment policy lint` runs checks over."""

from __future__ import annotations

from ledger.policy.examples import DIGEST, bare, evaluation, fine

__all__ = ["DIGEST", "bare", "evaluation", "fine"]
