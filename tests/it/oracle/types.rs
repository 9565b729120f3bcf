//! Types of columns, the values that they get, and the type changes that lose no value.

use crossfade::sql::quote_literal;

/// A type that a random column may have.
#[derive(Debug)]
pub(super) struct Kind {
    /// In SQL; `{s}` is the schema of the case.
    pub(super) name: &'static str,
    /// What can be done with its values, in words: see [`Kind::can`].
    can: &'static str,
    /// Returns the text of the value of a number.
    value: fn(u32) -> String,
}

const fn kind(name: &'static str, can: &'static str, value: fn(u32) -> String) -> Kind {
    Kind { name, can, value }
}

fn day(k: u32) -> String {
    format!("{}-{:02}-{:02}", 2000 + k / 300, k / 25 % 12 + 1, k % 25 + 1)
}

pub(super) const KINDS: &[Kind] = &[
    kind("smallint", "distinct ordered hashed number whole", |k| k.to_string()),
    kind("integer", "distinct ordered hashed number whole", |k| k.to_string()),
    kind("bigint", "distinct ordered hashed number whole", |k| (u64::from(k) * 1_000_003).to_string()),
    kind("numeric(12,3)", "distinct ordered hashed number", |k| format!("{k}.250")),
    kind("numeric", "distinct ordered hashed number", |k| format!("{k}.10")),
    kind("real", "distinct ordered hashed number", |k| format!("{k}.5")),
    kind("double precision", "distinct ordered hashed number", |k| format!("{k}.25")),
    kind("text", "distinct ordered hashed text", |k| format!("x{k} it's")),
    kind("character varying(40)", "distinct ordered hashed text", |k| format!("v{k} ä")),
    kind("character(12)", "distinct ordered hashed text", |k| format!("c{k}")),
    kind("boolean", "ordered hashed truth", |k| (k % 2 == 0).to_string()),
    kind("date", "distinct ordered hashed", day),
    kind("timestamp without time zone", "distinct ordered hashed", |k| format!("{} 12:34:56.789", day(k))),
    kind("timestamp with time zone", "distinct ordered hashed", |k| format!("{} 12:34:56.789+02", day(k))),
    kind("time without time zone", "distinct ordered hashed", |k| {
        format!("{:02}:{:02}:{:02}", k / 3600 % 24, k / 60 % 60, k % 60)
    }),
    kind("interval", "distinct ordered hashed", |k| format!("{k} hours")),
    kind("uuid", "distinct ordered hashed", |k| format!("00000000-0000-4000-8000-{k:012}")),
    kind("json", "", |k| format!("{{\"k\": {k}}}")),
    kind("jsonb", "distinct ordered hashed json", |k| format!("{{\"k\": {k}, \"a\": [1]}}")),
    kind("bytea", "distinct ordered hashed", |k| format!("\\x{k:08x}")),
    kind("integer[]", "distinct ordered hashed array", |k| format!("{{{k},NULL,3}}")),
    kind("text[]", "distinct ordered hashed array", |k| format!("{{w{k},\"a b\"}}")),
    kind("inet", "distinct ordered hashed", |k| format!("10.0.{}.{}/24", k / 250 % 250, k % 250)),
    kind("cidr", "distinct ordered hashed", |k| format!("10.{}.{}.0/24", k / 250 % 250, k % 250)),
    kind("macaddr", "distinct ordered hashed", |k| format!("08:00:2b:00:{:02x}:{:02x}", k / 256 % 256, k % 256)),
    kind("bit(16)", "distinct ordered", |k| format!("{:016b}", k % 65536)),
    kind("int4range", "distinct ordered hashed range", |k| format!("[{},{})", k * 10, k * 10 + 5)),
    kind("tsvector", "distinct ordered words", |k| format!("'w{k}':1 'z'")),
    kind("point", "", |k| format!("({k},1)")),
    kind("{s}.mood", "ordered hashed", |k| ["low", "so so", "high"][k as usize % 3].to_owned()),
    kind("{s}.score", "distinct ordered hashed number whole", |k| k.to_string()),
    kind("{s}.pair", "distinct ordered", |k| format!("({k},p)")),
];

