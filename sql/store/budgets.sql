-- name: declare
-- Record a budget as the settings say it; what was used of it stays. Returns whether anything changed.
WITH former AS (
    SELECT * FROM store.budget WHERE name = %(name)s
)
INSERT INTO store.budget AS b (name, concerns, model, client, unit, per, time_zone, soft, hard)
VALUES (%(name)s, %(concerns)s, %(model)s, %(client)s, %(unit)s, %(per)s, %(time_zone)s, %(soft)s, %(hard)s)
ON CONFLICT (name) DO UPDATE
SET concerns = excluded.concerns, model = excluded.model, client = excluded.client, unit = excluded.unit, per = excluded.per,
    time_zone = excluded.time_zone, soft = excluded.soft, hard = excluded.hard,
    -- In another unit, of another model or in other windows what was used means nothing.
    used = CASE WHEN (b.unit, b.per, b.time_zone, b.model, b.concerns) IS NOT DISTINCT FROM
                     (excluded.unit, excluded.per, excluded.time_zone, excluded.model, excluded.concerns)
                THEN b.used ELSE 0 END
RETURNING budget_id, NOT EXISTS (
    SELECT FROM former f
    WHERE (f.concerns, f.model, f.unit, f.per, f.time_zone, f.soft, f.hard) IS NOT DISTINCT FROM
          (b.concerns, b.model, b.unit, b.per, b.time_zone, b.soft, b.hard)) AS changed;

-- name: unbind_clients
-- Clients whose budget the settings say no more may send as they like, and no work is under it.
WITH unbound AS (
    UPDATE store.budget SET client = NULL WHERE client IS NOT NULL AND name <> ALL (%(names)s::text[]) RETURNING budget_id
)
DELETE FROM store.budgeted v USING unbound u WHERE v.budget_id = u.budget_id;

-- name: put_under
-- Which budgets the work of a version is under from now on, with what a row reserves of each: these, and no other.
WITH wanted AS (
    SELECT * FROM unnest(%(budgets)s::integer[], %(reserves)s::double precision[], %(yields)s::boolean[])
        AS w (budget_id, reserve, yields)
), dropped AS (
    DELETE FROM store.budgeted v
    WHERE v.pipeline_version_id = %(version_id)s
      AND NOT EXISTS (SELECT FROM wanted w WHERE w.budget_id = v.budget_id)
)
INSERT INTO store.budgeted AS v (budget_id, pipeline_version_id, reserve, yields)
SELECT w.budget_id, %(version_id)s, w.reserve, w.yields FROM wanted w
ON CONFLICT (pipeline_version_id, budget_id) DO UPDATE SET reserve = excluded.reserve, yields = excluded.yields
WHERE (v.reserve, v.yields) IS DISTINCT FROM (excluded.reserve, excluded.yields);

-- name: budgets
-- Each budget now, by name.
SELECT name, concerns, unit, per, time_zone, soft, hard, used, reserved, in_hand, reserve, resets_at, yields
FROM store.budget_standing ORDER BY name;

-- name: used_up
-- Of these versions those that no row may begin of until a day or an hour is over, and which budget says so. What rows in
-- hand reserve is left out: it comes back where a row takes less than it might. A budget that yields stops nobody while the
-- version's other model has one, and one of a `client` its rows alone.
WITH under AS MATERIALIZED (
    SELECT v.pipeline_version_id, v.yields, b.model, b.client, b.name, b.per, b.resets_at
    FROM store.budgeted v JOIN store.budget_standing b USING (budget_id)
    WHERE v.pipeline_version_id = ANY(%(versions)s) AND (b.hard - b.used < v.reserve OR b.used >= b.hard)
), barred AS (
    SELECT pipeline_version_id, min(model) AS model FROM under WHERE yields
    GROUP BY pipeline_version_id HAVING count(DISTINCT model) = 1
)
SELECT u.pipeline_version_id, u.client, min(u.name) AS budget, min(u.resets_at) AS resets_at
FROM under u
WHERE u.per <> 'minute'
  AND NOT EXISTS (SELECT FROM barred x WHERE x.pipeline_version_id = u.pipeline_version_id AND x.model = u.model)
GROUP BY u.pipeline_version_id, u.client;
