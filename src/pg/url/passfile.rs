//! The password file of libpq (PostgreSQL documentation, "The Password File"), `~/.pgpass`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a password must be for: host names (any of them matches), port, database and user.
pub(super) struct Wanted<'a> {
    pub(super) hosts: &'a [&'a str],
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Reads the file's text. A file that does not exist is none; one that others may read is not used
/// either, and the error says so.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    let Ok(found) = fs::metadata(path) else {
        return Ok(None);
    };
    if !found.is_file() {
        return Err(format!(
            "the password file {} is not used: it is no plain file",
            path.display()
        ));
    }
    // A file of root's may be its group's to read, as libpq has it for keys: with access lists the bits of
    // the group tell who else is on the list, and systemd's credentials are root's with one entry.
    let forbidden = if found.uid() == 0 { 0o037 } else { 0o077 };
    if found.mode() & forbidden != 0 {
        return Err(format!(
            "the password file {} is not used: others may read it (chmod 600 it)",
            path.display()
        ));
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(reason) => Err(format!(
            "the password file {} is not used: {reason}",
            path.display()
        )),
    }
}

/// The password of the first line `host:port:database:user:password` that matches.
pub(super) fn find(text: &str, wanted: &Wanted) -> Option<String> {
    let port = wanted.port.to_string();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let (host, rest) = field(line)?;
            let (line_port, rest) = field(rest)?;
            let (database, rest) = field(rest)?;
            let (user, rest) = field(rest)?;
            let matches = wanted.hosts.iter().any(|wanted| host.matches(wanted))
                && line_port.matches(&port)
                && database.matches(wanted.database)
                && user.matches(wanted.user);
            // The password ends at the next colon, as in libpq: one within it is written \:.
            matches.then(|| {
                field(rest).map_or_else(|| unescape(rest), |(password, _)| password.text())
            })
        })
}

/// A field as it is written, escapes and all.
#[derive(Clone, Copy)]
struct Field<'a>(&'a str);

impl Field<'_> {
    fn matches(self, value: &str) -> bool {
        // An escaped star is a star.
        self.0 == "*" || self.text() == value
    }

    fn text(self) -> String {
        unescape(self.0)
    }
}

/// Splits at the first colon that is not escaped.
fn field(text: &str) -> Option<(Field<'_>, &str)> {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((Field(&text[..end]), &text[end + 1..]))
}

/// `\:` and `\\`, and any other escaped character, as itself; a backslash at the end stays.
fn unescape(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn password(text: &str) -> Option<String> {
        find(
            text,
            &Wanted {
                hosts: &["db.example"],
                port: 5432,
                database: "shop",
                user: "al:ice",
            },
        )
    }

    #[test]
    fn the_first_line_that_matches_counts() {
        for (text, expected) in [
            (r"db.example:5432:shop:al\:ice:one", Some("one")),
            ("*:*:*:*:one\n*:*:*:*:two\n", Some("one")),
            ("*:5433:*:*:one\r\n*:5432:*:*:two\r\n", Some("two")),
            ("#*:*:*:*:one\n\n*:*:*:*:two", Some("two")),
            ("other:*:*:*:one", None),
            ("*:*:other:*:one", None),
            ("*:*:*:alice:one", None),
            ("db.exampl:*:*:*:one\ndb.example2:*:*:*:two", None),
            // Short lines are none.
            ("*:*:*:one", None),
            ("", None),
            // A star among other characters is only a star.
            ("db.*:*:*:*:one", None),
            (r"\*:*:*:*:one", None),
        ] {
            assert_eq!(password(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_password_is_unescaped_and_ends_at_a_colon() {
        for (written, meant) in [
            (r"a\:b", "a:b"),
            (r"a\\b", r"a\b"),
            (r"a\\", r"a\"),
            (r"a\", r"a\"),
            (r"a\\:b", r"a\"),
            ("a:b", "a"),
            ("pä ss#*", "pä ss#*"),
            ("", ""),
        ] {
            assert_eq!(
                password(&format!("*:*:*:*:{written}")).as_deref(),
                Some(meant),
                "{written}"
            );
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let path = std::env::temp_dir().join(format!("pinion-pgpass-{}", std::process::id()));
        fs::write(&path, "*:*:*:*:one").unwrap();
        let read_as = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path)
        };
        let (open, group, private) = (read_as(0o604), read_as(0o640), read_as(0o600));
        let is_of_root = fs::metadata(&path).unwrap().uid() == 0;
        let written = read_as(0o620);
        fs::remove_file(&path).unwrap();
        assert!(open.unwrap_err().contains("chmod 600"));
        assert_eq!(group.is_ok(), is_of_root);
        assert!(written.is_err());
        assert_eq!(private.unwrap().as_deref(), Some("*:*:*:*:one"));
        assert_eq!(read(&path), Ok(None));
        assert!(read(&std::env::temp_dir()).is_err());
    }
}
