//! What is done with a case: a run that is rolled back, and one to the end, with writes between the phases; both beside plain
//! ALTER TABLE.

use std::time::{Duration, Instant};

use crossfade::plan::Plan;
use crossfade::run::{Phase, Program};
use crossfade::runner::Error;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::case::{Alteration, Case, ROWS};
use super::places::{Places, difference};
use crate::harness::{Cli, PATIENCE, plain_alter, tool, whole};

/// Something that is not as it should be.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Where, in words that stay the same when the case gets smaller.
    pub(super) stage: &'static str,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(stage: &'static str, message: impl Into<String>) -> Self {
        Self { stage, message: message.into() }
    }
}

/// Under which name, and as what type, applications use the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The name and the type before the change.
    Old,
    /// The second column.
    Second,
    /// The second column has taken over name and type of the first.
    Swapped,
    /// The change is done in both databases.
    Done,
}

impl Case {
    /// Returns how a statement names the column and writes its value of number `k`, as seen by one side in one of the databases.
    fn spoken(&self, template: &str, side: Side, plain: bool, n: u32) -> String {
        let name = |name: &str| crossfade::sql::quote_ident(name);
        let old = self.own(&self.kind().literal(n));
        let (column, value, own) = match &self.alteration {
            Alteration::Rename(to) => {
                let new = match side {
                    Side::Old => false,
                    Side::Second | Side::Swapped => !plain,
                    Side::Done => true,
                };
                (name(if new { to } else { &self.column }), old.clone(), old.clone())
            }
            Alteration::Retype(conversion, via) => {
                let new = self.own(&conversion.forward(&old));
                let column = if side == Side::Second && !plain { via } else { &self.column };
                let is_new = side == Side::Done || (side != Side::Old && !plain);
                let own_is_new = side == Side::Done || (side == Side::Swapped && !plain);
                let value = if is_new { new.clone() } else { old.clone() };
                (name(column), value, if own_is_new { new } else { old.clone() })
            }
        };
        // What is written last holds no names.
        let text =
            template.replace("{n}", &n.to_string()).replace("{f}", &old).replace("{v}", &value).replace("{w}", &own);
        text.replace("{c}", &column)
    }

    /// Returns what applications do in the `round`th round, with `{c}` and the like, and a number for each.
    fn writes(&self, round: u32) -> Vec<(String, u32)> {
        let table = self.table_sql();
        let k = 1000 + 20 * round;
        let given: Vec<_> = self.given();
        let changed = crossfade::sql::quote_ident(&self.column);
        let spoken: Vec<_> =
            given.iter().map(|column| if *column == changed { "{c}".to_owned() } else { column.clone() }).collect();
        // Rows with all values, with values that are there already, and with as few as can be.
        let row = |id: u32, k: u32| {
            let literal = |column: &super::case::Column, k| {
                if column.name == self.column { "{v}".to_owned() } else { self.own(&column.kind.literal(k)) }
            };
            let row = self.row(id, k, &literal);
            if self.column == "id" { row.replacen(&id.to_string(), "{v}", 1) } else { row }
        };
        let insert = |id, k| format!("INSERT INTO {table} ({}) VALUES {}", spoken.join(", "), row(id, k));
        let id = if self.column == "id" { "{c}" } else { "id" };
        let mut all = vec![
            (insert(k + 1, k + 1), k + 1),
            (insert(k + 2, k + 2), k + 2),
            (insert(k + 3, 1 + round % ROWS), 1 + round % ROWS),
            (format!("INSERT INTO {table} ({id}) VALUES ({})", if self.column == "id" { "{v}" } else { "{n}" }), k + 4),
        ];
        if self.is_numbered() {
            // Which number it got depends on how many were given.
            all.push((format!("DELETE FROM {table} WHERE {id} = {{n}}"), k + 4));
        }
        if self.column != "id" {
            let generated = self.columns.iter().any(|column| column.name == self.column && column.generated);
            if !generated {
                all.push((format!("UPDATE {table} SET {{c}} = {{v}} WHERE id = {}", 1 + round % ROWS), k + 5));
                all.push((format!("UPDATE {table} SET {{c}} = NULL WHERE id = {}", 2 + round % ROWS), k + 6));
                all.push((format!("UPDATE {table} SET {{c}} = {{c}} WHERE id = {}", 3 + round % ROWS), k + 7));
            }
        }
        let others = self.columns.iter().filter(|column| !column.generated && column.name != self.column);
        for column in others.take(2) {
            let value = self.own(&column.kind.literal(k + 8));
            let where_id = if self.column == "id" { "{v}".to_owned() } else { (4 + round % ROWS).to_string() };
            let number = if self.column == "id" { 4 + round % ROWS } else { k + 8 };
            all.push((format!("UPDATE {table} SET {} = {value} WHERE {id} = {where_id}", column.sql()), number));
        }
        all.push((
            format!("DELETE FROM {table} WHERE {id} = {}", if self.column == "id" { "{v}" } else { "{n}" }),
            5 + round % ROWS,
        ));
        for write in self.pieces.iter().flat_map(|piece| &piece.writes) {
            all.push((write.clone(), k + 9));
        }
        all
    }
}

