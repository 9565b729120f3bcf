//! A run as a script for psql: what `crossfade run` does, as far as SQL can do it, for whoever must not run a program against
//! the database.
//!
//! The script keeps a list of its steps in a schema of its own. It may therefore stop anywhere (an error, a lock that it does
//! not get, a wait) and continues when it is run again. Nothing that cannot be undone happens unless the person who runs it
//! says so in that very call.

mod still_so;

use std::fmt::Write as _;
use std::time::Duration;

use super::{compile, lock_views};
use crate::amounts::count;
use crate::names::{Counters, FIRST_TRIGGER, LAST_TRIGGER, LedgerSchema};
use crate::plan::{Plan, Triggers};
use crate::run::{Action, CompareSpec, Facts, FillSpec, Gate, IndexName, Program, RelationId, Step, Target, Undo};
use crate::sql::{LockMode, dollar_quote, one_line, quote_ident, quote_literal};

/// A wait that has no more than this left is waited for; a longer one ends the script.
const SHORT_WAIT: &str = "interval '1 min'";
/// How many rows that are not equal are named.
const NAMED: usize = 5;

/// The settings that change how the text of a statement is read, and those that would end it early.
const SETTINGS: &str = "\
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET DateStyle = 'ISO, MDY';
SET IntervalStyle = 'postgres';
SET extra_float_digits = 1;
SET client_min_messages = notice;
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = off;
SET row_security = off;
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
";

/// Returns the run of `plan` as a script for psql.
pub(crate) fn script(plan: &Plan, facts: &Facts) -> String {
    let schema = LedgerSchema::new(&format!("crossfade_{}", plan.tag()));
    let program = compile(plan, facts, &schema);
    let mut script = Script { plan, facts, program: &program, schema: &schema, text: String::new() };
    script.head();
    script.back();
    for at in 0..program.steps.len() {
        script.step(at);
    }
    script.end(&["-- Nothing is left but the change.".to_owned()], "the plan is done");
    script.text
}

/// Returns the script of a plan that the database rules out: it says why, and fails. `reasons` are its problems.
pub(crate) fn refused(plan: &Plan, reasons: &[String]) -> String {
    let mut text = format!("-- crossfade plan {} on {}\n\n", plan.name, one_line(&plan.table.to_string()));
    for reason in reasons {
        let _ = writeln!(text, "-- refused: {}", one_line(reason));
    }
    text.push_str("\n\\set ON_ERROR_STOP on\n");
    let problems = count(reasons.len(), "problem");
    let message = format!("this plan cannot be run on this database: {problems}, listed in the script");
    text.push_str(&raise(&message, "Fix them, then make the script again."));
    text
}

struct Script<'a> {
    plan: &'a Plan,
    facts: &'a Facts,
    program: &'a Program,
    schema: &'a LedgerSchema,
    text: String,
}

impl Script<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Writes a statement with the semicolon that ends it.
    fn statement(&mut self, statement: &str) {
        let end = if statement.trim_end().ends_with(';') { "" } else { ";" };
        self.line(&format!("{}{end}", statement.trim_end()));
    }

    fn call(&mut self, procedure: &str, argument: &str) {
        let name = self.schema.qualify(procedure);
        self.line(&format!("CALL {name}({});", quote_literal(argument)));
    }

    fn own(&self, sql: &str) -> String {
        sql.replace("crossfade_script", &quote_ident(self.schema.as_str()))
    }

    fn head(&mut self) {
        let (name, table) = (&self.plan.name, one_line(&self.plan.table.to_string()));
        let last = self.program.steps.iter().find(|step| matches!(step.undo, Undo::PointOfNoReturn(_)));
        let _ = writeln!(
            self.text,
            "-- crossfade plan {name} on {table}\n--\n\
             -- Run it as the owner of the table, directly and not through a pooler:  psql -X -f FILE DATABASE\n\
             -- If it stops, read its last message, then run it again: it continues with the first step that is not done.\n\
             -- To undo what is done:  psql -X -v crossfade_undo=yes -f FILE DATABASE"
        );
        if let Some(step) = last {
            let title = one_line(&step.title);
            let _ = writeln!(
                self.text,
                "-- It stops before the point of no return ({title}). To pass it:\n\
                 --   psql -X -v crossfade_yes=yes -f FILE DATABASE"
            );
        }
        self.text.push_str(
            "-- What `crossfade run` does and this script does not: throttling, max_rows_per_second, workers, the order of\n\
             -- updates that keeps the table small, help by other hosts, `status` and `history`.\n\n\
             \\set ON_ERROR_STOP on\n\\set AUTOCOMMIT on\n\\set QUIET on\n",
        );
        self.text.push_str(SETTINGS);
        let checks = self.before();
        self.statement(&format!("DO {}", dollar_quote(&checks)));
        let setup = self.own(include_str!("script/setup.sql"));
        self.line(&setup);
    }

    /// What must hold before the first step: nobody else runs the script, its schema is its own, and the table is as it was
    /// when the script was made. A plan that is done is thereby not done twice.
    fn before(&self) -> String {
        let schema = quote_literal(self.schema.as_str());
        let mut text = format!(
            "
BEGIN
  -- The session of an earlier call may need a moment to end.
  PERFORM pg_catalog.set_config('lock_timeout', '15s', true);
  BEGIN
    PERFORM pg_catalog.pg_advisory_lock(pg_catalog.hashtext({schema}));
  EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'another session is running this script';
  END;
  IF EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {schema}) THEN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
        WHERE n.nspname = {schema} AND r.rolname = current_user) THEN
      RAISE EXCEPTION 'schema % belongs to another role: run the script as that role, or drop the schema', {schema};
    END IF;
    RETURN;
  END IF;
