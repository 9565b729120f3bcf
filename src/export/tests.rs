//! What is written for each tool, by what is in its directory. That the tools take it is shown in tests/it/export.rs.

use std::collections::BTreeSet;

use chrono::DateTime;

use super::literal::literal;
use super::*;

fn migration() -> Migration {
    Migration {
        plan: PlanName::new("vehicle-status").unwrap(),
        table: TableName::new("public", "fleet_vehicle").unwrap(),
        at: DateTime::from_timestamp(1_780_000_000, 0).unwrap(), // 2026-05-28 20:26:40
        alters: vec![Alter::Rename { from: "status".to_owned(), to: "vehicle_status".to_owned() }],
        max_size: Bytes(64 << 20),
        ledger: "crossfade".to_owned(),
        parts: vec![],
    }
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

fn there(paths: &[&str]) -> Vec<File> {
    paths.iter().map(|path| file(path, "")).collect()
}

fn paths(tool: MigrationTool, there: &[File]) -> Vec<String> {
    migration().files(tool, there, "fleet").unwrap().into_iter().map(|file| file.path).collect()
}

fn refusal(tool: MigrationTool, there: &[File]) -> String {
    migration().files(tool, there, "fleet").unwrap_err().message
}

#[test]
fn numbers_follow_those_that_are_there() {
    use MigrationTool::{Flyway, Liquibase, Prisma, Rails, Sqlx};
    for (tool, files, expected) in [
        (Sqlx, &[][..], "20260528202640_crossfade_vehicle_status.sql"),
        (Sqlx, &["20260101000000_a.sql"], "20260528202640_crossfade_vehicle_status.sql"),
        (Sqlx, &["20270101235959_a.sql"], "20270102000000_crossfade_vehicle_status.sql"),
        (Sqlx, &["0009_a.up.sql", "0009_a.down.sql"], "0010_crossfade_vehicle_status.up.sql"),
        (Sqlx, &["3_crossfade_vehicle_status.sql", "7_later.sql"], "3_crossfade_vehicle_status.sql"),
        (Flyway, &[], "V1__crossfade_vehicle_status.sql"),
        (Flyway, &["V2__a.sql", "V10__b.sql", "R__view.sql"], "V11__crossfade_vehicle_status.sql"),
        (Flyway, &["V1.2.9__a.sql", "V1.1.20__b.sql"], "V1.2.10__crossfade_vehicle_status.sql"),
        (Flyway, &["V2__crossfade_vehicle_status.sql", "V3__b.sql"], "V2__crossfade_vehicle_status.sql"),
        (Liquibase, &["changelog.sql"], "crossfade_vehicle_status.sql"),
        (Liquibase, &["001_a.sql"], "002_crossfade_vehicle_status.sql"),
        (Rails, &["20260601000000_a.rb"], "20260601000001_crossfade_vehicle_status.rb"),
        (Prisma, &["20260101000000_init/migration.sql"], "20260528202640_crossfade_vehicle_status/migration.sql"),
    ] {
        assert_eq!(paths(tool, &there(files)), [expected], "{files:?}");
    }
}

#[test]
fn alembic_goes_above_the_only_head() {
    let a = file("a_x.py", "revision: str = 'a'\ndown_revision: Union[str, None] = None\n");
    let b = file("b_x.py", "# revision = 'no'\nrevision = \"b\"\ndown_revision = (\n    'a',  # the first\n)\n");
    let c = file("c_x.py", "revision = 'c'\ndown_revision = 'a'\n");
    let written = |there: &[File]| migration().files(MigrationTool::Alembic, there, "").unwrap().remove(0);
    assert!(written(&[]).text.contains("\ndown_revision = None\n"));
    let first = written(&[a.clone(), b.clone()]);
    assert!(first.text.contains("\ndown_revision = \"b\"\n"), "{}", first.text);
    // What was added above it since then changes nothing.
    let id = first.path.split('_').next().unwrap();
    let above = file("d.py", &format!("revision = 'd'\ndown_revision = '{id}'\n"));
    assert_eq!(written(&[a.clone(), b.clone(), first.clone(), above]), first);
    assert_eq!(refusal(MigrationTool::Alembic, &[a, b, c]), "the revisions there have 2 heads: b, c");
    assert!(refusal(MigrationTool::Alembic, &there(&["env.py"])).contains("not of its revisions"));
}

const INITIAL: &str = r#"
class Migration(migrations.Migration):
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Car",
            fields=[
                ("state", models.CharField(max_length=9)),  # renamed below
                ("owner", models.ForeignKey(on_delete=models.CASCADE, to="fleet.owner")),
                ("plate", models.TextField(db_column="license", help_text="as it is, ) and all")),
            ],
        ),
    ]
"#;

