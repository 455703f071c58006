"""Which journal, NATS and namespace a command works on: those that are given, else the system's here, else defaults."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from ...events.errors import ConfigError
from ...events.subjects import DEFAULT_NAMESPACE, Subjects
from ..broker.tls import Tls
from . import system_file
from .system_file import SystemFile

DEFAULT_JOURNAL = "sqlite:./treadle.db"
EMBEDDED = "embedded"


class Place:
    """Where a command works.

    Args:
        journal, nats, namespace: As given; empty when not.
        directory: Of the system here.
        note: Told what is worth a remark: that the system here has died, say.
        credentials, tls: Who we are to the NATS server, and whom we trust to be it.
    """

    def __init__(
        self,
        journal: str,
        nats: str,
        directory: Path,
        namespace: str,
        note: Callable[[str], None],
        credentials: Path | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._journal = journal
        self._nats = nats
        self._namespace = namespace
        self.note = note
        self.directory = directory
        self.credentials = credentials
        self.tls = tls

    @cached_property
    def last(self) -> SystemFile | None:
        """The last system here, running or not."""
        return system_file.read(self.directory)

    @cached_property
    def running(self) -> SystemFile | None:
        """The system that runs here; one that has died is none, which is noted."""
        last = self.last
        if last is None or last.stopped_at is not None:
            return None
        if system_file.is_running(self.directory):
            return last
        self.note(f"the system in {self.directory} (process {last.pid}) is dead; going on without it")
        return None

    @property
    def journal(self) -> str:
        if self._journal:
            return self._journal
        return self.last.journal if self.last is not None else DEFAULT_JOURNAL

    @property
    def nats(self) -> str | None:
        """The URL of the NATS server to talk to; None when no system runs here and none was named."""
        if self._nats and self._nats != EMBEDDED:
            return self._nats
        return self.running.nats if self.running is not None else None

    @property
    def nats_url(self) -> str:
        """As `nats`, for commands that cannot do without.

        Raises:
            ConfigError: There is none.
        """
        if self.nats is None:
            raise ConfigError(
                f"no system runs in {str(self.directory)!r}; start one with `treadle up`, "
                "or name a server with --nats URL"
            )
        return self.nats

    @property
    def subjects(self) -> Subjects:
        named = self._namespace or (self.last.namespace if self.last is not None else "")
        return Subjects(named or DEFAULT_NAMESPACE)

    # --- for a system that starts: what others left behind does not count ---

    @property
    def own_journal(self) -> str:
        return self._journal or DEFAULT_JOURNAL

    @property
    def worker_journal(self) -> str | None:
        """Of a worker that only does calls, which needs none."""
        return self._journal or None

    @property
    def own_nats(self) -> str:
        return self._nats or EMBEDDED

    @property
    def own_namespace(self) -> str:
        return self._namespace or DEFAULT_NAMESPACE
