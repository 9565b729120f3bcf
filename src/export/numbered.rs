//! Tools whose migrations are files of SQL with a number or a time in their names, and Rails, whose files wrap it.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::{File, Migration, guard};

/// How the time of a migration is written.
const TIME: &str = "%Y%m%d%H%M%S";

/// Returns the number that comes after those in use: a time where they are times, or where there are none, else a number as wide
/// as the last one.
pub(super) fn next<'a>(in_use: impl Iterator<Item = &'a str>, at: DateTime<Utc>) -> String {
    let last = in_use.filter_map(|digits| Some((digits.parse::<u64>().ok()?, digits))).max();
    let Some((number, digits)) = last else { return at.format(TIME).to_string() };
    match NaiveDateTime::parse_from_str(digits, TIME) {
        Ok(time) if digits.len() == 14 => (time + TimeDelta::seconds(1)).max(at.naive_utc()).format(TIME).to_string(),
        _ => format!("{:0width$}", number + 1, width = digits.len()),
    }
}

/// Returns the digits that a name begins with.
pub(super) fn leading_digits(name: &str) -> &str {
    &name[..name.len() - name.trim_start_matches(|c: char| c.is_ascii_digit()).len()]
}

/// Returns the digits in front of `rest` in the name of a file that is there.
fn own<'a>(there: &'a [File], rest: &str) -> Option<&'a str> {
    there.iter().find_map(|file| {
        let digits = leading_digits(&file.path);
        (file.path[digits.len()..] == *rest).then_some(digits)
    })
}

/// Returns the number of the migration whose name ends in `rest`: that of the file that is there, or the next.
fn number(migration: &Migration, there: &[File], rest: &str) -> String {
    own(there, rest).map_or_else(
        || next(there.iter().map(|file| leading_digits(&file.path)).filter(|digits| !digits.is_empty()), migration.at),
        str::to_owned,
    )
}

pub(super) fn sqlx(migration: &Migration, there: &[File]) -> File {
    // Migrations that can be reverted are in two files. There is no way back to write, and sqlx does not ask for one.
    let reversible = there.iter().any(|file| file.path.ends_with(".up.sql"));
    let rest = format!("_{}{}", migration.slug(), if reversible { ".up.sql" } else { ".sql" });
    File { path: number(migration, there, &rest) + &rest, text: guard::sql(migration) }
}

pub(super) fn prisma(migration: &Migration, there: &[File]) -> File {
    let rest = format!("_{}/migration.sql", migration.slug());
    File { path: number(migration, there, &rest) + &rest, text: guard::sql(migration) }
}

pub(super) fn flyway(migration: &Migration, there: &[File]) -> File {
    let slug = migration.slug();
    let versions: Vec<(&str, &str)> =
        there.iter().filter_map(|file| file.path.strip_prefix('V')?.strip_suffix(".sql")?.split_once("__")).collect();
    let version = match versions.iter().find(|(_, name)| *name == slug) {
        Some((version, _)) => (*version).to_owned(),
        None => next_version(versions.into_iter().map(|(version, _)| version), migration.at),
    };
    File { path: format!("V{version}__{slug}.sql"), text: guard::sql(migration) }
}

/// Returns the version after those in use: `1.2.9` becomes `1.2.10`.
fn next_version<'a>(in_use: impl Iterator<Item = &'a str>, at: DateTime<Utc>) -> String {
    let parts =
        |version: &str| -> Option<Vec<u64>> { version.split(['.', '_']).map(|part| part.parse().ok()).collect() };
    let Some((_, last)) = in_use.filter_map(|version| Some((parts(version)?, version))).max() else {
        return "1".to_owned();
    };
    let cut = last.rfind(['.', '_']).map_or(0, |at| at + 1);
    format!("{}{}", &last[..cut], next(std::iter::once(&last[cut..]), at))
}

pub(super) fn liquibase(migration: &Migration, there: &[File]) -> File {
    let name = format!("{}.sql", migration.slug());
    let rest = format!("_{name}");
    let numbers: Vec<_> =
        there.iter().map(|file| leading_digits(&file.path)).filter(|digits| !digits.is_empty()).collect();
    let path = if there.iter().any(|file| file.path == name) || numbers.is_empty() {
        name
    } else {
        number(migration, there, &rest) + &rest
    };
    let id = &migration.plan;
    let sql = guard::sql(migration);
    let text = format!(
        "--liquibase formatted sql\n\n--changeset crossfade:{id} splitStatements:false stripComments:false\n{sql}"
    );
    File { path, text }
}

pub(super) fn rails(migration: &Migration, there: &[File]) -> File {
    let rest = format!("_{}.rb", migration.slug());
    let class: String = migration.slug().split('_').map(capitalized).collect();
    let path = number(migration, there, &rest) + &rest;
    // The version of Rails that the newest of the others was written for.
    let versions = there.iter().filter(|file| file.path != path).filter_map(|file| {
        let (_, after) = file.text.split_once("ActiveRecord::Migration[")?;
        Some((&file.path, after.split_once(']')?.0))
    });
    let version = versions.max().map_or("7.0", |(_, version)| version);
    let block = indented(&guard::sql(migration), 6);
    let text = format!(
        "# frozen_string_literal: true\n\nclass {class} < ActiveRecord::Migration[{version}]\n  def up\n    execute <<~'CROSSFADE'\n{block}    CROSSFADE\n  end\n\n  \
         def down\n    raise ActiveRecord::IrreversibleMigration\n  end\nend\n"
    );
    File { path, text }
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

/// Returns the lines with `width` spaces in front.
pub(super) fn indented(text: &str, width: usize) -> String {
    text.lines().fold(String::new(), |indented, line| indented + &" ".repeat(width) + line + "\n")
}
