//! What Postgres is told, and that it has forgotten it with the end of the statement.

use std::time::Duration;

use pinion::error::Failure;
use pinion::guard::RequestId;
use pinion::pg::execute::Running;

use crate::fixture::{SCHEMA, Who, api, json, on_one_connection};
use crate::support::Postgres;

fn app(postgres: &Postgres) -> String {
    format!("{}&user=app", postgres.url())
}

const NOBODY: &str = r#"{"claims":"","role":"app"}"#;

#[test]
fn a_statement_sees_its_requests_settings_and_the_next_one_sees_none() {
    let postgres = Postgres::start(SCHEMA);
    on_one_connection(
        api(&["agent", "auditor"]),
        &app(&postgres),
        |core| async move {
            let one = Who::new("t1", "agent");
            let auditor = Who::new("t1", "auditor");
            // The empty text from the first statement on, and not NULL.
            assert_eq!(core.ask("public", "", &one).await.unwrap(), NOBODY);
            for who in [&one, &auditor, &one] {
                let told = json(&core.ask("told", "", who).await.unwrap());
                let claims = format!(r#"{{"tenant":"t1","role":"{}"}}"#, who.role);
                assert_eq!(told["claims"], *claims);
                assert_eq!(
                    (&told["id"], &told["path"]),
                    (&"one".into(), &"/told".into())
                );
                assert_eq!(told["role"], *who.role);
                assert_eq!(core.ask("public", "", &one).await.unwrap(), NOBODY);
            }
            // Plans are made again for whom they are run: 30 agents of 90 are the tenant's.
            for _ in 0..8 {
                for (who, count) in [(&one, 30), (&auditor, 90)] {
                    for route in ["agents", "nested"] {
                        let rows = json(&core.ask(route, "", who).await.unwrap());
                        let rows = rows.as_array().unwrap().clone();
                        assert_eq!(rows.len(), count, "{route} as {}", who.role);
                        assert!(rows.iter().all(|row| row["role"] == *who.role));
                    }
                    // `app` may read as both may.
                    let all = core.ask("public_agents", "", &one).await.unwrap();
                    assert_eq!(all, r#"{"count":90,"role":"app"}"#);
                }
            }
        },
    );
}

#[test]
fn whatever_becomes_of_a_statement_its_settings_are_gone() {
    let postgres = Postgres::start(SCHEMA);
    on_one_connection(api(&["agent"]), &app(&postgres), |core| async move {
        let one = Who::new("t1", "agent");
        let state = |outcome: Result<String, Failure>| match outcome {
            Err(Failure::Sql { state, .. }) => state,
            other => panic!("{other:?}"),
        };
        assert_eq!(state(core.ask("divide", "0", &one).await), "22012");
        assert_eq!(core.ask("public", "", &one).await.unwrap(), NOBODY);
        assert_eq!(state(core.ask("nap", "1", &one).await), "57014");
        assert_eq!(core.ask("public", "", &one).await.unwrap(), NOBODY);
        let running = Running::default();
        let napping = core.ask_running("cancellable_nap", "0.25", &one, Some(&running));
        let cancelling = async {
            core.ring.sleep(Duration::from_millis(50)).await;
            core.database.cancel(&running);
        };
        let (napped, ()) = futures_util::future::join(napping, cancelling).await;
        assert_eq!(state(napped), "57014");
        let napped = core.ask("cancellable_nap", "0", &one).await.unwrap();
        assert_eq!(napped, r#"{"tenant":"t1","role":"agent"}"#);
    });
}

#[test]
fn a_role_that_postgres_refuses_lets_nothing_run() {
    let postgres = Postgres::start(SCHEMA);
    let url = app(&postgres);
    on_one_connection(api(&["agent"]), &url, |core| async move {
        for role in [
            "outsider",
            "nobody",
            "postgres",
            "NONE",
            "\"agent\"",
            "agent ",
            "",
        ] {
            let who = Who::new("t1", role);
            for route in ["agents", "agent", "note"] {
                let capture = if route == "agents" { "" } else { "1" };
                let outcome = core.ask(route, capture, &who).await;
                assert_eq!(outcome, Err(Failure::NotPrepared), "{route} as {role:?}");
            }
            // In a batch as well.
            let asked = (0..5).map(|_| core.ask("agents", "", &who));
            for outcome in futures_util::future::join_all(asked).await {
                assert_eq!(outcome, Err(Failure::NotPrepared), "{role:?}");
            }
            assert_eq!(core.ask("public", "", &who).await.unwrap(), NOBODY);
        }
        let one = Who::new("t1", "agent");
        assert!(core.ask("agent", "1", &one).await.is_ok());
    });
    assert_eq!(postgres.sql("select count(*) from notes"), "0");
}

#[test]
fn a_request_without_its_routes_settings_does_not_run() {
    let postgres = Postgres::start(SCHEMA);
    on_one_connection(api(&["agent"]), &app(&postgres), |core| async move {
        let one = Who::new("t1", "agent");
        let index = core.route("told");
        let description = core.database.description(index).unwrap();
        // Of another route, which is told of less; and none at all.
        for session in [core.session("nap", &one), None] {
            let bound = pinion::api::Bound::default();
            let id = RequestId::made(Duration::ZERO);
            let database = &core.database;
            let execute = database.execute(index, &id, description.clone(), bound, None, session);
            let failed = execute.await.expect_err("nothing runs");
            assert_eq!(failed.failure, Failure::Internal);
        }
    });
}

#[test]
fn a_statement_that_ddl_made_stale_is_run_again_with_all_settings() {
    let postgres = Postgres::start(SCHEMA);
    let url = app(&postgres);
    let admin = postgres.url();
    on_one_connection(api(&["agent", "auditor"]), &url, |core| async move {
        let mut sql = postgres::Client::connect(&admin, postgres::NoTls).unwrap();
        let one = Who::new("t2", "agent");
        let changes = [
            "alter table agents alter column id type int8",
            "drop function tenant() cascade;
             create function tenant() returns text language sql stable as
               $$ select nullif(current_setting('request.jwt.claims', true), '')::json ->> 'tenant' $$;
             create policy own on agents to agent using (tenant = tenant())",
            "alter table agents rename to former; create view agents with (security_invoker) as table former;
             grant select on agents to agent, auditor, app",
        ];
        for change in changes {
            assert!(core.ask("agents", "", &one).await.is_ok());
            if let Err(error) = sql.batch_execute(change) {
                // Postgres before 15 has no such views.
                let words = format!("{error:?}");
                assert!(words.contains("security_invoker"), "{words}");
                continue;
            }
            for route in ["agents", "nested"] {
                let rows = json(&core.ask(route, "", &one).await.unwrap());
                let rows = rows.as_array().unwrap().clone();
                assert_eq!(rows.len(), 30, "{route} after {change}");
                let own = |row: &serde_json::Value| row["tenant"] == "t2" && row["role"] == "agent";
                assert!(rows.iter().all(own));
            }
            let agent = json(&core.ask("agent", "2", &one).await.unwrap());
            assert_eq!(
                (&agent["tenant"], &agent["role"]),
                (&"t2".into(), &"agent".into())
            );
            // An empty `one`: another tenant's.
            assert_eq!(core.ask("agent", "3", &one).await.unwrap(), "");
        }
    });
}

#[test]
fn the_statement_that_makes_settings_may_get_lost() {
    let postgres = Postgres::start(SCHEMA);
    let mut api = api(&["agent"]);
    // Nobody would declare it: a function may do what a route's own text may not.
    postgres.sql(
        "create function forget() returns int language plpgsql as
           $$ begin execute 'deallocate all'; return 1; end $$",
    );
    let nap = api
        .routes
        .iter()
        .position(|route| route.name == "divide")
        .unwrap();
    let text = &mut api.routes[nap].statement.text;
    *text = "select forget() / $1::int4 as one, tenant() as tenant, current_user::text as role"
        .to_owned();
    on_one_connection(api, &app(&postgres), |core| async move {
        let one = Who::new("t1", "agent");
        for _ in 0..3 {
            let _ = core.ask("divide", "1", &one).await;
            let note = core.ask("note", "kept", &one).await;
            assert_eq!(note.unwrap(), r#"{"tenant":"t1","role":"agent"}"#);
        }
    });
    assert_eq!(postgres.sql("select count(*) from notes"), "3");
}
