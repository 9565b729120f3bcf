//! The bodies of the sync trigger's functions: the truth table of a pair.
//!
//! They are texts that PL/pgSQL parses in the session of whoever writes, under its settings and `search_path`, and run with
//! the rights of the table's owner. So every function and operator is qualified, nothing that looks for an operator by
//! itself is used (`IS DISTINCT FROM` a value, IN, CASE with a value, BETWEEN), and what has types or literals of the
//! application in it is behind functions with parsed bodies. Changes are seen by image (docs/postgres.md, "Values that are
//! equal but not the same").

use std::fmt::Write as _;

use super::conversion::{Way, forward, reverse, same_in_trigger};
use super::first_write::UNCOUNTED;
use super::fragment::Stage;
use super::sync_default::{Default, Defaults, Side, beside_text, carrier};
use super::{Active, Context, adopt, generated};
use crate::names::Counters;
use crate::plan::{OnConflict, OnError};
use crate::run::IdentityColumn;
use crate::sql::{quote_ident, quote_literal};

/// The fields of a row, `NEW."old"` and `NEW."new"`.
pub(super) struct Names {
    pub(super) old: String,
    pub(super) new: String,
}

/// True where the new side is empty and should not be.
pub(super) fn unfilled(forward: &Way<'_>, names: &Names) -> String {
    let Names { old, new } = names;
    if forward.null_to_null() {
        format!("{new} IS NOT DISTINCT FROM NULL AND {old} IS DISTINCT FROM NULL")
    } else {
        format!("{new} IS NOT DISTINCT FROM NULL")
    }
}

/// Whether two values of one side of the pair are the same.
fn unchanged(plain: bool, now: &str, before: &str) -> String {
    same_in_trigger(plain, (now, now), (before, before))
}

/// What is written about one pair at one stage.
struct Table<'a> {
    context: &'a Context<'a>,
    a: &'a Active<'a>,
    stage: Stage,
    forward: Way<'a>,
    reverse: Way<'a>,
    /// The columns, not quoted.
    columns: (String, String),
    now: Names,
    before: Names,
}

/// As PostgreSQL says it of the column itself.
const REFUSES_EMPTY: &str = "  IF TG_ARGV[0] OPERATOR(pg_catalog.=) 'empty' THEN
    RAISE EXCEPTION USING ERRCODE = 'not_null_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, COLUMN = TG_ARGV[1],
      MESSAGE = pg_catalog.format('null value in column \"%s\" of relation \"%s\" violates not-null constraint', TG_ARGV[1], TG_TABLE_NAME);
  END IF;
";

/// Returns the body of the function that the first triggers call. Without arguments for an INSERT, else with what happened
/// (`old`, `new` or `heal`) and the number of the pair.
pub(super) fn sync(context: &Context<'_>, stage: Stage) -> String {
    let all: Vec<_> = context.active.iter().map(|a| Table::new(context, a, stage)).collect();
    let (made, tables): (Vec<_>, Vec<_>) = (1..).zip(&all).partition(|(_, table)| generated::is_made(table.a));
    let mut text = String::from(
        "\nDECLARE\n  old_changed boolean; new_changed boolean;\n  wrote_old boolean := false; wrote_new boolean := false; conflict boolean := false;\n  this_second bigint; counted bigint;\nBEGIN\n",
    );
    text.push_str(&unless_there(context, &all));
    if !made.is_empty() {
        text.push_str("  IF TG_ARGV[0] OPERATOR(pg_catalog.=) 'make' THEN\n");
        text.push_str(&each(&made, Table::make));
        text.push_str("    RETURN NEW;\n  END IF;\n");
    }
    if context.active.iter().any(Active::may_lose_both) {
        text.push_str(REFUSES_EMPTY);
    }
    text.push_str("  IF TG_NARGS OPERATOR(pg_catalog.=) 0 THEN\n");
    for (_, table) in &tables {
        text.push_str(&table.counted(table.insert()));
    }
    text.push_str("  ELSE\n");
    text.push_str(&each(&tables, |table| table.counted(table.update())));
    text.push_str("  END IF;\n");
    let counters = Counters::of(&context.tag);
    for (flag, name) in [("wrote_old", &counters.old), ("wrote_new", &counters.new), ("conflict", &counters.conflict)] {
        text.push_str(&count(context, flag, name));
    }
    text.push_str("  RETURN NEW;\nEND\n");
    text
}

