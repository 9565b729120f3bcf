use super::*;
use crate::ledger::LoggedEntry;
use crate::run::{
    Action, Actor, Cause, Counts, Head, Level, MismatchKey, PaceReport, Phase, Program, RelationId, Step, Undo,
    WaitingFor, What, Written, WrittenBy,
};
use crate::sql::LockMode;

fn status_of(state: Standing) -> RunView {
    RunView {
        name: "vehicle-status".to_owned(),
        phase: Phase::Backfill,
        state,
        partitions: None,
        parts: vec![],
        part_of: None,
        part: None,
        progress: Progress::new(312_400, 500_000, 41_200.4, Some(4.55)),
        mismatches: None,
        unequal: vec![],
        last_tick: None,
        scheduled: false,
        fills: true,
        tick_overdue_since: None,
        point_of_no_return: None,
        needs: crate::view::Need::Nobody,
        numbers: crate::view::Numbers::default(),
        compares: true,
        old_column_write_seconds: 1234,
        new_column_write_seconds: 5,
        waiting_for: None,
        gates: vec![],
        evidence: None,
        zone: chrono_tz::UTC,
        holder: Some("anna@web1, pid 7".to_owned()),
        joined: vec![],
        conflicts: 0,
        old_quiet_seconds: Some(3),
        verified_at: None,
        predicted: None,
        filled: None,
        pace: None,
        holds: vec![],
        approvals: vec![],
        bypassed: vec![],
        head: None,
        undelivered: vec![],
    }
}

/// Predictions as a table of a million rows gives them.
fn estimates() -> crate::run::Estimates {
    use crate::run::{Machine, Orders, PlannedPace, Prediction, Range};
    let prediction = |hot_share, wal_bytes, low| Prediction {
        sub_passes: 16.0,
        hot_share,
        wal_bytes,
        heap_growth: 23_000_000,
        heap_growth_share: 0.19,
        toast_growth: 0,
        index_growth: 4_000_000,
        seconds: Range { low, high: 2.0 * low },
        build_wal_bytes: 7_000_000,
        build_bytes: 7_000_000,
        build_seconds: Range { low: 1.0, high: 3.0 },
    };
    let orders = Orders {
        order: crate::plan::BuildIndexes::BeforeBackfill,
        before_backfill: prediction(0.0, 740_000_000, 10.0),
        after_backfill: prediction(0.82, 360_000_000, 5.0),
        order_matters: true,
        paced: Range { low: 20.0, high: 23.0 },
        backfill_paced: Range { low: 20.0, high: 20.0 },
        pace: PlannedPace { workers: 2, max_rows_per_second: Some(50_000) },
        machine: Machine { measured: true, sample_pages: 512, ..Machine::default() },
        assumptions: vec!["wal_level is logical: every new row version is logged in full".to_owned()],
    };
    crate::run::Estimates { rows: 1_000_000, wal_bytes: 747_000_000, seconds: 21.5, orders: Some(orders) }
}

fn filled() -> crate::run::Filled {
    crate::run::Filled {
        rows: 1_000_000,
        hot: Some(810_000),
        seconds: 21.3,
        paused_seconds: 0.0,
        wal_bytes: 761_000_000,
        heap_before: 120_000_000,
        heap_after: 144_000_000,
        toast_before: 0,
        toast_after: 0,
        indexes_before: 60_000_000,
        indexes_after: 61_000_000,
    }
}

