//! An integer column that gets a wider type: how long its sequence lasts, and which columns that refer to it stay as they are.

use serde::Deserialize;
use sqlx::PgConnection;

use super::copy::Part;
use super::{CatalogError, Inspection, query};
use crate::amounts::{number, plural};

/// What is counted for a shorter time says nothing of a speed.
const LEAST_SECONDS: f64 = 3600.0;
/// How much of its values a sequence has given when that is said without a speed.
const USED: f64 = 0.5;
const DAY: f64 = 86_400.0;

#[derive(Debug, Deserialize)]
struct Reach {
    sequences: Vec<Sequence>,
    referring: Vec<Referring>,
    cascading: Vec<Cascading>,
    /// Rows that the server has counted as inserted.
    inserted: Option<i64>,
    /// Seconds since its counts were reset.
    counted: Option<f64>,
    /// Seconds since the server was set up.
    age: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Sequence {
    column: String,
    of_type: String,
    /// With its schema, quoted.
    name: String,
    increment: i64,
    /// The last value that the column can hold and the sequence give.
    most: i64,
    /// The last value that it gave.
    last: i64,
}

#[derive(Debug, Deserialize)]
struct Referring {
    /// The key's column.
    column: String,
    /// Schema, table and column, quoted.
    place: String,
    of_type: String,
}

/// A foreign key of the column's own table whose ON UPDATE CASCADE writes the column.
#[derive(Debug, Deserialize)]
struct Cascading {
    column: String,
    of_type: String,
    name: String,
}

/// Warns of sequences that run out, and of integer columns that refer to a column of `parts` which gets a wider type. Takes no lock on
/// the table.
pub(super) async fn warn(
    conn: &mut PgConnection,
    table: i64,
    parts: &[Part<'_>],
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let widens = |part: &&Part<'_>| {
        let to = part.retyped.as_ref().map_or("", |retyped| retyped.column.base_type.as_str());
        let wider: &[&str] = match part.old.base_type.as_str() {
            "smallint" => &["integer", "bigint", "numeric"],
            "integer" => &["bigint", "numeric"],
            _ => &[],
        };
        wider.contains(&to)
    };
    let wide: Vec<_> = parts.iter().filter(widens).collect();
    if wide.is_empty() {
        return Ok(());
    }
    let attnums: Vec<_> = wide.iter().map(|part| i32::from(part.old.attnum)).collect();
    let query = query::fixed(include_str!("integer_key.sql")).bind(table).bind(attnums);
    let reach: Reach = query::read(conn, "read how far the column's sequence reaches", query).await?;
    for sequence in &reach.sequences {
        if let Some(message) = reach.says(sequence) {
            found.warn(
                "catalog::sequence_runs_out",
                message,
                "an INSERT fails that needs a further value: let the run get past `switch` before that",
            );
        }
    }
    for Cascading { column, of_type, name } in &reach.cascading {
        found.warn(
            "catalog::cascade_too_wide",
            format!("foreign key {name} has ON UPDATE CASCADE, and from `switch` to `contract` the old column of \"{column}\" refers by one too: an UPDATE that changes a referred key to a value that {of_type} does not hold fails until then"),
            "INSERT such keys as you like, but change no key to such a value before the run is done",
        );
    }
    for part in wide {
        let to = part.retyped.as_ref().map_or("", |retyped| retyped.column.type_name.as_str());
        reach.warn_of_referring(&part.old.name, to, found);
    }
    Ok(())
}

impl Reach {
    /// Rows inserted and the seconds that this took, and whether it may have taken less.
    fn speed(&self) -> Option<(i64, f64, bool)> {
        let (seconds, at_most) = match (self.counted, self.age) {
            (Some(seconds), _) => (seconds, false),
            (None, Some(seconds)) => (seconds, true),
            (None, None) => return None,
        };
        let inserted = self.inserted.filter(|inserted| *inserted > 0)?;
        (seconds >= LEAST_SECONDS).then_some((inserted, seconds, at_most))
    }

