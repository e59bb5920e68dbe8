//! Settings that can't be meant end the start, each with its place and what to write instead.

use super::echo::ROUTES;
use crate::support::{TempDir, ended, pinion};

#[test]
fn what_can_not_be_meant_is_a_fault() {
    for (lines, line, message, help) in [
        (
            "allow_origins = [\"*\"]\nallow_credentials = true",
            2,
            "\"*\" in \"allow_origins\" means nothing with allow_credentials",
            "list what is allowed",
        ),
        (
            "allow_origins = [\"https://shop.example/\"]",
            2,
            "an origin ends after its host and port",
            "write \"https://shop.example\"",
        ),
        (
            "allow_origins = [\"https://a.example\", \"shop.example\"]",
            2,
            "an origin begins with its scheme",
            "such as \"https://shop.example\"",
        ),
        (
            "allow_origins = [\"https://Shop.example\"]",
            2,
            "an origin is in lower case",
            "write \"https://shop.example\"",
        ),
        (
            "allow_origins = [\"null\"]",
            2,
            "\"null\" can't be allowed",
            "always refused",
        ),
        (
            "allow_origins = [\"https://m\u{fc}nchen.example\"]",
            2,
            "an origin is in ASCII",
            "xn--",
        ),
        (
            "allow_origins = [\"https://shop.example:443\"]",
            2,
            "443 is the port of https",
            "write \"https://shop.example\"",
        ),
        (
            "allow_origins = [\"https://a.example\"]\n\nmax_age = \"2d\"",
            4,
            "\"max_age\"",
            "",
        ),
        (
            "max_age = \"10m\"",
            1,
            "[cors] has no \"allow_origins\"",
            "",
        ),
        (
            "allow_origin = [\"https://a.example\"]",
            2,
            "unknown key \"allow_origin\" in [cors]",
            "did you mean \"allow_origins\"?",
        ),
    ] {
        let directory = TempDir::new();
        let file = directory.file("routes.toml", &format!("[cors]\n{lines}\n{ROUTES}"));
        let mut command = pinion(&["check", "--database-url", "postgres:///x", "--routes"]);
        command.arg(file);
        let (code, _, err) = ended(command);
        assert_eq!(code, Some(1), "{lines}: {err}");
        for part in [message, help, &format!("routes.toml:{line}:")] {
            assert!(err.contains(part), "{lines}: {err}");
        }
    }
}
