//! The truth table of the sync trigger, held against a model that was written from the table and not from the trigger.

use crossfade::change::compile;
use crossfade::ident::ColumnName;
use crossfade::names::LedgerSchema;
use crossfade::plan::{Change, ChangeType, OnConflict, RenameColumn, parse};
use crossfade::run::{
    Action, ChangeFacts, ColumnFacts, Conversion, Facts, PairFacts, Program, Slice, Step, TableFacts, What,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::harness::{Database, versions_of};

/// How far the run has come, and whether the change keeps the column's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Soak,
    Swapped,
    Retired,
}

impl Stage {
    /// Names of the old and the new column of a change that keeps its name, or not.
    fn columns(self, keeps_name: bool, tag: &str) -> (String, String) {
        let (old, new) = match (self, keeps_name) {
            (Self::Retired, true) => (format!("cf_{tag}_old_o"), "o".to_owned()),
            // The column itself has its new name, and the other one lends none.
            (Self::Retired, false) => ("n".to_owned(), format!("cf_{tag}_mirror_n")),
            (Self::Swapped, true) => ("n".to_owned(), "o".to_owned()),
            (Self::Soak, _) | (Self::Swapped, false) => ("o".to_owned(), "n".to_owned()),
        };
        (format!("\"{old}\""), format!("\"{new}\""))
    }
}

/// What one of the cases is made of: the two types, the two expressions and the model of both.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that a table has or has not")]
struct Case {
    name: &'static str,
    old_type: &'static str,
    new_type: &'static str,
    default: Option<&'static str>,
    /// Whether the default belongs to the type, a domain.
    default_of_type: bool,
    /// Whether the default can be compared with; it gives `dflt` all the same.
    repeatable: bool,
    forward: Conversion,
    reverse: Conversion,
    on_conflict: &'static str,
    other_before_triggers: bool,
    /// Whether the application has a BEFORE trigger that makes `a` of `b` in the column it knows.
    own_trigger: bool,
    stage: Stage,
    /// Values of both sides; the old side's are tried as they are, the new side's too.
    old_values: &'static [&'static str],
    new_values: &'static [&'static str],
    model_forward: fn(&str) -> Option<String>,
    model_reverse: fn(&str) -> Option<String>,
}

fn expression(sql: &str) -> Conversion {
    Conversion::Expression { sql: sql.to_owned(), null_to_null: true, search_path: None }
}

