"""The name of a writer, in words a person can act on: which machine, which process."""

import os
import re
import secrets
import socket


def new_owner() -> str:
    """A name no other journal object has: host, process id, something random."""
    host = re.sub(r"[^\w.+-]", "_", socket.gethostname(), flags=re.ASCII) or "localhost"
    return f"{host}:{os.getpid()}:{secrets.token_hex(6)}"
