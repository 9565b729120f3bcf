//! Two whole schemas (tests/fixtures/schemas): every column renamed, and given a wider type; rolled back and compared with the start,
//! taken to the end and compared with plain ALTER TABLE.
//!
//! `make test` changes the columns of the tables of a list, those of a table together, each table on one of the versions. `make test-all`
//! changes those of every table on every version, then every column in turn on the default version, and compares the numbers with
//! docs/support.md. One table, in turn: `TABLE=shop.orders cargo test --test it -- schemas::`; all tables on one version:
//! `CROSSFADE_TEST_ALL=1 VERSION=15`.

mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crossfade::plan::TableName;
use crossfade::results::{Answer, Scope};
use crossfade::runner::Tool;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(crate) use self::turn::{Change, End, Ground, Turn};
use crate::harness::{Version, tool, versions, whole};
use crate::support;

/// Turns at once: each waits for a server most of the time.
pub(crate) const AT_ONCE: usize = 4;

struct Schema {
    name: &'static str,
    sql: &'static str,
    schemas: &'static [&'static str],
    /// The tables of a short test.
    sample: &'static [(&'static str, &'static str)],
    /// Functions that name a column in their text: table, column, function.
    functions: &'static [(&'static str, &'static str, &'static str)],
    /// Columns whose run stops: whether it is a rename, table, column, what it says.
    stops: &'static [(bool, &'static str, &'static str, &'static str)],
}

const ORDERS: Schema = Schema {
    name: "orders",
    sql: include_str!("../fixtures/schemas/orders.sql"),
    schemas: &["shop", "audit"],
    sample: &[("shop", "reviews"), ("shop", "orders"), ("shop", "stock"), ("shop", "events")],
    functions: &[],
    stops: &[],
};

const LEGACY: Schema = Schema {
    name: "legacy",
    sql: include_str!("../fixtures/schemas/legacy.sql"),
    schemas: &["Old Shop", "select", "public"],
    sample: &[("Old Shop", "CUSTOMER"), ("Old Shop", " blanks "), ("Old Shop", "accounts"), ("select", "where")],
    functions: &[
        ("accounts", "changed", "public.touch()"),
        ("accounts", "changes", "public.touch()"),
        ("accounts", "balance", "public.post()"),
        ("accounts", "id", "public.post()"),
        ("postings", "booked", "public.post()"),
        ("postings", "amount", "public.post()"),
        ("postings", "amount", "public.log_amount()"),
        ("postings", "account", "public.post()"),
        ("postings", "id", "public.log_amount()"),
        ("posting_log", "posting", "public.log_amount()"),
        ("posting_log", "old_amount", "public.log_amount()"),
        ("posting_log", "new_amount", "public.log_amount()"),
    ],
    stops: &[
        // A trigger has the old name among its arguments: with plain ALTER TABLE every write fails from then on.
        (true, "search_me", "vector", "with the new names an UPDATE fails that works now"),
    ],
};

/// What became of columns.
#[derive(Default)]
struct Tally {
    columns: usize,
    ends: BTreeMap<&'static str, usize>,
    reasons: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Tally {
    /// Counts a column, and returns whether a run can change it.
    fn add(&mut self, table: &TableName, column: &str, answer: &Answer) -> bool {
        self.columns += 1;
        *self.ends.entry(answer.outcome.as_str()).or_default() += 1;
        let codes: BTreeSet<_> = answer.refusals.iter().map(|finding| finding.code).collect();
        for code in codes {
            *self.reasons.entry(code.trim_start_matches("catalog::")).or_default() += 1;
        }
        if let Some(error) = &answer.error {
            self.wrong.push(format!("{table}.{column}: {error}"));
        }
        !matches!(answer.outcome.as_str(), "refused" | "unknown")
    }

    /// Returns a row of docs/support.md.
    fn row(&self, schema: &str, version: u32, what: &str) -> String {
        let count = |word: &str| self.ends.get(word).copied().unwrap_or(0);
        let reasons: Vec<_> = self.reasons.iter().map(|(code, count)| format!("`{code}` {count}")).collect();
        format!(
            "| {schema}, {version} | {what} | {} | {} | {} | {} | {} | {} |",
            self.columns,
            count("follows") + count("carried"),
            count("metadata only"),
            count("refused"),
            reasons.join(", "),
            self.wrong.len()
        )
    }
}

/// Columns of a table that a run can change, for which the inventory has the same word.
struct Group {
    rename: bool,
    turn: Turn,
    word: &'static str,
    /// What the run says with which it stops.
    stop: Option<&'static str>,
}

impl Group {
    /// Returns a group for each column.
    fn apart(&self) -> Vec<Self> {
        let one = |n: usize| {
            let functions = self.turn.functions.iter().filter(|(of, _)| *of == n).map(|(_, function)| (0, *function));
            let turn = Turn {
                table: self.turn.table.clone(),
                columns: vec![self.turn.columns[n].clone()],
                functions: functions.collect(),
            };
            Self { rename: self.rename, turn, word: self.word, stop: self.stop }
        };
        (0..self.turn.columns.len()).map(one).collect()
    }

