//! The sync trigger: keeps both columns equal, in the row and in the transaction of the write itself.
//!
//! For each pair of columns there are four triggers that fire before any other (their names begin with `!!`, and PostgreSQL
//! fires them in byte order), so that the application's own triggers see the right value whichever column was written:
//!
//! - `insert`: an INSERT, unless both columns have a default and hold it;
//! - `old`: an UPDATE that names the old column, whether it changes it or not: whoever names it still uses it;
//! - `new`: an UPDATE that names the new column and changes it, unless it is the backfill;
//! - `unfilled`: any UPDATE of a row whose new column is not filled yet; it goes when all are.
//!
//! Where the application has BEFORE triggers, another set stands around them: `note` notes what the first left, and `named`
//! and `others`, whose names begin with `~~`, carry over what the application's triggers changed.
//!
//! All call two functions of the run (`sync_function`), which let a write pass where a column is gone. The WHEN clauses name both
//! columns, so neither can be dropped or retyped without CASCADE. They are evaluated with the rights of whoever writes: they use
//! nothing but PostgreSQL's own functions.

use super::conversion::{forward, reverse};
use super::fragment::Stage;
use super::sync_default::{Default, Defaults, asks_whether_filled};
use super::sync_function::{self, Names};
use super::{Active, Context, adopt, generated};
use crate::ident::TableName;
use crate::names::Counters;
use crate::run::Is;
use crate::sql::{dollar_quote, quote_ident, quote_literal};

/// A trigger, the way CREATE TRIGGER writes it.
struct Trigger {
    name: String,
    /// `INSERT`, `UPDATE OF "a"`.
    event: String,
    when: Option<String>,
    function: String,
    arguments: Vec<String>,
}

impl Trigger {
    /// The statements that create it on the table and on each that inherits from it.
    fn create(&self, context: &Context<'_>) -> Vec<String> {
        context.with_children().map(|table| self.create_on(context, table)).collect()
    }

    fn create_on(&self, context: &Context<'_>, table: &TableName) -> String {
        let arguments: Vec<_> = self.arguments.iter().map(|argument| quote_literal(argument)).collect();
        let when = self.when.as_ref().map_or_else(String::new, |when| format!(" WHEN ({when})"));
        format!(
            "CREATE OR REPLACE TRIGGER {} BEFORE {} ON {} FOR EACH ROW{when} EXECUTE FUNCTION {}({})",
            quote_ident(&self.name),
            self.event,
            table.sql(),
            context.ledger.qualify(&self.function),
            arguments.join(", ")
        )
    }
}

/// The triggers that fire before those of the application.
fn first(context: &Context<'_>) -> Vec<Trigger> {
    steady(context).into_iter().chain(filling(context)).collect()
}

fn trigger(context: &Context<'_>, what: &str, event: String, when: Option<String>, arguments: Vec<String>) -> Trigger {
    let (name, function) = (context.tag.first_trigger(what), context.tag.sync_function());
    Trigger { name, event, when, function, arguments }
}

fn arguments(mode: &str, pair: usize) -> Vec<String> {
    vec![mode.to_owned(), pair.to_string()]
}

/// Those that heal rows that are not filled yet. Each UPDATE has to read their conditions, whatever it names.
fn filling(context: &Context<'_>) -> Vec<Trigger> {
    let heals = written(context).map(|(n, a)| {
        let when = Some(unfilled(context, a));
        trigger(context, &format!("{n}_3_unfilled"), "UPDATE".to_owned(), when, arguments("heal", n))
    });
    heals.collect()
}

/// The pairs of which either column can be written, with their numbers.
fn written<'c>(context: &'c Context<'c>) -> impl Iterator<Item = (usize, &'c Active<'c>)> {
    (1..).zip(&context.active).filter(|(_, a)| !generated::is_made(a))
}

/// The trigger that makes the values of a pair that nobody writes: after all others, which may change what they are made of.
fn maker(context: &Context<'_>, n: usize) -> Trigger {
    Trigger {
        name: context.tag.last_trigger(&format!("{n}_make")),
        event: "INSERT OR UPDATE".to_owned(),
        when: None,
        function: context.tag.sync_function(),
        arguments: arguments("make", n),
    }
}