/// Returns the body of the function of the triggers that stand around those of the application: `note` before them, `named`
/// and `others` after them. What they change counts as written by them.
///
/// Which side they changed is seen from what they found, of which a hash is kept in a setting of the transaction, one for each
/// depth of triggers, because they may write the same table. Only `named` reads it, which fires for the same statements as
/// `note`: a row that a trigger left out of the statement leaves a note behind that the next such row writes over. A statement
/// that names neither column notes nothing; then what differs from the row before was changed by them. `others` fires for both,
/// and knows by a word of `named` that there is nothing left to do.
pub(super) fn around(context: &Context<'_>, stage: Stage) -> String {
    let all: Vec<_> = context.active.iter().map(|a| Table::new(context, a, stage)).collect();
    let tables: Vec<_> = (1..).zip(&all).filter(|(_, table)| !generated::is_made(table.a)).collect();
    let mut text = String::from(
        "\nDECLARE\n  old_changed boolean := true; new_changed boolean := true;\n  wrote_old boolean := false; wrote_new boolean := false;\n  setting pg_catalog.text; noted pg_catalog.text;\n  this_second bigint; counted bigint;\nBEGIN\n",
    );
    text.push_str(&unless_there(context, &all));
    let _ = writeln!(
        text,
        "  setting := pg_catalog.concat('crossfade.noted_{}_', TG_ARGV[1], '_', pg_catalog.pg_trigger_depth());",
        context.tag
    );
    text.push_str(&each(&tables, |table| table.counted(table.around())));
    let counters = Counters::of(&context.tag);
    text.push_str(&count(context, "wrote_old", &counters.old));
    text.push_str(&count(context, "wrote_new", &counters.new));
    text.push_str("  RETURN NEW;\nEND\n");
    text
}

/// The statements of the pair that the trigger is about, of these with their numbers.
fn each<'a>(tables: &[(usize, &Table<'a>)], of: impl Fn(&Table<'a>) -> String) -> String {
    if let [] | [_] = tables {
        return tables.iter().map(|(_, table)| of(table)).collect();
    }
    let mut text = String::new();
    for (at, (n, table)) in tables.iter().enumerate() {
        let word = if at == 0 { "IF" } else { "ELSIF" };
        let _ = writeln!(text, "  {word} TG_ARGV[1] OPERATOR(pg_catalog.=) '{n}' THEN\n{}", of(table).trim_end());
    }
    text + "  END IF;\n"
}

/// Notes a write: the second in which it happened, and in how many seconds there were any, in one number. At most once a
/// second, so that writers do not disturb each other; `setval` touches neither `lastval()` nor anybody's `currval()`
/// (docs/postgres.md, "Sequences as counters").
fn count(context: &Context<'_>, flag: &str, name: &str) -> String {
    // A trial of crossfade's writes no old column.
    let uncounted = match flag {
        "wrote_new" => format!(
            "\n       AND COALESCE(pg_catalog.current_setting('{UNCOUNTED}', true), '') OPERATOR(pg_catalog.=) ''"
        ),
        _ => String::new(),
    };
    let sequence = format!("{}::pg_catalog.regclass", quote_literal(&context.ledger.qualify(name)));
    let (bits, ones) = (Counters::BITS, (1_u32 << Counters::BITS) - 1);
    // Each expression costs every transaction something, so that the one that all writes come to says everything.
    let second = "pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())";
    format!(
        "  IF {flag} AND (pg_catalog.pg_sequence_last_value({sequence}) OPERATOR(pg_catalog.>>) {bits}) OPERATOR(pg_catalog.<>) CAST({second} AS pg_catalog.int8) THEN
    this_second := {second};
    counted := pg_catalog.pg_sequence_last_value({sequence});
    IF (counted OPERATOR(pg_catalog.>>) {bits}) OPERATOR(pg_catalog.<>) this_second{uncounted} THEN
      counted := pg_catalog.setval({sequence}, (this_second OPERATOR(pg_catalog.<<) {bits}) OPERATOR(pg_catalog.|) ((counted OPERATOR(pg_catalog.+) 1) OPERATOR(pg_catalog.&) {ones}));
    END IF;
  END IF;
"
    )
}