    /// Returns how far a sequence still reaches, if there is something to say.
    #[expect(clippy::cast_precision_loss, reason = "days and percents for people")]
    fn says(&self, sequence: &Sequence) -> Option<String> {
        let Sequence { column, of_type, name, increment, most, last } = sequence;
        let left = most.saturating_sub(*last).max(0) / (*increment).max(1);
        let used = *last as f64 / *most as f64;
        let head = format!(
            "{name}, which gives column \"{column}\" ({of_type}) its values, is at {} of {}: {} left",
            number(*last),
            number(*most),
            plural(left, "value")
        );
        match self.speed() {
            Some((inserted, seconds, at_most)) => {
                let (rows, lasts) = (plural(inserted, "row"), days(left as f64 / inserted as f64 * seconds));
                Some(if at_most {
                    format!(
                        "{head}. Since the server began to count, at most {} ago, {rows} were inserted: at that speed they last no longer than {lasts}",
                        days(seconds)
                    )
                } else {
                    format!(
                        "{head}. In the {} since its statistics were reset, {rows} were inserted: at that speed they last for {lasts}",
                        days(seconds)
                    )
                })
            }
            None if used >= USED => Some(format!("{head}. How fast they go is not known")),
            None => None,
        }
    }

    fn warn_of_referring(&self, column: &str, to: &str, found: &mut Inspection) {
        let of_it: Vec<_> = self.referring.iter().filter(|other| other.column == column).collect();
        if of_it.is_empty() {
            return;
        }
        let stay: Vec<_> = of_it.iter().map(|other| format!("{} ({})", other.place, other.of_type)).collect();
        let plans: Vec<_> = of_it.iter().map(|other| format!("`crossfade new type '{}' {to}`", other.place)).collect();
        found.warn(
            "catalog::referring_columns",
            format!("foreign keys refer to column \"{column}\", and their own columns keep their types: {}", stay.join(", ")),
            format!(
                "they cannot refer to a value that their type does not hold: change them too, before or after this run: {}",
                plans.join(", ")
            ),
        );
    }
}

/// Returns a time in words, as exactly as a guess deserves.
fn days(seconds: f64) -> String {
    let days = seconds / DAY;
    if days >= 1000.0 {
        format!("{:.0} years", days / 365.25)
    } else if days >= 10.0 {
        format!("{days:.0} days")
    } else if days >= 2.0 {
        format!("{days:.1} days")
    } else {
        format!("{:.1} hours", days * 24.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(inserted: Option<i64>, counted: Option<f64>, age: Option<f64>) -> Reach {
        Reach { sequences: vec![], referring: vec![], cascading: vec![], inserted, counted, age }
    }

    fn sequence(last: i64, increment: i64) -> Sequence {
        let text = ToOwned::to_owned;
        let most = 2_147_483_647;
        Sequence { column: text("id"), of_type: text("integer"), name: text("app.s"), increment, most, last }
    }

    #[test]
    fn a_sequence_lasts_for_what_is_left_at_the_speed_that_was_counted() {
        let half = sequence(1_147_483_647, 1);
        let since = |days: f64| Some(days * DAY);
        let says = |reach: Reach, sequence: &Sequence| reach.says(sequence).unwrap();
        assert_eq!(
            says(reach(Some(1_000_000), since(10.0), since(99.0)), &half),
            "app.s, which gives column \"id\" (integer) its values, is at 1,147,483,647 of 2,147,483,647: 1,000,000,000 values left. In the \
             10 days since its statistics were reset, 1,000,000 rows were inserted: at that speed they last for 27 years"
        );
        assert!(
            says(reach(Some(1_000_000), since(10.0), None), &sequence(1_147_483_647, 1000)).ends_with("for 10 days")
        );
        let by_age = says(reach(Some(1_000_000), None, since(10.0)), &half);
        assert!(
            by_age.ends_with(
                "at most 10 days ago, 1,000,000 rows were inserted: at that speed they last no longer than 27 years"
            ),
            "{by_age}"
        );
        // Too short a time, or nothing counted.
        for nothing in [
            reach(Some(5), Some(60.0), None),
            reach(Some(0), since(9.0), None),
            reach(Some(5), None, None),
            reach(None, since(9.0), None),
        ] {
            assert_eq!(nothing.says(&sequence(1000, 1)), None);
            assert!(says(nothing, &half).ends_with("How fast they go is not known"));
        }
        assert!(says(reach(Some(1), since(1.0), None), &sequence(2_147_483_647, 1)).contains("0 values left"));
    }

    #[test]
    fn times_are_said_in_days() {
        let said: Vec<_> = [0.5, 3.25, 31.4, 2000.0].map(|days| super::days(days * DAY)).into();
        assert_eq!(said, ["12.0 hours", "3.2 days", "31 days", "5 years"]);
    }
}
