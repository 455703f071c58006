"""LiteLLM's own proxy, which nobody here wrote: OpenAI's and Anthropic's protocols in front of mock answers.

It needs a hundred packages, some of other versions than the tests', so it has an environment of its own, made once
beside theirs. It answers what its configuration says, or hands a request on to another server in that one's words.
"""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Final

STARTS_WITHIN_S: Final = 90.0
KEY: Final = "sk-of-the-proxy"

_HOME: Final = Path(sys.prefix) / "share" / "treadle-tests" / f"litellm-proxy-{version('litellm')}"
_POLL_S: Final = 0.1
_NO_NETWORK: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
}


def installed_proxy() -> Path:
    """The program, installed if it is not there yet; processes that ask at once wait for the first."""
    program = _HOME / "bin" / "litellm"
    done = _HOME / "installed"
    _HOME.parent.mkdir(parents=True, exist_ok=True)
    with (_HOME.parent / "litellm-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(_HOME, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(_HOME)], check=True)
            package = f"litellm[proxy]=={version('litellm')}"
            installed = subprocess.run(
                [str(_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", package],
                capture_output=True,
                text=True,
            )
            if installed.returncode:
                raise RuntimeError(f"LiteLLM's proxy was not installed: {installed.stderr}")
            done.touch()
    return program


class LiteLLMProxy:
    """A proxy on a free port.

    Args:
        models: What it has, by the name that clients know: the arguments of LiteLLM's call.
    """

    def __init__(self, directory: Path, models: Mapping[str, Mapping[str, Any]]) -> None:
        self._directory = directory
        self._models = models
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "config.yaml"
        models = [{"model_name": name, "litellm_params": dict(given)} for name, given in self._models.items()]
        # JSON is YAML, too.
        config.write_text(
            json.dumps(
                {
                    "model_list": models,
                    "general_settings": {"master_key": KEY},
                    "router_settings": {"num_retries": 0, "disable_cooldowns": True},
                }
            )
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        args = [str(installed_proxy()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        with (self._directory / "proxy.log").open("wb") as log:
            self._process = subprocess.Popen(
                args, stdout=log, stderr=subprocess.STDOUT, cwd=self._directory, env={**os.environ, **_NO_NETWORK}
            )
        self._until_ready()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _until_ready(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                log = (self._directory / "proxy.log").read_text()
                raise RuntimeError(f"LiteLLM's proxy ended with {self._process.returncode}: {log}")
            try:
                with urllib.request.urlopen(f"{self.url}/health/liveliness", timeout=5):
                    return
            except (urllib.error.URLError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)

    def __enter__(self) -> "LiteLLMProxy":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


if __name__ == "__main__":
    installed_proxy()
