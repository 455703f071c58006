"""LiteLLM, imported late and quietly.

The import takes seconds, so it is made when a model is first asked, and in a thread (`prepare`). By itself LiteLLM
would fetch its tables from the network, read `.env` files into the environment, and print advice with every error.
"""

import importlib
import logging
import os
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from ..extras import Package

_QUIET: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
"""What it asks the environment for; what the user has set there counts."""

PACKAGE: Final = Package("litellm")

_lock = threading.Lock()
_loaded: Any = None


def load() -> Any:
    """The module.

    Raises:
        ConfigError: It is not installed; says what to install.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            PACKAGE.check()
            with _environment(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module: Any = importlib.import_module("litellm")
                # Classes that it would put together, and warn of, in the middle of the first answer.
                module.ModelResponse()
                module.ModelResponseStream()
                importlib.import_module("openai.resources.chat")  # else with the first call that goes by that SDK
                # Fetched with the first call to Claude, if not now.
                importlib.import_module("litellm.anthropic_beta_headers_manager").reload_beta_headers_config()
            module.suppress_debug_info = True
            if "LITELLM_LOG" not in os.environ:
                logging.getLogger("LiteLLM").setLevel(logging.ERROR)
            _loaded, PACKAGE.loaded = module, True
        return _loaded


@contextmanager
def _environment() -> Generator[None]:
    added = {name: value for name, value in _QUIET.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
