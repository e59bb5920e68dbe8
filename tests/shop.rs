//! The shop over a real Postgres: every route, from the outside.

mod support;

use sonic_rs::{JsonContainerTrait, JsonValueTrait};

use support::{Postgres, Server};

#[test]
fn a_user_is_found_and_a_deleted_one_is_not() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let response = server.get("/users/42");
    assert_eq!(response.status, 200);
    let user = response.json();
    assert_eq!(user["user_id"].as_i64(), Some(42));
    assert!(user["last_active"].is_f64());
    let deleted = postgres.sql("select min(user_id) from users where deleted_at is not null");
    let response = server.get(&format!("/users/{deleted}"));
    assert_eq!(response.status, 404);
    let error = response.json();
    assert_eq!(error["error"].as_str(), Some("User not found"));
    assert_eq!(error["code"].as_u64(), Some(404));
    assert_eq!(error.as_object().map(|object| object.len()), Some(3));
}
