//! The truth table of the sync trigger, held against a model that was written from the table and not from the trigger.

use crossfade::change::compile;
use crossfade::ident::ColumnName;
use crossfade::names::LedgerSchema;
use crossfade::plan::{Change, ChangeType, OnConflict, RenameColumn, parse};
use crossfade::run::{Action, ChangeFacts, ColumnFacts, Conversion, Facts, PairFacts, Program, Slice, TableFacts};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::harness::{Database, versions};

/// What one of the cases is made of: the two types, the two expressions and the model of both.
struct Case {
    name: &'static str,
    old_type: &'static str,
    new_type: &'static str,
    default: Option<&'static str>,
    forward: Conversion,
    reverse: Conversion,
    on_conflict: &'static str,
    other_before_triggers: bool,
    /// Values of both sides; the old side's are tried as they are, the new side's too.
    old_values: &'static [&'static str],
    new_values: &'static [&'static str],
    model_forward: fn(&str) -> Option<String>,
    model_reverse: fn(&str) -> Option<String>,
}

fn expression(sql: &str) -> Conversion {
    Conversion::Expression { sql: sql.to_owned(), null_to_null: true }
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
    vec![
        Case {
            default: Some("'dflt'::text"),
            name: "rename with default",
            old_values: &["a", "dflt"],
            ..rename_like()
        },
        Case { other_before_triggers: true, name: "rename, other triggers", ..rename_like() },
        Case { on_conflict: "old_wins", name: "rename, old wins", ..rename_like() },
        rename,
        lossy("lossy", None, "new_wins", false),
        lossy("lossy with default", Some("'dflt'::text"), "new_wins", false),
        lossy("lossy, old wins, other triggers", None, "old_wins", true),
        fallible("text to integer", expression("(n)::text"), same),
        fallible("text to integer, one way", Conversion::None, |_| None),
    ]
}

