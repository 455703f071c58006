"""Pictures: what an agent, a workflow or a run looks like, as Mermaid text, SVG and PNG.

picture.py     nodes and edges, whatever they are drawn as       (labels.py: their texts, made fit to be shown)
agents.py      the picture of an agent or a team
workflows.py   of a workflow
runs.py        of a run, with times and costs                   (run_calls.py: what it called)
mermaid.py     a picture as Mermaid text
svg.py         as SVG, without a browser                          (layout.py: what stands where)
png.py         as PNG, with the extra `pictures`
files.py       in a file, by its ending
drawable.py    what agents and workflows have of all this

`treadle.pictures` has the public names.
"""

__all__: list[str] = []
