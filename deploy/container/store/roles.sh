#!/usr/bin/env bash
# The store's roles with their secrets, once, when its container first starts.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -U postgres -d insights -f /roles/store_roles.sql
# Variables are quoted by psql, and stand in no command line.
psql -v ON_ERROR_STOP=1 -q -U postgres -d insights <<'SQL'
\set owner `cat /run/secrets/store_owner_password`
\set daemon `cat /run/secrets/store_password`
ALTER ROLE insights_owner PASSWORD :'owner';
ALTER ROLE insights_daemon PASSWORD :'daemon';
SQL
