"""The errors of ended runs: each a `RunError` with the run's result, and the model's own error as well, if it was that.

So both readings work: `except RunError` for whatever a run ends with, `except RateLimitError` for that one cause.
"""

from typing import Any, TypeVar

from ..actors.model_errors import ModelError, OutputValidationError, model_error_class
from ..actors.result import RunResult
from ..events.errors import RunError, RunTimeout
from ..events.run import RunState


def checked(result: RunResult) -> RunResult:
    """`result`, if its run did not fail and was not cancelled.

    Raises:
        RunError: It was; as the model's error too, if it was that.
    """
    if result.state not in (RunState.FAILED, RunState.CANCELLED):
        return result
    raise run_error(result)


def run_error(result: RunResult) -> RunError:
    """The error of a run that has failed or was cancelled; from what ended it, if that was in this process."""
    return caused(_run_error(result), result)


E = TypeVar("E", bound=RunError)


def caused(error: E, result: RunResult) -> E:
    """`error`, raised from what ended its run. Without that it keeps what it is raised in the handling of."""
    if result.cause is not None:
        error.__cause__ = result.cause
    return error


def _run_error(result: RunResult) -> RunError:
    message = f"run {result.run_id!r} {result.state}: {result.error}"
    if result.error_kind == "timeout":
        return RunTimeout(message, result, **result.error_details)
    of, _, kind = result.error_kind.partition(":")
    if of != "model":
        return RunError(message, result)
    error = _failed_by(model_error_class(kind))(message, result)
    details: dict[str, Any] = {"kind": kind, **result.error_details}
    if isinstance(error, OutputValidationError) and result.output_format is not None:
        details["schema"] = result.output_format.schema
    for name, value in details.items():
        setattr(error, name, value)
    return error


def _failed_by(cause: type[ModelError]) -> type[RunError]:
    """A `RunError` that is a `cause` as well; the same one each time."""
    if cause not in _FAILED_BY:
        names = {"__doc__": cause.__doc__, "__module__": cause.__module__, "__reduce__": _made_again}
        _FAILED_BY[cause] = type(cause.__name__, (RunError, cause), names)
    return _FAILED_BY[cause]


def _made_again(error: RunError) -> tuple[Any, ...]:
    """For pickle, which looks for classes by name and would find the model's own."""
    return run_error, (error.result,)


_FAILED_BY: dict[type[ModelError], type[RunError]] = {}