/// Somebody has renamed or dropped a column: the application's write must not fail for it, and passes as it is. The run finds it
/// when it looks at the table next (docs/postgres.md, "Whether the columns are there").
fn unless_there(context: &Context<'_>, tables: &[Table<'_>]) -> String {
    let there = context.ledger.qualify(&context.tag.there_function());
    let of_pair = |table: &Table<'_>| [table.columns.0.clone(), table.columns.1.clone()];
    let read = |table: &Table<'_>| generated::reads(table.a).map(ToOwned::to_owned).collect::<Vec<_>>();
    let names: Vec<_> = tables.iter().flat_map(|table| of_pair(table).into_iter().chain(read(table))).collect();
    let names: Vec<_> = names.iter().map(|name| quote_literal(name)).collect();
    let names = format!("ARRAY[{}]::pg_catalog.text[]", names.join(", "));
    let table = context.table();
    format!(
        "  IF TG_TABLE_NAME OPERATOR(pg_catalog.=) {} AND TG_TABLE_SCHEMA OPERATOR(pg_catalog.=) {} THEN
    IF NOT {there}({}::pg_catalog.regclass, {names}) THEN RETURN NEW; END IF;
  ELSIF NOT {there}(TG_RELID, {names}) THEN
    RETURN NEW;
  END IF;
",
        quote_literal(&table.name),
        quote_literal(&table.schema),
        quote_literal(&table.sql()),
    )
}

impl<'a> Table<'a> {
    fn new(context: &'a Context<'a>, a: &'a Active<'a>, stage: Stage) -> Self {
        let columns = a.names(&context.tag, stage);
        let names = |row: &str| Names {
            old: format!("{row}.{}", quote_ident(&columns.0)),
            new: format!("{row}.{}", quote_ident(&columns.1)),
        };
        Self {
            context,
            a,
            stage,
            forward: forward(context, a),
            reverse: reverse(context, a),
            now: names("NEW"),
            before: names("OLD"),
            columns,
        }
    }

    /// Whether the old column has the new name: then what is written there counts as written under the new name.
    fn counted(&self, text: String) -> String {
        if !(self.a.change.borrows() && self.stage == Stage::Retired) {
            return text;
        }
        text.replace("wrote_old", "wrote_other").replace("wrote_new", "wrote_old").replace("wrote_other", "wrote_new")
    }

    fn make(&self) -> String {
        generated::make(self.context, self.a, &self.now.new)
    }

    fn strict(&self) -> bool {
        self.a.change.on_error == Some(OnError::Reject)
    }

    fn to_new(&self) -> String {
        format!("{} := {};", self.now.new, self.forward.value_in_trigger(&self.now.old, self.strict()))
    }

    fn to_old(&self) -> String {
        if self.a.change.borrows() && self.a.facts.old.identity == Some(IdentityColumn::Always) {
            // As it would be said of the column itself; the statement has named the other one.
            return format!(
                "RAISE EXCEPTION USING ERRCODE = 'generated_always', MESSAGE = {}, DETAIL = {};",
                quote_literal(&format!("cannot write a non-DEFAULT value into column \"{}\"", self.columns.1)),
                quote_literal(&format!(
                    "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
                    self.columns.1
                ))
            );
        }
        format!("{} := {};", self.now.old, self.reverse.value_in_trigger(&self.now.new, self.strict()))
    }

