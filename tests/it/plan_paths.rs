//! Names in a plan's expressions that only the `search_path` of whoever wrote it finds.

use crossfade::plan::parse;
use crossfade::runner::Preview;

use crate::harness::{Database, tool, versions};

const TABLE: &str = "
    CREATE TYPE public.fuel AS ENUM ('diesel', 'petrol');
    CREATE SEQUENCE public.numbers;
    CREATE FUNCTION public.clean(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT pg_catalog.btrim($1)';
    CREATE TABLE public.t (id int PRIMARY KEY, a text, f public.fuel)";

async fn warned(database: &Database, change: &str) -> Vec<String> {
    let text = format!("version: 1\nname: p\ntable: public.t\nchanges:\n  - {change}\n");
    let plan = parse("plan", &text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let preview: Preview = tool(&database.url).preview(&plan).await.unwrap();
    assert!(preview.refusals.is_empty(), "{change}: {:?}", preview.refusals);
    let found = preview.warnings.into_iter().filter(|finding| finding.code == "catalog::unqualified_name");
    found.map(|finding| finding.message).collect()
}

/// A change, and what is said of it; nothing if every name in it has its schema, or is PostgreSQL's own.
const CHANGES: [(&str, &str); 16] = [
    (
        "add_column: { name: n, type: bigint, default: \"nextval('numbers')\" }",
        "`default` of the new column \"n\" names sequence public.numbers without a schema",
    ),
    ("add_column: { name: n, type: bigint, default: \"nextval('public.numbers')\" }", ""),
    (
        "add_column: { name: n, type: text, default: \"clean('x')\" }",
        "`default` of the new column \"n\" names function public.clean(text) without a schema",
    ),
    ("add_column: { name: n, type: text, default: \"public.clean('x')\" }", ""),
    ("add_column: { name: n, type: timestamptz, default: now() }", ""),
    ("add_column: { name: n, type: public.fuel, default: \"'diesel'\" }", ""),
    ("add_column: { name: n, type: text, default: \"NULL\" }", ""),
    (
        "add_constraint: { name: c, check: clean(a) <> '' }",
        "constraint \"c\" of the plan names function public.clean(text) without a schema",
    ),
    ("add_constraint: { name: c, check: public.clean(a) <> '' }", ""),
    ("add_constraint: { name: c, check: \"f = 'diesel' OR length(a) > 3\" }", ""),
    (
        "add_constraint: { name: c, check: f <> 'diesel'::fuel }",
        "constraint \"c\" of the plan names type public.fuel without a schema",
    ),
    ("add_constraint: { name: c, unique: [a, f] }", ""),
    (
        "add_index: { name: i, on: clean(a) }",
        "index \"i\" of the plan names function public.clean(text) without a schema",
    ),
    (
        "add_index: { name: i, columns: [a], where: clean(a) <> '' }",
        "index \"i\" of the plan names function public.clean(text) without a schema",
    ),
    ("add_index: { name: i, on: \"lower(a), f\", where: public.clean(a) <> '' }", ""),
    ("add_index: { name: i, columns: [a, f] }", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_of_a_plan_is_warned_of() {
    for version in versions() {
        let database = Database::on(&version).await;
        database.execute(TABLE).await;
        for (change, said) in CHANGES {
            let expected: Vec<&str> = Some(said).filter(|said| !said.is_empty()).into_iter().collect();
            assert_eq!(warned(&database, change).await, expected, "PostgreSQL {}: {change}", version.major);
        }
    }
}
