"""What `output_schema=` may be: the schema that comes of it, what fits, and what a model is told that does not."""

import dataclasses
import datetime
import enum
import importlib
import typing
from typing import Annotated, Any, Generic, Literal, NewType, TypedDict, TypeVar

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from treadle import ConfigError
from treadle.actors.output import DoesNotFit
from treadle.events.message import OutputFormat
from treadle.gateways.outputs import resolve_output
from treadle.gateways.outputs.json_schema import JsonSchemaOutput


class Report(BaseModel):
    city: str
    temp_c: float


class Missing(BaseModel):
    reason: str


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: datetime.date


class Tree(BaseModel):
    name: str
    below: list["Tree"] = []


@dataclasses.dataclass
class Booking:
    account: str
    reports: list[Report]


class Options(TypedDict):
    verbose: bool


class Found(msgspec.Struct):
    number: int


class Lost(msgspec.Struct):
    why: str


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


Amount = NewType("Amount", int)
T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    item: T


class Score(BaseModel):
    value: int


class Points(msgspec.Struct):
    value: int


Twin = msgspec.defstruct("Found", [("letter", str)], module="elsewhere")
Double = msgspec.defstruct("Found", [("letter", str)], module=__name__)


FITTING: list[tuple[Any, str, Any]] = [
    (Report, '{"city": "Tokyo", "temp_c": 22}', Report(city="Tokyo", temp_c=22.0)),
    (Report | Missing, '{"value": {"reason": "fog"}}', Missing(reason="fog")),
    (typing.Optional[Report], '{"value": null}', None),  # noqa: UP045 - the old form is what is tested
    (Report | Missing | None, '{"value": {"reason": "fog"}}', Missing(reason="fog")),
    (Tree, '{"name": "a", "below": [{"name": "b"}]}', Tree(name="a", below=[Tree(name="b")])),
    (Booking, '{"account": "a", "reports": []}', Booking("a", [])),
    (Options, '{"verbose": true}', {"verbose": True}),
    (Found, '{"number": 7}', Found(7)),
    (Found | Lost, '{"value": {"why": "rain"}}', Lost("rain")),
    (Found | Twin, '{"value": {"number": 7}}', Found(7)),
    (Found | Twin, '{"value": {"letter": "a"}}', Twin(letter="a")),
    (Page[int], '{"item": 7}', Page(7)),
    (list[Page[Found]], '{"value": [{"item": {"number": 7}}]}', [Page(Found(7))]),
    (Score | None, '{"value": {"value": 7}}', Score(value=7)),
    (list[Found], '{"value": [{"number": 7}]}', [Found(7)]),
    (dict[str, Found], '{"a": {"number": 7}}', {"a": Found(7)}),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (int, '{"value": 7}', 7),
    (list[str], '{"value": ["a"]}', ["a"]),
    (set[int], '{"value": [1, 1]}', {1}),
    (tuple[int, str], '{"value": [1, "a"]}', (1, "a")),
    (Literal["yes", "no"], '{"value": "yes"}', "yes"),
    (Colour, '{"value": "red"}', Colour.RED),
    (datetime.date, '{"value": "2026-07-01"}', datetime.date(2026, 7, 1)),
    (Strict, '{"day": "2026-07-01"}', Strict(day=datetime.date(2026, 7, 1))),
    (Annotated[int, Field(gt=3)], '{"value": 4}', 4),
    (Amount, '{"value": 4}', 4),
    (Any, '{"value": {"value": 4}}', {"value": 4}),
    ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a": 1}', {"a": 1}),
    ({"title": "Some numbers", "type": "array", "items": {"type": "integer"}}, '{"value": [1]}', [1]),
]


@pytest.mark.parametrize(("wanted", "text", "value"), FITTING, ids=lambda each: str(each)[:40])
def test_an_answer_that_fits_is_of_its_type(wanted: Any, text: str, value: Any) -> None:
    parsed = resolve_output(wanted).parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(("wanted", "text", "value"), FITTING, ids=lambda each: str(each)[:40])
def test_a_schema_has_an_object_at_its_root_and_what_fits_it_fits_the_type(wanted: Any, text: str, value: Any) -> None:
    output = resolve_output(wanted)
    assert output.schema["type"] == "object"
    assert output.name.replace("_", "a").replace("-", "a").isalnum()
    recorded = JsonSchemaOutput.recorded(OutputFormat(output.name, output.schema, output.wrapped))
    if wanted != set[int]:  # a list with doubles is a set to pydantic, and not to its schema
        whole = msgspec.json.decode(text)
        assert recorded.parse(text) == (whole["value"] if output.wrapped else whole)


def test_members_of_a_union_are_tried_in_the_order_of_their_declaration() -> None:
    class First(BaseModel):
        number: float

    class Second(BaseModel):
        number: int

    assert type(resolve_output(First | Second).parse('{"number": 1}')) is First
    assert type(resolve_output(Second | First).parse('{"number": 1}')) is Second
    assert type(resolve_output(Second | First).parse('{"number": 1.5}')) is First


