//! How a row of the table is written.

/// One exchange: what is sent, and what has to come back.
#[derive(Debug, Clone)]
pub struct Row {
    /// RFC and section.
    pub section: &'static str,
    /// What the section wants, in a few words.
    pub must: &'static str,
    pub sent: Vec<u8>,
    pub answers: Vec<Answer>,
    /// Of the last answer: the value of a field, `*` for any, empty for none. `body` is the content.
    pub fields: &'static [(&'static str, &'static str)],
}

/// What is expected of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// To HEAD: no body, whatever its length says.
    pub to_head: bool,
    /// It says `connection: close`, and the server closes.
    pub closes: bool,
}

/// As a table has it: section, requirement, bytes, answers, fields.
///
/// In the bytes `{H}` stands for a Host field, `{E}` for it and the end of the head, `{J}` for the
/// Content-Type of JSON, `{FF}` for an octet that is in no UTF-8, and `{S}` for a request that must not be
/// reached. Answers are statuses, with `!` where the connection ends and `h` before an answer to HEAD;
/// none where the client ends its side in the middle.
pub type Written = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// A request with an effect that shows.
pub const SMUGGLED: &str = "POST /hit/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

pub fn read(rows: &[Written]) -> Vec<Row> {
    let row = |&(section, must, sent, answers, fields): &Written| {
        row(section, must, fill(sent), answers, fields)
    };
    rows.iter().map(row).collect()
}

pub fn row(
    section: &'static str,
    must: &'static str,
    sent: Vec<u8>,
    answers: &str,
    fields: &'static [(&'static str, &'static str)],
) -> Row {
    Row {
        section,
        must,
        sent,
        answers: answers.split_whitespace().map(answer).collect(),
        fields,
    }
}

fn answer(written: &str) -> Answer {
    let digits = written.trim_start_matches('h').trim_end_matches('!');
    Answer {
        status: digits.parse().expect("a status"),
        to_head: written.starts_with('h'),
        closes: written.ends_with('!'),
    }
}

/// The bytes that are written so.
pub fn fill(raw: &str) -> Vec<u8> {
    let text = raw
        .replace("{E}", "{H}\r\n")
        .replace("{H}", "Host: example.com\r\n")
        .replace("{J}", "Content-Type: application/json\r\n")
        .replace("{S}", SMUGGLED);
    let mut bytes = Vec::new();
    for (index, piece) in text.split("{FF}").enumerate() {
        bytes.extend_from_slice(if index > 0 { b"\xff" } else { b"" });
        bytes.extend_from_slice(piece.as_bytes());
    }
    bytes
}
