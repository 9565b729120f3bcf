//! A receiver of webhooks: reads HTTP requests, keeps them, and answers as it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How a receiver answers.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// With this status, and this header.
    Status(u16, Option<(&'static str, String)>),
    /// Not at all.
    Silence,
    /// With something that is not HTTP.
    Garbage,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Received {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// What it is about.
    pub(crate) fn topic(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }
}

#[derive(Debug)]
struct Shared {
    manner: Manner,
    received: Vec<Received>,
}

/// A receiver on a port of its own, until it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Mutex<Shared>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/secret/path", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared { manner, received: vec![] }));
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&shared)));
                }
            }
        });
        Self { url, shared, task }
    }

    pub(crate) fn answers(&self, manner: Manner) {
        self.shared.lock().unwrap().manner = manner;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.lock().unwrap().received.clone()
    }

    /// What it was told, by topic, in order.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.received().iter().map(|received| received.topic().to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut bytes = Vec::new();
    let received = loop {
        let mut buffer = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(received) = request(&bytes) {
            break received;
        }
    };
    let manner = {
        let mut shared = shared.lock().unwrap();
        shared.received.push(received);
        shared.manner.clone()
    };
    let answer = match manner {
        Manner::Status(status, header) => {
            let header = header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
            format!("HTTP/1.1 {status} So\r\n{header}content-length: 0\r\nconnection: close\r\n\r\n")
        }
        Manner::Garbage => "\u{0}\u{1}this is no answer\r\n\r\n".to_owned(),
        Manner::Silence => return std::future::pending().await,
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// Returns the request, once it is there.
fn request(bytes: &[u8]) -> Option<Received> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<_, _> = head.lines().skip(1).filter_map(header).collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    (body.len() >= length).then(|| Received {
        headers,
        text: body.to_owned(),
        body: serde_json::from_str(body).unwrap(),
    })
}
