"""How each engine prints a value as text without losing any of it, and takes that text back.

Drivers corrupt values in silence (PostgreSQL's infinity, zero dates, NUL in SQLite, fractions of
seconds), so the server prints what decides: keys and cursors. A text is bound back with a cast of
the *parameter* to the column's type, never of the column, so that its index stays usable.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from insights.odbc.dialects import OWN_MODE
from insights.odbc.types import Bits, OfDomain
from insights.sources.kinds import Column, Kind

# Types of PostgreSQL that are no text and have an order of their own, which their indexes keep.
_POSTGRES_SORTED = (
    postgresql.ENUM, postgresql.INET, postgresql.CIDR, postgresql.MACADDR, postgresql.INTERVAL,
    postgresql.OID,
)  # fmt: skip
# Types of PostgreSQL without max(), the first two before version 18; their texts sort alike.
_POSTGRES_BOUNDLESS = (sa.Uuid, sa.types._Binary, postgresql.MACADDR, sa.Boolean)  # noqa: SLF001


class Casts:
    """The generic engine (DB2 and others): standard casts; the driver converts what is bound."""

    session: tuple[str, ...] = ()
    digests = False  # whether `digest` says anything
    encodes = False  # whether what `exact` and `readable` return has to go through `decoded`

    def learn(self, link: sa.Connection) -> None:
        """Ask a database, once connected to, what decides how its values are read."""

    def exact(self, column: Column, kind: Kind) -> Column:
        """Return the server's lossless text of a key part or cursor."""
        if kind in ("text", "char"):
            return column
        return sa.func.rtrim(sa.cast(column, sa.CHAR(64)))  # no engine lacks CHAR; it pads

    def readable(self, column: Column, kind: Kind, max_chars: int) -> Column:
        """Return an input as text, cut by the server after `max_chars` + 1 characters."""
        del max_chars  # a standard cut would pad or fail on some engine
        return self.exact(column, kind) if kind != "binary" else column

    def careful(self, column: Column, kind: Kind, max_chars: int) -> Column:
        """Return an input in a form that no invalid byte can make unreadable."""
        return self.readable(column, kind, max_chars)

    def digest(self, column: Column) -> Column:
        """Return the server's digest of all bytes of a binary column; NULL where it has none."""
        del column
        return sa.null()

    def size(self, column: Column) -> Column:
        """Return the bytes of a binary column."""
        return sa.func.length(column)

    def contents(self, column: Column) -> Column:
        """Return a binary column so that it comes whole; see `raw`."""
        return column

    def raw(self, value: object) -> bytes:
        """Return the bytes that the driver gave for `contents`."""
        return value if isinstance(value, bytes) else str(value).encode()

    def ordered(self, column: Column, kind: Kind) -> Column:
        """Return what to sort and compare by: the column, or its text where that is no order."""
        return self.exact(column, kind) if kind == "other" else column

    def bounded(self, column: Column, kind: Kind) -> Column:
        """Return what min and max are asked of: in the order of `ordered`."""
        return self.ordered(column, kind)

    def may_be_cursor(self, column: Column, kind: Kind) -> bool:
        """Tell whether new values come last in the order of `ordered`."""
        del column, kind
        return True

    def members(self, column: Column) -> list[str] | None:
        """Return a column's values in its order, where that is neither its texts' nor a cast's."""
        del column
        return None

    def bound(self, parameter: Column, column: Column, kind: Kind) -> Column:
        """Return a bound text as a value of the column's type."""
        del column, kind
        return parameter

    def bindable(self, text: str, kind: Kind) -> object:
        """Return what to hand the driver for a text."""
        del kind
        return text

    def decoded(self, value: object) -> object:
        """Return what the driver gave for `exact`, `readable` or `careful`: text or bytes."""
        return value