#[expect(clippy::unnecessary_wraps, reason = "the same type as conversions that can fail")]
fn same(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn cases() -> Vec<Case> {
    let rename = Case { name: "rename", ..rename_like() };
    let lossy = |name, default, on_conflict, other_before_triggers| Case {
        name,
        new_type: "character varying(3)",
        default,
        forward: expression("\"substring\"(o, 1, 3)"),
        reverse: expression("(n)::text"),
        on_conflict,
        other_before_triggers,
        old_values: &["a", "abcd", "abce", "abc", "dflt"],
        new_values: &["a", "abc", "dfl"],
        model_forward: |old| Some(old.chars().take(3).collect()),
        ..rename_like()
    };
    let fallible = |name, reverse: Conversion, model_reverse| Case {
        name,
        new_type: "integer",
        forward: expression("(o)::integer"),
        reverse,
        old_values: &["1", "007", "x", "99999999999", "2"],
        new_values: &["1", "7", "2"],
        model_forward: |old| old.parse::<i32>().ok().map(|n| n.to_string()),
        model_reverse,
        ..rename_like()
    };
    let base = vec![
        Case {
            default: Some("'dflt'::text"),
            name: "rename with default",
            old_values: &["a", "dflt"],
            ..rename_like()
        },
        Case {
            default: Some("concat('dflt', left((random())::text, 0))"),
            repeatable: false,
            name: "rename with a volatile default",
            old_values: &["a", "dflt", "b"],
            ..rename_like()
        },
        Case {
            old_type: "with_default",
            new_type: "with_default",
            default: Some("'dflt'::text"),
            default_of_type: true,
            name: "rename of a domain with a default",
            ..rename_like()
        },
        Case {
            old_type: "pair",
            new_type: "pair",
            name: "rename of a composite",
            old_values: &["(,)", "(1,)", "(1,2)"],
            new_values: &["(,)", "(1,)", "(1,2)"],
            ..rename_like()
        },
        Case { other_before_triggers: true, name: "rename, other triggers", ..rename_like() },
        Case { other_before_triggers: true, own_trigger: true, name: "rename, a trigger of its own", ..rename_like() },
        Case { on_conflict: "old_wins", name: "rename, old wins", ..rename_like() },
        rename,
        lossy("lossy", None, "new_wins", false),
        lossy("lossy with default", Some("'dflt'::text"), "new_wins", false),
        lossy("lossy, old wins, other triggers", None, "old_wins", true),
        Case { own_trigger: true, ..lossy("lossy, a trigger of its own", None, "new_wins", true) },
        fallible("text to integer", expression("(n)::text"), same),
        fallible("text to integer, one way", Conversion::None, |_| None),
    ];
    let at = |case: Case, stage| Case { stage, ..case };
    let stages = [Stage::Soak, Stage::Swapped, Stage::Retired];
    stages.into_iter().flat_map(|stage| base.clone().into_iter().map(move |case| at(case, stage))).collect()
}

fn rename_like() -> Case {
    Case {
        name: "",
        old_type: "text",
        new_type: "text",
        default: None,
        default_of_type: false,
        repeatable: true,
        stage: Stage::Soak,
        own_trigger: false,
        forward: Conversion::Identity,
        reverse: Conversion::Identity,
        on_conflict: "new_wins",
        other_before_triggers: false,
        old_values: &["a", "b", ""],
        new_values: &["a", "b", ""],
        model_forward: same,
        model_reverse: same,
    }
}

/// A value that a statement gives: NULL, or one of the case's by number.
type Given = Option<usize>;

#[derive(Debug, Clone)]
enum Write {
    /// Which of the columns the INSERT names.
    Insert {
        id: i32,
        old: Option<Given>,
        new: Option<Given>,
    },
    Update {
        id: i32,
        old: Option<Given>,
        new: Option<Given>,
    },
    Unrelated {
        id: i32,
    },
    Backfill,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let given = || proptest::option::weighted(0.8, 0_usize..5);
    let maybe = move || proptest::option::weighted(0.6, given());
    let id = 1..4_i32;
    let one = prop_oneof![
        (id.clone(), maybe(), maybe()).prop_map(|(id, old, new)| Write::Insert { id, old, new }),
        (id.clone(), maybe(), maybe()).prop_map(|(id, old, new)| Write::Update { id, old, new }),
        (id.clone(), maybe(), maybe()).prop_map(|(id, old, new)| Write::Update { id, old, new }),
        id.prop_map(|id| Write::Unrelated { id }),
        Just(Write::Backfill),
    ];
    proptest::collection::vec(one, 1..16)
}

/// A value, or NULL.
type Side = Option<String>;

/// The two sides of a row.
type Pair = (Side, Side);

/// The model: the truth table, one function a kind of statement.
struct Model<'a> {
    case: &'a Case,
    rows: std::collections::BTreeMap<i32, Pair>,
}

