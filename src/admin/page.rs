//! `/`: the live page. Style and script stand in the page itself, and the browser is told their hashes: it
//! runs and fetches nothing else.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::answer::Answer;

const FRAME: &str = include_str!("page/frame.html");
const STYLE: &str = include_str!("page/live.css");
const SCRIPT: &str = include_str!("page/live.js");

static PAGE: LazyLock<String> = LazyLock::new(|| {
    FRAME
        .replacen("/*style*/", STYLE, 1)
        .replacen("/*script*/", SCRIPT, 1)
});

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let [style, script] = [STYLE, SCRIPT].map(|text| BASE64_STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page.
pub(super) fn answer() -> Answer {
    let mut answer = Answer::new(200, "text/html; charset=utf-8", PAGE.clone().into());
    answer.set("content-security-policy", POLICY.clone());
    answer
}
