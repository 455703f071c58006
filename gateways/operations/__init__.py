"""Looking after nodes: what they say of themselves, who is there, whether each is well.

node_status.py    what one node says of itself
presence.py       makes a node known on NATS, and answers for it
nodes.py          asks all nodes of a namespace, and the broker what waits there
journal_size.py   how large a journal is, and how fast it grows
health.py         whether a node is alive, and whether it is ready
health_http.py    tells that to probes
sd_notify.py      tells it to systemd
"""

__all__: list[str] = []
