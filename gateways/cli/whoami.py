"""Who sits at the terminal: recorded with what they decide."""

import getpass


def whoami() -> str:
    """`user:<login>`, as the audit names people."""
    try:
        return f"user:{getpass.getuser()}"
    except (OSError, KeyError):  # a container without an entry for this user id
        return "user:unknown"
