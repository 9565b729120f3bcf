//! Connections: so many at once, each with limits on time and size, so that nobody who is slow or greedy keeps others out for long.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The most connections at once; more wait until one ends.
const MOST: usize = 128;
/// How long the head of a request may take, and how long a connection may wait for the next one.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The size of the head, in bytes, and how many fields it has at the most.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 64;
/// After this time a connection ends with the answer that is under way.
const LIFE: Duration = Duration::from_mins(1);
/// How long that answer has.
const LAST_ANSWER: Duration = Duration::from_secs(30);
/// How long answers under way have when the server ends.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// How long to wait when the system has no connection to give.
const BREATH: Duration = Duration::from_millis(200);

/// Answers requests on `listener` until `stop` is cancelled, and then those that are under way, for three seconds at most.
pub(super) async fn answer(listener: TcpListener, router: Router, stop: CancellationToken) {
    let places = Semaphore::new(MOST);
    let places = std::sync::Arc::new(places);
    let mut open = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (router, stop) = (router.clone(), stop.clone());
                open.spawn(async move {
                    one(stream, router, stop).await;
                    drop(place);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            // Too many open files: others may end.
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST_ANSWERS, async { while open.join_next().await.is_some() {} }).await;
}

/// Answers what comes over one connection.
async fn one(stream: TcpStream, router: Router, stop: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES).max_headers(HEAD_FIELDS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(LIFE) => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, connection).await;
}

/// Whether only the connection that was about to come is lost.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