/// Those that are always there.
fn steady(context: &Context<'_>) -> Vec<Trigger> {
    // The server reads a condition anew for each statement, which costs more than a look at two values in the function.
    let given: Option<Vec<_>> = written(context).map(|(_, a)| given(a)).collect();
    let given = given.map(|all| all.join(" OR "));
    let insert = written(context).next().map(|_| trigger(context, "insert", "INSERT".to_owned(), given, vec![]));
    let makers = (1..).zip(&context.active).filter(|(_, a)| generated::is_made(a)).map(|(n, _)| maker(context, n));
    let mut triggers: Vec<_> = insert.into_iter().chain(makers).collect();
    for (n, a) in written(context) {
        let (old, new) = (a.change.old.sql(), a.change.new.sql());
        let written = Some(new_written(context, a));
        triggers.extend([
            trigger(context, &format!("{n}_1_old"), format!("UPDATE OF {old}"), None, arguments("old", n)),
            trigger(context, &format!("{n}_2_new"), format!("UPDATE OF {new}"), written, arguments("new", n)),
        ]);
    }
    triggers
}

/// The trigger that refuses a row without a value in either column, as NOT NULL did: after all others, which may give it one.
fn guard(context: &Context<'_>, n: usize, a: &Active<'_>) -> Trigger {
    let (old, new) = (a.change.old.sql(), a.change.new.sql());
    Trigger {
        name: context.tag.last_trigger(&format!("{n}_z_empty")),
        event: "INSERT OR UPDATE".to_owned(),
        when: Some(format!("NEW.{old} IS NOT DISTINCT FROM NULL AND NEW.{new} IS NOT DISTINCT FROM NULL")),
        function: context.tag.sync_function(),
        arguments: vec!["empty".to_owned(), a.change.old.to_string()],
    }
}

/// Those of all pairs that need one.
fn guards<'c>(context: &'c Context<'_>) -> impl Iterator<Item = Trigger> + 'c {
    let pairs = (1..).zip(&context.active).filter(|(_, a)| a.may_lose_both());
    pairs.map(|(n, a)| guard(context, n, a))
}

/// Returns what makes, and what removes, the trigger that refuses a row without a value in either column of a pair.
pub(super) fn never_empty(context: &Context<'_>, a: &Active<'_>) -> [Vec<String>; 2] {
    let n = (1..).zip(&context.active).find(|(_, other)| other.position == a.position).map_or(1, |(n, _)| n);
    let trigger = guard(context, n, a);
    let create = trigger.create(context);
    [create, drop_each([trigger], context.with_children())]
}

/// The triggers that stand around those of the application.
fn around(context: &Context<'_>) -> Vec<Trigger> {
    let mut triggers = Vec::new();
    for (n, a) in written(context) {
        let (old, new) = (a.change.old.sql(), a.change.new.sql());
        let named = format!("UPDATE OF {old}, {new}");
        let mut add = |name: String, event: &str, when: Option<String>, mode: &str| {
            triggers.push(Trigger {
                name,
                event: event.to_owned(),
                when,
                function: context.tag.around_function(),
                arguments: vec![mode.to_owned(), n.to_string()],
            });
        };
        add(context.tag.first_trigger(&format!("note_{n}")), &format!("INSERT OR {named}"), None, "note");
        add(context.tag.last_trigger(&format!("{n}_named")), &format!("INSERT OR {named}"), None, "named");
        let (old_changed, new_changed) = (changed(a, &old), changed(a, &new));
        // After `named` in the order of names, so this one sees what that one did.
        add(
            context.tag.last_trigger(&format!("{n}_others")),
            "UPDATE",
            Some(format!("{old_changed} OR {new_changed}")),
            "others",
        );
    }
    triggers
}

/// Which of the triggers that fire first are there, before every row is filled or afterwards.
pub(super) fn triggers_are(context: &Context<'_>, filled: bool) -> impl Iterator<Item = Is> {
    let steady = steady(context).into_iter().map(|Trigger { name, .. }| Is::Trigger { name });
    let heals = filling(context).into_iter().map(
        move |Trigger { name, .. }| {
            if filled { Is::NoTrigger { name } } else { Is::Trigger { name } }
        },
    );
    steady.chain(heals)
}

/// The statements that say that every row is filled, or that this is no longer so; each may be repeated.
pub(super) fn say_filled(context: &Context<'_>, is_filled: bool) -> Vec<String> {
    let heals = filling(context).into_iter().flat_map(|trigger| {
        if is_filled { drop_each([trigger], context.with_children()) } else { trigger.create(context) }
    });
    let said = asks_whether_filled(context).then(|| filled(context, is_filled));
    heals.chain(said).collect()
}

