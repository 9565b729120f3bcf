-- How many objects each table of run $1 has now. A table that is gone is left out, and so are partitions.
SELECT r.run_id, r.relation, pg_catalog.clock_timestamp() AS at,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid) AS indexes,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f', 'p', 'u', 'x')) AS constraints,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers
FROM crossfade.relation AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.table_oid
WHERE r.run_id = $1 AND NOT c.relispartition
