"""Long texts beyond the basic plane go over ODBC whole.

MariaDB's driver (3.1.15) takes each such sign for two characters where a text of more than 255 is
handed to it in UTF-16, and then sends bytes from behind the text; in UTF-8 it does not.
"""

import sqlalchemy as sa

from insights.odbc import door
from tests import servers

LENGTHS = (1, 28, 29, 255, 256, 2000, 40_000)


def test_through_mariadbs_driver(mariadb: servers.MariaDbPair, mariadb_database: str) -> None:
    server = mariadb.primary
    server.execute(
        "CREATE TABLE said (id INT PRIMARY KEY, body LONGTEXT) CHARACTER SET utf8mb4",
        database=mariadb_database,
    )
    texts = {length: "gr\u00fcn \N{GRINNING FACE} \u05d0\u05d1" * length for length in LENGTHS}
    made = door.engine(server.odbc(mariadb_database), read_only=False, timeout_s=30)
    insert = sa.text("INSERT INTO said VALUES (:id, :body)")
    with made.begin() as link:
        for length, text in texts.items():
            link.execute(insert, {"id": length, "body": text})
        found = link.execute(sa.text("SELECT id, body, CHAR_LENGTH(body) AS signs FROM said"))
        told = {row.id: (row.body, row.signs) for row in found}
    assert told == {length: (text, len(text)) for length, text in texts.items()}
    made.dispose()