/// The statements that put the sync trigger around others; each may be repeated. They need SHARE ROW EXCLUSIVE.
pub(super) fn surround(context: &Context<'_>) -> Vec<String> {
    around(context).iter().flat_map(|trigger| trigger.create(context)).collect()
}

/// Counters, helper functions, the functions of the triggers and the triggers, in the order in which they can be created.
pub(super) fn create(context: &Context<'_>) -> Vec<String> {
    let mut statements = Vec::new();
    for name in Counters::of(&context.tag).all() {
        let sequence = context.ledger.qualify(name);
        // A sequence never makes two writers wait for each other's commit, unlike a row that both would update.
        statements.push(format!("CREATE SEQUENCE {sequence} MINVALUE 0 START 0"));
        statements.push(format!("SELECT pg_catalog.setval({}::pg_catalog.regclass, 0)", quote_literal(&sequence)));
    }
    for a in &context.active {
        statements.extend(forward(context, a).create());
        statements.extend(reverse(context, a).create());
        statements.extend(generated::create(context, a));
        statements.extend(Defaults::helpers(context, a));
    }
    statements.push(there(context));
    if asks_whether_filled(context) {
        statements.push(filled(context, false));
    }
    statements.extend(functions(context, Stage::Soak));
    statements.push(give_to_owner(context));
    statements.extend(first(context).iter().flat_map(|trigger| trigger.create(context)));
    if context.facts.main().other_before_triggers {
        statements.extend(surround(context));
    }
    statements
}

/// The statements that drop triggers from each of these tables, where they are.
fn drop_each<'t>(
    triggers: impl IntoIterator<Item = Trigger>,
    tables: impl Iterator<Item = &'t TableName>,
) -> Vec<String> {
    let tables: Vec<_> = tables.collect();
    let drop = |trigger: &Trigger, table: &TableName| {
        format!("DROP TRIGGER IF EXISTS {} ON {}", quote_ident(&trigger.name), table.sql())
    };
    let of_each = |trigger: Trigger| tables.iter().map(|table| drop(&trigger, table)).collect::<Vec<_>>();
    triggers.into_iter().flat_map(of_each).collect()
}

/// The statements that take the triggers off tables that inherit from the run's no longer, which may be gone, and put them on tables
/// that have begun to, which may have the names of those. `filled_already` says whether the backfill has ended. Only in
/// [`Stage::Soak`]: later the columns have other names.
pub(super) fn of_children(was: &Context<'_>, now: &Context<'_>, filled_already: bool) -> Vec<String> {
    let (before, after) = (&was.facts.main().children, &now.facts.main().children);
    let gone = before.iter().filter(|child| !after.contains(child)).map(|child| &child.table);
    let gone = drop_each(first(was).into_iter().chain(around(was)).chain(guards(was)), gone);
    let heals = if filled_already { vec![] } else { filling(now) };
    let around = if now.facts.main().other_before_triggers { around(now) } else { vec![] };
    let triggers: Vec<_> = steady(now).into_iter().chain(heals).chain(around).chain(guards(now)).collect();
    let come = after.iter().filter(|child| !before.contains(child));
    let come = come.flat_map(|child| triggers.iter().map(|trigger| trigger.create_on(now, &child.table)));
    gone.into_iter().chain(come).collect()
}

/// Drops what [`create`] and [`surround`] made; each statement may be repeated.
pub(super) fn drop(context: &Context<'_>) -> Vec<String> {
    let triggers = first(context).into_iter().chain(around(context)).chain(guards(context));
    let mut statements = vec![take_back(context)];
    statements.extend(drop_each(triggers, context.with_children()));
    let filled = asks_whether_filled(context).then(|| context.tag.filled_function());
    for function in [context.tag.sync_function(), context.tag.around_function()].into_iter().chain(filled) {
        statements.push(format!("DROP FUNCTION IF EXISTS {}()", context.ledger.qualify(&function)));
    }
    statements.push(format!(
        "DROP FUNCTION IF EXISTS {}(oid, text[])",
        context.ledger.qualify(&context.tag.there_function())
    ));
    for a in &context.active {
        statements.extend(forward(context, a).drop());
        statements.extend(reverse(context, a).drop());
        statements.extend(generated::drop(context, a));
        statements.extend(Defaults::drop_helpers(context, a));
    }
    for name in Counters::of(&context.tag).all() {
        statements.push(format!("DROP SEQUENCE IF EXISTS {}", context.ledger.qualify(name)));
    }
    statements
}

