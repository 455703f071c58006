# pyright: reportUnknownMemberType=false, reportMissingTypeArgument=false
# nats-py leaves some types open.
"""A signal in, events out, over a NATS server of our own: `python examples/03-nats/main.py`.

The other half could be a program in any language: it uses a NATS client and JSON, and nothing of Treadle.
"""

import asyncio
import json
import tempfile

import nats

from treadle import Agent, System


async def some_program(url: str) -> None:
    """Publish a signal, and follow what comes of it until the run is completed."""
    client = await nats.connect(url)
    events = await client.subscribe("treadle.event.alice.run.>")
    await client.flush()
    signal = {"summary": "My card was charged twice"}
    await client.jetstream().publish("treadle.signal.alice.support.conv-42", json.dumps(signal).encode())
    async for message in events.messages:
        event = json.loads(message.data)
        print(f"  {event['version']} {event['type']}")
        if event["type"] == "run.completed":
            print(event["data"]["output"])
            break
    await client.close()


async def main() -> None:
    agent = Agent("You answer customers.", model="echo")
    with tempfile.TemporaryDirectory() as directory:
        async with System(journal=f"sqlite:{directory}/events.db", nats="embedded", directory=directory) as system:
            system.host(agent, name="support")
            await system.start_hosting()
            assert system.server is not None
            await asyncio.wait_for(some_program(system.server.url), 20)


asyncio.run(main())
