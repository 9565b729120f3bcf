use insta::{assert_json_snapshot, assert_snapshot};

use super::*;

#[test]
fn all_problems_are_told_at_once() {
    let text = r"version: 2
nmae: fleet
table: public.vehicles
changes:
  - rename_column: { from: status, to: status, on_error: leave }
  - change_type:
      column: odometer
      to: integer
      keep_name: yes
  - rename_column: { from: odometer, to: mileage }
  - add_column: { name: x }
backfill: { batch_target: 100, workers: 0 }
verify: { max_age: 24h, on_mismatch: ignore }
contract: { grace: 1 fortnight }
schedule:
  timezone: America/NewYork
  start: 2027-02-30
aprove: [switch]
";
    assert_snapshot!(shown(text), @"
    plan.yaml:1:10: error[plan::unsupported_version]: this crossfade does not support plan format 2
      |
    1 | version: 2
      |          ^ expected 1
      = help: write `version: 1`, or use a newer crossfade

    plan.yaml:2:1: error[plan::unknown_key]: unknown key `nmae` at the top of a plan
      |
    2 | nmae: fleet
      | ^^^^ unknown here
      = help: did you mean `name`?

    plan.yaml:5:40: error[plan::same_name]: `status` is renamed to itself
      |
    5 |   - rename_column: { from: status, to: status, on_error: leave }
      |                                        ^^^^^^ the same name
      = help: give it another name

    plan.yaml:5:48: error[plan::not_for_rename]: `on_error` does not apply to a rename
      |
    5 |   - rename_column: { from: status, to: status, on_error: leave }
      |                                                ^^^^^^^^ not for a rename
      = help: a rename does not change values; use `change_type` to change the type

    plan.yaml:9:18: error[plan::wrong_type]: `keep_name`: expected true or false, found `yes`
      |
    9 |       keep_name: yes
      |                  ^^^ expected true or false
      = help: write `true`, without quotes

    plan.yaml:11:5: error[plan::missing_key]: `type` is missing in `add_column`
       |
    11 |   - add_column: { name: x }
       |     ^^^^^^^^^^ something is missing here
       = help: for example `type: text`

    plan.yaml:12:27: error[plan::bad_duration]: `100` is not a duration
       |
    12 | backfill: { batch_target: 100, workers: 0 }
       |                           ^^^ expected a duration
       = help: a number needs a unit: `100ms`, `100s`, `100min`, `100h`, `100d`

    plan.yaml:12:41: error[plan::out_of_range]: 0 is out of range for `workers`
       |
    12 | backfill: { batch_target: 100, workers: 0 }
       |                                         ^ out of range
       = help: expected a number from 1 to 64

    plan.yaml:13:38: error[plan::unknown_value]: `ignore` is not known in `on_mismatch`
       |
    13 | verify: { max_age: 24h, on_mismatch: ignore }
       |                                      ^^^^^^ not one of the choices
       = help: expected `stop`

    plan.yaml:14:20: error[plan::bad_duration]: `1 fortnight` is not a duration
       |
    14 | contract: { grace: 1 fortnight }
       |                    ^^^^^^^^^^^ expected a duration
       = help: expected a duration such as 100ms, 5s, 24h, 7d

    plan.yaml:16:13: error[plan::unknown_timezone]: there is no time zone `America/NewYork`
       |
    16 |   timezone: America/NewYork
       |             ^^^^^^^^^^^^^^^ expected a time zone
       = help: did you mean `America/New_York`?

    plan.yaml:17:10: error[plan::bad_date]: `2027-02-30` is not a date
       |
    17 |   start: 2027-02-30
       |          ^^^^^^^^^^ expected a date
       = help: expected year-month-day, as in 2027-01-05

    plan.yaml:18:1: error[plan::unknown_key]: unknown key `aprove` at the top of a plan
       |
    18 | aprove: [switch]
       | ^^^^^^ unknown here
       = help: did you mean `approve`?

    plan.yaml: 13 problems
    ");
}

#[test]
fn carets_stand_below_wide_letters_and_behind_tabs() {
    let text = "version: 1\nname: p\ntable: t\nchanges: [{ rename_column: { from: 車両\t, to: b, tö: \"\t\" } }]\n";
    assert_snapshot!(shown(text), @r#"
    plan.yaml:4:48: error[plan::unknown_key]: unknown key `tö` in `rename_column`
      |
    4 | changes: [{ rename_column: { from: 車両 , to: b, tö: "  " } }]
      |                                                  ^^ unknown here
      = help: did you mean `to`?

    plan.yaml: 1 problem
    "#);
}

#[test]
fn long_lines_are_cut_and_control_characters_never_printed() {
    let long = "x".repeat(300);
    let text = format!(
        "version: 1\nname: p\ntable: t\nchanges: [{{ rename_column: {{ from: \"{long}\", to: b, \u{202e}c: d, e: \"{long}\" }} }}]\n"
    );
    let shown = shown(&text);
    assert!(shown.lines().all(|line| line.chars().count() < 300), "{shown}");
    assert!(!shown.contains('\u{202e}') && shown.contains('\u{fffd}'), "{shown}");
    let escape = bad("version: 1\nname: \"\\e[2J\"\ntable: \x1b[2J").render(false);
    assert!(!escape.contains('\x1b'), "{escape}");
}

#[test]
fn colour_only_adds_colour() {
    let errors = bad("version: 1\nname: P\n");
    let mut plain = errors.render(true);
    assert!(plain.contains("\x1b[1;31m"));
    for sgr in ["\x1b[1;31m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"] {
        plain = plain.replace(sgr, "");
    }
    assert_eq!(plain, errors.render(false));
}

#[test]
fn problems_are_miette_diagnostics_and_json() {
    use miette::Diagnostic as _;
    let errors = bad("version: 1\nname: Fleet\ntable: t\nchanges: []\n");
    assert_eq!(errors.to_string(), "plan.yaml is not a valid plan");
    let related: Vec<_> = errors.related().unwrap().collect();
    assert_eq!(related[0].code().unwrap().to_string(), "plan::bad_name");
    assert_eq!(related[0].labels().unwrap().next().unwrap().offset(), 17);
    assert!(errors.source_code().is_some());
    assert_json_snapshot!(errors, @r#"
    [
      {
        "file": "plan.yaml",
        "line": 2,
        "column": 7,
        "code": "plan::bad_name",
        "message": "`name`: expected lower-case letters, digits, `-` and `_`, starting with a letter or digit",
        "help": "for example `vehicle-status`"
      },
      {
        "file": "plan.yaml",
        "line": 4,
        "column": 10,
        "code": "plan::empty_value",
        "message": "`changes` is an empty list",
        "help": "expected at least one item"
      }
    ]
    "#);
}
