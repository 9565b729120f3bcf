//! The recipes of docs/recipes: each command runs in the environment that its scheduler gives, and says what it should of a
//! tick that moved a run, found nothing due, and came to a closed gate.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crossfade::plan::parse;
use serde_yaml::Value;

use crate::harness::{Database, missing, tool};

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes")
}

fn recipe(file: &str) -> String {
    std::fs::read_to_string(recipes().join(file)).unwrap()
}

fn yaml(file: &str) -> Value {
    serde_yaml::from_str(&recipe(file)).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Where `crossfade` and the programs of the recipes are, and those that every system has.
fn path() -> String {
    let tool = Path::new(env!("CARGO_BIN_EXE_crossfade")).parent().unwrap().display().to_string();
    format!("{tool}:{}:/usr/bin:/bin", recipes().display())
}

/// Runs a command with nothing in its environment but `env` and a `PATH`.
fn run(command: &[&str], env: &[(&str, &str)]) -> Output {
    let mut process = Command::new(command[0]);
    process.args(&command[1..]).env_clear().env("PATH", path()).envs(env.iter().copied());
    tokio::task::block_in_place(|| process.output().unwrap())
}

/// The value of `key` in a unit of systemd.
fn unit(text: &str, key: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap();
    value.to_owned()
}

/// What each recipe runs, and how a scheduler that has nothing but that runs it.
fn ticks(url: &str, folder: &Path) -> Vec<(&'static str, bool, String)> {
    let mut all = Vec::new();
    let mut told = |of: &'static str, output: &Output, succeeded: bool| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        all.push((of, succeeded, said));
    };
    let url = ("DATABASE_URL", url);

    let table = recipe("crossfade.cron");
    let job = table.lines().find(|line| line.starts_with('*')).unwrap();
    let fields: Vec<_> = job.split_whitespace().take(6).collect();
    assert_eq!((fields[0], fields[5]), ("*/15", "crossfade"));
    let command = &job[job.find("set -a").unwrap()..];
    // For cron a % is the end of the line.
    assert!(!command.contains('%'));
    let file = folder.join("env");
    std::fs::write(&file, format!("DATABASE_URL='{}'\n", url.1)).unwrap();
    let command = command.replace("/etc/crossfade/env", &file.to_string_lossy());
    let output = run(&["/bin/sh", "-c", &command], &[("HOME", "/"), ("LOGNAME", "crossfade"), ("SHELL", "/bin/sh")]);
    told("cron", &output, output.status.success());

    let service = recipe("crossfade.service");
    let command = unit(&service, "ExecStart").replace("/usr/local/bin/crossfade", env!("CARGO_BIN_EXE_crossfade"));
    let output = run(&command.split(' ').collect::<Vec<_>>(), &[url]);
    let harmless = unit(&service, "SuccessExitStatus");
    let code = output.status.code().unwrap().to_string();
    told("systemd", &output, output.status.success() || harmless.split(' ').any(|harmless| harmless == code));

    let job = yaml("cronjob.yaml");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let command = texts(&pod["containers"][0]["command"]);
    let output = run(&command.iter().map(String::as_str).collect::<Vec<_>>(), &[url]);
    told("kubernetes", &output, output.status.success());

    let step = &yaml("github-actions.yml")["jobs"]["tick"]["steps"][0]["run"];
    let output = run(&["bash", "-e", "-c", step.as_str().unwrap()], &[url]);
    told("github", &output, output.status.success());

    for command in texts(&yaml("gitlab-ci.yml")["tick"]["script"]) {
        let output = run(&["bash", "-e", "-o", "pipefail", "-c", &command], &[url]);
        told("gitlab", &output, output.status.success());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn schedulers_are_told_of_what_somebody_should_read_and_of_nothing_else() {
    let database = Database::new().await;
    let folder = tempfile::tempdir().unwrap();
    let succeed = |ticks: Vec<(&str, bool, String)>| {
        for (of, succeeded, said) in ticks {
            assert!(succeeded, "{of}: {said}");
            // cron mails whatever a job prints.
            assert!(of != "cron" || said.is_empty(), "{said}");
        }
    };
    // No ledger, no runs: nothing is due.
    succeed(ticks(&database.url, folder.path()));
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'a'); CREATE TABLE needed (id int)",
        )
        .await;
    let text = "version: 1\nname: p\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\nindexes: { add: [{ name: i, columns: [b] }] }\ncontract: { quiet: 0s, grace: 0s }\nrequires: { tables: [needed] }\n";
    tool(&database.url).start(&parse("p", text).unwrap(), text).await.unwrap();
    let mut moved = ticks(&database.url, folder.path());
    // The last of them comes to the drop, to which a person must agree.
    let (_, succeeded, said) = moved.pop().unwrap();
    assert!(!succeeded && said.contains("gate::consent"), "{said}");
    succeed(moved);
    database.execute("DROP TABLE needed").await;
    for (of, succeeded, said) in ticks(&database.url, folder.path()) {
        assert!(!succeeded && said.contains("there is no such table"), "{of}: {said}");
        assert!(of != "cron" || said.contains("exit code 5"), "{said}");
    }
}

