from recording import NOON, after_noon, write

from treadle.events.blackboard import Posted, blackboard_stream
from treadle.gateways.journals.memory import MemoryJournal
from treadle.projections import Blackboards, BoardRow, Entry, Projections, Views


def posted(entry_id: str, author: str = "support", kind: str = "note") -> Posted:
    return Posted(entry_id=entry_id, author=author, content=f"see {entry_id}", kind=kind, data={"load": 0.5})


async def test_entries_are_kept_by_board_in_the_order_they_were_posted(views: Views) -> None:
    journal = MemoryJournal()
    async with Projections(journal, views, [Blackboards()]) as projections:
        await write(journal, blackboard_stream("desk"), posted("e1"), posted("e2", "billing", "alarm"), run_id="r1")
        await write(journal, blackboard_stream("on-call"), posted("e3"), at=after_noon(1))
        await projections.catch_up(20)
        boards = projections.blackboards
        assert await boards.boards() == [BoardRow("desk", 2, NOON), BoardRow("on-call", 1, after_noon(1))]
        assert await boards.entries("desk", limit=1) == [
            Entry("desk", 1, "e1", "support", "note", "see e1", {"load": 0.5}, "r1", NOON)
        ]
        assert [entry.entry_id for entry in await boards.entries("desk", after=1)] == ["e2"]
        assert [entry.entry_id for entry in await boards.entries("desk", kind="alarm", author="billing")] == ["e2"]
        assert await boards.entries("lobby") == []
    await journal.close()
