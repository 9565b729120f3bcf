use super::*;
use crate::plan;

fn written(setting: &Setting, text: &str) -> (Value, serde_json::Value) {
    let value = setting.read(text).unwrap_or_else(|wrong| panic!("{}={text}: {wrong}", setting.path));
    let json = value.json(setting.off.unwrap_or_default());
    (value, json)
}

#[test]
fn every_setting_is_complete() {
    for setting in SETTINGS {
        let section = !setting.in_plan() || SECTIONS.iter().any(|(section, _)| *section == setting.section());
        assert!(section && setting.about.ends_with('.'), "{}", setting.path);
        // What is set can be read from the field it was written to.
        let mut settings = Settings::default();
        settings.throttle.probe = Some(Probe { sql: "SELECT 1".to_owned(), limit: 1.0 });
        let texts = [setting.default, setting.example, setting.off.unwrap_or_default()];
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            let (value, json) = written(setting, text);
            (setting.set)(&mut settings, &value);
            assert_eq!((setting.get)(&settings), value, "{}", setting.path);
            let text = json.as_str().map_or(json.to_string(), str::to_owned);
            assert_eq!(setting.read(&text), Ok(value), "{}", setting.path);
        }
        // Of two settings one would be lost.
        let same = |other: &&Setting| other.name() == setting.name() && other.place != Place::Plan;
        assert!(SETTINGS.iter().filter(same).count() <= 1, "{}", setting.name());
    }
    assert_eq!(Settings::default().backfill, Backfill::default());
}

