"""What agents, workflows and runs look like: `agent.generate_graph("team.svg")`. See docs/pictures.md."""

from .gateways.pictures.agents import picture_of_agent
from .gateways.pictures.mermaid import mermaid_of
from .gateways.pictures.picture import Picture, PictureEdge, PictureNode
from .gateways.pictures.png import png_of
from .gateways.pictures.runs import picture_of_run
from .gateways.pictures.svg import svg_of
from .gateways.pictures.workflows import picture_of_workflow

__all__ = [
    "Picture",
    "PictureEdge",
    "PictureNode",
    "mermaid_of",
    "picture_of_agent",
    "picture_of_run",
    "picture_of_workflow",
    "png_of",
    "svg_of",
]
