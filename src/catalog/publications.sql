-- The publications of table $1 (oid), and by which columns its rows are known to subscribers.
SELECT json_build_object(
  'full', r.relreplident = 'f',
  'identity', (SELECT coalesce(json_agg(a.attname::text ORDER BY a.attnum), '[]')
     FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
     WHERE i.indrelid = r.oid AND CASE r.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END),
  'publications', (SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.name), '[]') FROM (
     SELECT p.pubname::text AS name, p.puballtables AS all_tables, pr.oid IS NOT NULL AS by_name,
       pg_has_role(p.pubowner, 'USAGE') AS owned, pg_get_userbyid(p.pubowner)::text AS owner,
       p.pubupdate OR p.pubdelete AS sends_changes,
       -- Another publication of the same name would be one of schemas: it can have no list.
       pr.oid IS NOT NULL AND EXISTS (SELECT FROM pg_depend d
         WHERE d.refclassid = 'pg_publication'::regclass AND d.refobjid = p.oid AND d.classid <> 'pg_publication_rel'::regclass) AS has_schemas,
       (SELECT json_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = r.oid AND a.attnum::text IN (SELECT jsonb_array_elements_text(nullif(to_jsonb(pr) -> 'prattrs', 'null')))) AS listed,
       (SELECT coalesce(json_agg(DISTINCT a.attname::text), '[]') FROM pg_depend d
        JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_publication_rel'::regclass AND d.objid = pr.oid AND d.refobjid = r.oid) AS uses,
       (SELECT json_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attgenerated::text IN ('', coalesce(to_jsonb(p) ->> 'pubgencols', 'n'))) AS publishable
     FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname
     LEFT JOIN pg_publication_rel pr ON pr.prpubid = p.oid AND pr.prrelid = r.oid
     WHERE t.schemaname = n.nspname AND t.tablename = r.relname) x)
  )::text
FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = $1::bigint::oid