/// The stage in which a run waits as planned.
const GRACE: &str = "to the grace period";

/// One case on its way.
pub(super) struct Way<'a> {
    pub(super) case: &'a Case,
    pub(super) plan: Plan,
    pub(super) text: String,
    pub(super) phases: Vec<Phase>,
    round: u32,
    calls: usize,
}

impl<'a> Way<'a> {
    pub(super) fn new(case: &'a Case, program: &Program) -> Self {
        Self { case, plan: case.plan(), text: case.plan_text(), phases: program.phases.clone(), round: 0, calls: 0 }
    }

    /// Writes in both databases, and compares what each statement ended with.
    async fn write(&mut self, places: &mut Places, side: Side, stage: &'static str) -> Result<(), Failure> {
        self.round += 1;
        for (template, n) in self.case.writes(self.round) {
            let ours = self.case.spoken(&template, side, false, n);
            let plain = self.case.spoken(&template, side, true, n);
            let (found, expected) = tokio::join!(places.ours.write(&ours), places.plain.write(&plain));
            // A trigger stands in for NOT NULL where neither column is, and fires before policies are looked at.
            let stands_in = !self.case.is_rename() && found == "23502" && expected == "42501";
            // Of two indexes that refuse a row, PostgreSQL names the one that was made first, and twins are made in an order of their own.
            let in_an_index = |code: &str| code == "23505" || code == "23P01";
            let other_index = !self.case.is_rename() && in_an_index(&found) && in_an_index(&expected);
            if found != expected && !stands_in && !other_index {
                return Err(Failure::new(
                    stage,
                    format!("{ours}\nended with {found}; beside plain ALTER TABLE with {expected}:\n{plain}"),
                ));
            }
        }
        Ok(())
    }

    async fn same_rows(&self, places: &mut Places, stage: &'static str) -> Result<(), Failure> {
        let (found, expected) = tokio::join!(places.ours.contents(self.case), places.plain.contents(self.case));
        same(stage, &expected, &found)
    }

    async fn run(&mut self, places: &Places, to: Option<Phase>, stage: &'static str) -> Result<(), Failure> {
        self.killed(places, to).await;
        let ran = timeout(PATIENCE, places.tool.run(&self.plan, &self.text, to)).await;
        match ran {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Error::NotYet(_))) if stage == GRACE => Ok(()),
            Ok(Err(error)) => Err(Failure::new(stage, format!("to {to:?}: {}", chain(&error)))),
            Err(_) => Err(Failure::new(stage, format!("to {to:?}: hangs"))),
        }
    }

    /// The same call first in a process that ends at any moment, if this case is one of those.
    async fn killed(&mut self, places: &Places, to: Option<Phase>) {
        self.calls += 1;
        let Some(kills) = &self.case.kills else { return };
        let after = Duration::from_micros(kills[self.calls % kills.len()]);
        let (url, text) = (places.ours.database.url.clone(), self.text.clone());
        if whole() {
            killed_for_good(&url, &text, to, after).await;
        } else {
            dropped(url, text, to, after).await;
        }
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' AND datname = current_database()";
        let begun = Instant::now();
        while places.ours.database.scalar::<i64>(sessions).await > 0 {
            assert!(begun.elapsed() < PATIENCE, "a killed tool's sessions do not end");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Goes a part of the way, and back: everything is as it was, but for what was written.
    pub(super) async fn there_and_back(&mut self, places: &mut Places) -> Result<(), Failure> {
        let before = places.ours.listing(self.case, true).await;
        let to = *self.phases.iter().rev().find(|phase| **phase <= self.case.back_from).unwrap_or(&self.phases[0]);
        // A type that was changed in place may have no cheap way back, which `plan` says.
        if to == Phase::Contract || !self.phases.contains(&Phase::Backfill) {
            return Ok(());
        }
        self.run(places, Some(to), "on the way to a rollback").await?;
        self.write(places, self.own_side(to), "written under the own name before a rollback").await?;
        if self.has_second(to) {
            self.write(places, Side::Second, "written under the new name before a rollback").await?;
        }
        let back = timeout(PATIENCE, places.tool.rollback(self.plan.name.as_str(), None)).await;
        match back {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Failure::new("rolling back", format!("from {to}: {}", chain(&error)))),
            Err(_) => return Err(Failure::new("rolling back", "hangs")),
        }
        let after = places.ours.listing(self.case, true).await;
        same("rolled back", &before, &after)?;
        self.write(places, Side::Old, "written after a rollback").await?;
        self.same_rows(places, "rows after a rollback").await
    }

    /// How the column is written under the name that it had at first, once `phase` has ended.
    fn own_side(&self, phase: Phase) -> Side {
        let swapped = matches!(self.case.alteration, Alteration::Retype(..)) && phase >= Phase::Switch;
        if swapped { Side::Swapped } else { Side::Old }
    }

    /// Whether rows are filled under the name of the second column, once `phase` has ended.
    fn has_second(&self, phase: Phase) -> bool {
        let rename = self.case.is_rename();
        self.phases.contains(&Phase::Backfill) && phase >= Phase::Backfill && (rename || phase < Phase::Switch)
    }

    /// Goes to the end.
    pub(super) async fn finish(&mut self, places: &mut Places) -> Result<(), Failure> {
        let program = self.phases.clone();
        for phase in self.case.stops.iter().copied().filter(|phase| program.contains(phase)) {
            self.run(places, Some(phase), "on the way to the end").await?;
            self.write(places, self.own_side(phase), "written under the own name").await?;
            if self.has_second(phase) {
                self.write(places, Side::Second, "written under the new name").await?;
            }
        }
        if self.case.grace && program.contains(&Phase::Backfill) {
            self.run(places, None, GRACE).await?;
            self.write(places, Side::Swapped, "written in the grace period").await?;
            let none = [("grace".to_owned(), "0s".to_owned())];
            if let Err(error) = places.tool.tune(self.plan.name.as_str(), &none).await {
                return Err(Failure::new("tuning", chain(&error)));
            }
        }
        self.run(places, None, "at the end").await?;
        alter(places, self.case, &self.plan).await?;
        let exact = self.case.is_rename();
        let (found, expected) =
            (places.ours.listing(self.case, exact).await, places.plain.listing(self.case, exact).await);
        same("the end", &expected, &found)?;
        self.same_rows(places, "rows at the end").await?;
        if !exact {
            tokio::join!(places.ours.reconnect(), places.plain.reconnect());
        }
        self.write(places, Side::Done, "written at the end").await?;
        self.same_rows(places, "rows written at the end").await
    }
}

