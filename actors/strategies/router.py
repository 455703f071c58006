"""Router: one model call chooses who answers, and that specialist owns the answer.

One classifier call and one run of a specialist, and no synthesis: the cheapest way to have several agents.

Source: the routing workflow in Anthropic, "Building effective agents", 2024; a gate that chooses among experts: Jacobs,
Jordan, Nowlan and Hinton, "Adaptive Mixtures of Local Experts", Neural Computation 3(1), 1991.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

from msgspec import Struct, ValidationError, convert, to_builtins

from ...events.child_step import ChildEnded
from ...events.errors import ConfigError
from ..children import Asked
from ..decider import Choice, Decider, Decision
from ..raised import CodeFailed, ask_code
from ..steps import Steps
from .checks import check_share
from .members import (
    ANSWERS,
    GaveUp,
    answer_of,
    ask,
    check_agent,
    check_name,
    question_of,
)
from .replies import object_in, plain, score_in
from .templates import filled
from .worker_ids import WorkerIds

CLASSIFIER_PROMPT = """\
Do not answer the user yourself. Choose who is to answer the last message, from these routes:

{routes}

Reply with two lines and nothing else:
route: the name of one route
confidence: a number from 0 to 1 that says how sure you are"""

_DECIDER = "decider of Router"

_ROUTE = re.compile(r"^\W*route\W*:[ \t]*(?P<said>\S.*)$", re.IGNORECASE | re.MULTILINE)
_CONFIDENCE = re.compile(r"^\W*confidence\W*:[^\w.-]*(?P<said>[-.]?\d.*)$", re.IGNORECASE | re.MULTILINE)


class RouterRoute(Struct, frozen=True):
    """One way to go.

    Attributes:
        description: What the classifier is told of it.
    """

    name: str
    agent: Asked
    description: str = ""


RouteDecider: TypeAlias = Callable[[str, Sequence[RouterRoute]], str | Awaitable[str]]
"""Names one of the routes for a prompt."""


class Classified(Struct, frozen=True):
    """What the classifier said: a name, which need not be a route's, and how sure it is if it said so."""

    name: str
    confidence: float | None
    words: str


