use super::*;
use crate::pg::url::conninfo;

fn read(text: &str) -> Result<Tls, Error> {
    let settings = conninfo::parse(text, &|_| None)?;
    Tls::new(&settings, Some(Path::new("/home/alice")))
}

fn tls(text: &str) -> Tls {
    read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fault(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

fn named(path: &str) -> File {
    File {
        path: path.into(),
        named: true,
    }
}

fn default(path: &str) -> File {
    File {
        named: false,
        ..named(path)
    }
}

#[test]
fn nothing_said_is_what_libpq_makes_of_it() {
    let expected = Tls {
        mode: Mode::Prefer,
        direct: false,
        roots: Roots::File(default("/home/alice/.postgresql/root.crt")),
        revocation: Revocation {
            file: Some(default("/home/alice/.postgresql/root.crl")),
            directory: None,
        },
        certificate: Some(Certificate {
            chain: default("/home/alice/.postgresql/postgresql.crt"),
            key: Some("/home/alice/.postgresql/postgresql.key".into()),
        }),
        certificate_required: false,
        sni: true,
        versions: Versions {
            tls12: true,
            tls13: true,
        },
        channel_binding: ChannelBinding::Prefer,
    };
    assert_eq!(tls("host=a"), expected);
    let homeless = Tls::new(&conninfo::parse("host=a", &|_| None).unwrap(), None).unwrap();
    let expected = Tls {
        roots: Roots::Nowhere,
        revocation: Revocation::default(),
        certificate: None,
        ..expected
    };
    assert_eq!(homeless, expected);
}

#[test]
fn each_keyword_has_its_effect() {
    for (text, mode) in [
        ("sslmode=disable", Mode::Disable),
        ("sslmode=allow", Mode::Allow),
        ("sslmode=prefer", Mode::Prefer),
        ("sslmode=require", Mode::Require),
        ("sslmode=verify-ca", Mode::VerifyCa),
        ("sslmode=verify-full", Mode::VerifyFull),
        ("postgres://a?ssl=true", Mode::Require),
        ("requiressl=1", Mode::Require),
        ("sslrootcert=system", Mode::VerifyFull),
        ("sslrootcert=system sslmode=verify-full", Mode::VerifyFull),
    ] {
        assert_eq!(tls(text).mode, mode, "{text}");
    }
    assert_eq!(tls("sslrootcert=system").roots, Roots::System);
    let all = tls(
        "sslmode=require sslnegotiation=direct sslrootcert=/r sslcert=/c sslkey=/k sslcrl=/l \
         sslcrldir=/d sslcertmode=require sslsni=0 ssl_min_protocol_version=tlsv1.3 \
         channel_binding=require",
    );
    let expected = Tls {
        mode: Mode::Require,
        direct: true,
        roots: Roots::File(named("/r")),
        revocation: Revocation {
            file: Some(named("/l")),
            directory: Some("/d".into()),
        },
        certificate: Some(Certificate {
            chain: named("/c"),
            key: Some("/k".into()),
        }),
        certificate_required: true,
        sni: false,
        versions: Versions {
            tls12: false,
            tls13: true,
        },
        channel_binding: ChannelBinding::Require,
    };
    assert_eq!(all, expected);
    assert_eq!(tls("sslcertmode=disable sslcert=/c").certificate, None);
    // A directory of lists stands in for the default file.
    assert_eq!(tls("sslcrldir=/d").revocation.file, None);
}

#[test]
fn versions_are_a_range_of_those_that_are_safe() {
    for (text, tls12, tls13) in [
        ("ssl_min_protocol_version=TLSv1", true, true),
        ("ssl_min_protocol_version=TLSv1.2", true, true),
        ("ssl_min_protocol_version=TLSv1.3", false, true),
        ("ssl_max_protocol_version=TLSv1.2", true, false),
        ("ssl_max_protocol_version=TLSv1.3", true, true),
    ] {
        assert_eq!(tls(text).versions, Versions { tls12, tls13 }, "{text}");
    }
    for (text, words) in [
        ("ssl_min_protocol_version=TLSv2", "must be TLSv1"),
        ("ssl_max_protocol_version=1.2", "must be TLSv1"),
        ("ssl_max_protocol_version=TLSv1.1", "no less than"),
        (
            "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
            "no less than",
        ),
        (
            "ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1.1",
            "older versions",
        ),
    ] {
        assert!(fault(text).contains(words), "{text}: {}", fault(text));
    }
}

#[test]
fn what_libpq_does_not_take_is_refused() {
    for (text, words) in [
        ("sslmode=on", "sslmode must be disable"),
        ("sslmode=Require", "sslmode must be disable"),
        ("sslnegotiation=tls", "sslnegotiation must be"),
        ("sslnegotiation=direct", "needs sslmode=require"),
        (
            "sslnegotiation=direct sslmode=prefer",
            "needs sslmode=require",
        ),
        (
            "sslrootcert=system sslmode=require",
            "needs sslmode=verify-full",
        ),
        (
            "sslrootcert=system sslmode=verify-ca",
            "needs sslmode=verify-full",
        ),
        ("sslcertmode=maybe", "sslcertmode must be"),
        ("sslsni=yes", "sslsni must be"),
        ("channel_binding=on", "channel_binding must be"),
        ("sslkeylogfile=/tmp/keys", "sslkeylogfile is not supported"),
    ] {
        assert!(fault(text).contains(words), "{text}: {}", fault(text));
    }
}

#[test]
fn each_keyword_has_its_environment_variable() {
    let variables = [
        ("PGSSLMODE", "verify-ca"),
        ("PGSSLNEGOTIATION", "direct"),
        ("PGSSLROOTCERT", "/r"),
        ("PGSSLCERT", "/c"),
        ("PGSSLKEY", "/k"),
        ("PGSSLCRL", "/l"),
        ("PGSSLCRLDIR", "/d"),
        ("PGSSLCERTMODE", "require"),
        ("PGSSLSNI", "0"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv1.3"),
        ("PGSSLMAXPROTOCOLVERSION", "TLSv1.3"),
        ("PGCHANNELBINDING", "require"),
    ];
    let environment = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| String::from(*value))
    };
    let settings = conninfo::parse("host=a", &environment).unwrap();
    let by_environment = Tls::new(&settings, None).unwrap();
    let by_string = tls(
        "sslmode=verify-ca sslnegotiation=direct sslrootcert=/r sslcert=/c sslkey=/k sslcrl=/l \
         sslcrldir=/d sslcertmode=require sslsni=0 ssl_min_protocol_version=TLSv1.3 \
         ssl_max_protocol_version=TLSv1.3 channel_binding=require",
    );
    assert_eq!(by_environment, by_string);
}
