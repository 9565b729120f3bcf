//! Plan files as users write them, right and wrong.

use std::path::Path;
use std::time::Duration;

use insta::{assert_json_snapshot, assert_snapshot};

use super::*;
use crate::phase::Phase;

/// Every kind of problem, by a plan that has just that one.
mod problems;

/// The kinds of change beside a rename and a change of type.
mod kinds;

/// Plans that are written as files again.
mod written;

/// How problems are told.
mod told;

/// Random texts, and ready plans with random edits.
mod survives;

/// The plan of design notes and README, with every key there is.
const FULL: &str = r#"
version: 1
name: vehicle-status                 # unique in a database
table: public.vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
  - change_type:
      column: license_plate
      to: varchar(10)
      using: substring(license_plate, 1, 10)
      reverse: license_plate_v2
      default: "''"
      via: license_plate_v2
      keep_name: true
      on_conflict: old_wins
      on_error: leave
indexes:
  build: before_backfill
  copy: all
  add: [{ name: idx_vehicles_vehicle_status, columns: [vehicle_status, license_plate], unique: true }]
backfill: { batch_target: 100ms, max_rows_per_second: 50000, workers: 1, long_transactions: wait, triggers: skip, wal_compression: lz4, goal_latency: 5ms, latency_probe: SELECT 1 }
throttle:
  replica_lag: 5s
  lock_wait: off
  slot_retained_wal: 20GB
  wal_archive_backlog: 42
  active_sessions: 16
  wal_rate: 100MB
  probe: { sql: SELECT count(*) FROM queue, limit: 10.5 }
verify:   { max_age: 24h, on_mismatch: stop }
contract: { grace: 7d, quiet: 1h }
schedule:
  timezone: America/New_York
  start: 2027-01-05
  window: { days: [tue, wed, thu], from: "02:00", to: 05:00 }
  weekly: { expand: 1, index: 1, backfill: 2, verify: 2, switch: 3, contract: 4 }
  freeze: [{ from: 2027-01-18, to: 2027-01-20, why: release freeze }]
approve: [switch, contract]
requires:
  postgres: ">=14"
  extensions: [postgis >= 3.1, hstore]
  plans: [earlier-plan]
  tables: [public.regions]
  columns: [{ table: public.regions, column: code, type: text }, { table: u, column: c }]
  disk: { free: 20GB, query: SELECT free FROM disk }
  slots: { wal: 10GB, inactive_wal: 1GB, bounded: true }
  replicas: { count: 2, behind: 64MB }
notify: [{ to: ops, shape: slack, on: [mismatch, failed] }]
hooks: [{ before: switch, run: ask.sh, timeout: 30s }]
functions: [{ name: public.note(), body: BEGIN RETURN NEW; END }]
triggers: [{ name: words, arguments: [a, b] }]
publications: narrow
"#;