fn rename_like() -> Case {
    Case {
        name: "",
        old_type: "text",
        new_type: "text",
        default: None,
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

    fn insert(&mut self, id: i32, old: Option<Side>, new: Option<Side>) {
        let default = self.case.default.map(|_| "dflt".to_owned());
        let old = old.unwrap_or_else(|| default.clone());
        let new = new.flatten();
        let pair = match new {
            None => (old.clone(), self.forward(old.as_ref())),
            // A default that filled the old side does not win, nor does an old side that nobody gave.
            Some(new) if old.is_none() || old == default => {
                let pair = (old, Some(new));
                if self.consistent(&pair) { pair } else { (self.reverse(pair.1.as_ref()), pair.1) }
            }
            Some(new) => self.settle((old, Some(new))),
        };
        self.rows.insert(id, pair);
    }

    fn update(&mut self, id: i32, old: Option<Side>, new: Option<Side>) {
        let Some(before) = self.rows.get(&id).cloned() else { return };
        let after = (old.unwrap_or_else(|| before.0.clone()), new.unwrap_or_else(|| before.1.clone()));
        let pair = match (after.0 != before.0, after.1 != before.1) {
            (true, true) => self.settle(after),
            (true, false) => (after.0.clone(), self.forward(after.0.as_ref())),
            // The backfill's own value, whoever writes it, changes nothing on the other side.
            (false, true) if before.1.is_none() && after.1 == self.forward(after.0.as_ref()) => after,
            (false, true) => (self.reverse(after.1.as_ref()), after.1),
            (false, false) if after.1.is_none() => (after.0.clone(), self.forward(after.0.as_ref())),
            (false, false) => after,
        };
        self.rows.insert(id, pair);
    }
}

fn program(case: &Case) -> Program {
    let rename = case.forward == Conversion::Identity;
    let on_conflict = OnConflict::of(case.on_conflict).unwrap();
    let column = |name| ColumnName::new(name).unwrap();
    let (old, new) = (column("o"), column("n"));
    let change = if rename {
        Change::RenameColumn(RenameColumn { from: old, to: new, on_conflict })
    } else {
        Change::ChangeType(ChangeType {
            column: old,
            via: new,
            to: case.new_type.to_owned(),
            using: Some(String::new()),
            reverse: Some(String::new()),
            keep_name: false,
            on_conflict,
            on_error: None,
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
            rows: 0,
            pages: 0,
            index_count: 0,
            index_bytes: 0,
            key: vec!["id".to_owned()],
            indexes: vec![],
            other_before_triggers: case.other_before_triggers,
            functions_to_touch: vec![],
        }],
        changes: vec![ChangeFacts::Pair(PairFacts {
            old: ColumnFacts {
                attnum: 2,
                type_name: case.old_type.to_owned(),
                base_type: base(case.old_type),
                collate: String::new(),
                not_null: false,
                not_null_constraint: None,
                default: case.default.map(ToOwned::to_owned),
                default_is_stable: true,
                plain_compare: true,
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
            new_default: None,
            new_plain_compare: true,
            forward: case.forward.clone(),
            reverse: case.reverse.clone(),
            metadata_only: false,
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
    let mut model = Model { case, rows: std::collections::BTreeMap::new() };
    let old_value = |given: Given| given.map(|n| case.old_values[n % case.old_values.len()].to_owned());
    let new_value = |given: Given| given.map(|n| case.new_values[n % case.new_values.len()].to_owned());
    let literal = |value: &Option<String>| value.as_ref().map_or("NULL".to_owned(), |v| format!("'{v}'"));
    // Rows from before the trigger.
    run(
        connection,
        "ALTER TABLE t DISABLE TRIGGER USER; INSERT INTO t (id, o) VALUES (1, NULL), (2, 'a'), (3, '7'); ALTER TABLE t ENABLE TRIGGER USER",
    )
    .await;
    for (id, old) in [(1, None), (2, Some("a")), (3, Some("7"))] {
        model.rows.insert(id, (old.map(ToOwned::to_owned), None));
    }
    for write in writes {
        let sql = match write {
            Write::Insert { id, old, new } => {
                let (old, new) = (old.map(old_value), new.map(new_value));
                let mut columns = vec!["id"];
                let mut values = vec![id.to_string()];
                if let Some(old) = &old {
                    columns.push("o");
                    values.push(literal(old));
                }
                if let Some(new) = &new {
                    columns.push("n");
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
                set.extend(old.as_ref().map(|old| format!("o = {}", literal(old))));
                set.extend(new.as_ref().map(|new| format!("n = {}", literal(new))));
                model.update(*id, old, new);
                format!("UPDATE t SET {} WHERE id = {id}", set.join(", "))
            }
            Write::Unrelated { id } => {
                model.update(*id, None, None);
                format!("UPDATE t SET u = u + 1 WHERE id = {id}")
            }
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
        let rows = sqlx::query("SELECT id, o, n::text FROM t ORDER BY id")
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        let rows: Vec<(i32, Pair)> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
        let expected: Vec<(i32, Pair)> = model.rows.iter().map(|(id, pair)| (*id, pair.clone())).collect();
        prop_assert_eq!(rows, expected, "case {} after {:?}: {}", case.name, write, sql);
    }
    Ok(())
}

fn set_up(case: &Case, program: &Program) -> String {
    let default = case.default.map_or(String::new(), |default| format!(" DEFAULT {default}"));
    let Action::Transaction(statements) = &program.steps[0].action else { panic!("expand is transactional") };
    format!(
        "DROP TABLE IF EXISTS t; DROP SCHEMA IF EXISTS crossfade CASCADE; CREATE SCHEMA crossfade;
         CREATE TABLE t (id int PRIMARY KEY, o {}{default}, u int DEFAULT 0); {}",
        case.old_type,
        statements.join("; ")
    )
}

/// W1, W2 and the truth table.
#[test]
fn the_truth_table_holds_for_any_sequence_of_writes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for version in versions() {
        let database = runtime.block_on(Database::on(&version));
        let mut connection = runtime.block_on(database.pool.acquire()).unwrap().detach();
        for case in cases() {
            let program = program(&case);
            runtime.block_on(run(&mut connection, &set_up(&case, &program)));
            let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
            let connection = std::cell::RefCell::new(&mut connection);
            let result = runner.run(&writes(), |writes| {
                runtime.block_on(agree(&mut connection.borrow_mut(), &case, &program, &writes))
            });
            result.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        }
    }
}
