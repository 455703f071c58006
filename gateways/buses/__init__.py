"""Adapters of the bus port (`events/bus.py`).

* `inprocess`: one process, no broker, the same promises in memory
* `nats`: NATS and JetStream
* `interest`: who listens to a subject, by NATS' rules
* `listener`: what waits for one listener, bounded
* `serving`: requests being answered
* `wire`: what fits into one message
* `pull`: a JetStream consumer that survives its broker
"""
