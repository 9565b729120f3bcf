//! Every step twice, and every step failed: the ledger forgets that a step was done, or refuses to be told, and the run
//! still ends like ALTER TABLE.

use crossfade::plan::Plan;
use crossfade::run::StepKey;
use crossfade::runner::Tool;
use crossfade::testkit::fleet;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Database, Version, long_versions, plain_alter, tool, versions};

const ROWS: u32 = 1_000;

struct Stage {
    database: Database,
    plan: Plan,
    text: String,
    tool: Tool,
    setup: Setup,
}

/// What makes the tables.
#[derive(Clone, Copy)]
enum Setup {
    Fleet,
    Sql(&'static str),
    /// And what makes those that the run ends with, where PostgreSQL refuses a plain ALTER TABLE.
    Both(&'static str, &'static str),
}

impl Setup {
    async fn on(self, version: &Version) -> Database {
        let database = Database::on(version).await;
        match self {
            Self::Fleet => {
                let mut connection = PgConnection::connect(&database.url).await.unwrap();
                fleet::create(&mut connection).await.unwrap();
                fleet::load(&mut connection, ROWS).await.unwrap();
            }
            Self::Sql(sql) | Self::Both(sql, _) => database.execute(sql).await,
        }
        database
    }
}

impl Stage {
    async fn new(version: &Version, file: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(file);
        let text = std::fs::read_to_string(path).unwrap().replace("quiet: 2s", "quiet: 0s");
        Self::of(version, Setup::Fleet, &text).await
    }

    async fn of(version: &Version, setup: Setup, text: &str) -> Self {
        let database = setup.on(version).await;
        let plan = crossfade::plan::parse("plan.yaml", text).unwrap();
        let tool = tool(&database.url);
        Self { database, plan, text: text.to_owned(), tool, setup }
    }

    /// The run's steps, from the dry run.
    async fn steps(&self) -> Vec<StepKey> {
        let preview = self.tool.preview(&self.plan).await.unwrap();
        assert!(preview.refusals.is_empty(), "{:?}", preview.refusals);
        preview.program.unwrap().steps.into_iter().map(|step| step.key).collect()
    }

    /// The log refuses the entry `kind` of `step`, in the transaction in which it would be written.
    async fn refuse(&self, kind: &str, step: &StepKey) {
        self.database
            .execute(&format!(
                "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF NEW.entry ->> 'kind' = '{kind}' AND NEW.entry ->> 'step' = '{step}' THEN RAISE EXCEPTION 'refused by the test'; END IF;
                   RETURN NEW;
                 END $$;
                 CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION public.refuse()",
            ))
            .await;
    }

    async fn allow(&self) {
        self.database.execute("DROP TRIGGER refuse ON crossfade.event; DROP FUNCTION public.refuse()").await;
    }

