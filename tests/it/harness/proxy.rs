//! A network that fails, or is slow: a TCP proxy in front of a server.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossfade::testkit::server::{SUPERUSER, Server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How the proxy treats connections. The numbers grow: a connection lives until there is a cut that it has not seen, and
/// carries nothing any more after a hole that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wire {
    cuts: u32,
    holes: u32,
    new: New,
}

/// How it treats new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    /// Forwards them.
    Forwarded,
    /// Ends them at once.
    Refused,
    /// Accepts them, and nobody ever answers.
    Swallowed,
}

/// Forwards connections to a server until told otherwise. Gone when dropped.
pub(crate) struct Proxy {
    port: u16,
    wire: watch::Sender<Wire>,
    delay: Arc<AtomicU64>,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// Returns a proxy in front of `server`.
    pub(crate) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = server.port();
        let (wire, state) = watch::channel(Wire { cuts: 0, holes: 0, new: New::Forwarded });
        let delay = Arc::new(AtomicU64::new(0));
        let listener = tokio::spawn({
            let delay = Arc::clone(&delay);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(forward(client, upstream, state.clone(), Arc::clone(&delay)));
                }
            }
        });
        Self { port, wire, delay, listener }
    }

    /// Returns the URL of `database` through the proxy.
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_of(SUPERUSER, database)
    }

    /// Returns the URL of `database` through the proxy for a role.
    pub(crate) fn url_of(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Ends all connections; new ones are forwarded.
    pub(crate) fn cut(&self) {
        self.wire.send_modify(|wire| *wire = Wire { cuts: wire.cuts + 1, new: New::Forwarded, ..*wire });
    }

    /// Ends all connections, and new ones at once, until [`Proxy::cut`].
    pub(crate) fn take_down(&self) {
        self.wire.send_modify(|wire| *wire = Wire { cuts: wire.cuts + 1, new: New::Refused, ..*wire });
    }

    /// Lets nothing through any more, on any connection, and tells nobody; new connections are accepted and never answered.
    pub(crate) fn swallow(&self) {
        self.wire.send_modify(|wire| *wire = Wire { holes: wire.holes + 1, new: New::Swallowed, ..*wire });
    }

    /// Lets nothing through any more on the connections that there are, as a firewall that has forgotten them; new ones are
    /// forwarded.
    pub(crate) fn forget(&self) {
        self.wire.send_modify(|wire| *wire = Wire { holes: wire.holes + 1, new: New::Forwarded, ..*wire });
    }

    /// Makes each round trip longer by `delay`, from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.take_down();
        self.listener.abort();
    }
}

async fn forward(client: TcpStream, upstream: u16, mut wire: watch::Receiver<Wire>, delay: Arc<AtomicU64>) {
    #[expect(clippy::disallowed_methods, reason = "one guard, gone at the end of the statement")]
    let made = *wire.borrow();
    if made.new == New::Refused {
        return;
    }
    let mut server = None;
    if made.new == New::Forwarded {
        let Ok(open) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await else { return };
        let _ = (client.set_nodelay(true), open.set_nodelay(true));
        server = Some(open);
    }
    let (mut client, mut server) = (client, server);
    if let Some(server) = &mut server {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        #[expect(clippy::disallowed_methods, reason = "the guard is dropped at once")]
        let disturbed = async { drop(wire.wait_for(|now| (now.cuts, now.holes) != (made.cuts, made.holes)).await) };
        let none = AtomicU64::new(0);
        tokio::select! {
            () = carry(from_client, to_server, &delay) => return,
            () = carry(from_server, to_client, &none) => return,
            () = disturbed => {}
        }
    }
    // Both ends stay open, and hear nothing, until there is a cut.
    #[expect(clippy::disallowed_methods, reason = "the guard is dropped at once")]
    drop(wire.wait_for(|now| now.cuts != made.cuts).await);
}

/// Carries bytes one way, each a delay after it came, until the connection ends. What is under way does not wait for what
/// is before it.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: &AtomicU64) {
    let (sender, mut queue) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + Duration::from_millis(delay.load(Ordering::Relaxed));
            if sender.send((due, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
        drop(sender);
    };
    let write = async {
        while let Some((due, bytes)) = queue.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
