"""Three ways to falsify a ledger, each by somebody with more rights than anybody should have.

All three write to the SQLite file directly, past Muniment, after dropping the triggers that stand in the way. The third
one is the operator: it holds the checkpoint key and makes everything fit again that a key of its own can make fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apsw

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.entry import entry_hash
from ledger.envelope import Envelope, format_envelope, parse_signatures
from ledger.events import Category, known_event_type
from ledger.keys import Signer
from ledger.merkle import CompactRange, root_hash
from ledger.recorders import open_recorder
from ledger.stored import Row, Tile, TreeReader, completed_tiles

__all__ = ["change_payload", "cut_tail", "rewrite_payload"]
