use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::{FULL, good, plans};
use crate::plan::settings::{Kind, SETTINGS, Setting};
use crate::plan::{Plan, to_json, to_yaml};

/// Reads what is written for `plan`.
fn again(plan: &Plan) -> Plan {
    good(&to_yaml(plan))
}

#[test]
fn every_ready_plan_comes_back() {
    for (file, text) in plans() {
        let plan = good(&text);
        assert_eq!(again(&plan), plan, "{file}:\n{}", to_yaml(&plan));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "there are many keys")]
fn a_plan_is_written_as_people_write_it() {
    let plan = good(FULL);
    assert_eq!(again(&plan), plan);
    assert_snapshot!(to_yaml(&plan), @"
    version: 1
    name: vehicle-status
    table: public.vehicles
    changes:
    - rename_column:
        from: status
        to: vehicle_status
    - change_type:
        column: license_plate
        to: varchar(10)
        using: substring(license_plate, 1, 10)
        reverse: license_plate_v2
        default: ''''''
        via: license_plate_v2
        on_conflict: old_wins
        on_error: leave
    indexes:
      add:
      - name: idx_vehicles_vehicle_status
        columns:
        - vehicle_status
        - license_plate
        unique: true
    backfill:
      batch_target: 100ms
      max_rows_per_second: 50000
      long_transactions: wait
      triggers: skip
      wal_compression: lz4
      goal_latency: 5ms
      latency_probe: SELECT 1
    throttle:
      replica_lag: 5s
      lock_wait: off
      slot_retained_wal: 20GB
      wal_archive_backlog: 42
      active_sessions: 16
      wal_rate: 100MB
      probe:
        sql: SELECT count(*) FROM queue
        limit: 10.5
    contract:
      quiet: 1h
    schedule:
      timezone: America/New_York
      start: 2027-01-05
      window:
        days:
        - tue
        - wed
        - thu
        from: 02:00
        to: 05:00
      weekly:
        expand: 1
        index: 1
        backfill: 2
        verify: 2
        switch: 3
        contract: 4
      freeze:
      - from: 2027-01-18
        to: 2027-01-20
        why: release freeze
    approve:
    - switch
    - contract
    requires:
      postgres: '>=14'
      extensions:
      - postgis >= 3.1
      - hstore
      plans:
      - earlier-plan
      tables:
      - public.regions
      columns:
      - table: public.regions
        column: code
        type: text
      - table: public.u
        column: c
      disk:
        free: 20GB
        query: SELECT free FROM disk
      slots:
        wal: 10GB
        inactive_wal: 1GB
        bounded: true
      replicas:
        count: 2
        behind: 64MB
    notify:
    - to: ops
      shape: slack
      on:
      - failed
      - mismatch
    hooks:
    - before: switch
      run: ask.sh
      timeout: 30s
    publications: narrow
    functions:
    - name: public.note()
      body: BEGIN RETURN NEW; END
    triggers:
    - name: words
      arguments:
      - a
      - b
    ");
    let bare = good("version: 1\nname: p\ntable: t\nchanges: [{ change_type: { column: a, to: bigint } }]");
    assert_snapshot!(to_yaml(&bare), @"
    version: 1
    name: p
    table: public.t
    changes:
    - change_type:
        column: a
        to: bigint
    ");
    assert_eq!(to_json(&bare)["changes"][0]["change_type"]["to"], "bigint");
}

/// A text that YAML may read as something else, or that is hard to quote.
fn text() -> impl Strategy<Value = String> {
    let special = [
        "null",
        "off",
        "~",
        "1e3",
        "0x1",
        "true",
        "- a",
        "a: b",
        "a #> b",
        "'",
        "\"",
        "{a",
        "é",
        "x\ny",
        "?",
        "\u{feff}",
        "\u{85}x",
        "\u{1b}",
        "\u{2028} \u{7f}",
        "\u{2029}\u{9f}",
        "\r\n",
        "\u{fffe}",
    ];
    prop_oneof![
        proptest::sample::select(special.map(str::to_owned).to_vec()),
        "[a-z_]{1,12}",
        "[ -~]{1,20}",
        "(?s)\\PC{1,12}",
        "[ a\\n\\t]{1,8}",
    ]
}

/// A text for SQL: one that says something.
fn sql() -> impl Strategy<Value = String> {
    text().prop_filter("it says something", |text| !text.trim().is_empty())
}

/// A name for a column.
fn column() -> impl Strategy<Value = String> {
    text().prop_filter("it fits", |text| text.len() <= 60 && text != "xmin")
}

/// Returns the text in quotes, with nothing in it that a plan file may not hold as it is.
fn quoted(text: &str) -> String {
    let escape = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// The setting with a value of its own.
fn setting(setting: &'static Setting) -> BoxedStrategy<(&'static Setting, String)> {
    let text: BoxedStrategy<String> = match setting.kind {
        Kind::Time { zero } => {
            let unit = proptest::sample::select(vec!["ns", "us", "ms", "s", "min", "h", "d"]);
            (u32::from(!zero)..3_000, unit).prop_map(|(number, unit)| format!("{number}{unit}")).boxed()
        }
        Kind::Data => {
            let unit = proptest::sample::select(vec!["B", "kB", "MB", "GB", "TB"]);
            (1..5_000_u32, unit).prop_map(|(number, unit)| format!("{number}{unit}")).boxed()
        }
        Kind::Whole { least, most } => (least..=most).prop_map(|number| number.to_string()).boxed(),
        Kind::Number => any::<f64>()
            .prop_filter("it is a number", |number| number.is_finite())
            .prop_map(|number| number.to_string())
            .boxed(),
        Kind::Truth => any::<bool>().prop_map(|truth| truth.to_string()).boxed(),
        Kind::Words(words) => proptest::sample::select(words.to_vec()).prop_map(|word| word.word.to_owned()).boxed(),
        Kind::Sql => sql().prop_map(|text| quoted(&text)).boxed(),
    };
    let text = match setting.off {
        Some(off) => prop_oneof![4 => text, 1 => Just(off.to_owned())].boxed(),
        None => text,
    };
    text.prop_map(move |text| (setting, text)).boxed()
}

/// Sections with some of the settings.
fn sections() -> impl Strategy<Value = String> {
    let all: Vec<_> = SETTINGS.iter().filter(|setting| setting.in_plan()).map(setting).collect();
    (all, proptest::collection::vec(any::<bool>(), SETTINGS.len()), any::<bool>()).prop_map(|(all, given, probe)| {
        let chosen: Vec<_> = all.iter().zip(given).collect();
        let keys = |section: &str| -> Vec<String> {
            let here = chosen.iter().filter(|((setting, _), _)| setting.section() == section);
            // A query and its limit come together.
            let here = here.filter(|(_, given)| if section == "throttle.probe" { probe } else { *given });
            here.map(|((setting, text), _)| format!("{}: {text}", setting.key())).collect()
        };
        let mut throttle = keys("throttle");
        if probe {
            throttle.push(format!("probe: {{ {} }}", keys("throttle.probe").join(", ")));
        }
        let section = |name: &str, keys: Vec<String>| format!("{name}: {{ {} }}\n", keys.join(", "));
        section("backfill", keys("backfill"))
            + &section("throttle", throttle)
            + &section("verify", keys("verify"))
            + &section("contract", keys("contract"))
    })
}

fn changes() -> impl Strategy<Value = String> {
    let rename = (column(), any::<bool>()).prop_map(|(to, wins)| {
        let on_conflict = if wins { ", on_conflict: old_wins" } else { "" };
        format!("- rename_column: {{ from: a, to: {}{on_conflict} }}\n", quoted(&format!("n{to}")))
    });
    let retype = (sql(), proptest::option::of(sql()), proptest::option::of(sql()), any::<bool>(), any::<bool>());
    let retype = retype.prop_map(|(to, using, reverse, via, keep)| {
        let mut keys = format!("column: b, to: {}", quoted(&to));
        for (key, text) in [("using", using), ("reverse", reverse.map(|text| format!("b_v2 {text}")))] {
            if let Some(text) = text {
                let _ = write!(keys, ", {key}: {}", quoted(&text));
            }
        }
        if via || !keep || keys.contains("reverse") {
            keys.push_str(", via: b_v2");
        }
        if !keep {
            keys.push_str(", keep_name: false, on_error: leave");
        }
        format!("- change_type: {{ {keys} }}\n")
    });
    (rename, retype, added()).prop_map(|(rename, retype, added)| format!("changes:\n{rename}{retype}{added}"))
}

/// Changes that add something.
fn added() -> impl Strategy<Value = String> {
    (column(), sql(), sql(), any::<[bool; 6]>()).prop_map(|(name, one, other, given)| {
        let (name, one, other) = (quoted(&format!("x{name}")), quoted(&one), quoted(&other));
        let unless = |default: bool, text: &str| if default { String::new() } else { text.replace('@', &other) };
        [
            format!("add_column: {{ name: {name}, type: {one}{} }}", unless(given[0], ", default: @, not_null: true")),
            format!("add_index: {{ name: i1, on: {one}{} }}", unless(given[1], ", where: @, using: gist")),
            format!(
                "add_index: {{ name: i2, columns: [{name}, b_v2]{} }}",
                unless(given[2], ", unique: true, include: [z]")
            ),
            format!("add_constraint: {{ name: c1, check: {one} }}"),
            format!(
                "add_constraint: {{ name: c2, unique: [{name}]{} }}",
                unless(given[3], ", nulls_not_distinct: true")
            ),
            format!(
                "add_constraint: {{ name: c3, foreign_key: {{ columns: [b_v2], references: r{} }} }}",
                unless(given[4], ", on_delete: cascade, match: full")
            ),
            format!("add_constraint: {{ not_null: {} }}", if given[5] { "b_v2" } else { "z" }),
        ]
        .iter()
        .fold(String::new(), |all, change| all + "- " + change + "\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_comes_back(
        table in column(),
        changes in changes(),
        sections in sections(),
        extension in text(),
        index in column(),
        why in text(),
        full in any::<bool>(),
    ) {
        let mut text = format!("version: 1\nname: p\ntable: {}\n{changes}", quoted(&format!("x{}", table.replace(['.', '"'], ""))));
        text.push_str(&sections);
        if full {
            let _ = write!(
                text,
                "indexes: {{ build: after_backfill, add: [{{ name: {}, columns: [b_v2, c], unique: true }}] }}\n\
                 schedule: {{ timezone: Europe/Berlin, start: 2027-01-05, weekly: {{ switch: 3 }}, \
                   window: {{ days: [sun], from: \"23:00\", to: \"01:30\" }}, \
                   freeze: [{{ from: 2027-01-18, to: 2027-01-20, why: {} }}] }}\n\
                 notify: [{{ to: ops, on: [done, failed] }}, {{ to: team, shape: slack }}]\n\
                 hooks: [{{ before: switch, run: ask.sh, timeout: 90s }}, {{ after: contract, run: Tell-1 }}]\n\
                 approve: [switch]\nrequires: {{ postgres: \">=15\", extensions: [{}], plans: [other] }}\n",
                quoted(&index), quoted(&why), quoted(&format!("x{}", extension.replace(['<', '>', '='], "")).chars().take(15).collect::<String>()),
            );
        }
        let plan = good(&text);
        prop_assert_eq!(again(&plan), plan.clone(), "{}", to_yaml(&plan));
    }
}
