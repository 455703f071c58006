"""What numbers architectures are made with."""

from ...events.errors import ConfigError


def check_count(what: str, given: object, *, least: int = 1) -> int:
    """`given`, which is a number of something: rounds, steps, attempts.

    Raises:
        ConfigError: It is less than `least`, or no whole number.
    """
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        raise ConfigError(f"{what}={given!r} must be a whole number from {least} on")
    return given


def check_share(what: str, given: object) -> float:
    """`given`, which is a score, or what scores are compared with.

    Raises:
        ConfigError: It is no number from 0 to 1.
    """
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 <= given <= 1:  # NaN is not either
        raise ConfigError(f"{what}={given!r} must be a number from 0 to 1")
    return given
