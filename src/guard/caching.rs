//! What the caches between a server and its clients are told of a route's responses (RFC 9111).
//!
//! A shared cache keeps no response to a request with `Authorization` by itself (§3.5), but knows nothing of
//! API keys, and may be told to keep whatever has no `Cache-Control`. So what somebody had to prove who they
//! are for is kept nowhere: errors included, as a 404 of one is not another's.

use super::Lines;

/// The lines of all responses of a route. `is_personal`: it asks who asks. `fields`: names of those of the
/// request that its answer depends on, `*` for any.
pub fn lines(is_personal: bool, fields: &[&str]) -> Option<Lines> {
    if is_personal {
        return Some(b"cache-control: no-store\r\n"[..].into());
    }
    let mut names: Vec<String> = fields
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    names.sort_unstable();
    names.dedup();
    let names = match names.first()?.as_str() {
        "*" => "*".to_owned(), // stands alone (RFC 9110 §12.5.5)
        _ => names.join(", "),
    };
    Some(format!("vary: {names}\r\n").into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(is_personal: bool, fields: &[&str]) -> String {
        let lines = lines(is_personal, fields).unwrap_or_default();
        String::from_utf8(lines.to_vec()).unwrap()
    }

    #[test]
    fn what_caches_are_told() {
        assert_eq!(text(false, &[]), "");
        assert_eq!(text(true, &[]), "cache-control: no-store\r\n");
        assert_eq!(text(true, &["x-a"]), "cache-control: no-store\r\n");
        assert_eq!(text(false, &["X-B", "x-a", "x-b"]), "vary: x-a, x-b\r\n");
        assert_eq!(text(false, &["x-a", "*"]), "vary: *\r\n");
    }
}
