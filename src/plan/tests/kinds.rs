use insta::assert_snapshot;

use super::{good, shown};
use crate::plan::{Change, IndexKey, Plan, Rule, to_yaml};

/// A plan with every kind of change, each with every key.
pub(super) const KINDS: &str = r#"
version: 1
name: kinds
table: public.vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
  - change_type: { column: plate, to: text, via: plate_v2 }
  - add_column: { name: region, type: text, default: "'eu'", not_null: true }
  - drop_column: { column: legacy_code }
  - add_index: { name: i1, columns: [region, plate], unique: true, using: btree, include: [id], where: "region IS NOT NULL" }
  - add_index: { name: i2, on: "lower(email), created_at DESC", using: gin }
  - drop_index: { name: i3 }
  - add_constraint: { name: c1, check: "price >= 0" }
  - add_constraint:
      name: c2
      foreign_key: { columns: [region_id], references: geo.regions, referenced_columns: [id], on_delete: cascade, on_update: set_null, match: full, deferrable: deferrable }
  - add_constraint: { name: c3, foreign_key: { columns: [plate], references: plates } }
  - add_constraint: { name: c4, unique: [vin, vehicle_status], nulls_not_distinct: true, deferrable: initially_deferred }
  - add_constraint: { not_null: vin }
  - add_constraint: { name: c6, not_null: plate }
"#;

fn change(plan: &Plan, number: usize) -> &Change {
    &plan.changes[number]
}

