//! `.env` and `crossfade.toml`: what counts more, what is refused, and what is never shown or trusted.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::harness::{Cli, Database, Output};

/// A repository with a directory two levels down.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("repo/a/b")).unwrap();
        std::fs::create_dir(folder.path().join("repo/.git")).unwrap();
        let repository = Self(folder);
        for path in ["", "repo", "repo/a", "repo/a/b"] {
            repository.mode(path, 0o755);
        }
        repository
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn mode(&self, path: &str, mode: u32) {
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
        self.mode(path, 0o600);
    }

    /// Runs the tool in repo/a/b.
    async fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let cli = Cli::new("").args(args.iter().copied()).folder(&self.path("repo/a/b"));
        env.iter().fold(cli, |cli, (name, value)| cli.env(name, *value)).run().await
    }

    /// Returns which database `status` tries to reach.
    async fn target(&self, args: &[&str], env: &[(&str, &str)]) -> String {
        let output = self.run(&[&["status"], args].concat(), env).await;
        let said =
            output.stderr.replace("error[database::unreachable]: ", "").replace("error[usage::no_database]: ", "");
        said.split(" cannot be reached").next().unwrap().lines().next().unwrap_or_default().to_owned()
    }
}

fn url(name: &str) -> String {
    format!("postgres://me@127.0.0.1:1/{name}")
}

fn at(name: &str) -> String {
    format!("{name} at 127.0.0.1:1")
}

#[tokio::test]
async fn the_nearest_to_the_command_counts_most() {
    let repository = Repository::new();
    assert_eq!(repository.target(&[], &[]).await, "no database was given");
    repository.write(".env", &format!("DATABASE_URL={}\n", url("outside")));
    assert_eq!(repository.target(&[], &[]).await, "no database was given", "above the repository");
    repository.write("repo/crossfade.toml", &format!("database_url = \"{}\"\n", url("toml")));
    assert_eq!(repository.target(&[], &[]).await, at("toml"));
    repository.write(
        "repo/a/.env",
        &format!("# of the application\nSOMETHING_ELSE=1\nexport DATABASE_URL='{}'\n", url("dotenv")),
    );
    assert_eq!(repository.target(&[], &[]).await, at("dotenv"));
    assert_eq!(repository.target(&[], &[("DATABASE_URL", &url("environment"))]).await, at("environment"));
    let pg = [("PGHOST", "127.0.0.1"), ("PGPORT", "1"), ("PGDATABASE", "client")];
    assert_eq!(repository.target(&[], &pg).await, at("client"), "the environment names a database");
    assert_eq!(repository.target(&["--database-url", &url("line")], &pg).await, at("line"));
    // Who sets it to nothing wants nothing.
    assert_eq!(repository.target(&[], &[("DATABASE_URL", "")]).await, "no database was given");
    repository.write("repo/a/.env", "PGHOST=127.0.0.1\nPGPORT=1\nPGDATABASE='a b%/'\n");
    assert_eq!(repository.target(&[], &[]).await, at("a b%/"));
    assert_eq!(repository.target(&[], &[("PGDATABASE", "mine")]).await, at("mine"));
    // Without a repository, only the working directory is looked at.
    std::fs::remove_dir(repository.path("repo/.git")).unwrap();
    assert_eq!(repository.target(&[], &[]).await, "no database was given");
    // What starts a shell does not mind.
    repository.write("repo/a/b/crossfade.toml", "nonsense");
    assert_eq!(repository.run(&["completions", "bash"], &[]).await.code, Some(0));
    assert_eq!(repository.run(&["status"], &[]).await.code, Some(2));
}

