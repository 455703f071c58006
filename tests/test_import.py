"""What `import treadle` loads: what every program pays for, whatever it uses."""

import subprocess
import sys

import pytest

DRIVERS = {"sqlite3", "psycopg", "eventsourcing"}
BROKERS = {"nats"}
PROVIDERS = {"openai", "anthropic", "litellm", "google", "mistralai", "cohere", "ollama"}
WEB = {"aiohttp", "httpx", "fastapi", "starlette", "uvicorn", "flask", "requests", "urllib3"}
TOOLS = {"typer", "click", "rich", "pydantic", "mcp", "opentelemetry", "cryptography"}
HEAVY = DRIVERS | BROKERS | PROVIDERS | WEB | TOOLS


def _loaded(program: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after `program`."""
    code = f"import sys\n{program}\nprint(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("program", ["import treadle", "from treadle import Agent", "from treadle import Agent, tool"])
def test_importing_treadle_loads_no_driver_no_broker_no_provider_and_no_web_framework(program: str) -> None:
    assert not _loaded(program) & HEAVY


def test_an_agent_in_memory_runs_without_a_database_driver_or_a_broker() -> None:
    program = "import asyncio\nfrom treadle import Agent\nasyncio.run(Agent('Help.', model='echo').run('Hello.'))"
    assert not _loaded(program) & (BROKERS | PROVIDERS | WEB | {"sqlite3", "psycopg"})


def test_importing_treadle_alone_does_not_even_load_asyncio() -> None:
    assert "asyncio" not in _loaded("import treadle")
