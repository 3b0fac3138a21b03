-- Sink helpdesk: made once, by the owner of the legacy schema.

CREATE TABLE ai_insight_triage (
    ticket_id INTEGER NOT NULL,
    category VARCHAR2(32 CHAR),
    urgency NUMBER(19),
    confidence DOUBLE PRECISION,
    outage NUMERIC(1),
    due DATE,
    summary VARCHAR2(200 CHAR),
    evidence CLOB,
    citations CLOB,
    insight_id NUMBER(19),
    revision NUMBER(19) NOT NULL,
    status VARCHAR2(16 CHAR) NOT NULL,
    source_cursor VARCHAR2(255 CHAR),
    pipeline_version VARCHAR2(64 CHAR),
    model VARCHAR2(255 CHAR),
    generated_at TIMESTAMP,
    PRIMARY KEY (ticket_id)
);

CREATE VIEW ticket_with_insight AS SELECT l.ticket_id, l.subject, l.status, l.updated_at,
    CASE WHEN (i.status = 'ok') THEN i.category END AS category,
    CASE WHEN (i.status = 'ok') THEN i.urgency END AS urgency,
    CASE WHEN (i.status = 'ok') THEN i.confidence END AS confidence,
    CASE WHEN (i.status = 'ok') THEN i.outage END AS outage,
    CASE WHEN (i.status = 'ok') THEN i.due END AS due,
    CASE WHEN (i.status = 'ok') THEN i.summary END AS summary,
    CASE WHEN (i.status = 'ok') THEN i.evidence END AS evidence,
    CASE WHEN (i.status = 'ok') THEN i.citations END AS citations,
    i.insight_id AS insight_id,
    i.revision AS revision,
    i.status AS ai_status,
    i.source_cursor AS source_cursor,
    i.pipeline_version AS pipeline_version,
    i.model AS model,
    i.generated_at AS generated_at
FROM ticket l LEFT OUTER JOIN ai_insight_triage i ON l.ticket_id = i.ticket_id;

-- Rights of the publisher's login and the legacy application's: put in your names.
-- GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO insights_writer;
-- GRANT SELECT ON ticket_with_insight TO legacy_application;