/// A second one beside a long one is never started, and a long one is not cut short.
#[test]
fn recipes_start_one_tick_at_a_time_and_leave_it_its_time() {
    let job = yaml("cronjob.yaml");
    assert_eq!((job["apiVersion"].as_str(), job["kind"].as_str()), (Some("batch/v1"), Some("CronJob")));
    assert_eq!(job["spec"]["concurrencyPolicy"].as_str(), Some("Forbid"));
    // Kubernetes looks every ten seconds.
    assert!(job["spec"]["startingDeadlineSeconds"].as_u64().is_some_and(|seconds| seconds > 10));
    assert_eq!(job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"], Value::Null);
    let workflow = yaml("github-actions.yml");
    assert_eq!(workflow["concurrency"]["cancel-in-progress"].as_bool(), Some(false));
    let pipeline = yaml("gitlab-ci.yml");
    assert!(pipeline["tick"]["resource_group"].is_string());
    assert_eq!(unit(&recipe("crossfade.service"), "Type"), "oneshot");
}

/// A checker that `.ci/schemas` has fetched, or that is installed; `None` if there is none.
fn checker(name: &str) -> Option<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schemas/bin").join(name);
    let program = if fetched.is_file() { fetched } else { PathBuf::from(name) };
    if Command::new(&program).arg("--version").output().is_err() {
        missing(&format!("{name} (.ci/schemas fetches it)"));
        return None;
    }
    Some(program)
}

/// The recipe fits, and does not once `right` in it is `wrong`.
fn fits(program: &Path, arguments: &[&str], file: &str, (right, wrong): (&str, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        let file = folder.path().join("recipe.yml");
        std::fs::write(&file, text).unwrap();
        Command::new(program).args(arguments).arg(file).output().unwrap()
    };
    let text = recipe(file);
    let output = check(&text);
    assert!(output.status.success(), "{file}: {output:?}");
    assert!(text.contains(right), "{file} has no {right}");
    assert!(!check(&text.replace(right, wrong)).status.success(), "{file}: nothing is found");
}

/// `check-jsonschema` has the schemas in it that schemastore.org and GitLab publish, and `kubernetes-validate` those of Kubernetes.
#[test]
fn recipes_of_hosted_schedulers_fit_their_published_schemas() {
    if let Some(program) = checker("check-jsonschema") {
        let schema = |name| ["--builtin-schema", name];
        fits(&program, &schema("vendor.github-workflows"), "github-actions.yml", ("runs-on:", "runs_on:"));
        fits(&program, &schema("vendor.gitlab-ci"), "gitlab-ci.yml", ("interruptible: false", "interruptible: 7"));
    }
    if let Some(program) = checker("kubernetes-validate") {
        fits(&program, &["--strict"], "cronjob.yaml", ("concurrencyPolicy:", "concurrency_policy:"));
        fits(&program, &["--strict"], "cronjob.yaml", ("restartPolicy: ", "restartPolicy: [] # "));
    }
}

#[test]
fn systemd_takes_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        missing("systemd-analyze");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = |file: &str| {
        let path = folder.path().join(file);
        let text = recipe(file).replace("/usr/local/bin/crossfade", env!("CARGO_BIN_EXE_crossfade"));
        std::fs::write(&path, text).unwrap();
        path
    };
    let units = ["crossfade.service", "crossfade.timer", "crossfade-serve.service"].map(copy);
    let output = Command::new("systemd-analyze").arg("verify").args(units).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("crossfade"), "{said}");
}
