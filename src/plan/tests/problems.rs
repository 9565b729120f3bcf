use std::collections::BTreeSet;
use std::fmt::Write as _;

use insta::assert_snapshot;

use super::{bad, shown};
use crate::plan::{CODES, Code};

macro_rules! plan {
    ($changes:literal $(, $more:expr)?) => {
        concat!("version: 1\nname: p\ntable: t\nchanges:\n", $changes, "\n", $($more)?)
    };
}

macro_rules! section {
    ($more:expr) => {
        plan!("- rename_column: { from: a, to: b }", $more)
    };
}

macro_rules! schedule {
    ($more:expr) => {
        section!(concat!("schedule: { timezone: UTC, start: 2027-01-05, ", $more, " }"))
    };
}

const CASES: &[(Code, &str)] = &[
    (Code::Syntax, "version: 1\nname: [p\ntable: t\n"),
    (Code::Syntax, "version: 1\n\tname: p\n"),
    (Code::Syntax, "version: 1\nname: p\nrequires:\n  postgres: >=14\n"),
    (Code::Syntax, plan!("- change_type:\n    column: a\n    to: int\n    using: \"a\"::int")),
    (Code::Syntax, plan!("- change_type:\n    column: a\n    to: int\n    using: CASE a WHEN 'x: y' THEN 1: 2 END")),
    (Code::Syntax, "version: 1\nname: p\0\n"),
    (Code::Empty, "# nothing yet\n"),
    (Code::SeveralDocuments, concat!(section!(""), "---\nversion: 1\n")),
    (Code::DuplicateKey, section!("contract: { grace: 7d, grace: 8d }")),
    (Code::YamlFeature, section!("contract: &c { grace: 7d }")),
    (Code::YamlFeature, section!("contract: { grace: !!str 7d }")),
    (Code::TooDeep, section!("contract: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]")),
    (Code::UnknownKey, section!("backfill: { batch-target: 100ms }")),
    (Code::UnknownKey, section!("batch_target: 100ms")),
    (Code::UnknownKey, plan!("- change_type: { column: a, to: int, colour: red }")),
    (Code::UnknownKey, plan!("- rename_column: { from: a, to: b, route: alias }")),
    (Code::UnknownKey, plan!("- change_type: { column: a, to: text, using: left(a, 5) }")),
    (Code::MissingKey, "version: 1\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\n"),
    (Code::MissingKey, plan!("- change_type:\n    column: a")),
    (Code::WrongType, "just some words\n"),
    (Code::WrongType, section!("approve: switch")),
    (Code::WrongType, section!("contract: 7d")),
    (Code::WrongType, section!("backfill: { workers: \"2\" }")),
    (Code::WrongType, section!("backfill: { max_rows_per_second: 50_000 }")),
    (Code::WrongType, section!("throttle: { active_sessions: few }")),
    (Code::WrongType, section!("throttle: { probe: { sql: SELECT 1, limit: \"10\" } }")),
    (Code::MissingKey, section!("throttle: { probe: { sql: SELECT 1 } }")),
    (Code::WrongType, section!("contract:\n  grace:")),
    (Code::WrongType, plan!("- change_type: { column: null, to: int }")),
    (Code::WrongType, plan!("- change_type: { column: a, to: int, keep_name: yes }")),
    (Code::WrongType, plan!("- rename status")),
    (Code::UnknownValue, plan!("- rename_column: { from: a, to: b, on_conflict: new-win }")),
    (Code::UnknownValue, section!("verify: { on_mismatch: repair }")),
    (Code::OutOfRange, section!("backfill: { workers: 0 }")),
    (Code::OutOfRange, section!("backfill: { max_rows_per_second: 0 }")),
    (Code::OutOfRange, section!("throttle: { lock_wait: 0s }")),
    (Code::OutOfRange, section!("throttle: { wal_archive_backlog: 0 }")),
    (Code::OutOfRange, section!("throttle: { active_sessions: 2000000 }")),
    (Code::OutOfRange, section!("throttle: { wal_rate: 0MB }")),
    (Code::OutOfRange, section!("backfill: { goal_latency: 0ms }")),
    (Code::OutOfRange, section!("backfill: { batch_target: 0ms }")),
    (Code::OutOfRange, section!("contract: { grace: 100years }")),
    (Code::EmptyValue, "version: 1\nname: p\ntable: t\nchanges: []\n"),
    (Code::EmptyValue, plan!("- change_type: { column: a, to: int, using: \" \" }")),
    (Code::EmptyValue, schedule!("window: { days: [], from: \"02:00\", to: \"05:00\" }")),
    (Code::DuplicateValue, section!("approve: [switch, contract, switch]")),
    (Code::DuplicateValue, section!("notify: [{ to: ops }, { to: ops }]")),
    (Code::DuplicateValue, section!("hooks: [{ before: switch, run: a }, { before: switch, run: a }]")),
    (Code::BadName, section!("notify: [{ to: Ops-Team }]")),
    (Code::BadName, section!("hooks: [{ before: switch, run: ../a }]")),
    (Code::BadName, section!("hooks: [{ before: switch, run: .a }]")),
    (Code::ExactlyOne, section!("hooks: [{ before: switch, after: switch, run: a }]")),
    (Code::OutOfRange, section!("hooks: [{ before: switch, run: a, timeout: 2h }]")),
    (Code::DuplicateValue, section!("indexes: { add: [{ name: i, columns: [c, c] }] }")),
    (Code::UnsupportedVersion, "version: 2\nname: p\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\n"),
    (Code::UnknownChange, plan!("- renamecolumn: { from: a, to: b }")),
    (Code::UnknownChange, plan!("- set_not_null: { column: a }")),
    (Code::ExactlyOne, plan!("- add_index: { name: i }")),
    (Code::ExactlyOne, plan!("- add_index: { name: i, columns: [a], on: lower(a) }")),
    (Code::ExactlyOne, plan!("- add_constraint: { name: c }")),
    (Code::ExactlyOne, plan!("- add_constraint: { name: c, check: a > 0, not_null: a }")),
    (Code::NotHere, plan!("- add_constraint: { name: c, check: a > 0, nulls_not_distinct: true }")),
    (
        Code::NotHere,
        plan!("- add_constraint: { name: c, foreign_key: { columns: [a], references: r }, deferrable: deferrable }"),
    ),
    (Code::NotHere, plan!("- add_index: { name: i, columns: [a], using: gin, unique: true }")),
    (Code::NoEffect, plan!("- add_index: { name: i, columns: [a] }", "contract: { grace: 7d }")),
    (Code::NoEffect, plan!("- drop_column: { column: a }", "contract: { grace: 7d, quiet: 1h }")),
    (Code::UnknownKey, plan!("- drop_column: { column: a }", "shedule: { timezone: UTC }")),
    (Code::UnknownKey, plan!("- drop_column: { column: a }", "timezone: UTC")),
    (Code::MissingKey, plan!("- add_constraint: { check: a > 0 }")),
    (Code::BadName, plan!("- add_index: { name: i, columns: [a], using: GIN (fast) }")),
    (Code::EmptyValue, plan!("- add_column: { name: c, type: \"\" }")),
    (Code::EmptyValue, plan!("- add_index: { name: i, columns: [] }")),
    (Code::DuplicateValue, plan!("- add_index: { name: i, columns: [a], include: [a] }")),
    (Code::SystemColumn, plan!("- drop_column: { column: ctid }")),
    (Code::ColumnChangedTwice, plan!("- rename_column: { from: a, to: b }\n- drop_column: { column: a }")),
    (Code::NameTaken, plan!("- add_column: { name: a, type: int }\n- drop_column: { column: a }")),
    (Code::NameTaken, plan!("- add_column: { name: b, type: int }\n- rename_column: { from: a, to: b }")),
    (Code::IndexOnOldColumn, plan!("- drop_column: { column: a }\n- add_index: { name: i, columns: [a] }")),
    (Code::ConstraintOnOldColumn, plan!("- rename_column: { from: a, to: b }\n- add_constraint: { not_null: a }")),
    (Code::ConstraintOnOldColumn, plan!("- add_constraint: { name: u, unique: [a] }\n- drop_column: { column: a }")),
    (Code::DuplicateIndex, plan!("- add_index: { name: i, columns: [a] }\n- add_index: { name: i, on: lower(b) }")),
    (Code::DuplicateIndex, plan!("- add_index: { name: i, columns: [a] }\n- drop_index: { name: i }")),
    (
        Code::DuplicateConstraint,
        plan!("- add_index: { name: i, columns: [a] }\n- add_constraint: { name: i, unique: [a] }"),
    ),
    (
        Code::DuplicateConstraint,
        plan!("- add_constraint: { name: c, check: a > 0 }\n- add_constraint: { name: c, not_null: a }"),
    ),
    (Code::DuplicateConstraint, plan!("- add_constraint: { not_null: a }\n- add_constraint: { not_null: a }")),
    (
        Code::DuplicateConstraint,
        plan!("- add_column: { name: a, type: int, not_null: true }\n- add_constraint: { not_null: a }"),
    ),
    (
        Code::ForeignKeyColumns,
        plan!(
            "- add_constraint: { name: f, foreign_key: { columns: [a, b], references: r, referenced_columns: [id] } }"
        ),
    ),
    (
        Code::UnknownValue,
        plan!("- add_constraint: { name: f, foreign_key: { columns: [a], references: r, on_delete: delete } }"),
    ),
    (Code::OneChangeEach, plan!("- rename_column: { from: a, to: b }\n  change_type: { column: c, to: int }")),
    (Code::OneChangeEach, plan!("- {}")),
    (Code::NotForRename, plan!("- rename_column: { from: a, to: b, on_error: leave }")),
    (Code::BadName, "version: 1\nname: Fleet Plan\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\n"),
    (Code::BadName, "version: 1\nname: p\ntable: a.b.c\nchanges: [{ rename_column: { from: a, to: b } }]\n"),
    (Code::BadName, plan!("- rename_column: { from: a, to: ééééééééééééééééééééééééééééééééé }")),
    (Code::BadName, plan!("- rename_column: { from: \"\", to: b }")),
    (Code::BadName, plan!("- rename_column: { from: a, to: \"b\\0\" }")),
    (Code::SystemColumn, plan!("- rename_column: { from: a, to: xmin }")),
    (Code::SameName, plan!("- rename_column: { from: a, to: a }")),
    (Code::SameName, plan!("- change_type: { column: a, to: int, via: a }")),
    (
        Code::ColumnChangedTwice,
        plan!("- rename_column: { from: a, to: b }\n- change_type: { column: a, to: int, via: c }"),
    ),
    (Code::NameTaken, plan!("- rename_column: { from: a, to: b }\n- rename_column: { from: c, to: b }")),
    (Code::NameTaken, plan!("- rename_column: { from: a, to: b }\n- rename_column: { from: b, to: c }")),
    (Code::ViaRequired, plan!("- change_type: { column: a, to: int, keep_name: false }")),
    (Code::ReverseColumn, plan!("- change_type: { column: a, to: int, reverse: \"a::text\" }")),
    (Code::ReverseColumn, plan!("- change_type: { column: plate, to: int, via: number, reverse: \"plate::text\" }")),
    (Code::CutByComment, plan!("- change_type:\n    column: a\n    to: text\n    using: a #>> '{b}'")),
    (Code::IndexOnOldColumn, section!("indexes: { add: [{ name: i, columns: [a] }] }")),
    (Code::DuplicateIndex, section!("indexes: { add: [{ name: i, columns: [b] }, { name: i, columns: [c] }] }")),
    (Code::BadDuration, section!("contract: { grace: 7 }")),
    (Code::BadDuration, section!("contract: { grace: 2 fortnights }")),
    (Code::BadSize, section!("throttle: { slot_retained_wal: 10 }")),
    (Code::BadSize, section!("throttle: { wal_rate: fast }")),
    (Code::BadDate, section!("schedule: { timezone: UTC, start: 05.01.2027 }")),
    (Code::BadDate, section!("schedule: { timezone: UTC, start: 2027-1-5 }")),
    (Code::BadTime, schedule!("window: { days: [mon], from: \"2:00\", to: \"03:00\" }")),
    (Code::BadTime, schedule!("window: { days: [mon], from: \"22:00\", to: \"24:00\" }")),
    (Code::UnknownTimezone, section!("schedule: { timezone: America/NewYork, start: 2027-01-05 }")),
    (Code::EmptyWindow, schedule!("window: { days: [mon], from: \"02:00\", to: \"02:00\" }")),
    (
        Code::EmptyWindow,
        schedule!(
            "window: { days: [mon], from: \"02:00\", to: \"03:00\" }, extra: [{ from: 2027-02-06 22:00, to: 2027-02-06 21:00, why: night }]"
        ),
    ),
    (
        Code::BadDate,
        schedule!(
            "window: { days: [mon], from: \"02:00\", to: \"03:00\" }, extra: [{ from: 2027-02-06, to: 2027-02-06 21:00, why: night }]"
        ),
    ),
    (Code::NoEffect, schedule!("extra: [{ from: 2027-02-06 20:00, to: 2027-02-06 21:00, why: night }]")),
    (Code::BadDate, schedule!("not_before: { switch: soon }")),
    (Code::BadDuration, schedule!("soak: { switch: 7 }")),
    (Code::UnknownKey, schedule!("soak: { contract: 7d }")),
    (Code::WeeksBackwards, schedule!("weekly: { index: 2, backfill: 1 }")),
    (Code::FreezeBackwards, schedule!("freeze: [{ from: 2027-01-20, to: 2027-01-18, why: holidays }]")),
    (Code::BadPostgresVersion, section!("requires: { postgres: 14 }")),
    (Code::BadExtensionVersion, section!("requires: { extensions: [postgis >= 3.x] }")),
    (Code::PostgresTooOld, section!("requires: { postgres: \">=12\" }")),
    (Code::RequiresItself, section!("requires: { plans: [p] }")),
    (Code::WrongType, section!("approval: { self: yes }")),
];