/// The statements that make of everything that was created for `was` what is right for `now`, under the lock of the table.
/// `filled_already` says whether the backfill has ended.
/// The triggers themselves are adapted in [`Stage::Soak`] only: later their conditions let more through than they must, never
/// less.
pub(super) fn adapted(was: &Context<'_>, now: &Context<'_>, stage: Stage, filled_already: bool) -> Vec<String> {
    let mut statements = Vec::new();
    let helpers = |context: &Context<'_>| -> Vec<String> {
        context.active.iter().flat_map(|a| Defaults::helpers(context, a)).collect()
    };
    if helpers(was) != helpers(now) {
        statements.extend(was.active.iter().flat_map(|a| Defaults::drop_helpers(was, a)));
        statements.extend(helpers(now));
    }
    let (asked, asks) = (asks_whether_filled(was), asks_whether_filled(now));
    if asks && !asked {
        statements.push(filled(now, filled_already));
    }
    let before = functions(was, stage);
    statements.extend(functions(now, stage).into_iter().filter(|function| !before.contains(function)));
    if asked && !asks {
        statements.push(format!("DROP FUNCTION IF EXISTS {}()", now.ledger.qualify(&now.tag.filled_function())));
    }
    if !statements.is_empty() {
        statements.push(give_to_owner(now));
    }
    if stage == Stage::Soak {
        let there = |context: &Context<'_>| {
            let heals = if filled_already { vec![] } else { filling(context) };
            steady(context).into_iter().chain(heals).flat_map(|trigger| trigger.create(context)).collect::<Vec<_>>()
        };
        let before = there(was);
        // Tables that have come have theirs by now.
        let come = of_children(was, now, filled_already);
        let after = there(now).into_iter().filter(|trigger| !come.contains(trigger));
        statements.extend(after.filter(|trigger| !before.contains(trigger)));
    }
    statements
}

/// The statements that create or replace the triggers' functions for the columns' names at `stage`.
///
/// They run with the rights of their owner, who is the table's: whoever writes the table needs no right on anything of
/// crossfade, and cannot advance the counters but by writing. Their bodies qualify every name, operators too, so the path of
/// whoever writes does not matter; but what the checks of a domain call must not be looked for there, and so a path is set where
/// a type is not PostgreSQL's own. Each setting costs a write about as much as the rest of the function.
pub(super) fn functions(context: &Context<'_>, stage: Stage) -> Vec<String> {
    let of_postgres = |name: &String| !name.contains(['.', '"']) || name == "\"char\"";
    let own_types =
        context.active.iter().all(|a| of_postgres(&a.facts.old.base_type) && of_postgres(&a.facts.new_base_type));
    let path = if own_types { "" } else { " SET search_path = pg_catalog, pg_temp" };
    let raises = context.active.iter().any(|a| !a.facts.forward.is_total() || !a.facts.reverse.is_total());
    let function = |name: &str, body: &str| {
        // What a value looks like as text: to a conversion, and where it is noted (docs/postgres.md, "Values as text").
        let as_text = if raises || name == context.tag.around_function() {
            " SET extra_float_digits = 1 SET bytea_output = hex"
        } else {
            ""
        };
        format!(
            "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER{path}{as_text} AS {}",
            context.ledger.qualify(name),
            dollar_quote(body)
        )
    };
    bodies(context, stage).iter().map(|(name, body)| function(name, body)).collect()
}

/// The function that says whether a table has columns of these names now. It is IMMUTABLE so that a session asks once: what it
/// is called with names the table, so the answer goes when the table changes.
fn there(context: &Context<'_>) -> String {
    let name = context.ledger.qualify(&context.tag.there_function());
    let body = "
DECLARE
  named pg_catalog.text;
BEGIN
  FOREACH named IN ARRAY $2 LOOP
    PERFORM pg_catalog.has_column_privilege($1, named, 'SELECT');
  END LOOP;
  RETURN true;
EXCEPTION WHEN undefined_column THEN
  RETURN false;
END
";
    format!("CREATE FUNCTION {name}(oid, text[]) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS {}", dollar_quote(body))
}

/// The statement that says in the database whether the backfill has ended.
fn filled(context: &Context<'_>, filled: bool) -> String {
    let name = context.ledger.qualify(&context.tag.filled_function());
    format!(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS boolean STABLE LANGUAGE sql AS {}",
        quote_literal(&says(filled))
    )
}

/// That the database says so, where it is asked.
pub(super) fn is_filled(context: &Context<'_>) -> Option<Is> {
    asks_whether_filled(context)
        .then(|| Is::Function { name: context.tag.filled_function(), sha256: crate::ident::sha256_hex(&says(true)) })
}

