"""When a timer fires, as people say it: what the server would misread is refused by name."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from treadle.events.errors import ConfigError
from treadle.gateways import schedules
from treadle.gateways.schedules import Schedule

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("how", "pattern"),
    [
        ("0 9 * * *", "0 0 9 * * *"),
        ("*/5 * * * * *", "*/5 * * * * *"),
        ("0 9 1,15 jan-mar Mon-Fri", "0 0 9 1,15 jan-mar Mon-Fri"),
        (" 30  4 * * ? ", "0 30 4 * * ?"),
        ("@daily", "@daily"),
        (60, "@every 60s"),
        (1.0, "@every 1s"),
        (timedelta(hours=2), "@every 7200s"),
    ],
)
def test_a_repeated_schedule_is_written_as_the_server_reads_it(how: Any, pattern: str) -> None:
    assert schedules.every(how) == Schedule(pattern)
    assert schedules.every(how).repeats
    assert schedules.every(how).at is None


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("0 9 * *", "'0 9 * *' has 4 fields"),
        ("", "'' has 0 fields"),
        ("@fortnightly", "'@fortnightly' has 1 fields"),
        ("@every 5m", "'@every 5m' has 2 fields"),
        (", 9 * * *", "wrong at ','"),
        ("0 9 * * mon-fri-sun", "wrong at 'mon-fri-sun'"),
        ("0 9-- * * *", "wrong at '9--'"),
        ("0 9 * * *\r\nX: y", "7 fields"),
        (0.5, "0.5 s is not possible"),
        (1.5, "1.5 s is not possible"),
        (0, "0 s is not possible"),
        (-3, "-3 s is not possible"),
        (float("nan"), "not nan"),
        (True, "not True"),
        (None, "not None"),
        (1e12, "too long"),
    ],
)
def test_a_repeated_schedule_that_cannot_be_is_refused_by_what_is_wrong_with_it(how: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        schedules.every(how)
    assert said in str(refused.value)


@pytest.mark.parametrize("zone", ["Local", "../etc/passwd", "Europe/", "a b", "Europe/Berlin\n"])
def test_what_is_no_name_of_a_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        schedules.every("0 9 * * *", zone)


def test_an_interval_has_no_zone() -> None:
    with pytest.raises(ConfigError, match="'Europe/Berlin'"):
        schedules.every(60, "Europe/Berlin")


def test_a_time_is_told_in_utc() -> None:
    when = datetime(2026, 1, 1, 15, 0, 0, 500_000, timezone(timedelta(hours=2)))
    schedule = schedules.at(when, NOW)
    assert schedule == Schedule("@at 2026-01-01T13:00:00.500000Z")
    assert (schedule.at, schedule.repeats) == (when, False)
    assert schedules.after(3600.5, NOW) == Schedule("@at 2026-01-01T13:00:00.500000Z")
    assert schedules.after(timedelta(0), NOW).at == NOW


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (NOW - timedelta(seconds=1), "2026-01-01T11:59:59+00:00 is past: it is 2026-01-01T12:00:00"),
        (datetime(2026, 1, 2), "2026-01-02T00:00:00 has no zone"),
        (datetime(2262, 4, 12, tzinfo=UTC), "2262-04-12T00:00:00+00:00 is too far away"),
        ("2026-01-02", "not str"),
    ],
)
def test_a_time_that_cannot_be_is_refused_by_name(when: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        schedules.at(when, NOW)
    assert said in str(refused.value)


@pytest.mark.parametrize("delay", [-0.1, timedelta(days=-1), float("inf"), 1e300, timedelta.max, "5", True, None])
def test_a_delay_that_cannot_be_is_refused(delay: Any) -> None:
    with pytest.raises(ConfigError, match="delay"):
        schedules.after(delay, NOW)
