"""`@tool`: what a model is told about a function, and what of its arguments reaches the function."""

from __future__ import annotations

import enum
import functools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict as PlainTypedDict

from treadle import ConfigError, Tool, tool
from treadle.actors.json_form import Unrecordable, recordable
from treadle.actors.tool import BadArguments, as_text
from treadle.gateways.tools import as_tool


class Severity(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Span(BaseModel):
    first: int
    last: int = 10


@dataclass
class Place:
    host: str
    port: int = 80


class Window(PlainTypedDict):
    minutes: int


def schema(made: Tool) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(made.spec.parameters)
    return decoded


def call(made: Tool, **args: Any) -> Any:
    return made.run(**made.bind(args))


def test_hints_that_are_strings_in_the_source_become_types_for_the_model() -> None:
    @tool
    def probe(host: str, ports: list[int], mode: Literal["fast", "deep"], retries: int | None = None) -> str:
        return f"{host} {ports} {mode} {retries}"

    found = schema(probe)
    assert found["properties"]["host"]["type"] == "string"
    assert found["properties"]["ports"] == {"items": {"type": "integer"}, "title": "Ports", "type": "array"}
    assert found["properties"]["mode"]["enum"] == ["fast", "deep"]
    assert found["required"] == ["host", "ports", "mode"]
    assert found["additionalProperties"] is False
    assert call(probe, host="db-1", ports=[1, 2], mode="deep") == "db-1 [1, 2] deep None"


def test_a_type_that_is_local_to_the_function_around_the_tool_is_found() -> None:
    class Order(BaseModel):
        parcel: int

    @tool
    def track(order: Order) -> int:
        return order.parcel

    @tool(name="track_again")
    def again(order: Order) -> int:
        return order.parcel

    assert call(track, order={"parcel": 7}) == call(again, order={"parcel": 7}) == 7


def test_models_dataclasses_typed_dicts_and_enums_arrive_as_what_the_function_wants() -> None:
    @tool
    def look(span: Span, place: Place, window: Window, severity: Severity, tags: Mapping[str, list[int]]) -> list[Any]:
        return [span, place, window, severity, tags]

    given = {
        "span": {"first": 1},
        "place": {"host": "db-1"},
        "window": {"minutes": 5},
        "severity": "high",
        "tags": {"a": [1]},
    }
    assert call(look, **given) == [Span(first=1), Place("db-1"), {"minutes": 5}, Severity.HIGH, {"a": [1]}]


def test_annotated_constraints_hold_and_are_told() -> None:
    @tool
    def wait(minutes: Annotated[int, Field(ge=1, le=60, description="how long")]) -> int:
        return minutes

    assert schema(wait)["properties"]["minutes"]["maximum"] == 60
    assert call(wait, minutes=60) == 60
    with pytest.raises(BadArguments, match=r"minutes: Input should be less than or equal to 60"):
        call(wait, minutes=61)


def test_a_default_that_is_not_given_is_the_functions_own() -> None:
    chosen: list[int] = []

    @tool
    def keep(value: int, into: int = 3) -> None:
        chosen.extend((value, into))

    call(keep, value=1)
    assert chosen == [1, 3]
    assert schema(keep)["properties"]["into"]["default"] == 3


def test_parameters_may_have_names_that_pydantic_keeps_for_itself() -> None:
    @tool
    def odd(model_config: str, json: int, _private: bool = False, copy: str = "c") -> list[Any]:
        return [model_config, json, _private, copy]

    assert set(schema(odd)["properties"]) == {"model_config", "json", "_private", "copy"}
    assert call(odd, model_config="m", json=1, _private=True) == ["m", 1, True, "c"]


def test_the_docstring_describes_the_tool_and_its_parameters() -> None:
    @tool
    def page(message: str, urgent: bool = False) -> None:
        """Page the person
        on call.

        Only at night.

        Args:
            message: What is wrong,
                in one sentence.
            urgent (bool): Wake them: yes or no.

        Returns:
            nothing: at all
        """

    assert page.spec.description == "Page the person on call."
    properties = schema(page)["properties"]
    assert properties["message"]["description"] == "What is wrong, in one sentence."
    assert properties["urgent"]["description"] == "Wake them: yes or no."


def test_a_function_without_docstring_or_hints_is_a_tool_all_the_same() -> None:
    def bare(value):  # type: ignore[no-untyped-def]
        return len(value)  # pyright: ignore

    made = as_tool(bare)
    assert made.spec.description == ""
    assert call(made, value=[7]) == 1


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({}, "host: Field required"),
        ({"host": 1}, "host: Input should be a valid string"),
        ({"host": "a", "port": "many"}, "port: Input should be a valid integer"),
        ({"host": "a", "colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"_invalid": '{"host": '}, "not a JSON object"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(args: dict[str, Any], named: str) -> None:
    @tool
    def probe(host: str, port: int = 80) -> str:
        return f"{host}:{port}"

    with pytest.raises(BadArguments, match=named):
        probe.bind(args)


def test_a_tool_can_be_called_directly() -> None:
    @tool
    def double(value: int) -> int:
        return value * 2

    assert double(4) == double(value=4) == 8


async def test_an_async_tool_can_be_called_directly() -> None:
    @tool(read_only=True)
    async def double(value: int) -> int:
        return value * 2

    assert double.is_async
    assert await double(4) == 8


def test_a_partial_keeps_name_docstring_and_the_parameters_that_are_left() -> None:
    def probe(host: str, port: int) -> str:
        """Probe a port."""
        return f"{host}:{port}"

    made = as_tool(functools.partial(probe, "db-1"))
    assert (made.name, made.spec.description) == ("probe", "Probe a port.")
    assert set(schema(made)["properties"]) == {"port"}
    assert call(made, port=5432) == "db-1:5432"


def test_a_partial_of_a_coroutine_function_is_async() -> None:
    async def probe(host: str, port: int) -> str:
        return f"{host}:{port}"

    assert as_tool(functools.partial(probe, port=80)).is_async


class Prober:
    """Probes ports."""

    def __init__(self, host: str) -> None:
        self.host = host

    def __call__(self, port: int) -> str:
        return f"{self.host}:{port}"

    def ping(self, count: int = 1) -> str:
        """Ping it."""
        return f"{self.host} x{count}"

    @staticmethod
    def known() -> list[str]:
        return ["db-1"]

    @classmethod
    def make(cls, host: str) -> str:
        return cls(host).host


class Pinger:
    async def __call__(self, count: int) -> int:
        return count


def test_objects_methods_static_and_class_methods_are_tools() -> None:
    prober = Prober("db-1")
    made = [as_tool(each) for each in (prober, prober.ping, Prober.known, Prober.make)]
    assert [each.name for each in made] == ["Prober", "ping", "known", "make"]
    assert made[0].spec.description == "Probes ports."
    assert schema(made[0])["properties"]["port"]["type"] == "integer"
    assert [call(made[0], port=1), call(made[1], count=2), call(made[2]), call(made[3], host="a")] == [
        "db-1:1",
        "db-1 x2",
        ["db-1"],
        "a",
    ]
    assert not made[0].is_async


def test_an_object_whose_call_is_a_coroutine_function_is_async() -> None:
    assert as_tool(Pinger()).is_async


def test_a_staticmethod_object_is_a_tool() -> None:
    class Desk:
        @tool
        @staticmethod
        def find(row: int) -> int:
            return row

    assert call(Desk.find, row=3) == 3


def test_a_method_without_its_object_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'ping' is a method without its object; pass the bound one"):
        as_tool(Prober.ping)


def test_generators_are_refused() -> None:
    def lines() -> Iterator[str]:
        yield "one"

    async def chunks() -> AsyncIterator[str]:
        yield "one"

    for generator in (lines, chunks, functools.partial(lines)):
        with pytest.raises(ConfigError, match="is a generator; a tool returns one result"):
            as_tool(generator)


def test_a_parameter_that_a_model_could_not_give_by_name_is_refused() -> None:
    def many(*hosts: str) -> None: ...
    def more(**hosts: str) -> None: ...
    def first(host: str, /) -> None: ...

    for function in (many, more, first):
        with pytest.raises(ConfigError, match="a model passes arguments by name"):
            as_tool(function)


class Opaque:
    pass


def test_a_parameter_that_has_no_schema_is_refused_by_name_of_the_tool() -> None:
    def takes_object(thing: Opaque) -> None: ...
    def takes_function(thing: Callable[[], int]) -> None: ...
    def has_odd_default(thing: Any = Opaque()) -> None: ...  # noqa: B008

    for function in (takes_object, takes_function, has_odd_default):
        with pytest.raises(ConfigError, match=rf"tool '{function.__name__}': a parameter cannot be described"):
            as_tool(function)


def test_a_hint_that_cannot_be_resolved_is_refused() -> None:
    def lost(thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore

    with pytest.raises(ConfigError, match="name 'Nowhere' is not defined"):
        as_tool(lost)


def test_a_name_that_models_do_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be 1 to 64 letters"):
        tool(name="how busy?")(len)
    with pytest.raises(ConfigError, match="set name="):
        as_tool(lambda: 1)


def test_destructive_and_read_only_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="destructive and read_only"):

        @tool(destructive=True, read_only=True)
        def both() -> None: ...


def test_what_is_no_tool_is_refused() -> None:
    with pytest.raises(ConfigError, match="42 is no tool"):
        as_tool(42)


# What a tool returns


class Reading(TypedDict):
    value: float


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        ({"a": (1, 2)}, {"a": [1, 2]}),
        (Place("db-1", 1), {"host": "db-1", "port": 1}),
        (Span(first=1), {"first": 1, "last": 10}),
        ([Span(first=1)], [{"first": 1, "last": 10}]),
        (Severity.HIGH, "high"),
        ({1: "a"}, {"1": "a"}),
        (b"raw", "cmF3"),
        (Reading(value=0.5), {"value": 0.5}),
    ],
)
def test_results_are_recorded_as_json_types(value: Any, recorded: Any) -> None:
    assert recordable(value) == recorded


def circle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize("value", [object(), Opaque(), {("a", 1): object()}, circle(), "\ud800", ["\ud800"]])
def test_results_without_a_json_form_are_refused_before_they_reach_the_journal(value: Any) -> None:
    with pytest.raises(Unrecordable, match="has no JSON form"):
        recordable(value)


class Measured(BaseModel):
    loads: list[float]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "it is nan"),
        ({"hosts": [{"load": 1.0}, {"load": float("-inf")}]}, r"\['hosts'\]\[1\]\['load'\] is -inf"),
        ((None, "null", float("inf")), r"\[2\] is inf"),
        (Measured(loads=[0.5, float("nan")]), r"\['loads'\]\[1\] is nan"),
        ({"lock": [1, object()]}, r"\['lock'\]\[1\]: object is no JSON"),
    ],
)
def test_a_refusal_names_the_place_of_what_json_does_not_have(value: Any, place: str) -> None:
    with pytest.raises(Unrecordable, match=place):
        recordable(value)


@pytest.mark.parametrize("value", [None, {"load": None}, ["null", "NaN"], {"a": 1.5, "b": None}])
def test_a_null_that_was_one_is_recorded(value: Any) -> None:
    assert recordable(value) == value


@pytest.mark.parametrize("value", [2**80, (1, 2), {1: {2}}])
def test_a_result_is_live_what_it_will_be_in_a_replay(value: Any) -> None:
    live = recordable(value)
    replayed = msgspec.json.decode(msgspec.json.encode(live))
    assert (live, as_text(live)) == (replayed, as_text(replayed))
