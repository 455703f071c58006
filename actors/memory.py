"""The memory partition of one user: working blocks, episodes, facts; and the port that runs use it through."""

from typing import Any

from msgspec import Struct

from ..events.envelope import Meta
from ..events.memory import (
    SNAPSHOT,
    EpisodeRemembered,
    FactAsserted,
    Memory,
    assert_fact,
    evolve,
    remember_episode,
    retract_fact,
    update_block,
)
from ..events.redaction import redact, redacted
from .entity import Fold
from .host import Host
from .partition import PartitionActor
from .services import Recall, Services

FOLD: Fold[Memory] = Fold(Memory, evolve, SNAPSHOT)

RECALLED_FACTS = 5
RECALLED_EPISODES = 3


class UpdateBlock(Struct, frozen=True):
    """Set a working block; empty content removes it. Answers None when it is on disk."""

    name: str
    content: str
    cause: Meta


class Remember(Struct, frozen=True):
    """Keep an episode, once. Answers None when it is on disk."""

    episode: EpisodeRemembered
    cause: Meta


class AssertFact(Struct, frozen=True):
    """Believe a claim. Answers None when it is on disk."""

    fact: FactAsserted
    cause: Meta


class RetractFact(Struct, frozen=True):
    """Stop believing a claim. Answers None when it is on disk."""

    fact_id: str
    reason: str
    cause: Meta


class AskRecall(Struct, frozen=True):
    """Answers with a `Recall`: the blocks, the newest facts, and the newest episodes of other sessions."""

    session_id: str
    prompt: str


class AskMemory(Struct, frozen=True):
    """Answers with the partition's `Memory` state, to be read only."""


MemoryMessage = UpdateBlock | Remember | AssertFact | RetractFact | AskRecall | AskMemory


class MemoryActor(PartitionActor[Memory]):
    """A user's memory. See `PartitionActor` for its phases."""

    def __init__(self, services: Services, stream: str) -> None:
        super().__init__(services, stream, FOLD, stream.removeprefix("memory-"))

    async def on_receive(self, message: MemoryMessage) -> Any:
        match message:
            case UpdateBlock(name, content, cause):
                await self._commit(lambda state: update_block(redact(name), redact(content), state), cause)
            case Remember(episode, cause):
                await self._commit(lambda state: remember_episode(episode, state), cause)
            case AssertFact(fact, cause):
                await self._commit(lambda state: assert_fact(redacted(fact), state), cause)
            case RetractFact(fact_id, reason, cause):
                await self._commit(lambda state: retract_fact(fact_id, reason, state), cause)
            case AskRecall():
                return self._recall(message)
            case AskMemory():
                return self._state

    def _recall(self, asked: AskRecall) -> Recall:
        # Turns of the session itself stand in its history: recalling them here would show them twice.
        others = [episode for episode in self._state.episodes if episode.session_id != asked.session_id]
        facts = self._state.facts[-RECALLED_FACTS:]
        return Recall(
            dict(self._state.blocks),
            tuple(f"{fact.subject} {fact.predicate} {fact.object}" for fact in facts),
            tuple(f"{episode.input} -> {episode.output}" for episode in others[-RECALLED_EPISODES:]),
        )


class MemoryPartitions:
    """`MemoryPort` by asking the users' memory actors."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def recall(self, user_id: str, session_id: str, prompt: str) -> Recall:
        found: Recall = await self._host.memory(user_id).ask(AskRecall(session_id, prompt))
        return found

    async def remember(self, user_id: str, episode: EpisodeRemembered, cause: Meta) -> None:
        await self._host.memory(user_id).ask(Remember(episode, cause))

    async def assert_fact(self, user_id: str, fact: FactAsserted, cause: Meta) -> None:
        await self._host.memory(user_id).ask(AssertFact(fact, cause))

    async def retract_fact(self, user_id: str, fact_id: str, reason: str, cause: Meta) -> None:
        await self._host.memory(user_id).ask(RetractFact(fact_id, reason, cause))

    async def update_block(self, user_id: str, name: str, content: str, cause: Meta) -> None:
        await self._host.memory(user_id).ask(UpdateBlock(name, content, cause))

    async def state(self, user_id: str) -> Memory:
        found: Memory = await self._host.memory(user_id).ask(AskMemory())
        return found