#[test]
fn what_came_of_a_backfill_stands_beside_what_was_predicted() {
    insta::assert_snapshot!(compared(&filled(), Some(&estimates())).join("\n").replace(NO_BREAK, " "), @"
    1,000,000 rows in 21 s (predicted about 20 s)
    WAL of the whole server 726 MB (predicted 706 MB)
    heap +20 % (predicted +19 %), indexes +2 % (predicted +7 %), 81 % of updates HOT (predicted 0 %)
    ");
    let paused = crate::run::Filled { paused_seconds: 12.0, hot: None, ..filled() };
    insta::assert_snapshot!(compared(&paused, None).join("\n").replace(NO_BREAK, " "), @"
    1,000,000 rows in 21 s, paused for 12.0 s of that time
    WAL of the whole server 726 MB
    heap +20 %, indexes +2 %
    ");
    assert_eq!(compared(&crate::run::Filled { rows: 9_999, ..filled() }, None), Vec::<String>::new());
    insta::assert_snapshot!(estimates::filled(&filled()), @"1,000,000 rows filled in 21 s; WAL of the whole server 726 MB, heap +20 %, indexes +2 %, 81 % HOT");
    let mut done = status_of(Standing::Waiting);
    (done.filled, done.predicted) = (Some(filled()), Some(estimates()));
    insta::assert_snapshot!(status(&done, Look::default()), @"
    vehicle-status   backfill, waiting
      worker     anna@web1, pid 7
      rows       312,400 of 500,000 (62 %), 41,200 rows/s, 4.5 s to go
      backfill   1,000,000 rows in 21 s (predicted about 20 s)
                 WAL of the whole server 726 MB (predicted 706 MB)
                 heap +20 % (predicted +19 %), indexes +2 % (predicted +7 %), 81 %
                 of updates HOT (predicted 0 %)
      written    the old column in 1,234 seconds (last 3.0 s ago), the new one in 5
      verified   not yet
      next: crossfade status vehicle-status --watch
    ");
}

#[test]
fn times_are_ranges() {
    let of = |low, high| range(crate::run::Range { low, high });
    assert_eq!(of(0.1, 0.9), "less than 1 s");
    assert_eq!(of(0.4, 1.2), "about 1 s");
    assert_eq!(of(6.2, 13.4), "6-13 s");
    assert_eq!(of(80.0, 190.0), "1-3 min");
    assert_eq!(of(3000.0, 9000.0), "1-2 h");
    assert_eq!(of(200_000.0, 200_000.0), "about 2 d");
}

#[test]
fn both_orders_fit_a_terminal_of_80_columns() {
    let mut text = String::new();
    let mut costs = estimates();
    estimates::orders(&mut text, &costs, Look::default());
    insta::assert_snapshot!(text, @"
    cost: 1,000,000 rows to fill
                           before_backfill (this plan)              after_backfill
      WAL of the backfill                       706 MB                      343 MB
      WAL of index builds                       6.7 MB                      6.7 MB
      heap grows by                      22 MB (+19 %)               22 MB (+19 %)
      indexes grow by                            10 MB                       10 MB
      updates that are HOT                         0 %                        82 %
      time, unthrottled                        11-23 s                      6-13 s
      `indexes.build: after_backfill` would save about 362 MB of WAL (51 %) and
      about 8 s.
      Times are rough: one worker, no throttle, the server as busy as now.
      They are based on reading 512 pages of the table.
      At the plan's pace (2 workers, at most 50,000 rows/s): 20-23 s.
      Note: wal_level is logical: every new row version is logged in full.
    ");
    assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
    let orders = costs.orders.as_mut().unwrap();
    orders.order_matters = false;
    orders.before_backfill = orders.after_backfill.clone();
    orders.assumptions.clear();
    orders.pace = crate::run::PlannedPace { workers: 1, max_rows_per_second: None };
    let mut text = String::new();
    estimates::orders(&mut text, &costs, Look::default());
    insta::assert_snapshot!(text, @"
    cost: 1,000,000 rows to fill
      WAL of the backfill                       343 MB
      WAL of index builds                       6.7 MB
      heap grows by                      22 MB (+19 %)
      indexes grow by                            10 MB
      updates that are HOT                        82 %
      time, unthrottled                         6-13 s
      The backfill writes to no index that this plan builds: `indexes.build` makes
      no difference.
      Times are rough: one worker, no throttle, the server as busy as now.
      They are based on reading 512 pages of the table.
    ");
}

#[test]
fn a_status_answers_the_questions_in_order() {
    insta::assert_snapshot!(status(&status_of(Standing::Running), Look::default()), @"
    vehicle-status   backfill, running
      worker     anna@web1, pid 7
      rows       312,400 of 500,000 (62 %), 41,200 rows/s, 4.5 s to go
      written    the old column in 1,234 seconds (last 3.0 s ago), the new one in 5
      verified   not yet
      next: crossfade status vehicle-status --watch
    ");
    let mut waiting = status_of(Standing::Waiting);
    waiting.waiting_for = Some(WaitingFor::Quiet { quiet_seconds: 3.0, left_seconds: 2.0 });
    waiting.mismatches = Some(0);
    waiting.verified_at = chrono::DateTime::from_timestamp(1_800_000_000, 0);
    waiting.conflicts = 1;
    insta::assert_snapshot!(status(&waiting, Look::default()), @"
    vehicle-status   backfill, waiting
      waits for  3.0 s without a write to the old column; 2.0 s to go if nobody
                 writes it from now on
      worker     anna@web1, pid 7
      rows       312,400 of 500,000 (62 %), 41,200 rows/s, 4.5 s to go
      written    the old column in 1,234 seconds (last 3.0 s ago), the new one in 5
      conflicts  in 1 second, statements set both columns to different values
      verified   all rows equal at 2027-01-15 08:00:00 UTC
      next: crossfade status vehicle-status --watch
    ");
}

/// All dates of a run are in the zone of its plan's schedule, those of its log too.
#[test]
fn one_run_has_one_zone() {
    use crate::run::{GateKind, GateReading};

    let zone = chrono_tz::Europe::Berlin;
    let at = chrono::DateTime::from_timestamp(1_800_000_000, 0);
    let mut view = status_of(Standing::Waiting);
    (view.zone, view.phase, view.holder, view.progress) = (zone, Phase::Contract, None, Progress::default());
    (view.verified_at, view.mismatches) = (at, Some(0));
    view.waiting_for = Some(WaitingFor::Grace { grace_seconds: 604_800.0, until: at });
    let reason = "the retired column is kept for 7 days".to_owned();
    view.gates = vec![GateReading { opens: at, ..GateReading::fail(GateKind::Grace, reason) }];
    insta::assert_snapshot!(status(&view, Look::default()), @"
    vehicle-status   contract, waiting
      waits for  the grace period of the retired column (7 d, until 2027-01-15
                 09:00:00 CET)
      gates      grace closed: the retired column is kept for 7 days, until Fri
                 2027-01-15 09:00 CET (08:00 UTC)
      written    the old column in 1,234 seconds (last 3.0 s ago), the new one in 5
      verified   all rows equal at 2027-01-15 09:00:00 CET
      next: crossfade advance vehicle-status --yes  after 2027-01-15 09:00:00 CET
            crossfade rollback vehicle-status       goes back
    ");
    let listed = statuses(std::slice::from_ref(&view), Look::default());
    assert!(listed.contains(" 09:00:00 CET)\n") && !listed.contains("UTC"), "{listed}");
    let step = crate::run::StepKey::new(Phase::Contract, What::Drop);
    let said = entry(&Entry::Nearing { step, at: at.unwrap() }, zone, Look::default());
    assert_eq!(said, "contract.drop cannot be undone, and may be done from 2027-01-15 09:00:00 CET on");
}

/// Of a run whose columns are not there, nobody has counted writes, and one that was taken back is never compared.
#[test]
fn what_is_not_there_is_not_counted() {
    let mut view = status_of(Standing::Waiting);
    (view.old_column_write_seconds, view.new_column_write_seconds, view.old_quiet_seconds) = (0, 0, None);
    (view.holder, view.progress) = (None, Progress::new(0, 2, 0.0, None));
    view.scheduled = true;
    view.tick_overdue_since = chrono::DateTime::from_timestamp(1_800_000_000, 0);
    let before = status(&view, Look::default());
    assert!(!before.contains("written") && before.contains("verified   not yet"), "{before}");
    let overdue = "next tick  overdue since Fri 2027-01-15 08:00 UTC";
    assert!(before.contains(overdue), "{before}");
    let listed = statuses(std::slice::from_ref(&view), Look::default());
    assert!(listed.contains("    next tick overdue since Fri 2027-01-15 08:00 UTC"), "{listed}");
    (view.state, view.tick_overdue_since) = (Standing::RolledBack, None);
    let after = status(&view, Look::default());
    assert!(!after.contains("written") && !after.contains("rows ") && after.contains("verified   never"), "{after}");
}

/// The list of all runs has no room for a statement; the page of the run has it.
#[test]
fn a_list_tells_of_a_failure_without_its_statement() {
    let mut view = status_of(Standing::Failed);
    let error = "step backfill.rows failed: no; the statement was: UPDATE t".to_owned();
    view.waiting_for = Some(WaitingFor::Person { error: Some(error) });
    assert!(status(&view, Look::default()).contains("the statement was: UPDATE t"));
    let listed = statuses(std::slice::from_ref(&view), Look::default());
    assert!(listed.contains("    failed: step backfill.rows failed: no\n"), "{listed}");
}

#[test]
fn a_backfill_that_is_not_at_full_speed_says_why() {
    let mut held = status_of(Standing::Running);
    held.waiting_for = Some(WaitingFor::Signal {
        level: Level { signal: Signal::ReplicaLag, value: Some(14.2), limit: 10.0 },
        since: chrono::DateTime::from_timestamp(1_800_000_000, 0),
    });
    let pace = PaceReport { latency_seconds: Some(0.0041), goal_latency_seconds: Some(0.005), ..PaceReport::default() };
    held.pace = Some(pace.clone());
    held.holds = vec![HoldTime {
        signal: Cause::Signal(Signal::ReplicaLag),
        times: 1,
        seconds: 75.0,
        slowed_seconds: 3.5,
        worst: Some(14.2),
        limit: Some(10.0),
        last_at: chrono::DateTime::UNIX_EPOCH,
    }];
    insta::assert_snapshot!(status(&held, Look::default()), @"
    vehicle-status   backfill, running
      waits for  replica_lag to fall to 7.0 s: it is 14.2 s, above 10.0 s, since
                 2027-01-15 08:00:00 UTC
      worker     anna@web1, pid 7
      rows       312,400 of 500,000 (62 %), 41,200 rows/s, 4.5 s to go
      latency    4.1 ms (nine of ten probes), the goal is 5.0 ms
      held       1 min 15 s for replica lag (1 time, at worst 14.2 s of 10.0 s)
      slowed     3.5 s for replica lag
      written    the old column in 1,234 seconds (last 3.0 s ago), the new one in 5
      verified   not yet
      next: crossfade status vehicle-status --watch
            crossfade tune vehicle-status replica_lag=...  changes the limit
    ");
    let slowed_by = Some(Level { signal: Signal::GoalLatency, value: Some(0.0062), limit: 0.005 });
    held.waiting_for = None;
    held.pace = Some(PaceReport { speed: 0.043, slowed_by, ..pace });
    insta::assert_snapshot!(status(&held, Look::default()), @"
    vehicle-status   backfill, running
      worker     anna@web1, pid 7
      rows       312,400 of 500,000 (62 %), 41,200 rows/s, 4.5 s to go
      pace       slowed to 4 %: goal_latency is 6.2 ms, to stay below 5.0 ms
      held       1 min 15 s for replica lag (1 time, at worst 14.2 s of 10.0 s)
      slowed     3.5 s for replica lag
      written    the old column in 1,234 seconds (last 3.0 s ago), the new one in 5
      verified   not yet
      next: crossfade status vehicle-status --watch
    ");
}

#[test]
fn several_runs_are_a_table() {
    let mut other = status_of(Standing::Done);
    other.name = "odometer".to_owned();
    (other.phase, other.progress) = (Phase::Contract, Progress::new(500_000, 500_000, 0.0, None));
    insta::assert_snapshot!(statuses(&[status_of(Standing::Running), other], Look::default()), @"
    NAME            PHASE     STATE        ROWS
    vehicle-status  backfill  running      62 %, 41,200 rows/s, 4.5 s to go
    odometer        contract  done         500,000
    ");
    assert!(statuses(&[], Look::default()).contains("no runs"));
}

#[test]
fn a_finish_says_what_comes_next() {
    let mut finished = Finish {
        name: "vehicle-status".to_owned(),
        phase: Phase::Contract,
        part: None,
        state: Standing::Done,
        did: vec![Phase::Switch, Phase::Contract],
        waiting_for: None,
        zone: Tz::UTC,
        stays: vec![],
        head: None,
    };
    insta::assert_snapshot!(finish(&finished, Look::default()), @"
    vehicle-status is done (switch, contract done)
      next: crossfade history vehicle-status
    ");
    finished.state = Standing::Waiting;
    finished.did.clear();
    finished.waiting_for = Some(WaitingFor::Quiet { quiet_seconds: 2.0, left_seconds: 1.5 });
    insta::assert_snapshot!(finish(&finished, Look::default()), @"
    vehicle-status is in contract, waiting
      waits for 2.0 s without a write to the old column; 1.5 s to go if nobody
        writes it from now on
      next: crossfade advance vehicle-status  once no release writes the old column
    ");
}

#[test]
fn rows_that_differ_are_named() {
    let key = |id: i64, class: &str, new: Option<&str>, by| MismatchKey {
        key: serde_json::json!({ "id": id.to_string() }),
        class: class.to_owned(),
        values: serde_json::json!({ "status": "active", "vehicle_status": new }),
        written: Written { transaction: (740 + id).to_string(), by, ..Written::default() },
    };
    let at = chrono::DateTime::from_timestamp(1_800_000_000, 0);
    let mut replayed = key(9, "different", Some("sold"), Some(WrittenBy::Replication));
    (replayed.written.at, replayed.written.origin) = (at, Some("pg_16401".to_owned()));
    let counts = Counts { rows: 1000, equal: 996, empty: 1, different: 3, ..Counts::default() };
    let found = Outcome {
        counts,
        seconds: 0.31,
        keys: vec![
            key(7, "empty", None, Some(WrittenBy::OlderTransaction)),
            replayed,
            key(12, "different", Some("lost"), Some(WrittenBy::PastTrigger)),
        ],
    };
    insta::assert_snapshot!(outcome(("vehicle-status", Tz::UTC), &found, false, Look::default()), @"
    FAILED vehicle-status: 4 rows of 1,000 not equal (0.3 s)
      1 empty, 3 different, 0 that do not convert
        empty       id = 7: status 'active', vehicle_status NULL; written in
                    transaction 747, which is older than the sync trigger
        different   id = 9: status 'active', vehicle_status 'sold'; written at
                    2027-01-15 08:00:00 UTC in transaction 749, by replication from
                    pg_16401
        different   id = 12: status 'active', vehicle_status 'lost'; written in
                    transaction 752, past the sync trigger
        and 1 more
        past the sync trigger: it did not fire (session_replication_role = replica,
          a subscription, DISABLE TRIGGER), or the conversion gave another value
          then
      next: crossfade verify vehicle-status --repair old  after a look at these
              rows (or new: the side that is right)
    ");
    let counts = Counts { rows: 1000, equal: 1000, only_new: 2, ..Counts::default() };
    let clean = Outcome { counts, seconds: 0.31, keys: vec![] };
    insta::assert_snapshot!(outcome(("vehicle-status", Tz::UTC), &clean, false, Look { unicode: true, ..Look::default() }), @"
    ✓ vehicle-status: 1,000 rows compared in 0.3 s, all equal
      2 values exist only in the new column: a rollback would lose them
    ");
}

#[test]
fn a_preview_shows_every_step_with_its_lock_and_the_next_command() {
    let text = "version: 1\nname: p\ntable: public.t\nchanges:\n  - rename_column: { from: a, to: b }\n";
    let plan = crate::plan::parse("p.yaml", text).unwrap();
    let step = |phase, what, title: &str, statement: &str, undo| {
        Step::new(phase, what, title, Action::Transaction(vec![statement.to_owned()]))
            .locks(RelationId::MAIN, LockMode::AccessExclusive)
            .undo(undo)
    };
    let program = Program {
        tag: plan.tag(),
        relations: vec![],
        phases: vec![Phase::Expand, Phase::Contract],
        surround: vec![],
        steps: vec![
            step(Phase::Expand, What::Columns, "Add column b", "ALTER TABLE t\n  ADD COLUMN b text", Undo::by(vec![])),
            step(
                Phase::Contract,
                What::Drop,
                "Drop column a",
                "ALTER TABLE t DROP COLUMN a",
                Undo::PointOfNoReturn("its values are gone".to_owned()),
            ),
        ],
    };
    let finding = |code, message: &str| crate::catalog::Finding {
        code,
        message: message.to_owned(),
        help: "do something".to_owned(),
    };
    let mut shown = crate::runner::Preview {
        program: Some(program),
        facts: None,
        estimates: estimates(),
        warnings: vec![finding("catalog::trigger", "trigger touch fires on every update")],
        refusals: vec![],
        requirements: vec![],
        parts: vec![],
        whole: None,
        in_place: false,
        run: None,
    };
    insta::assert_snapshot!(preview("plans/p.yaml", &plan, &shown, Look::default()), @"
    Plan p on public.t, 1,000,000 rows

      rename column a to b

    expand: add the new column and the trigger that keeps both equal
      Add column b
        lock ACCESS EXCLUSIVE: reads and writes wait; for milliseconds
          ALTER TABLE t
            ADD COLUMN b text;

    contract: take the old name away, then drop what was retired
      Drop column a
        lock ACCESS EXCLUSIVE: reads and writes wait; for milliseconds
          ALTER TABLE t DROP COLUMN a;
        point of no return: its values are gone

    A statement that does not get its lock quickly gives up and is tried again
    later, so that nobody queues behind it.

    cost: 1,000,000 rows to fill
                           before_backfill (this plan)              after_backfill
      WAL of the backfill                       706 MB                      343 MB
      WAL of index builds                       6.7 MB                      6.7 MB
      heap grows by                      22 MB (+19 %)               22 MB (+19 %)
      indexes grow by                            10 MB                       10 MB
      updates that are HOT                         0 %                        82 %
      time, unthrottled                        11-23 s                      6-13 s
      `indexes.build: after_backfill` would save about 362 MB of WAL (51 %) and
      about 8 s.
      Times are rough: one worker, no throttle, the server as busy as now.
      They are based on reading 512 pages of the table.
      At the plan's pace (2 workers, at most 50,000 rows/s): 20-23 s.
      Note: wal_level is logical: every new row version is logged in full.

    Warnings
      warning[catalog::trigger]: trigger touch fires on every update
        help: do something

    Point of no return: contract.drop (Drop column a). A run stops before it unless
    it is told --yes. Until then, crossfade rollback undoes everything.
    Nothing was changed. Next: crossfade run plans/p.yaml
    ");
    shown.refusals = vec![finding("catalog::view", "view v reads column a")];
    let refused = preview("plans/my plan.yaml", &plan, &shown, Look::default());
    assert!(refused.contains("refused[catalog::view]: view v reads column a"), "{refused}");
    assert!(refused.ends_with("fix these problems, then run\ncrossfade plan 'plans/my plan.yaml'\n"), "{refused}");
}

/// Sentences end before column 80, however long the names in them are; only a name, a command or SQL may be longer.
#[test]
fn everything_fits_a_terminal_of_80_columns() {
    let name = "a-plan-whose-name-says-everything-about-it-0123456789";
    let actor = "a-person-with-a-name@a-host.with.a.long.name.example.org as migrator, pid 4711";
    let waits = [
        WaitingFor::Quiet { quiet_seconds: 604_800.0, left_seconds: 604_799.0 },
        WaitingFor::Grace { grace_seconds: 604_800.0, until: chrono::DateTime::from_timestamp(1_800_000_000, 0) },
        WaitingFor::Consent {
            step: "contract.drop".parse().unwrap(),
            title:
                "drop the old column status (character varying(20), renamed to cf_9e84869d_old_status), and the sync \
                    trigger with its functions"
                    .to_owned(),
        },
        WaitingFor::Lock {
            step: "expand.columns".parse().unwrap(),
            blockers: vec![
                "pid 7 of anna (monthly-report), idle in transaction, in a transaction for 90 s: SELECT a, b, c \
                            FROM t WHERE d = $1 AND e = $2 ORDER BY f"
                    .to_owned(),
            ],
        },
        WaitingFor::Person {
            error: Some("step expand.columns failed: ".to_owned() + &"the server said so ".repeat(9)),
        },
        WaitingFor::Resume { by: Some(actor.to_owned()) },
        WaitingFor::Signal {
            level: Level { signal: Signal::Wraparound, value: Some(7200.0), limit: 0.0 },
            since: None,
        },
    ];
    let mut shown = String::new();
    for waiting in waits {
        let mut view = status_of(Standing::Waiting);
        view.name = name.to_owned();
        view.waiting_for = Some(waiting.clone());
        view.joined = vec![];
        view.holder = Some(actor.to_owned());
        (view.filled, view.predicted, view.conflicts) = (Some(filled()), Some(estimates()), 7);
        shown += &status(&view, Look::default());
        shown += &statuses(&[view], Look::default());
        let state = if waiting.is_failure() { Standing::Failed } else { Standing::Waiting };
        shown += &finish(
            &Finish {
                name: name.to_owned(),
                phase: Phase::Contract,
                part: None,
                state,
                did: Phase::ALL.to_vec(),
                waiting_for: Some(waiting),
                zone: Tz::UTC,
                stays: vec![],
                head: None,
            },
            Look::default(),
        );
    }
    let at = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let line = |entry| LoggedEntry {
        seq: 1,
        at,
        actor: Actor::new("a-person-with-a-name", "a-host.with.a.long.name.example.org", "migrator"),
        phase: "expand".to_owned(),
        state: "waiting".to_owned(),
        entry,
        head: Head::of(&[]),
    };
    let reason =
        "waiting as planned until 2027-01-15 08:00:00 UTC (6 d 23 h to go): the retired column is kept".to_owned();
    let log = (
        vec![
            line(Entry::Registered),
            line(Entry::Blocked { gate: "grace".to_owned(), reason }),
            line(Entry::Filled(filled())),
            line(Entry::Consented { to: vec!["drop the old column".to_owned(); 5] }),
            line(Entry::Drifted { facts: vec!["there is no column of that name".to_owned(); 5] }),
        ],
        Tz::UTC,
    );
    shown += &history(&[log.clone(), log.clone()], &[("a-part-with-a-name".to_owned(), log)], Look::default());
    shown += &drops(name, &["DROP INDEX a".to_owned()], Look::default());
    shown +=
        &said(&format!("{name} is paused; both columns are still kept equal"), "crossfade resume", Look::default());
    let finding = crate::catalog::Finding {
        code: "catalog::positions",
        message: "statements that count columns may put values into the wrong ones, and fail ".repeat(3),
        help: "look for such statements in the application, and name the columns in them ".repeat(3),
    };
    shown += &one_finding("refused", &finding, Look::default());
    let one_word = |line: &str| line.split_whitespace().count() <= 2 || line.contains("crossfade ");
    let wide: Vec<_> = shown.lines().filter(|line| line.chars().count() >= 80 && !one_word(line)).collect();
    assert_eq!(wide, Vec::<&str>::new());
    // Where nobody looks at it, a sentence is one line.
    let mut view = status_of(Standing::Waiting);
    view.waiting_for = Some(WaitingFor::Resume { by: Some(actor.to_owned()) });
    let piped = status(&view, Look { columns: Look::ENDLESS, ..Look::default() });
    assert!(piped.contains(&format!("\n  waits for  somebody to resume it (paused by {actor})\n")), "{piped}");
}