#[tokio::test]
async fn files_lead_to_a_real_database() {
    let database = Database::new().await;
    let repository = Repository::new();
    repository.write("repo/crossfade.toml", &format!("database_url = \"{}\"\nledger_schema = \"cf\"\n", database.url));
    repository.write(
        "repo/a/b/p.yaml",
        "version: 1\nname: p\ntable: t\nchanges: [{ add_index: { name: i, columns: [a] } }]\n",
    );
    database.execute("CREATE TABLE t (a int)").await;
    let output = repository.run(&["run", "p.yaml"], &[]).await;
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM cf.run").await, 1);
    let options: url::Parts = url::parts(&database.url);
    repository.write(
        "repo/a/.env",
        &format!(
            "PGHOST={}\nPGPORT={}\nPGUSER={}\nPGDATABASE={}\nPGOPTIONS='-c search_path=s'\n",
            options.0, options.1, options.2, options.3
        ),
    );
    database.execute("CREATE SCHEMA s; CREATE TABLE s.t (a int)").await;
    let output = repository.run(&["new", "rename", "t", "a", "b"], &[]).await;
    assert!(output.stdout.contains("table: s.t"), "{}{}", output.stdout, output.stderr);
}

/// The parts of a URL.
mod url {
    pub(super) type Parts<'a> = (&'a str, &'a str, &'a str, &'a str);

    /// Returns host, port, user and database.
    pub(super) fn parts(url: &str) -> Parts<'_> {
        let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (host, rest) = rest.split_once(':').unwrap();
        let (port, database) = rest.split_once('/').unwrap();
        (host, port, user.split(':').next().unwrap(), database)
    }
}

const SECRET: &str = "hunter2hunter2";

#[tokio::test]
async fn what_is_wrong_is_named_with_its_place_and_without_its_value() {
    let repository = Repository::new();
    let says = async |place: &str, message: &str, help: &str| {
        for args in [&["status"][..], &["status", "-vvv"], &["check", "-"], &["status", "--format", "json"]] {
            let output = repository.run(args, &[]).await;
            assert_eq!(output.code, Some(2), "{}", output.stderr);
            let said = output.stderr.replace("\\\"", "\"");
            assert!(said.contains(&format!("{place}: {message}")) && said.contains(help), "{}", output.stderr);
            assert!(!output.stderr.contains("hunter") && !output.stdout.contains("hunter"), "{}", output.stderr);
        }
    };
    for (text, place, message, help) in [
        (
            "# x\ndatabse_url = \"hunter2hunter2\"\n",
            "crossfade.toml:2:1",
            "unknown key `databse_url`",
            "did you mean `database_url`?",
        ),
        ("database_url = 12\n", "crossfade.toml:1:1", "`database_url` must be text", "database_url = \"...\""),
        (
            "hooks = \"a\"\nledger_owner = hunter2hunter2\n",
            "crossfade.toml:2:16",
            "this is no TOML",
            "quotes around the value",
        ),
        (
            "[notify.ops]\nsecrets = \"hunter2hunter2\"\n",
            "crossfade.toml:2:1",
            "unknown key `secrets` of destination ops",
            "`secret`",
        ),
        ("[notify]\nops = \"hunter2hunter2\"\n", "crossfade.toml:2:1", "`ops` must be a table", "[notify.ops]"),
        (
            "[notify.Ops]\nurl = \"hunter2hunter2\"\n",
            "crossfade.toml:1:9",
            "`Ops`: expected lower-case",
            "[notify.ops]",
        ),
        ("notify = 1\n", "crossfade.toml:1:1", "`notify` must be a table", ""),
    ] {
        repository.write("repo/crossfade.toml", text);
        says(place, message, help).await;
    }
    std::fs::remove_file(repository.path("repo/crossfade.toml")).unwrap();
    for (text, place, message, help) in [
        (
            "A=1\n  export CROSSFADE_HOKS=hunter2hunter2\n",
            ".env:2:10",
            "unknown variable `CROSSFADE_HOKS`",
            "did you mean `CROSSFADE_HOOKS`?",
        ),
        ("CROSSFADE_NOTIFY_OPS=hunter2hunter2\n", ".env:1:1", "unknown variable `CROSSFADE_NOTIFY_OPS`", ""),
        (
            "A=what's this\nDATABASE_URL=hunter2hunter2\n",
            ".env:2:1",
            "the value of `DATABASE_URL` cannot be read",
            "close each quote",
        ),
        ("\nDATABASE_URL='hunter2hunter2\n", ".env:2:1", "the value of `DATABASE_URL` cannot be read", "single quotes"),
    ] {
        repository.write("repo/.env", text);
        says(place, message, help).await;
    }
    // What other programs make of their own lines is their business; a URL that is none is not shown.
    repository.write("repo/.env", &format!("what is this\nDATABASE_URL=postgres://u:{SECRET}@[h/db\n"));
    let output = repository.run(&["status", "-vvv"], &[]).await;
    assert!(output.stderr.contains("cannot be parsed") && !output.stderr.contains("hunter"), "{}", output.stderr);
    repository.write(
        "repo/.env",
        &format!("DATABASE_URL=postgres://u:{SECRET}@127.0.0.1:1/db\nCROSSFADE_NOTIFY_OPS_SECRET={SECRET}\n"),
    );
    let output = repository.run(&["status", "-vvv"], &[]).await;
    assert!(output.stderr.contains("db at 127.0.0.1:1") && !output.stderr.contains("hunter"), "{}", output.stderr);
}

