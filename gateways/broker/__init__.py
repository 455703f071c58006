"""NATS itself, below the bus and the relay.

server.py     a server of our own, started and stopped with us
streams.py    the streams that Treadle needs, laid from the files in `nats/streams/`
jetstream.py  JetStream by its wire protocol
client.py     nats-py's client, repaired
errors.py     its errors as ours
"""
