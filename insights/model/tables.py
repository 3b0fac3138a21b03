"""A table as `insights init` looks at it: columns with what a sample tells, keys, and its size.

No value is in here: a sample is looked at in the reader process, and what leaves it are counts.
"""

from typing import Literal

from insights.model.base import Value


class ColumnProfile(Value, frozen=True):
    """One column, and what a sample of rows tells of it.

    `kind` is what `sources.casts` takes the type for. `automatic` says what the engine itself sets
    it at. `indexed` columns lead an index, `unique` ones are a unique key alone. Of the sample,
    `filled` rows have a value, `distinct` different ones; `words` is the mean number of words of a
    value, `moments` how many values are times that sort as text, `rising` the share of neighbours
    in the key's order whose values do not fall (None: not comparable). `personal` counts the values
    in which redaction finds each kind, `people` those that look like names of persons. `values` are
    the different ones of a column that repeats few short ones, the most frequent first.
    """

    name: str
    type: str
    kind: str
    nullable: bool = True
    automatic: Literal["", "change", "identity"] = ""
    indexed: bool = False
    unique: bool = False
    filled: int = 0
    distinct: int = 0
    words: float = 0.0
    moments: int = 0
    rising: float | None = None
    personal: dict[str, int] = {}
    people: int = 0
    values: tuple[str, ...] = ()


class TableProfile(Value, frozen=True):
    """A table or view: its columns in order, its unique keys, and a look at its rows.

    `unique` are the keys that the database keeps, the primary one first; `proven` are column sets
    that tell all rows of the sample apart, and of the whole table where `proven_in_all` says so:
    for a view. `rows` is counted up to `counted`. `schema` and `table` are its name, in parts.
    """

    columns: tuple[ColumnProfile, ...]
    unique: tuple[tuple[str, ...], ...]
    proven: tuple[tuple[str, ...], ...]
    rows: int
    counted: int
    sampled: int
    dialect: str
    is_view: bool
    proven_in_all: bool = False
    schema: str = ""
    table: str = ""

    def column(self, name: str) -> ColumnProfile:
        """Return a column by name."""
        return next(column for column in self.columns if column.name == name)
