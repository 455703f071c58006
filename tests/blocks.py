"""Code blocks of other people's pages, kept in a page of ours by titles, and run with only the import root changed."""

import ast
import importlib
import inspect
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from model_servers import AiMock

_BLOCK = re.compile(r"^## (?P<title>[^\n]*)\n+```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Source(NamedTuple):
    """Where a block stands in the texts that it is from: the text, its first line and its last."""

    text: str
    first: int
    last: int


class Page:
    """The blocks of a page, by their titles.

    Args:
        elided: What stands in the place of what the original leaves out; nothing else of a block is changed.
    """

    def __init__(self, path: Path, elided: Mapping[str, str]) -> None:
        self._elided = elided
        self.blocks = {found["title"]: found["code"] for found in _BLOCK.finditer(path.read_text())}

    def code(self, title: str) -> str:
        """A block as it is run."""
        code = self.blocks[title].replace("loomflow", "treadle")
        for left_out, given in self._elided.items():
            code = code.replace(left_out, given)
        return code

    async def runs(self, title: str, **given: Any) -> types.ModuleType:
        """Run a block in a module of its own, where it finds what is given."""
        page = types.ModuleType("page")
        vars(page).update(given)
        await _run(self.code(title), title, page)
        return page

    async def assigned(self, title: str, **given: Any) -> list[Any]:
        """What each assignment of a block makes, in their order: many of them give one name again and again."""
        page, made = types.ModuleType("page"), list[Any]()
        vars(page).update(given)
        for statement in ast.parse(self.code(title)).body:
            await _run(ast.unparse(statement), title, page)
            if isinstance(statement, ast.Assign):
                made.append(getattr(page, ast.unparse(statement.targets[0])))
        return made


async def _run(code: str, title: str, page: types.ModuleType) -> None:
    done = eval(compile(code, title, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), page.__dict__)
    if inspect.isawaitable(done):
        await done


def at_providers(monkeypatch: pytest.MonkeyPatch, providers: AiMock) -> None:
    """Have the models of OpenAI and Anthropic be asked there: by the variables that their own SDKs read."""
    for name, value in {
        "OPENAI_BASE_URL": providers.openai_url,
        "OPENAI_API_KEY": "sk-test",
        "ANTHROPIC_BASE_URL": providers.url,
        "ANTHROPIC_API_KEY": "sk-ant-test",
    }.items():
        monkeypatch.setenv(name, value)


def imported(page: Page, title: str) -> dict[str, Any]:
    """What a block imports. One that stands alone in the original has its names from another one."""
    froms = [statement for statement in ast.parse(page.code(title)).body if isinstance(statement, ast.ImportFrom)]
    names = [(str(statement.module), each.name) for statement in froms for each in statement.names]
    return {name: getattr(importlib.import_module(module), name) for module, name in names}
