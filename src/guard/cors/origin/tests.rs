use super::*;

fn admits(entry: &str, origin: &str) -> bool {
    let entry = Origin::parse(entry).unwrap_or_else(|fault| panic!("{entry}: {fault:?}"));
    entry.admits(origin.as_bytes())
}

#[test]
fn an_exact_origin_admits_itself_alone() {
    for entry in [
        "https://shop.example",
        "http://shop.example:8080",
        "http://localhost:3000",
        "http://127.0.0.1:5173",
        "https://xn--mnchen-3ya.example",
        "http://[::1]:8080",
        "http://[2001:db8::1]",
        "http://[::ffff:7f00:1]",
        "http://my_host",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
    ] {
        assert!(Origin::parse(entry).unwrap().is_exact(), "{entry}");
        assert!(admits(entry, entry), "{entry}");
        for other in [
            format!("{entry}/"),
            format!("{entry}."),
            format!("{entry}0"),
            format!("{entry}:1"),
            format!("{entry}.evil.example"),
            entry.to_uppercase(),
            entry.replace("://", "://a."),
            entry.replace("://", "://user@"),
            format!("x{entry}"),
            "null".to_owned(),
            String::new(),
        ] {
            assert!(!admits(entry, &other), "{entry} {other}");
        }
    }
}

#[test]
fn a_wildcard_admits_what_is_below_a_name() {
    let entry = "https://*.shop.example";
    for origin in [
        "https://a.shop.example",
        "https://a.b.shop.example",
        "https://a-b_c9.shop.example",
        "https://shop.example.shop.example",
    ] {
        assert!(admits(entry, origin), "{origin}");
    }
    for origin in [
        "https://shop.example",
        "https://evilshop.example",
        "https://.shop.example",
        "https://a..shop.example",
        "https://..shop.example",
        "https://*.shop.example",
        "https://a.shop.example.",
        "https://a.shop.example.evil.example",
        "https://a.shop.example:8443",
        "https://a.shop.example:443",
        "https://evil.example/.shop.example",
        "https://evil.example?.shop.example",
        "https://evil.example#.shop.example",
        "https://evil.example\\.shop.example",
        "https://evil.example:80.shop.example",
        "https://user@a.shop.example",
        "https://a b.shop.example",
        "https://a,b.shop.example",
        "https://a\r\nb.shop.example",
        "https://\u{e9}.shop.example",
        "https://A.shop.example",
        "https://a.Shop.example",
        "http://a.shop.example",
        "HTTPS://a.shop.example",
        "a.shop.example",
        "null",
    ] {
        assert!(!admits(entry, origin), "{origin}");
    }
    let longest = format!("https://{}.shop.example", ["a"; 120].join("."));
    assert_eq!(longest.len() - "https://".len(), 252);
    assert!(admits(entry, &longest));
    assert!(!admits(entry, &longest.replacen("a.a", "a.aaa", 1)));
    let label = "a".repeat(LABEL_BYTES_MAX);
    assert!(admits(entry, &format!("https://{label}.shop.example")));
    assert!(!admits(entry, &format!("https://{label}a.shop.example")));
}

#[test]
fn ports_are_declared_or_any() {
    let declared = "https://*.shop.example:8443";
    assert!(admits(declared, "https://a.shop.example:8443"));
    for port in ["", ":", ":443", ":84430", ":8444", ":08443"] {
        let origin = format!("https://a.shop.example{port}");
        assert!(!admits(declared, &origin), "{origin}");
    }
    for (entry, host) in [
        ("http://localhost:*", "http://localhost"),
        ("http://*.localhost:*", "http://app.localhost"),
        ("http://127.0.0.1:*", "http://127.0.0.1"),
        ("http://[::1]:*", "http://[::1]"),
    ] {
        assert!(!Origin::parse(entry).unwrap().is_exact(), "{entry}");
        for port in ["", ":1", ":443", ":8080", ":65535"] {
            assert!(admits(entry, &format!("{host}{port}")), "{host}{port}");
        }
        // 80 is left out by browsers.
        for port in [
            ":", ":80", ":0", ":01", ":65536", ":123456", ":8080a", ":*", ":-1", "0", ".", "/",
            ":8080/", ":8080:1", ".evil", "@a",
        ] {
            assert!(!admits(entry, &format!("{host}{port}")), "{host}{port}");
        }
    }
    assert!(admits("https://localhost:*", "https://localhost:80"));
    assert!(!admits("https://localhost:*", "https://localhost:443"));
    assert!(admits(
        "capacitor://localhost:*",
        "capacitor://localhost:80"
    ));
}