/// Makes the types that are the case's own.
pub(super) const OWN_TYPES: &[(&str, &str)] = &[
    ("{s}.mood", "CREATE TYPE {s}.mood AS ENUM ('low', 'so so', 'high')"),
    ("{s}.score", "CREATE DOMAIN {s}.score AS integer CHECK (VALUE >= 0)"),
    ("{s}.pair", "CREATE TYPE {s}.pair AS (a integer, b text)"),
];

impl Kind {
    /// Whether its values are distinct for distinct numbers; have an order, a hash; are a number (a whole one), a text, a truth value...
    pub(super) fn can(&self, word: &str) -> bool {
        self.can.split(' ').any(|can| can == word)
    }

    /// Returns the value of a number, as SQL.
    pub(super) fn literal(&self, k: u32) -> String {
        format!("{}::{}", quote_literal(&(self.value)(k)), self.name)
    }
}

/// A change of a type that converts every value that the tests write, and back.
#[derive(Debug)]
pub(super) struct Conversion {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// The new value of `{x}`; empty for a plain cast.
    pub(super) using: &'static str,
    /// The old value of `{x}`.
    pub(super) reverse: &'static str,
}

const fn conversion(from: &'static str, to: &'static str, using: &'static str, reverse: &'static str) -> Conversion {
    Conversion { from, to, using, reverse }
}

pub(super) const CONVERSIONS: &[Conversion] = &[
    conversion("smallint", "integer", "", "{x}::smallint"),
    conversion("smallint", "bigint", "", "{x}::smallint"),
    conversion("integer", "bigint", "", "{x}::integer"),
    conversion("integer", "bigint", "", "{x}::integer"),
    conversion("integer", "bigint", "", "CASE WHEN {x} <= 2147483647 THEN {x}::integer END"),
    conversion("integer", "numeric", "", "{x}::integer"),
    conversion("integer", "text", "{x}::text", "{x}::integer"),
    conversion("bigint", "numeric", "", "{x}::bigint"),
    conversion("bigint", "text", "{x}::text", "{x}::bigint"),
    conversion("numeric(12,3)", "numeric", "", "{x}::numeric(12,3)"),
    conversion("numeric(12,3)", "numeric(20,6)", "", "{x}::numeric(12,3)"),
    conversion("real", "double precision", "", "{x}::real"),
    conversion("text", "character varying", "", "{x}::text"),
    conversion("text", "bytea", "decode({x}, 'escape')", "encode({x}, 'escape')"),
    conversion("character varying(40)", "text", "", "{x}::character varying(40)"),
    conversion("character varying(40)", "character varying(80)", "", "{x}::character varying(40)"),
    conversion("character(12)", "text", "{x}::text", "{x}::character(12)"),
    conversion("boolean", "text", "{x}::text", "{x}::boolean"),
    conversion("boolean", "integer", "{x}::integer", "{x}::boolean"),
    conversion("date", "timestamp without time zone", "", "{x}::date"),
    conversion(
        "timestamp without time zone",
        "timestamp with time zone",
        "{x} AT TIME ZONE 'UTC'",
        "{x} AT TIME ZONE 'UTC'",
    ),
    conversion(
        "timestamp with time zone",
        "timestamp without time zone",
        "{x} AT TIME ZONE 'UTC'",
        "{x} AT TIME ZONE 'UTC'",
    ),
    conversion("time without time zone", "interval", "", "{x}::time"),
    conversion("uuid", "text", "{x}::text", "{x}::uuid"),
    conversion("json", "jsonb", "", "{x}::json"),
    conversion("jsonb", "text", "{x}::text", "{x}::jsonb"),
    conversion("bytea", "text", "encode({x}, 'hex')", "decode({x}, 'hex')"),
    conversion("integer[]", "bigint[]", "", "{x}::integer[]"),
    conversion("text[]", "character varying[]", "", "{x}::text[]"),
    conversion("cidr", "inet", "", "{x}::cidr"),
    conversion("macaddr", "macaddr8", "", "{x}::macaddr"),
    conversion("bit(16)", "bit varying", "", "{x}::bit(16)"),
    conversion("{s}.mood", "text", "{x}::text", "{x}::{s}.mood"),
    conversion("{s}.score", "integer", "", "{x}::integer"),
];

impl Conversion {
    /// Returns the new value of an expression, as SQL.
    pub(super) fn forward(&self, x: &str) -> String {
        let using = if self.using.is_empty() { format!("{{x}}::{}", self.to) } else { self.using.to_owned() };
        using.replace("{x}", &format!("({x})"))
    }
}
