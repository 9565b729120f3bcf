//! The expressions between the two columns: inlined where they cannot raise, behind total functions where they can.

use super::fragment::Stage;
use super::{Active, Context, adopt};

use crate::ident::RunTag;
use crate::names::LedgerSchema;
use crate::run::{Conversion, Fill, FillValue, Pair};
use crate::sql::{dollar_quote, quote_ident};

/// One direction of one change.
pub(super) struct Way<'a> {
    ledger: &'a LedgerSchema,
    tag: &'a RunTag,
    conversion: &'a Conversion,
    /// `f1` forward of the first change, `r1` its reverse.
    suffix: String,
    /// The source column as the plan's expression names it.
    source: &'a str,
    source_base: &'a str,
    source_collate: &'a str,
    target: &'a str,
    target_base: &'a str,
    target_plain_compare: bool,
}

pub(super) fn forward<'a>(context: &'a Context<'_>, a: &'a Active<'_>) -> Way<'a> {
    Way {
        ledger: context.ledger,
        tag: &context.tag,
        conversion: &a.facts.forward,
        suffix: format!("f{}", a.position + 1),
        source: a.change.old.as_str(),
        source_base: &a.facts.old.base_type,
        source_collate: &a.facts.old.collate,
        target: &a.facts.new_type,
        target_base: &a.facts.new_base_type,
        target_plain_compare: a.facts.new_plain_compare,
    }
}

pub(super) fn reverse<'a>(context: &'a Context<'_>, a: &'a Active<'_>) -> Way<'a> {
    Way {
        ledger: context.ledger,
        tag: &context.tag,
        conversion: &a.facts.reverse,
        suffix: format!("r{}", a.position + 1),
        source: a.change.new.as_str(),
        source_base: &a.facts.new_base_type,
        source_collate: &a.facts.new_collate,
        target: &a.facts.old.type_name,
        target_base: &a.facts.old.base_type,
        target_plain_compare: a.facts.old.plain_compare,
    }
}