    /// Changes the columns together; returns what went wrong, or `None` if a run refuses to change several of them at once.
    async fn take(&self, ground: &Ground) -> Option<Vec<String>> {
        let turn = &self.turn;
        let end = Box::pin(ground.take(turn)).await;
        match end {
            Err(error) if self.stop.is_some_and(|stop| error.contains(stop)) => Some(vec![]),
            Ok(end) if end.word() == self.word && self.stop.is_none() => Some(vec![]),
            Ok(End::Refused(_)) if turn.columns.len() > 1 => None,
            Ok(end) => Some(vec![format!(
                "{turn}: the inventory says {}, it should stop with {:?}, and it ends with {end:?}",
                self.word, self.stop
            )]),
            Err(error) => {
                support::said(&format!("{turn}: {error}"));
                Some(vec![format!("{turn}: {error}")])
            }
        }
    }

    /// Changes the columns together, or one after the other; where they go wrong together, each by itself too, to see which.
    async fn wrong(&self, ground: &Ground, in_turn: bool) -> Vec<String> {
        let together = if in_turn { None } else { self.take(ground).await };
        let mut wrong = match together {
            Some(wrong) if wrong.is_empty() || self.turn.columns.len() == 1 => return wrong,
            Some(wrong) => wrong,
            None => vec![],
        };
        for one in self.apart() {
            wrong.extend(one.take(ground).await.unwrap_or_default());
        }
        wrong
    }
}

impl Schema {
    /// Returns the columns of a table that a run can change, those that stop each by itself, and counts all.
    async fn groups(&self, tool: &Tool, table: &TableName, rename: bool, tally: &mut Tally) -> Vec<Group> {
        let inventory = tool.inventory(&Scope::Table(table.clone()), None).await.unwrap();
        let mut groups: Vec<Group> = Vec::new();
        for found in inventory.tables.into_iter().flat_map(|one| one.columns) {
            let answer = if rename { &found.rename } else { &found.type_change };
            if !tally.add(table, &found.column, answer) {
                continue;
            }
            let word = answer.outcome.as_str();
            let it = (rename, table.name.as_str(), found.column.as_str());
            let stop = self.stops.iter().find(|(of, name, column, _)| (*of, *name, *column) == it);
            let stop = stop.map(|(_, _, _, says)| *says);
            if stop.is_some() {
                *tally.reasons.entry("(stops)").or_default() += 1;
            }
            let fits = |group: &Group| group.word == word && group.stop.is_none() && stop.is_none();
            let n = groups.iter().position(fits).unwrap_or_else(|| {
                let turn = Turn { table: table.clone(), columns: vec![], functions: vec![] };
                groups.push(Group { rename, turn, word, stop });
                groups.len() - 1
            });
            let turn = &mut groups[n].turn;
            let named = self.functions.iter().filter(|(of, column, _)| *of == table.name && *column == found.column);
            let at = turn.columns.len();
            turn.functions.extend(named.filter(|_| rename).map(|(_, _, function)| (at, *function)));
            let retype = Change::Retype { from: found.type_name, to: found.to, using: found.using };
            turn.columns.push((found.column, if rename { Change::Rename } else { retype }));
        }
        groups
    }

