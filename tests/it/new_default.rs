//! The default that a plan gives to a column under its new type, where PostgreSQL cannot carry the old one over.

use crossfade::plan::{Plan, parse};
use crossfade::run::{Phase, Standing};
use crossfade::runner::{Error, Finish, Preview, Tool};

use crate::harness::{Database, Version, plain_alter, tool, versions};

const TABLE: &str = "
    CREATE TYPE public.fuel AS ENUM ('diesel', 'petrol', 'electric');
    CREATE TABLE public.vehicles (id bigint PRIMARY KEY, fuel varchar(20) NOT NULL DEFAULT 'diesel', seats integer DEFAULT 5);
    INSERT INTO public.vehicles (id, fuel) SELECT n, (ARRAY['diesel', 'petrol', 'electric'])[1 + n % 3] FROM generate_series(1, 60) AS n;
    CREATE INDEX vehicles_fuel ON public.vehicles (fuel, id)";

const FUEL: &str = "change_type: { column: fuel, to: public.fuel, using: \"fuel::public.fuel\", reverse: \"fuel_v2::text\", via: fuel_v2, default: \"'petrol'\" }";

const PHASES: [Phase; 5] = [Phase::Expand, Phase::Index, Phase::Backfill, Phase::Verify, Phase::Switch];

struct Site {
    database: Database,
    plan: Plan,
    text: String,
    tool: Tool,
}