#[test]
fn every_kind_arrives_and_comes_back() {
    let plan = good(KINDS);
    let told: Vec<_> = plan.changes.iter().map(|change| format!("{change:?}")).collect();
    assert_snapshot!(told.join("\n"), @r#"
    RenameColumn(RenameColumn { from: ColumnName("status"), to: ColumnName("vehicle_status"), on_conflict: NewWins, adopt: None })
    ChangeType(ChangeType { column: ColumnName("plate"), via: ColumnName("plate_v2"), to: "text", using: None, reverse: None, default: None, keep_name: true, on_conflict: NewWins, on_error: None, adopt: None })
    AddColumn(AddColumn { name: ColumnName("region"), type_name: "text", default: Some("'eu'"), not_null: true })
    DropColumn(DropColumn { column: ColumnName("legacy_code") })
    AddIndex(NewIndex { name: RelationName("i1"), key: Columns([ColumnName("region"), ColumnName("plate_v2")]), unique: true, method: "btree", include: [ColumnName("id")], predicate: Some("region IS NOT NULL") })
    AddIndex(NewIndex { name: RelationName("i2"), key: Sql("lower(email), created_at DESC"), unique: false, method: "gin", include: [], predicate: None })
    DropIndex(DropIndex { name: RelationName("i3") })
    AddConstraint(AddConstraint { name: Some(RelationName("c1")), rule: Check("price >= 0") })
    AddConstraint(AddConstraint { name: Some(RelationName("c2")), rule: ForeignKey(ForeignKey { columns: [ColumnName("region_id")], references: TableName { schema: "geo", name: "regions" }, referenced_columns: [ColumnName("id")], on_delete: Cascade, on_update: SetNull, match_full: true, deferrable: Deferrable }) })
    AddConstraint(AddConstraint { name: Some(RelationName("c3")), rule: ForeignKey(ForeignKey { columns: [ColumnName("plate_v2")], references: TableName { schema: "public", name: "plates" }, referenced_columns: [], on_delete: NoAction, on_update: NoAction, match_full: false, deferrable: NotDeferrable }) })
    AddConstraint(AddConstraint { name: Some(RelationName("c4")), rule: Unique { columns: [ColumnName("vin"), ColumnName("vehicle_status")], nulls_not_distinct: true, deferrable: InitiallyDeferred } })
    AddConstraint(AddConstraint { name: None, rule: NotNull(ColumnName("vin")) })
    AddConstraint(AddConstraint { name: Some(RelationName("c6")), rule: NotNull(ColumnName("plate_v2")) })
    "#);
    assert_eq!(good(&to_yaml(&plan)), plan, "{}", to_yaml(&plan));
    // A column that another change makes anew goes by its first name until `switch`.
    let Change::AddIndex(index) = change(&plan, 4) else { panic!("not an index") };
    assert!(matches!(&index.key, IndexKey::Columns(columns) if columns[1].as_str() == "plate_v2"));
    let Change::AddConstraint(last) = change(&plan, 12) else { panic!("not a constraint") };
    assert!(matches!(&last.rule, Rule::NotNull(column) if column.as_str() == "plate_v2"));
}

#[test]
fn a_column_made_by_hand_is_adopted_alone_and_by_name() {
    let text = |changes: &str| format!("version: 1\nname: p\ntable: t\nchanges:\n{changes}");
    for adopt in ["{}", "{ replaces: [copy_a], keeps: [audit], overwrite: true }"] {
        let plan = good(&text(&format!("  - rename_column: {{ from: a, to: b, adopt: {adopt} }}\n")));
        assert!(plan.pairs().all(|(_, pair)| pair.adopt.is_some()));
        assert_eq!(good(&to_yaml(&plan)), plan, "{}", to_yaml(&plan));
    }
    let told = |changes: &str, what: &str| {
        let shown = shown(&text(changes));
        assert!(shown.contains(what), "{shown}");
    };
    told(
        "  - rename_column: { from: a, to: b, adopt: {} }\n  - drop_column: { column: c }\n",
        "error[plan::not_here]: a plan that adopts a column makes no other change",
    );
    told(
        "  - rename_column: { from: a, to: b, adopt: { replaces: [x], keeps: [x] } }\n",
        "error[plan::duplicate_value]: trigger `x` is both replaced and kept",
    );
    told(
        "  - change_type: { column: a, to: bigint, adopt: {} }\n",
        "error[plan::via_required]: the column to adopt needs a name",
    );
}

#[test]
fn kinds_know_what_they_lack() {
    let text = "version: 1\nname: p\ntable: t\nchanges:\n  - add_column: { name: a }\n  - add_index: { columns: [a], when: x }\n  \
                - add_constraint: { name: c, foreign_key: { columns: [a], refs: t } }\n  - add_foreign_key: { columns: [a] }\n";
    assert_snapshot!(shown(text), @"
    plan.yaml:5:5: error[plan::missing_key]: `type` is missing in `add_column`
      |
    5 |   - add_column: { name: a }
      |     ^^^^^^^^^^ something is missing here
      = help: for example `type: text`

    plan.yaml:6:5: error[plan::missing_key]: `name` is missing in `add_index`
      |
    6 |   - add_index: { columns: [a], when: x }
      |     ^^^^^^^^^ something is missing here
      = help: for example `name: vehicles_region_idx`

    plan.yaml:6:32: error[plan::unknown_key]: unknown key `when` in `add_index`
      |
    6 |   - add_index: { columns: [a], when: x }
      |                                ^^^^ unknown here
      = help: expected one of `name`, `columns`, `on`, `unique`, `using`, `include`, `where`

    plan.yaml:7:32: error[plan::missing_key]: `references` is missing in `foreign_key`
      |
    7 |   - add_constraint: { name: c, foreign_key: { columns: [a], refs: t } }
      |                                ^^^^^^^^^^^ something is missing here
      = help: for example `references: public.regions`

    plan.yaml:7:61: error[plan::unknown_key]: unknown key `refs` in `foreign_key`
      |
    7 |   - add_constraint: { name: c, foreign_key: { columns: [a], refs: t } }
      |                                                             ^^^^ unknown here
      = help: expected one of `columns`, `references`, `referenced_columns`, `on_delete`, `on_update`, `match`, `deferrable`

    plan.yaml:8:5: error[plan::unknown_change]: `add_foreign_key` is not a kind of change
      |
    8 |   - add_foreign_key: { columns: [a] }
      |     ^^^^^^^^^^^^^^^ expected a kind of change
      = help: write `add_constraint: { name: name, foreign_key: { columns: [column], references: table } }`

    plan.yaml: 6 problems
    ");
}