fn good(text: &str) -> Plan {
    parse("plan.yaml", text).unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

fn bad(text: &str) -> PlanErrors {
    match parse("plan.yaml", text) {
        Err(errors) => errors,
        Ok(plan) => panic!("this plan has no problem: {plan:?}"),
    }
}

fn shown(text: &str) -> String {
    bad(text).render(false)
}

#[test]
#[expect(clippy::too_many_lines, reason = "there are many keys")]
fn every_key_arrives_in_the_plan() {
    assert_json_snapshot!(good(FULL), @r#"
    {
      "name": "vehicle-status",
      "table": {
        "schema": "public",
        "name": "vehicles"
      },
      "changes": [
        {
          "rename_column": {
            "from": "status",
            "to": "vehicle_status",
            "on_conflict": "new_wins"
          }
        },
        {
          "change_type": {
            "column": "license_plate",
            "via": "license_plate_v2",
            "to": "varchar(10)",
            "using": "substring(license_plate, 1, 10)",
            "reverse": "license_plate_v2",
            "default": "''",
            "keep_name": true,
            "on_conflict": "old_wins",
            "on_error": "leave"
          }
        }
      ],
      "indexes": {
        "build": "before_backfill",
        "copy": "all",
        "add": [
          {
            "name": "idx_vehicles_vehicle_status",
            "columns": [
              "vehicle_status",
              "license_plate_v2"
            ],
            "unique": true
          }
        ]
      },
      "backfill": {
        "batch_target": {
          "secs": 0,
          "nanos": 100000000
        },
        "max_rows_per_second": 50000,
        "workers": 1,
        "long_transactions": "wait",
        "triggers": "skip",
        "wal_compression": "lz4",
        "goal_latency": {
          "secs": 0,
          "nanos": 5000000
        },
        "latency_probe": "SELECT 1"
      },
      "throttle": {
        "replica_lag": {
          "secs": 5,
          "nanos": 0
        },
        "lock_wait": null,
        "slot_retained_wal": 21474836480,
        "wal_archive_backlog": 42,
        "active_sessions": 16,
        "wal_rate": 104857600,
        "probe": {
          "sql": "SELECT count(*) FROM queue",
          "limit": 10.5
        }
      },
      "verify": {
        "max_age": {
          "secs": 86400,
          "nanos": 0
        }
      },
      "contract": {
        "grace": {
          "secs": 604800,
          "nanos": 0
        },
        "quiet": {
          "secs": 3600,
          "nanos": 0
        },
        "unused": {
          "secs": 3600,
          "nanos": 0
        }
      },
      "schedule": {
        "timezone": "America/New_York",
        "start": "2027-01-05",
        "window": {
          "days": [
            "tue",
            "wed",
            "thu"
          ],
          "from": "02:00:00",
          "to": "05:00:00"
        },
        "extra": [],
        "weekly": [
          [
            "expand",
            1
          ],
          [
            "index",
            1
          ],
          [
            "backfill",
            2
          ],
          [
            "verify",
            2
          ],
          [
            "switch",
            3
          ],
          [
            "contract",
            4
          ]
        ],
        "not_before": [],
        "soak": [],
        "freeze": [
          {
            "from": "2027-01-18",
            "to": "2027-01-20",
            "why": "release freeze"
          }
        ]
      },
      "approve": [
        "switch",
        "contract"
      ],
      "approval": {
        "expiry": {
          "secs": 1209600,
          "nanos": 0
        },
        "self": false
      },
      "requires": {
        "postgres": 14,
        "extensions": [
          "postgis >= 3.1",
          "hstore"
        ],
        "plans": [
          "earlier-plan"
        ],
        "tables": [
          {
            "schema": "public",
            "name": "regions"
          }
        ],
        "columns": [
          {
            "table": {
              "schema": "public",
              "name": "regions"
            },
            "column": "code",
            "type_name": "text"
          },
          {
            "table": {
              "schema": "public",
              "name": "u"
            },
            "column": "c",
            "type_name": null
          }
        ],
        "disk": {
          "free": 21474836480,
          "query": "SELECT free FROM disk"
        },
        "slots": {
          "wal": 10737418240,
          "inactive_wal": 1073741824,
          "bounded": true
        },
        "replicas": {
          "count": 2,
          "behind": 67108864
        }
      },
      "notify": [
        {
          "to": "ops",
          "shape": "slack",
          "on": [
            "failed",
            "mismatch"
          ]
        }
      ],
      "hooks": [
        {
          "when": "before",
          "phase": "switch",
          "run": "ask.sh",
          "timeout": {
            "secs": 30,
            "nanos": 0
          }
        }
      ],
      "publications": "narrow",
      "functions": [
        {
          "name": "public.note()",
          "body": "BEGIN RETURN NEW; END"
        }
      ],
      "triggers": [
        {
          "name": "words",
          "arguments": [
            "a",
            "b"
          ]
        }
      ]
    }
    "#);
}

#[test]
fn what_is_left_out_has_defaults() {
    let plan = good("version: 1\nname: p\ntable: t\nchanges: [{ change_type: { column: a, to: bigint } }]");
    let change = plan.changes[0].pair().unwrap();
    assert_eq!(change.new.as_str(), plan.tag().name("a"));
    assert!(change.keeps_name());
    assert_eq!(change.on_error, None);
    assert_eq!(plan.backfill.batch_target, Duration::from_millis(25));
    assert_eq!(plan.throttle.replica_lag, Some(Duration::from_secs(10)));
    assert_eq!(plan.throttle.slot_retained_wal, Some(Bytes(10 << 30)));
    assert_eq!((plan.throttle.wal_archive_backlog, plan.throttle.active_sessions), (Some(64), None));
    assert_eq!((plan.throttle.wal_rate, &plan.throttle.probe, plan.backfill.goal_latency), (None, &None, None));
    assert_eq!(
        plan.contract,
        Contract { grace: Duration::from_hours(7 * 24), quiet: Duration::from_mins(1), unused: Duration::from_mins(1) }
    );
    assert_eq!(plan.verify.max_age, Duration::from_hours(24));
    assert_eq!(plan.approve, [] as [Phase; 0]);
}

#[test]
fn every_signal_can_be_switched_off() {
    let plan = good(
        "version: 1\nname: p\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\nbackfill: { goal_latency: off }\n\
         throttle: { replica_lag: off, lock_wait: off, slot_retained_wal: off, wal_archive_backlog: off, \
         active_sessions: off, wal_rate: off }",
    );
    assert_eq!((plan.throttle, plan.backfill.goal_latency), (Throttle::default(), None));
}

#[test]
fn plain_text_stays_what_it_looks_like() {
    let plan = good("version: 0x1\nname: 007\ntable: \"1.2\"\nchanges:\n- rename_column: { from: 1e3, to: true }\n");
    assert_eq!(plan.name.as_str(), "007");
    assert_eq!(plan.table.to_string(), "1.2");
    let pair = plan.changes[0].pair().unwrap();
    assert_eq!((pair.old.as_str(), pair.new.as_str()), ("1e3", "true"));
}

#[test]
fn sections_with_everything_commented_out_are_as_good_as_absent() {
    let plan = "version: 1\nname: p\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\n";
    let empty = format!("{plan}indexes:\n  # copy: none\nbackfill:\napprove:\nschedule:\n");
    assert_eq!(good(&empty), good(plan));
}

#[test]
fn the_indexes_to_copy_are_all_or_none_or_those_of_a_list() {
    let with = |copy: &str| {
        format!(
            "version: 1\nname: p\ntable: t\nchanges: [{{ rename_column: {{ from: a, to: b }} }}]\nindexes: {{ copy: {copy} }}\n"
        )
    };
    let copies = |copy: &str| {
        let plan = good(&with(copy));
        assert_eq!(good(&crate::plan::to_yaml(&plan)), plan, "{copy}");
        ["one", "an other"].map(|name| plan.indexes.copies(name))
    };
    assert_eq!(copies("all"), [true, true]);
    assert_eq!(copies("none"), [false, false]);
    assert_eq!(copies("[an other, third]"), [false, true]);
    let says = |copy: &str| bad(&with(copy)).problems().iter().map(|p| p.message.clone()).collect::<Vec<_>>();
    assert_eq!(says("some"), ["unknown value `some` in `copy`"]);
    assert_eq!(says("[]"), ["`copy` is an empty list"]);
    assert_eq!(says("{ one: two }"), ["`copy`: expected all, none or a list of names, found a map"]);
}

#[test]
fn a_byte_order_mark_and_dos_line_ends_do_no_harm() {
    let text = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(good(&text), good(FULL));
    let errors = bad(&text.replace("copy: all", "copy: al"));
    assert_eq!(errors.position(&errors.problems()[0]), (19, 9));
}

#[test]
fn expressions_arrive_as_they_were_written() {
    let using = |using: &str| {
        let head = "version: 1\nname: p\ntable: t\nchanges:\n- change_type:\n    column: a\n    to: text\n    using: ";
        match good(&format!("{head}{using}\n")).changes.remove(0) {
            Change::ChangeType(change) => change.using.unwrap(),
            other => panic!("not a type change: {other}"),
        }
    };
    assert_eq!(using("a::text # simple"), "a::text");
    assert_eq!(using("\"a #>> '{b}'\" #> quoted"), "a #>> '{b}'");
    assert_eq!(using("'lower(\"a\") || '': '''"), "lower(\"a\") || ': '");
    assert_eq!(using("|\n      CASE a\n        WHEN '#' THEN 1 END"), "CASE a\n  WHEN '#' THEN 1 END\n");
    assert_eq!(using(">-\n      left(a, 1) ||\n      'é'"), "left(a, 1) || 'é'");
}

#[test]
fn the_fingerprint_is_of_what_the_plan_says() {
    let plan = "version: 1\nname: p\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\n";
    let same = "# why\ntable: public.t\nname: 'p'\n\nversion: 1\nchanges:\n  - rename_column:\n      to: b\n      \
                from: a\n      on_conflict: new_wins\nverify: { max_age: 1day }\n";
    let other = plan.replace("to: b", "to: c");
    let of = |text: &str| crate::run::fingerprint(&good(text));
    assert_eq!(of(plan), of(same));
    assert_ne!(of(plan), of(&other));
    assert_eq!(short_fingerprint(&of(plan)), &of(plan)[..12]);
    // A changed fingerprint makes running plans look edited: this must not happen unnoticed.
    assert_snapshot!(short_fingerprint(&of(plan)), @"872002ad986b");
}

fn plans() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut plans: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    plans.sort();
    plans
}

#[test]
fn every_ready_plan_is_valid_and_named_like_its_file() {
    let plans = plans();
    assert!(plans.len() >= 7);
    for (file, text) in plans {
        let plan = parse(&file, &text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        assert_eq!(format!("{}.yaml", plan.name.as_str()), file);
        assert!(text.starts_with("# yaml-language-server: $schema=plan.schema.json\n"), "{file}");
    }
}

#[test]
fn the_schema_in_the_repository_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/plan.schema.json");
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(schema == checked_in, "refresh it with `cargo run -- schema > plans/plan.schema.json`");
}

#[test]
fn every_key_has_a_description_for_editors() {
    fn check(schema: &serde_json::Value, missing: &mut Vec<String>) {
        let properties = schema.get("properties").and_then(serde_json::Value::as_object);
        for (key, value) in properties.into_iter().flatten() {
            if value["description"].as_str().is_none_or(|about| !about.ends_with('.')) {
                missing.push(key.clone());
            }
            check(value, missing);
        }
        schema.get("items").into_iter().for_each(|items| check(items, missing));
    }
    let mut missing = Vec::new();
    check(&json_schema(), &mut missing);
    assert_eq!(missing, [] as [String; 0]);
}

#[test]
fn nobody_may_use_the_old_column_for_the_quiet_time_or_else_for_the_soak() {
    let plan = |more: &str| {
        let text = format!("version: 1\nname: p\ntable: t\nchanges:\n  - rename_column: {{ from: a, to: b }}\n{more}");
        parse("p", &text).unwrap().contract
    };
    let soak = "schedule: { timezone: UTC, start: 2027-01-05, soak: { switch: 7d } }\n";
    let days = Duration::from_hours(24);
    assert_eq!(plan("").unused, Duration::from_mins(1));
    assert_eq!((plan(soak).quiet, plan(soak).unused), (Duration::from_mins(1), days * 7));
    assert_eq!(plan(&format!("{soak}contract: {{ quiet: 1d }}\n")).unused, days);
}
