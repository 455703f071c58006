"""A clock that is wrong."""

from datetime import datetime, timedelta

from treadle.actors.clock import SystemClock


class WrongClock(SystemClock):
    """The machine's clock, and ids made by it, `offset` ahead."""

    def __init__(self, offset: timedelta) -> None:
        super().__init__()
        self._offset = offset

    def now(self) -> datetime:
        return super().now() + self._offset

    def new_ids(self, count: int) -> list[str]:
        return [self._moved(id) for id in super().new_ids(count)]

    def _moved(self, id: str) -> str:
        milliseconds = int(id[:8] + id[9:13], 16) + self._offset // timedelta(milliseconds=1)
        text = f"{milliseconds:012x}"
        return f"{text[:8]}-{text[8:]}{id[13:]}"
