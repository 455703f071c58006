"""Placement: which node takes the signals of which sessions.

Signals are hashed to partitions, each partition has one node that takes them, and every node has its fair share. Each
node decides for itself, on what all of them say of themselves; nothing here is truth. Two nodes that both believe to
have a partition do no harm: the journal's versions let one of them write.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from msgspec import Struct


class NodeRecord(Struct, frozen=True, kw_only=True):
    """What a node says of itself, again and again while it lives.

    Attributes:
        node: Its name, which is also the owner of its runs.
        agents: Whom it hosts.
        partitions: Whose signals it takes, in order.
        leaving: It takes no more, and gives up what it has.
        journal: Names the journal that it writes to; empty while that has no event.
    """

    node: str
    agents: tuple[str, ...] = ()
    partitions: tuple[int, ...] = ()
    leaving: bool = False
    journal: str = ""


class Share(NamedTuple):
    """What a node does next: give up what is above its share, or has another owner; take what is free."""

    give_up: frozenset[int]
    lost: frozenset[int]
    take: frozenset[int]


def partition_of(subject_tokens: Iterable[str], count: int) -> int:
    """The partition that nats-server's `{{partition(count,…)}}` gives to these tokens: FNV-1a, 32 bits."""
    digest = 0x811C9DC5
    for byte in "".join(subject_tokens).encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest % count


def share(me: NodeRecord, others: Collection[NodeRecord], count: int) -> Share:
    """What `me` does about its partitions, in a world of these `others`.

    When every node does so, one after the other, each partition comes to have one owner, and the numbers of two nodes
    differ by one at most. Nodes move no more than that needs.

    Args:
        me: With the partitions that it has now.
        count: How many partitions there are.
    """
    mine = set(me.partitions)
    theirs = {partition for other in others for partition in other.partitions}
    lost = mine & theirs
    mine -= lost
    if me.leaving:
        return Share(frozenset(mine), frozenset(lost), frozenset())
    staying = [record for record in (me, *others) if not record.leaving]
    # Who has most keeps the odd ones: a newcomer must not shift them around.
    ranked = sorted(staying, key=lambda record: (-len(record.partitions), record.node))
    fair, odd = divmod(count, len(staying))
    quota = fair + (ranked.index(me) < odd)
    surplus = sorted(mine)[quota:]
    free = sorted(set(range(count)) - mine - theirs)
    return Share(frozenset(surplus), frozenset(lost), frozenset(free[: max(0, quota - len(mine))]))


def host_of(agent: str, partition: int, records: Collection[NodeRecord]) -> str:
    """The node that runs an agent's sessions of `partition`; empty when none hosts the agent.

    It is the partition's owner, if that hosts the agent; else one of those who do, and everybody names the same one.
    """
    hosting = [record for record in records if agent in record.agents]
    for record in hosting:
        if partition in record.partitions:
            return record.node
    staying = sorted(record.node for record in hosting if not record.leaving)
    return staying[partition % len(staying)] if staying else ""
