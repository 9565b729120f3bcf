-- The table of the benches: rows of 104 bytes with their header, pages full, 75 rows on a page.
CREATE TABLE public.vehicles (
    id            bigint      NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    last_seen     timestamptz NOT NULL,
    depot_id      integer     NOT NULL,
    odometer      integer     NOT NULL,
    status        text        NOT NULL,
    vin           text        NOT NULL,
    license_plate text        NOT NULL
) WITH (fillfactor = 100, autovacuum_enabled = off);
