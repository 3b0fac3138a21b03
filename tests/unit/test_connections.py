"""Connection strings are read and made by ODBC's rules; a secret never adds an attribute."""

from urllib.parse import urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from insights.ground.connections import attributes, filled, with_password, without_password

EVIL = (
    "a;b", "a{b", "a}b", "{ab}", "a}}b", "a@b", "a'b", 'a"b', "a=b", "a b", "a%41b", "a+b", "a\\b",
    "}", "{", "};x", "ü€", ";SERVER=evil", "[a]", "a!b?c*", "{a", "pa{ss}wo;rd", "x/y:z#?&", "$a",
    "${other}",
)  # fmt: skip


def _parsed(odbc: str) -> dict[str, str]:
    return {part.key: part.value for part in attributes(odbc)}


@pytest.mark.parametrize("secret", EVIL)
def test_a_secret_stays_one_value_wherever_it_is_put(secret: str) -> None:
    for written in ("PWD=${p}", "PWD={${p}}", "PWD = ${p}"):
        made = filled(f"DRIVER={{My SQL}};{written};DATABASE=a", lambda _: secret, "odbc")
        assert _parsed(made) == {"DRIVER": "My SQL", "PWD": secret, "DATABASE": "a"}
    url = filled("postgresql://u:${p}@host:5432/db", lambda _: secret, "store")
    assert conninfo_to_dict(url)["password"] == secret
    assert urlsplit(url).hostname == "host"
    words = filled("host=host password=${p} dbname=db", lambda _: secret, "store")
    assert conninfo_to_dict(words) == {"host": "host", "password": secret, "dbname": "db"}
    assert filled("Bearer ${p}", lambda _: secret, "plain") == f"Bearer {secret}"


@pytest.mark.parametrize("secret", EVIL)
def test_no_piece_of_a_password_is_written_by_init(secret: str) -> None:
    quoted = "{" + secret.replace("}", "}}") + "}"
    safe, found = without_password(f"DSN=x; Pwd = {quoted};UID=me", "source_password")
    assert (safe, found) == ("DSN=x;Pwd=${source_password};UID=me", True)


def test_what_holds_no_secret_stays_as_it_is_written() -> None:
    odbc = "Driver=SQLite3; Database=file:/a b.db?mode=ro;ConnSettings={SET a = 'b';};;Flag"
    assert filled(odbc, lambda _: "", "odbc").split(";") == odbc.replace(";;", ";").split(";")
    assert without_password("DSN=x;PWD=;UID=a", "p") == ("DSN=x;PWD=;UID=a", False)
    assert filled("${all}", lambda _: "DSN=x;UID=y", "odbc") == "DSN=x;UID=y"
    assert filled("DSN=x;${more}", lambda _: "UID=y", "odbc") == "DSN=x;UID=y"


@pytest.mark.parametrize("secret", EVIL)
def test_a_password_takes_the_place_of_any_that_was_there(secret: str) -> None:
    for had in ("", ";PWD={o;ld}", ";password=old"):
        made = with_password(f"DRIVER={{My SQL}};UID=u{had}", secret, "odbc")
        assert _parsed(made) == {"DRIVER": "My SQL", "UID": "u", "PWD": secret}
    for url in ("postgresql://u@host/db", "postgresql://u:old@host/db?password=x&sslmode=require"):
        parsed = conninfo_to_dict(with_password(url, secret, "store"))
        assert (parsed["user"], parsed["host"], parsed["password"]) == ("u", "host", secret)
    words = with_password("host=host password=old dbname=db", secret, "store")
    assert conninfo_to_dict(words) == {"host": "host", "password": secret, "dbname": "db"}