#[test]
fn settings_are_checked_by_name_and_value() {
    for (key, value) in [
        ("batch_target", "50ms"),
        ("max_rows_per_second", "off"),
        ("max_rows_per_second", "5000"),
        ("replica_lag", "1m"),
        ("lock_wait", "none"),
        ("workers", "2"),
        ("sub_passes", "16"),
        ("sub_passes", "auto"),
        ("long_transactions", "wait"),
        ("window_pages", "512"),
        ("slot_retained_wal", "20GB"),
        ("wal_archive_backlog", "off"),
        ("active_sessions", "8"),
        ("wal_rate", "50MB"),
        ("probe", "-1.5"),
        ("goal_latency", "5ms"),
    ] {
        assert_eq!(check(key, value), Ok(()));
    }
    let mut told = String::new();
    for (key, value) in [
        ("batch_target", "off"),
        ("batch_target", "0s"),
        ("max_rows_per_second", "-1"),
        ("max_rows_per_second", "20k"),
        ("replica_lag", "ten"),
        ("workers", "0"),
        ("sub_passes", "0"),
        ("window_pages", "off"),
        ("long_transactions", "waits"),
        ("probe", "many"),
        ("worker", "1"),
        ("replica_lag", "0s"),
        ("slot_retained_wal", "20"),
        ("active_sessions", "1.5"),
        ("wraparound", "off"),
        ("triggers", "skip"),
        ("paused", "true"),
    ] {
        let wrong = check(key, value).unwrap_err();
        let _ = writeln!(told, "{key}={value}: {wrong}; {}", wrong.help);
    }
    insta::assert_snapshot!(told, @"
    batch_target=off: `off` is not a duration; batch_target takes a duration, such as 25ms
    batch_target=0s: `0s` is out of range; batch_target takes a duration, such as 25ms
    max_rows_per_second=-1: -1 is out of range for `max_rows_per_second`; max_rows_per_second takes a number from 1 to 1000000000, or off
    max_rows_per_second=20k: `max_rows_per_second`: expected a whole number or `off`, found `20k`; max_rows_per_second takes a number from 1 to 1000000000, or off
    replica_lag=ten: `ten` is not a duration; replica_lag takes a duration, such as 10s, or off
    workers=0: 0 is out of range for `workers`; workers takes a number from 1 to 64
    sub_passes=0: 0 is out of range for `sub_passes`; sub_passes takes a number from 1 to 64, or auto
    window_pages=off: `window_pages`: expected a whole number or `auto`, found `off`; window_pages takes a number from 1 to 65536, or auto
    long_transactions=waits: `waits` is not known in `long_transactions`; long_transactions takes go_on or wait
    probe=many: `probe`: expected a number or `off`, found `many`; probe takes a number, or off
    worker=1: there is no setting worker; did you mean workers?
    replica_lag=0s: `0s` is out of range; replica_lag takes a duration, such as 10s, or off
    slot_retained_wal=20: `20` is not an amount of data; slot_retained_wal takes an amount of data, such as 10GB, or off
    active_sessions=1.5: `active_sessions`: expected a whole number or `off`, found `1.5`; active_sessions takes a number from 1 to 1000000, or off
    wraparound=off: there is no setting wraparound; the settings are active_sessions, batch_target, exclusion_lock, goal_latency, grace, lock_wait, long_transactions, max_rows_per_second, probe, quiet, replica_lag, slot_retained_wal, sub_passes, wal_archive_backlog, wal_rate, window_pages, workers
    triggers=skip: triggers can only be set in the plan; a running run keeps it; `crossfade rollback` it to begin again with another plan
    paused=true: there is no setting paused; the settings are active_sessions, batch_target, exclusion_lock, goal_latency, grace, lock_wait, long_transactions, max_rows_per_second, probe, quiet, replica_lag, slot_retained_wal, sub_passes, wal_archive_backlog, wal_rate, window_pages, workers
    ");
    insta::assert_snapshot!(listing(), @"
    active_sessions      a number from 1 to 1000000, or off
    batch_target         a duration, such as 25ms
    exclusion_lock       a duration, such as 1min
    goal_latency         a duration, such as 5ms, or off
    grace                a duration, such as 7d
    lock_wait            a duration, such as 100ms, or off
    long_transactions    go_on or wait
    max_rows_per_second  a number from 1 to 1000000000, or off
    probe                a number, or off
    quiet                a duration, such as 1h
    replica_lag          a duration, such as 10s, or off
    slot_retained_wal    an amount of data, such as 10GB, or off
    sub_passes           a number from 1 to 64, or auto
    wal_archive_backlog  a number from 1 to 1000000, or off
    wal_rate             an amount of data, such as 100MB, or off
    window_pages         a number from 1 to 65536, or auto
    workers              a number from 1 to 64
    ");
}

#[test]
fn a_plan_and_tune_say_the_same() {
    for (path, text) in [("throttle.lock_wait", "0s"), ("throttle.wal_rate", "10"), ("backfill.workers", "65")] {
        let (section, key) = path.split_once('.').unwrap();
        let plan = format!(
            "version: 1\nname: p\ntable: t\nchanges: [{{ rename_column: {{ from: a, to: b }} }}]\n{section}: {{ {key}: {text} }}\n"
        );
        let errors = plan::parse("plan", &plan).unwrap_err();
        assert_eq!(errors.problems()[0].message, check(key, text).unwrap_err().message);
    }
}

#[test]
fn durations_have_the_largest_unit_that_divides_them() {
    for (text, written) in [("24h", "1d"), ("90s", "90s"), ("1h 30min", "90min"), ("1500us", "1500us"), ("0s", "0s")] {
        let time = humantime::parse_duration(text).unwrap();
        assert_eq!(kind::time_text(time), written);
    }
}

#[test]
fn the_table_in_the_readme_is_fresh() {
    const FROM: &str = "<!-- settings: written by `UPDATE_README=1 cargo test --lib readme` -->\n";
    const TO: &str = "<!-- end of settings -->";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(FROM).expect("README.md has the mark where the table begins");
    let (table, after) = rest.split_once(TO).expect("README.md has the mark where the table ends");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, format!("{before}{FROM}{}{TO}{after}", markdown())).unwrap();
        return;
    }
    assert!(table == markdown(), "README.md is stale: UPDATE_README=1 cargo test --lib readme");
}