fn says(filled: bool) -> String {
    format!("SELECT {filled}")
}

fn bodies(context: &Context<'_>, stage: Stage) -> [(String, String); 2] {
    [
        (context.tag.sync_function(), sync_function::sync(context, stage)),
        (context.tag.around_function(), sync_function::around(context, stage)),
    ]
}

/// That the functions are those for `stage`, untouched.
pub(super) fn functions_are(context: &Context<'_>, stage: Stage) -> impl Iterator<Item = Is> {
    let bodies = bodies(context, stage).into_iter();
    bodies.map(|(name, body)| Is::Function { name, sha256: crate::ident::sha256_hex(&body) })
}

/// The comment of a function whose owner was granted USAGE of the ledger's schema for it.
const LENT: &str = "Its owner was granted USAGE of this schema for as long as there is such a function.";

/// Makes the table's owner the owner of the functions, and nobody else may use them: attached to a table of his own,
/// anybody could advance the counters with them. Where the owner has no right of his own on the ledger's schema, what he is
/// granted goes when the last of his runs ends, see [`take_back`].
///
/// The owner gets no right to create objects in the ledger's schema, but a server asks for one at this moment, if it is not
/// a superuser who hands the functions over; the lock keeps two runs from changing the schema's rights at once.
fn give_to_owner(context: &Context<'_>) -> String {
    let schema = quote_ident(context.ledger.as_str());
    let (schema_name, table) = (quote_literal(context.ledger.as_str()), quote_literal(&context.table().sql()));
    let tag = quote_literal(&format!("_{}", context.tag));
    let sequences: Vec<_> = Counters::of(&context.tag).all().iter().map(|name| context.ledger.qualify(name)).collect();
    let grant = format!("GRANT SELECT, UPDATE ON SEQUENCE {} TO %I", sequences.join(", "));
    let body = format!(
        "
DECLARE
  owner pg_catalog.name := (SELECT pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class AS c WHERE c.oid = {table}::pg_catalog.regclass);
  given boolean := owner <> CURRENT_USER;
  usable boolean := EXISTS (SELECT FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
    WHERE n.oid = {schema_name}::pg_catalog.regnamespace AND a.grantee = owner::pg_catalog.regrole AND a.privilege_type = 'USAGE');
  lent boolean := given AND NOT pg_catalog.has_schema_privilege(owner, {schema_name}, 'CREATE')
    AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = CURRENT_USER);
  own record;
BEGIN
  IF given THEN
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('crossfade.rights'));
    IF NOT usable OR EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = {schema_name}::pg_catalog.regnamespace
        AND p.proowner = owner::pg_catalog.regrole AND pg_catalog.obj_description(p.oid, 'pg_proc') = {said}) THEN
      COMMENT ON FUNCTION {function}() IS {said};
    END IF;
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA {schema} TO %I', owner);
    EXECUTE pg_catalog.format({}, owner);
  END IF;
  IF lent THEN EXECUTE pg_catalog.format('GRANT CREATE ON SCHEMA {schema} TO %I', owner); END IF;
  FOR own IN
    SELECT p.oid::pg_catalog.regprocedure AS signature FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = {schema_name}::pg_catalog.regnamespace AND pg_catalog.strpos(p.proname, {tag}) > 0
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', own.signature);
    IF given THEN EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO %I', own.signature, owner); END IF;
  END LOOP;
  IF lent THEN EXECUTE pg_catalog.format('REVOKE CREATE ON SCHEMA {schema} FROM %I', owner); END IF;
END
",
        quote_literal(&grant),
        function = context.ledger.qualify(&context.tag.sync_function()),
        said = quote_literal(LENT),
    );
    format!("DO {}", dollar_quote(&body))
}

/// Takes back what [`give_to_owner`] granted on the ledger's schema, unless the owner needs it for another run.
pub(super) fn take_back(context: &Context<'_>) -> String {
    let schema = quote_ident(context.ledger.as_str());
    let function = quote_literal(&format!("{}()", context.ledger.qualify(&context.tag.sync_function())));
    let body = format!(
        "
DECLARE
  own record;
BEGIN
  SELECT p.oid, p.proowner, p.pronamespace INTO own FROM pg_catalog.pg_proc AS p
  WHERE p.oid = pg_catalog.to_regprocedure({function}) AND pg_catalog.obj_description(p.oid, 'pg_proc') = {said};
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('crossfade.rights'));
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = own.pronamespace AND p.proowner = own.proowner
      AND p.oid <> own.oid AND pg_catalog.obj_description(p.oid, 'pg_proc') = {said}) THEN
    EXECUTE pg_catalog.format('REVOKE USAGE ON SCHEMA {schema} FROM %I', pg_catalog.pg_get_userbyid(own.proowner));
  END IF;
