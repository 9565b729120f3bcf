//! What a person decides on a page is what the command line would have done, with the name in the log.

use super::{LOG, PLAN, Served, TABLE, hidden, plan};
use crate::harness::{Cli, Database, PATIENCE, wait_for};
use crate::report_page::Page;

/// The log as people read it.
async fn history(database: &Database) -> String {
    Cli::new(&database.url).args(["history", "rename"]).run().await.stdout
}

/// Another role's way to the database.
fn url_as(database: &Database, role: &str) -> String {
    let (scheme, rest) = database.url.split_once("://").unwrap();
    format!("{scheme}://{role}@{}", rest.split_once('@').map_or(rest, |(_, rest)| rest))
}

#[tokio::test]
async fn decisions_are_those_of_the_command_line_and_carry_a_name() {
    let database = Database::new().await;
    let approver = format!("approver_{}", database.name);
    database.execute(&format!("{TABLE}; CREATE ROLE {approver} LOGIN SUPERUSER")).await;
    let plan = plan(&format!("{PLAN}approve: [switch]\n"));
    let output = Cli::new(&database.url).args(["run", plan.path().to_str().unwrap(), "--yes"]).run().await;
    assert_eq!(output.code, Some(5), "{output:#?}");
    let served = Served::on(&url_as(&database, &approver), &[]).await;
    let on = "/runs/rename";

    // Without a name there is nothing to click but that.
    let (_, body) = served.get("/runs/rename/actions").await;
    assert_eq!(Page::read_with_forms(&body).forms, ["name"], "{body}");
    let before: String = database.scalar(LOG).await;
    assert_eq!(served.send("/runs/rename/pause", "").await.location(), "actions");
    assert_eq!(database.scalar::<String>(LOG).await, before);
    for nobody in ["person=", "person=%20%20", "person=a%0Ab", &format!("person={}", "x".repeat(81))] {
        assert_eq!(served.send("/runs/rename/name", nobody).await.status, 409, "{nobody}");
    }
    let named = served.send("/runs/rename/name", "person=Ann+%3Cb%3E%22%26%C3%A9").await;
    assert_eq!((named.status, named.location()), (303, "actions"));
    let served = Served { cookie: format!("{}; {}", served.cookie, named.cookie()), ..served };
    let (_, body) = served.get("/runs/rename/actions").await;
    let page = Page::read_with_forms(&body);
    assert_eq!(page.forms, ["name", "approve", "pause", "verify", "tune"]);
    assert!(page.says("You decide as Ann <b>\"&é.") && !body.contains("Ann <b>"), "{body}");

    // Paused and resumed: the page shows it, the log has the name, a second click changes nothing.
    for (act, words) in [("pause", "paused"), ("pause", "paused"), ("resume", "resumed")] {
        let done = served.send(&format!("{on}/{act}"), "").await;
        assert_eq!((done.status, done.location()), (303, "actions"), "{done:#?}");
        assert!(Page::read_with_forms(&served.get("/runs/rename/actions").await.1).says(words));
    }
    let log = history(&database).await;
    assert_eq!(log.matches("Ann <b>\"&é through ").count(), 2, "{log}");

    // A setting, as the command line checks it.
    assert_eq!(served.send(&format!("{on}/tune"), "key=max_rows_per_second&value=500").await.status, 303);
    assert!(history(&database).await.contains("max_rows_per_second set to 500"), "{}", history(&database).await);
    for (form, says) in [
        ("key=max_rows_per_second&value=many", "max_rows_per_second"),
        ("key=nothing&value=1", "there is no setting nothing"),
        ("key=max_rows_per_second&value=", "Choose a setting"),
        ("", "Choose a setting"),
    ] {
        let refused = served.send(&format!("{on}/tune"), form).await;
        assert!(refused.status == 409 && Page::read(&refused.body).says(says), "{form}: {refused:#?}");
    }

    // An approval is of what was seen.
    let digest = hidden(&served.get("/runs/rename/actions").await.1, "digest").to_owned();
    let wrong = format!("phase=switch&digest={}", "0".repeat(64));
    let refused = served.send(&format!("{on}/approve"), &wrong).await;
    assert!(refused.status == 409 && Page::read(&refused.body).says("have changed since"), "{refused:#?}");
    let form = format!("phase=switch&digest={digest}&comment=after+the+release");
    assert_eq!(served.send(&format!("{on}/approve"), &form).await.status, 303);
    assert!(history(&database).await.contains("switch was approved by Ann <b>\"&é: after the release"));
    assert_eq!(served.send(&format!("{on}/revoke"), "phase=switch").await.status, 303);
    assert!(history(&database).await.contains("took the approval of switch back"));
    for (act, form) in [("approve", format!("phase=expand&digest={digest}")), ("revoke", "phase=switch".to_owned())] {
        let refused = served.send(&format!("{on}/{act}"), &form).await;
        let page = Page::read(&refused.body);
        assert!(refused.status == 409 && page.says("What to do:") && page.links == ["actions"], "{refused:#?}");
    }
    for unknown in ["advance", "rollback", "repair", "run", "approve", "cleanup"] {
        assert_eq!(served.send(&format!("{on}/{unknown}"), "").await.status, 404, "{unknown}");
    }
    assert_eq!(served.post("/runs/none/pause", "", &[&format!("Cookie: {}", served.cookie)]).await.status, 403);

    // A check goes on beside the requests.
    let checks = "SELECT count(*) FROM crossfade.event WHERE entry ->> 'kind' = 'verified'";
    let before: i64 = database.scalar(checks).await;
    assert_eq!(served.send(&format!("{on}/verify"), "").await.status, 303);
    wait_for("the check to end", PATIENCE, async || served.get("/runs/rename/actions").await.1.contains("all equal"))
        .await;
    assert_eq!(database.scalar::<i64>(checks).await, before + 1);
    let output = Cli::new(&database.url).args(["history", "rename", "--check"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
}

/// Whoever the server is, counts: the page gives nobody a right, and says what the command line says.
#[tokio::test]
async fn what_the_role_may_not_do_no_visitor_may() {
    let database = Database::new().await;
    let reader = format!("reader_{}", database.name);
    database.execute(&format!("{TABLE}; CREATE ROLE {reader} LOGIN")).await;
    let plan = plan(&format!("{PLAN}approve: [switch]\n"));
    let output = Cli::new(&database.url).args(["run", plan.path().to_str().unwrap(), "--yes"]).run().await;
    assert_eq!(output.code, Some(5), "{output:#?}");
    database
        .execute(&format!(
            "GRANT USAGE ON SCHEMA crossfade TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA crossfade TO {reader};
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA crossfade TO {reader}"
        ))
        .await;
    let before: String = database.scalar(LOG).await;
    for (url, status) in [(url_as(&database, &reader), [403, 409]), (database.url.clone(), [403, 303])] {
        let mut served = Served::on(&url, &[]).await;
        let named = served.send("/runs/rename/name", "person=ann").await;
        served.cookie = format!("{}; {}", served.cookie, named.cookie());
        let digest = hidden(&served.get("/runs/rename/actions").await.1, "digest").to_owned();
        // The first may not approve at all, the second not what it has started itself.
        let refused = served.send("/runs/rename/approve", &format!("phase=switch&digest={digest}")).await;
        let cli = Cli::new(&url).args(["approve", "rename", "switch", "--as", "ann"]).run().await;
        let said = cli.stderr.split_once("]: ").unwrap().1.lines().next().unwrap();
        assert!(refused.status == status[0] && Page::read(&refused.body).says(said), "{said}: {refused:#?}");
        assert_eq!(database.scalar::<String>(LOG).await, before);
        let paused = served.send("/runs/rename/pause", "").await;
        assert_eq!(paused.status, status[1], "{paused:#?}");
    }
    assert_ne!(database.scalar::<String>(LOG).await, before);
}
