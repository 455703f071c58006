"""Results with their answers as the types that a program knows.

Runs and their histories have JSON values, which every process can read; the type is put on at the program's door.
"""

from msgspec import structs

from ...actors.model_errors import OutputValidationError
from ...actors.output import DoesNotFit, Output, is_of
from ...actors.result import RunResult


def typed(result: RunResult, *known: Output | None) -> RunResult:
    """`result`, parsed as the first of `known` that its run was asked for; with JSON values when it is none of them.

    Raises:
        OutputValidationError: The type has changed since the run ended: it has another validator, say.
    """
    asked = result.output_format
    if asked is None or not result.answered:
        return result
    for output in known:
        if output is not None and is_of(output, asked):
            try:
                return structs.replace(result, parsed=output.parse(result.output))
            except DoesNotFit as exc:
                why = f"the recorded answer of run {result.run_id!r} does not fit {output.name!r} any more: {exc}"
                raise OutputValidationError(why, raw=result.output, schema=asked.schema, cause=str(exc)) from exc
    return result
