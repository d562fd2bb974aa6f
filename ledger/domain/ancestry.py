"""What a version was made from and measured on, as far as the log says, and what of that is in quarantine.

Neighbours are asked for by name, one stream each, so a walk takes as long as the lineage is large, and not the log. A
thing is known by its name and by its bytes: what is in quarantine stays so under another name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ledger.domain.states import DatasetState, Evaluation, ModelState, Quarantine, Read, RunState
from ledger.domain.world import World
from ledger.names import parse_name, stream_of

__all__ = ["Held", "Step", "digests_of", "held_by", "made_from"]

#: The names from one thing to another, and the digest under which that was read; empty when none was said.
Step = tuple[tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class Held:
    """Something in quarantine that a version is, was made from or was measured on.

    Attributes:
        subject: what was put in quarantine: a thing, or all versions of it.
        quarantine: how it is known.
        path: names from the version to the thing, each made from, or measured on, the next; the last one is the subject
            or a version of it, or has the same bytes.
    """

    subject: str
    quarantine: Quarantine
    path: tuple[str, ...]

    @property
    def index(self) -> int:
        """Leaf index of the entry that placed the quarantine."""
        return self.quarantine.signed.index

    @property
    def words(self) -> str:
        """In words, with the way that leads there."""
        name = self.path[-1]
        same = name == self.subject or stream_of(name) == self.subject
        what = name if same else f"{name} has the bytes of {self.subject}, which"
        found = f"{what} is in quarantine since entry {self.index}: {self.quarantine.reason}"
        return found if len(self.path) == 1 else f"{found} (the way there: {' → '.join(self.path)})"


def held_by(world: World, subject: str, digest: str, *, measured: bool = True) -> Iterator[Held]:
    """What is in quarantine of what a version is, was made from or was measured on; each quarantine once.

    Feature sets, runs, parents and models that a run read are passed through. What a data set was made from is not: a
    new version of it is how what was wrong is put right.

    Args:
        world: the world of whoever asks.
        subject: its name, registered or not.
        digest: its digest.
        measured: whether to look at what the evaluations that stand were measured on.
    """
    placed = world.quarantined()
    if not placed:
        return
    held = _bytes_held(world, placed)
    standing = _standing(world, subject) if measured else ()
    starts: list[Step] = [((subject,), digest)]
    starts.extend(((subject, one.data[0]), one.data[1]) for one in standing if one is not None and one.data is not None)
    told = set[str]()
    for path, read in made_from(world, starts):
        thing = world.looked_up(stream_of(path[-1]))
        known = [read, *digests_of(thing, parse_name(path[-1]).version)]
        found = [*_named(thing, path[-1]), *(one for digest in known for one in held.get(digest, ()))]
        for name, quarantine in found:
            if quarantine.id not in told:
                told.add(quarantine.id)
                yield Held(name, quarantine, path)


def made_from(world: World, starts: Iterable[Step], *, derived: bool = True) -> Iterator[Step]:
    """Things, and all that they were made from as far as the log says, nearest first and each once.

    Args:
        world: the world of whoever asks.
        starts: the things, each with the digest under which it is meant, empty when none is.
        derived: whether to go on to what data sets were made from.

    Yields:
        The names from a start to the thing, each made from the next, and the digest under which it was read.
    """
    left, seen = deque(starts), set[Read]()
    while left:
        path, digest = left.popleft()
        yield path, digest
        thing = world.looked_up(stream_of(path[-1]))
        if not derived and path[-1].startswith("dataset:"):
            continue
        for read in _made_from(thing, path[-1]):
            if read not in seen:
                seen.add(read)
                left.append(((*path, read[0]), read[1]))


def _standing(world: World, subject: str) -> tuple[Evaluation | None, ...]:
    model = world.looked_up(stream_of(subject))
    version = model.versions.get(parse_name(subject).version or "") if isinstance(model, ModelState) else None
    return () if version is None else (*version.evaluations, version.passed)


def _bytes_held(world: World, placed: Iterable[str]) -> dict[str, list[tuple[str, Quarantine]]]:
    """Digest of what is in quarantine to the names under which it is."""
    held: dict[str, list[tuple[str, Quarantine]]] = {}
    for stream in placed:
        state = world.looked_up(stream)
        if not isinstance(state, ModelState | DatasetState):
            continue
        for one in state.quarantines:
            for digest in digests_of(state, one.version) if one.version else _all_digests(state):
                held.setdefault(digest, []).append((_subject(stream, one), one))
    return held


def _subject(stream: str, quarantine: Quarantine) -> str:
    return f"{stream}@{quarantine.version}" if quarantine.version else stream


def _named(thing: object, name: str) -> Iterator[tuple[str, Quarantine]]:
    """Quarantines of a thing under its own name."""
    version = parse_name(name).version
    for one in thing.quarantines if isinstance(thing, ModelState | DatasetState) else ():
        if one.version in ("", version):
            yield _subject(stream_of(name), one), one


def digests_of(thing: object, version: str | None) -> tuple[str, ...]:
    """The digest that a thing was registered with, if any."""
    found = None
    if isinstance(thing, DatasetState):
        found = thing.versions.get(version or "")
    elif isinstance(thing, ModelState) and (made := thing.versions.get(version or "")) is not None:
        found = made.digest
    return () if found is None else (found,)


def _all_digests(thing: ModelState | DatasetState) -> tuple[str, ...]:
    if isinstance(thing, ModelState):
        return tuple(version.digest for version in thing.versions.values())
    return tuple(thing.versions.values())


def _made_from(thing: object, name: str) -> tuple[Read, ...]:
    """What a thing was made from."""
    version = parse_name(name).version
    if isinstance(thing, RunState):
        return thing.inputs
    if isinstance(thing, DatasetState):
        return thing.inputs_of(version)
    made = thing.versions.get(version or "") if isinstance(thing, ModelState) else None
    if made is None:
        return ()
    return made.parents if made.run is None else (*made.parents, (made.run, ""))
