"""A picture as SVG: boxes in columns, arrows between them. Made here, of text, without a browser or a font.

How wide a text is depends on the font of whoever looks at it; the boxes leave room for wide ones.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from msgspec import Struct

from .labels import lines_of
from .layout import Box, Layout, layout_of
from .picture import Kind, Picture, PictureEdge, PictureNode

FONT = "Lato"
_FONTS = f"{FONT}, Helvetica, Arial, sans-serif"
_LINE = 17.0
_MARGIN = 16.0
_GAP = 14.0
_BETWEEN_COLUMNS = 56.0

_ROUND: dict[Kind, float] = {"tool": 14, "function": 14, "model": 6, "start": 17, "end": 17}
_COLOURS: dict[Kind, tuple[str, str]] = {
    "agent": ("#dbeafe", "#1d4ed8"),
    "run": ("#dbeafe", "#1d4ed8"),
    "hosted": ("#ffffff", "#1d4ed8"),
    "workflow": ("#ede9fe", "#6d28d9"),
    "architecture": ("#fef9c3", "#a16207"),
    "model": ("#f1f5f9", "#475569"),
    "tool": ("#dcfce7", "#15803d"),
    "function": ("#dcfce7", "#15803d"),
    "human": ("#ffedd5", "#c2410c"),
}
_FAILED = "#b91c1c"
_DASHED: tuple[Kind, ...] = ("hosted", "missing", "more")


class Drawing(Struct, frozen=True):
    """A document, and its size."""

    svg: str
    width: float
    height: float


def svg_of(picture: Picture) -> str:
    """The picture as an SVG document of its own."""
    return drawn(picture).svg


def drawn(picture: Picture) -> Drawing:
    """The same, with the size that it has."""
    boxes = {node.id: _box(node) for node in picture.nodes}
    layout = layout_of(picture, boxes, _GAP)
    columns = _columns(picture, layout, boxes)
    places = {
        node.id: _Place(columns[layout.column[node.id]].left, layout.middle[node.id] + _MARGIN, boxes[node.id])
        for node in picture.nodes
    }
    there = {(edge.source, edge.target) for edge in picture.edges}
    routes: list[tuple[PictureEdge, list[_Place]]] = []
    for edge in picture.edges:
        source, target = edge.source, edge.target
        back = layout.column[source] > layout.column[target]
        if back:
            source, target = target, source
        # One that goes back between two nodes with an arrow forward would lie upon that.
        bends = () if back and (source, target) in there else layout.bends.get((source, target), ())
        passed = columns[layout.column[source] + 1 :][: len(bends)]
        through = [_Place(each.left, at + _MARGIN, Box(each.width, 0)) for each, at in zip(passed, bends, strict=True)]
        routes.append((edge, [places[edge.source], *(reversed(through) if back else through), places[edge.target]]))
    parts = [_arrow(edge, along) for edge, along in routes]
    parts += [_node(node, places[node.id]) for node in picture.nodes]
    parts += [_said(edge, along) for edge, along in routes if edge.label]
    width = max((place.right for place in places.values()), default=0.0) + _MARGIN
    height = max((place.bottom for _, along in routes for place in along), default=0.0)
    height = max([height, *(place.bottom for place in places.values())]) + _MARGIN
    if any(_hangs(along) for _, along in routes):
        height += _BACK
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{_FONTS}" font-size="13">'
    )
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return Drawing("\n".join([head, _DEFINITIONS, paper, *parts, "</svg>\n"]), width, height)


_BACK = 44.0
_DEFINITIONS = (
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 10 5 0 10z" fill="#64748b"/></marker></defs>'
)


class _Place(Struct, frozen=True):
    """Where a node is."""

    left: float
    middle: float
    box: Box

    @property
    def right(self) -> float:
        return self.left + self.box.width

    @property
    def centre(self) -> float:
        return self.left + self.box.width / 2

    @property
    def bottom(self) -> float:
        return self.middle + self.box.height / 2


class _Column(Struct, frozen=True):
    left: float
    width: float


def _columns(picture: Picture, layout: Layout, boxes: Mapping[str, Box]) -> list[_Column]:
    """The columns, with room between them for the labels of the arrows."""
    count = max(layout.column.values(), default=-1) + 1
    widths, gaps = [0.0] * count, [_BETWEEN_COLUMNS] * (count + 1)
    for name, column in layout.column.items():
        widths[column] = max(widths[column], boxes[name].width)
    for edge in picture.edges:
        gap = layout.column[edge.target]
        if layout.column[edge.source] < gap:  # its label is at its end; that of one that goes back is below
            gaps[gap] = max(gaps[gap], _width(_label(edge)) + _BETWEEN_COLUMNS)
    columns, left = list[_Column](), _MARGIN
    for number, width in enumerate(widths):
        columns.append(_Column(left, width))
        left += width + gaps[number + 1]
    return columns


# --- nodes -----------------------------------------------------------------------------------------------------------


def _box(node: PictureNode) -> Box:
    lines = lines_of(node.label)
    return Box(max(44.0, max(map(_width, lines)) + 24), len(lines) * _LINE + 16)


def _width(text: str) -> float:
    """How wide a text is at most, about, in a usual font."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    broad = sum(each in "MWmw@%" for each in text)
    return 7.4 * len(text) + 6.6 * wide + 2.1 * broad


