-- Bytes of WAL that the replication slot furthest behind keeps, and the bytes at which the server gives a slot up, or NULL.
-- A slot that is lost keeps nothing any more.
SELECT COALESCE(pg_catalog.max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)), 0)::float8 AS kept,
       (SELECT m.setting::float8 * 1048576 FROM pg_catalog.pg_settings AS m
        WHERE m.name = 'max_slot_wal_keep_size' AND m.setting::float8 > 0) AS most
FROM pg_catalog.pg_replication_slots AS s
WHERE s.restart_lsn IS NOT NULL AND s.wal_status IS DISTINCT FROM 'lost'
