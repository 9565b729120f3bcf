use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

/// What a file becomes, a line a column; or what is wrong with it.
fn said_in(name: &str, text: &str, there: &[File], only: Option<Named>) -> String {
    let mut said = String::new();
    match read(name, text, there, "fleet").and_then(|migration| migration.wishes(only)) {
        Ok(wishes) => {
            for wish in &wishes.columns {
                let _ = write!(said, "{}: {}.{}", wish.line, wishes.table, wish.column);
                if wish.name != wish.column {
                    let _ = write!(said, " -> {}", wish.name);
                }
                if let Some((to, using)) = &wish.retype {
                    let _ = write!(said, " : {to}");
                    let _ = match using {
                        Using::Assignment => Ok(()),
                        Using::Cast(_) => write!(said, " by a cast"),
                        Using::Expression(sql) => write!(said, " using {sql}"),
                    };
                }
                if let Some(default) = &wish.default {
                    let _ = write!(said, " default {default}");
                }
                said.push('\n');
            }
            for note in &wishes.notes {
                let _ = writeln!(said, "note {}: {}", note.line, note.message);
            }
        }
        Err(troubles) => {
            for trouble in troubles {
                let _ = writeln!(said, "{}: error: {}", trouble.line, trouble.message);
                assert!(!trouble.help.is_empty());
            }
        }
    }
    said
}

fn said(name: &str, text: &str) -> String {
    said_in(name, text, &[], None)
}

fn sql(text: &str) -> String {
    said("V7__x.sql", text)
}

/// The lines of a function's body.
fn indented(body: &str) -> String {
    body.lines().fold(String::new(), |text, line| text + "    " + line + "\n")
}

fn upgrade(body: &str) -> String {
    let body = indented(body);
    said(
        "1f2e_x.py",
        &format!(
            "from alembic import op\nrevision = 'a'\n\ndef upgrade() -> None:\n{body}\n\ndef downgrade():\n    op.drop_table('t')\n"
        ),
    )
}

fn change(body: &str) -> String {
    let body = indented(body);
    said("20260101_x.rb", &format!("class X < ActiveRecord::Migration[7.1]\n  def change\n{body}  end\nend\n"))
}

