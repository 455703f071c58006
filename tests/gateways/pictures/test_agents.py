"""What there is to see of agents, teams and workflows."""

from collections.abc import Mapping

from drawings import arrows, counted_in_mermaid, named

from treadle import END, START, Agent, Steps, Team, Workflow, remote, tool
from treadle.architecture import ReAct, Reflexion, SelfRefine, Supervisor


@tool
async def look(place: str) -> str:
    """Look."""
    return place


def agent(name: str, **how: object) -> Agent:
    return Agent("Work.", model="echo", name=name, **how)  # type: ignore[arg-type]


def test_an_agent_has_its_model_and_its_tools_and_those_that_workers_will_tell_of() -> None:
    picture = agent("desk", tools=[look, remote("fetch")]).picture()
    assert arrows(picture) == {("desk", "look", ""), ("desk", "fetch", "")}
    assert named(picture)["desk"].label == "desk\necho"
    assert [edge.dashed for edge in picture.edges] == [False, True]


def test_a_plain_loop_is_no_architecture() -> None:
    assert [node.kind for node in agent("desk", architecture=ReAct()).picture().nodes] == ["agent"]


def test_a_team_has_its_workers_by_their_roles_and_theirs_and_the_hosted_ones_by_name() -> None:
    writer = agent("writer", tools=[look])
    team = Team.supervisor({"write": writer, "probe": "prober"}, model="echo", name="lead", tools=[look])
    picture = team.picture()
    assert arrows(picture) == {
        ("lead", "look", ""),
        ("lead", "supervisor", ""),
        ("supervisor", "writer", "write"),
        ("writer", "look", ""),
        ("supervisor", "prober", "probe"),
    }
    assert {name: node.kind for name, node in named(picture).items()} == {
        "lead": "agent", "look": "tool", "supervisor": "architecture", "writer": "agent", "prober": "hosted",
    }  # fmt: skip


def test_bases_are_drawn_below_one_another_and_workers_where_they_belong() -> None:
    asked = {"b": agent("b"), "c": agent("c")}

    class Own:
        name = "own"

        async def run(self, steps: Steps) -> str:
            return steps.prompt

        def declared_workers(self) -> Mapping[str, Agent]:
            return asked

    inner = Supervisor({"a": agent("a")}, base=Own())
    assert arrows(agent("top", architecture=Reflexion(base=SelfRefine(base=inner))).picture()) == {
        ("top", "reflexion", ""),
        ("reflexion", "self-refine", "base"),
        ("self-refine", "supervisor", "base"),
        ("supervisor", "a", "a"),
        ("supervisor", "own", "base"),
        ("own", "b", "b"),
        ("own", "c", "c"),
    }


def test_a_circle_of_agents_comes_to_an_end() -> None:
    first = Supervisor({"x": agent("x")})
    one = agent("one", architecture=first)
    two = agent("two", architecture=Supervisor({"one": one}))
    first.add_worker("two", two)
    picture = one.picture()
    assert len(picture.nodes) == 5
    assert ("supervisor", "one", "one") in arrows(picture)


def test_two_agents_of_one_name_are_two_nodes() -> None:
    picture = agent("top", architecture=Supervisor({"a": agent("same"), "b": agent("same")})).picture()
    assert len(picture.nodes) == 4


def test_an_agent_without_a_name_goes_by_its_role() -> None:
    team = Team.supervisor({"critic": Agent("Judge.", model="echo")}, model="echo", name="lead")
    assert "critic" in named(team.picture())


def test_a_workflow_that_is_a_worker_is_one_node() -> None:
    flow = Workflow.chain([lambda text: text], name="flow")
    assert named(agent("top", architecture=Supervisor({"f": flow})).picture())["flow"].kind == "workflow"


# --- workflows -------------------------------------------------------------------------------------------------------


def test_a_workflow_has_its_nodes_as_what_they_are_and_its_routes_with_their_keys() -> None:
    flow = Workflow("essay")
    flow.add_node("draft", lambda text: text).add_node("check", agent("checker"))
    flow.add_node("ask", Workflow.human("Send it?")).add_node("inner", Workflow.chain([lambda text: text]))
    flow.add_edge(START, "draft").add_edge("draft", "check").add_edge("ask", "inner")
    flow.add_router("check", lambda text: "no", {"no": "draft"}, default="ask").add_edge("inner", END)
    picture = flow.picture()
    assert arrows(picture) == {
        ("start", "draft", ""), ("draft", "check", ""), ("check", "draft", "no"), ("check", "ask", "default"),
        ("ask", "inner", ""), ("inner", "end", ""),
    }  # fmt: skip
    kinds = {name: str(node.kind) for name, node in named(picture).items()}
    assert kinds == {
        "start": "start", "draft": "function", "check": "agent", "ask": "human", "inner": "workflow", "end": "end",
    }  # fmt: skip
    assert {edge.label for edge in picture.edges if edge.dashed} == {"no", "default"}
    assert flow.to_mermaid() == flow.generate_graph()


def test_a_node_that_nobody_added_is_drawn_as_missing() -> None:
    picture = Workflow("draft").add_edge(START, "later").picture()
    assert named(picture)["later"].kind == "missing"
    assert counted_in_mermaid(Workflow("draft").add_edge(START, "later").to_mermaid()) == (2, 1)


# --- notebooks -------------------------------------------------------------------------------------------------------


def test_a_notebook_shows_an_agent_and_a_workflow() -> None:
    for thing in (agent("desk", tools=[look]), Workflow.chain([look], name="one"), Workflow("empty")):
        shown = thing._repr_mimebundle_()  # pyright: ignore[reportPrivateUsage]
        assert shown["text/markdown"].startswith("```mermaid\nflowchart")
        assert shown["image/svg+xml"].startswith("<svg ")
        assert shown["text/plain"] == repr(thing)


def test_a_notebook_is_told_no_error() -> None:
    flow = Workflow.chain([lambda text: text], name="flow")
    team = agent("lead", architecture=Supervisor({"flow": flow}))
    flow.add_edge("step", "nowhere")
    assert team._repr_mimebundle_() == {"text/plain": repr(team)}  # pyright: ignore[reportPrivateUsage]
