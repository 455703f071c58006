"""Two runs side by side: what they share, where they first differ, what each did, and what came of them.

Steps are paired by their names, which are places in the strategy, and the runs that they asked by the calls that asked.
So a fork is compared with the run that it was forked from, and any two runs of one agent with each other.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Literal

from msgspec import Struct

from ..events.journal import Journal
from ..events.message import Usage
from ..events.run_tree import RunTree
from .run_told import Outcome, Told
from .run_trees import tree_of

Mark = Literal["shared", "same", "other", "first", "second"]


class StepPair(Struct, frozen=True):
    """One step of the two runs.

    Attributes:
        name: Its place in the strategy; a call's with its slot.
        mark: `shared` when the second run has it from the first, or both from a third, through any number of forks;
            `same` when both did the same; `other` when not; `first` and `second` when only that one has it.
        first, second: What it came to, in a line.
        children: The runs that were asked there, side by side.
    """

    name: str
    what: str
    mark: Mark
    first: str = ""
    second: str = ""
    children: "RunDiff | None" = None

    @property
    def differs(self) -> bool:
        """Whether the runs differ here, or in what they asked here."""
        within = self.children is not None and self.children.first_difference is not None
        return self.mark in ("other", "first", "second") or within


class RunDiff(Struct, frozen=True):
    """Two runs side by side. Its text is for reading.

    Attributes:
        shared_versions: Up to which version of the first run the second shares its beginning; 0 for none.
        shared_records: How many records the second run has from the first, or both from a third, with those of the
            runs that they asked.
        saved: What the answers cost that the second run has from elsewhere, and did not pay for.
    """

    first: Outcome
    second: Outcome
    shared_versions: int
    shared_records: int
    saved: Usage
    steps: tuple[StepPair, ...]

    @property
    def first_difference(self) -> StepPair | None:
        """The first step that the runs do not have in common; None when they did the same."""
        return next((step for step in self.steps if step.differs), None)

    def __str__(self) -> str:
        from .diff_text import text_of_diff

        return text_of_diff(self)


async def diff(journal: Journal, first: str, second: str) -> RunDiff:
    """Two runs of one journal side by side, with all that they asked.

    Raises:
        NotFound: One of them is not there.
    """
    return _diff(await tree_of(journal, first), first, await tree_of(journal, second), second)


def _diff(one: RunTree, first: str, two: RunTree, second: str) -> RunDiff:
    ours, theirs = Told(one, first), Told(two, second)
    shared = theirs.shared_with(ours)
    steps = tuple(_pair(name, ours, theirs, shared) for name in _merged(list(ours.steps), list(theirs.steps)))
    children = [step.children for step in steps if step.children is not None]
    return RunDiff(
        first=ours.outcome(),
        second=theirs.outcome(),
        shared_versions=theirs.shared_versions(ours),
        shared_records=len(shared) + sum(each.shared_records for each in children),
        saved=sum((each.saved for each in children), theirs.saved),
        steps=steps,
    )


def _pair(name: str, ours: Told, theirs: Told, shared: Set[int]) -> StepPair:
    one, two = ours.steps.get(name), theirs.steps.get(name)
    if one is None or two is None:
        only = one or two
        assert only is not None
        return StepPair(name, only.what, "first" if two is None else "second", one.text if one else "", only.text)
    same = (one.what, one.text) == (two.what, two.text)
    children = None
    if one.run_id in ours.tree.branches and two.run_id in theirs.tree.branches:
        children = _diff(ours.tree, one.run_id, theirs.tree, two.run_id)
    mark: Mark = "other" if not same else "shared" if one.moment == two.moment in shared else "same"
    return StepPair(name, two.what, mark, one.text, two.text, children)


def _merged(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    """All names: in the order of the first run; what only the second has stands behind what was before it there."""
    known, after = set(ours), dict[str, list[str]]()
    last = ""
    for name in theirs:
        if name in known:
            last = name
        else:
            after.setdefault(last, []).append(name)
    yield from after.get("", ())
    for name in ours:
        yield name
        yield from after.get(name, ())