class Router:
    """Choose a specialist and hand the prompt to it.

    Args:
        fallback_route: The route that is taken when the classifier names none, or is not sure enough. Without one the
            run is interrupted then, as `router:no_route`.
        require_confidence_above: How sure the classifier has to be. One that does not say counts as 0 when this is set,
            and as 1 otherwise.
        classifier_prompt: What the agent's model is told beside its instructions, with a place for `{routes}`.
        decider: Chooses in the place of the model, without a call: a `Decider`, or a function of the prompt and the
            routes that returns the name of one. It is asked once; its choice is recorded.
        worker_registry, role_to_worker_id: Specialists that go on with one conversation with each user, over all
            sessions: `role_to_worker_id` gives routes the ids of workers, and `worker_registry` has agents by ids, who
            take the place of the route's own.
        conversation_scope: `per_route`: in a session, each specialist goes on with the conversation that it has had.
            `shared`: each knows what all of them said.

    When the specialist fails, the run fails with its error (`router:specialist_failed`).
    """

    name = "router"
    calls_tools = False

    def __init__(
        self,
        routes: Sequence[RouterRoute],
        fallback_route: str | None = None,
        require_confidence_above: float = 0.0,
        classifier_prompt: str | None = None,
        decider: Decider | RouteDecider | None = None,
        worker_registry: Mapping[str, Asked] | None = None,
        role_to_worker_id: Mapping[str, str] | None = None,
        conversation_scope: Literal["per_route", "shared"] = "per_route",
    ) -> None:
        if not routes:
            raise ConfigError("Router(routes=[]) has nobody to hand a prompt to; give it a RouterRoute")
        for route in routes:
            if not isinstance(route, RouterRoute):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(f"Router(routes=) takes RouterRoute(name, agent, description), not {route!r}")
            check_name("RouterRoute(name=)", route.name)
            check_agent(f"the agent of the route {route.name!r}", route.agent)
        self._routes = {plain(route.name): route for route in routes}
        if len(self._routes) < len(routes):
            raise ConfigError(f"two routes have one name: {', '.join(route.name for route in routes)}")
        if fallback_route is not None and plain(fallback_route) not in self._routes:
            raise ConfigError(f"fallback_route={fallback_route!r} is no route; there are: {self._names}")
        check_share("require_confidence_above", require_confidence_above)
        if conversation_scope not in ("per_route", "shared"):
            raise ConfigError(f"conversation_scope={conversation_scope!r}; use 'per_route' or 'shared'")
        prompt = CLASSIFIER_PROMPT if classifier_prompt is None else classifier_prompt
        self._prompt = prompt if "{routes}" in prompt else f"{prompt}\n\n{{routes}}"
        self._fallback = None if fallback_route is None else self._routes[plain(fallback_route)]
        self._threshold = require_confidence_above
        self._decider = decider
        self._workers = WorkerIds(worker_registry, role_to_worker_id, [route.name for route in routes])
        self._scope = conversation_scope

    def __repr__(self) -> str:
        return f"Router({self._names})"

    @property
    def _names(self) -> str:
        return ", ".join(route.name for route in self._routes.values())

    def declared_workers(self) -> Mapping[str, Asked]:
        return {route.name: self._workers.who(route.name, route.agent) for route in self._routes.values()}

    async def run(self, steps: Steps) -> str:
        choice = await self._choose(steps)
        route, doubt = self._routes.get(plain(choice.name)), self._doubt(choice)
        if doubt:
            route = self._fallback
        await steps.value("router.routed", partial(_routed, choice, route, doubt))
        if route is None:
            raise GaveUp("router:no_route", doubt)
        return answer_of(steps, await self._ask(steps, route), self.name, "specialist", route.name)

    async def _choose(self, steps: Steps) -> Classified:
        if self._decider is not None:
            decided = await steps.value("router.decided", partial(self._decide, self._decider, steps.prompt))
            said = convert(decided, Decision) if isinstance(self._decider, Decider) else Decision(str(decided))
            return Classified(str(said.answer), said.confidence, str(said.answer))
        routes = "\n".join(f"- {route.name}: {route.description}".rstrip(": ") for route in self._routes.values())
        classifier = steps.part(note=filled(self._prompt, routes=routes))
        return choice_in((await classifier.model(classifier.messages(), tools=False)).text)

    async def _decide(self, decider: "Decider | RouteDecider", prompt: str) -> Any:
        if not isinstance(decider, Decider):
            return await ask_code(_DECIDER, decider, prompt, tuple(self._routes.values()))
        options = {route.name: route.description for route in self._routes.values()}
        decided = await ask_code(_DECIDER, decider.decide, Choice("Who is to answer?", prompt, options))
        try:
            return to_builtins(convert(decided, Decision, from_attributes=True))
        except ValidationError as exc:
            raise CodeFailed(f"{_DECIDER} returned {decided!r}; decide() returns a Decision") from exc

    def _doubt(self, choice: Classified) -> str:
        """Why the choice is not to be followed; empty when it is."""
        if plain(choice.name) not in self._routes:
            return f"the classifier said {choice.words[:200]!r}, and the routes are: {self._names}"
        confidence = choice.confidence
        if confidence is None:
            confidence = 0.0 if self._threshold > 0 else 1.0
        if confidence >= self._threshold:
            return ""
        return (
            f"the classifier said {choice.words[:200]!r}, which is a confidence of {confidence:g}, and "
            f"{self._threshold:g} is required; the routes are: {self._names}"
        )

    async def _ask(self, steps: Steps, route: RouterRoute) -> ChildEnded:
        agent = self._workers.who(route.name, route.agent)
        return await ask(steps, agent, question_of(steps), route.name, ANSWERS, session_id=self._session(steps, route))

    def _session(self, steps: Steps, route: RouterRoute) -> str:
        """The conversation that a specialist goes on with; empty for none of its own."""
        session_id = steps.conversation_id
        own = self._workers.conversation(
            route.name, user_id=steps.user_id, session_id=steps.named_after, depth=steps.depth
        )
        if own or self._scope == "shared" or not session_id:
            return own
        return f"{session_id}__route_{route.name}"


def choice_in(reply: str) -> Classified:
    """What a classifier's reply says: two lines, a JSON object, or the name alone."""
    found = object_in(reply)
    if found is not None and isinstance(found.get("route"), str):
        given = found.get("confidence")
        return Classified(found["route"], None if given is None else score_in(f"score: {given}"), reply)
    route, confidence = _ROUTE.search(reply), _CONFIDENCE.search(reply)
    sure = None if confidence is None else score_in(f"score: {confidence['said']}")
    return Classified(reply if route is None else route["said"], sure, reply)


def _routed(choice: Classified, route: RouterRoute | None, doubt: str) -> dict[str, Any]:
    taken = None if route is None else route.name
    return {"route": taken, "confidence": choice.confidence, "said": choice.words, "doubt": doubt}