impl Way<'_> {
    fn function(&self, kind: &str) -> String {
        self.ledger.qualify(&self.tag.helper(kind, &self.suffix))
    }

    /// The converted value; NULL where the conversion raises. For sessions of crossfade only, whose `search_path` it set.
    pub(super) fn value(&self, source: &str) -> String {
        match self.conversion {
            Conversion::Identity => source.to_owned(),
            Conversion::InfallibleCast => format!("CAST({source} AS {})", self.target_base),
            Conversion::Expression { .. } => format!("{}({source})", self.function("try")),
            Conversion::None => format!("CAST(NULL AS {})", self.target_base),
        }
    }

    /// The converted value; raises where the conversion does. For sessions of crossfade only.
    pub(super) fn strict_value(&self, source: &str) -> String {
        match self.conversion {
            Conversion::Expression { .. } => format!("{}({source})", self.function("raw")),
            _ => self.value(source),
        }
    }

    /// The converted value in the body of a trigger's function, where a type may have another meaning: no name but those of
    /// our own functions. `strict` raises where the conversion does.
    pub(super) fn value_in_trigger(&self, source: &str, strict: bool) -> String {
        match self.conversion {
            Conversion::Identity => source.to_owned(),
            Conversion::None => "NULL".to_owned(),
            Conversion::Expression { .. } if !strict => format!("{}({source})", self.function("try")),
            Conversion::InfallibleCast | Conversion::Expression { .. } => {
                format!("{}({source})", self.function("raw"))
            }
        }
    }

    /// Whether `target` is the converted value of `source`, in the body of a trigger's function.
    pub(super) fn same_in_trigger(&self, target: &str, source: &str) -> String {
        let value = self.value_in_trigger(source, false);
        match self.conversion {
            Conversion::None => format!("{target} IS NOT DISTINCT FROM NULL"),
            // Neither gives NULL for a value, nor a value for NULL.
            Conversion::Identity | Conversion::InfallibleCast => {
                same_in_trigger(self.target_plain_compare, (target, target), (&value, source))
            }
            Conversion::Expression { .. } => format!("pg_catalog.record_image_eq(ROW({target}), ROW({value}))"),
        }
    }

    /// Whether the two sides are the same column but for its name.
    pub(super) fn is_identity(&self) -> bool {
        *self.conversion == Conversion::Identity
    }

    /// Whether the conversion may be written into a condition that whoever writes evaluates.
    pub(super) fn is_built_in(&self) -> bool {
        matches!(self.conversion, Conversion::Identity | Conversion::InfallibleCast)
    }

    /// Whether converting `source` raises; `None` when it cannot.
    pub(super) fn fails(&self, source: &str) -> Option<String> {
        matches!(self.conversion, Conversion::Expression { .. })
            .then(|| format!("{}({source})", self.function("fails")))
    }

    /// Whether `target` is the converted value of `source`, seeing every difference between two values.
    pub(super) fn same(&self, target: &str, source: &str) -> String {
        if self.target_plain_compare {
            format!("({target} IS NOT DISTINCT FROM {})", self.value(source))
        } else {
            self.same_image(target, source)
        }
    }

    /// True of every pair that is not equal, and of few others. It raises where the conversion does, and so needs no
    /// exception block for each row.
    fn suspect(&self, target: &str, source: &str) -> String {
        let same = self.same(target, source);
        if !matches!(self.conversion, Conversion::Expression { .. }) {
            return format!("NOT {same}");
        }
        let strict = self.strict_value(source);
        let strictly_same = if self.target_plain_compare {
            format!("({target} IS NOT DISTINCT FROM {strict})")
        } else {
            format!("pg_catalog.record_image_eq(ROW({target}), ROW(CAST({strict} AS {})))", self.target_base)
        };
        // The second test knows the length limit of the column, which the bare expression does not.
        format!(
            "NOT {strictly_same} AND (NOT {same} OR ({target} IS NOT DISTINCT FROM NULL AND {source} IS DISTINCT FROM NULL))"
        )
    }

    /// The same, whatever operators the `search_path` offers.
    pub(super) fn same_image(&self, target: &str, source: &str) -> String {
        let value = self.value(source);
        // The explicit cast makes both types the same, which an image comparison needs.
        format!("pg_catalog.record_image_eq(ROW({target}), ROW(CAST({value} AS {})))", self.target_base)
    }

    pub(super) fn null_to_null(&self) -> bool {
        self.conversion.null_to_null()
    }

    /// The functions behind a conversion: `raw` holds the expression as a parse tree, so no setting of the session that
    /// calls it matters; `try` gives NULL where the value does not convert, with the assignment cast that an UPDATE would
    /// apply; `fails` tells the two NULLs apart.
    pub(super) fn create(&self) -> Vec<String> {
        let (source, source_base, target_base) = (quote_ident(self.source), self.source_base, self.target_base);
        let (sql, search_path) = match self.conversion {
            Conversion::Identity | Conversion::None => return vec![],
            Conversion::InfallibleCast => (format!("CAST({source} AS {target_base})"), None),
            Conversion::Expression { sql, search_path, .. } => (sql.clone(), search_path.as_deref()),
        };
        // A parameter has its type's own collation; the expression means the column's.
        let value = match self.source_collate {
            "" => format!("({sql})"),
            collate => format!("(SELECT ({sql}) FROM (SELECT {source}{collate} AS {source}) AS crossfade_row)"),
        };
        let raw = self.function("raw");
        let set =
            search_path.map_or_else(String::new, |path| format!(" SET search_path = {}", with_temporary_last(path)));
        let mut statements = vec![format!(
            "CREATE FUNCTION {raw}({source} {source_base}) RETURNS {target_base} IMMUTABLE PARALLEL SAFE LANGUAGE sql{set} RETURN {value}"
        )];
        if !matches!(self.conversion, Conversion::Expression { .. }) {
            return statements;
        }
        let target = of_postgres(self.target);
        let does_not_convert = if self.conversion.calls_others() {
            DOES_NOT_CONVERT.to_owned()
        } else {
            format!("{DOES_NOT_CONVERT} OR {OF_INPUT}")
        };
        for (kind, returns, value, otherwise) in
            [("try", target_base, "converted", "NULL"), ("fails", "boolean", "false", "true")]
        {
            let body = dollar_quote(&format!(
                "DECLARE converted {target}; BEGIN converted := {raw}($1); RETURN {value}; EXCEPTION WHEN {does_not_convert} THEN RETURN {otherwise}; END"
            ));
            statements.push(format!(
                "CREATE FUNCTION {}({source_base}) RETURNS {returns} IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql AS {body}",
                self.function(kind)
            ));
        }
        statements
    }

    /// Drops what [`Way::create`] made.
    pub(super) fn drop(&self) -> Vec<String> {
        let drop = |kind| format!("DROP FUNCTION IF EXISTS {}({})", self.function(kind), self.source_base);
        match self.conversion {
            Conversion::Identity | Conversion::None => vec![],
            Conversion::InfallibleCast => vec![drop("raw")],
            Conversion::Expression { .. } => vec![drop("fails"), drop("try"), drop("raw")],
        }
    }
}

