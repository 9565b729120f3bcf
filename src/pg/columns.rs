//! Rows by the names of their columns.

/// Implements `FromRow` for a struct whose fields are read from the columns of the same names, wherever they stand in the
/// row: `columns!(Peer { epoch, holder })` for a type that exists, `columns!(struct Found { id: i64 })` for one that only
/// holds a row. (What sqlx's derive does, without a second build of sqlx for the macro.)
macro_rules! columns {
    ($(#[$attr:meta])* $vis:vis struct $name:ident { $($field_vis:vis $field:ident: $type:ty),* $(,)? }) => {
        $(#[$attr])*
        $vis struct $name { $($field_vis $field: $type),* }
        $crate::pg::columns!($name { $($field),* });
    };
    ($name:path { $($field:ident),* $(,)? }) => {
        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?),* })
            }
        }
    };
}

pub(crate) use columns;
