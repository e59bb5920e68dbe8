//! Rate limits that are counted in Redis: what a core's client makes of a real Redis, whole, slow, frozen,
//! killed and flushed, and of servers that are none; and the real server on top of it.

#[path = "redis/exact.rs"]
mod exact;
#[path = "redis/fixture.rs"]
mod fixture;
#[path = "redis/outages.rs"]
mod outages;
#[path = "redis/peers.rs"]
mod peers;
#[path = "redis/served.rs"]
mod served;
#[path = "redis/sessions.rs"]
mod sessions;
mod support;