END
",
        said = quote_literal(LENT),
    );
    format!("DO {}", dollar_quote(&body))
}

/// True of every row. It names both columns.
fn depends_on(a: &Active<'_>) -> String {
    let (old, new) = (a.change.old.sql(), a.change.new.sql());
    format!("NEW.{old} IS NOT DISTINCT FROM NULL OR NEW.{old} IS DISTINCT FROM NULL OR NEW.{new} IS DISTINCT FROM NULL")
}

/// True of an INSERT for which there is something to do: unless both columns hold the default. Not asked where there is none.
fn given(a: &Active<'_>) -> Option<String> {
    let defaults = Defaults::at(a, Stage::Soak);
    match (&defaults.old, &defaults.new) {
        (Default::Is(old), Default::Is(new)) if defaults.asks_whether_filled() => Some(format!(
            "{} OR {}",
            old.differs(&format!("NEW.{}", a.change.old.sql())),
            new.differs(&format!("NEW.{}", a.change.new.sql()))
        )),
        _ => None,
    }
}

/// Whether the statement changed the column, in a WHEN clause.
fn changed(a: &Active<'_>, column: &str) -> String {
    let plain = if *column == a.change.old.sql() { a.facts.old.plain_compare } else { a.facts.new_plain_compare };
    if plain {
        format!("NEW.{column} IS DISTINCT FROM OLD.{column}")
    } else {
        format!("pg_catalog.record_image_ne(ROW(NEW.{column}), ROW(OLD.{column}))")
    }
}

/// True where a statement that names the new column changed that column alone, except by filling it with what it should be:
/// that is the backfill, which therefore never enters PL/pgSQL. A conversion that may call functions of others is not asked
/// here.
///
/// True as well where the statement wrote NULL to a column that is not filled yet: nothing changes, and still it is a write.
/// If it had also named the old column, the trigger `old` would have filled the row just now.
fn new_written(context: &Context<'_>, a: &Active<'_>) -> String {
    let (old, new) = (a.change.old.sql(), a.change.new.sql());
    let forward = forward(context, a);
    let overwrites = adopt::overwrites(a);
    let differs = forward.is_built_in().then(|| {
        let same = forward.same(&format!("NEW.{new}"), &format!("NEW.{old}"));
        format!("NOT {same}")
    });
    let not_by_backfill = match &differs {
        Some(differs) if overwrites => format!(" AND {differs}"),
        Some(differs) => format!(" AND (OLD.{new} IS DISTINCT FROM NULL OR {differs})"),
        None => String::new(),
    };
    let mut written = format!("{} AND NOT ({}){not_by_backfill}", changed(a, &new), changed(a, &old));
    // Where NULL is not allowed, nobody means it.
    if !a.facts.old.not_null {
        written = format!(
            "({written}) OR (NEW.{new} IS NOT DISTINCT FROM NULL AND OLD.{new} IS NOT DISTINCT FROM NULL AND NEW.{old} IS DISTINCT FROM NULL)"
        );
    }
    if !overwrites {
        return written;
    }
    // What is there already, and not what the old column converts to: else the healing would take it for left over.
    let differs = differs.map_or_else(String::new, |differs| format!(" AND {differs}"));
    format!("({written}) OR (NEW.{new} IS DISTINCT FROM NULL AND NOT ({}){differs})", changed(a, &old))
}

/// True where the new side is empty and should not be. It looks at no value, so updates of other columns fetch no large
/// one (docs/postgres.md, "Healing").
fn unfilled(context: &Context<'_>, a: &Active<'_>) -> String {
    let names = Names { old: format!("NEW.{}", a.change.old.sql()), new: format!("NEW.{}", a.change.new.sql()) };
    if adopt::overwrites(a) {
        let forward = forward(context, a);
        return if forward.is_built_in() {
            format!("NOT {}", forward.same(&names.new, &names.old))
        } else {
            depends_on(a)
        };
    }
    let unfilled = sync_function::unfilled(&forward(context, a), &names);
    if forward(context, a).null_to_null() { unfilled } else { format!("{unfilled} AND ({})", depends_on(a)) }
}
