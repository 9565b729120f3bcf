    -- Default privileges may have given others rights on what is made. Where nobody has granted or revoked anything, nothing is said.
    up := up || pg_catalog.format(
      'DO %L', pg_catalog.format('DECLARE who text; BEGIN
        FOR who IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN ''PUBLIC'' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
          FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(%s) AS a
          WHERE c.oid = %L::pg_catalog.regclass
        LOOP EXECUTE ''REVOKE ALL ON $1%s FROM '' || who; END LOOP;%s END',
        CASE WHEN found.relacl IS NULL THEN 'c.relacl' ELSE 'COALESCE(c.relacl, pg_catalog.acldefault(''$2'', c.relowner))' END,
        found.name, pg_catalog.replace(found.name, '''', ''''''),
        CASE WHEN found.relacl IS NULL THEN pg_catalog.format(
          ' IF FOUND THEN GRANT ALL ON $1%s TO %I; END IF;', found.name, pg_catalog.pg_get_userbyid(found.relowner)) END));
    FOR part IN
      SELECT a.privilege_type AS right, a.is_grantable, a.grantee FROM pg_catalog.aclexplode(found.relacl) AS a
    LOOP
      up := up || pg_catalog.format('GRANT %s ON $1%s TO %s%s', part.right, found.name,
        CASE part.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(part.grantee)) END,
        CASE WHEN part.is_grantable THEN ' WITH GRANT OPTION' END);
    END LOOP;
    FOR part IN
      SELECT a.attname, x.privilege_type AS right, x.is_grantable, x.grantee
      FROM pg_catalog.pg_attribute AS a, pg_catalog.aclexplode(a.attacl) AS x WHERE a.attrelid = found.oid
    LOOP
      up := up || pg_catalog.format('GRANT %s (%I) ON %s TO %s%s', part.right, part.attname, found.name,
        CASE part.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(part.grantee)) END,
        CASE WHEN part.is_grantable THEN ' WITH GRANT OPTION' END);
    END LOOP;
