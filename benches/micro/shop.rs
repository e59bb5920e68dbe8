//! The shop's routes as they are once Postgres has described their statements, without Postgres.

use pinion::api::{self, Api, Bound, Input, Plan, Route};
use pinion::demo;
use pinion::json::Decoder;
use tokio_postgres::types::Type;

/// A column: its name, its type and a value as JSON writes it.
pub type Column<'a> = (&'a str, Type, &'a str);

pub const USER: [Column<'static>; 4] = [
    ("user_id", Type::INT8, "42"),
    ("username", Type::TEXT, "\"user42\""),
    ("email", Type::TEXT, "\"user42@example.com\""),
    ("last_active", Type::FLOAT8, "1766893001.958"),
];

pub const PRODUCT: [Column<'static>; 5] = [
    ("product_id", Type::INT8, "25042"),
    ("name", Type::TEXT, "\"Classic Lamp 25042\""),
    ("category", Type::TEXT, "\"lighting\""),
    ("price", Type::NUMERIC, "129.42"),
    (
        "created_at",
        Type::TIMESTAMPTZ,
        "\"2024-12-13T19:20:00+00:00\"",
    ),
];

pub const AGENT: [Column<'static>; 8] = [
    (
        "agent_id",
        Type::UUID,
        "\"00000000-0000-4000-8000-000000000004\"",
    ),
    ("tenant", Type::TEXT, "\"globex\""),
    ("name", Type::TEXT, "\"agent-4\""),
    ("model", Type::TEXT, "\"large-1\""),
    ("status", Type::TEXT, "\"idle\""),
    (
        "capabilities",
        Type::TEXT_ARRAY,
        "[\"search\",\"summarise\",\"translate\",\"classify\",\"draft\"]",
    ),
    (
        "config",
        Type::JSONB,
        "{\"stream\": true, \"max_tokens\": 1024, \"temperature\": 0.4}",
    ),
    (
        "created_at",
        Type::TIMESTAMPTZ,
        "\"2025-01-05T00:00:00+00:00\"",
    ),
];

pub fn load() -> Api {
    api::load("shop.toml", demo::ROUTES).expect("the shop's file has no fault")
}

pub fn route<'a>(api: &'a Api, name: &str) -> &'a Route {
    let route = api.routes.iter().find(|route| route.name == name);
    route.expect("the shop has this route")
}

pub fn names_and_types(columns: &[Column<'_>]) -> Vec<(String, Type)> {
    let columns = columns.iter();
    columns
        .map(|(name, ty, _)| ((*name).to_owned(), ty.clone()))
        .collect()
}

/// The plan of a route whose parameters are of these types, in the order of its statement.
pub fn plan(name: &str, params: &[Type], columns: &[Column<'_>]) -> Plan {
    let api = load();
    match route(&api, name).plan(&api, params, &names_and_types(columns)) {
        Ok(plan) => plan,
        Err(faults) => panic!("{}", faults[0]),
    }
}

/// A row as Postgres sends it.
pub fn row(columns: &[Column<'_>]) -> Vec<Vec<u8>> {
    let binary = |(_, ty, json): &Column<'_>| {
        let mut bytes = Vec::new();
        let decoder = Decoder::resolve(ty).expect("the type is supported");
        decoder
            .json(json, &mut bytes)
            .expect("the value is one of the type");
        bytes
    };
    columns.iter().map(binary).collect()
}

/// The JSON that a row of these becomes.
pub fn object(columns: &[Column<'_>]) -> String {
    let members = columns.iter();
    let members: Vec<String> = members
        .map(|(name, _, json)| format!("\"{name}\":{json}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// What the look-up of a user binds.
pub fn bound_user(plan: &Plan, user_id: usize) -> Bound {
    let mut bound = Bound::default();
    let input = Input {
        captures: &[&user_id.to_string()],
        query: None,
        header: &|_| None,
        content_type: None,
        body: b"",
        claim: &|_| None,
    };
    plan.bind(&input, &mut bound)
        .expect("a number is a user_id");
    bound
}
