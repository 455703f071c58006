"""All commands by name. A command's module is imported when it is used, so that the quick ones stay quick."""

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from .output import Output

COMMANDS = {
    "up": "Host agents: NATS and a journal, until SIGTERM or Ctrl-C.",
    "signal": "Send a signal to a session of an agent.",
    "timers": "List, add and cancel timers: signals that are sent later.",
    "watch": "Follow a run, or all runs of a user, from the first event and live.",
    "runs": "List runs, the newest first.",
    "show": "Show a run: its steps, tool calls, plan, open approvals and children.",
    "replay": "Print the events of a run from the journal, in order.",
    "fork": "Run a run once more from one of its steps, with the same agent or another model.",
    "diff": "Compare two runs: what they share, where they first differ, what came of them.",
    "record": "Freeze the answers of models in a run as a cassette for tests.",
    "resume": "Go on with a run that stands still.",
    "steer": "Tell a run something while it goes on.",
    "cancel": "Stop a run.",
    "approve": "Allow or deny a call that waits for approval.",
    "facts": "Show what is believed, or was believed at another time.",
    "notes": "List the notes of workspaces, what changed last first; or show one, with its lineage.",
    "audit": "Verify, list and export the audit.",
    "prices": "Show what models cost: US dollars for a million tokens.",
    "budget": "Show tokens and cost that were used, and how full the budgets are.",
    "events": "Read the journal's events.",
    "journal": "Archive what is closed, and show how large the journal is.",
    "projection": "List and rebuild projections.",
    "nats": "Make accounts for tenants on a NATS server: who may do what.",
    "postgres": "Make the roles and tables of a journal in PostgreSQL.",
    "nodes": "Show every node, what waits for them, and how large their journals are; exit code 1 when none answers.",
    "health": "Tell whether the system here is alive, or ready; exit code 1 when it is not.",
    "status": "Show how the system stands; exit code 1 when none runs.",
}
"""The first line of each command's own help, so that `treadle --help` loads none of them; a test compares."""

# In older versions of Typer this class is Click's, in newer ones its own.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """The commands of `COMMANDS`, imported when they are called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update({name: TyperCommand(name, help=summary) for name, summary in COMMANDS.items()})
        self._describing = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._describing or cmd_name not in COMMANDS:
            return self.commands.get(cmd_name)
        module = importlib.import_module(f".{cmd_name}", __package__)
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._describing = True
        super().format_help(ctx, formatter)

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> NoReturn:
        """Run, and exit: 0 for success, 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(given, *more, **{**options, "standalone_mode": False})
        except _USAGE_ERROR as exc:
            Output(json="--json" in given).error("UsageError", exc.format_message().rstrip("."), _hint(exc))
            code = 2
        except typer.Abort:
            code = 130
        sys.exit(code if isinstance(code, int) else 0)


def _hint(error: Any) -> str:
    return f"see `{error.ctx.command_path} --help`" if error.ctx is not None else "see `treadle --help`"


app = typer.Typer(
    cls=Commands, name="treadle", add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
)


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version, and end.")] = False
) -> None:
    """LLM agents as event-sourced actors over NATS: runs that survive kill -9 without doing anything twice."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(version_of("treadle"))
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
