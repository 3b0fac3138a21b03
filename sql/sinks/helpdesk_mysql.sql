-- Sink helpdesk: made once, by the owner of the legacy schema.

CREATE TABLE ai_insight_triage (
    ticket_id INTEGER NOT NULL,
    category VARCHAR(32),
    urgency BIGINT,
    confidence DOUBLE,
    outage BOOL,
    due DATE,
    summary VARCHAR(200),
    evidence TEXT,
    citations TEXT,
    insight_id BIGINT,
    revision BIGINT NOT NULL,
    status VARCHAR(16) NOT NULL,
    source_cursor VARCHAR(255),
    pipeline_version VARCHAR(64),
    model VARCHAR(255),
    generated_at DATETIME,
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
FROM ticket AS l LEFT OUTER JOIN ai_insight_triage AS i ON l.ticket_id = i.ticket_id;

-- Rights of the publisher's login and the legacy application's: put in your names.
-- GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO insights_writer;
-- GRANT SELECT ON ticket_with_insight TO legacy_application;
