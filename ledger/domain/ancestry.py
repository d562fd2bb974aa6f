"""What a version was made from and measured on, as far as the log says, and what of that is in quarantine.

Neighbours are asked for by name, one stream each, so a walk takes as long as the lineage is large, and not the log. A
thing is known by its name and by its bytes: what is in quarantine stays so under another name, and what a version was
made from is what every version of that model with the same bytes was made from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ledger.domain.states import DatasetState, Evaluation, ModelState, Quarantine, Read, RunState
from ledger.domain.world import World
from ledger.names import parse_name, stream_of

__all__ = ["Held", "Step", "digests_of", "held_by", "made_from"]


class Step(NamedTuple):
    """A thing on the way up.

    Attributes:
        path: the names from where the walk starts to the thing.
        read: the digest under which it was read; empty when none was said.
        copies: places in the path of what has the bytes of the name before it, and was not what that was made from.
    """

    path: tuple[str, ...]
    read: str
    copies: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Held:
    """Something in quarantine that a version is, was made from or was measured on.

    Attributes:
        subject: what was put in quarantine: a thing, or all versions of it.
        quarantine: how it is known.
        path: names from the version to the thing, each made from, or measured on, the next; the last one is the subject
            or a version of it, or has the same bytes.
        copies: see `Step`.
    """

    subject: str
    quarantine: Quarantine
    path: tuple[str, ...]
    copies: frozenset[int] = frozenset()

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
        return found if len(self.path) == 1 else f"{found} (the way there: {' → '.join(self._way)})"

    @property
    def _way(self) -> Iterator[str]:
        for place, name in enumerate(self.path):
            yield f"{name} (the same bytes)" if place in self.copies else name


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
    starts = [Step((subject,), digest)]
    starts.extend(
        Step((subject, one.data[0]), one.data[1]) for one in standing if one is not None and one.data is not None
    )
    told = set[str]()
    for path, read, copies in made_from(world, starts):
        thing = world.looked_up(stream_of(path[-1]))
        known = [read, *digests_of(thing, parse_name(path[-1]).version)]
        found = [*_named(thing, path[-1]), *(one for digest in known for one in held.get(digest, ()))]
        for name, quarantine in found:
            if quarantine.id not in told:
                told.add(quarantine.id)
                yield Held(name, quarantine, path, copies)


def made_from(world: World, starts: Iterable[Step], *, derived: bool = True) -> Iterator[Step]:
    """Things, and all that they were made from as far as the log says, nearest first and each once.

    Other versions of a thing that have its bytes are steps of their own: what one was made from the other was, too.

    Args:
        world: the world of whoever asks.
        starts: the things, each with the digest under which it is meant, empty when none is.
        derived: whether to go on to what data sets were made from.
    """
    left = deque(starts)
    seen, copied = {(step.path[-1], step.read) for step in left}, set[Read]()
    while left:
        step = left.popleft()
        yield step
        path, name = step.path, step.path[-1]
        if not derived and name.startswith("dataset:"):
            continue
        thing = world.looked_up(stream_of(name))
        for read in _made_from(thing, name):
            if read not in seen:
                seen.add(read)
                left.append(Step((*path, read[0]), read[1], step.copies))
        for digest in dict.fromkeys((step.read, *digests_of(thing, parse_name(name).version))):
            if (stream_of(name), digest) not in copied:  # one of several that have these bytes leads to all
                copied.add((stream_of(name), digest))
                for copy in _names_of(thing, stream_of(name), digest):
                    if copy != name and (copy, digest) not in seen:
                        seen.add((copy, digest))
                        left.append(Step((*path, copy), digest, step.copies | {len(path)}))


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


def _names_of(thing: object, stream: str, digest: str) -> Iterator[str]:
    """Versions of a model or a data set that were registered with a digest.

    That of a feature set is of how it is computed: with the same one other data may be behind another version.
    """
    if isinstance(thing, ModelState):
        yield from (f"{stream}@{version}" for version in thing.named.get(digest, ()))
    elif isinstance(thing, DatasetState) and stream.startswith("dataset:"):
        found = (version for version, known in thing.versions.items() if known == digest)
        yield from (f"{stream}@{version}" if version else stream for version in found)


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
