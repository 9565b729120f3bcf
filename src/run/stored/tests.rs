//! The format, pinned: one value of each document with everything that it can hold, and the JSON of it in files that are
//! committed and never change again.

use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

use super::super::*;
use super::{Document, entry, facts, fingerprint, plan, program, read, write};
use crate::ident::{PlanName, RunTag, TableName};
use crate::plan::Plan;
use crate::sql::LockMode;

/// Everything a plan can say.
const PLAN: &str = r#"
version: 1
name: everything
table: fleet.vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
  - change_type:
      column: license_plate
      to: varchar(10)
      using: substring(license_plate, 1, 10)
      reverse: license_plate_v2
      via: license_plate_v2
      default: "'none'"
      on_conflict: old_wins
      on_error: leave
  - change_type: { column: trips, to: bigint, reverse: "CASE WHEN trips_v2 < 9 THEN trips_v2::int END", via: trips_v2 }
  - change_type: { column: odometer, to: bigint, via: odometer_km, keep_name: false, on_conflict: error }
  - add_column: { name: wheels, type: smallint, default: "4", not_null: true }
  - drop_column: { column: colour }
  - add_index: { name: on_wheels, columns: [wheels], unique: true, include: [id] }
  - add_index: { name: on_place, on: place gist_geometry_ops_2d, using: gist, where: wheels > 2 }
  - drop_index: { name: on_colour }
  - add_constraint: { name: some_wheels, check: wheels > 0 }
  - add_constraint:
      name: has_owner
      foreign_key:
        { columns: [owner], references: people.owners, referenced_columns: [id], on_delete: cascade, on_update: set_null, match: full, deferrable: initially_deferred }
  - add_constraint: { name: one_owner, unique: [owner], nulls_not_distinct: true, deferrable: deferrable }
  - add_constraint: { not_null: owner }
indexes:
  build: after_backfill
  copy: none
  add: [{ name: idx_vehicles_vehicle_status, columns: [vehicle_status, license_plate], unique: true }]
backfill: { batch_target: 100ms, max_rows_per_second: 50000, workers: 2, long_transactions: wait, triggers: skip, wal_compression: lz4, goal_latency: 5ms, latency_probe: SELECT 1 }
throttle:
  replica_lag: 5s
  lock_wait: 50ms
  slot_retained_wal: 20GB
  wal_archive_backlog: 42
  active_sessions: 16
  wal_rate: 100MB
  probe: { sql: SELECT count(*) FROM queue, limit: 10.5 }
verify: { max_age: 24h }
contract: { grace: 7d, quiet: 1h }
schedule:
  timezone: America/New_York
  start: 2027-01-05
  window: { days: [tue, wed, thu], from: "02:00", to: "05:00" }
  extra: [{ from: 2027-02-06 22:00, to: 2027-02-07 06:00, why: maintenance night }]
  not_before: { contract: 2027-02-01 }
  soak: { switch: 7d }
  weekly: { expand: 1, index: 2, backfill: 2, verify: 2, switch: 3, contract: 4 }
  freeze: [{ from: 2027-01-18, to: 2027-01-20, why: release freeze }]
approve: [switch, contract]
approval: { expiry: 3d, self: true }
requires:
  postgres: ">=15"
  extensions: [postgis >= 3.1, hstore]
  plans: [earlier-plan]
  tables: [public.regions]
  columns: [{ table: public.regions, column: code, type: text }, { table: u, column: c }]
  disk: { free: 20GB, query: SELECT free FROM disk }
  slots: { wal: 10GB, inactive_wal: 1GB, bounded: true }
  replicas: { count: 2, behind: 64MB }
