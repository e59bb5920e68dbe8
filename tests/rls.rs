//! Row-level security: a request's settings and role hold for its own statement and for nothing else,
//! whatever becomes of it.

#[path = "rls/fixture.rs"]
mod fixture;
#[path = "rls/http.rs"]
mod http;
#[path = "rls/round_trip.rs"]
mod round_trip;
#[path = "rls/settings.rs"]
mod settings;
mod support;
#[path = "rls/tenants.rs"]
mod tenants;