const SECOND: &str = r#"
class Migration(migrations.Migration):
    dependencies = [("fleet", "0001_initial"), ("auth", "0009_x")]
    operations = [
        migrations.RenameModel(old_name="Car", new_name="Vehicle"),
        migrations.RenameField(model_name="vehicle", old_name="state", new_name="status"),
    ]
"#;

#[test]
fn django_is_told_the_field() {
    let initial = file("0001_initial.py", INITIAL);
    let both = [initial.clone(), file("0002_b.py", SECOND), file("__init__.py", "")];
    let django =
        |migration: &Migration| migration.files(MigrationTool::Django, &both, "folder").map(|mut f| f.remove(0));
    let written = django(&migration()).unwrap();
    assert_eq!(written.path, "0003_crossfade_vehicle_status.py");
    for part in [
        "dependencies = [(\"fleet\", \"0002_b\")]",
        "migrations.RenameField(model_name=\"vehicle\", old_name=\"status\", new_name=\"vehicle_status\"),",
    ] {
        assert!(written.text.contains(part), "{}", written.text);
    }
    let alters = |alter| Migration { alters: vec![alter], ..migration() };
    let rename = |from: &str, to: &str| alters(Alter::Rename { from: from.to_owned(), to: to.to_owned() });
    let keys = django(&rename("owner_id", "holder_id")).unwrap().text;
    assert!(keys.contains("old_name=\"owner\", new_name=\"holder\""), "{keys}");
    assert!(django(&rename("license", "plate_text")).unwrap_err().message.contains("not called as its column"));
    assert!(django(&rename("missing", "x")).unwrap_err().message.contains("field in the column missing"));
    let retype = |to: &str| {
        let [column, from, to, name] = ["license", "text", to, "license"].map(str::to_owned);
        let (collate, using) = (String::new(), "license".to_owned());
        alters(Alter::Retype { column, from, to, collate, using, default: None, not_null: false, name })
    };
    let text = django(&retype("numeric(12,2)")).unwrap().text;
    let field = "models.DecimalField(max_digits=12, decimal_places=2, null=True, db_column=\"license\", help_text=\"as it is, ) and all\")";
    assert!(text.contains(field), "{text}");
    assert!(django(&retype("public.mood")).unwrap_err().message.contains("no class there"));
    // Two leaves, no migrations, another table.
    let leaves = [initial, file("0001_other.py", "")];
    assert!(refusal(MigrationTool::Django, &leaves).contains("2 leaves: 0001_initial, 0001_other"));
    assert_eq!(refusal(MigrationTool::Django, &[]), "there are no migrations of Django");
    let other = Migration { table: TableName::new("public", "other").unwrap(), ..migration() };
    assert!(django(&other).unwrap_err().message.contains("a model with the table other"));
}