/// Makes the call in a process that gets SIGKILL.
async fn killed_for_good(url: &str, text: &str, to: Option<Phase>, after: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.yaml");
    std::fs::write(&plan, text).unwrap();
    let to = to.map(|phase| vec!["--to".to_owned(), phase.to_string()]).unwrap_or_default();
    let mut running = Cli::new(url).args(["run".as_ref(), plan.as_os_str()]).args(to).args(["--yes"]).spawn();
    // A process takes a while before it does anything.
    let begun = Instant::now();
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' AND datname = current_database()";
    let mut session = PgConnection::connect(url).await.unwrap();
    while !running.has_ended() && sqlx::query_scalar::<_, i64>(ours).fetch_one(&mut session).await.unwrap() == 0 {
        assert!(begun.elapsed() < PATIENCE, "the process does not connect");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(after).await;
    running.kill().await;
}

/// Makes the call in a thread whose runtime ends in the middle of it.
async fn dropped(url: String, text: String, to: Option<Phase>, after: Duration) {
    let one = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let plan = crossfade::plan::parse("plan.yaml", &text).expect("it was parsed before");
        let tool = tool(&url);
        let _ = runtime.block_on(async { timeout(after, tool.run(&plan, &text, to)).await });
        runtime.shutdown_background();
    });
    one.await.unwrap();
}

/// Changes the column by plain ALTER TABLE. Where PostgreSQL refuses that for what hangs on the column, a person would take it down and
/// make it anew.
pub(super) async fn alter(places: &mut Places, case: &Case, plan: &Plan) -> Result<(), Failure> {
    let statements = plain_alter(plan).join(";\n");
    let Err(first) = places.plain.try_execute(&statements).await else { return Ok(()) };
    let undo = case.pieces.iter().rev().filter_map(|piece| piece.undo.clone());
    let anew = case.pieces.iter().filter(|piece| piece.undo.is_some()).flat_map(|piece| piece.statements.clone());
    let all: Vec<_> = undo.chain([statements]).chain(anew).collect();
    let anew = places.plain.try_execute(&all.join(";\n")).await;
    anew.map_err(|error| {
        Failure::new("plain ALTER TABLE", format!("{first}\nand with what hangs on the column made anew: {error}"))
    })
}

pub(super) fn same(stage: &'static str, expected: &str, found: &str) -> Result<(), Failure> {
    if expected == found { Ok(()) } else { Err(Failure::new(stage, difference(expected, found))) }
}

/// Returns an error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