    /// Returns all tables but partitions.
    async fn tables(&self, ground: &Ground) -> Vec<TableName> {
        let copy = ground.copy().await;
        let sql = "SELECT nspname::text, relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE nspname = ANY ($1) AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1, 2";
        let all: Vec<(String, String)> = sqlx::query_as(sql).bind(self.schemas).fetch_all(&copy.pool).await.unwrap();
        all.iter().map(|(schema, table)| TableName::new(schema, table).unwrap()).collect()
    }

    /// Changes the columns of these tables, or of all; returns what became of renames and of type changes.
    async fn all_on(&self, version: &Version, only: Option<&[String]>, in_turn: bool) -> [Tally; 2] {
        let ground = Arc::new(Ground::new(version, self.sql, self.schemas).await);
        let mut tables = self.tables(&ground).await;
        tables.retain(|table| only.is_none_or(|only| only.contains(&table.to_string())));
        let (mut all, mut tallies) = (JoinSet::new(), [Tally::default(), Tally::default()]);
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        let copy = ground.copy().await;
        let tool = tool(&copy.url);
        for table in &tables {
            for rename in [true, false] {
                let tally = &mut tallies[usize::from(!rename)];
                for group in self.groups(&tool, table, rename, tally).await {
                    let (ground, at_once) = (Arc::clone(&ground), Arc::clone(&at_once));
                    all.spawn(async move {
                        let _permit = at_once.acquire_owned().await.unwrap();
                        (group.rename, group.wrong(&ground, in_turn).await)
                    });
                }
            }
        }
        while let Some(done) = all.join_next().await {
            let (rename, wrong) = done.unwrap();
            tallies[usize::from(!rename)].wrong.extend(wrong);
        }
        tallies
    }

    /// Changes the columns of some tables or of all, on some versions.
    async fn every_column_ends_like_alter_table(&self) {
        let one = std::env::var("TABLE").ok();
        let major = std::env::var("VERSION").ok().map(|major| major.parse::<u32>().unwrap());
        let all_tables = whole() && one.is_none();
        let names = |(schema, table): &(&str, &str)| TableName::new(schema, table).unwrap().to_string();
        let tables: Vec<String> =
            one.iter().cloned().chain(self.sample.iter().filter(|_| one.is_none()).map(names)).collect();
        let (mut wrong, mut rows) = (Vec::new(), Vec::new());
        for (n, version) in versions().into_iter().enumerate() {
            let on_it =
                tables.iter().enumerate().filter(|(k, _)| whole() || one.is_some() || k % versions().len() == n);
            let on_it: Vec<_> = on_it.map(|(_, table)| table.clone()).collect();
            if major.is_some_and(|major| major != version.major) || !all_tables && on_it.is_empty() {
                continue;
            }
            let only = (!all_tables).then_some(&on_it[..]);
            for (what, tally) in
                ["rename", "type change"].iter().zip(Box::pin(self.all_on(&version, only, one.is_some())).await)
            {
                rows.push(tally.row(self.name, version.major, what));
                wrong.extend(tally.wrong.iter().map(|error| format!("{} on {}: {error}", self.name, version.major)));
            }
            if all_tables && n == 0 && std::env::var_os("UPDATE_BOOK").is_none() {
                let tallies = Box::pin(self.all_on(&version, None, true)).await;
                let all = tallies.iter().flat_map(|tally| &tally.wrong);
                wrong.extend(all.map(|error| format!("{} on {}, in turn: {error}", self.name, version.major)));
            }
        }
        assert!(wrong.is_empty(), "{}\n{} wrong\n\n{}", rows.join("\n"), wrong.len(), wrong.join("\n\n"));
        if all_tables {
            support::write_or_check("schemas", self.name, &rows);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_an_order_system_ends_like_alter_table() {
    Box::pin(ORDERS.every_column_ends_like_alter_table()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_an_old_system_ends_like_alter_table() {
    Box::pin(LEGACY.every_column_ends_like_alter_table()).await;
}
