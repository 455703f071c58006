"""A connection to NATS with nats-py alone, which outlives the server."""

import time

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from .place import Place

TIMEOUT_S = 0.5
"""Seconds that a request to JetStream may take; during an outage there is no answer."""


async def connect(place: Place) -> Client:
    """Connected, and again whenever the server is back."""
    options = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.05, "error_cb": say}
    return await nats.connect(place.nats, **options)  # pyright: ignore[reportUnknownMemberType]


def jetstream(client: Client) -> JetStreamContext:
    return client.jetstream(timeout=TIMEOUT_S)  # pyright: ignore[reportUnknownMemberType]


async def say(error: Exception) -> None:
    """Into the process' log."""
    print(f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {error}", flush=True)
