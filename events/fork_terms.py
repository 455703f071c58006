"""What a run of a fork knows of it: whose beginning it has, on which terms it goes on. A part of `run.started`."""

from msgspec import Struct


class ForkTerms(Struct, frozen=True, omit_defaults=True):
    """On which terms a run of a forked tree goes on. Those that it asks later inherit what holds for the whole tree.

    Attributes:
        tree: The fork: the id of the run on top of the forked tree.
        models: Who answers for the agents of these roles, in the whole tree; names as `model=` takes them.
        deeper: How much deeper in its tree the forked run was than the fork is.
        position: The place in the journal behind which everything is the forked tree's own.
        run, session: The run that had this beginning first, and its session: conversations are named after them.
        began, ended: Where in the journal that run began, and where it ended if its end is shared too.
        posted: Where the entries of its board were posted, of those that are shared, by whoever posted them first.
        instructions: What the model is told in the place of the run's instructions, from the cut on; None: the same.
        tools: The run has other tools than its agent.
    """

    tree: str
    models: dict[str, str] = {}
    deeper: int = 0
    position: int = 0
    run: str = ""
    session: str = ""
    began: int = 0
    ended: int = 0
    posted: tuple[int, ...] = ()
    instructions: str | None = None
    tools: bool = False

    @property
    def inherited(self) -> "ForkTerms":
        """The terms of a run that is asked after the cut, in a forked tree."""
        return ForkTerms(tree=self.tree, models=self.models, deeper=self.deeper, position=self.position)

    def conversation(self, session_id: str) -> str:
        """The forked tree's own conversation for one of the tree that it was forked from."""
        return f"{session_id}~{self.tree}" if session_id else ""
