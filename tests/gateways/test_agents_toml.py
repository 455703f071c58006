"""Agents declared in a file: what they become, and that every mistake is named with its place."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from treadle import Agent, ConfigError, Limits
from treadle.gateways.agents_toml import load, read_agents

MODULE = """
from treadle import FunctionModel, ScriptedModel, tool

@tool(read_only=True)
async def load_average() -> float:
    return 0.5

def plain(host: str) -> str:
    return host

several = [load_average, plain]
rules = FunctionModel(lambda messages, tools: '{"by": "rule"}')

class Rules(FunctionModel):
    def __init__(self):
        super().__init__(lambda messages, tools: "by class")

class Shelf:
    tool = load_average

Finding = dict[str, str]

def asks_again(context):
    return "Say more." if context.iteration == 0 else None
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the module `desktools`, which is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "desktools.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("raise OSError('no such device')")
    (tmp_path / "unfinished.py").write_text("def (")
    yield tmp_path
    sys.modules.pop("desktools", None)


def written(directory: Path, text: str) -> Path:
    path = directory / "agents.toml"
    path.write_text(dedent(text))
    return path


async def test_a_file_declares_agents_with_all_they_need(directory: Path) -> None:
    agents = read_agents(
        written(
            directory,
            """
            [agents.desk]
            instructions = "You keep watch."
            model = "desktools:rules"
            tools = ["desktools:several"]
            delegates = ["prober"]
            blackboards = ["ops"]
            memory = true
            max_turns = 3
            timeout_s = 60
            model_timeout_s = 1.5
            approvals = "wait"
            output_schema = "desktools:Finding"
            output_validation_retries = 2
            response_tone = "legal"
            budget = { max_tokens = 100_000, max_cost_usd = 1 }
            budget_per_user = { max_wall_clock_s = 60.0 }
            options = { temperature = 0.1 }

            [agents.prober]
            model = "desktools:Rules"
            name = "probe"
            """,
        )
    )
    desk = agents["desk"]
    assert (desk.name, agents["prober"].name) == ("desk", "probe")
    assert desk.tools_list() == [
        "load_average",
        "plain",
        "delegate_to_prober",
        "post_to_ops",
        "read_ops",
        "remember_fact",
    ]
    spec = desk.spec
    assert (spec.instructions, spec.max_turns, spec.timeout_s, spec.model_timeout_s) == ("You keep watch.", 3, 60, 1.5)
    assert (spec.approvals, spec.memory, spec.options) == ("wait", True, {"temperature": 0.1})
    assert (spec.manner.retries, spec.manner.tone) == (2, "legal")
    assert spec.manner.output is not None
    assert spec.manner.output.name == "dict_str_str"
    assert spec.budget == Limits(max_tokens=100_000, max_cost_usd=1)
    assert spec.budget_per_user == Limits(max_wall_clock_s=60.0)
    async with desk, agents["prober"] as prober:
        assert (await desk.run("Go")).parsed == {"by": "rule"}
        assert (await prober.run("Go")).output == "by class"


def test_a_workspace_is_named_in_a_file_or_is_the_users_default_one(directory: Path) -> None:
    agents = read_agents(
        written(
            directory,
            """
            [agents.desk]
            model = "echo"
            workspace = "ops"

            [agents.prober]
            model = "echo"
            workspace = true

            [agents.lonely]
            model = "echo"
            workspace = false
            """,
        )
    )
    workspaces = {name: agent.workspace for name, agent in agents.items()}
    assert {name: ws and ws.name for name, ws in workspaces.items()} == {
        "desk": "ops",
        "prober": "default",
        "lonely": None,
    }
    assert agents["desk"].tools_list()[0] == "note"
    with pytest.raises(ConfigError, match="workspace = 3 is of the wrong type"):
        Agent.from_dict({"model": "echo", "workspace": 3})


def test_a_model_of_a_provider_stands_in_a_file_as_in_a_program(directory: Path) -> None:
    agents = read_agents(
        written(
            directory,
            """
            [agents.named]
            model = "openai:gpt-4o"
            retry_policy = "disabled"

            [agents.tagged]
            model = "ollama:llama3:8b"

            [agents.described]
            model = { provider = "openai", name = "gpt-4o", base_url = "http://here/v1", max_retries = 1 }
            generation = { effort = "low", stop = ["END"] }

            [agents.own]
            model = "desktools:rules"
            retry_policy = { max_attempts = 7 }
            """,
        )
    )
    specs = {name: agent.spec for name, agent in agents.items()}
    assert {name: spec.model.name for name, spec in specs.items()} == {
        "named": "gpt-4o",
        "tagged": "llama3:8b",
        "described": "gpt-4o",
        "own": "function",
    }
    assert [spec.retry.max_attempts for spec in specs.values()] == [1, 3, 2, 7]
    assert specs["described"].options == {"effort": "low", "stop": ("END",)}


