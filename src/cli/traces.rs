//! Spans of runs, steps and batches for a collector of traces: OpenTelemetry, over HTTP.
//!
//! The exporter has a thread and a queue of its own, and what does not fit is dropped: no run waits for a collector. Spans carry names and numbers
//! (the plan, the run, the step, pages); what is logged inside them is not sent, because an error of the server may quote a value.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::notify::agent;

/// What names a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The spans that are sent.
const SPANS: [&str; 3] = ["run", "step", "batch"];
/// How long the end of a process may wait until its last spans are sent.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// No answer of a collector is longer.
const ANSWER: u64 = 64 * 1024;

/// Sends spans until it is ended.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Returns what sends spans to the collector that the environment names; `None` where it names none.
    ///
    /// # Errors
    /// Why what the environment says cannot be used.
    pub(super) fn from_env() -> Result<Option<Self>, String> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let is = |name, value: &str| set(name).is_some_and(|found| found.trim().eq_ignore_ascii_case(value));
        if ENDPOINTS.iter().all(|name| set(name).is_none())
            || is("OTEL_SDK_DISABLED", "true")
            || is("OTEL_TRACES_EXPORTER", "none")
        {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_http().with_http_client(Client).build();
        let exporter = exporter.map_err(|error| error.to_string())?;
        let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let is_named = set("OTEL_SERVICE_NAME").is_some()
            || set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| attributes.contains("service.name="));
        let resource = if is_named { resource } else { resource.with_service_name("crossfade") };
        let provider = SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter);
        Ok(Some(Self(provider.build())))
    }

    /// Returns the layer that takes our spans, and nothing that is logged in them.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'s> LookupSpan<'s>,
    {
        let ours = filter_fn(|metadata| {
            metadata.is_span() && metadata.target().starts_with("crossfade") && SPANS.contains(&metadata.name())
        });
        let ours = ours.with_max_level_hint(LevelFilter::DEBUG);
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer("crossfade"));
        let layer = layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false);
        layer.with_filter(ours)
    }

    /// Sends what is left, if the collector takes it within two seconds.
    pub(super) fn end(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_WORDS) {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// The HTTP client of announcements, with its limits on time and its certificates.
#[derive(Debug)]
struct Client;

impl HttpClient for Client {
    fn send_bytes<'c, 'f>(
        &'c self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'c: 'f,
        Self: 'f,
    {
        // The exporter's own thread waits for this, and for nothing else.
        Box::pin(async move {
            let response = agent().run(request.map(|body| body.to_vec()))?;
            let (head, mut body) = response.into_parts();
            let body = body.with_config().limit(ANSWER).read_to_vec()?;
            Ok(Response::from_parts(head, Bytes::from(body)))
        })
    }
}
