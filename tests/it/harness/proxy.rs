//! A network that fails: a TCP proxy in front of a server.

use std::net::Ipv4Addr;

use crossfade::testkit::server::{SUPERUSER, Server};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How the proxy treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// Forwards. The number grows with each cut, which ends all connections made before it.
    Whole(u32),
    /// Ends every connection, also new ones.
    Down,
}

/// Forwards connections to a server until told otherwise. Gone when dropped.
pub(crate) struct Proxy {
    port: u16,
    wire: watch::Sender<Wire>,
    cuts: u32,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// Returns a proxy in front of `server`.
    pub(crate) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = server.port();
        let (wire, state) = watch::channel(Wire::Whole(0));
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, upstream, state.clone()));
            }
        });
        Self { port, wire, cuts: 0, listener }
    }

    /// Returns the URL of `database` through the proxy.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Ends all connections; new ones are forwarded.
    pub(crate) fn cut(&mut self) {
        self.cuts += 1;
        self.wire.send_replace(Wire::Whole(self.cuts));
    }

    /// Ends all connections, and new ones at once, until [`Proxy::cut`].
    pub(crate) fn take_down(&self) {
        self.wire.send_replace(Wire::Down);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.take_down();
        self.listener.abort();
    }
}

async fn forward(mut client: TcpStream, upstream: u16, mut wire: watch::Receiver<Wire>) {
    #[expect(clippy::disallowed_methods, reason = "one guard, gone at the end of the statement")]
    let made = *wire.borrow();
    if made == Wire::Down {
        return;
    }
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await else { return };
    #[expect(clippy::disallowed_methods, reason = "the guard is dropped at once")]
    let ended = async { drop(wire.wait_for(|now| *now != made).await) };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        () = ended => {}
    }
}