"
        );
        let again =
            format!("table {} is not as it was when this script was made", one_line(&self.plan.table.to_string()));
        for condition in still_so::conditions(self.plan, self.facts) {
            let _ = write!(
                text,
                "  IF NOT ({condition}) THEN
    RAISE EXCEPTION USING MESSAGE = {},
      HINT = 'Perhaps the script has been run to its end. If not, make it again, with crossfade plan --format sql.';
  END IF;
",
                quote_literal(&again)
            );
        }
        text.push_str("END\n");
        text
    }

    /// The way back: everything that is done, last first.
    fn back(&mut self) {
        self.line("\n\\if :{?crossfade_undo}");
        let program = self.program;
        for step in program.steps.iter().rev() {
            if let Undo::Nothing(_) = step.undo {
                continue;
            }
            let key = step.key.text();
            self.asks(&format!(
                "EXISTS (SELECT FROM {} WHERE key = {})",
                self.schema.qualify("step"),
                quote_literal(&key)
            ));
            self.call("say", &format!("undoing {}", one_line(&key)));
            match &step.undo {
                Undo::Actions { needs, actions } => self.undo(step, needs, actions),
                Undo::PointOfNoReturn(why) => {
                    self.text.push_str(&raise(&format!("{} cannot be undone: {}", one_line(&key), one_line(why)), ""));
                }
                Undo::Nothing(_) => {}
            }
            self.call("undone", &key);
            self.line("\\endif");
        }
        self.end(&[], "everything is undone");
        self.line("\\quit\n\\endif");
    }

    fn undo(&mut self, step: &Step, needs: &[Gate], actions: &[Action]) {
        let targets: Vec<_> =
            step.targets.iter().map(|target| Target { mode: LockMode::AccessExclusive, ..*target }).collect();
        for need in needs {
            match need {
                Gate::NothingOnlyNew { spec, .. } => self.nothing_only_new(spec),
                Gate::NoNulls { relation, column } => {
                    let Some(relation) = self.program.relation(*relation) else { continue };
                    let (table, quoted) = (relation.table.sql(), quote_ident(column));
                    let message = format!("rows have no value in column {quoted}, which was NOT NULL");
                    let check = format!(
                        "\nBEGIN\n  IF EXISTS (SELECT FROM {table} AS t WHERE t.{quoted} IS NULL) THEN\n    RAISE EXCEPTION USING MESSAGE = {}, HINT = 'Give them one, then run this script again.';\n  END IF;\nEND\n",
                        quote_literal(&one_line(&message))
                    );
                    self.statement(&format!("DO {}", dollar_quote(&check)));
                }
                _ => {}
            }
        }
        for action in actions {
            match action {
                Action::Transaction(statements) => {
                    self.line("BEGIN;");
                    self.lock(&step.above, &targets);
                    if needs.iter().any(|need| matches!(need, Gate::NothingOnlyNew { one_way: true, .. })) {
                        let still = format!(
                            "\nBEGIN\n  IF {}::text <> pg_catalog.current_setting('crossfade.new_writes') THEN\n    RAISE EXCEPTION USING MESSAGE = 'the new column was written meanwhile, and such a value may have no way back', HINT = 'Stop the new release, then run this script again.';\n  END IF;\nEND\n",
                            self.writes(&Counters::of(&self.program.tag).new)
                        );
                        self.statement(&format!("DO {}", dollar_quote(&still)));
                    }
                    for statement in statements {
                        self.statement(statement);
                    }
                    self.line("COMMIT;");
                }
                Action::Concurrent { settings, statement, builds: Some(index) } => {
                    self.drop_unfinished("", index);
                    self.asks(&format!("pg_catalog.to_regclass({}) IS NULL", quote_literal(&index.sql())));
                    self.under(settings, statement);
                    self.line("\\endif");
                }
                other => {
                    for statement in other.sql() {
                        self.statement(&statement);
                    }
                }
            }
        }
    }

    /// Drops an index that an earlier call left half built, where `only_if` holds (empty, or with AND at its end).
    fn drop_unfinished(&mut self, only_if: &str, index: &IndexName) {
        let name = quote_literal(&index.sql());
        self.asks(&format!(
            "{only_if}EXISTS (SELECT FROM pg_catalog.pg_index AS i \
             WHERE i.indexrelid = pg_catalog.to_regclass({name}) AND NOT i.indisvalid)"
        ));
        self.statement(&format!("DROP INDEX CONCURRENTLY {}", index.sql()));
        self.line("\\endif");
    }

    /// A statement with settings of its own.
    fn under(&mut self, settings: &[(String, String)], statement: &str) {
        for (name, value) in settings {
            self.line(&format!("SET {name} = {};", quote_literal(value)));
        }
        self.statement(statement);
        for (name, _) in settings {
            self.line(&format!("RESET {name};"));
        }
    }

    /// Refuses to lose a value that only the new column has.
    fn nothing_only_new(&mut self, spec: &CompareSpec) {
        let new = self.writes(&Counters::of(&self.program.tag).new);
        self.line(&format!(
            "SELECT pg_catalog.set_config('crossfade.new_writes', COALESCE({new}::text, ''), false) AS crossfade_seen \\gset"
        ));
        // Only the first write of a second is counted: what comes after this pause is in another one.
        self.line("SELECT pg_catalog.pg_sleep(1) AS crossfade_pause \\gset");
        let check = format!(
            "\n#variable_conflict use_column\nDECLARE\n  v_found record;\nBEGIN\n  IF {new} IS NULL THEN RETURN; END IF;\n  SELECT * INTO v_found FROM ({}) AS counted;\n  IF v_found.only_new > 0 OR v_found.different > 0 THEN\n    RAISE EXCEPTION USING MESSAGE = pg_catalog.format('%s rows hold a value that only the new column has, and %s differ', v_found.only_new, v_found.different),\n      HINT = 'Undoing would lose these values. Write the old column of those rows, then run this script again.';\n  END IF;\nEND\n",
            spec.count(0, None)
        );
        self.statement(&format!("DO {}", dollar_quote(&check)));
    }

    /// The last value of a counter; NULL where there is none.
    fn writes(&self, counter: &str) -> String {
        let name = quote_literal(&self.schema.qualify(counter));
        format!("pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass({name}))")
    }

    /// Opens a block that is only for what is so now.
    fn asks(&mut self, condition: &str) {
        self.line(&format!("SELECT {condition} AS crossfade_now \\gset\n\\if :crossfade_now"));
    }

    fn lock(&mut self, above: &[String], targets: &[Target]) {
        let program = self.program;
        if let Some(main) = program.relation(RelationId::MAIN).filter(|_| !above.is_empty()) {
            self.call("lock_politely", &lock_views(&main.table.sql(), above));
        }
        for target in targets {
            let Some(relation) = program.relation(target.relation) else { continue };
            if target.mode > LockMode::None {
                self.call("lock_politely", &format!("LOCK TABLE {} IN {} MODE", relation.table.sql(), target.mode));
            }
        }
    }

    fn step(&mut self, at: usize) {
        let program = self.program;
        let step = &program.steps[at];
        let (key, title) = (step.key.to_string(), one_line(&step.title));
        let (mode, around) =
            (step.strongest_lock(), if step.transactional() { "one transaction" } else { "outside a transaction" });
        self.line(&format!("\n-- {key}: {title}\n-- lock: {mode}; {around}"));
        let until = quote_literal(&program.steps[last_of(program, at)].key.text());
        let table = self.schema.qualify("step");
        self.asks(&format!("NOT EXISTS (SELECT FROM {table} WHERE key = {until} AND done_at IS NOT NULL)"));
        self.call("say", &format!("{key}: {title}"));
        if self.plan.approve.contains(&step.key.phase) {
            let phase = step.key.phase;
            let message = format!("stopped before {phase}: the plan lets it wait until somebody has approved it");
            let hint = format!("Then run this script again with: psql -X -v crossfade_approved_{phase}=yes -f FILE");
            let refusal = raise(&message, &hint);
            self.line(&format!("\\if :{{?crossfade_approved_{phase}}}\n\\else\n{refusal}\\endif"));
        }
        if let Undo::PointOfNoReturn(why) = &step.undo {
            let message = format!(
                "stopped before the point of no return: nothing was dropped yet; next: {title}; afterwards, {}",
                one_line(why)
            );
            let hint = "To pass it, run this script again with: psql -X -v crossfade_yes=yes -f FILE";
            let refusal = raise(&message, hint);
            self.line(&format!("\\if :{{?crossfade_yes}}\n\\else\n{refusal}\\endif"));
        }
        match &step.action {
            Action::Transaction(statements) => self.transaction(step, statements),
            Action::Concurrent { settings, statement, builds } => {
                if let Some(index) = builds {
                    self.drop_unfinished(&format!("EXISTS (SELECT FROM {table} WHERE key = {until}) AND "), index);
                }
                let built = builds.as_ref().map(|index| {
                    let name = quote_literal(&index.sql());
                    format!("EXISTS (SELECT FROM {table} WHERE key = {until}) AND pg_catalog.to_regclass({name}) IS NOT NULL")
                });
                self.asks(&format!("NOT ({})", built.unwrap_or_else(|| "false".to_owned())));
                self.call("begun", &step.key.text());
                self.under(settings, statement);
                self.line("\\endif");
                self.call("done", &step.key.text());
            }
            // A plan of a partitioned table has no script.
            Action::BuildInPartitions(_) => {}
            Action::Fill(spec) => {
                self.fill(spec);
                self.call("done", &step.key.text());
            }
            Action::Compare(spec) => self.compare(spec),
            Action::Await(gate) => self.wait(at, gate),
        }
        self.line("\\endif");
    }

    fn transaction(&mut self, step: &Step, statements: &[String]) {
        self.line("BEGIN;");
        self.lock(&step.above, &step.targets);
        for need in &step.needs {
            match need {
                Gate::Quiet { quiet } if !quiet.is_zero() => self.still_quiet(),
                Gate::NoDependants { relation, column, except } => {
                    if let Some(relation) = self.program.relation(*relation) {
                        let check = no_dependants(&relation.table.sql(), column, except);
                        self.statement(&format!("DO {}", dollar_quote(&check)));
                    }
                }
                // The check before this step is repeated in each call until the step is done; the rest is waited for.
                _ => {}
            }
        }
        if let Some(time) = step.locked_for {
            self.statement(&format!("SET LOCAL statement_timeout = {}", time.as_millis()));
        }
        for statement in statements {
            if statement.starts_with("SELECT ") {
                self.line(&format!("DO {};", dollar_quote(&format!("BEGIN PERFORM{}; END", &statement[6..]))));
            } else {
                self.statement(statement);
            }
        }
        self.call("done", &step.key.text());
        self.line("COMMIT;");
    }

    fn fill(&mut self, spec: &FillSpec) {
        let backfill = &self.plan.backfill;
        let set = |name: &str, value: &str| format!("PERFORM pg_catalog.set_config('{name}', '{value}', true);");
        let triggers = (backfill.triggers == Triggers::Skip).then(|| set("session_replication_role", "replica"));
        let compression = backfill.wal_compression.map(|method| set("wal_compression", method.server_value()));
        let settings: Vec<_> = triggers.into_iter().chain(compression).collect();
        let body = self.own(include_str!("script/fill.sql"));
        let body = body
            .replace("{settings}", &settings.join(" "))
            .replace("{target}", &backfill.batch_target.as_secs_f64().to_string());
        // Names and expressions come last: what looks like a placeholder in them stays.
        let body = body
            .split("{update}")
            .map(|part| {
                let part = part.split("{literal}").map(|part| part.replace("{table}", &spec.table.sql()));
                part.collect::<Vec<_>>().join(&quote_literal(&spec.table.sql()))
            })
            .collect::<Vec<_>>()
            .join(&quote_literal(&spec.between("$1", "$2")));
        let name = self.schema.qualify("fill_rows");
        self.statement(&format!("CREATE OR REPLACE PROCEDURE {name}() LANGUAGE plpgsql AS {}", dollar_quote(&body)));
        self.line(&format!("CALL {name}();"));
    }

    fn compare(&mut self, spec: &CompareSpec) {
        let check = format!(
            "
#variable_conflict use_column
DECLARE
  v_found record;
BEGIN
  SELECT * INTO v_found FROM ({}) AS counted;
  IF v_found.empty + v_found.different + v_found.unconverted > 0 THEN
    RAISE EXCEPTION USING MESSAGE = pg_catalog.format('%s of %s rows are not equal (%s empty, %s different, %s unconverted)',
        v_found.empty + v_found.different + v_found.unconverted, v_found.rows, v_found.empty, v_found.different, v_found.unconverted),
      DETAIL = (SELECT pg_catalog.string_agg(pg_catalog.concat(named.key), '; ') FROM ({}) AS named),
      HINT = 'Correct these rows, then run this script again.';
  END IF;
  RAISE NOTICE '% rows compared, all equal', v_found.rows;
END
",
            spec.count(0, None),
            spec.keys(0, None, NAMED)
        );
        self.statement(&format!("DO {}", dollar_quote(&check)));
    }

    fn wait(&mut self, at: usize, gate: &Gate) {
        match gate {
            Gate::Quiet { quiet } if !quiet.is_zero() => {
                let (kept, writes) = (self.schema.qualify("quiet"), self.old_writes());
                self.statement(&format!(
                    "INSERT INTO {kept} SELECT {writes}, pg_catalog.clock_timestamp() WHERE NOT EXISTS (SELECT FROM {kept})"
                ));
                self.statement(&format!(
                    "UPDATE {kept} SET writes = {writes}, since = pg_catalog.clock_timestamp() WHERE writes <> {writes}"
                ));
                self.sleep(
                    &format!("SELECT since INTO v_since FROM {kept}"),
                    *quiet,
                    "nobody may write the old column until then",
                );
                self.still_quiet();
            }
            Gate::Grace { grace } if !grace.is_zero() => {
                let before = self.program.steps[..at].iter().rev().find(|step| step.transactional());
                let key = before.map(|step| step.key.text()).unwrap_or_default();
                let table = self.schema.qualify("step");
                let since = format!("SELECT done_at INTO v_since FROM {table} WHERE key = {}", quote_literal(&key));
                self.sleep(&since, *grace, "the retired column is kept until then");
            }
            _ => {}
        }
    }

    fn sleep(&mut self, since: &str, length: Duration, why: &str) {
        let body = format!(
            "
DECLARE
  v_since timestamptz;
BEGIN
  {since};
  v_since := v_since + pg_catalog.make_interval(secs => {});
  IF v_since > pg_catalog.clock_timestamp() + {SHORT_WAIT} THEN
    RAISE EXCEPTION USING MESSAGE = pg_catalog.format('waiting as planned until %s: {why}', v_since),
      HINT = 'Run this script again then.';
  END IF;
  COMMIT;
  WHILE v_since > pg_catalog.clock_timestamp() LOOP
    PERFORM pg_catalog.pg_sleep(0.5);
    COMMIT;
  END LOOP;
END
",
            length.as_secs_f64()
        );
        self.statement(&format!("DO {}", dollar_quote(&body)));
    }

    fn old_writes(&self) -> String {
        self.writes(&Counters::of(&self.program.tag).old)
    }

    fn still_quiet(&mut self) {
        let check = format!(
            "
BEGIN
  IF EXISTS (SELECT FROM {} AS q WHERE q.writes <> {}) THEN
    RAISE EXCEPTION USING MESSAGE = 'the old column is still written',
      HINT = 'Stop the releases that write it, then run this script again.';
  END IF;
END
",
            self.schema.qualify("quiet"),
            self.old_writes()
        );
        self.statement(&format!("DO {}", dollar_quote(&check)));
    }

    /// Drops what the script has kept. Fails if anything else is in its schema.
    fn end(&mut self, comments: &[String], words: &str) {
        self.line("");
        for comment in comments {
            self.line(comment);
        }
        let own = |name: &str| self.schema.qualify(name);
        let mut drops = vec![format!("DROP PROCEDURE IF EXISTS {}()", own("fill_rows"))];
        let procedures = ["say", "begun", "done", "undone", "lock_politely"];
        drops.extend(procedures.map(|name| format!("DROP PROCEDURE {}(text)", own(name))));
        drops.push(format!("DROP TABLE {}, {}, {}", own("step"), own("fill"), own("quiet")));
        drops.push(format!("DROP SCHEMA {}", quote_ident(self.schema.as_str())));
        self.call("say", words);
        self.line("BEGIN;\nSET LOCAL client_min_messages = warning;");
        for drop in drops {
            self.statement(&drop);
        }
        self.line("COMMIT;");
    }
}