async def test_one_agent_is_taken_from_a_file_by_name(directory: Path) -> None:
    path = written(directory, '[agents.a]\nmodel = "echo"\n[agents.b]\nmodel = "echo"')
    assert Agent.from_config(path, "b").name == "b"
    with pytest.raises(ConfigError, match="there are: a, b"):
        Agent.from_config(path, "c")
    with pytest.raises(ConfigError, match="several agents: a, b; say which with name="):
        Agent.from_config(path)
    assert Agent.from_config(written(directory, '[agents.a]\nmodel = "echo"')).name == "a"
    assert Agent.from_dict({"name": "a", "model": "echo", "max_turns": 2}).spec.max_turns == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "declares no agents"),
        ("agents = 3", "declares no agents"),
        ("[agents]\ndesk = 3", r"agents.desk is no table"),
        ("not toml", "is no TOML"),
        ("[agents.a]\nmodel='echo'\n[server]\nport=1", "unknown table 'server'"),
        ("[agents.a]", r"agents.a: an agent needs model="),
        ("[agents.a]\nmodel='jpt-17'", r"agents.a: nobody is known to have a model 'jpt-17'"),
        (
            "[agents.a]\nmodel='llama3:8b'",
            "No module named 'llama3'; there is no provider 'llama3' either: .*anthropic, ",
        ),
        ("[agents.a]\nmodel='broken:rules'", r"cannot be imported: OSError: no such device$"),
        ("[agents.a]\nmodel={provider='openai'}", "agents.a: a model as a mapping is"),
        ("[agents.a]\nmodel={name='gpt-4o', retries=3}", "unexpected keyword argument 'retries'"),
        ("[agents.a]\nmodel=3", "model = 3 is of the wrong type"),
        (
            "[agents.a]\nmodel='echo'\ngeneration={heat=1}",
            "agents.a.generation: unknown key 'heat'; known: temperature",
        ),
        ("[agents.a]\nmodel='echo'\ngeneration={effort='huge'}", "agents.a.generation: "),
        ("[agents.a]\nmodel='echo'\ngeneration={max_tokens=0}", "agents.a.generation: .*a whole number, 1 or more"),
        ("[agents.a]\nmodel='echo'\nretry_policy='often'", "retry_policy: 'often' is none of aggressive, disabled"),
        ("[agents.a]\nmodel='echo'\nretry_policy={max_attempts=0}", "agents.a.retry_policy: .*makes no call"),
        ("[agents.a]\nmodel='echo'\nmax_turn=3", "agents.a: unknown key 'max_turn'; did you mean 'max_turns'"),
        ("[agents.a]\nmodel='echo'\nzzz=3", "unknown key 'zzz'; known: "),
        ("[agents.a]\nmodel='echo'\nmax_turns='3'", "max_turns = '3' is of the wrong type"),
        ("[agents.a]\nmodel='echo'\nmax_turns=true", "max_turns = True is of the wrong type"),
        ("[agents.a]\nmodel='echo'\nmax_turns=0", "agents.a: max_turns=0"),
        ("[agents.a]\nmodel='echo'\nmemory=1", "memory = 1 is of the wrong type"),
        ("[agents.a]\nmodel='echo'\narchitecture='guess'", "agents.a: there is no architecture 'guess'"),
        ("[agents.a]\nmodel='echo'\napprovals='maybe'", "maybe"),
        ("[agents.a]\nmodel='echo'\nbudget={max_token=3}", "agents.a.budget: unknown key 'max_token'"),
        ("[agents.a]\nmodel='echo'\nbudget={max_tokens='3'}", r"agents.a.budget: "),
        ("[agents.a]\nmodel='echo'\ntools=[3]", "a tool is given as"),
        ("[agents.a]\nmodel='echo'\ntools=['load']", "'load' is no module:object"),
        ("[agents.a]\nmodel='echo'\ntools=['nowhere:load']", "cannot be imported: ModuleNotFoundError"),
        ("[agents.a]\nmodel='echo'\ntools=['broken:load']", "cannot be imported: OSError: no such device"),
        ("[agents.a]\nmodel='echo'\ntools=['unfinished:load']", "cannot be imported: SyntaxError"),
        ("[agents.a]\nmodel='echo'\ntools=['desktools:loud']", "module 'desktools' has no 'loud'"),
        ("[agents.a]\nmodel='echo'\ntools=['desktools:MODULE.x']", "has no 'MODULE'"),
        ("[agents.a]\nmodel='echo'\ntools=['desktools:plain','desktools:plain']", "two tools are called 'plain'"),
        ("[agents.a]\nmodel='echo'\ndelegates=[3]", "names are wanted"),
        ("[agents.a]\nmodel='desktools:plain'", r"agents.a: "),
    ],
)
def test_a_mistake_is_named_with_its_place(directory: Path, text: str, why: str) -> None:
    path = written(directory, text)
    with pytest.raises(ConfigError, match=why) as caught:
        read_agents(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: No such file"):
        read_agents(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_agents(tmp_path)
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"odd\.toml is no TOML"):
        read_agents(tmp_path / "odd.toml")


def test_an_object_is_found_by_its_dotted_path(directory: Path) -> None:
    sys.path.append(str(directory))
    found: Any = load("desktools:Shelf.tool", "here")
    assert found.name == "load_average"


async def test_a_file_says_what_runs_have_to_come_to(directory: Path) -> None:
    agents = read_agents(
        written(
            directory,
            """
            [agents.plans]
            model = "echo"
            living_plan = true
            stop_hooks = ["desktools:asks_again"]

            [agents.seeded]
            model = "echo"
            living_plan = ["look", "answer"]
            run_until = { condition = "it is answered", max_iterations = 3 }
            """,
        )
    )
    said = await agents["plans"].run("Hi.")
    assert said.turns == 2
    assert agents["plans"].tools_list() == ["plan_write", "plan_read"]
    assert agents["seeded"].spec.living_plan is not None
    assert [step.description for step in agents["seeded"].spec.living_plan.seed.steps] == ["look", "answer"]
    assert len(agents["seeded"].spec.gates) == 2
    with pytest.raises(ConfigError, match=r"agents.a: unknown key 'living_plans'; did you mean 'living_plan'"):
        read_agents(written(directory, '[agents.a]\nmodel = "echo"\nliving_plans = true'))
    with pytest.raises(ConfigError, match=r"agents.a: run_until: unknown key 'conditions'; did you mean 'condition'"):
        read_agents(written(directory, '[agents.a]\nmodel = "echo"\nrun_until = { conditions = "x" }'))
