
DECLARE
  root pg_catalog.regclass := $1;
  called pg_catalog.text := $2;
  kind pg_catalog.text := $3;
  tail pg_catalog.text := $4;
  -- Of a constraint, as it is added, and what stands behind it.
  definition pg_catalog.text := $5;
  options pg_catalog.text := $6;
  member record;
  tables pg_catalog._oid := '{}';
  indexes pg_catalog._oid := '{}';
  above pg_catalog.oid;
  own pg_catalog.oid;
BEGIN
  IF $7 IS NOT NULL THEN
    PERFORM pg_catalog.set_config('default_tablespace', $7, true);
  END IF;
  FOR member IN SELECT t.relid, t.parentrelid, t.isleaf, t.level FROM pg_catalog.pg_partition_tree(root) AS t ORDER BY t.level, t.relid
  LOOP
    above := CASE WHEN member.level OPERATOR(pg_catalog.>) 0 THEN indexes[pg_catalog.array_position(tables, member.parentrelid::pg_catalog.oid)] END;
    FOR again IN 1..2 LOOP
      -- PostgreSQL has made one itself where a partition came after the index of the table above.
      own := (
        SELECT i.indexrelid FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
        LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhrelid OPERATOR(pg_catalog.=) i.indexrelid AND h.inhparent OPERATOR(pg_catalog.=) above
        WHERE i.indrelid OPERATOR(pg_catalog.=) member.relid::pg_catalog.oid AND (h.inhrelid IS NOT NULL
          OR x.relname OPERATOR(pg_catalog.=) (CASE WHEN member.level OPERATOR(pg_catalog.=) 0 THEN called
            ELSE pg_catalog.concat(called, '_', member.relid::pg_catalog.oid) END)::pg_catalog.name)
        ORDER BY h.inhrelid IS NULL LIMIT 1);
      EXIT WHEN own IS NOT NULL OR member.isleaf;
      EXECUTE pg_catalog.format(CASE WHEN definition IS NULL THEN 'CREATE %4$sINDEX %1$I ON ONLY %2$s %3$s'
        ELSE 'ALTER TABLE ONLY %2$s ADD CONSTRAINT %1$I %3$s' END, CASE WHEN member.level OPERATOR(pg_catalog.=) 0 THEN called
        ELSE pg_catalog.concat(called, '_', member.relid::pg_catalog.oid) END, member.relid, COALESCE(definition, tail), kind);
    END LOOP;
    tables := pg_catalog.array_append(tables, member.relid::pg_catalog.oid);
    indexes := pg_catalog.array_append(indexes, own);
    -- A leaf that has come meanwhile has none, or one that is half built.
    IF EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indexrelid OPERATOR(pg_catalog.=) own AND (i.indisvalid OR NOT member.isleaf))
      AND above IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid OPERATOR(pg_catalog.=) own)
    THEN
      IF definition IS NOT NULL AND member.isleaf AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid OPERATOR(pg_catalog.=) own) THEN
        EXECUTE (SELECT pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE USING INDEX %I%s', member.relid, x.relname, x.relname, options)
          FROM pg_catalog.pg_class AS x WHERE x.oid OPERATOR(pg_catalog.=) own);
      END IF;
      EXECUTE pg_catalog.format('ALTER INDEX %s ATTACH PARTITION %s', above::pg_catalog.regclass, own::pg_catalog.regclass);
    END IF;
  END LOOP;
END
