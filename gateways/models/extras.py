"""The packages of providers: each is an extra, imported when its model is first asked, and named when it is missing."""

import importlib.util

from ...events.errors import ConfigError


def check_installed(package: str, *, extra: str) -> None:
    """Look whether a package is there, without importing it: that may take a second.

    Raises:
        ConfigError: It is not installed; says what to install.
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f'this needs the package {package!r}, which is not installed: pip install "treadle[{extra}]"')