/// Returns the step at whose end the step at `at` need not be done again. A step that changes something: itself. A check or a
/// wait is for a later one, and is repeated in each call until that is done.
fn last_of(program: &Program, at: usize) -> usize {
    let lasting = |step: &Step| !matches!(step.action, Action::Compare(_) | Action::Await(_));
    if lasting(&program.steps[at]) {
        return at;
    }
    let later = || program.steps.iter().enumerate().skip(at + 1);
    let next_check =
        later().find(|(_, step)| matches!(step.action, Action::Compare(_))).map_or(usize::MAX, |(at, _)| at);
    let relies = |step: &Step| step.needs.iter().any(|need| matches!(need, Gate::Verified { .. }));
    let before_next = later().take_while(|(at, _)| *at < next_check);
    let relying = before_next.clone().find(|(_, step)| relies(step));
    let found = relying.or_else(|| before_next.clone().find(|(_, step)| lasting(step)));
    found.or_else(|| later().find(|(_, step)| lasting(step))).map_or(at, |(at, _)| at)
}

/// Refuses to drop what goes with a column without having been named.
fn no_dependants(table: &str, column: &str, except: &[String]) -> String {
    let except: Vec<_> = except.iter().map(|name| quote_literal(name)).collect();
    format!(
        "
DECLARE
  v_found text;
BEGIN
  SELECT pg_catalog.string_agg(pg_catalog.pg_describe_object(d.classid, d.objid, 0), ', ') INTO v_found
  FROM pg_catalog.pg_depend AS d
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attname = {column}
  LEFT JOIN pg_catalog.pg_class AS c ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
  LEFT JOIN pg_catalog.pg_constraint AS k ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid
  LEFT JOIN pg_catalog.pg_statistic_ext AS s ON d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND s.oid = d.objid
  LEFT JOIN pg_catalog.pg_trigger AS g ON d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND g.oid = d.objid
  WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = {table}::pg_catalog.regclass
    AND k.contype IS DISTINCT FROM 'n' AND d.classid <> 'pg_catalog.pg_attrdef'::pg_catalog.regclass
    AND NOT COALESCE(pg_catalog.starts_with(g.tgname::text, {first}) OR pg_catalog.starts_with(g.tgname::text, {last}), false)
    AND COALESCE(c.relname, k.conname, s.stxname, '') <> ALL (ARRAY[{}]::text[]);
  IF v_found IS NOT NULL THEN
    RAISE EXCEPTION USING MESSAGE = pg_catalog.concat('the column cannot be dropped, because this depends on it: ', v_found),
      HINT = 'Move or drop it, then run this script again.';
  END IF;
END
",
        except.join(", "),
        column = quote_literal(column),
        table = quote_literal(table),
        first = quote_literal(FIRST_TRIGGER),
        last = quote_literal(LAST_TRIGGER),
    )
}

fn raise(message: &str, hint: &str) -> String {
    let hint = if hint.is_empty() { String::new() } else { format!(", HINT = {}", quote_literal(hint)) };
    let body = format!("BEGIN RAISE EXCEPTION USING MESSAGE = {}{hint}; END", quote_literal(message));
    format!("DO {};\n", dollar_quote(&body))
}