impl Site {
    async fn new(version: &Version, change: &str) -> Self {
        let database = Database::on(version).await;
        database.execute(TABLE).await;
        let text = format!(
            "version: 1\nname: p\ntable: vehicles\nchanges:\n  - {change}\ncontract: {{ grace: 0s, quiet: 0s }}\n"
        );
        let plan = parse("plan.yaml", &text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let tool = tool(&database.url);
        Self { database, plan, text, tool }
    }

    async fn run(&self, to: Option<Phase>) -> Result<Finish, Error> {
        self.tool.run(&self.plan, &self.text, to).await
    }

    async fn ends(&self, when: &str) {
        let state = self.run(None).await.unwrap_or_else(|error| panic!("{when}: {error}")).state;
        assert_eq!(state, Standing::Done, "{when}");
    }

    /// Inserts a row with these columns, and returns what both columns then hold, the old one first.
    async fn insert(&self, id: i64, columns: &[(&str, &str)]) -> Vec<String> {
        let names: Vec<_> = columns.iter().map(|(name, _)| format!(", {name}")).collect();
        let values: Vec<_> = columns.iter().map(|(_, value)| format!(", '{value}'")).collect();
        let (names, values) = (names.concat(), values.concat());
        self.database.execute(&format!("INSERT INTO vehicles (id{names}) VALUES ({id}{values})")).await;
        self.row(id).await
    }

    /// What the columns of the pair hold, in the order in which they were made.
    async fn row(&self, id: i64) -> Vec<String> {
        let row = format!(
            "SELECT array_agg(coalesce(to_jsonb(v) ->> attname, 'NULL') ORDER BY attnum) FROM vehicles v, pg_attribute a \
             WHERE id = {id} AND attrelid = 'vehicles'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('id', 'seats')"
        );
        self.database.scalar(&row).await
    }
}

/// What plain ALTER and the same default leave.
async fn altered(version: &Version, change: &str) -> String {
    let twin = Site::new(version, change).await;
    for statement in plain_alter(&twin.plan) {
        twin.database.execute(&statement).await;
    }
    twin.database.schema().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_with_a_default_becomes_an_enum() {
    for version in versions() {
        let when = format!("PostgreSQL {}", version.major);
        let site = Site::new(&version, FUEL).await;
        site.run(Some(Phase::Expand)).await.unwrap();
        assert_eq!(site.insert(1000, &[]).await, ["diesel", "diesel"], "{when}: the old default, converted");
        site.run(Some(Phase::Verify)).await.unwrap();
        assert_eq!(site.insert(1001, &[]).await, ["diesel", "diesel"], "{when}");
        assert_eq!(site.insert(1002, &[("fuel", "electric")]).await, ["electric", "electric"], "{when}");
        assert_eq!(site.insert(1003, &[("fuel_v2", "electric")]).await, ["electric", "electric"], "{when}");
        site.run(Some(Phase::Switch)).await.unwrap();
        assert_eq!(site.insert(1004, &[]).await, ["petrol", "petrol"], "{when}: the new default");
        assert_eq!(site.insert(1005, &[("fuel", "electric")]).await, ["electric", "electric"], "{when}");
        assert_eq!(site.insert(1006, &[("fuel_v2", "electric")]).await, ["electric", "electric"], "{when}");
        site.ends(&when).await;
        assert_eq!(site.insert(1007, &[]).await, ["petrol"], "{when}");
        assert_eq!(site.database.schema().await, altered(&version, FUEL).await, "{when}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_gives_the_old_default_back() {
    for version in versions() {
        let before = Site::new(&version, FUEL).await.database.schema().await;
        for phase in PHASES {
            let when = format!("PostgreSQL {} back from {phase}", version.major);
            let site = Site::new(&version, FUEL).await;
            site.run(Some(phase)).await.unwrap();
            site.insert(1000, &[]).await;
            site.tool.rollback("p", None).await.unwrap_or_else(|error| panic!("{when}: {error}"));
            assert_eq!(site.database.schema().await, before, "{when}");
            let inserted = if phase == Phase::Switch { "petrol" } else { "diesel" };
            assert_eq!(site.row(1000).await, [inserted], "{when}");
            assert_eq!(site.insert(1001, &[]).await, ["diesel"], "{when}");
        }
    }
}

/// Other defaults than a word: none at all, one that differs each time, one where the old column has none, one although the
/// old one could be carried over, and a new name.
#[tokio::test(flavor = "multi_thread")]
async fn any_default_is_what_plain_alter_leaves() {
    let version = versions().remove(0);
    for change in [
        FUEL.replace("'petrol'", "NULL"),
        FUEL.replace("'petrol'", "CASE WHEN random() < 2 THEN 'petrol'::public.fuel END -- always"),
        "change_type: { column: seats, to: bigint, reverse: \"b::integer\", via: b, default: 7 }".to_owned(),
        "change_type: { column: seats, to: text, reverse: \"b::integer\", via: b, keep_name: false, default: \"'7'\" }"
            .to_owned(),
    ] {
        let site = Site::new(&version, &change).await;
        let before = site.database.schema().await;
        let default = |values: Vec<String>| values.last().unwrap().clone();
        site.run(Some(Phase::Switch)).await.unwrap_or_else(|error| panic!("{change}: {error}"));
        site.tool.rollback("p", None).await.unwrap_or_else(|error| panic!("{change}: {error}"));
        assert_eq!(site.database.schema().await, before, "{change}");
        site.ends(&change).await;
        assert_eq!(site.database.schema().await, altered(&version, &change).await, "{change}");
        if change.contains("random") {
            assert_eq!(default(site.insert(1000, &[]).await), "petrol");
        }
    }
}

/// What the plan says of the default is what somebody else's change would be lost to.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_others_change_before_it_moves_stops_the_run() {
    let version = versions().remove(0);
    let site = Site::new(&version, FUEL).await;
    for (at, phase) in (0..).zip([Phase::Expand, Phase::Verify]) {
        site.run(Some(phase)).await.unwrap();
        for ddl in ["SET DEFAULT 'electric'", "DROP DEFAULT"] {
            site.database.execute(&format!("ALTER TABLE vehicles ALTER fuel {ddl}")).await;
            let error = site.run(None).await.map(|end| panic!("{ddl}: {end:?}")).unwrap_err();
            assert!(matches!(error, Error::Drifted { .. }), "{ddl}: {error:?}");
            let said = error.to_string();
            assert!(
                said.contains("the default of column \"fuel\" is") && said.contains("'petrol'::public.fuel"),
                "{said}"
            );
            if ddl != "DROP DEFAULT" {
                // Until somebody decides, INSERTs store what is the default now.
                assert_eq!(site.insert(1000 + at, &[]).await, ["electric", "electric"], "{ddl}");
            }
            site.database.execute("ALTER TABLE vehicles ALTER fuel SET DEFAULT 'diesel'").await;
        }
    }
    site.ends("put back").await;
    assert_eq!(site.database.schema().await, altered(&version, FUEL).await);
    // On the way back it stays what others have made of it.
    let site = Site::new(&version, FUEL).await;
    site.run(Some(Phase::Verify)).await.unwrap();
    site.database.execute("ALTER TABLE vehicles ALTER fuel SET DEFAULT 'electric'").await;
    site.tool.rollback("p", None).await.unwrap();
    assert_eq!(site.insert(2000, &[]).await, ["electric"]);
}

/// Afterwards the column has the new type, and what others make its default stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_others_change_after_it_has_moved_stays() {
    let version = versions().remove(0);
    let site = Site::new(&version, FUEL).await;
    site.run(Some(Phase::Switch)).await.unwrap();
    site.database.execute("ALTER TABLE vehicles ALTER fuel SET DEFAULT 'electric'").await;
    site.ends("a default after the switch").await;
    assert_eq!(site.insert(1000, &[]).await, ["electric"]);
}

/// A default that the old type does not take would be lost on the way back: a rollback says so, and does not fail half-way.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_has_no_way_back_is_not_lost_silently() {
    let version = versions().remove(0);
    let change = "change_type: { column: seats, to: text, reverse: \"b::integer\", via: b }";
    let site = Site::new(&version, change).await;
    site.run(Some(Phase::Switch)).await.unwrap();
    site.database.execute("ALTER TABLE vehicles ALTER seats SET DEFAULT 'many'").await;
    for _ in 0..2 {
        let error = site.tool.rollback("p", None).await.map(|end| panic!("{end:?}")).unwrap_err();
        assert!(matches!(error, Error::MadeOnNew { .. }), "{error:?}");
        assert!(error.to_string().contains("the default 'many'::text of column \"seats\""), "{error}");
    }
    site.database.execute("ALTER TABLE vehicles ALTER seats DROP DEFAULT").await;
    site.tool.rollback("p", None).await.unwrap();
    let default = "SELECT atthasdef FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attname = 'seats'";
    assert!(!site.database.scalar::<bool>(default).await);
}

async fn says(site: &Site) -> Preview {
    site.tool.preview(&site.plan).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_is_wrong_with_a_default() {
    let version = versions().remove(0);
    let without = FUEL.replace(", default: \"'petrol'\"", "");
    for (change, said, help) in [
        (without.as_str(), "PostgreSQL refuses to change column \"fuel\": default for column", "`default: ...`"),
        (
            &FUEL.replace("'petrol'", "'coal'"),
            "`default` of column \"fuel\": invalid input value for enum",
            "of the type public.fuel",
        ),
        (
            &FUEL.replace("'petrol'", "1"),
            "column \"fuel\" is of type fuel but default expression is of type integer",
            "",
        ),
        (&FUEL.replace("'petrol'", "seats"), "cannot use column reference", "it can use no column"),
        (&FUEL.replace("'petrol'", "'petrol'), b int DEFAULT (1"), "it is more than an expression", ""),
        (&FUEL.replace("'petrol'", "'petrol') CHECK (true"), "it is more than an expression", ""),
        (
            "change_type: { column: fuel, to: varchar(40), default: \"'coal'\" }",
            "has no use: PostgreSQL changes the type in place",
            "remove `default`",
        ),
    ] {
        let site = Site::new(&version, change).await;
        let refusals = says(&site).await.refusals;
        assert_eq!(refusals.iter().map(|refusal| refusal.code).collect::<Vec<_>>(), ["catalog::default"], "{change}");
        assert!(refusals[0].message.contains(said), "{change}: {}", refusals[0].message);
        assert!(refusals[0].help.contains(help), "{change}: {}", refusals[0].help);
    }
    let unqualified = |preview: &Preview| {
        let mut found = preview.warnings.iter().filter(|finding| finding.code == "catalog::unqualified_name");
        found.next().map(|finding| finding.message.clone())
    };
    let site = Site::new(&version, &FUEL.replace("'petrol'", "'petrol'::fuel")).await;
    let said = unqualified(&says(&site).await);
    assert_eq!(said.as_deref(), Some("`default` of column \"fuel\" names type public.fuel without a schema"));
    assert_eq!(unqualified(&says(&Site::new(&version, FUEL).await).await), None);
}
