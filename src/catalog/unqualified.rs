//! Names in the plan's expressions that only a `search_path` finds: somebody else may read the plan, or run it, under another.

use sqlx::PgConnection;

use super::columns::Column;
use super::finding::list;
use super::query::{self, Objection, attempt_under, run};
use super::{CatalogError, Inspection};
use crate::ident::ColumnName;

/// The `search_path` for text that PostgreSQL has deparsed.
pub(super) const CATALOG: &str = "pg_catalog, pg_temp";

/// An expression of the plan, tried as a part of something that is made of it and taken back.
pub(super) struct Expression<'a> {
    /// What is going on, for errors.
    pub(super) what: &'static str,
    /// The expression, for people.
    pub(super) subject: String,
    /// The statement that makes something of it.
    pub(super) make: String,
    /// The query for how PostgreSQL writes it down.
    pub(super) read: String,
    /// A query for the class and the oid of what is made.
    pub(super) made: String,
    /// The path of whoever wrote the plan.
    pub(super) user_path: &'a str,
}

impl<'a> Expression<'a> {
    /// Returns the default of a column of this name, type and collation.
    pub(super) fn default(
        subject: String,
        (name, of_type): (&ColumnName, &Column),
        sql: &str,
        user_path: &'a str,
    ) -> Self {
        // The line break ends a comment in the plan's text.
        let make = format!(
            "CREATE TEMPORARY TABLE crossfade_default ({} {}{} DEFAULT ({sql}\n))",
            name.sql(),
            of_type.type_name,
            of_type.collate()
        );
        // PostgreSQL forgets some defaults of NULL. Where the text has made more than a default, the answer is NULL.
        let read = "SELECT (SELECT coalesce((SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef AS d WHERE d.adrelid = c.oid), 'NULL') \
             FROM pg_class AS c WHERE c.oid = 'pg_temp.crossfade_default'::regclass AND c.relnatts = 1 \
               AND NOT EXISTS (SELECT FROM pg_constraint AS o WHERE o.conrelid = c.oid) \
               AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attnotnull))";
        let object =
            "SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef WHERE adrelid = 'pg_temp.crossfade_default'::regclass";
        Self { what: "try a default", subject, make, read: read.to_owned(), made: object.to_owned(), user_path }
    }

    /// Returns how PostgreSQL writes it down, or why it refuses it. Warns where it means what it does only under the path
    /// of whoever wrote the plan.
    pub(super) async fn read(
        &self,
        conn: &mut PgConnection,
        found: &mut Inspection,
    ) -> Result<Result<Option<String>, Objection>, CatalogError> {
        run(conn, self.what, "SAVEPOINT crossfade_expression".to_owned()).await?;
        let read = self.read_under(conn, self.user_path).await?;
        if read.is_ok() {
            let used: Vec<String> = query::json(conn, self.what, self.used()).await?;
            self.take_back(conn).await?;
            if self.read_under(conn, CATALOG).await? != read {
                warn(&self.subject, &used, found);
            }
        }
        self.take_back(conn).await?;
        run(conn, self.what, "RELEASE SAVEPOINT crossfade_expression".to_owned()).await?;
        Ok(read)
    }

    async fn read_under(
        &self,
        conn: &mut PgConnection,
        path: &str,
    ) -> Result<Result<Option<String>, Objection>, CatalogError> {
        match attempt_under(conn, self.what, Some(path), [self.make.clone()]).await? {
            Ok(_) => Ok(Ok(query::text(conn, self.what, self.read.clone()).await?)),
            Err(objection) => Ok(Err(objection)),
        }
    }

    async fn take_back(&self, conn: &mut PgConnection) -> Result<(), CatalogError> {
        run(conn, self.what, "ROLLBACK TO SAVEPOINT crossfade_expression".to_owned()).await
    }

    /// What it uses that is not PostgreSQL's own, in words. PostgreSQL notes no dependency on what is its own.
    fn used(&self) -> String {
        format!(
            "SELECT coalesce(json_agg(DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0)), '[]')::text \
             FROM pg_depend AS d JOIN ({}) AS m(class, object) ON d.classid = m.class AND d.objid = m.object \
             WHERE d.refclassid = ANY ('{{pg_proc,pg_operator,pg_type,pg_class,pg_collation,pg_ts_config,pg_ts_dict,pg_opclass}}'::regclass[]) \
               AND NOT EXISTS (SELECT FROM pg_class AS c WHERE d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid \
                                 AND c.relnamespace = pg_my_temp_schema()) \
               AND NOT EXISTS (SELECT FROM pg_opclass AS o WHERE d.refclassid = 'pg_opclass'::regclass AND o.oid = d.refobjid \
                                 AND o.opcdefault)",
            self.made
        )
    }
}

/// Warns that the expression names something of `used` without a schema.
pub(super) fn warn(subject: &str, used: &[String], found: &mut Inspection) {
    let what = if used.is_empty() { "a type".to_owned() } else { list(used) };
    found.warn(
        "catalog::unqualified_name",
        format!("{subject} names {what} without a schema"),
        "it was found through the search_path of this session: write the schema before the name, so that it cannot mean \
         anything else",
    );
}
