//! PgBouncer, in front of a server.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crossfade::testkit::server::{SUPERUSER, Server};
use nix::unistd::{Uid, User};
use tempfile::TempDir;

use super::postgres::missing;
use super::wait::wait_for;

/// A PgBouncer. Gone when dropped, and when
/// the test ends in any other way: its shell waits on a pipe from us.
pub(crate) struct PgBouncer {
    port: u16,
    shell: Child,
    _dir: TempDir,
}

impl PgBouncer {
    /// Returns a PgBouncer in transaction mode in front of `server` that accepts connections, or `None` where it is not installed.
    pub(crate) async fn before(server: &Server) -> Option<Self> {
        Self::of(server, "transaction", 20).await
    }

    /// Returns one that gives clients a server connection for a `session`, a `transaction` or a `statement`, and has
    /// `size` of them.
    pub(crate) async fn of(server: &Server, mode: &str, size: u32) -> Option<Self> {
        let programs = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];
        let Some(program) = programs.into_iter().find(|program| Path::new(program).exists()) else {
            missing("PgBouncer");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = dir.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={SUPERUSER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits,options\ndefault_pool_size = {size}\nmax_client_conn = 200\n",
            server.port()
        );
        fs::write(&config, text).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", r#""$@" & read -r word; kill $!; wait"#, "sh", program]).arg(&config);
        if Uid::effective().is_root() {
            let user = ["postgres", "nobody"].into_iter().find(|name| matches!(User::from_name(name), Ok(Some(_))));
            shell.args(["-u", user.unwrap()]);
        }
        let log = File::create(dir.path().join("log")).unwrap();
        let shell = shell.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let bouncer = Self { port, shell, _dir: dir };
        let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        wait_for("PgBouncer to listen", Duration::from_secs(10), listens).await;
        Some(bouncer)
    }

    /// Returns the URL of `database` through PgBouncer.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
