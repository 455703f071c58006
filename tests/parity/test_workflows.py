"""loomflow's blocks on workflows, with only the import root changed. The providers are a server that speaks theirs."""

import ast
import inspect
import re
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_servers import AiMock

from treadle import Agent, Workflow, WorkflowResult

BLOCK = re.compile(r"^## (?P<title>[^\n]*)\n+```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = Path(__file__).with_name("workflows.md").read_text()
BLOCKS = {found["title"]: found["code"].replace("loomflow", "treadle") for found in BLOCK.finditer(PAGE)}
FIXTURES: list[dict[str, Any]] = [
    {"match": {"systemMessage": "Reply 'billing' or 'tech'"}, "response": {"content": "billing"}},
    {"match": {"systemMessage": "Handle billing."}, "response": {"content": "One charge is refunded."}},
]


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    with AiMock(tmp_path_factory.mktemp("providers"), FIXTURES) as server:
        yield server


@pytest.fixture(autouse=True)
async def environment(monkeypatch: pytest.MonkeyPatch, providers: AiMock) -> AsyncIterator[None]:
    for name, value in {
        "OPENAI_BASE_URL": providers.openai_url,
        "OPENAI_API_KEY": "sk-test",
        "ANTHROPIC_BASE_URL": providers.url,
        "ANTHROPIC_API_KEY": "sk-ant-test",
    }.items():
        monkeypatch.setenv(name, value)
    yield
    await Agent(model="echo").aclose()


async def runs(title: str, **given: Any) -> Any:
    page = types.ModuleType("page")
    vars(page).update(given)
    code = BLOCKS[title].replace("tools=[...]", "tools=[]")
    done = eval(compile(code, title, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), page.__dict__)
    if inspect.isawaitable(done):
        await done
    return page


@pytest.mark.parametrize("title", ["quickstart, section 7", "the site, support.py"])
async def test_support_is_routed_to_billing(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = await runs(title)
    assert capsys.readouterr().out == "['classify', 'route_billing']\n"
    result: WorkflowResult = getattr(page, "r" if title.endswith("py") else "result")
    assert result.output == "One charge is refunded."
    assert result.per_step == {"classify": "billing", "route_billing": "One charge is refunded."}


async def test_the_entry_branches() -> None:
    made = {f"{name}_agent": Agent(f"Handle {name}.", model="claude-opus-4-7") for name in ("billing", "tech")}
    page = await runs("readme 0.10, branch at the entry", **made)
    assert (page.result.output, page.result.visited) == ("One charge is refunded.", ["billing"])


async def test_the_one_liners_of_the_readme_make_workflows() -> None:
    def plain(text: str) -> str:
        return text

    a = b = c = h_a = h_b = s1 = s2 = classify = plain
    assert (await Workflow.chain([a, b, c]).run("x")).output == "x"
    assert (await Workflow.route(classify, {"a": h_a, "b": h_b}, default=plain).run("x")).output == "x"
    assert (await Workflow.parallel([s1, s2], merge="".join).run("x")).output == "xx"
