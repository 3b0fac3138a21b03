-- Sink helpdesk: made once, by the owner of the legacy schema.

CREATE TABLE ai_insight_triage (
    ticket_id INTEGER NOT NULL,
    category NVARCHAR(32) NULL,
    urgency BIGINT NULL,
    confidence DOUBLE PRECISION NULL,
    outage BIT NULL,
    due DATE NULL,
    summary NVARCHAR(200) NULL,
    evidence NVARCHAR(max) NULL,
    citations NVARCHAR(max) NULL,
    insight_id BIGINT NULL,
    revision BIGINT NOT NULL,
    status VARCHAR(16) NOT NULL,
    source_cursor NVARCHAR(255) NULL,
    pipeline_version VARCHAR(64) NULL,
    model NVARCHAR(255) NULL,
    generated_at DATETIME2 NULL,
    PRIMARY KEY (ticket_id)
)
GO

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
FROM ticket AS l LEFT OUTER JOIN ai_insight_triage AS i ON l.ticket_id = i.ticket_id
GO

-- Rights of the publisher's login and the legacy application's: put in your names.
-- GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO insights_writer;
-- GRANT SELECT ON ticket_with_insight TO legacy_application;
