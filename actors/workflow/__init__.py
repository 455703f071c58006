"""Workflows: graphs that a developer has drawn, walked by a run through recorded steps.

graph.py      nodes and edges as they are drawn, and what may be wrong with them
schedule.py   which node comes next: a pure rule over what has ended
nodes.py      what a node does when it comes up
walk.py       the walk: an architecture over both
names.py      how a visit is called among the steps of its run
told.py       what the journal tells of a walk
silent.py     the model of a run that asks none
errors.py     why a workflow comes to nothing

`gateways/workflow.py` is what users write.
"""