    /// Whether the pair agrees, in one direction or the other (docs/postgres.md, "Both directions count as equal"). A NULL in
    /// the new column stands for nothing that the old one could be made of.
    fn consistent(&self) -> String {
        let Names { old, new } = &self.now;
        let forward = self.forward.same_in_trigger(new, old);
        if self.forward.is_identity() && self.reverse.is_identity() {
            return forward;
        }
        let reverse = self.reverse.same_in_trigger(old, new);
        format!("{forward} OR ({new} IS DISTINCT FROM NULL AND {reverse})")
    }

    /// The new column follows the old one, unless the old one is what the new one converts back to: a repair leaves such a
    /// pair, and the new value may say more. NULL is what is left where there is no way back, and says nothing of that.
    fn follow(&self) -> String {
        if self.forward.is_identity() {
            return self.to_new();
        }
        let (old, consistent, to_new) = (&self.now.old, self.consistent(), self.to_new());
        format!("IF {old} IS NOT DISTINCT FROM NULL OR NOT ({consistent}) THEN {to_new} END IF;")
    }

    fn conflict(&self) -> String {
        match self.a.change.on_conflict {
            OnConflict::NewWins => format!("conflict := true; {}", self.to_old()),
            OnConflict::OldWins => format!("conflict := true; {}", self.to_new()),
            OnConflict::Error => format!(
                "RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = {}, HINT = 'Write one of the two columns, or values that agree.';",
                quote_literal(&format!(
                    "columns \"{}\" and \"{}\" of table {} were set to values that do not agree",
                    self.columns.0,
                    self.columns.1,
                    self.context.table()
                ))
            ),
        }
    }

