"""Workers that are known by ids of their own: who does the work of a role, and in which conversation."""

from collections.abc import Iterable, Mapping

from ...events.errors import ConfigError
from ..children import Asked
from .members import check_agent, check_name


class WorkerIds:
    """What `worker_registry=` and `role_to_worker_id=` say. Roles that they do not name are as they would be without.

    A worker with an id goes on with one conversation with each user, over all runs.

    Args:
        registry: Agents by their ids, who take the place of those that the roles are given to.
        by_role: Ids by roles.
        roles: Those that there are.
    Raises:
        ConfigError: A role or an id is none.
    """

    def __init__(
        self, registry: Mapping[str, Asked] | None, by_role: Mapping[str, str] | None, roles: Iterable[str]
    ) -> None:
        self._registry, self._by_role = dict(registry or {}), dict(by_role or {})
        known = list(roles)
        for role, worker_id in self._by_role.items():
            check_name(f"the worker id of the role {role!r}", worker_id)
            if role not in known:
                raise ConfigError(f"role_to_worker_id names the role {role!r}, and there are: {', '.join(known)}")
        for worker_id, agent in self._registry.items():
            check_agent(f"worker_registry[{worker_id!r}]", agent)
            if worker_id not in self._by_role.values():
                raise ConfigError(f"worker_registry has {worker_id!r}, and role_to_worker_id gives it to no role")

    def who(self, role: str, given: Asked) -> Asked:
        """Who does the work of a role that is given to `given`."""
        return self._registry.get(self._by_role.get(role, ""), given)

    def conversation(self, role: str, *, user_id: str, session_id: str, depth: int) -> str:
        """The session that the worker of a role goes on with; empty when it has no id.

        Without a user it belongs to the session that asks: nobody knows that two such sessions are one person's. Deeper
        runs have their own, so that workers that lead to each other in a circle do not wait for themselves.
        """
        worker_id = self._by_role.get(role, "")
        if not worker_id:
            return ""
        whose = worker_id if user_id else f"{session_id}__{worker_id}"
        return f"{whose}__{depth}" if depth else whose
