"""A picture: nodes and edges, before anybody knows as what they are drawn."""

from typing import Literal, TypeAlias

from msgspec import Struct

Kind: TypeAlias = Literal[
    "agent", "architecture", "hosted", "tool", "model", "run", "more", "missing",
    "start", "end", "function", "workflow", "parallel", "map", "human",
]  # fmt: skip
"""What a node is. `hosted` is an agent known by its name only, `missing` a node that an edge names and nobody added,
`more` stands for nodes that are left out. Those of the second line are as in `Workflow.graph`, and `agent` is too."""


class PictureNode(Struct, frozen=True):
    """A node. `label` may have several lines; `failed` marks it."""

    id: str
    label: str
    kind: Kind
    failed: bool = False


class PictureEdge(Struct, frozen=True):
    """An arrow from one node to another, by their ids. `dashed`: it is not always taken, or leads elsewhere."""

    source: str
    target: str
    label: str = ""
    dashed: bool = False


class Picture(Struct, frozen=True):
    """Nodes and edges. Every edge is between two of the nodes."""

    nodes: tuple[PictureNode, ...] = ()
    edges: tuple[PictureEdge, ...] = ()


class Sketch:
    """A picture while it is made."""

    def __init__(self) -> None:
        self._nodes: list[PictureNode] = []
        self._edges: list[PictureEdge] = []

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, label: str, kind: Kind, *, failed: bool = False) -> str:
        """One more node; its id."""
        node = PictureNode(f"n{len(self._nodes)}", label, kind, failed)
        self._nodes.append(node)
        return node.id

    def connect(self, source: str, target: str, label: str = "", *, dashed: bool = False) -> None:
        """An arrow between two nodes."""
        self._edges.append(PictureEdge(source, target, label, dashed))

    @property
    def picture(self) -> Picture:
        return Picture(tuple(self._nodes), tuple(self._edges))