#[test]
fn statements_of_sql_are_read_as_postgresql_reads_them() {
    for (text, expected) in [
        ("ALTER TABLE t RENAME a TO b", "1: t.a -> b\n"),
        ("alter table if exists only app.\"T\" * rename column \"A\"\"x\" to B;", "1: app.T.A\"x -> b\n"),
        (
            "-- why; it's so\nBEGIN;\nSET LOCAL lock_timeout = '2s';\nALTER TABLE t /* ; */ RENAME a TO b;\nCOMMIT;",
            "4: t.a -> b\n",
        ),
        ("ALTER TABLE t ALTER a TYPE numeric(12, 2)", "1: t.a : numeric(12, 2)\n"),
        (
            "ALTER TABLE t ALTER COLUMN a SET DATA TYPE text COLLATE \"C\" USING a || ';'",
            "1: t.a : text COLLATE \"C\" using a || ';'\n",
        ),
        ("ALTER TABLE t ALTER a TYPE int USING (a::int)", "1: t.a : int by a cast\n"),
        ("ALTER TABLE t ALTER a TYPE int USING (a)::int", "1: t.a : int by a cast\n"),
        (
            "ALTER TABLE t\n  ALTER a TYPE int USING a::int,\n  ALTER b DROP DEFAULT, -- first\n  ALTER b TYPE uuid USING f(b, 1),\n  ALTER b SET DEFAULT g()",
            "2: t.a : int by a cast\n3: t.b : uuid using f(b, 1) default g()\n",
        ),
        // One column in several steps; the expression has the name that the plan knows.
        (
            "ALTER TABLE t RENAME a TO b; ALTER TABLE public.t ALTER b TYPE int USING (b || x.b || b(1))::int",
            "1: public.t.a -> b : int using (\"a\" || x.\"a\" || b(1))::int\n",
        ),
        ("ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME b TO c", "1: t.a -> c\n"),
        ("ALTER TABLE t ALTER a TYPE text USING $x$;'$x$||a", "1: t.a : text using $x$;'$x$||a\n"),
        ("ALTER TABLE t RENAME COLUMN U&\"d\\0061t\" TO É", "1: t.dat -> É\n"),
        ("\u{feff}ALTER TABLE t RENAME a TO b", "1: t.a -> b\n"),
        (
            "ALTER TABLE t RENAME a TO b;\n--> statement-breakpoint\nALTER TABLE t RENAME c TO d;",
            "1: t.a -> b\n3: t.c -> d\n",
        ),
        (
            "--liquibase formatted sql\n--changeset me:1 runInTransaction:false\nALTER TABLE t RENAME a TO b;\n--rollback ALTER TABLE t RENAME b TO a;",
            "3: t.a -> b\n",
        ),
    ] {
        assert_eq!(sql(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_plan_is_named_with_its_line() {
    for (text, expected) in [
        ("", "1: error: nothing in it renames a column or changes its type\n"),
        (
            "ALTER TABLE t RENAME a TO b;\nCREATE INDEX i ON t (b);\n\nUPDATE t SET c = 1",
            "2: error: `CREATE INDEX i ON t ( b )` neither renames a column nor changes its type\n4: error: `UPDATE t SET c = 1` neither renames a column nor changes its type\n",
        ),
        ("ALTER TABLE t RENAME TO u", "1: error: `ALTER TABLE t RENAME TO u` renames no column\n"),
        (
            "ALTER TABLE t RENAME CONSTRAINT a TO b",
            "1: error: `ALTER TABLE t RENAME CONSTRAINT a TO b` renames no column\n",
        ),
        (
            "ALTER TABLE t ALTER a TYPE int,\nADD COLUMN c int",
            "2: error: `ADD COLUMN c int` neither renames a column nor changes its type\n",
        ),
        (
            "ALTER TABLE t ALTER a TYPE int, ALTER b SET NOT NULL",
            "1: error: `ALTER b SET NOT NULL` neither renames a column nor changes its type\n",
        ),
        (
            "ALTER TABLE t ALTER a SET DEFAULT 1, ALTER b TYPE int",
            "1: error: the default of column a changes, and not its type\n",
        ),
        (
            "ALTER TABLE t ALTER a TYPE int; ALTER TABLE t ALTER a TYPE bigint",
            "1: error: the type of column a changes a second time\n",
        ),
        (
            "ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME a TO c",
            "1: error: there is no column a any more: the file has renamed it\n",
        ),
        (
            "ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME b TO a",
            "1: error: the file leaves every column as it was\n",
        ),
        (
            "ALTER TABLE t RENAME a TO b;\nALTER TABLE u RENAME a TO b",
            "2: error: u is another table: the file changes t, u, and a plan is about one\n",
        ),
        (
            "ALTER TABLE a.t RENAME a TO b;\nALTER TABLE b.t RENAME a TO b",
            "2: error: b.t is another table: the file changes a.t, b.t, and a plan is about one\n",
        ),
        (
            "ALTER TABLE t RENAME a TO b;\nSET search_path = app",
            "2: error: `SET search_path = app` neither renames a column nor changes its type\n",
        ),
        ("DO $$ BEGIN ALTER TABLE t RENAME a TO b; END $$", "1: error: what a block of code does cannot be read\n"),
        (
            "ALTER TABLE t RENAME a TO b;\n\\c other",
            "2: error: `\\ c other` neither renames a column nor changes its type\n",
        ),
        (
            "ALTER TABLE ${schema}.t RENAME a TO b",
            "1: error: `${` begins a placeholder, whose value is not in the file\n",
        ),
        ("ALTER TABLE t RENAME a b", "1: error: expected TO, found `b`\n"),
        ("ALTER TABLE t RENAME a TO", "1: error: expected a name, found the end of the statement\n"),
        ("ALTER TABLE t RENAME a TO b c", "1: error: expected the end of the statement, found `c`\n"),
        ("ALTER TABLE t ALTER a TYPE", "1: error: expected a type, found the end of the statement\n"),
        ("ALTER TABLE", "1: error: expected a name, found the end of the statement\n"),
        ("ALTER TABLE t", "1: error: `ALTER TABLE t` neither renames a column nor changes its type\n"),
        (
            "ALTER TABLE t RENAME a TO b;\nSELECT 'x",
            "2: error: what is opened here, a literal, a quoted name or a comment, is not closed before the end\n",
        ),
        (
            "/* /* */ ALTER TABLE t RENAME a TO b",
            "1: error: what is opened here, a literal, a quoted name or a comment, is not closed before the end\n",
        ),
        ("ALTER TABLE t ALTER a TYPE numeric(1, 2", "1: error: this bracket has no other\n"),
        ("ALTER TABLE t ALTER a TYPE int USING (a]", "1: error: this bracket has no other\n"),
        ("BEGIN; ALTER TABLE t RENAME a TO b; ROLLBACK", "1: error: the file rolls back its transaction\n"),
    ] {
        assert_eq!(sql(text), expected, "{text}");
    }
    assert!(said("plan.xml", "").contains("the file's name does not tell what reads it"));
    // Of thousands, the first are told.
    let many = read("a.sql", &"VACUUM;\n".repeat(5000), &[], "").unwrap_err();
    assert_eq!(many.len(), TOLD);
    assert!(many.last().unwrap().help.ends_with("There are 4980 more such lines"), "{many:?}");
}

#[test]
fn one_of_several_tables_is_taken() {
    let text = "ALTER TABLE app.t RENAME a TO b;\nALTER TABLE u RENAME a TO b;";
    let only = |schema: Option<&str>, name: &str| {
        said_in("a.sql", text, &[], Some(Named { schema: schema.map(str::to_owned), name: name.to_owned() }))
    };
    assert_eq!(only(None, "t"), "1: app.t.a -> b\nnote 2: left out, because it is about u\n");
    assert_eq!(only(Some("x"), "u"), "2: x.u.a -> b\nnote 1: left out, because it is about app.t\n");
    assert_eq!(only(Some("x"), "t"), "1: error: the file changes app.t, and not x.t\n");
}

#[test]
fn alembic_alters_columns() {
    assert_snapshot!(upgrade(
        r#"# ### commands auto generated by Alembic - please adjust! ###
"""What it does."""
op.alter_column("vehicles", "status", new_column_name="vehicle_status", existing_type=sa.String(length=20), existing_nullable=False)
op.alter_column(
    'vehicles', 'odometer',  # in km; it's text
    existing_type=sa.TEXT(),
    type_=sa.Integer(),
    postgresql_using="CASE WHEN odometer ~ '^[0-9]+$' "
    "THEN odometer::integer END",
    server_default=sa.text("0"),
    schema=None,
)
with op.batch_alter_table("vehicles", schema=None) as batch_op:
    batch_op.alter_column("price", type_=sa.Numeric(precision=12, scale=2), new_column_name="amount")
op.execute("ALTER TABLE vehicles RENAME COLUMN a TO b")
op.execute(sa.text("""
    ALTER TABLE vehicles
      ALTER COLUMN c TYPE jsonb USING c::jsonb;
"""))
# ### end Alembic commands ###"#
    ), @r"
    7: vehicles.status -> vehicle_status
    8: vehicles.odometer : integer using CASE WHEN odometer ~ '^[0-9]+$' THEN odometer::integer END default 0
    18: vehicles.price -> amount : numeric(12, 2)
    19: vehicles.a -> b
    22: vehicles.c : jsonb by a cast
    ");
    for (class, of_type) in [
        ("sa.String(50)", "varchar(50)"),
        ("sa.DateTime(timezone=True)", "timestamp with time zone"),
        ("sa.DateTime()", "timestamp"),
        ("postgresql.UUID(as_uuid=True)", "uuid"),
        ("postgresql.JSONB(astext_type=sa.Text())", "jsonb"),
        ("sa.ARRAY(sa.String(3))", "varchar(3)[]"),
        ("sa.Enum('a', 'b', name='mood')", "mood"),
        ("postgresql.ENUM('a', name='Mood', schema='app', create_type=False)", "app.\"Mood\""),
        ("sa.BigInteger", "bigint"),
    ] {
        let text = upgrade(&format!("op.alter_column('t', 'a', schema='app', type_={class})"));
        assert_eq!(text, format!("5: app.t.a : {of_type}\n"), "{class}");
    }
}

#[test]
fn what_only_the_program_knows_is_refused() {
    assert_snapshot!(upgrade(
        r#"op.add_column("t", sa.Column("x", sa.Integer()))
op.alter_column(TABLE, "a", new_column_name="b")
op.alter_column("t", f"a{n}", new_column_name="b")
op.alter_column("t", "a", nullable=False)
op.alter_column("t", "a", type_=MyType())
op.alter_column("t", "a", type_=sa.String(N))
op.execute("UPDATE %s" % table)
op.execute("ALTER TABLE t RENAME a TO b; VACUUM t")
for name in names:
    op.alter_column("t", name, new_column_name="x_" + name)
if context.is_offline_mode(): pass
op.alter_column("t", "a", type_=sa.Enum("a", native_enum=False, name="x"))
rename("t", "a", "b")"#
    ), @r"
    5: error: `op.add_column('t', sa.Column('x', sa.Integer()))` neither renames a column nor changes its type
    6: error: `table_name` is `TABLE`, which only the program knows
    7: error: `column_name` is `'...'`, which only the program knows
    8: error: `nullable=` changes something other than the name and the type of the column a
    9: error: which type of PostgreSQL `MyType()` is cannot be told from the file
    10: error: which type of PostgreSQL `sa.String(N)` is cannot be told from the file
    11: error: the text of the statement is computed
    12: error: `VACUUM t` neither renames a column nor changes its type
    13: error: `for name in names:` neither renames a column nor changes its type
    14: error: `column_name` is `name`, which only the program knows
    15: error: `if context.is_offline_mode():pass` neither renames a column nor changes its type
    16: error: which type of PostgreSQL `sa.Enum('a', native_enum=False, name='x')` is cannot be told from the file
    17: error: `rename('t', 'a', 'b')` neither renames a column nor changes its type
    ");
    let two = "def upgrade(): pass\ndef upgrade(): pass\n";
    assert_eq!(said("a.py", two), "2: error: the file has 2 functions `upgrade`, and one is read\n");
    assert_eq!(said("a.py", "x = 1"), "1: error: the file has 0 functions `upgrade`, and one is read\n");
    assert!(
        said("a.py", "def upgrade():\n    op.execute('it")
            .contains("2: error: the string that begins here is not closed")
    );
}

const INITIAL: &str = r#"
class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(name="Vehicle", fields=[
            ("status", models.CharField(max_length=20)),
            ("odometer", models.TextField(null=True, help_text="km")),
            ("owner", models.ForeignKey(on_delete=models.CASCADE, to="fleet.owner")),
            ("plate", models.TextField(db_column="license")),
        ]),
        migrations.CreateModel(name="Trip", fields=[("a", models.TextField())], options={"db_table": "trips"}),
    ]
"#;

fn django(operations: &str) -> String {
    django_with(operations, &[File { path: "0001_initial.py".to_owned(), text: INITIAL.to_owned() }], None)
}

fn django_with(operations: &str, there: &[File], only: Option<Named>) -> String {
    let text = format!(
        "from django.db import migrations, models\n\nclass Migration(migrations.Migration):\n    dependencies = [(\"fleet\", \"0001_initial\")]\n    operations = [\n{operations}\n    ]\n"
    );
    said_in("0002_x.py", &text, there, only)
}

#[test]
fn django_knows_its_tables_from_the_migrations_before() {
    assert_snapshot!(django(
        r#"migrations.RenameField(model_name="vehicle", old_name="status", new_name="state"),
migrations.AlterField("Vehicle", "odometer", models.IntegerField(null=True, default=0)),
migrations.RenameField("vehicle", "owner", "holder"),
migrations.AlterField("vehicle", "plate", models.CharField("Plate", max_length=9, db_column="license")),
migrations.RenameField("vehicle", "plate", "sign"),
migrations.AlterField("vehicle", "state", models.CharField(max_length=40)),
migrations.AlterField("vehicle", "sign", field=models.TextField(db_column="license", help_text="new")),
migrations.SeparateDatabaseAndState(
    database_operations=[migrations.RunSQL("ALTER TABLE fleet_vehicle RENAME x TO y", reverse_sql="")],
    state_operations=[migrations.RenameField("vehicle", "x", "y")],
),"#
    ), @r"
    6: fleet_vehicle.status -> state : varchar(40)
    7: fleet_vehicle.odometer : integer by a cast
    8: fleet_vehicle.owner_id -> holder_id
    9: fleet_vehicle.license : varchar(9) by a cast
    14: fleet_vehicle.x -> y
    note 10: the field plate gets another name, and its column license keeps its own
    note 12: the change of the field sign changes nothing in the database
    ");
    assert_eq!(django("migrations.RenameField('trip', 'a', 'b')"), "6: trips.a -> b\n");
    assert_snapshot!(django(
        r#"migrations.AlterField("vehicle", "odometer", models.IntegerField()),
migrations.AlterField("vehicle", "status", models.TextField(unique=True)),
migrations.AlterField("vehicle", "status", models.SlugField()),
migrations.AlterField("vehicle", "owner", models.IntegerField()),
migrations.AddField("vehicle", "x", models.TextField()),
migrations.RunPython(forwards),
migrations.RunSQL([("UPDATE t SET a = %s", [1])]),
migrations.RenameModel("Vehicle", "Car"),"#
    ), @r"
    6: error: the field odometer changes `null`, and not its type alone
    7: error: the field status changes `unique`, and not its type alone
    8: error: which type of PostgreSQL `models.SlugField()` has cannot be told
    9: error: which type of PostgreSQL the field owner had, models.ForeignKey, cannot be told
    10: error: `migrations.AddField('vehicle', 'x', models.TextField())` neither renames a column nor changes its type
    11: error: `migrations.RunPython(forwards)` neither renames a column nor changes its type
    12: error: the text of the statement is computed
    13: error: `migrations.RenameModel('Vehicle', 'Car')` neither renames a column nor changes its type
    ");
    // Where nothing tells the table, an option does.
    let rename =
        "migrations.RenameField('car', 'a', 'b'), migrations.AlterField('car', 'c', models.UUIDField(unique=True))";
    assert_eq!(
        django_with(rename, &[], None),
        "6: error: no migration in the directory tells the table of the model car\n"
    );
    let only = Some(Named { schema: None, name: "cars".to_owned() });
    assert_snapshot!(django_with(rename, &[], only), @r"
    6: cars.a -> b
    6: cars.c : uuid by a cast
    note 6: the field a is taken to be in the column a: no migration before tells
    note 6: no migration before tells what the field c was, nor whether unique changes too; its column is taken to be c
    ");
}

#[test]
fn rails_changes_columns() {
    assert_snapshot!(change(
        r#"# a comment, it's one
rename_column :vehicles, :status, :vehicle_status
safety_assured do
  change_column "vehicles", "odometer", :integer, limit: 8, using: "odometer::bigint", default: 0
end
change_table :vehicles, bulk: true do |t|
  t.rename :a, :b
end
safety_assured { rename_column(:vehicles, :c, :d) }
reversible do |dir|
  dir.up { change_column :vehicles, :price, :decimal, precision: 12, scale: 2 }
  dir.down { change_column :vehicles, :price, :text if true }
end
change_column :vehicles,
              :at,
              :datetime
execute <<~SQL
  ALTER TABLE vehicles
    RENAME e TO f;
SQL"#
    ), @r"
    4: vehicles.status -> vehicle_status
    6: vehicles.odometer : bigint by a cast default 0
    9: vehicles.a -> b
    11: vehicles.c -> d
    13: vehicles.price : numeric(12, 2)
    16: vehicles.at : timestamp(6)
    20: vehicles.e -> f
    note 16: a datetime is taken for timestamp without time zone; where the application sets `datetime_type`, change `to`
    ");
    assert_snapshot!(change(
        r#"add_column :t, :x, :integer
rename_column TABLE, :a, :b
rename_column :t, "a#{n}", :b
change_column :t, :a, :integer, null: false
change_column :t, :a, :primary_key
change_column :t, :a, :string, limit: N
rename_column :t, :a, :b if true
%w[a b].each do |name|
  rename_column :t, name, "x_" + name
end
if x
  rename_column :t, :a, :b
end
execute "UPDATE t SET a = #{x}"
rename_table :t, :u
revert { rename_column :t, :a, :b }"#
    ), @r"
    3: error: `add_column 't', 'x', 'integer'` neither renames a column nor changes its type
    4: error: `table_name` is `TABLE`, which only the program knows
    5: error: `column_name` is `'...'`, which only the program knows
    6: error: `null:` changes something other than the name and the type of the column
    7: error: which type of PostgreSQL primary_key is cannot be told
    8: error: which type of PostgreSQL string with the limit `N` is cannot be told
    9: error: `new_column_name` is `'b' if true`, which only the program knows
    10: error: what the block of `%w[a b].each` does is not read
    13: error: `if x` neither renames a column nor changes its type
    16: error: the text of the statement is computed
    17: error: `rename_table 't', 'u'` neither renames a column nor changes its type
    18: error: what the block of `revert` does is not read
    ");
    let both = "class X < ActiveRecord::Migration[6.1]\n  def up\n    change_column :t, :a, :datetime\n  end\n\n  def down\n    drop_table :t\n  end\nend\n";
    assert!(said("a.rb", both).starts_with("3: t.a : timestamp\n"), "{}", said("a.rb", both));
    assert_eq!(
        said("a.rb", "def change\n rename_column :t, :a, :b\n"),
        "1: error: the method that begins here has no `end`\n"
    );
}

/// Files that nobody would write, as large as they come: an answer each time, and no panic.
#[test]
fn hostile_files_are_refused() {
    for part in [
        "(",
        "[",
        "{",
        "'",
        "\"",
        "$",
        "$a$",
        "/*",
        "--",
        "#",
        "ALTER TABLE t RENAME a TO b,",
        "a.",
        "<<~A\n",
        ":",
        "\\\n",
        "do ",
        "def upgrade():\n",
        "é",
    ] {
        let text = part.repeat((1 << 15) / part.len());
        for name in ["a.sql", "a.py", "a.rb"] {
            let inside = match name {
                "a.py" => format!("def upgrade():\n  op.alter_column({text}"),
                "a.rb" => format!("def change\n  rename_column({text}"),
                _ => format!("ALTER TABLE t ALTER a TYPE {text}"),
            };
            for text in [&text, &inside] {
                let result = read(name, text, &[], "").and_then(|migration| migration.wishes(None));
                assert!(result.is_err() || name == "a.sql", "{name}: {part}");
            }
        }
    }
    // Thousands of changes, and one in thousands of brackets.
    let many = "ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME b TO a;\n".repeat(2_000);
    let message = &read("a.sql", &many, &[], "").unwrap().wishes(None).unwrap_err()[0].message;
    assert!(message.contains("2001"), "{message}");
    let (open, close) = ("(".repeat(50_000), ")".repeat(50_000));
    let nested = read("a.sql", &format!("ALTER TABLE t ALTER a TYPE int USING {open}a{close}"), &[], "").unwrap();
    assert!(nested.wishes(None).is_ok());
    let deep = format!(
        "class Migration(migrations.Migration):\n  operations = [{}",
        "SeparateDatabaseAndState([".repeat(20_000)
    );
    assert!(read("a.py", &deep, &[], "").is_err());
}

proptest! {
    #[test]
    fn any_text_has_an_answer(text in "(?s).{0,200}", name in prop::sample::select(vec!["a.sql", "a.py", "a.rb"])) {
        let _ = read(name, &text, &[], "");
        let _ = read(name, &format!("def upgrade():\n  op.alter_column({text}"), &[], "");
        let _ = read(name, &format!("def change\n  rename_column {text}\nend"), &[], "");
        let _ = read(name, &format!("ALTER TABLE t ALTER a TYPE {text}"), &[], "");
    }

    /// Names and expressions are what they were, however a file writes them.
    #[test]
    fn names_come_back(table in "[^\\x00$]{1,9}", from in "[^\\x00$]{1,9}", to in "[^\\x00$]{1,9}") {
        prop_assume!(from != to);
        let quoted = crate::sql::quote_ident;
        let text = format!("ALTER TABLE {} RENAME {} TO {}", quoted(&table), quoted(&from), quoted(&to));
        let wishes = read("a.sql", &text, &[], "").unwrap().wishes(None).unwrap();
        prop_assert_eq!((&wishes.table.name, &wishes.columns[0].column, &wishes.columns[0].name), (&table, &from, &to));
    }
}
