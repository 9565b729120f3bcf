-- The fleet: the table that the ready plans in plans/ change, with what a column drags along in real life.
-- `crossfade demo` and the tests create it; `psql -f examples/fleet.sql` does too.

CREATE TYPE public.fuel_type AS ENUM ('diesel', 'petrol', 'electric', 'hybrid');

CREATE TABLE public.depots (id integer PRIMARY KEY, name text NOT NULL);
INSERT INTO public.depots SELECT n, 'Depot ' || n FROM generate_series(1, 40) AS n;

CREATE TABLE public.vehicles (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  vin text NOT NULL CONSTRAINT vehicles_vin_key UNIQUE,
  status varchar(20) NOT NULL DEFAULT 'active',
  license_plate varchar(20),
  odometer text,
  fuel varchar(12),
  last_seen timestamp without time zone,
  telemetry text,
  weight integer NOT NULL DEFAULT 0,
  depot_id integer NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idx_vehicles_status ON public.vehicles (status);
CREATE INDEX idx_vehicles_in_service ON public.vehicles (depot_id) WHERE status = 'in_service';
CREATE INDEX idx_vehicles_depot_status ON public.vehicles (depot_id, status) INCLUDE (license_plate);
CREATE INDEX idx_vehicles_license_plate ON public.vehicles (license_plate);
CREATE INDEX idx_vehicles_license_plate_upper ON public.vehicles (upper(license_plate));
CREATE INDEX idx_vehicles_last_seen ON public.vehicles USING brin (last_seen);

COMMENT ON TABLE public.vehicles IS 'Every vehicle that is or was in the fleet';
COMMENT ON COLUMN public.vehicles.status IS 'active, in_service, idle, maintenance or retired';
COMMENT ON COLUMN public.vehicles.license_plate IS 'As registered; a few carry a remark behind the plate';
COMMENT ON COLUMN public.vehicles.odometer IS 'Kilometres as the driver typed them';
COMMENT ON COLUMN public.vehicles.fuel IS 'As the manufacturer spells it';
COMMENT ON COLUMN public.vehicles.last_seen IS 'UTC';
COMMENT ON COLUMN public.vehicles.telemetry IS 'The last message of the on-board unit, a JSON document';

-- Roles belong to the whole server, so another database may have made this one, even at this moment.
DO $$
BEGIN
  CREATE ROLE fleet_reader;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;
END
$$;
GRANT SELECT (status, license_plate) ON public.vehicles TO fleet_reader;