impl Model<'_> {
    fn forward(&self, old: Option<&String>) -> Option<String> {
        old.and_then(|old| (self.case.model_forward)(old))
    }

    fn reverse(&self, new: Option<&String>) -> Option<String> {
        new.and_then(|new| (self.case.model_reverse)(new))
    }

    fn consistent(&self, (old, new): &Pair) -> bool {
        *new == self.forward(old.as_ref()) || *old == self.reverse(new.as_ref())
    }

    fn settle(&self, pair: Pair) -> Pair {
        if self.consistent(&pair) {
            return pair;
        }
        match self.case.on_conflict {
            "old_wins" => (pair.0.clone(), self.forward(pair.0.as_ref())),
            _ => (self.reverse(pair.1.as_ref()), pair.1),
        }
    }

    /// Whether the new column has the default, and the name that the application's own trigger uses.
    fn moved(&self) -> bool {
        match self.case.stage {
            Stage::Soak => false,
            Stage::Swapped | Stage::Retired => self.case.keeps_name(),
        }
    }

    /// What a column holds that the statement does not name: in the soak the new one has a default of its own where it needs
    /// no more than a copy of the old one's.
    fn defaults(&self) -> Pair {
        let default = self.case.default.map(|_| "dflt".to_owned());
        if self.moved() {
            return (
                None,
                if self.case.forward == Conversion::Identity { default } else { self.forward(default.as_ref()) },
            );
        }
        let copied = self.case.forward == Conversion::Identity && self.case.repeatable;
        (default.clone(), default.filter(|_| copied))
    }

    fn insert(&mut self, id: i32, old: Option<Side>, new: Option<Side>) {
        let mut defaults = self.defaults();
        let pair = (old.unwrap_or_else(|| defaults.0.clone()), new.unwrap_or_else(|| defaults.1.clone()));
        let unknown = !self.case.repeatable;
        if unknown {
            defaults = (None, None);
        }
        let to_new = |pair: &Pair| (pair.0.clone(), self.forward(pair.0.as_ref()));
        let to_old = |pair: &Pair| (self.reverse(pair.1.as_ref()), pair.1.clone());
        let consistent = self.consistent(&pair);
        // What differs from its default was given, NULL too; the rest may or may not have been.
        let pair = match (pair.0 != defaults.0, pair.1 != defaults.1) {
            // A row that was copied before it was filled.
            (true, true) if pair.1.is_none() => to_new(&pair),
            (true, true) if unknown && !consistent => {
                if self.moved() {
                    to_new(&pair)
                } else {
                    to_old(&pair)
                }
            }
            (true, true) => self.settle(pair),
            // The same of one that holds the default, until no row is unfilled.
            (false, true) if pair.1.is_none() && self.case.stage == Stage::Soak => to_new(&pair),
            (false, true) => {
                if consistent {
                    pair
                } else {
                    to_old(&pair)
                }
            }
            (false, false) if self.moved() => {
                if consistent {
                    pair
                } else {
                    to_old(&pair)
                }
            }
            (true | false, false) => to_new(&pair),
        };
        let pair = self.own_trigger(pair);
        self.rows.insert(id, pair);
    }

    /// The application's trigger changes the column that it knows, and the other follows.
    fn own_trigger(&self, pair: Pair) -> Pair {
        let b = Some("b".to_owned());
        if !self.case.own_trigger {
            return pair;
        }
        let a = Some("a".to_owned());
        match self.moved() {
            false if pair.0 == b => (a.clone(), self.forward(a.as_ref())),
            true if pair.1 == b => (self.reverse(a.as_ref()), a),
            _ => pair,
        }
    }

    fn update(&mut self, id: i32, old: Option<Side>, new: Option<Side>) {
        let Some(before) = self.rows.get(&id).cloned() else { return };
        // Whoever names the new column alone and gives it NULL means it, also where it is not filled yet.
        let erases = old.is_none() && new == Some(None);
        // Once every row is filled, nobody looks for one that is not.
        let heals = old.is_some() || new.is_some() || self.case.stage == Stage::Soak;
        let after = (old.unwrap_or_else(|| before.0.clone()), new.unwrap_or_else(|| before.1.clone()));
        let pair = match (after.0 != before.0, after.1 != before.1) {
            (true, true) => self.settle(after),
            (true, false) => (after.0.clone(), self.forward(after.0.as_ref())),
            // The backfill's own value, whoever writes it, changes nothing on the other side.
            (false, true) if before.1.is_none() && after.1 == self.forward(after.0.as_ref()) => after,
            (false, true) => (self.reverse(after.1.as_ref()), after.1),
            (false, false) if erases && !self.consistent(&after) => (self.reverse(None), None),
            (false, false) if after.1.is_none() && heals => (after.0.clone(), self.forward(after.0.as_ref())),
            (false, false) => after,
        };
        let pair = self.own_trigger(pair);
        self.rows.insert(id, pair);
    }
}

impl Case {
    fn keeps_name(&self) -> bool {
        self.forward != Conversion::Identity
    }

    fn columns(&self, program: &Program) -> (String, String) {
        self.stage.columns(self.keeps_name(), program.tag.as_str())
    }
}

