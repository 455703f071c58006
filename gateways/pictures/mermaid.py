"""A picture as Mermaid text: https://mermaid.js.org/syntax/flowchart.html

Nodes have ids of our own, and labels stand in quotes with every character that Mermaid, its Markdown or HTML could
take for more than itself as a number (`#34;`). So whatever somebody calls an agent, it is a label and nothing else.
"""

import re

from .labels import lines_of
from .picture import Kind, Picture

_SHAPES: dict[Kind, tuple[str, str]] = {
    "tool": ("([", "])"),
    "function": ("([", "])"),
    "model": ("(", ")"),
    "hosted": ("[[", "]]"),
    "workflow": ("[[", "]]"),
    "architecture": ("{{", "}}"),
    "start": ("((", "))"),
    "end": ("((", "))"),
    "human": ("[/", "/]"),
}
_STYLES = {
    "failed": "stroke:#b91c1c,stroke-width:3px",
    "aside": "stroke-dasharray:4 3",
}
_ASIDE: tuple[Kind, ...] = ("more", "missing", "hosted")

_PLAIN = re.compile(r"[A-Za-z0-9 ,_]")
_WORDY = re.compile(r"(?<=[A-Za-z0-9])[-./](?=[A-Za-z0-9])|(?<!\$)\$(?=[0-9])")
"""What joins words or figures, and a price, are left as they are, for people who read the text."""


def mermaid_of(picture: Picture) -> str:
    """A flowchart, one line for each node and each edge; ends with a newline."""
    ids = {node.id: f"n{number}" for number, node in enumerate(picture.nodes)}
    lines = ["flowchart LR"]
    used: set[str] = set()
    for node in picture.nodes:
        opening, closing = _SHAPES.get(node.kind, ("[", "]"))
        style = "failed" if node.failed else "aside" if node.kind in _ASIDE else ""
        used.add(style)
        suffix = f":::{style}" if style else ""
        lines.append(f'    {ids[node.id]}{opening}"{escaped(node.label)}"{closing}{suffix}')
    for edge in picture.edges:
        arrow = "-.->" if edge.dashed else "-->"
        label = f'|"{escaped(edge.label)}"|' if edge.label else ""
        lines.append(f"    {ids[edge.source]} {arrow}{label} {ids[edge.target]}")
    lines += [f"    classDef {name} {style}" for name, style in _STYLES.items() if name in used]
    return "\n".join(lines) + "\n"


def escaped(label: str) -> str:
    """A label as it may stand between quotes."""
    return "<br/>".join(_line(line) for line in lines_of(label))


def _line(line: str) -> str:
    joints = {at for found in _WORDY.finditer(line) for at in range(*found.span())}
    return "".join(
        each if ord(each) > 127 or _PLAIN.match(each) or at in joints else f"#{ord(each)};"
        for at, each in enumerate(line)
    )
