//! Spans for a collector of traces: what is in them, and that no run waits for a collector.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Cli, Database, Manner, PATIENCE, Receiver};

const PLAN: &str = "\
version: 1
name: rename
table: vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
contract: { grace: 0s, quiet: 0s }
";

/// Everything that a span may tell of.
const TOLD: [&str; 6] = ["plan", "run_id", "key", "phase", "from", "to"];

/// A run of its own in a database of its own, up to the end of `verify`, with these variables.
async fn run(variables: &[(&str, &str)]) -> crate::harness::Output {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text);
             INSERT INTO vehicles SELECT n, 'hunter' || n FROM generate_series(1, 2000) AS n",
        )
        .await;
    let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(plan.path(), PLAN).unwrap();
    let url = database.url.replace("postgres@", "postgres:swordfish@");
    let mut cli = Cli::new(&url).args(["run", plan.path().to_str().unwrap(), "--to", "verify"]);
    for (name, value) in variables {
        cli = cli.env(name, *value);
    }
    let output = cli.spawn().wait(PATIENCE).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    output
}

/// Returns the spans that a collector has, and the attributes of their resources.
fn spans(collector: &Receiver) -> (Vec<Value>, String) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let received = collector.received();
    let resources: Vec<Value> = received.iter().flat_map(|request| list(&request.body["resourceSpans"])).collect();
    let scopes = resources.iter().flat_map(|resource| list(&resource["scopeSpans"]));
    let attributes = resources.iter().map(|resource| resource["resource"]["attributes"].to_string()).collect();
    (scopes.flat_map(|scope| list(&scope["spans"])).collect(), attributes)
}

fn named<'s>(spans: &'s [Value], name: &str) -> Vec<&'s Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

fn attribute<'s>(span: &'s Value, key: &str) -> &'s Value {
    let found = span["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key}: {span}"))["value"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_runs_with_their_steps_and_batches() {
    let collector = Receiver::start(Manner::Status(200, None)).await;
    let output = run(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=fleet"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
    ])
    .await;
    let (spans, resource) = spans(&collector);
    let [run] = named(&spans, "run")[..] else { panic!("{spans:#?} {output:#?}") };
    assert_eq!(attribute(run, "plan")["stringValue"], "rename");
    assert!(run["parentSpanId"].as_str().unwrap_or_default().is_empty(), "{run}");
    let steps = named(&spans, "step");
    let keys: BTreeSet<_> = steps.iter().map(|step| attribute(step, "key")["stringValue"].as_str().unwrap()).collect();
    assert!(keys.contains("expand.columns") && keys.len() == steps.len(), "{keys:?}");
    assert!(steps.iter().all(|step| step["parentSpanId"] == run["spanId"]), "{steps:#?}");
    let fills = |step: &&&Value| attribute(step, "phase")["stringValue"] == "backfill";
    let fill: Vec<_> = steps.iter().filter(fills).map(|step| &step["spanId"]).collect();
    let batches = named(&spans, "batch");
    assert!(!batches.is_empty() && batches.iter().all(|batch| fill.contains(&&batch["parentSpanId"])), "{batches:#?}");
    assert!(spans.iter().all(|span| span["traceId"] == run["traceId"]));
    assert_eq!(spans.len(), 1 + steps.len() + batches.len(), "{spans:#?}");

    // No value of the table, nothing that opens the database, no path of a source file.
    let told = |span: &Value| -> Vec<String> {
        let keys = span["attributes"].as_array().unwrap().iter();
        keys.map(|attribute| attribute["key"].as_str().unwrap().to_owned()).collect()
    };
    assert!(spans.iter().flat_map(told).all(|key| TOLD.contains(&key.as_str())), "{spans:#?}");
    let all: String = collector.received().iter().map(|request| request.text.clone()).collect();
    for secret in ["hunter", "swordfish", ".rs"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
    assert!(resource.contains("\"crossfade\"") && resource.contains("deployment.environment"), "{resource}");
    assert_eq!(collector.received()[0].headers["x-team"], "fleet");
}

/// Asserts that a process that has joined a backfill told of its step, in a run of its own, with the batches in it.
pub(crate) fn assert_of_one_that_joined(collector: &Receiver) {
    let (spans, _) = spans(collector);
    let (runs, steps, batches) = (named(&spans, "run"), named(&spans, "step"), named(&spans, "batch"));
    assert!(!runs.is_empty() && !steps.is_empty() && !batches.is_empty(), "{spans:#?}");
    let inside = |inner: &Value, outer: &[&Value]| outer.iter().any(|outer| outer["spanId"] == inner["parentSpanId"]);
    assert!(steps.iter().all(|step| attribute(step, "phase")["stringValue"] == "backfill"), "{steps:#?}");
    assert!(steps.iter().all(|step| inside(step, &runs)), "{spans:#?}");
    assert!(batches.iter().all(|batch| inside(batch, &steps)), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_no_collector() {
    // One that takes everything and never answers, and one that is away.
    let silent = Receiver::start(Manner::Silence).await;
    let json = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let output = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &silent.url), json]).await;
    assert_eq!(output.stderr.lines().filter(|line| line.contains("WARN")).count(), 0, "{output:#?}");
    assert!(!silent.received().is_empty(), "it was not asked");
    run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")]).await;
    // What cannot be used is said, and keeps nobody from his work.
    let output = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "no address")]).await;
    assert!(output.stderr.contains("no spans are sent"), "{output:#?}");
    // Nobody asks a collector that is switched off.
    let collector = Receiver::start(Manner::Status(200, None)).await;
    run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url), ("OTEL_SDK_DISABLED", "true")]).await;
    assert!(collector.received().is_empty(), "{:#?}", collector.received());
}
