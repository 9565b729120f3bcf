
DECLARE
  root pg_catalog.regclass := $1;
  called pg_catalog.text := $2;
  built pg_catalog.text := $3;
  options pg_catalog.text := $4;
  first_names pg_catalog.name[] := $5;
  second_names pg_catalog.name[] := $6;
  found record;
  columns pg_catalog.text;
  members pg_catalog.json;
  member record;
  index pg_catalog.text;
  tables pg_catalog._oid := '{}';
  indexes pg_catalog._oid := '{}';
BEGIN
  -- The key's columns, and in place of one of a pair the other.
  SELECT i.indexrelid,
    pg_catalog.string_agg(c.name, ', ' ORDER BY c.n) FILTER (WHERE c.n <= i.indnkeyatts) AS keys,
    pg_catalog.string_agg(c.name, ', ' ORDER BY c.n) FILTER (WHERE c.n > i.indnkeyatts) AS others,
    -- If this transaction ends in vain, the other one has the name again that this one has now.
    pg_catalog.string_agg(c.before, ', ' ORDER BY c.n) FILTER (WHERE c.n <= i.indnkeyatts) AS before,
    (SELECT pg_catalog.array_to_string(x.reloptions, ', ') FROM pg_catalog.pg_class AS x WHERE x.oid = i.indexrelid) AS options
  INTO STRICT found
  FROM pg_catalog.pg_constraint AS k
  JOIN pg_catalog.pg_index AS i ON i.indexrelid = k.conindid
  CROSS JOIN LATERAL (
    SELECT u.n, pg_catalog.quote_ident(a.attname) AS before, pg_catalog.quote_ident(COALESCE(second_names[pg_catalog.array_position(first_names, a.attname)], a.attname)) AS name
    FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS u (attnum, n)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
  ) AS c
  WHERE k.conrelid = root AND k.conname = called AND k.contype = 'p'
  GROUP BY i.indexrelid, i.indnkeyatts;
  columns := pg_catalog.concat('(', found.keys, ')', ' INCLUDE (' || found.others || ')', ' WITH (' || found.options || ')');
  -- As they are while the key is there.
  members := (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('place', t.relid::pg_catalog.oid, 'above', t.parentrelid::pg_catalog.oid,
    'leaf', t.isleaf, 'level', t.level, 'name', k.conname, 'said', pg_catalog.obj_description(k.conindid, 'pg_class')))
  FROM pg_catalog.pg_partition_tree(root) AS t
  LEFT JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.relid::pg_catalog.oid AND k.contype = 'p');
  EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', root, called);
  FOR member IN
    SELECT m.place::pg_catalog.regclass AS place, m.above, m.leaf, m.level, m.name, m.said
    FROM pg_catalog.json_to_recordset(members)
      AS m (place pg_catalog.oid, above pg_catalog.oid, leaf pg_catalog.bool, level pg_catalog.int4, name pg_catalog.name, said pg_catalog.text)
    ORDER BY m.level, m.place
  LOOP
    index := pg_catalog.concat(built, '_', member.place::pg_catalog.oid);
    IF NOT member.leaf THEN
      EXECUTE pg_catalog.format('ALTER TABLE ONLY %s ADD CONSTRAINT %I PRIMARY KEY %s%s', member.place, member.name, columns, options);
    ELSE
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
        WHERE i.indrelid = member.place AND x.relname = index AND i.indisvalid AND i.indisready AND i.indislive)
      THEN
        -- It has come since: a small one is no reason to wait.
        IF pg_catalog.pg_relation_size(member.place) > 8388608 THEN
          RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = pg_catalog.format('partition %s has no index for the new primary key yet', member.place),
            DETAIL = pg_catalog.format('run this, then go on: CREATE UNIQUE INDEX CONCURRENTLY %I ON %s (%s)', index, member.place, found.before);
        END IF;
        EXECUTE pg_catalog.format('CREATE UNIQUE INDEX %I ON %s %s', index, member.place, columns);
      END IF;
      EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I%s', member.place, member.name, index, options);
    END IF;
    tables := tables || member.place::pg_catalog.oid;
    indexes := indexes || (SELECT k.conindid FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = member.place AND k.contype = 'p');
    IF member.level > 0 THEN
      EXECUTE pg_catalog.format('ALTER INDEX %s ATTACH PARTITION %s', indexes[pg_catalog.array_position(tables, member.above)]::pg_catalog.regclass,
        indexes[pg_catalog.array_length(indexes, 1)]::pg_catalog.regclass);
      IF member.said IS NOT NULL THEN
        EXECUTE pg_catalog.format('COMMENT ON INDEX %s IS %L', indexes[pg_catalog.array_length(indexes, 1)]::pg_catalog.regclass, member.said);
      END IF;
    END IF;
  END LOOP;
END
