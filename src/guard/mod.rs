//! What happens between routing and binding, whatever the route. For now: the request's identity.

mod request_id;

pub use request_id::RequestId;

/// What the routes file says of the guards.
#[derive(Clone, Debug, Default)]
pub struct Settings {}