@pytest.mark.parametrize(
    "text",
    [
        '{"value": [1, 2]}',
        "[1, 2]",
        ' \n{"value": [1, 2]}\n',
        '```json\n{"value": [1, 2]}\n```',
        "```\n[1, 2]\n```",
        'Here it is:\n```json\n{"value": [1, 2]}\n```\nI hope this helps.',
    ],
)
def test_a_fence_and_a_missing_wrapper_are_seen_through(text: str) -> None:
    assert resolve_output(list[int]).parse(text) == [1, 2]


@pytest.mark.parametrize(
    ("wanted", "value"),
    [(Score | None, Score(value=7)), (Score | Report, Score(value=7)), (Points | None, Points(7))],
)
def test_an_answer_with_the_one_field_value_is_seen_without_its_wrapper(wanted: Any, value: Any) -> None:
    output = resolve_output(wanted)
    assert output.wrapped
    assert output.parse('{"value": 7}') == output.parse('{"value": {"value": 7}}') == value
    recorded = JsonSchemaOutput.recorded(OutputFormat(output.name, output.schema, output.wrapped))
    assert recorded.parse('{"value": 7}') == {"value": 7}
    with pytest.raises(DoesNotFit, match=r"(?i)expected|should be"):
        output.parse('{"value": "seven"}')


def test_fences_inside_of_an_answer_are_a_part_of_it() -> None:
    assert resolve_output(list[str]).parse('["```\\n1\\n```"]') == ["```\n1\n```"]


@pytest.mark.parametrize(
    ("wanted", "text", "told"),
    [
        (Report, "", "it is empty"),
        (Report, "  \n", "it is empty"),
        (Report, "It is sunny.", "it is no JSON"),
        (Report, '{"city": "Tokyo"', "it is no JSON"),
        (Report, '{"city": "Tokyo", "temp_c": NaN}', "it is no JSON"),
        (Report, '```json\n{"city": \n```', "what stands between the fences is no JSON"),
        (Report, '{"city": "Tokyo"}', "temp_c: Field required"),
        (Report, '{"city": "Tokyo", "temp_c": "warm"}', "temp_c: Input should be a valid number"),
        (
            Report | Missing,
            '{"value": {}}',
            "Report.city: Field required; Report.temp_c: Field required; Missing",
        ),
        (Found, '{"number": "7"}', "Expected `int`, got `str` - at `$.number`"),
        (Found | Lost, "{}", "as Found: Object missing required field `number`; as Lost: "),
        (list[int], '{"value": [1, "a"]}', "1: Input should be a valid integer"),
        ({"type": "array", "items": {"type": "integer"}}, '{"value": [1, "a"]}', "1: 'a' is not of type 'integer'"),
        (Report, "[" * 100_000, "it is no JSON"),
        (Report, '{"city": "\\ud800", "temp_c": 1}', "it is no JSON"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_an_answer_that_does_not_fit_says_what_and_where(wanted: Any, text: str, told: str) -> None:
    with pytest.raises(DoesNotFit) as refused:
        resolve_output(wanted).parse(text)
    assert str(refused.value).startswith(told)


def test_a_thousand_faults_are_told_in_a_few_lines() -> None:
    with pytest.raises(DoesNotFit, match="and 980 more faults"):
        resolve_output(list[int]).parse(msgspec.json.encode(["a"] * 1000).decode())
    with pytest.raises(DoesNotFit, match="and 980 more faults"):
        resolve_output({"type": "array", "items": {"type": "integer"}}).parse('["a"' + ', "a"' * 999 + "]")


@pytest.mark.parametrize(
    "wanted",
    [
        "Report",
        Report(city="Tokyo", temp_c=22),
        Found(7),
        Booking("a", []),
        5,
        typing.Callable[[int], int],
        list["Nowhere"],  # type: ignore[name-defined]  # noqa: F821
        {"type": 3},
        {"$ref": "https://example.com/schema"},
        {"type": "object", "properties": {"a": {"$ref": "#/properties/b"}}},
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_no_model_can_be_told_is_refused_when_it_is_given(wanted: Any) -> None:
    with pytest.raises(ConfigError, match="output_schema"):
        resolve_output(wanted)


def test_two_structs_that_cannot_be_told_apart_by_their_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="two structs of one name"):
        resolve_output(Found | Double)


def test_a_type_that_refers_to_itself_is_told_with_its_definition() -> None:
    schema = resolve_output(Tree).schema
    assert schema["properties"]["below"]["items"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"].keys() == {"Tree"}
    assert "$defs" not in resolve_output(Found).schema


def test_faults_of_a_validator_of_ones_own_are_told() -> None:
    class Even(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def even(cls, number: int) -> int:
            if number % 2:
                raise ValueError("it must be even")
            return number

    with pytest.raises(DoesNotFit, match="number: Value error, it must be even"):
        resolve_output(Even).parse('{"number": 3}')


def test_without_the_package_a_json_schema_is_refused_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigError, match=r'pip install "treadle\[jsonschema\]"'):
        resolve_output({"type": "object"})
