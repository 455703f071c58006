"""The picture of a workflow: its nodes, each as what it is, and the ways between them. Routes are dashed."""

from ...actors.workflow.graph import END, START, Graph
from .picture import Picture, PictureEdge, PictureNode

_ENDS = {START: "start", END: "end"}


def picture_of_workflow(graph: Graph) -> Picture:
    """What there is to see of a workflow, finished or not: what an edge names and nobody has added is a node too."""
    nodes = {
        node.name: PictureNode(f"n{number}", _ENDS.get(node.name, node.name), node.kind)
        for number, node in enumerate(graph.nodes)
    }
    for edge in graph.edges:
        for name in (edge.source, edge.target):
            if name not in nodes:
                nodes[name] = PictureNode(f"n{len(nodes)}", f"{name}\nno such node", "missing", True)
    edges = (PictureEdge(nodes[edge.source].id, nodes[edge.target].id, edge.label, edge.routed) for edge in graph.edges)
    return Picture(tuple(nodes.values()), tuple(edges))
