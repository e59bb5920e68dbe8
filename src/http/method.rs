//! Request methods and protocol versions.

/// The methods that a route can have or that the server answers by itself (RFC 9110 §9.3, RFC 5789).
///
/// Every other one, TRACE and CONNECT among them, is [`Fault::UnknownMethod`](super::Fault::UnknownMethod).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// RFC 9110 §9.3.1.
    Get,
    /// RFC 9110 §9.3.2.
    Head,
    /// RFC 9110 §9.3.3.
    Post,
    /// RFC 9110 §9.3.4.
    Put,
    /// RFC 5789 §2.
    Patch,
    /// RFC 9110 §9.3.5.
    Delete,
    /// RFC 9110 §9.3.7.
    Options,
}

impl Method {
    /// Every method, in the order in which they are declared.
    pub const ALL: [Method; 7] = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
        Method::Options,
    ];

    /// The method of that name; names are case-sensitive (RFC 9110 §9.1).
    pub fn from_name(name: &[u8]) -> Option<Method> {
        match name {
            b"GET" => Some(Method::Get),
            b"HEAD" => Some(Method::Head),
            b"POST" => Some(Method::Post),
            b"PUT" => Some(Method::Put),
            b"PATCH" => Some(Method::Patch),
            b"DELETE" => Some(Method::Delete),
            b"OPTIONS" => Some(Method::Options),
            _ => None,
        }
    }

    /// Whether it only reads, as far as the client is concerned (RFC 9110 §9.2.1).
    #[inline]
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options)
    }

    /// The name as it stands in a request line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }
}

/// Protocol versions as far as they change what the server does. A higher minor version than 1
/// counts as 1.1 (RFC 9110 §2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: closes by default, no chunked bodies, Host optional.
    Http10,
    /// HTTP/1.1 and higher minor versions.
    Http11,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_case_sensitive() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name().as_bytes()), Some(method));
            assert_eq!(
                Method::from_name(method.name().to_lowercase().as_bytes()),
                None
            );
        }
        for refused in ["TRACE", "CONNECT", "PRI", "", "GETS"] {
            assert_eq!(Method::from_name(refused.as_bytes()), None);
        }
    }
}