class _Sqlite(Casts):
    """SQLite types values, not columns, and its driver cuts text at NUL and drops bad bytes.

    Every value comes as `=text`, or as hexadecimal bytes after `x`, after `t` where they are a text
    in the database's encoding: the driver takes a column's type from its first row and spoils blobs
    below a NULL. Reals print with 17 digits where they decide. Bound texts take the column's
    affinity, so that SQLite compares them as it sorts them.
    """

    encodes = True

    def __init__(self) -> None:
        self._encoding = "UTF-8"

    def learn(self, link: sa.Connection) -> None:
        self._encoding = str(link.exec_driver_sql("PRAGMA encoding").scalar_one())

    def exact(self, column: Column, kind: Kind) -> Column:
        if kind == "binary":
            return sa.literal_column("'='").op("||")(sa.func.hex(column))
        return self._printed(column, sa.func.printf("%!.17g", column), column)

    def readable(self, column: Column, kind: Kind, max_chars: int) -> Column:
        del kind
        raw = sa.func.substr(sa.cast(column, sa.BLOB), 1, 4 * (max_chars + 1))
        return self._printed(column, sa.cast(column, sa.Text), raw)

    def size(self, column: Column) -> Column:
        return sa.func.length(sa.cast(column, sa.BLOB))

    def contents(self, column: Column) -> Column:
        return sa.func.hex(sa.cast(column, sa.BLOB))

    def raw(self, value: object) -> bytes:
        return bytes.fromhex(str(value))

    def ordered(self, column: Column, kind: Kind) -> Column:
        return sa.cast(column, sa.Text) if kind == "other" else column

    def bindable(self, text: str, kind: Kind) -> object:
        return bytes.fromhex(text) if kind == "binary" else text

    def decoded(self, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.startswith("="):
            return value[1:]
        raw = bytes.fromhex(value[1:])
        if value.startswith("x") or self._encoding == "UTF-8":
            return raw
        whole = raw[: len(raw) // 2 * 2]  # a cut may leave half a unit
        return whole.decode(self._encoding, "surrogatepass").encode("utf-8", "surrogatepass")

    @staticmethod
    def _printed(column: Column, real: Column, raw: Column) -> Column:
        type_, equals = sa.func.typeof(column), sa.literal_column("'='").op("||")
        return sa.case(
            (type_ == sa.literal_column("'null'"), sa.null()),
            (type_ == sa.literal_column("'integer'"), equals(sa.cast(column, sa.Text))),
            (type_ == sa.literal_column("'real'"), equals(real)),
            else_=sa.case(
                (type_ == sa.literal_column("'text'"), sa.literal_column("'t'")),
                else_=sa.literal_column("'x'"),
            ).op("||")(sa.func.hex(sa.cast(raw, sa.BLOB))),
        )


class _MySql(Casts):
    """MariaDB and MySQL: a text compared with a number would be compared as two doubles."""

    digests = True
    session = ("SET SESSION time_zone = '+00:00'", OWN_MODE)

    def exact(self, column: Column, kind: Kind) -> Column:
        if kind in ("binary", "rowversion"):
            return sa.func.hex(column)
        if kind == "float":
            column = column + sa.literal_column("0e0")  # FLOAT prints six digits, DOUBLE all
        if isinstance(column.type, Bits):
            column = sa.cast(column, mysql.INTEGER(unsigned=True))
        return sa.cast(column, sa.CHAR)

    def readable(self, column: Column, kind: Kind, max_chars: int) -> Column:
        if kind == "binary":
            return sa.func.left(column, 4 * (max_chars + 1))
        if kind == "text":
            return sa.func.left(column, max_chars + 1)
        return self.exact(column, kind)

    def careful(self, column: Column, kind: Kind, max_chars: int) -> Column:
        if kind in ("text", "char"):
            return sa.cast(sa.func.left(column, max_chars + 1), sa.BINARY)
        return self.readable(column, kind, max_chars)

    def digest(self, column: Column) -> Column:
        # SHA2 is NULL above max_allowed_packet: the length still tells of most changes.
        digest = sa.func.sha2(column, sa.literal_column("256"))
        return sa.func.concat_ws(sa.literal_column("':'"), self.size(column), digest)

    def size(self, column: Column) -> Column:
        return sa.func.octet_length(column)

    def ordered(self, column: Column, kind: Kind) -> Column:
        if isinstance(column.type, mysql.ENUM):  # sorted and indexed by number, compared as text
            return sa.type_coerce(column, sa.String())
        return super().ordered(column, kind)

    def may_be_cursor(self, column: Column, kind: Kind) -> bool:
        # Others are sorted as texts: addresses, sets, geometry.
        return kind != "other" or isinstance(column.type, mysql.ENUM)

    def members(self, column: Column) -> list[str] | None:
        if not isinstance(column.type, mysql.ENUM):
            return None
        named = list(column.type.enums)
        return named if "" in named else ["", *named]  # '' is what a value that is none became

    def bound(self, parameter: Column, column: Column, kind: Kind) -> Column:
        type_: sa.types.TypeEngine[Any] | None = None
        if kind in ("integer", "boolean"):
            unsigned = isinstance(column.type, Bits) or getattr(column.type, "unsigned", False)
            type_ = mysql.INTEGER(unsigned=unsigned)
        elif kind == "decimal":
            type_ = mysql.DECIMAL(65, getattr(column.type, "scale", None) or 0)
        elif kind == "float":
            type_ = mysql.DOUBLE()
        elif kind == "datetime":
            type_ = mysql.DATETIME(fsp=6)
        elif kind == "date":
            type_ = mysql.DATE()
        elif kind == "time":
            type_ = mysql.TIME(fsp=6)
        elif kind == "binary":
            return sa.func.unhex(parameter)
        return parameter if type_ is None else sa.cast(parameter, type_)


class _Postgres(Casts):
    """PostgreSQL: a bound text is a literal of unknown type, which takes the column's by itself."""

    digests = True
    session = (
        "SET TimeZone = 'UTC'",
        "SET DateStyle = 'ISO, MDY'",
        "SET IntervalStyle = 'postgres'",
        "SET bytea_output = 'hex'",
        "SET extra_float_digits = 1",
    )

    def exact(self, column: Column, kind: Kind) -> Column:
        del kind
        return sa.cast(column, sa.Text)

    def readable(self, column: Column, kind: Kind, max_chars: int) -> Column:
        text = sa.cast(column, sa.Text)
        return sa.func.left(text, max_chars + 1) if kind in ("text", "other") else text

    def digest(self, column: Column) -> Column:
        return sa.func.encode(sa.func.sha256(column), sa.literal_column("'hex'"))

    def size(self, column: Column) -> Column:
        return sa.func.octet_length(column)

    def contents(self, column: Column) -> Column:
        return sa.func.encode(column, sa.literal_column("'hex'"))

    def raw(self, value: object) -> bytes:
        return bytes.fromhex(str(value))

    def ordered(self, column: Column, kind: Kind) -> Column:
        if isinstance(column.type, OfDomain):
            of = column.type
            return sa.cast(column, postgresql.ENUM(*of.enums, name=of.name, schema=of.schema))
        if isinstance(column.type, _POSTGRES_SORTED):
            return sa.type_coerce(column, sa.String())  # as it is; a text takes its type
        return super().ordered(column, kind)

    def bounded(self, column: Column, kind: Kind) -> Column:
        if kind == "guid" or isinstance(column.type, _POSTGRES_BOUNDLESS):
            return sa.cast(column, sa.Text)
        return self.ordered(column, kind)

    def may_be_cursor(self, column: Column, kind: Kind) -> bool:
        # Others are sorted as texts: numbers of transactions and log positions, money, bits.
        return kind != "other" or isinstance(column.type, _POSTGRES_SORTED)

    def careful(self, column: Column, kind: Kind, max_chars: int) -> Column:
        return sa.func.convert_to(
            self.readable(column, kind, max_chars), sa.literal_column("'SQL_ASCII'")
        )


class _MsSql(Casts):
    """SQL Server: style 121 prints every fraction of a second; rowversion is hexadecimal."""

    def size(self, column: Column) -> Column:
        return sa.func.datalength(column)

    def exact(self, column: Column, kind: Kind) -> Column:
        style = {
            "datetime": 121,
            "date": 121,
            "time": 121,
            "rowversion": 1,
            "binary": 1,
            "float": 3,
        }
        if kind in style:
            type_: Column = sa.literal_column(
                "NVARCHAR(MAX)" if kind == "binary" else "NVARCHAR(64)"
            )
            return sa.func.convert(type_, column, sa.literal_column(str(style[kind])))
        if kind == "guid":
            return sa.cast(column, sa.CHAR(36))
        return column if kind in ("text", "char") else sa.cast(column, sa.NVARCHAR(64))

    def readable(self, column: Column, kind: Kind, max_chars: int) -> Column:
        if kind in ("text", "other"):
            whole = sa.func.convert(sa.literal_column("NVARCHAR(MAX)"), column)
            return sa.func.left(whole, max_chars + 1)
        if kind == "char":
            return sa.func.rtrim(column)
        return self.exact(column, kind)

    def bound(self, parameter: Column, column: Column, kind: Kind) -> Column:
        if kind in ("rowversion", "binary"):
            type_ = "BINARY(8)" if kind == "rowversion" else "VARBINARY(MAX)"
            return sa.func.convert(sa.literal_column(type_), parameter, sa.literal_column("1"))
        if kind in ("text", "char", "other"):
            return parameter
        if kind in ("datetime", "date", "time"):
            return sa.func.convert(
                sa.type_coerce(sa.literal_column(_ms_type(column)), sa.String),
                parameter,
                sa.literal_column("121"),
            )
        return sa.cast(parameter, column.type)


class _Oracle(Casts):
    """Oracle: formats are spelt out; the session's NLS settings would decide otherwise."""

    session = ("ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '. '",)
    _FRACTION = "'YYYY-MM-DD HH24:MI:SS.FF9'"
    _SECOND = "'YYYY-MM-DD HH24:MI:SS'"

    def exact(self, column: Column, kind: Kind) -> Column:
        if kind in ("text", "char"):
            return column
        if kind == "binary":
            return sa.func.rawtohex(column)
        form = {"datetime": self._format(column), "date": self._SECOND}.get(kind)
        if form is None:
            return sa.func.to_char(column, sa.literal_column("'TM9'"))
        return sa.func.to_char(column, sa.literal_column(form))

    def readable(self, column: Column, kind: Kind, max_chars: int) -> Column:
        if kind == "text":
            return sa.func.substr(column, 1, max_chars + 1)
        return sa.func.rtrim(column) if kind == "char" else self.exact(column, kind)

    def bound(self, parameter: Column, column: Column, kind: Kind) -> Column:
        if kind == "binary":
            return sa.func.hextoraw(parameter)
        if kind == "datetime" and self._format(column) == self._FRACTION:
            return sa.func.to_timestamp(parameter, sa.literal_column(self._FRACTION))
        if kind in ("datetime", "date"):
            return sa.func.to_date(parameter, sa.literal_column(self._SECOND))
        if kind in ("integer", "decimal", "float"):
            return sa.func.to_number(parameter)
        return parameter

    def _format(self, column: Column) -> str:
        # Oracle's DATE has seconds and no fraction; FF would be an error.
        is_date = column.type.__visit_name__.casefold() == "date"
        return self._SECOND if is_date else self._FRACTION


def _ms_type(column: Column) -> str:
    name = column.type.__visit_name__.upper()
    precision = getattr(column.type, "precision", None)
    return name if precision is None else f"{name}({precision})"


_BY_DIALECT: dict[str, type[Casts]] = {
    "sqlite": _Sqlite,
    "mysql": _MySql,
    "mariadb": _MySql,
    "postgresql": _Postgres,
    "mssql": _MsSql,
    "oracle": _Oracle,
}


def casts_of(dialect: str) -> Casts:
    """Return the casts of SQLAlchemy's dialect `name`."""
    return _BY_DIALECT.get(dialect, Casts)()
