//! The expressions between the two columns: inlined where they cannot raise, behind total functions where they can.

use super::fragment::Stage;
use super::{Active, Context};

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

    /// The converted value; NULL where the conversion raises.
    pub(super) fn value(&self, source: &str) -> String {
        match self.conversion {
            Conversion::Identity => source.to_owned(),
            Conversion::InfallibleCast => format!("CAST({source} AS {})", self.target_base),
            Conversion::Expression { .. } => format!("{}({source})", self.function("try")),
            Conversion::None => format!("CAST(NULL AS {})", self.target_base),
        }
    }

    /// The converted value; raises where the conversion does.
    pub(super) fn strict_value(&self, source: &str) -> String {
        match self.conversion {
            Conversion::Expression { .. } => format!("{}({source})", self.function("raw")),
            _ => self.value(source),
        }
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
        format!("NOT {strictly_same} AND (NOT {same} OR ({target} IS NULL AND {source} IS NOT NULL))")
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

    /// The functions behind a conversion that can raise: `raw` holds the plan's expression as a parse tree (so no
    /// `search_path` matters later), `try` gives NULL where it raises, with the assignment cast that an UPDATE would
    /// apply, and `fails` tells the two NULLs apart.
    pub(super) fn create(&self) -> Vec<String> {
        let Conversion::Expression { sql, .. } = self.conversion else { return vec![] };
        let (raw, try_, fails) = (self.function("raw"), self.function("try"), self.function("fails"));
        let (source, source_base, target, target_base) =
            (quote_ident(self.source), self.source_base, self.target, self.target_base);
        let try_body = dollar_quote(&format!(
            "DECLARE converted {target}; BEGIN converted := {raw}($1); RETURN converted; EXCEPTION WHEN OTHERS THEN RETURN NULL; END"
        ));
        let fails_body = dollar_quote(&format!(
            "DECLARE converted {target}; BEGIN converted := {raw}($1); RETURN false; EXCEPTION WHEN OTHERS THEN RETURN true; END"
        ));
        // A parameter has its type's own collation; the expression means the column's.
        let value = match self.source_collate {
            "" => format!("({sql})"),
            collate => format!("(SELECT ({sql}) FROM (SELECT {source}{collate} AS {source}) AS crossfade_row)"),
        };
        let mut statements = vec![
            format!(
                "CREATE FUNCTION {raw}({source} {source_base}) RETURNS {target_base} IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN {value}"
            ),
            format!(
                "CREATE FUNCTION {try_}({source_base}) RETURNS {target_base} IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql AS {try_body}"
            ),
            format!(
                "CREATE FUNCTION {fails}({source_base}) RETURNS boolean IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql AS {fails_body}"
            ),
        ];
        // Functions called inside a trigger run as the writing user; ALTER DEFAULT PRIVILEGES may have taken this away.
        for function in [&raw, &try_, &fails] {
            statements.push(format!("GRANT EXECUTE ON FUNCTION {function}({source_base}) TO PUBLIC"));
        }
        statements
    }

    /// Drops what [`Way::create`] made.
    pub(super) fn drop(&self) -> Vec<String> {
        if !matches!(self.conversion, Conversion::Expression { .. }) {
            return vec![];
        }
        let drop = |kind| format!("DROP FUNCTION IF EXISTS {}({})", self.function(kind), self.source_base);
        vec![drop("fails"), drop("try"), drop("raw")]
    }
}

/// What the check compares for this change.
pub(super) fn pair(context: &Context<'_>, a: &Active<'_>, stage: Stage) -> Pair {
    let (old, new) = a.names(&context.tag, stage);
    let (old, new) = (quote_ident(&old), quote_ident(&new));
    let (t_old, t_new) = (format!("t.{old}"), format!("t.{new}"));
    let (forward, reverse) = (forward(context, a), reverse(context, a));
    Pair {
        same_forward: forward.same(&t_new, &t_old),
        same_reverse: reverse.same(&t_old, &t_new),
        suspect: forward.suspect(&t_new, &t_old),
        fails: forward.fails(&t_old),
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
    let values = |value: String| {
        let mut missing = vec![format!("{new} IS NULL")];
        if forward.null_to_null() {
            missing.push(format!("{old} IS NOT NULL"));
        }
        if forward.fails(&old).is_some() {
            missing.push(format!("{value} IS NOT NULL"));
        }
        FillValue { value, missing: missing.join(" AND ") }
    };
    let strict = forward.fails(&old).is_some().then(|| values(forward.strict_value(&old)));
    Fill { column: a.change.new.sql(), total: values(forward.value(&old)), strict }
}
