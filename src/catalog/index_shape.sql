-- What makes an index what it is, as one text: everything but its name, its storage parameters and its tablespace.
-- $1: the index.
SELECT (jsonb_build_array(m.amname, i.indisunique, i.indnkeyatts,
    (SELECT jsonb_agg(pg_get_indexdef(i.indexrelid, n, false) ORDER BY n) FROM generate_series(1, i.indnatts::int) AS n),
    (SELECT jsonb_agg(o.opcname ORDER BY n) FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS c(oid, n) JOIN pg_opclass AS o USING (oid)),
    (SELECT jsonb_agg(o.collname ORDER BY n) FROM unnest(i.indcollation::oid[]) WITH ORDINALITY AS c(oid, n) LEFT JOIN pg_collation AS o USING (oid)),
    i.indoption::text, pg_get_expr(i.indpred, i.indrelid),
    -- Since PostgreSQL 15.
    coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false))
  || coalesce((SELECT jsonb_build_array(k.conexclop::regoperator[]::text[]) FROM pg_constraint AS k
       WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype = 'x'), '[]'))::text
FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_am AS m ON m.oid = x.relam
WHERE i.indexrelid = $1::text::regclass