#[test]
fn drizzle_needs_a_journal_of_a_version_that_is_known() {
    assert_eq!(refusal(MigrationTool::Drizzle, &[]), "there is no meta/_journal.json");
    let old = file("meta/_journal.json", r#"{"version": "5", "dialect": "pg", "entries": []}"#);
    assert!(refusal(MigrationTool::Drizzle, &[old]).contains("version \"5\""));
    let broken = file("meta/_journal.json", "{");
    assert!(refusal(MigrationTool::Drizzle, &[broken]).contains("cannot be read"));
}

/// Whatever a name or an expression holds, no tool finds anything to replace in it.
#[test]
fn nothing_in_it_is_replaced() {
    let hostile = "a\"\"\"b${c}#{d}%s:e{{f}}\\g`h` -- i\n--> statement-breakpoint ?j ; $crossfade$";
    let [from, to] = ["", "x"].map(|end| format!("{hostile}{end}"));
    let migration = Migration { alters: vec![Alter::Rename { from, to }], ..migration() };
    let django = [file("0001_initial.py", &INITIAL.replace("Car", "Vehicle"))];
    for (name, tool) in TOOLS.iter().filter(|(_, tool)| *tool != MigrationTool::Drizzle) {
        let Ok(files) = migration.files(*tool, &django, "fleet") else {
            // No field of Django can be called so.
            assert_eq!(*name, "django");
            continue;
        };
        let text = &files[0].text;
        let block = &text[text.find("DO $crossfade$").unwrap()..text.rfind("$crossfade$;").unwrap()];
        for part in
            ["${", "#{", "%", "{{", "\\", "`", "?", "\"\"\"", "-->", "statement-breakpoint ?", ":e", "crossfade$ "]
        {
            assert!(!block.contains(part), "{name} has {part}: {block}");
        }
        assert_eq!(block.matches("$crossfade$").count(), 1, "{name}");
    }
}

#[test]
fn literals_are_what_they_were() {
    assert_eq!(literal("it's"), "'it''s'");
    assert_eq!(literal("a::text"), "'a::text'");
    assert_eq!(literal("%s"), "(chr(37) || 's')");
    assert_eq!(literal(":a\n"), "(chr(58) || 'a' || chr(10))");
    assert_eq!(literal("--"), "('-' || chr(45))");
    assert_eq!(literal(""), "''");
}

/// What one tool is told, `crossfade import` reads in its file.
#[test]
fn what_was_exported_is_imported_again() {
    let retype = |column: &str, name: &str, using: &str, default: Option<&str>| Alter::Retype {
        column: column.to_owned(),
        from: "text".to_owned(),
        to: "numeric(12,2)".to_owned(),
        collate: String::new(),
        using: using.to_owned(),
        default: default.map(str::to_owned),
        not_null: false,
        name: name.to_owned(),
    };
    let rename = |from: &str, to: &str| Alter::Rename { from: from.to_owned(), to: to.to_owned() };
    let initial = INITIAL.replace("Car", "Vehicle").replace("\"state\"", "\"status\"");
    let hostile = "a \"b\" ${c} #{d} %s :e\\ it's `x`; -- y";
    let mut came = BTreeSet::new();
    for (alters, django, expected) in [
        (vec![rename("status", "state")], true, "status->state - None None"),
        (
            vec![retype("license", "license", "f(license, ';')", Some("0"))],
            true,
            "license->license numeric(12,2) f(license, ';') 0",
        ),
        (
            vec![rename("status", "state"), retype("license", "sign", "CASE WHEN status = '${a}%' THEN 1 END", None)],
            false,
            "status->state - None None, license->sign numeric(12,2) CASE WHEN status = '${a}%' THEN 1 END None",
        ),
        (vec![rename(hostile, "x")], false, &format!("{hostile}->x - None None")),
    ] {
        let migration = Migration { alters, ..migration() };
        for (name, tool) in TOOLS {
            let there = match tool {
                MigrationTool::Django if !django => continue,
                MigrationTool::Django => vec![file("0001_initial.py", &initial)],
                MigrationTool::Drizzle => {
                    let journal =
                        r#"{"version": "7", "dialect": "postgresql", "entries": [{"idx": 0, "tag": "0000_first"}]}"#;
                    let column = |name: &str| (name.to_owned(), serde_json::json!({ "name": name, "type": "text" }));
                    let columns: serde_json::Map<_, _> =
                        ["status", "license", hostile].map(column).into_iter().collect();
                    let tables =
                        serde_json::json!({ "public.fleet_vehicle": { "name": "fleet_vehicle", "columns": columns } });
                    let snapshot = serde_json::json!({ "id": "a", "tables": tables }).to_string();
                    vec![file(drizzle::JOURNAL, journal), file("meta/0000_snapshot.json", &snapshot)]
                }
                _ => vec![],
            };
            let files = migration.files(tool, &there, "fleet").unwrap();
            let written = files
                .iter()
                .find(|file| std::path::Path::new(&file.path).extension() != Some("json".as_ref()))
                .unwrap();
            let wishes =
                crate::import::read(&written.path, &written.text, &there, "fleet").and_then(|read| read.wishes(None));
            let wishes = wishes.unwrap_or_else(|troubles| panic!("{name}: {troubles:?}\n{}", written.text));
            let table = (wishes.table.schema.as_deref(), wishes.table.name.as_str());
            assert_eq!(table, (Some("public"), "fleet_vehicle"), "{name}");
            let said: Vec<_> = wishes
                .columns
                .iter()
                .map(|wish| {
                    let (to, using) = match &wish.retype {
                        Some((to, crate::import::Using::Expression(sql))) => (to.as_str(), sql.as_str()),
                        Some((to, _)) => (to.as_str(), "a cast"),
                        None => ("-", "None"),
                    };
                    format!("{}->{} {to} {using} {}", wish.column, wish.name, wish.default.as_deref().unwrap_or("None"))
                })
                .collect();
            assert_eq!(said.join(", "), expected, "{name}");
            came.insert(name);
        }
    }
    let all: BTreeSet<_> = TOOLS.iter().map(|(name, _)| *name).collect();
    assert_eq!(came, all, "a tool's files were not read at all");
}

/// A block that somebody has changed is not taken for what it was.
#[test]
fn an_exported_block_that_was_changed_is_refused() {
    let written = migration().files(MigrationTool::Sqlx, &[], "").unwrap().remove(0);
    let of = |text: &str| crate::import::read("1_a.sql", text, &[], "");
    assert!(of(&written.text).is_ok());
    for (old, new) in [
        ("END\n$crossfade$", "  PERFORM x();\nEND\n$crossfade$"),
        ("path text DEFAULT", "pfad text DEFAULT"),
        ("  END LOOP;", "  END LOOP; DELETE FROM t;"),
        ("EXECUTE 'ALTER", "EXECUTE x || 'ALTER"),
        ("RENAME COLUMN", "DROP COLUMN"),
    ] {
        let changed = written.text.replacen(old, new, 1);
        assert_ne!(changed, written.text, "{old}");
        assert!(of(&changed).is_err(), "{changed}");
    }
}