notify: [{ to: ops, on: [failed, mismatch] }, { to: team, shape: slack }]
hooks: [{ before: switch, run: ask.sh, timeout: 90s }, { after: contract, run: tell }]
functions: [{ name: fleet.note(), body: BEGIN RETURN NEW; END }]
triggers: [{ name: search_words, arguments: [vehicle_status, \"it's\"] }]
publications: subscriber_first
referring: { leave: [{ table: fleet.notes, column: vehicle }] }
"#;

/// A plan that takes a column over can do nothing else.
const ADOPTS: &str = "
version: 1
name: adopts
table: fleet.vehicles
changes:
  - rename_column: { from: status, to: vehicle_status, adopt: { replaces: [copy_status], keeps: [audit], overwrite: true } }
";

/// That plan, with what no file says.
fn everything() -> Plan {
    let plan = crate::plan::parse("plan.yaml", PLAN).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let part = |name: &str| PlanName::new(name).unwrap();
    Plan { parts: vec![part("everything-notes")], part_of: Some(part("of-all")), ..plan }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "that is what it is for")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn table(name: &str) -> TableName {
    TableName::new("fleet", name).unwrap()
}

fn column() -> ColumnFacts {
    ColumnFacts {
        attnum: 3,
        type_name: text("character varying(20)"),
        base_type: text("character varying"),
        collate: text(" COLLATE \"C\""),
        not_null: true,
        not_null_constraint: some("vehicles_status_not_null"),
        identity: Some(IdentityColumn::Always),
        generated: Some(Generated {
            sql: text("(wheels * 2)"),
            reads: vec![ReadColumn { name: text("wheels"), base_type: text("integer"), collate: String::new() }],
        }),
        default: some("'new'::character varying"),
        type_default: some("'none'::text"),
        default_is_repeatable: true,
        plain_compare: true,
        storage: some("EXTERNAL"),
        compression: some("lz4"),
        statistics: Some(500),
        options: vec![text("n_distinct=100")],
        comment: some("it's"),
        grants: vec![(text("PUBLIC"), text("SELECT"), false)],
    }
}

fn facts_that_adopt() -> Facts {
    let mut facts = facts();
    facts.changes.truncate(1);
    if let Some(ChangeFacts::Pair(pair)) = facts.changes.first_mut() {
        let trigger = |name: &str, enabled| ReplacedTrigger { name: text(name), enabled };
        pair.adopted = Some(AdoptedColumn {
            column: column(),
            type_storage: text("EXTENDED"),
            triggers: vec![trigger("copy_status", some("ENABLE ALWAYS")), trigger("copy_back", None)],
        });
    }
    facts
}

fn carried() -> CarriedConstraint {
    CarriedConstraint {
        number: 1,
        name: text("has_parts"),
        member: Some(OwnConstraint { table: RelationId(1), name: text("parts") }),
        definition: text("CHECK ((parts > 0))"),
        soak: text("CHECK ((parts_v2 > 0))"),
        last: text("CHECK ((parts > 0))"),
        parked: text("CHECK ((parts_v2 > 0))"),
        foreign_key: false,
        validated: true,
        references: Some(RelationId(1)),
        comment: some("at least one"),
        changes: vec![1],
    }
}

fn referring() -> ReferringKey {
    ReferringKey {
        number: 0,
        name: text("wheel_of"),
        table: RelationId(1),
        definition: text("FOREIGN KEY (vehicle) REFERENCES vehicles(id)"),
        twin: text("FOREIGN KEY (vehicle) REFERENCES vehicles (id_v2)"),
        validated: true,
        comment: some("of a vehicle"),
    }
}

fn facts() -> Facts {
    let pair = |forward, reverse| {
        ChangeFacts::Pair(PairFacts {
            old: column(),
            new_type: text("character varying(10)"),
            new_base_type: text("character varying"),
            new_collate: String::new(),
            new_default: some("'new'::character varying"),
            new_type_default: some("'nothing'::character varying"),
            new_default_is_repeatable: true,
            new_plain_compare: false,
            forward,
            reverse,
            metadata_only: false,
            adopted: None,
        })
    };
    let index = IndexFacts {
        number: 0,
        definition: text("USING btree (status) WHERE (id > 0)"),
        name: text("idx_status"),
        unique: true,
        constraint: Some(ConstraintFacts {
            primary: true,
            deferrable: true,
            deferred: false,
            comment: some("one each"),
            exclusion: true,
        }),
        twin: text("USING btree (vehicle_status) WHERE (id > 0)"),
        mirror: Some(MirrorIndex { tail: text("USING btree (lent) WHERE (id > 0)"), unique: true }),
        twin_shape: text("[\"btree\", false, 1, [\"vehicle_status\"]]"),
        tablespace: some("fast"),
        comment: some("for the list"),
        statistics: vec![(1, 200)],
        clustered: true,
        replica_identity: true,
        partition: Some(OwnPartition { table: table("vehicles_2"), partitioned: true }),
        changes: vec![0, 1],
    };
    Facts {
        server_version: 150_018,
        tables: vec![TableFacts {
            name: table("vehicles"),
            oid: 16_384,
            partitioned: false,
            children: vec![],
            rows: 1_000_000,
            pages: 20_000,
            index_count: 3,
            index_bytes: 60_000_000,
            key: vec![text("id")],
            indexes: vec![index.clone()],
            constraints: vec![carried()],
            referring: vec![referring()],
            other_before_triggers: true,
            listeners: vec![text("note_wheels")],
            made_anew: vec![text("view fleet.all_vehicles"), text("materialized view fleet.counted")],
            materialized_views: vec![text("fleet.counted")],
            functions_to_touch: vec![FunctionFacts { signature: text("fleet.touch(bigint)"), cost: text("100") }],
            publications: vec![Publication { name: text("everything"), narrowed: true }],
        }],
        changes: vec![
            pair(Conversion::Identity, Conversion::Identity),
            pair(Conversion::InfallibleCast, Conversion::None),
            pair(
                Conversion::Expression {
                    sql: text("left(status, 10)"),
                    null_to_null: true,
                    search_path: some("\"$user\", public"),
                },
                Conversion::None,
            ),
            ChangeFacts::AddColumn(AddedColumn {
                type_name: text("smallint"),
                collate: String::new(),
                default: some("4"),
                in_catalog: true,
                not_null_name: some("vehicles_wheels_not_null"),
            }),
            ChangeFacts::DropColumn(DroppedColumn {
                column: ColumnFacts { identity: Some(IdentityColumn::ByDefault), ..column() },
                goes_along: vec![text("on_colour")],
                unique: true,
            }),
            ChangeFacts::AddIndex(AddedIndex {
                tail: text("USING btree (wheels)"),
                mirror: some("USING btree (lent)"),
            }),
            ChangeFacts::DropIndex(index.clone()),
            ChangeFacts::AddConstraint(AddedConstraint {
                definition: text("FOREIGN KEY (owner) REFERENCES people.owners(id)"),
                references: Some(RelationId(1)),
                not_null_name: None,
            }),
        ],
        functions: vec![ReplacedFunction { signature: text("fleet.note()"), body: text("BEGIN RETURN OLD; END") }],
        triggers: vec![TriggerArguments { name: text("search_words"), arguments: vec![text("status"), text("it's")] }],
    }
}

fn fill() -> FillSpec {
    let value = |value: &str| FillValue { value: text(value), missing: text("t.\"b\" IS NULL") };
    let strict = Some(value("t.\"a\"::integer"));
    FillSpec {
        relation: RelationId::MAIN,
        table: table("vehicles"),
        fills: vec![Fill { column: text("\"b\""), total: value("crossfade.total(t.\"a\")"), strict }],
    }
}

fn compare() -> CompareSpec {
    let pair = Pair {
        old: text("\"a\""),
        new: text("\"b\""),
        same_forward: text("t.\"b\" = t.\"a\""),
        same_reverse: text("t.\"a\" = t.\"b\""),
        suspect: text("t.\"b\" IS DISTINCT FROM t.\"a\""),
        fails: some("crossfade.fails(t.\"a\")"),
        forward: text("t.\"a\""),
        reverse: text("t.\"b\""),
    };
    CompareSpec { relation: RelationId::MAIN, table: table("vehicles"), key: vec![text("\"id\"")], pairs: vec![pair] }
}

/// Every gate, every condition, every lock, every action and every way to undo one.
fn program() -> Program {
    let (main, other) = (RelationId::MAIN, RelationId(1));
    let minute = Duration::from_mins(1);
    let gates = || {
        vec![
            Gate::Verified { max_age: minute },
            Gate::Quiet { quiet: Duration::from_millis(1500) },
            Gate::Grace { grace: minute },
            Gate::NothingOnlyNew { spec: compare(), one_way: true },
            Gate::NoNulls { relation: main, column: text("a") },
            Gate::NoDependants { relation: main, column: text("a"), except: vec![text("idx_a")] },
        ]
    };
    let name = || text("n");
    let conditions = [
        Is::Column { name: name(), type_name: text("text") },
        Is::NoColumn { name: name() },
        Is::Trigger { name: name() },
        Is::Function { name: name(), sha256: text("00") },
        Is::NoFunction { name: name() },
        Is::Index { name: name() },
        Is::NoIndex { name: name() },
        Is::NoTrigger { name: name() },
        Is::Constraint { name: name() },
        Is::SomeConstraint { name: name() },
        Is::NoConstraint { name: name() },
        Is::NoView { begins: name() },
        Is::NotNull { column: name(), is: true },
    ];
    let builds = Some(IndexName { schema: text("fleet"), name: text("cf_i") });
    let concurrent = |builds| Action::Concurrent {
        settings: vec![(text("lock_timeout"), text("0"))],
        statement: text("CREATE INDEX CONCURRENTLY"),
        builds,
    };
    let alter = || Action::Transaction(vec![text("ALTER TABLE"), text("CREATE TRIGGER")]);
    let in_partitions = Action::BuildInPartitions(PartitionedIndex {
        settings: vec![(text("default_tablespace"), text("fast"))],
        table: table("vehicles"),
        name: text("cf_i"),
        unique: true,
        tail: text("USING btree (b)"),
        join: text("DO $$BEGIN END$$"),
    });
    let actions = vec![alter(), concurrent(None), in_partitions, Action::Await(Gate::Grace { grace: minute })];
    let expand = Step::new(Phase::Expand, What::Columns, "add the columns", alter())
        .locks(main, LockMode::AccessExclusive)
        .locks(other, LockMode::ShareRowExclusive)
        .needs(gates())
        .done_when(conditions.map(|is| is.on(main)))
        .supersedes([StepKey::new(Phase::Expand, What::Alter(text("a"))), key()])
        .undo(Undo::Actions { needs: gates(), actions });
    let rest = [
        (What::Build(text("idx: a.b")), concurrent(builds), LockMode::ShareUpdateExclusive),
        (What::Fill(main), Action::Fill(fill()), LockMode::RowExclusive),
        (What::Compare(other), Action::Compare(compare()), LockMode::AccessShare),
        (What::Quiet, Action::Await(Gate::Quiet { quiet: minute }), LockMode::None),
    ];
    let undo = |what: &What| match what {
        What::Quiet => Undo::PointOfNoReturn(text("the column is gone")),
        _ => Undo::Nothing(text("nothing was changed")),
    };
    let phases = Phase::ALL.into_iter().skip(1).zip(rest);
    let rest = phases.map(|(phase, (what, action, lock))| {
        let undo = undo(&what);
        Step::new(phase, what, "a title", action).locks(main, lock).undo(undo)
    });
    Program {
        tag: RunTag::new(&PlanName::new("everything").unwrap()),
        relations: vec![
            Relation { table: table("vehicles"), oid: 16_384, partitioned: false },
            Relation { table: table("owners"), oid: 16_400, partitioned: true },
        ],
        phases: Phase::ALL.to_vec(),
        steps: [expand].into_iter().chain(rest).collect(),
        surround: vec![text("CREATE OR REPLACE TRIGGER")],
    }
}

fn key() -> StepKey {
    StepKey::new(Phase::Index, What::Build(text("idx: a.b")))
}

fn readings() -> Vec<GateReading> {
    let at = DateTime::from_timestamp(1_800_000_000, 0);
    vec![
        GateReading::pass(GateKind::Due, "was due").since(at),
        GateReading::fail(GateKind::Quiet, "written").opens(at),
        GateReading::unknown(GateKind::Window, "who knows"),
    ]
}

fn hook() -> HookKey {
    HookKey {
        when: crate::plan::HookTime::Before,
        phase: Phase::Switch,
        run: crate::plan::HookName::new("ask.sh").unwrap(),
    }
}

fn entries() -> Vec<Entry> {
    let counts = Counts { rows: 21, equal: 15, empty: 1, different: 2, unconverted: 3, only_new: 4 };
    let filled = Filled {
        rows: 1000,
        hot: Some(900),
        seconds: 12.5,
        paused_seconds: 0.25,
        wal_bytes: 4096,
        heap_before: 1,
        heap_after: 2,
        toast_before: 3,
        toast_after: 4,
        indexes_before: 5,
        indexes_after: 6,
    };
    vec![
        Entry::Registered,
        Entry::PhaseStarted { phase: Phase::Expand, gates: readings() },
        Entry::StepStarted { step: key() },
        Entry::StepDone { step: key(), adopted: true },
        Entry::StepFailed { step: key(), error: text("no room") },
        Entry::PhaseDone { phase: Phase::Expand },
        Entry::UndoStarted { to: Some(Phase::Index) },
        Entry::UndoStarted { to: None },
        Entry::StepUndone { step: key() },
        Entry::UndoDone,
        Entry::Warned { of: vec![text("the table is large")] },
        Entry::Approved { phase: Phase::Switch, person: text("ann"), comment: some("fine"), digest: text("0f") },
        Entry::Approved { phase: Phase::Contract, person: text("ann"), comment: None, digest: text("0f") },
        Entry::ApprovalRevoked { phase: Phase::Switch, person: text("bob") },
        Entry::ApprovalBypassed {
            phase: Phase::Switch,
            person: text("eve"),
            reason: text("incident 7"),
            digest: text("0f"),
        },
        Entry::Paused,
        Entry::Resumed,
        Entry::Interrupted,
        Entry::CutShort,
        Entry::Consented { to: vec![text("drop the old column")] },
        Entry::EvidenceAccepted { reason: text("known"), evidence: vec![text("app names status")] },
        Entry::LockWait { step: key(), blockers: vec![text("pid 7 of anna")] },
        Entry::Blocked { gate: text("grace"), reason: text("waiting as planned") },
        Entry::Nearing { step: key(), at: chrono::DateTime::UNIX_EPOCH },
        Entry::HookStarted { hook: hook(), id: text("6f1c") },
        Entry::HookEnded { hook: hook(), id: text("6f1c"), ok: true, how: text("ended well"), output: text("hello") },
        Entry::Joined,
        Entry::Left { rows: 7 },
        Entry::Removed { holder: text("host, process 1") },
        Entry::ClockSetBack { seconds: 3600 },
        Entry::Tuned { key: text("workers"), value: text("2") },
        Entry::Filled(filled),
        Entry::Filled(Filled { hot: None, ..filled }),
        Entry::Verified { counts },
        Entry::Repaired { winner: Side::Old, rows: 1 },
        Entry::Repaired { winner: Side::New, rows: 2 },
        Entry::Drifted { facts: vec![text("there is no column \"a\"")] },
        Entry::Surrounded { triggers: vec![text("stamp")] },
        Entry::Replanned {
            changes: vec![text("the default of column \"a\" is 1")],
            undone: vec![key()],
            compiled: Box::new(Compiled { facts: facts(), program: program() }),
        },
    ]
}

fn estimates() -> Estimates {
    let range = |low| Range { low, high: low * 2.0 };
    let prediction = |sub_passes| Prediction {
        sub_passes,
        hot_share: 0.875,
        wal_bytes: 1,
        heap_growth: 2,
        heap_growth_share: 0.125,
        toast_growth: 3,
        index_growth: 4,
        seconds: range(1.5),
        build_wal_bytes: 5,
        build_bytes: 6,
        build_seconds: range(2.5),
    };
    let orders = Orders {
        order: crate::plan::BuildIndexes::AfterBackfill,
        before_backfill: prediction(1.0),
        after_backfill: prediction(19.0),
        order_matters: true,
        paced: range(10.0),
        backfill_paced: range(20.0),
        pace: PlannedPace { workers: 2, max_rows_per_second: Some(1000) },
        machine: Machine { measured: true, sample_pages: 1, sample_rows: 2, ..Machine::default() },
        assumptions: vec![text("nobody else writes")],
    };
    Estimates { rows: 100, wal_bytes: 200, seconds: 3.5, orders: Some(orders) }
}

impl Document for Vec<Entry> {
    type Form = Vec<entry::Entry>;
}

fn mismatches() -> Vec<MismatchKey> {
    let written = |by| Written {
        transaction: text("741"),
        by,
        at: some("2027-01-05T22:00:00Z").map(|at| at.parse().unwrap()),
        origin: some("pg_16401"),
    };
    let one = |by| MismatchKey {
        key: serde_json::json!({ "id": "7" }),
        class: text("unconverted"),
        values: serde_json::json!({ "range": "12 km", "range_km": null }),
        written: written(by),
    };
    let ways = [WrittenBy::OlderTransaction, WrittenBy::Backfill, WrittenBy::Replication, WrittenBy::PastTrigger];
    std::iter::once(None).chain(ways.map(Some)).map(one).collect()
}

/// Compares how `value` is stored with the file of this name, and reads the file.
#[track_caller]
fn pinned<T: Document + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let json = serde_json::from_str::<Value>(&write(value).unwrap()).unwrap();
    let json = format!("{json:#}\n");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/run/stored/format-{FORMAT}/{name}.json"));
    if !path.exists() && std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(&path, &json).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        json == stored,
        "the stored format changed: make it format {} and keep reading {FORMAT} (CONTRIBUTING.md, \"Change a stored format\")\n\
         {}",
        FORMAT + 1,
        difference(&stored, &json),
    );
    let back = read::<T>(&stored).unwrap_or_else(|error| panic!("{name} of format {FORMAT} is not read: {error}"));
    assert_eq!(back, *value, "{name} of format {FORMAT} is read as something else");
}

/// The lines that only one of the two has.
fn difference(stored: &str, written: &str) -> String {
    let only = |of: &str, sign, other: &str| -> Vec<String> {
        of.lines().filter(|line| !other.lines().any(|o| o == *line)).map(|line| format!("{sign} {line}")).collect()
    };
    [only(stored, '-', written), only(written, '+', stored)].concat().join("\n")
}

#[test]
fn what_is_stored_never_changes() {
    let plan = everything();
    pinned("plan", &plan);
    let adopts = crate::plan::parse("plan.yaml", ADOPTS).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    pinned("plan_that_adopts", &adopts);
    pinned("facts_that_adopt", &facts_that_adopt());
    pinned("facts", &facts());
    pinned("program", &program());
    pinned("prediction", &estimates());
    pinned("mismatches", &mismatches());
    pinned("entries", &entries());
    assert_eq!(
        fingerprint(&plan),
        "28023a417bc149fe216161bc52f6337d67dfbcddb04042ef98d6bd8ee58f5088",
        "the fingerprints of plans changed: runs under way would look edited"
    );
}

/// The values above hold every variant that there is, so none is stored in a form that nobody looks at.
#[test]
fn every_variant_is_pinned() {
    let plan = write(&everything()).unwrap();
    let (facts, program) = (write(&facts()).unwrap(), write(&program()).unwrap());
    let entries = entries().iter().map(|entry| write(entry).unwrap()).collect::<String>();
    let variants: [(&str, &[&str]); 13] = [
        (&plan, plan::Change::VARIANTS),
        (&plan, plan::IndexKey::VARIANTS),
        (&plan, plan::Rule::VARIANTS),
        (&facts, facts::Change::VARIANTS),
        (&facts, facts::Conversion::VARIANTS),
        (&facts, facts::Identity::VARIANTS),
        (&program, program::Action::VARIANTS),
        (&program, program::Gate::VARIANTS),
        (&program, program::Undo::VARIANTS),
        (&program, program::Is::VARIANTS),
        (&program, program::Lock::VARIANTS),
        (&entries, entry::Entry::VARIANTS),
        (&entries, entry::Side::VARIANTS),
    ];
    for (json, words) in variants {
        for word in words {
            let snake = word.chars().fold(String::new(), |snake, c| {
                if c.is_uppercase() && !snake.is_empty() {
                    snake + "_" + &c.to_lowercase().to_string()
                } else {
                    snake + &c.to_lowercase().to_string()
                }
            });
            assert!(json.contains(&format!("\"{snake}\"")), "{word} is in none of the values that are pinned");
        }
    }
}

#[test]
fn what_is_damaged_is_refused() {
    let plan = write(&everything()).unwrap();
    let error = |json: &str| read::<Plan>(json).unwrap_err().to_string();
    let name = plan.replace("\"everything\"", "\"Every Thing\"");
    assert_eq!(
        error(&name),
        "`Every Thing`: expected lower-case letters, digits, `-` and `_`, starting with a letter or digit"
    );
    assert!(error(&plan.replace("\"schema\":\"fleet\"", "\"schema\":\"\"")).contains("a name cannot be empty"));
    assert_eq!(error(&plan.replace("old_wins", "both_win")), "`both_win` is not a word that this version knows");
    assert!(error(&plan.replace("\"verify\":", "\"verified\":")).starts_with("unknown field `verified`"));
    let program = write(&program()).unwrap();
    let error = |json: &str| read::<Program>(json).unwrap_err().to_string();
    assert_eq!(error(&program.replace("verify.compare:1", "verify.kompare:1")), "`kompare:1` is not the key of a step");
    let tag = format!("\"tag\":\"{}\"", RunTag::new(&PlanName::new("everything").unwrap()));
    assert_eq!(error(&program.replace(&tag, "\"tag\":\"x; DROP T\"")), "`x; DROP T` is not a tag");
    let none = r#"{"tag":"00000000","relations":[],"phases":[],"steps":[],"surround":[]}"#;
    assert_eq!(error(none), "the program has no table");
    let nothing = read::<Entry>(r#"{"kind":"paused","by":"me"}"#);
    assert!(nothing.is_err() || nothing.is_ok_and(|entry| entry == Entry::Paused));
    assert!(read::<Entry>(r#"{"kind":"step_done","step":"verify.compare"}"#).is_err());
}
