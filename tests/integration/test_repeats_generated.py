"""What a real generator makes of a list that may name nothing twice."""

from pathlib import Path

import msgspec

from insights.inference.client import LocalGenerator
from tests.asking import BODIES, request


def test_a_list_that_names_nothing_twice_does_so_whatever_the_model_said(stand_in: Path) -> None:
    numbers = {"type": "integer", "minimum": 7, "maximum": 7}  # of which there is one
    listed = {"type": "array", "items": numbers, "minItems": 1, "maxItems": 4, "uniqueItems": True}
    schema = {"type": "object", "properties": {"n": listed}, "required": ["n"]}
    asked = msgspec.structs.replace(request(BODIES[0]), output_schema=schema, abstain=())
    generator = LocalGenerator(stand_in)
    try:
        assert generator.submit(asked).result(60).text == '{"n":[7]}'
    finally:
        generator.close()