    /// Two values of an INSERT that do not agree. Where somebody has changed the default of one column since the functions were
    /// made, that is what the column may hold, and the other one was certainly given.
    fn disagree(&self) -> String {
        let (to_new, to_old) = (self.to_new(), self.to_old());
        let facts = self.a.facts;
        let (old_has, new_has) = match carrier(self.a, self.stage) {
            Side::Old => (facts.old.default.is_some(), beside_text(facts).is_some()),
            Side::New => (facts.old.type_default.is_some(), facts.new_default.is_some()),
        };
        // Each partition, and each table that inherits, has defaults of its own, which are younger where it is.
        let main = self.context.facts.main();
        let table = match main {
            _ if main.partitioned => "pg_catalog.pg_partition_root(TG_RELID::pg_catalog.regclass)".to_owned(),
            _ if main.has_members() => main.oid.to_string(),
            _ => "TG_RELID".to_owned(),
        };
        let changed = |column: &str, has: bool| {
            let quoted = quote_literal(column);
            let schema = quote_literal(&quote_ident(self.context.ledger.as_str()));
            let own = quote_literal(&format!("_{}", self.context.tag));
            let found = format!(
                "EXISTS (SELECT FROM pg_catalog.pg_attrdef AS d JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid OPERATOR(pg_catalog.=) d.adrelid AND a.attnum OPERATOR(pg_catalog.=) d.adnum
            WHERE a.attrelid OPERATOR(pg_catalog.=) {table} AND a.attname OPERATOR(pg_catalog.=) {quoted}"
            );
            if has {
                // Each default has a row of its own, whose age is that of the transaction that set it.
                format!(
                    "NOT {found} AND pg_catalog.age(d.xmin) OPERATOR(pg_catalog.>=) (SELECT pg_catalog.min(pg_catalog.age(p.xmin)) FROM pg_catalog.pg_proc AS p
              WHERE p.pronamespace OPERATOR(pg_catalog.=) {schema}::pg_catalog.regnamespace AND pg_catalog.strpos(p.proname, {own}) OPERATOR(pg_catalog.>) 0 AND NOT pg_catalog.starts_with(p.proname, 'filled_')))"
                )
            } else {
                format!("{found})")
            }
        };
        let (old, new) = (&self.columns.0, &self.columns.1);
        format!(
            "IF {} THEN {to_old}
          ELSIF {} THEN {to_new}
          ELSE {} END IF;",
            changed(old, old_has),
            changed(new, new_has),
            self.conflict()
        )
    }

    /// An INSERT: what differs from its default was given. NULL beside a value of the old column was not: that is a row which
    /// was copied before it was filled. So is NULL beside the old column's default, until the backfill has ended.
    fn insert(&self) -> String {
        let defaults = Defaults::at(self.a, self.stage);
        let old_given = defaults.old_given(self.context, self.a, &self.now.old);
        let new_given = defaults.new_given(self.context, self.a, &self.now.new);
        let consistent = self.consistent();
        let (to_new, to_old) = (self.to_new(), self.to_old());
        // What a default gave that differs at each look cannot be told from what a statement gave. Two values that agree were
        // given; of two that do not, the one that was certainly given counts.
        let both = match (&defaults.old, &defaults.new) {
            (Default::Unknown, _) => {
                format!("wrote_new := true;\n        IF {consistent} THEN wrote_old := true; ELSE {to_old} END IF;")
            }
            (_, Default::Unknown) => {
                format!("wrote_old := true;\n        IF {consistent} THEN wrote_new := true; ELSE {to_new} END IF;")
            }
            _ => format!(
                "wrote_old := true; wrote_new := true;\n        IF NOT ({consistent}) THEN\n          {}\n        END IF;",
                self.disagree()
            ),
        };
        let neither = match carrier(self.a, self.stage) {
            _ if defaults.agree() => String::new(),
            Side::Old => format!("    ELSE\n      {to_new}\n"),
            // What has no way back must not be lost in a rollback.
            Side::New => format!("    ELSIF NOT ({consistent}) THEN\n      wrote_new := true; {to_old}\n"),
        };
        // A row that an UPDATE moves to another partition is inserted there with both values, which agree: its UPDATE counted.
        let (unless_moved, end) = if self.context.facts.main().partitioned {
            (format!("    IF NOT ({consistent}) THEN\n"), "    END IF;\n")
        } else {
            (String::new(), "")
        };
        let copied = if defaults.asks_whether_filled() {
            let filled = self.context.ledger.qualify(&self.context.tag.filled_function());
            format!(
                "    ELSIF {} IS NOT DISTINCT FROM NULL AND NOT {filled}() THEN\n      wrote_old := true; {to_new}\n",
                self.now.new
            )
        } else {
            String::new()
        };
        format!(
            "{unless_moved}    IF {old_given} THEN
      IF {new_given} AND {} IS DISTINCT FROM NULL THEN
        {both}
      ELSE
        wrote_old := true; {to_new}
      END IF;
{copied}    ELSIF {new_given} THEN
      wrote_new := true;
      IF NOT ({consistent}) THEN {to_old} END IF;
{neither}    END IF;
{end}",
            self.now.new
        )
    }

    /// An UPDATE: what differs from the row before was written. Whoever names the old column uses it, written or not.
    fn update(&self) -> String {
        let (Names { old, new }, before) = (&self.now, &self.before);
        let facts = self.a.facts;
        let old_same = unchanged(facts.old.plain_compare, old, &before.old);
        let new_same = unchanged(facts.new_plain_compare, new, &before.new);
        let consistent = self.consistent();
        let to_old = self.to_old();
        let follow = self.follow();
        // Healing an old row must not make an unrelated update fail, whatever the plan says of bad writes.
        let heal = format!("{new} := {};", self.forward.value_in_trigger(old, false));
        format!(
            "    old_changed := NOT {old_same};
    new_changed := NOT {new_same};
    IF old_changed THEN
      wrote_old := true;
      IF new_changed THEN
        wrote_new := true;
        IF NOT ({consistent}) THEN {} END IF;
      ELSE
        {follow}
      END IF;
    ELSIF new_changed THEN
      wrote_old := TG_ARGV[0] OPERATOR(pg_catalog.=) 'old';
      IF {consistent} THEN
        -- The backfill's own value, whoever writes it, is no write.
        wrote_new := {} IS DISTINCT FROM NULL;
      ELSE
        wrote_new := true; {to_old}
      END IF;
    ELSIF TG_ARGV[0] OPERATOR(pg_catalog.=) 'new' THEN
      -- NULL, in a row that was not filled. A value that does not convert is not given up for it.
      wrote_new := true;
      IF NOT ({consistent}) THEN {to_old} END IF;
    ELSE
      wrote_old := TG_ARGV[0] OPERATOR(pg_catalog.=) 'old';
      IF {} THEN {heal} END IF;
    END IF;
",
            self.conflict(),
            before.new,
            if adopt::overwrites(self.a) { format!("NOT ({consistent})") } else { unfilled(&self.forward, &self.now) },
        )
    }

    fn around(&self) -> String {
        let (Names { old, new }, before) = (&self.now, &self.before);
        let facts = self.a.facts;
        let hash = |value: &str| {
            format!(
                "COALESCE(CAST(pg_catalog.hashtextextended(CAST({value} AS pg_catalog.text) COLLATE pg_catalog.\"C\", 0) AS pg_catalog.text), '-')"
            )
        };
        let (follow, consistent, to_old) = (self.follow(), self.consistent(), self.to_old());
        let decides = if carrier(self.a, self.stage) == Side::Old { self.to_new() } else { to_old.clone() };
        format!(
            "    IF TG_ARGV[0] OPERATOR(pg_catalog.=) 'note' THEN
      noted := pg_catalog.set_config(setting, pg_catalog.concat({old_hash}, ' ', {new_hash}), true);
      RETURN NEW;
    END IF;
    noted := pg_catalog.current_setting(setting, true);
    IF TG_ARGV[0] OPERATOR(pg_catalog.=) 'others' AND noted OPERATOR(pg_catalog.=) 'carried' THEN
      noted := pg_catalog.set_config(setting, '', true);
      RETURN NEW;
    ELSIF TG_ARGV[0] OPERATOR(pg_catalog.=) 'named' AND noted OPERATOR(pg_catalog.<>) '' THEN
      old_changed := pg_catalog.split_part(noted, ' ', 1) OPERATOR(pg_catalog.<>) {old_hash};
      new_changed := pg_catalog.split_part(noted, ' ', 2) OPERATOR(pg_catalog.<>) {new_hash};
    ELSIF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
      old_changed := NOT {old_same};
      -- What was filled just now was not written.
      new_changed := NOT {new_same} AND ({new_before} IS DISTINCT FROM NULL OR NOT {filled});
    END IF;
    wrote_old := old_changed;
    wrote_new := new_changed;
    IF old_changed AND NOT new_changed THEN
      {follow}
    ELSIF new_changed AND NOT old_changed THEN
      IF NOT ({consistent}) THEN {to_old} END IF;
    ELSIF old_changed THEN
      IF NOT ({consistent}) THEN {decides} END IF;
    END IF;
    IF TG_ARGV[0] OPERATOR(pg_catalog.=) 'named' THEN
      noted := '';
      IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
        IF NOT ({old_same} AND {new_same}) THEN noted := 'carried'; END IF;
      END IF;
      noted := pg_catalog.set_config(setting, noted, true);
    END IF;
",
            old_same = unchanged(facts.old.plain_compare, old, &before.old),
            new_same = unchanged(facts.new_plain_compare, new, &before.new),
            new_before = before.new,
            filled = self.forward.same_in_trigger(new, &before.old),
            old_hash = hash(old),
            new_hash = hash(new),
        )
    }
}