/// The errors that say that a value does not convert; whatever else goes wrong says nothing about the value, and is raised
/// (docs/postgres.md, "Errors that are about the value"). 0A000 is what `numeric 'NaN'` raises on its way to an integer.
const DOES_NOT_CONVERT: &str = "data_exception OR integrity_constraint_violation OR feature_not_supported \
     OR raise_exception OR no_data_found OR too_many_rows OR external_routine_exception";

/// What else says so where every function is PostgreSQL's own or the input function of a type: the text is no `tsquery`, or
/// too much for a `tsvector`. A function of somebody else's that raises this may be broken, for every value.
const OF_INPUT: &str = "syntax_error OR program_limit_exceeded";

/// Returns whether two values are the same, in the body of a trigger's function: `IS DISTINCT FROM` would look for its
/// operator in the `search_path` of whoever writes. Of each side the value, and what is NULL when the value is.
pub(super) fn same_in_trigger(plain: bool, a: (&str, &str), b: (&str, &str)) -> String {
    let ((a, a_null), (b, b_null)) = (a, b);
    if plain {
        format!(
            "COALESCE({a} OPERATOR(pg_catalog.=) {b}, {a_null} IS NOT DISTINCT FROM NULL AND {b_null} IS NOT DISTINCT FROM NULL)"
        )
    } else {
        format!("pg_catalog.record_image_eq(ROW({a}), ROW({b}))")
    }
}

/// Returns a type as `format_type` writes it so that no table of that name can be meant: a bare word is a type of
/// PostgreSQL's, unless it is one of the words of its grammar, which mean nothing else.
pub(super) fn of_postgres(type_name: &str) -> String {
    const GRAMMAR: [&str; 10] =
        ["bigint", "bit", "boolean", "character", "integer", "interval", "numeric", "real", "smallint", "time"];
    let word = type_name.trim_end_matches("[]");
    let bare = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if (bare || word == "\"char\"") && !GRAMMAR.contains(&word) && word != "timestamp" {
        format!("pg_catalog.{type_name}")
    } else {
        type_name.to_owned()
    }
}

/// Temporary tables are types too, and come first unless they are named last.
fn with_temporary_last(path: &str) -> String {
    if path.is_empty() { "pg_catalog, pg_temp".to_owned() } else { format!("{path}, pg_temp") }
}

/// What the check compares for this change.
pub(super) fn pair(context: &Context<'_>, a: &Active<'_>, stage: Stage) -> Pair {
    let (old, new) = a.names(&context.tag, stage);
    let (old, new) = (quote_ident(&old), quote_ident(&new));
    let (t_old, t_new) = (format!("t.{old}"), format!("t.{new}"));
    let (forward, reverse) = (forward(context, a), reverse(context, a));
    let (mut suspect, mut fails) = (forward.suspect(&t_new, &t_old), forward.fails(&t_old));
    // A value that becomes NULL does not convert where the column is NOT NULL.
    if let Some(fails) = fails.as_mut().filter(|_| a.facts.old.not_null) {
        *fails = format!("({fails} OR {} IS NOT DISTINCT FROM NULL)", forward.value(&t_old));
        suspect = format!("({suspect} OR {t_new} IS NOT DISTINCT FROM NULL)");
    }
    Pair {
        same_forward: forward.same(&t_new, &t_old),
        same_reverse: reverse.same(&t_old, &t_new),
        suspect,
        fails,
        forward: forward.value(&t_old),
        reverse: reverse.value(&t_new),
        old,
        new,
    }
}

/// How the backfill fills this change's new column.
pub(super) fn fill(context: &Context<'_>, a: &Active<'_>) -> Fill {
    let forward = forward(context, a);
    let (old, new) = (format!("t.{}", a.change.old.sql()), format!("t.{}", a.change.new.sql()));
    if adopt::overwrites(a) {
        // Every row that the check would find.
        let reverse = reverse(context, a).same(&old, &new);
        let missing = format!("NOT {} AND NOT ({new} IS DISTINCT FROM NULL AND {reverse})", forward.same(&new, &old));
        let total = FillValue { value: forward.value(&old), missing };
        return Fill { column: a.change.new.sql(), total, strict: None };
    }
    let values = |value: String| {
        let mut missing = vec![format!("{new} IS NOT DISTINCT FROM NULL")];
        if forward.null_to_null() {
            missing.push(format!("{old} IS DISTINCT FROM NULL"));
        }
        if forward.fails(&old).is_some() {
            missing.push(format!("{value} IS DISTINCT FROM NULL"));
        }
        FillValue { value, missing: missing.join(" AND ") }
    };
    let strict = forward.fails(&old).is_some().then(|| values(forward.strict_value(&old)));
    Fill { column: a.change.new.sql(), total: values(forward.value(&old)), strict }
}
