//! Each `sslmode` against each kind of server: what libpq's documentation says, what libpq does and
//! what Pinion does.

use std::path::Path;

use crate::server::{TlsPostgres, Verdict};
use crate::support::TempDir;
use crate::support::certificates::{Authority, Leaf, Validity};

const MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// A kind of server and role, and a letter for each mode: a plain session, one over TLS, or a refusal
/// (x).
struct Row<'a> {
    what: &'a str,
    role: &'a str,
    /// Without a file of roots.
    without: &'a str,
    /// With one; and with revocation lists where the row is about these.
    with: &'a str,
}

const fn row<'a>(what: &'a str, role: &'a str, without: &'a str, with: &'a str) -> Row<'a> {
    Row {
        what,
        role,
        without,
        with,
    }
}

/// From PostgreSQL §34.19, table 34.1, and the rules for `allow` and `prefer` above it.
const NO_TLS: &[Row<'_>] = &[
    row("no TLS", "anyone", "pppxxx", "pppxxx"),
    row("no TLS", "only_tls", "xxxxxx", "xxxxxx"),
];
const RIGHT: &[Row<'_>] = &[
    row("the right certificate", "anyone", "ppttxx", "pptttt"),
    row("only with TLS", "only_tls", "xtttxx", "xttttt"),
    row("only without TLS", "only_plain", "pppxxx", "pppxxx"),
];
const WRONG_HOST: &[Row<'_>] = &[
    row(
        "a certificate for another host",
        "anyone",
        "ppttxx",
        "pptttx",
    ),
    row("the same, only with TLS", "only_tls", "xtttxx", "xttttx"),
];
/// What is wrong with the certificate itself counts as soon as there are roots, whatever the mode.
const WRONG: &[Row<'_>] = &[
    row("a wrong certificate", "anyone", "ppttxx", "pppxxx"),
    row("the same, only with TLS", "only_tls", "xtttxx", "xxxxxx"),
];

#[test]
fn every_mode_does_with_every_server_what_libpq_does() {
    let postgres = TlsPostgres::start("");
    let (authority, stranger) = (Authority::new("The root"), Authority::new("A stranger"));
    let roots = Roots::new(&authority);
    Comparison::new("no TLS", NO_TLS, "").run(&postgres, &roots);
    let leaf = |names, validity, serial| Leaf {
        names,
        validity,
        serial,
        ..Leaf::default()
    };
    let right: &[&str] = &["localhost"];
    let past = leaf(right, Validity::Past, 2);
    let future = leaf(right, Validity::Future, 3);
    // One row says what is wrong with a certificate; what is left to the roles is the same for all.
    let (right_row, wrong_row) = (&RIGHT[..1], &WRONG[..1]);
    let valid = leaf(right, Validity::Now, 1);
    let other = leaf(&["db.example"], Validity::Now, 4);
    let strange = leaf(right, Validity::Now, 5);
    let revoked = leaf(right, Validity::Now, REVOKED);
    let unknown = "\"A stranger\", who is not among";
    for (words, rows, issuer, leaf, lists) in [
        ("right", RIGHT, &authority, valid, false),
        ("right", right_row, &authority, valid, true),
        ("not for localhost", WRONG_HOST, &authority, other, false),
        ("expired on 2021-01-01", wrong_row, &authority, past, false),
        (
            "not valid before 2998",
            wrong_row,
            &authority,
            future,
            false,
        ),
        (unknown, WRONG, &stranger, strange, false),
        ("revoked, says sslcrl", wrong_row, &authority, revoked, true),
    ] {
        let issued = issuer.issue(&leaf);
        postgres.configure(&postgres.certificate("server", &issued, None));
        let lists = if lists { roots.lists.as_str() } else { "" };
        Comparison::new(words, rows, lists).run(&postgres, &roots);
    }
}

/// The serial number of the revoked certificate.
const REVOKED: u64 = 66;

/// The files of a client.
struct Roots {
    directory: TempDir,
    root: String,
    lists: String,
}

impl Roots {
    fn new(authority: &Authority) -> Roots {
        let directory = TempDir::new();
        let root = authority.file(&directory, "roots.pem");
        let lists = directory.file("lists.pem", &authority.revocation_list(&[REVOKED]));
        Roots {
            root: format!("sslrootcert={}", root.display()),
            lists: format!("&sslcrl={}", lists.display()),
            directory,
        }
    }
}

/// One server's rows.
struct Comparison<'a> {
    /// What Pinion has to say where it refuses the certificate.
    words: &'a str,
    rows: &'a [Row<'a>],
    /// The setting for revocation lists.
    lists: &'a str,
}

impl<'a> Comparison<'a> {
    fn new(words: &'a str, rows: &'a [Row<'a>], lists: &'a str) -> Comparison<'a> {
        Comparison { words, rows, lists }
    }

    fn run(&self, postgres: &TlsPostgres, roots: &Roots) {
        let home = roots.directory.path();
        let with = format!("{}{}", roots.root, self.lists);
        for row in self.rows {
            for (settings, expected) in [("", row.without), (with.as_str(), row.with)] {
                let differences: Vec<String> = std::thread::scope(|scope| {
                    let cells = MODES.into_iter().zip(expected.chars());
                    let cells = cells.map(|(mode, letter)| {
                        scope.spawn(move || {
                            let settings = format!("sslmode={mode}&{settings}");
                            let url = postgres.url(row.role, &settings);
                            self.compare(postgres, row, &url, home, letter)
                        })
                    });
                    let cells: Vec<_> = cells.collect();
                    let cells = cells.into_iter();
                    cells
                        .flat_map(|cell| cell.join().expect("it compares"))
                        .collect()
                });
                assert!(differences.is_empty(), "{}", differences.join("\n"));
            }
        }
    }

    fn compare(
        &self,
        postgres: &TlsPostgres,
        row: &Row<'_>,
        url: &str,
        home: &Path,
        letter: char,
    ) -> Vec<String> {
        let expected = match letter {
            'p' => Verdict::Plain,
            't' => Verdict::Encrypted,
            _ => Verdict::Refused,
        };
        let mut differences = Vec::new();
        let mut differ = |who: &str, found: Verdict, words: &str| {
            let what = row.what;
            differences.push(format!(
                "{who}, {what}: {url}: {found:?}, not {expected:?}: {words}"
            ));
        };
        let (libpq, words) = postgres.verdict_of_psql(url, home);
        if libpq != expected {
            differ("libpq", libpq, &words);
        }
        let (ours, words) = postgres.verdict_of_pinion(url, home);
        let wanted = self.wanted(row, url);
        let told = words.starts_with("error: ") && words.lines().count() == 1;
        if ours != expected || ours == Verdict::Refused && !(told && words.contains(wanted)) {
            differ(&format!("pinion ({wanted:?})"), ours, &words);
        }
        differences
    }

    /// What Pinion has to say where it refuses, or is refused.
    fn wanted(&self, row: &Row<'_>, url: &str) -> &'a str {
        let mode = |name: &str| url.contains(&format!("sslmode={name}&")) || url.ends_with(name);
        match row.what {
            _ if mode("disable") => "no encryption",
            _ if url.contains("sslmode=verify") && !url.contains("sslrootcert") => {
                "root.crt: it does not exist"
            }
            _ if row.role == "only_plain" => "SSL encryption",
            "no TLS" if mode("allow") || mode("prefer") => "no encryption",
            "no TLS" => "the server has no TLS",
            _ => self.words,
        }
    }
}