#[test]
fn what_no_browser_sends_is_a_fault() {
    for (text, message, help) in [
        ("null", "\"null\" can't be allowed", "sandboxed frames"),
        ("", "an origin begins with its scheme", ""),
        (
            "shop.example",
            "an origin begins with its scheme",
            "\"https://shop.example\"",
        ),
        ("https:shop.example", "begins with its scheme", ""),
        (
            "https://shop.example/",
            "ends after its host and port",
            "write \"https://shop.example\"",
        ),
        (
            "https://shop.example:81/a?b",
            "ends after its host and port",
            "write \"https://shop.example:81\"",
        ),
        ("https://shop.example?b", "ends after its host and port", ""),
        ("https://shop.example#b", "ends after its host and port", ""),
        (
            "https://shop.example\\b",
            "ends after its host and port",
            "",
        ),
        (
            "HTTPS://shop.example",
            "in lower case",
            "write \"https://shop.example\"",
        ),
        (
            "https://Shop.example",
            "in lower case",
            "write \"https://shop.example\"",
        ),
        (
            "https://me:secret@shop.example",
            "no user name",
            "write \"https://shop.example\"",
        ),
        (
            "https://shop.example:443",
            "443 is the port of https",
            "write \"https://shop.example\"",
        ),
        (
            "http://*.shop.example:80",
            "80 is the port of http",
            "write \"http://*.shop.example\"",
        ),
        ("http://shop.example:", "a port is 1 to 65535", ""),
        ("http://shop.example:0", "a port is 1 to 65535", ""),
        ("http://shop.example:081", "a port is 1 to 65535", ""),
        ("http://shop.example:65536", "a port is 1 to 65535", ""),
        ("http://shop.example:4294967297", "a port is 1 to 65535", ""),
        ("http://shop.example:80*", "a port is 1 to 65535", ""),
        ("https://m\u{fc}nchen.example", "is in ASCII", "xn--"),
        ("https://shop.example ", "no spaces", ""),
        ("https://a.example https://b.example", "no spaces", ""),
        ("https://shop.example\r\nx: y", "no spaces", ""),
        ("https://", "an origin has a host", ""),
        ("https://:8080", "an origin has a host", ""),
        ("://shop.example", "no page has the scheme \"\"", ""),
        ("ws://a.example", "scheme \"ws\"", "\"http://a.example\""),
        ("wss://a.example", "scheme \"wss\"", "\"https://a.example\""),
        ("htps://a.example", "\"htps\"", "\"https://a.example\""),
        ("file://", "a page of file: has no origin", ""),
        ("https://*", "whole labels before a name", ""),
        ("https://*shop.example", "whole labels before a name", ""),
        ("https://a.*.example", "whole labels before a name", ""),
        ("https://*.*.example", "whole labels before a name", ""),
        ("https://shop.*", "whole labels before a name", ""),
        ("https://*.", "no name of a host", ""),
        ("https://*.example", "before a single label", ""),
        ("https://*.127.0.0.1", "no name is below an address", ""),
        ("https://shop.example.", "no name of a host", ""),
        ("https://.shop.example", "no name of a host", ""),
        ("https://shop..example", "no name of a host", ""),
        ("https://shop,example", "no name of a host", ""),
        ("https://sh%6fp.example", "no name of a host", ""),
        ("https://127.1", "no IPv4 address", ""),
        ("https://127.0.0.01", "no IPv4 address", ""),
        ("https://shop.0x7f", "no IPv4 address", ""),
        ("https://::1", "stands in brackets", "\"https://[::1]\""),
        ("https://[::1", "no IPv6 address", ""),
        ("https://[::1]8080", "no IPv6 address", ""),
        ("https://[0:0::1]", "differently", "\"https://[::1]\""),
        (
            "https://[::ffff:127.0.0.1]",
            "differently",
            "\"https://[::ffff:7f00:1]\"",
        ),
        ("https://[*]", "no IPv6 address", ""),
    ] {
        let fault = Origin::parse(text).expect_err(text);
        assert!(fault.message.contains(message), "{text}: {fault:?}");
        assert!(fault.help.contains(help), "{text}: {fault:?}");
        assert!(!fault.help.is_empty() && !fault.help.contains('\n'));
    }
    let label = "a".repeat(LABEL_BYTES_MAX);
    assert!(Origin::parse(&format!("https://{label}.example")).is_ok());
    assert!(Origin::parse(&format!("https://{label}a.example")).is_err());
    let host = ["a"; 127].join(".");
    assert_eq!(host.len(), HOST_BYTES_MAX);
    assert!(Origin::parse(&format!("https://{host}")).is_ok());
    assert!(Origin::parse(&format!("https://{host}a")).is_err());
}

#[test]
fn the_form_of_an_origin() {
    for value in [
        "https://shop.example",
        "http://localhost:8080",
        "http://[::1]:8080",
        "moz-extension://0b1c",
    ] {
        assert!(is_serialised(value.as_bytes()), "{value}");
    }
    for value in [
        "",
        "null",
        "NULL",
        "*",
        "https://",
        "://shop.example",
        "shop.example",
        "https://shop.example/",
        "https://a.example, https://b.example",
        "https://a.example,https://b.example",
        "https://a.example https://b.example",
        "null https://a.example",
        "https://user@a.example",
        "https://\u{e9}.example",
    ] {
        assert!(!is_serialised(value.as_bytes()), "{value}");
    }
}