/// Whoever can write a file must not choose which programs are run with my rights, nor who gets them, nor who is told.
#[tokio::test]
async fn a_file_that_others_can_write_gives_nobody_rights() {
    let repository = Repository::new();
    let plan = "version: 1\nname: p\ntable: t\nchanges: [{ add_index: { name: i, columns: [a] } }]\nnotify: [{ to: ops, shape: slack }]\n";
    repository.write("repo/a/b/p.yaml", plan);
    let text = format!(
        "database_url = \"{}\"\nledger_owner = \"eve\"\nhooks = \"../hooks\"\n[notify.ops]\nurl = \"http://127.0.0.1:1/{SECRET}\"\n",
        url("toml")
    );
    repository.write("repo/crossfade.toml", &text);
    let asks = &["notify", "test", "--plan", "p.yaml"];
    // A relative directory is one beside the file.
    let output = repository.run(asks, &[]).await;
    let folder = repository.path("repo/../hooks");
    assert!(output.stderr.contains(&format!("--hooks {}: ", folder.display())), "{}", output.stderr);
    std::fs::create_dir(repository.path("hooks")).unwrap();
    let output = repository.run(asks, &[]).await;
    assert!(output.stdout.contains("ops (http://127.0.0.1:1): "), "{}{}", output.stdout, output.stderr);
    assert!(!output.stderr.contains("is not used"), "{}", output.stderr);
    for (path, mode) in
        [("repo/crossfade.toml", 0o620), ("repo/crossfade.toml", 0o602), ("repo", 0o777), ("repo", 0o1777)]
    {
        repository.mode(path, mode);
        let output = repository.run(asks, &[]).await;
        for name in ["CROSSFADE_HOOKS", "CROSSFADE_LEDGER_OWNER", "CROSSFADE_NOTIFY_OPS_URL"] {
            assert!(output.stderr.contains(&format!("{name} of ")), "{}", output.stderr);
        }
        assert!(output.stderr.contains("others may write to "), "{}", output.stderr);
        assert!(
            !output.stdout.contains("127.0.0.1") && !output.stderr.contains(SECRET),
            "{}{}",
            output.stdout,
            output.stderr
        );
        // Where the database is, it says all the same; what the environment says is trusted.
        assert!(repository.run(&["status"], &[]).await.stderr.contains(&at("toml")));
        let set = ("CROSSFADE_NOTIFY_OPS_URL", "http://127.0.0.1:2/x");
        assert!(repository.run(asks, &[set]).await.stdout.contains("http://127.0.0.1:2"));
        repository.mode("repo/crossfade.toml", 0o600);
        repository.mode("repo", 0o755);
    }
    // As root, the tests can give the file away.
    if std::os::unix::fs::chown(repository.path("repo/crossfade.toml"), Some(12345), None).is_ok() {
        let output = repository.run(asks, &[]).await;
        assert!(output.stderr.contains("belongs to another user"), "{}", output.stderr);
    }
    assert!(Path::new(&repository.path("hooks")).is_dir());
}
