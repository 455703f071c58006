"""The contract is worth something: a journal that breaks one promise fails the test of that promise."""

from collections.abc import Callable

import contracts.broken_journals as broken
import pytest
from contracts.journal import JournalContract
from contracts.memory_damage import damage_memory

from treadle.events.errors import TreadleError
from treadle.events.journal import Journal
from treadle.gateways.journals.memory import MemoryJournal

NOTICED_BY: dict[type[MemoryJournal], str] = {
    broken.TakesEverything: "test_an_append_on_an_old_head_conflicts_and_stores_nothing",
    broken.ComparesVersionsOnly: "test_what_builds_on_a_failed_submission_fails_too",
    broken.TakesWhatIsAhead: "test_an_append_ahead_of_its_stream_conflicts_and_leaves_no_hole",
    broken.StoresOneByOne: "test_a_conflict_in_one_stream_leaves_all_streams_of_the_submission_alone",
    broken.SkipsBetweenPages: "test_pages_of_the_log_meet_every_event_once_in_order",
    broken.NeverWakes: "test_waiting_ends_with_the_next_event",
    broken.TrustsItsRows: "test_a_changed_row_is_named_and_the_rest_stays_readable",
    broken.BelievesEverySnapshot: "test_a_snapshot_of_events_that_are_not_there_is_not_used",
    broken.LosesTheHeadOfEmptyAppends: "test_an_append_without_events_only_asks_for_its_head",
    broken.NeverDies: "test_an_owner_lives_while_its_journal_is_open",
    broken.SaysNothingIsThere: "test_a_stream_is_chained_from_its_first_event",
}


class _Contract(JournalContract):
    async def damage(
        self, journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None
    ) -> None:
        damage_memory(journal, stream, version, change)


@pytest.mark.parametrize("journal_type", NOTICED_BY, ids=lambda journal_type: journal_type.__name__)
async def test_a_broken_promise_is_noticed(journal_type: type[MemoryJournal]) -> None:
    test = getattr(_Contract(), NOTICED_BY[journal_type])
    await test(MemoryJournal())
    with pytest.raises((AssertionError, TreadleError, pytest.fail.Exception)):
        await test(journal_type())
