"""NATS itself, below the bus and the relay.

server.py     a server of our own, started and stopped with us
streams.py    the streams that Treadle needs, laid from the files in `nats/streams/`
replicas.py   how many servers keep each of them
jetstream.py  JetStream by its wire protocol
auth.py       who may do what on a server: accounts of tenants, as its configuration
auth_files.py …and the files that keep them, with the keys
credentials.py, nkey.py   who we are to a server
tls.py        how we know that it is the server
client.py     nats-py's client, repaired
errors.py     its errors as ours
"""
