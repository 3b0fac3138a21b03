-- name: change
-- Promote or roll back a version, as an operator: what is shown at once, what is queued, what is read again to be shown.
-- The daemon's login may not.
SELECT rows, of_share, shown, queued, reread
FROM store.set_stage(%(version_id)s, %(stage)s, %(share)s, %(actor)s, %(why)s, %(redo)s, %(told)s);
