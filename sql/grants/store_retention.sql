-- Who may take old audit events away: members of this role, and only through the function that leaves a sealed summary.
-- By a superuser (the role) and the owner (the grants), after `insights migrate`, where it is wanted at all. Then, say once
-- a month: SELECT * FROM store.seal_events(now() - interval '2 years');

-- A group without a login; GRANT insights_retention TO anna;
CREATE ROLE insights_retention NOLOGIN;
GRANT USAGE ON SCHEMA store TO insights_retention;
GRANT EXECUTE ON FUNCTION store.seal_events(timestamptz) TO insights_retention;
