"""How programs that tests start take warnings: as errors, as pytest does here.

One is let through, as `filterwarnings` in `pyproject.toml` lets it through: from Python 3.12 on the micro services of
nats-py warn of their own `datetime.utcnow`.
"""

STRICT = ("-W", "error", "-W", "ignore:datetime.datetime.utcnow:DeprecationWarning:nats.micro.service")
"""Options of an interpreter. `-W` takes a whole module name where pytest takes a pattern."""