#[test]
fn every_code_is_produced_and_listed() {
    let produced: BTreeSet<Code> = CASES.iter().map(|(code, _)| *code).collect();
    assert_eq!(produced, CODES.iter().copied().collect());
    assert_eq!(CODES.len(), produced.len(), "a code is listed twice");
    for (code, text) in CASES {
        let codes: Vec<Code> = bad(text).problems().iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [*code], "{}", shown(text));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "there are many problems")]
fn every_problem_is_told_well() {
    let mut told = String::new();
    for (_, text) in CASES {
        let errors = bad(text);
        for problem in errors.problems() {
            let (line, column) = errors.position(problem);
            let place = text[problem.span.clone()].escape_debug();
            writeln!(told, "{line}:{column} {}: {problem}\n    `{place}` {}", problem.code, problem.label).unwrap();
            if let Some(help) = &problem.help {
                writeln!(told, "    {help}").unwrap();
            }
        }
    }
    assert_snapshot!(told, @r#"
    3:6 plan::syntax: not valid YAML: illegal placement of ':' indicator
        `:` here, or just before
        check whether a bracket is left open on line 2
    1:10 plan::syntax: not valid YAML: while scanning a plain scalar, found a tab
        `1` here, or just before
        indent with spaces; YAML does not allow tabs there
    4:13 plan::syntax: not valid YAML: while scanning a block scalar, did not find expected comment or line break
        `>` here, or just before
        put quotes around the value: it starts with a character that means something else in YAML
    8:15 plan::syntax: not valid YAML: while parsing a block mapping, did not find expected key
        `:` here, or just before
        put quotes around the whole value: one that starts with a quote ends at the next quote
    8:26 plan::syntax: not valid YAML: mapping values are not allowed in this context
        `:` here, or just before
        put quotes around a value that contains a colon and a space
    2:8 plan::syntax: not valid YAML: the file contains the control character U+0000
        `\0` here, or just before
        remove it, and check that this is a UTF-8 text file
    1:14 plan::empty: there is no plan in this file
        `` expected a plan
        a plan has at least `version`, `name`, `table` and `changes`
    6:1 plan::several_documents: a second document begins here
        `---` only one can be in a file
        a file contains one plan: put the other one into its own file
    6:24 plan::duplicate_key: `grace` is given twice
        `grace` again
        the first one is on line 6; keep one of them
    6:11 plan::yaml_feature: anchors (`&x`) and tags (`!x`) are not used in plan files
        `&c {` not allowed in a plan
        write the value in full
    6:20 plan::yaml_feature: anchors (`&x`) and tags (`!x`) are not used in plan files
        `!!str 7d` not allowed in a plan
        write the value in full
    6:27 plan::too_deep: maps and lists are nested too deeply
        `[` too deep
        check the brackets and the indentation
    6:13 plan::unknown_key: unknown key `batch-target` in `backfill`
        `batch-target` unknown here
        did you mean `batch_target`?
    6:1 plan::unknown_key: unknown key `batch_target` at the top of a plan
        `batch_target` unknown here
        `batch_target` belongs in `backfill`
    5:38 plan::unknown_key: unknown key `colour` in `change_type`
        `colour` unknown here
        expected one of `column`, `to`, `using`, `reverse`, `default`, `via`, `keep_name`, `on_conflict`, `on_error`, `adopt`
    5:36 plan::unknown_key: unknown key `route` in `rename_column`
        `route` unknown here
        leave it out: crossfade chooses the way of a change. It renames no column by a view in the table's place, which breaks statements that worked (docs/comparison.md, "Why no view")
    5:54 plan::unknown_key: unknown key `5)` in `change_type`
        `5)` unknown here
        inside { } a comma ends the value: put quotes around a value that contains commas
    1:1 plan::missing_key: `name` is missing
        `` something is missing here
        for example `name: vehicle-status`
    5:3 plan::missing_key: `to` is missing in `change_type`
        `change_type` something is missing here
        for example `to: varchar(10)`
    1:1 plan::wrong_type: a plan: expected a map, found `just some words`
        `just some words` expected a map
        expected the keys `version`, `name`, `table`, `changes`, `indexes`, `backfill`, `throttle`, `verify`, `contract`, `approval`, `schedule`, `approve`, `requires`, `notify`, `hooks`, `publications`, `functions`, `triggers`, `referring`
    6:10 plan::wrong_type: `approve`: expected a list, found `switch`
        `switch` expected a list
        write `[switch]`
    6:11 plan::wrong_type: `contract`: expected a map, found `7d`
        `7d` expected a map
        expected the keys `grace`, `quiet`
    6:22 plan::wrong_type: `workers`: expected a whole number, found `2`
        `\"2\"` expected a whole number
        remove the quotes
    6:34 plan::wrong_type: `max_rows_per_second`: expected a whole number or `off`, found `50_000`
        `50_000` expected a whole number or `off`
        write `50000`
    6:30 plan::wrong_type: `active_sessions`: expected a whole number or `off`, found `few`
        `few` expected a whole number or `off`
        write a whole number or `off`
    6:44 plan::wrong_type: `limit`: expected a number or `off`, found `10`
        `\"10\"` expected a number or `off`
        remove the quotes
    6:13 plan::missing_key: `limit` is missing in `probe`
        `probe` something is missing here
        for example `limit: 1000`
    7:3 plan::wrong_type: `grace`: expected a duration, found nothing
        `grace` expected a duration
    5:26 plan::wrong_type: `column`: expected text, found `null`, which means nothing
        `null` expected text
        put quotes around it if you mean the word
    5:49 plan::wrong_type: `keep_name`: expected true or false, found `yes`
        `yes` expected true or false
        write `true`, without quotes
    5:3 plan::wrong_type: an item of `changes`: expected a map, found `rename status`
        `rename status` expected a map
        expected the keys `rename_column`, `change_type`, `add_column`, `drop_column`, `add_index`, `drop_index`, `add_constraint`
    5:49 plan::unknown_value: unknown value `new-win` in `on_conflict`
        `new-win` not one of the choices
        did you mean `new_wins`?
    6:24 plan::unknown_value: `repair` is not known in `on_mismatch`
        `repair` not one of the choices
        expected `stop`
    6:22 plan::out_of_range: 0 is out of range for `workers`
        `0` out of range
        expected a number from 1 to 64
    6:34 plan::out_of_range: 0 is out of range for `max_rows_per_second`
        `0` out of range
        write `off` to switch it off
    6:24 plan::out_of_range: `0s` is out of range
        `0s` out of range
        write `off` to switch it off
    6:34 plan::out_of_range: 0 is out of range for `wal_archive_backlog`
        `0` out of range
        write `off` to switch it off
    6:30 plan::out_of_range: 2000000 is out of range for `active_sessions`
        `2000000` out of range
        expected a number from 1 to 1000000, or `off`
    6:23 plan::out_of_range: `0MB` is out of range
        `0MB` out of range
        write `off` to switch it off
    6:27 plan::out_of_range: `0ms` is out of range
        `0ms` out of range
        write `off` to switch it off
    6:27 plan::out_of_range: `0ms` is out of range
        `0ms` out of range
        expected more than zero
    6:20 plan::out_of_range: `100years` is out of range
        `100years` out of range
        expected at most ten years
    4:10 plan::empty_value: `changes` is an empty list
        `[]` empty
        expected at least one item
    5:45 plan::empty_value: `using` is empty
        `\" \"` empty
        leave the key out, or give it a value
    6:63 plan::empty_value: `days` is an empty list
        `[]` empty
        expected at least one item
    6:29 plan::duplicate_value: `switch` is given twice
        `switch` again
        remove one of them
    6:29 plan::duplicate_value: `ops` is given twice
        `ops` again
        list all topics in one place
    6:60 plan::duplicate_value: `a` is given twice for before_switch
        `a` again
        remove one of them
    6:16 plan::bad_name: `to`: expected lower-case letters, digits and `_`, starting with a letter
        `Ops-Team` not a name
        for example `ops`: its address is in CROSSFADE_NOTIFY_OPS_URL
    6:32 plan::bad_name: `run`: expected the name of a file, not a path: letters, digits, `-`, `_` and `.`, starting with a letter or digit
        `../a` not a name
        put a script of such a name into the directory that --hooks names; arguments belong into it
    6:32 plan::bad_name: `run`: expected the name of a file, not a path: letters, digits, `-`, `_` and `.`, starting with a letter or digit
        `.a` not a name
        put a script of such a name into the directory that --hooks names; arguments belong into it
    6:9 plan::exactly_one: a hook needs exactly one of `before` and `after`
        `{ before: switch, after: switch, run: a }` expected exactly one
        for example `before: switch`
    6:44 plan::out_of_range: `timeout` must be more than nothing and at most 1h
        `2h` out of range
        what takes longer than that is no hook
    6:42 plan::duplicate_value: `c` is given twice
        `c` again
        remove one of them
    1:10 plan::unsupported_version: this crossfade does not support plan format 2
        `2` expected 1
        write `version: 1`, or use a newer crossfade
    5:3 plan::unknown_change: `renamecolumn` is not a kind of change
        `renamecolumn` expected a kind of change
        did you mean `rename_column`?
    5:3 plan::unknown_change: `set_not_null` is not a kind of change
        `set_not_null` expected a kind of change
        write `add_constraint: { not_null: column }`
    5:3 plan::exactly_one: an index needs `columns` or `on`
        `add_index` expected exactly one
        for example `columns: [region]` or `on: lower(email)`
    5:39 plan::exactly_one: an index has either `columns` or `on`
        `on` expected exactly one
        `on` takes columns as well: keep it, and remove `columns`
    5:3 plan::exactly_one: a constraint needs one of `check`, `foreign_key`, `unique`, `not_null`
        `add_constraint` expected exactly one
        for example `check: price >= 0` or `unique: [vin]`
    5:44 plan::exactly_one: a constraint has either `check` or `not_null`
        `not_null` expected exactly one
        start each constraint with its own dash: `- add_constraint: { ... }`
    5:44 plan::not_here: `nulls_not_distinct` has no meaning without `unique`
        `nulls_not_distinct` no meaning here
        remove it
    5:76 plan::not_here: `deferrable` has no meaning without `unique`
        `deferrable` no meaning here
        put it into `foreign_key`
    5:51 plan::not_here: an index with `using: gin` cannot be unique
        `unique` no meaning here
        only btree indexes can be
    6:13 plan::no_effect: `grace` has no effect: this plan drops no column
        `grace` has no effect
        remove it
    6:24 plan::no_effect: `quiet` has no effect: this plan keeps no two columns equal, so it counts no writes
        `quiet` has no effect
        remove it
    6:1 plan::unknown_key: unknown key `shedule` at the top of a plan
        `shedule` unknown here
        did you mean `schedule`?
    6:1 plan::unknown_key: unknown key `timezone` at the top of a plan
        `timezone` unknown here
        `timezone` belongs in `schedule`
    5:3 plan::missing_key: `name` is missing in `add_constraint`
        `add_constraint` something is missing here
        only `not_null` can do without a name
    5:46 plan::bad_name: `GIN (fast)` is no access method
        `GIN (fast)` not a name
        expected a word such as `btree`, `hash`, `gin`, `gist` or `brin`
    5:32 plan::empty_value: `type` is empty
        `\"\"` empty
        leave the key out, or give it a value
    5:34 plan::empty_value: `columns` is an empty list
        `[]` empty
        expected at least one item
    5:49 plan::duplicate_value: `a` is in the index's key already
        `a` again
        remove it from `include`
    5:26 plan::system_column: `ctid` is a system column
        `ctid` not an ordinary column
        every table has it, and PostgreSQL maintains it
    6:26 plan::column_changed_twice: `a` is changed twice
        `a` again
        a plan can change a column once; use a second plan after this one
    5:23 plan::name_taken: `a` is dropped by another change
        `a` taken
        drop it with its own plan, before this one
    6:33 plan::name_taken: `b` is also the new name of another change's column
        `b` taken
        all columns exist side by side: use another name
    6:35 plan::index_on_old_column: `a` is dropped by this plan, and this index with it
        `a` dropped by this plan
        leave the column out, or keep it
    6:31 plan::constraint_on_old_column: `a` is the name that goes: name the column of this constraint as it will be called
        `a` dropped by this plan
        use `b`
    5:39 plan::constraint_on_old_column: `a` is dropped by this plan, and this constraint with it
        `a` dropped by this plan
        leave the column out, or keep it
    6:22 plan::duplicate_index: index `i` is named by another change of this plan
        `i` again
        give it another name
    6:23 plan::duplicate_index: index `i` is named by another change of this plan
        `i` again
        remove one of the two
    6:27 plan::duplicate_constraint: there is another constraint, or an index, called `i` in this plan
        `i` again
        give it another name
    6:27 plan::duplicate_constraint: there is another constraint, or an index, called `c` in this plan
        `c` again
        give it another name
    6:31 plan::duplicate_constraint: `a` is made NOT NULL twice
        `a` again
        remove one of the two
    6:31 plan::duplicate_constraint: `a` is added as NOT NULL already
        `a` again
        remove one of the two
    5:97 plan::foreign_key_columns: 2 columns cannot refer to 1
        `[id]` a different number of columns
        give as many `referenced_columns` as `columns`, in the same order
    5:85 plan::unknown_value: unknown value `delete` in `on_delete`
        `delete` not one of the choices
        expected one of `no_action`, `restrict`, `cascade`, `set_null`, `set_default`
    5:3 plan::one_change_each: this item of `changes` contains several changes
        `rename_column: { from: a, to: b }\n  change_type: { column: c, to: int }` expected exactly one
        start each change with its own dash: `- rename_column: { from: a, to: b }`
    5:3 plan::one_change_each: this item of `changes` contains no change
        `{}` expected exactly one
        start each change with its own dash: `- rename_column: { from: a, to: b }`
    5:36 plan::not_for_rename: `on_error` does not apply to a rename
        `on_error` not for a rename
        a rename does not change values; use `change_type` to change the type
    2:7 plan::bad_name: `name`: expected lower-case letters, digits, `-` and `_`, starting with a letter or digit
        `Fleet Plan` not a name
        for example `vehicle-status`
    3:8 plan::bad_name: `table`: expected schema.table, with double quotes around a part that contains a dot
        `a.b.c` not a name
        for example `public.vehicles`
    5:33 plan::bad_name: `to`: the name is 66 bytes long; PostgreSQL would silently cut it to 63
        `ééééééééééééééééééééééééééééééééé` not a name
        choose a shorter name
    5:26 plan::bad_name: `from`: a name cannot be empty
        `\"\"` not a name
        give it a name
    5:33 plan::bad_name: `to`: a name cannot contain a zero byte
        `\"b\\0\"` not a name
        give it a name
    5:33 plan::system_column: `xmin` is a system column
        `xmin` not an ordinary column
        every table has it, and PostgreSQL maintains it
    5:33 plan::same_name: `a` is renamed to itself
        `a` the same name
        give it another name
    5:43 plan::same_name: `via` is the name of the old column, `a`
        `a` the same name
        the old and the new column exist side by side: give the new one another name
    6:26 plan::column_changed_twice: `a` is changed twice
        `a` again
        a plan can change a column once; use a second plan after this one
    6:33 plan::name_taken: `b` is also the new name of another change's column
        `b` taken
        all columns exist side by side: use another name
    5:33 plan::name_taken: `b` is the old name of another change's column
        `b` taken
        all columns exist side by side: use another name
    5:38 plan::via_required: without the old name, the new column needs its own name
        `keep_name` needs `via`
        add `via: ` and the new column's name
    5:47 plan::reverse_column: `reverse` is an expression over the new column, which the plan does not name
        `\"a::text\"` over which column?
        add `via: a_new`, say, and use that name in `reverse`
    5:64 plan::reverse_column: `reverse` reads `plate`, but only the new column can be seen there
        `\"plate::text\"` over which column?
        use `number`
    8:14 plan::cut_by_comment: YAML treats the rest of `using` as a comment
        `#>> \'{b}\'` lost
        put quotes around the whole expression
    6:39 plan::index_on_old_column: `a` is the name that goes: name the column of this index as it will be called
        `a` dropped by this plan
        use `b`
    6:53 plan::duplicate_index: index `i` is named twice
        `i` again
        give it another name
    6:20 plan::bad_duration: `7` is not a duration
        `7` expected a duration
        a number needs a unit: `7ms`, `7s`, `7min`, `7h`, `7d`
    6:20 plan::bad_duration: `2 fortnights` is not a duration
        `2 fortnights` expected a duration
        expected a duration such as 100ms, 5s, 24h, 7d
    6:32 plan::bad_size: `10` is not an amount of data
        `10` expected an amount of data
        a number needs a unit: kB, MB, GB or TB
    6:23 plan::bad_size: `fast` is not an amount of data
        `fast` expected an amount of data
        expected an amount such as 100MB or 10GB
    6:35 plan::bad_date: `05.01.2027` is not a date
        `05.01.2027` expected a date
        expected year-month-day, as in 2027-01-05
    6:35 plan::bad_date: `2027-1-5` is not a date
        `2027-1-5` expected a date
        write `2027-01-05`
    6:76 plan::bad_time: `2:00` is not a time of day
        `\"2:00\"` expected a time of day
        write `"02:00"`
    6:89 plan::bad_time: `24:00` is not a time of day
        `\"24:00\"` expected a time of day
        write `"00:00"` for midnight
    6:23 plan::unknown_timezone: there is no time zone `America/NewYork`
        `America/NewYork` expected a time zone
        did you mean `America/New_York`?
    6:89 plan::empty_window: a window from 02:00 to 02:00 is empty
        `\"02:00\"` not after `from`
        leave `window` out for no restriction
    6:138 plan::empty_window: the window closes at 2027-02-06 21:00, before it opens
        `2027-02-06 21:00` not after `from`
        give it a later end
    6:116 plan::bad_date: `2027-02-06` is not a date with a time
        `2027-02-06` expected a date
        expected a day and a time, as in 2027-02-06 22:00
    6:47 plan::no_effect: `extra` has no effect: without `window`, work may be done at any time
        `extra` has no effect
        remove it, or add `window`
    6:69 plan::bad_date: `soon` is not a date
        `soon` expected a date
        expected year-month-day, as in 2027-01-05
    6:63 plan::bad_duration: `7` is not a duration
        `7` expected a duration
        a number needs a unit: `7ms`, `7s`, `7min`, `7h`, `7d`
    6:55 plan::unknown_key: unknown key `contract` in `soak`
        `contract` unknown here
        expected one of `expand`, `index`, `backfill`, `verify`, `switch`
    6:77 plan::weeks_backwards: `backfill` is due in week 1, before `index` in week 2
        `1` too early
        `backfill` comes after `index`
    6:80 plan::freeze_backwards: the freeze ends on 2027-01-18, before it begins
        `2027-01-18` before `from`
        swap the two dates
    6:23 plan::bad_postgres_version: `14` is not a minimum major version
        `14` expected `>=` and a number
        write `">=14"`
    6:26 plan::bad_extension_version: `3.x` is not a version: expected numbers with dots between them
        `postgis >= 3.x` expected a version
        write a name, or a name with one of >=, >, =, < and <= and a version, as in `postgis >= 3.1`
    6:23 plan::postgres_too_old: crossfade does not support PostgreSQL 12: it is too old
        `\">=12\"` too old
        write `">=14"` or higher
    6:21 plan::requires_itself: this plan requires itself
        `p` this plan itself
        remove it
    6:19 plan::wrong_type: `self`: expected true or false, found `yes`
        `yes` expected true or false
        write `true` or `false`
    "#);
}
