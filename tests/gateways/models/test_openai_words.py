"""Efforts and schemas, as OpenAI's models take them."""

import enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from treadle.actors.generation import EFFORTS
from treadle.actors.model_errors import InvalidRequestError
from treadle.gateways.models.openai.effort import effort_for, efforts_of
from treadle.gateways.models.openai.strict_schema import strict_schema

# --- effort ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "asked", "taken"),
    [
        ("gpt-4o", "high", None),
        ("gpt-3.5-turbo", "high", None),
        ("gpt-5-chat-latest", "high", None),
        ("o1-mini", "high", None),
        ("o3", "minimal", "low"),
        ("o4-mini-2025-04-16", "max", "high"),
        ("gpt-5-mini", "minimal", "minimal"),
        ("gpt-5", "xhigh", "high"),
        ("gpt-5.1", "minimal", "low"),
        ("gpt-5.1-codex-max", "max", "xhigh"),
        ("gpt-5.2", "max", "xhigh"),
        ("gpt-5-pro", "low", "high"),
        ("openai/gpt-5", "max", "high"),
        ("gpt-9-of-tomorrow", "max", "max"),
        ("qwen3:8b", "low", "low"),
    ],
)
def test_the_nearest_effort_that_a_model_takes_is_asked_of_it(model: str, asked: str, taken: str | None) -> None:
    assert effort_for(model, efforts_of(model), asked, strict=False) == taken


def test_a_strict_effort_is_taken_or_refused() -> None:
    assert effort_for("o3", efforts_of("o3"), "high", strict=True) == "high"
    with pytest.raises(InvalidRequestError, match="takes low, medium, high"):
        effort_for("o3", efforts_of("o3"), "xhigh", strict=True)


@pytest.mark.parametrize("model", ["o3", "gpt-5", "gpt-5.1", "gpt-5.2-pro", "gpt-oss-120b"])
def test_the_table_knows_no_effort_that_there_is_not(model: str) -> None:
    assert set(efforts_of(model) or ()) <= set(EFFORTS)


# --- the strict mode -------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Part(BaseModel):
    """A part."""

    sku: str
    colour: Colour
    note: str | None = None


class Order(BaseModel):
    parts: list[Part] = Field(description="What is ordered.")
    first: Part = Field(description="The most urgent.")
    kind: Literal["new", "again"]


class Node(BaseModel):
    children: list["Node"]


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Pet(BaseModel):
    animal: Cat | Dog = Field(discriminator="kind")


class Free(BaseModel):
    values: dict[str, int]


class Defaults(BaseModel):
    limit: int = 10


class Pair(BaseModel):
    pair: tuple[int, str]


class Anything(BaseModel):
    value: Any


class Short(BaseModel):
    name: str = Field(max_length=3)


def objects(schema: Any) -> list[dict[str, Any]]:
    """All objects in a schema."""
    if isinstance(schema, list):
        return [found for each in schema for found in objects(each)]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return []
    below: list[dict[str, Any]] = [found for each in schema.values() for found in objects(each)]  # pyright: ignore[reportUnknownVariableType]
    return ([schema] if schema.get("type") == "object" else []) + below  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


@pytest.mark.parametrize("model", [Order, Node, Pet, Part])
def test_in_the_strict_mode_every_object_requires_all_that_it_has_and_nothing_else(model: type[BaseModel]) -> None:
    schema, strict = strict_schema(model.model_json_schema())
    assert strict
    found = objects(schema)
    assert found
    for each in found:
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
    assert schema["type"] == "object"
    assert "oneOf" not in str(schema)


def test_what_may_be_left_out_is_null_instead() -> None:
    schema, strict = strict_schema(Part.model_json_schema())
    assert strict
    assert schema["required"] == ["sku", "colour", "note"]
    assert schema["properties"]["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Note"}


def test_a_reference_stands_alone() -> None:
    schema, _ = strict_schema(Order.model_json_schema())
    assert schema["properties"]["first"] == {"anyOf": [{"$ref": "#/$defs/Part"}], "description": "The most urgent."}


@pytest.mark.parametrize("kind", [Free, Defaults, Pair, Anything, Short, list[int], int, dict[str, int]])
def test_what_the_strict_mode_cannot_say_goes_as_it_is(kind: Any) -> None:
    schema = TypeAdapter[Any](kind).json_schema()
    assert strict_schema(schema) == (schema, False)


def test_the_schema_that_is_given_stays_what_it_was() -> None:
    schema = Order.model_json_schema()
    strict_schema(schema)
    assert schema == Order.model_json_schema()
