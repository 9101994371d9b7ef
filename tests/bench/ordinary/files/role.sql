-- Copyright: opswatch.monitoring contributors
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Prints what is missing for the exporter, and does it.
WITH role AS (SELECT * FROM pg_roles WHERE rolname = 'postgres_exporter')
SELECT 'CREATE ROLE postgres_exporter LOGIN CONNECTION LIMIT 10' WHERE NOT EXISTS (SELECT FROM role)
UNION ALL
SELECT 'GRANT pg_monitor TO postgres_exporter'
WHERE NOT EXISTS (SELECT FROM role WHERE pg_has_role(role.oid, 'pg_monitor', 'USAGE'));
\gexec
