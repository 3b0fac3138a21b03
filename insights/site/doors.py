"""`[door.<name>]`: a watched folder whose files are sent to a pipeline of the inbox."""

import codecs
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from insights.site.values import Duration, Name, Section, seconds


class DoorSettings(Section):
    """`[door.<name>]`: a folder watched for files whose records one pipeline gets.

    A file is complete when it was renamed to a name that `pattern` takes (`renamed`), when the file
    with its name and `marker` is there too (`marker`), or when it stood still for `still`. The
    folders `out`, `done` and `failed` are below `folder`, or anywhere on the same file system.
    """

    folder: Path
    pipeline: Name
    pattern: str = Field(default="*.csv", min_length=1)
    format: Literal["csv", "jsonl"] = "csv"
    complete: Literal["still", "renamed", "marker"] = "still"
    still: Duration = Field(default=seconds("10s"), ge=0)
    marker: str = Field(default=".done", pattern=r"^\.[^/\\]+$")
    every: Duration = Field(default=seconds("2s"), gt=0)
    encoding: str | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    out: Path = Path("out")
    done: Path = Path("done")
    failed: Path = Path("failed")

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        if encoding is not None:
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError(f"there is no encoding {encoding!r}; such as cp1252") from None
        return encoding
