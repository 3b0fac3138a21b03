-- name: pause
-- A person stops the reading of a stream, and the work on its rows. The audit says who.
WITH paused AS (
    UPDATE store.stream SET paused = true WHERE name = %(stream)s AND NOT paused RETURNING stream_id
), audited AS (
    INSERT INTO store.audit_event (actor, action, stream_id)
    SELECT %(actor)s, 'stream paused', stream_id FROM paused
    RETURNING event_id
)
SELECT (SELECT count(*) FROM audited) AS changed, EXISTS (SELECT FROM store.stream WHERE name = %(stream)s) AS known;

-- name: resume
-- A person lets a stream go on: whatever stopped it is taken to be mended, and its columns are as they are now.
WITH former AS (
    SELECT stream_id, paused, stopped_reason FROM store.stream
    WHERE name = %(stream)s AND (paused OR stopped_reason IS NOT NULL)
    FOR UPDATE
), resumed AS (
    UPDATE store.stream s
    SET paused = false, stopped_reason = NULL, shape = CASE WHEN f.stopped_reason IS NULL THEN s.shape END
    FROM former f WHERE s.stream_id = f.stream_id
    RETURNING s.stream_id
), audited AS (
    INSERT INTO store.audit_event (actor, action, stream_id, details)
    SELECT %(actor)s, 'stream resumed', f.stream_id,
           jsonb_build_object('paused', f.paused, 'stopped_reason', f.stopped_reason)
    FROM former f JOIN resumed USING (stream_id)
    RETURNING event_id
)
SELECT (SELECT count(*) FROM audited) AS changed, EXISTS (SELECT FROM store.stream WHERE name = %(stream)s) AS known;
