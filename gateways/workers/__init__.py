"""Tools whose code runs in another process or on another machine.

* `remote_tool`: the tool as an agent has it: `remote(fetch)`, `remote("fetch")`
* `calls`: the caller's side of a call
* `offers`: the worker's side: which calls it has taken, and what became of them
* `taken`: one call at a worker
* `record`: what a worker with a journal keeps of it
* `wire`: what the two sides say to each other, and how long they wait
* `worker`: a process that offers tools and nothing else
"""