fn program(case: &Case) -> Program {
    let rename = case.forward == Conversion::Identity;
    let on_conflict = OnConflict::of(case.on_conflict).unwrap();
    let column = |name| ColumnName::new(name).unwrap();
    let (old, new) = (column("o"), column("n"));
    let change = if rename {
        Change::RenameColumn(RenameColumn { from: old, to: new, on_conflict, adopt: None })
    } else {
        Change::ChangeType(ChangeType {
            column: old,
            via: new,
            to: case.new_type.to_owned(),
            using: Some(String::new()),
            reverse: Some(String::new()),
            default: None,
            keep_name: true,
            on_conflict,
            on_error: None,
            adopt: None,
        })
    };
    let text = "version: 1\nname: sync\ntable: t\nchanges: [{ rename_column: { from: o, to: n } }]\n";
    let mut plan = parse("sync.yaml", text).unwrap();
    plan.changes = vec![change];
    let base = |name: &str| name.split('(').next().unwrap().to_owned();
    let facts = Facts {
        server_version: 150_000,
        tables: vec![TableFacts {
            name: plan.table.clone(),
            oid: 0,
            partitioned: false,
            children: vec![],
            rows: 0,
            pages: 0,
            index_count: 0,
            index_bytes: 0,
            key: vec!["id".to_owned()],
            indexes: vec![],
            other_before_triggers: case.other_before_triggers,
            listeners: vec![],
            made_anew: vec![],
            materialized_views: vec![],
            constraints: vec![],
            referring: vec![],
            functions_to_touch: vec![],
            publications: vec![],
        }],
        functions: vec![],
        triggers: vec![],
        changes: vec![ChangeFacts::Pair(PairFacts {
            old: ColumnFacts {
                attnum: 2,
                type_name: case.old_type.to_owned(),
                base_type: base(case.old_type),
                collate: String::new(),
                not_null: false,
                not_null_constraint: None,
                identity: None,
                generated: None,
                default: case.default.filter(|_| !case.default_of_type).map(ToOwned::to_owned),
                type_default: case.default.filter(|_| case.default_of_type).map(ToOwned::to_owned),
                default_is_repeatable: case.repeatable,
                plain_compare: ["text", "with_default"].contains(&case.old_type),
                storage: None,
                compression: None,
                statistics: None,
                options: vec![],
                comment: None,
                grants: vec![],
            },
            new_type: case.new_type.to_owned(),
            new_base_type: base(case.new_type),
            new_collate: String::new(),
            new_default: case.default.filter(|_| !case.default_of_type).map(|default| {
                if rename { default.to_owned() } else { format!("CAST(left({default}, 3) AS {})", case.new_type) }
            }),
            new_type_default: case.default.filter(|_| case.default_of_type).map(ToOwned::to_owned),
            new_default_is_repeatable: case.repeatable,
            new_plain_compare: !["pair"].contains(&case.new_type),
            forward: case.forward.clone(),
            reverse: case.reverse.clone(),
            metadata_only: false,
            adopted: None,
        })],
    };
    compile(&plan, &facts, &LedgerSchema::default())
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *connection).await;
    done.unwrap_or_else(|error| panic!("{sql}\n{error}"));
}

/// Runs the statements on the server and in the model, and compares all rows after each.
async fn agree(
    connection: &mut PgConnection,
    case: &Case,
    program: &Program,
    writes: &[Write],
) -> Result<(), TestCaseError> {
    run(connection, "TRUNCATE t").await;
    let (old_column, new_column) = case.columns(program);
    let mut model = Model { case, rows: std::collections::BTreeMap::new() };
    let old_value = |given: Given| given.map(|n| case.old_values[n % case.old_values.len()].to_owned());
    let new_value = |given: Given| given.map(|n| case.new_values[n % case.new_values.len()].to_owned());
    let literal = |value: &Option<String>| value.as_ref().map_or("NULL".to_owned(), |v| format!("'{v}'"));
    // Rows from before the trigger.
    let (first, second) = if case.old_type == "pair" { ("(,)", "(1,)") } else { ("a", "7") };
    run(
        connection,
        &format!(
            "ALTER TABLE t DISABLE TRIGGER USER; INSERT INTO t (id, {old_column}, {new_column}) VALUES (1, NULL, NULL), (2, '{first}', NULL), (3, '{second}', NULL); ALTER TABLE t ENABLE TRIGGER USER"
        ),
    )
    .await;
    for (id, old) in [(1, None), (2, Some(first)), (3, Some(second))] {
        model.rows.insert(id, (old.map(ToOwned::to_owned), None));
    }
    for write in writes {
        let sql = match write {
            Write::Insert { id, old, new } => {
                let (old, new) = (old.map(old_value), new.map(new_value));
                let mut columns = vec!["id"];
                let mut values = vec![id.to_string()];
                if let Some(old) = &old {
                    columns.push(old_column.as_str());
                    values.push(literal(old));
                }
                if let Some(new) = &new {
                    columns.push(new_column.as_str());
                    values.push(literal(new));
                }
                model.insert(*id, old, new);
                format!(
                    "DELETE FROM t WHERE id = {id}; INSERT INTO t ({}) VALUES ({})",
                    columns.join(", "),
                    values.join(", ")
                )
            }
            Write::Update { id, old, new } => {
                let (old, new) = (old.map(old_value), new.map(new_value));
                let mut set = vec!["u = u + 1".to_owned()];
                set.extend(old.as_ref().map(|old| format!("{old_column} = {}", literal(old))));
                set.extend(new.as_ref().map(|new| format!("{new_column} = {}", literal(new))));
                model.update(*id, old, new);
                format!("UPDATE t SET {} WHERE id = {id}", set.join(", "))
            }
            Write::Unrelated { id } => {
                model.update(*id, None, None);
                format!("UPDATE t SET u = u + 1 WHERE id = {id}")
            }
            // Fills columns by their first names.
            Write::Backfill if case.stage != Stage::Soak => continue,
            Write::Backfill => {
                for id in 1..4 {
                    // Fills what is empty and convertible, and touches nothing else.
                    if model.rows.get(&id).is_some_and(|(old, new)| new.is_none() && old.is_some()) {
                        model.update(id, None, None);
                    }
                }
                let step = program
                    .steps
                    .iter()
                    .find_map(|s| if let Action::Fill(spec) = &s.action { Some(spec) } else { None });
                step.unwrap().batch(0, 1000, 1, Slice::WHOLE)
            }
        };
        run(connection, &sql).await;
        let select = format!("SELECT id, {old_column}::text, {new_column}::text FROM t ORDER BY id");
        let rows = sqlx::query(AssertSqlSafe(select)).persistent(false).fetch_all(&mut *connection).await.unwrap();
        let rows: Vec<(i32, Pair)> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
        let expected: Vec<(i32, Pair)> = model.rows.iter().map(|(id, pair)| (*id, pair.clone())).collect();
        prop_assert_eq!(rows, expected, "case {}, {:?}, after {:?}: {}", case.name, case.stage, write, sql);
    }
    Ok(())
}

