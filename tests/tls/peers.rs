//! The programs that people reach for: curl and openssl.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::support::certificates::{Authority, Leaf, Validity};
use super::{Https, https, https_of, https_with, start};

/// Runs curl against the server as `host` and gives its exit code and what it printed.
fn curl(https: &Https, host: &str, trusted: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let port = https.address().port();
    let target = arguments.last().expect("a target");
    let output = Command::new("curl")
        .args([
            "-q",
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "30",
        ])
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(trusted)
        .args(&arguments[..arguments.len() - 1])
        .arg(format!("https://{host}:{port}{target}"))
        .output()
        .expect("the tests need curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (
        output.status.code(),
        text + &String::from_utf8_lossy(&output.stderr),
    )
}

/// Runs `openssl s_client`, sends `input` and gives what it printed.
fn s_client(https: &Https, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &https.address().to_string(),
            "-CAfile",
        ])
        .arg(https.authority.file(&https.directory, "s_client-ca.pem"))
        .args(["-verify_return_error", "-verify_hostname", "localhost"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tests need openssl");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("its output")
}

fn text_of(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

const LAST_REQUEST: &str = "GET /echo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn curl_is_served() {
    let https = https(&[]);
    let trusted = https.authority.file(&https.directory, "ca.pem");
    for version in [
        ["--tlsv1.2", "--tls-max", "1.2"],
        ["--tlsv1.3", "--tls-max", "1.3"],
    ] {
        let arguments = [
            &version[..],
            &["--http2", "-w", " %{http_version}", "/echo/x"],
        ]
        .concat();
        let (code, text) = curl(&https, "localhost", &trusted, &arguments);
        assert_eq!(
            (code, &*text),
            (Some(0), "{\"text\":\"x\"} 1.1"),
            "offers h2 as well"
        );
    }
    let body = https.directory.file(
        "body",
        &format!("{{\"text\":\"{}\"}}", "b".repeat(1_000_000)),
    );
    let body = format!("@{}", body.display());
    let json = "Content-Type: application/json";
    let arguments = ["-H", json, "--data-binary", &body, "/length"];
    let (code, text) = curl(&https, "localhost", &trusted, &arguments);
    assert_eq!((code, &*text), (Some(0), "{\"length\":1000000}"));
    // Two requests over one connection.
    let port = https.address().port();
    let next = format!("https://localhost:{port}/echo/y");
    let arguments = ["-w", " %{num_connects} ", &next, "/echo/x"];
    let (_, text) = curl(&https, "localhost", &trusted, &arguments);
    assert_eq!(text, "{\"text\":\"y\"} 1 {\"text\":\"x\"} 0 ");
}

#[test]
fn curl_refuses_who_is_not_who_it_should_be() {
    let peer_failed_verification = Some(60);
    let server = https(&[]);
    let trusted = server.authority.file(&server.directory, "ca.pem");
    let (code, text) = curl(&server, "elsewhere.test", &trusted, &["/health"]);
    assert_eq!(code, peer_failed_verification, "wrong host: {text}");
    let stranger = Authority::new("Stranger").file(&server.directory, "stranger.pem");
    let (code, text) = curl(&server, "localhost", &stranger, &["/health"]);
    assert_eq!(code, peer_failed_verification, "unknown issuer: {text}");
    for validity in [Validity::Past, Validity::Future] {
        let leaf = Leaf {
            validity,
            ..Leaf::default()
        };
        let authority = Authority::new("Test Root");
        let issued = authority.issue(&leaf);
        let server = start(authority, &issued, &[]);
        let trusted = server.authority.file(&server.directory, "ca.pem");
        let (code, text) = curl(&server, "localhost", &trusted, &["/health"]);
        assert_eq!(code, peer_failed_verification, "dates: {text}");
        let (code, text) = curl(&server, "localhost", &trusted, &["--insecure", "/health"]);
        assert_eq!(code, Some(0), "the server itself is there: {text}");
    }
}

#[test]
fn openssl_is_served_in_both_versions_and_in_no_older_one() {
    let https = https(&[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let output = s_client(&https, &[version, "-quiet", "-ign_eof"], LAST_REQUEST);
        let text = text_of(&output);
        assert!(output.status.success(), "{text}");
        assert!(
            text.contains("HTTP/1.1 200") && text.contains("{\"text\":\"x\"}"),
            "{text}"
        );
    }
    for version in ["-tls1", "-tls1_1"] {
        let arguments = [version, "-cipher", "ALL:@SECLEVEL=0"];
        let output = s_client(&https, &arguments, LAST_REQUEST);
        let text = text_of(&output);
        assert!(!output.status.success(), "{text}");
        // Not of the version, or that nothing in it is of use.
        assert!(text.contains("SSL alert number"), "{text}");
        assert!(text.contains("Cipher is (NONE)"), "{text}");
    }
    let only_h2 = ["-alpn", "h2"];
    let text = text_of(&s_client(&https, &only_h2, LAST_REQUEST));
    assert!(text.contains("alert no application protocol"), "{text}");
    assert_eq!(https.client().request("GET", "/health", None).status, 200);
}

#[test]
fn the_oldest_version_can_be_raised() {
    let https = https(&["--tls-min-version", "1.3"]);
    let output = s_client(&https, &["-tls1_3", "-quiet", "-ign_eof"], LAST_REQUEST);
    assert!(text_of(&output).contains("HTTP/1.1 200"));
    let output = s_client(&https, &["-tls1_2"], LAST_REQUEST);
    assert!(text_of(&output).contains("alert protocol version"));
}

#[test]
fn openssl_resumes_its_sessions() {
    let https = https(&[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let path = https.directory.path().join(version);
        let path = path.to_string_lossy();
        let first = [version, "-ign_eof", "-sess_out", &path];
        let text = text_of(&s_client(&https, &first, LAST_REQUEST));
        assert!(text.contains("\nNew, "), "{text}");
        let second = [version, "-ign_eof", "-sess_in", &path];
        let text = text_of(&s_client(&https, &second, LAST_REQUEST));
        assert!(text.contains("\nReused, "), "{text}");
        assert!(text.contains("HTTP/1.1 200"), "{text}");
    }
}

#[test]
fn renegotiation_is_refused() {
    let https = https(&[]);
    // "R" on a line of its own is its command to renegotiate.
    let text = text_of(&s_client(&https, &["-tls1_2"], "R\n"));
    assert!(text.contains("RENEGOTIATING"), "{text}");
    assert!(text.contains("no renegotiation"), "{text}");
    assert_eq!(https.client().request("GET", "/health", None).status, 200);
}

#[test]
fn a_certificate_below_another_one_is_shown_with_it() {
    let root = Authority::new("Test Root");
    let issued = root
        .below("Test Middle")
        .below("Test Lower")
        .issue(&Leaf::default());
    assert_eq!(issued.chain.len(), 3);
    let https = https_of(root, &issued, &[]);
    let output = s_client(&https, &["-quiet", "-ign_eof"], LAST_REQUEST);
    assert!(text_of(&output).contains("HTTP/1.1 200"));
}

#[test]
fn any_name_is_served() {
    let names = ["localhost", "*.wild.test"];
    let https = https_with(
        &Leaf {
            names: &names,
            ..Leaf::default()
        },
        &[],
    );
    let trusted = https.authority.file(&https.directory, "ca.pem");
    let (code, text) = curl(&https, "a.wild.test", &trusted, &["/echo/x"]);
    assert_eq!((code, &*text), (Some(0), "{\"text\":\"x\"}"));
    let output = s_client(
        &https,
        &["-noservername", "-quiet", "-ign_eof"],
        LAST_REQUEST,
    );
    assert!(text_of(&output).contains("HTTP/1.1 200"));
}
