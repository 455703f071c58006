"""What every command shares: the options that say where to work, `--json`, `--debug`, errors and exit codes.

    @command(app)
    async def runs(call: Call, user: Annotated[str | None, Option(help="…")] = None) -> None:
        '''List runs, the newest first.'''

The function gets the shared options as its `call`, and its own as they stand in its signature. A `TreadleError` ends
the command with one line and exit code 1; anything else is a bug, reported in one line too, and whole with `--debug`.
"""

import asyncio
import contextlib
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from ...events.errors import TreadleError
from ...events.subjects import DEFAULT_NAMESPACE, Subjects
from ..broker.tls import Tls
from .output import Output
from .place import Place


class Call:
    """One use of a command: where it works and how it answers."""

    def __init__(self, place: Place, out: Output, debug: bool) -> None:
        self.place = place
        self.out = out
        self.debug = debug

    def exit(self, code: int) -> None:
        """End the command with this exit code; everything that is open is closed first."""
        raise typer.Exit(code)


def _shared(
    journal: Annotated[
        str,
        Option(
            envvar="TREADLE_JOURNAL",
            help="sqlite:PATH or postgresql://… Default: that of the system here, or sqlite:./treadle.db.",
        ),
    ] = "",
    nats: Annotated[
        str, Option(envvar="TREADLE_NATS", help="URL of a NATS server. Default: that of the system here.")
    ] = "",
    directory: Annotated[Path, Option(help="Where the system here keeps its files.")] = Path(".treadle"),
    namespace: Annotated[str, Option(envvar="TREADLE_NAMESPACE", help="First token of all subjects.")] = "",
    nats_creds: Annotated[
        Path | None, Option(envvar="TREADLE_NATS_CREDS", help="Who we are there: a seed file, or a .creds file.")
    ] = None,
    tls_ca: Annotated[
        Path | None, Option(envvar="TREADLE_TLS_CA", help="TLS: the authority that signed the server's certificate.")
    ] = None,
    tls_cert: Annotated[
        Path | None, Option(envvar="TREADLE_TLS_CERT", help="TLS: our certificate, if the server asks for one.")
    ] = None,
    tls_key: Annotated[Path | None, Option(envvar="TREADLE_TLS_KEY", help="TLS: its key.")] = None,
    json: Annotated[bool, Option("--json", help="Print JSON and nothing else.")] = False,
    debug: Annotated[bool, Option("--debug", help="Show where an error comes from.")] = False,
) -> Call:
    try:
        Subjects(namespace or DEFAULT_NAMESPACE)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    out = Output(json)
    tls = Tls(tls_ca, tls_cert, tls_key) if tls_ca or tls_cert or tls_key else None
    return Call(Place(journal, nats, directory, namespace, out.note, nats_creds, tls), out, debug)


_SHARED = inspect.signature(_shared).parameters


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., Awaitable[None]]], None]:
    """Make a coroutine function with a `call` a command of `app`."""

    def register(function: Callable[..., Awaitable[None]]) -> None:
        own = {key: value for key, value in inspect.signature(function).parameters.items() if key != "call"}
        parameters = {**own, **{key: value for key, value in _SHARED.items() if key not in own}}

        def run(**given: Any) -> None:
            call = _shared(**{key: given[key] for key in _SHARED})
            _run(call, function(call, **{key: given[key] for key in own}))

        run.__doc__ = function.__doc__
        run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {key: value.annotation for key, value in parameters.items()}
        app.command(name or function.__name__)(run)

    return register


def _run(call: Call, work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    try:
        asyncio.run(main())
    except BrokenPipeError:
        # Whoever read has read enough. Python must not find that out again when it flushes at its end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None
    except (TreadleError, OSError) as exc:
        _fail(call, exc)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except typer.Exit:
        raise
    except Exception as exc:
        if isinstance(exc, typer.BadParameter):
            raise
        _fail(call, exc, "this is a bug; --debug shows where")


def _fail(call: Call, error: Exception, hint: str = "") -> None:
    kind = getattr(error, "kind", type(error).__name__)
    call.out.error(kind, str(error) or type(error).__name__, hint)
    if call.debug:
        raise error
    raise typer.Exit(1) from error
