-- What analysts may do: read the views of schema insights. By the owner, after the first `insights migrate`.
-- The views read the store with their owner's rights: analysts need none there.

GRANT USAGE ON SCHEMA insights TO insights_analyst;
GRANT SELECT ON ALL TABLES IN SCHEMA insights TO insights_analyst;
-- Views of pipelines that come later.
ALTER DEFAULT PRIVILEGES IN SCHEMA insights GRANT SELECT ON TABLES TO insights_analyst;
