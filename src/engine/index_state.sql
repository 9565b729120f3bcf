-- Whether index $1 is valid, and the process that is building it, if one is.
SELECT i.indisvalid AND i.indisready AS valid,
       (SELECT p.pid FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid LIMIT 1) AS builder
FROM pg_catalog.pg_index AS i
WHERE i.indexrelid = pg_catalog.to_regclass($1)
