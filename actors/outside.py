"""Functions that an agent was given, and that its runs ask on the way: stop hooks, deciders, evaluators, mirrors.

They may run a test suite, or ask a service. So a plain function is called in a thread, as a plain tool is, and holds up
its own run alone; one that is cancelled, or late, goes on there, for nothing can stop it.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

from .foreign import called, contained
from .threads import ToolThreads


async def asked(threads: ToolThreads, function: Callable[..., Any], /, *args: Any) -> Any:
    """What `function` returns or raises; what is no `Exception` becomes one.

    It sees the context variables of this task. A coroutine function runs on the loop, in a task of its own.
    """
    if is_async(function):
        return await contained(called(function, *args))
    said = await threads.run(functools.partial(function, *args))
    return await contained(called(lambda: said)) if inspect.isawaitable(said) else said


def is_async(function: Any) -> bool:
    """Whether calling it makes a coroutine, as far as its definition says so; an object is what its `__call__` is."""
    while isinstance(function, functools.partial):
        function = cast(Any, function).func
    if inspect.isroutine(function) or inspect.isclass(function):
        return inspect.iscoroutinefunction(function)
    return inspect.iscoroutinefunction(getattr(function, "__call__", function))  # noqa: B004
