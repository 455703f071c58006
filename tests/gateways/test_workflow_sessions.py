"""Which conversation an agent goes on with that is a node, when the workflow runs in a session."""

from typing import Any

from treadle import Agent, FunctionModel, Workflow


def counting(instructions: str = "", **more: Any) -> Agent:
    """Answers with the number of questions that it has heard, this one included."""
    model = FunctionModel(lambda messages, _: str(sum(each.role == "user" for each in messages)))
    return Agent(instructions, model=model, **more)


async def in_session(flow: Workflow, given: Any = "x") -> Any:
    return (await flow.run(given, session_id="s", user_id="alice")).output


async def test_an_agent_without_a_name_goes_on_with_the_conversation_of_its_node() -> None:
    flow = Workflow.parallel([counting("You count."), counting("You count.")])
    assert [await in_session(flow) for _ in range(2)] == [["1", "1"], ["2", "2"]]
    assert (await flow.run("x")).output == ["1", "1"]


async def test_two_workflows_of_one_name_do_not_hear_each_others_conversations() -> None:
    translate, judge = Workflow.chain([counting("You translate.")]), Workflow.chain([counting("You judge.")])
    assert [await in_session(flow) for flow in (translate, judge, translate)] == ["1", "1", "2"]


async def test_the_items_of_a_map_begin_without_a_conversation_in_every_depth() -> None:
    for agent in (counting(), counting(name="named")):
        flow = Workflow.chain([Workflow.map(agent)])
        nested = Workflow.chain([Workflow.map(Workflow.chain([Workflow.fan_out([agent])]))])
        assert [await in_session(flow, ["a", "b", "c"]) for _ in range(2)] == [["1", "1", "1"]] * 2
        assert [await in_session(nested, ["a", "b"]) for _ in range(2)] == [[["1"], ["1"]]] * 2


async def test_an_agent_with_a_name_has_one_conversation_whichever_node_asks_it() -> None:
    billing = counting(name="billing")
    assert await in_session(Workflow.chain([billing, billing])) == "2"
    assert sorted(await in_session(Workflow.parallel([billing, billing]))) == ["3", "4"]
