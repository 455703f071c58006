"""Pictures of anything, and what is in a drawing of one."""

import re
from typing import get_args
from xml.etree import ElementTree

from hypothesis import strategies as st

from treadle.gateways.pictures.picture import Kind
from treadle.pictures import Picture, PictureEdge, PictureNode

_NODE = re.compile(r'    n\d+[\[({/]+"(?P<label>[^"]*)"[\])}/]+(:::\w+)?')
_EDGE = re.compile(r'    n\d+ (-->|-\.->)(\|"(?P<label>[^"]*)"\|)? n\d+')

LABELS = st.one_of(
    st.text(st.characters(), max_size=80),
    st.lists(
        st.sampled_from(["#", '"', "]", "\n", "%%{init: {}}%%", "end", "-->", "<b>", "`", "; ", "|", "\u202e"])
    ).map("".join),
)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """A picture with any labels and any edges, circles and doubles too."""
    kinds: st.SearchStrategy[Kind] = st.sampled_from(get_args(Kind))
    nodes = tuple(
        PictureNode(f"id {number}", draw(LABELS), draw(kinds), draw(st.booleans()))
        for number in range(draw(st.integers(0, 6)))
    )
    if not nodes:
        return Picture()
    ends = st.sampled_from([node.id for node in nodes])
    edges = st.builds(PictureEdge, source=ends, target=ends, label=LABELS, dashed=st.booleans())
    return Picture(nodes, tuple(draw(st.lists(edges, max_size=8))))


def counted_in_mermaid(text: str) -> tuple[int, int]:
    """Nodes and edges; every line has to be one of what it may be."""
    lines = text.splitlines()
    assert lines[0] == "flowchart LR"
    body = [line for line in lines[1:] if not line.startswith("    classDef ")]
    nodes = [line for line in body if _NODE.fullmatch(line)]
    edges = [line for line in body if _EDGE.fullmatch(line)]
    assert len(nodes) + len(edges) == len(body), text
    return len(nodes), len(edges)


def counted_in_svg(text: str) -> tuple[int, int]:
    """Nodes and edges, by an XML parser."""
    root = ElementTree.fromstring(text)
    groups = root.findall("{http://www.w3.org/2000/svg}g")
    paths = root.findall("{http://www.w3.org/2000/svg}path")
    return len(groups), len(paths)


def named(picture: Picture) -> dict[str, PictureNode]:
    """The nodes by the first lines of their labels."""
    return {node.label.split("\n")[0]: node for node in picture.nodes}


def arrows(picture: Picture) -> set[tuple[str, str, str]]:
    """The edges by the first lines of their ends' labels, with their own."""
    names = {node.id: node.label.split("\n")[0] for node in picture.nodes}
    return {(names[edge.source], names[edge.target], edge.label) for edge in picture.edges}
