"""Every column of the store in which a row's key or text could stand, and where it goes."""

import psycopg

# What can hold no text at all.
_PLAIN = (
    "int2", "int4", "int8", "bool", "timestamptz", "float4", "float8", "date", "_int8",
    "interval", "_float8",
)  # fmt: skip

# Whole rows go: store.forget, store.take_row and store.forget_more delete them.
GO = {
    "citation": "field source uri title quote",
    "document": "uri title labels moment content_hash",
    "embedding": "embedding",
    "feedback": "verdict corrected given_by source",  # with its insight
    "inbox": "request_id input_hash own fields client",
    "insight": "status reason output model route quotes_by source_cursor redactions notes"
    " confidences neighbour input_hash asked",
    "ledger": "row_key cursor input_hash",
    "outbox": "shows error sealed",
    "passage": "heading content filters search",
    "reply": "request_id door message address correlation reason",  # with its inbox row
    "request": "state position",
    "submission": "client idempotency_key hashes requests",
    "work": "state holder reason input_hash lease_token barred client",
}
# What is of a row is taken out, the rest stays.
CLEARED = {
    "audit_event": "details",
    "collection": "problems",
    "lexeme": "lexeme",
    "stream": "pass",
    "sweep": "bookmark",
}
# How far a stream was read: a cursor or a number of some row, no key and no text of one.
POSITIONS = {"stream": "position watermark passes window_read gaps", "sweep": "position"}
# Names of settings, versions and machines, messages about them, hashes: nothing of a row.
NOT_OF_A_ROW = {
    "audit_chain": "actor login head sealed_hash",
    "audit_event": "action hash",
    "budget": "name concerns model client unit per time_zone",
    "collection": "name language stream",
    "daemon": "holder roles version troubles threads",
    "deployment": "stage columns stopped_reason changed_by held_reason",
    "embedding_model": "name sha256 check_vector",
    "forgotten": "state stream asked_by key_hash",
    "lease": "name holder token",
    "pipeline": "name",
    "pipeline_version": "sha256 definition",
    "plan": "pipeline model basis",
    "setting": "name value",
    "sink": "name stopped_reason",
    "stream": "name stopped_reason identity shape last_error columns former_columns",
    "sweep": "refused_reason",
    "sweep_block": "present",
    "watch": "counts nearest",
}


def test_of_every_column_it_is_decided_what_forgetting_does_with_it(store_url: str) -> None:
    decided = sorted(
        (table, column)
        for part in (GO, CLEARED, POSITIONS, NOT_OF_A_ROW)
        for table, columns in part.items()
        for column in columns.split()
    )
    with psycopg.connect(store_url) as link:
        standing = link.execute(
            "SELECT table_name::text, column_name::text FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE table_schema = 'store' AND t.table_type = 'BASE TABLE'"
            " AND udt_name::text <> ALL (%s) ORDER BY 1, 2",
            (list(_PLAIN),),
        ).fetchall()
    assert [row for row in standing if row not in decided] == [], "forget it, or say why not"
    assert [row for row in decided if row not in standing] == []