def _node(node: PictureNode, place: _Place) -> str:
    fill, stroke = _COLOURS.get(node.kind, ("#f8fafc", "#334155"))
    dash = ' stroke-dasharray="5 3"' if node.kind in _DASHED else ""
    line = f'stroke="{_FAILED}" stroke-width="2.5"' if node.failed else f'stroke="{stroke}"'
    box = (
        f'<rect x="{place.left:.1f}" y="{place.middle - place.box.height / 2:.1f}" width="{place.box.width:.1f}" '
        f'height="{place.box.height:.1f}" rx="{_ROUND.get(node.kind, 3)}" fill="{fill}" {line}{dash}/>'
    )
    lines = lines_of(node.label)
    first = place.middle - (len(lines) - 1) * _LINE / 2 + 4.5
    texts = (
        f'<text x="{place.centre:.1f}" y="{first + number * _LINE:.1f}" text-anchor="middle" fill="#0f172a">'
        f"{escape(line)}</text>"
        for number, line in enumerate(lines)
    )
    return f'<g class="node {node.kind}">{box}{"".join(texts)}</g>'


# --- arrows ----------------------------------------------------------------------------------------------------------


def _label(edge: PictureEdge) -> str:
    return " ".join(lines_of(edge.label)) if edge.label else ""


def _arrow(edge: PictureEdge, along: Sequence[_Place]) -> str:
    dash = ' stroke-dasharray="5 3"' if edge.dashed else ""
    return f'<path class="edge" d="{_way(along)}" fill="none" stroke="#64748b"{dash} marker-end="url(#tip)"/>'


def _way(along: Sequence[_Place]) -> str:
    """From the first place through the others to the last."""
    source, target = along[0], along[-1]
    if _hangs(along):
        below = max(source.bottom, target.bottom) + _BACK
        start, end = source.centre + 8, target.centre - 8
        bend = f"C{start:.1f} {below:.1f} {end:.1f} {below:.1f} {end:.1f} {target.bottom:.1f}"
        return f"M{start:.1f} {source.bottom:.1f} {bend}"
    back = source.left > target.left
    parts: list[str] = []
    for one, other in pairwise(along):
        start, end = (one.left, other.right) if back else (one.right, other.left)
        middle = (start + end) / 2
        parts.append(
            f"{'L' if parts else 'M'}{start:.1f} {one.middle:.1f} C{middle:.1f} {one.middle:.1f} "
            f"{middle:.1f} {other.middle:.1f} {end:.1f} {other.middle:.1f}"
        )
    return " ".join(parts)


def _hangs(along: Sequence[_Place]) -> bool:
    """Whether it goes back and passes no column: it hangs below its nodes, clear of what leads forward."""
    return len(along) == 2 and along[0].left >= along[-1].left


def _said(edge: PictureEdge, along: Sequence[_Place]) -> str:
    source, target = along[0], along[-1]
    if source.left < target.left:
        # Near the end of the arrow: those of several that leave one node are apart there.
        x, y, anchor = target.left - 12, target.middle - 5, "end"
    elif _hangs(along):
        x, y = (source.centre + target.centre) / 2, max(source.bottom, target.bottom) + _BACK * 0.72
        anchor = "middle"
    else:
        x, y, anchor = along[1].centre, along[1].middle - 5, "middle"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="#334155" stroke="#ffffff" '
        f'stroke-width="3" paint-order="stroke">{escape(_label(edge))}</text>'
    )
