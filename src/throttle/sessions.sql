-- Sessions of the whole server that are at work and not ours, and whether those of other roles can be seen at all.
SELECT pg_catalog.count(*) FILTER (WHERE a.state IN ('active', 'fastpath function call') AND a.backend_type = 'client backend'
           AND a.application_name NOT LIKE 'crossfade %') AS count,
       pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS visible
FROM pg_catalog.pg_stat_activity AS a