fn set_up(case: &Case, program: &Program) -> String {
    let default = case.default.filter(|_| !case.default_of_type);
    let default = default.map_or(String::new(), |default| format!(" DEFAULT {default}"));
    let of = |step: &Step| match &step.action {
        Action::Transaction(statements) => statements.join("; "),
        other => panic!("{other:?} is not transactional"),
    };
    let reached = |step: &&Step| match step.key.what {
        What::Columns => true,
        What::Swap | What::Filled => case.stage != Stage::Soak,
        What::Retire => case.stage == Stage::Retired,
        _ => false,
    };
    let steps: Vec<_> = program.steps.iter().filter(reached).map(of).collect();
    let knows = if case.stage == Stage::Retired && !case.keeps_name() { "n" } else { "o" };
    let own = if case.own_trigger {
        format!(
            "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $own$ BEGIN IF NEW.{knows} = 'b' THEN NEW.{knows} := 'a'; END IF; RETURN NEW; END $own$;
             CREATE TRIGGER own BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION own()"
        )
    } else {
        String::new()
    };
    format!(
        "DROP TABLE IF EXISTS t; DROP SCHEMA IF EXISTS crossfade CASCADE; CREATE SCHEMA crossfade; DROP FUNCTION IF EXISTS own();
         DROP DOMAIN IF EXISTS with_default; CREATE DOMAIN with_default AS text DEFAULT 'dflt'; DROP TYPE IF EXISTS pair; CREATE TYPE pair AS (a int, b int);
         CREATE TABLE t (id int PRIMARY KEY, o {}{default}, u int DEFAULT 0); {}; {own}",
        case.old_type,
        steps.join("; ")
    )
}

/// W1, W2 and the truth table.
#[test]
fn the_truth_table_holds_for_any_sequence_of_writes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (n, case) in cases().into_iter().enumerate() {
        for version in versions_of(n) {
            let database = runtime.block_on(Database::on(&version));
            let mut connection = runtime.block_on(database.pool.acquire()).unwrap().detach();
            let program = program(&case);
            runtime.block_on(run(&mut connection, &set_up(&case, &program)));
            let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
            let connection = std::cell::RefCell::new(&mut connection);
            let result = runner.run(&writes(), |writes| {
                runtime.block_on(agree(&mut connection.borrow_mut(), &case, &program, &writes))
            });
            result.unwrap_or_else(|error| panic!("{}, {:?}: {error}", case.name, case.stage));
        }
    }
}
