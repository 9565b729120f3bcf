//! A process that stands still ends itself; one that was only stopped, or whose words nobody reads, does not.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crossfade::testkit::fleet;
use sqlx::{Connection as _, PgConnection};
use tempfile::NamedTempFile;

use crate::harness::{Cli, Database, PATIENCE, wait_for};

async fn fleet_and_plan() -> (Database, NamedTempFile) {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, 5_000).await.unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml")).unwrap();
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text.replace("quiet: 2s", "quiet: 0s")).unwrap();
    (database, file)
}

/// The control loop blocks its thread, as it did when it waited for a lock for ever. The process ends by itself, says why,
/// and the next one continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_control_loop_blocks_ends_itself_and_the_next_one_goes_on() {
    let (database, file) = fleet_and_plan().await;
    let run = Cli::new(&database.url).args(["run".into(), "--yes".into(), file.path().as_os_str().to_owned()]);
    let output = run.clone().env("CROSSFADE_FAILPOINT", "backfill.control").run().await;
    assert_eq!(output.code, Some(8), "{output:#?}");
    let said = "error[internal::stalled]: the control loop of the backfill has not moved for 15 s";
    assert!(output.stderr.contains(said), "{output:#?}");
    let output = run.run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
}

/// A terminal that was halted, or a pipe whose reader sleeps: the run goes on, and what it said is there in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_words_nobody_reads_goes_on() {
    let (database, file) = fleet_and_plan().await;
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // All that a pipe holds, on Linux; elsewhere it holds less, and then a thread waits here in place of the tool.
    let filler = std::thread::spawn({
        let mut writer = writer.try_clone().unwrap();
        move || writer.write_all(&vec![b'.'; 65_536])
    });
    wait_for("the pipe to be full", PATIENCE, async || cfg!(not(target_os = "linux")) || filler.is_finished()).await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_crossfade"))
        .args(["--database-url", &database.url, "run", "--yes"])
        .arg(file.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer.try_clone().unwrap())
        .spawn()
        .unwrap();
    writer.flush().unwrap();
    drop(writer);
    wait_for("the run to be done", PATIENCE, async || {
        database.scalar::<bool>("SELECT to_regclass('crossfade.status') IS NOT NULL").await
            && database
                .scalar::<bool>("SELECT EXISTS (SELECT FROM crossfade.event WHERE entry ->> 'step' = 'contract.drop')")
                .await
    })
    .await;
    assert!(child.try_wait().unwrap().is_none(), "it did not wait for its last words to be read");
    let said = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).map(|_| said)
    });
    let said = said.await.unwrap().unwrap();
    assert!(said.trim_start_matches('.').contains("new run"), "{said}");
    assert!(child.wait().unwrap().success(), "{said}");
}
