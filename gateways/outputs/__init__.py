"""What answers are to be, one kind of type a file; `Output` itself is in `actors/output.py`.

resolver.py          what `output_schema=` may be
pydantic_types.py    Pydantic models, dataclasses, TypedDicts, plain types, and unions of them
msgspec_types.py     msgspec structs, and unions of them
json_schema.py       a JSON Schema itself; also what was recorded of a type that is not known here
reading.py           the answer in a text, with its wrapper or without
shape.py             schemas as providers take them: an object at the root, a name
typed.py             results, with their answers as the types that the program knows
partial.py           answers while they are written
"""

from .resolver import resolve_output

__all__ = ["resolve_output"]
