//! What a peer answers when it has no rows to give, in the form of Pinion's error body.

use serde::Serialize;

#[derive(Debug)]
pub enum Failure {
    /// 404 with this message
    NotFound(&'static str),
    /// 422 with one detail
    Invalid(Detail),
    /// 503; what went wrong is on stderr
    Database,
}

#[derive(Debug, Serialize)]
pub struct Detail {
    pub loc: &'static [&'static str],
    pub msg: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    code: u16,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[&'a Detail; 1]>,
}

impl Failure {
    pub fn status(&self) -> u16 {
        match self {
            Failure::NotFound(_) => 404,
            Failure::Invalid(_) => 422,
            Failure::Database => 503,
        }
    }

    /// The JSON object, with a request id of its own.
    pub fn body(&self) -> Vec<u8> {
        let (error, details) = match self {
            Failure::NotFound(message) => (*message, None),
            Failure::Invalid(detail) => ("Validation failed", Some([detail])),
            Failure::Database => ("The database is not available", None),
        };
        let body = Body {
            error,
            code: self.status(),
            request_id: uuid::Uuid::now_v7().to_string(),
            details,
        };
        serde_json::to_vec(&body).expect("strings and numbers are always JSON")
    }
}

/// For the database errors of each driver: logged, and never shown to a client.
pub fn database(error: impl std::fmt::Display) -> Failure {
    eprintln!("database: {error}");
    Failure::Database
}
