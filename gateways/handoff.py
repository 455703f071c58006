"""`Handoff`: a peer of a swarm, and what whoever hands over to it has to say."""

from typing import Any

from ..actors.children import Asked
from ..actors.strategies.handoff import InputFilter, Peer
from .outputs import resolve_output


class Handoff(Peer):
    """How control passes to an agent of a swarm.

        Handoff(billing, input_type=Invoice)                    # transfer_to_billing(number=…, cents=…)
        Handoff(billing, input_filter=lambda history: history[-2:])

    Args:
        agent: Who it passes to.
        input_type: What the agent is handed, as `output_schema=` takes it: the model fills it in. Without it: a
            message, by the tool `handoff`.
        input_filter: What of the conversation the agent is shown: a list of `Message`, of the list before it. It must
            say the same each time, as a resumed run asks again. When it raises, the run fails, and its error names it.
    Raises:
        ConfigError: `input_type` is no type that can be described to a model.
    """

    def __init__(self, agent: Asked, *, input_type: Any = None, input_filter: InputFilter | None = None) -> None:
        wanted = None if input_type is None else resolve_output(input_type)
        super().__init__(agent, input=wanted, input_filter=input_filter)