    async fn assert_done(&self, version: &Version) {
        if let Setup::Both(_, end) = self.setup {
            let twin = Setup::Sql(end).on(version).await;
            assert_eq!(self.database.schema().await, twin.schema().await, "{}", self.plan.name);
            return;
        }
        let twin = self.setup.on(version).await;
        let mut connection = PgConnection::connect(&twin.url).await.unwrap();
        for statement in plain_alter(&self.plan) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        assert_eq!(self.database.schema().await, twin.schema().await, "{}", self.plan.name);
    }
}

/// The entry that says a step is done fails: a transactional step then has no effect, another has one that nobody knows
/// of; either way the next run does it, or sees that it is done.
pub(crate) async fn each_step_failed(version: &Version, file: &str) {
    failed(version, Stage::new(version, file).await).await;
}

/// As [`each_step_failed`], for a plan of tables that `setup` makes.
pub(crate) async fn each_step_failed_on(version: &Version, setup: &'static str, plan: &str) {
    failed(version, Stage::of(version, Setup::Sql(setup), plan).await).await;
}

/// As [`each_step_failed_on`], where the run ends with what `end` makes.
pub(crate) async fn each_step_failed_to(version: &Version, (setup, end): (&'static str, &'static str), plan: &str) {
    failed(version, Stage::of(version, Setup::Both(setup, end), plan).await).await;
}

async fn failed(version: &Version, stage: Stage) {
    let steps = stage.steps().await;
    let least = if stage.plan.pairs().next().is_some() { 10 } else { 1 };
    assert!(steps.len() >= least, "{steps:?}");
    let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
    crossfade::ledger::Ledger::new(crossfade::names::LedgerSchema::default()).create(&mut connection).await.unwrap();
    for step in &steps {
        stage.refuse("step_done", step).await;
        let error = stage.tool.run(&stage.plan, &stage.text, None).await;
        let error = error.map(|finish| panic!("{step}: {finish:?}")).unwrap_err().to_string();
        assert!(error.contains("refused by the test"), "{step}: {error}");
        let done: Vec<String> = stage
            .tool
            .history(stage.plan.name.as_str())
            .await
            .unwrap()
            .iter()
            .filter_map(|line| match &line.entry {
                crossfade::run::Entry::StepDone { step, .. } => Some(step.to_string()),
                _ => None,
            })
            .collect();
        assert!(!done.contains(&step.to_string()), "{done:?}");
        stage.allow().await;
    }
    let finish = stage.tool.run(&stage.plan, &stage.text, None).await.unwrap();
    assert_eq!(finish.state, crossfade::run::Standing::Done);
    stage.assert_done(version).await;
}

/// The log forgets that a step was done: it is done again, or seen to be done, and nothing is different.
pub(crate) async fn each_step_twice(version: &Version, file: &str) {
    let stage = Stage::new(version, file).await;
    let steps = stage.steps().await;
    for (at, step) in steps.iter().enumerate() {
        // Up to the end of this step: the entry after it is refused.
        let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
        crossfade::ledger::Ledger::new(crossfade::names::LedgerSchema::default())
            .create(&mut connection)
            .await
            .unwrap();
        let next = steps.get(at + 1);
        if let Some(next) = next {
            stage.refuse("step_started", next).await;
            stage
                .database
                .execute(&format!(
                    "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                       IF NEW.entry ->> 'step' = '{next}' THEN RAISE EXCEPTION 'refused by the test'; END IF;
                       RETURN NEW;
                     END $$"
                ))
                .await;
        }
        for round in 0..2 {
            let result = stage.tool.run(&stage.plan, &stage.text, None).await;
            match next {
                Some(_) => assert!(result.unwrap_err().to_string().contains("refused by the test"), "{step}"),
                None => assert_eq!(result.unwrap().state, crossfade::run::Standing::Done),
            }
            if round == 0 {
                // An operation that no crossfade does: the log is append-only.
                stage.database
                    .execute(&format!(
                        "ALTER TABLE crossfade.event DISABLE TRIGGER append_only;
                         DELETE FROM crossfade.event WHERE seq >= (SELECT seq FROM crossfade.event WHERE entry ->> 'kind' = 'step_done' AND entry ->> 'step' = '{step}');
                         ALTER TABLE crossfade.event ENABLE TRIGGER append_only"
                    ))
                    .await;
            }
        }
        if next.is_some() {
            stage.allow().await;
        }
    }
    stage.assert_done(version).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_with_every_step_failed_once_ends_like_alter_table() {
    for version in long_versions() {
        each_step_failed(&version, "vehicle-status.yaml").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_plans_with_every_step_failed_once_end_like_alter_table() {
    let version = versions().remove(0);
    for file in ["license-plate.yaml", "two-columns.yaml"] {
        each_step_failed(&version, file).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_with_every_step_done_twice_ends_like_alter_table() {
    for version in long_versions() {
        each_step_twice(&version, "vehicle-status.yaml").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_plans_with_every_step_done_twice_end_like_alter_table() {
    let version = versions().remove(0);
    for file in ["license-plate.yaml", "two-columns.yaml"] {
        each_step_twice(&version, file).await;
    }
}
