"""loomflow's blocks on workflows, with only the import root changed. The providers are a server that speaks theirs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from blocks import Page, Source, at_providers, imported
from model_servers import AiMock

from treadle import Agent, Workflow, WorkflowResult

SOURCES = {
    "quickstart, section 7": [Source("quickstart", 163, 172)],
    "the site, support.py": [Source("site", 22, 44)],
    "readme 0.10, branch at the entry": [Source("readme 0.10", 367, 378)],
    "readme 0.10, one line each": [Source("readme 0.10", 357, 362)],
    "readmes, the stable names": [Source("readme 0.10", 882, 884), Source("readme 0.9", 1315, 1316)],
}
"""Every block of the readmes, the quickstart and the site on workflows.

The one line each is of a table, and has no names in front there. Of the stable names those of other parts are left out.
"""

PAGE = Page(Path(__file__).with_name("workflows.md"), elided={"tools=[...]": "tools=[]", "default=...": "default=h_a"})
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
    at_providers(monkeypatch, providers)
    yield
    await Agent(model="echo").aclose()


def test_the_page_has_every_block_of_the_texts() -> None:
    assert sorted(PAGE.blocks) == sorted(SOURCES)


@pytest.mark.parametrize("title", ["quickstart, section 7", "the site, support.py"])
async def test_support_is_routed_to_billing(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = await PAGE.runs(title)
    assert capsys.readouterr().out == "['classify', 'route_billing']\n"
    result: WorkflowResult = getattr(page, "r" if title.endswith("py") else "result")
    assert result.output == "One charge is refunded."
    assert result.per_step == {"classify": "billing", "route_billing": "One charge is refunded."}


async def test_the_entry_branches() -> None:
    made = {f"{name}_agent": Agent(f"Handle {name}.", model="claude-opus-4-7") for name in ("billing", "tech")}
    page = await PAGE.runs("readme 0.10, branch at the entry", **made)
    assert (page.result.output, page.result.visited) == ("One charge is refunded.", ["billing"])


async def test_the_one_liners_of_the_readme_make_workflows() -> None:
    async def plain(text: str) -> str:
        return text

    given: dict[str, Any] = dict.fromkeys(("a", "b", "c", "h_a", "h_b", "s1", "s2", "classify"), plain)
    page = await PAGE.runs("readme 0.10, one line each", Workflow=Workflow, x="x", combine="".join, **given)
    assert page.sequence == "x"
    outputs = [(await made.run("x")).output for made in (page.chain, page.route, page.parallel)]
    assert outputs == ["x", "x", "xx"]


def test_the_stable_names_of_the_readmes_are_there() -> None:
    assert list(imported(PAGE, "readmes, the stable names")) == [
        "Agent",
        "Workflow",
        "step",
        "tool",
        "SelfRefine",
        "Team",
    ]
