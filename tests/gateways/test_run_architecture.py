"""`run_architecture`: one prompt for an architecture, by itself."""

import pytest
from thinking import Parts

from treadle import Agent, ConfigError, Steps, tool
from treadle.architecture import ReAct, ReWOO, SelfRefine
from treadle.gateways.run_architecture import run_architecture


async def test_an_architecture_answers_a_prompt_with_the_instructions_and_tools_it_is_given() -> None:
    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "a cat"

    parts = Parts({"plan which tools": '[{"tool": "look"}]', "tools of your plan": "It is a cat."})
    result = await run_architecture(ReWOO(), "What is it?", instructions="You look.", model=parts, tools=[look])
    assert (result.output, result.turns) == ("It is a cat.", 2)
    assert "You look." in parts.shown("plan which tools")
    assert "E1 (look): a cat" in parts.shown("tools of your plan")


async def test_names_and_code_are_architectures_too_and_answers_may_be_typed() -> None:
    async def twice(steps: Steps) -> str:
        await ReAct().run(steps.part())
        return await ReAct().run(steps.part())

    assert (await run_architecture(twice, "Go.", model="echo")).turns == 2
    parts = Parts({"reviewer": "no issues", "": "[1]"})
    assert (await run_architecture("self-refine", "Go.", model=parts, output_schema=list[int])).parsed == [1]


@pytest.mark.parametrize("name", ["react", "self-refine", "reflexion", "tree-of-thoughts", "plan-and-execute", "rewoo"])
async def test_every_architecture_of_one_agent_has_a_name(name: str) -> None:
    agent = Agent(model=Parts({"": '["score: 1"]'}), architecture=name)
    assert agent.spec.architecture.name == name
    assert (await agent.run("Go.")).output == '["score: 1"]'


def test_a_class_is_not_yet_an_architecture() -> None:
    with pytest.raises(ConfigError, match=r"make one of it: SelfRefine\("):
        Agent(model="echo", architecture=SelfRefine)  # type: ignore[arg-type]
