//! A database of one contestant.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// A database on the bench's server.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// A connection to it.
pub(crate) struct Session(pub(crate) PgConnection);

impl Database {
    /// Returns a new connection.
    pub(crate) async fn session(&self) -> Result<Session> {
        Ok(Session(PgConnection::connect(&self.url).await.with_context(|| format!("connect to {}", self.name))?))
    }

    /// Runs one or several statements on a connection of their own.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        let mut session = self.session().await?;
        session.execute(sql).await?;
        session.close().await
    }

    /// Returns the one number of a query.
    pub(crate) async fn number(&self, sql: &str) -> Result<f64> {
        Ok(self.numbers(sql).await?[0])
    }

    /// Returns the numbers in the first row of a query; NULL is not a number.
    pub(crate) async fn numbers(&self, sql: &str) -> Result<Vec<f64>> {
        let mut session = self.session().await?;
        let numbers = session.numbers(sql).await?;
        session.close().await?;
        Ok(numbers)
    }

    /// Returns the first column of a query, a line a row.
    pub(crate) async fn text(&self, sql: &str) -> Result<String> {
        let mut session = self.session().await?;
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let rows = query.fetch_all(&mut session.0).await.with_context(|| sql.to_owned())?;
        session.close().await?;
        let lines: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok(lines.join("\n"))
    }
}

impl Session {
    /// Runs one or several statements.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<()> {
        let statements = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        statements.execute(&mut self.0).await.with_context(|| sql.to_owned())?;
        Ok(())
    }

    /// Returns the numbers in the first row of a query; NULL is not a number.
    pub(crate) async fn numbers(&mut self, sql: &str) -> Result<Vec<f64>> {
        let query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false);
        let row = query.fetch_one(&mut self.0).await.with_context(|| sql.to_owned())?;
        let number = |column| Ok(row.try_get::<Option<f64>, _>(column)?.unwrap_or(f64::NAN));
        (0..row.len()).map(number).collect()
    }

    /// Ends the connection, which makes its backend report its statistics.
    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.0.close().await?)
    }
}
