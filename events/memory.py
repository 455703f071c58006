"""A memory partition: what is remembered of one user. Stream `memory-<user_id>`.

Working blocks are short texts that stand in every prompt; episodes are finished runs; facts are claims with a
valid time. The partition's own state keeps the blocks, the newest episodes and the facts that hold now: all facts
there ever were, with both their times, are in the `facts` projection.
"""

from bisect import insort
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct, field

from .envelope import StreamName
from .event import Event

CATEGORY = "memory"
KEPT_EPISODES = 200
KEPT_CLAIMS = 2000
KEPT_OF_A_CLAIM = 20


def memory_stream(user_id: str) -> StreamName:
    return StreamName(f"memory-{user_id}")


# --- events ----------------------------------------------------------------------------------------------------------


class BlockUpdated(Event, tag="memory.block_updated"):
    """A working block has this content now; empty removes it."""

    name: str
    content: str


class EpisodeRemembered(Event, tag="memory.episode_remembered"):
    """A run that ended with an answer. Its id is the run's, so a run is remembered once."""

    episode_id: str
    agent: str
    session_id: str
    input: str
    output: str
    tools: tuple[str, ...] = ()


class FactAsserted(Event, tag="memory.fact_asserted"):
    """A claim: `subject` `predicate` `object`, true from `valid_from` until `valid_until` (open when None).

    A claim with the same subject and predicate and another object ends the earlier one where it begins.
    """

    fact_id: str
    subject: str
    predicate: str
    object: str
    valid_from: datetime
    valid_until: datetime | None = None
    confidence: float = 1.0
    sources: tuple[str, ...] = ()


class FactRetracted(Event, tag="memory.fact_retracted"):
    """The claim was a mistake: it is not believed from now on. What was believed before stays on record."""

    fact_id: str
    reason: str = ""


MemoryEvent: TypeAlias = BlockUpdated | EpisodeRemembered | FactAsserted | FactRetracted


# --- state -----------------------------------------------------------------------------------------------------------


class Memory(Struct):
    """The fold of a partition. Owned by one activation; `evolve` changes it in place."""

    blocks: dict[str, str] = field(default_factory=dict[str, str])
    episodes: list[EpisodeRemembered] = field(default_factory=list[EpisodeRemembered])
    episodes_total: int = 0
    claims: dict[str, list[FactAsserted]] = field(default_factory=dict[str, list[FactAsserted]])
    facts_total: int = 0

    @property
    def facts(self) -> list[FactAsserted]:
        """What is believed now: of each claim the fact that begins last, the claim that changed last at the end."""
        return [facts[-1] for facts in self.claims.values()]


SNAPSHOT = "memory/2"


def evolve(state: Memory, event: Event) -> Memory:
    match event:
        case BlockUpdated(name, content):
            if content:
                state.blocks[name] = content
            else:
                state.blocks.pop(name, None)
        case EpisodeRemembered():
            state.episodes_total += 1
            state.episodes.append(event)
            if len(state.episodes) > KEPT_EPISODES:
                state.episodes.pop(0)
        case FactAsserted():
            state.facts_total += 1
            facts = state.claims.pop(_claim(event), [])
            # A fact that is reported late may have begun before the one that is known.
            insort(facts, event, key=lambda fact: fact.valid_from)
            state.claims[_claim(event)] = facts[-KEPT_OF_A_CLAIM:]
            if len(state.claims) > KEPT_CLAIMS:
                del state.claims[next(iter(state.claims))]
        case FactRetracted(fact_id):
            for claim, facts in tuple(state.claims.items()):
                kept = [fact for fact in facts if fact.fact_id != fact_id]
                if kept:
                    state.claims[claim] = kept
                else:
                    del state.claims[claim]
        case _:
            pass
    return state


def _claim(fact: FactAsserted) -> str:
    return f"{fact.subject}\n{fact.predicate}"


# --- decisions -------------------------------------------------------------------------------------------------------


def update_block(name: str, content: str, state: Memory) -> list[BlockUpdated]:
    """A working block's new content; nothing when it has it."""
    return [] if state.blocks.get(name, "") == content else [BlockUpdated(name=name, content=content)]


def remember_episode(episode: EpisodeRemembered, state: Memory) -> list[EpisodeRemembered]:
    """An episode, once."""
    return [] if any(known.episode_id == episode.episode_id for known in state.episodes) else [episode]


def assert_fact(fact: FactAsserted, state: Memory) -> list[FactAsserted]:
    """A claim; nothing when it is believed already, or has been asserted under this id."""
    known = state.claims.get(_claim(fact), [])
    if any(other.fact_id == fact.fact_id for other in known):
        return []
    # Said again, it is no news; unless it says that it was so before, or ends.
    if known and known[-1].object == fact.object and known[-1].valid_from <= fact.valid_from and not fact.valid_until:
        return []
    return [fact]


def retract_fact(fact_id: str, reason: str, state: Memory) -> list[FactRetracted]:
    """A claim withdrawn; nothing when the partition does not know it."""
    if all(fact.fact_id != fact_id for facts in state.claims.values() for fact in facts):
        return []
    return [FactRetracted(fact_id=fact_id, reason=reason)]
