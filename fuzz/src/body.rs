//! Request bodies: how the bytes are split never matters, nothing past the end is consumed, the
//! limits hold, and what one encodes comes back.

use pinion::http::{BodyDecoder, Fault, Framing, Progress};

/// The body and the bytes that it took, or the fault.
pub type Outcome = Result<(Vec<u8>, usize), Fault>;

/// All of it for one input: how much a body may have, and the bytes of one.
pub fn check(input: &[u8]) {
    let Some((&[max, length], bytes)) = input.split_first_chunk() else {
        return;
    };
    let max = usize::from(max);
    for framing in [Framing::Chunked, Framing::Length(u64::from(length))] {
        let outcome = splits_do_not_matter(framing, bytes, max);
        if let Some(Ok((body, consumed))) = &outcome {
            assert!(body.len() <= max && body.len() <= *consumed && *consumed <= bytes.len());
            // Nothing after the end has a say in what came before it.
            let alone = decode_cut(framing, &bytes[..*consumed], &[], max);
            assert_eq!(alone, outcome);
        }
    }
    same_size_as_httparse(bytes);
    comes_back(bytes, length);
}

/// Decodes `input`, handed over in pieces that end at `cuts`; `None` while incomplete.
pub fn decode_cut(framing: Framing, input: &[u8], cuts: &[usize], max: usize) -> Option<Outcome> {
    let mut body = Vec::new();
    let mut decoder = match BodyDecoder::new(framing, max) {
        Ok(decoder) => decoder,
        Err(fault) => return Some(Err(fault)),
    };
    let mut at = 0;
    for &cut in cuts.iter().chain([&input.len()]) {
        match decoder.decode(&input[at..cut], &mut body) {
            Err(fault) => {
                let again = decoder.decode(b"0\r\n\r\n", &mut body);
                assert_eq!(again, Err(fault), "sticks");
                return Some(Err(fault));
            }
            Ok(Progress { consumed, done }) => {
                assert!(body.len() <= max);
                if done {
                    assert!(consumed <= cut - at);
                    return Some(Ok((body, at + consumed)));
                }
                assert_eq!(consumed, cut - at);
            }
        }
        at = cut;
    }
    None
}

/// Decodes whole, cut in two at every place of the first bytes, and byte by byte: always the same.
pub fn splits_do_not_matter(framing: Framing, input: &[u8], max: usize) -> Option<Outcome> {
    let whole = decode_cut(framing, input, &[], max);
    // Every place of many bytes would take the square of them.
    let places = input.len().min(400);
    for cut in (0..=places).step_by(1 + places / 100) {
        assert_eq!(decode_cut(framing, input, &[cut], max), whole, "at {cut}");
    }
    let every: Vec<usize> = (0..=places).collect();
    let pieces = decode_cut(framing, input, &every, max);
    assert_eq!(pieces, whole, "byte by byte");
    whole
}

/// A chunk that is taken here has the size that httparse reads. It refuses more than 16 digits,
/// leading zeros too, and takes other octets and whitespace than the grammar has, so it is only
/// asked about lines that are taken here.
fn same_size_as_httparse(input: &[u8]) {
    let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else {
        return;
    };
    let digits = input.iter().take_while(|octet| octet.is_ascii_hexdigit());
    if digits.count() > 16 {
        return;
    }
    let line = &input[..end + 2];
    let mut decoder =
        BodyDecoder::new(Framing::Chunked, usize::MAX).expect("no length is declared");
    let taken = decoder.decode(line, &mut Vec::new());
    match httparse::parse_chunk_size(line) {
        Ok(httparse::Status::Complete((consumed, size))) if taken.is_ok() => {
            assert_eq!(consumed, line.len());
            if let Ok(size) = usize::try_from(size) {
                assert!(accepts_exactly(line, size));
            }
        }
        theirs => assert!(taken.is_err(), "httparse says {theirs:?}"),
    }
}

/// Whether a chunk that a line announces is within a limit of `size` bytes and over one byte less.
fn accepts_exactly(line: &[u8], size: usize) -> bool {
    let takes = |max: usize| {
        let decoder = BodyDecoder::new(Framing::Chunked, max);
        let decoded = decoder.and_then(|mut decoder| decoder.decode(line, &mut Vec::new()));
        decoded.is_ok()
    };
    takes(size) && (size == 0 || !takes(size - 1))
}

/// Encodes `content` as chunks of some sizes, with what the coding allows around them, and decodes
/// it again, with more bytes behind it.
fn comes_back(content: &[u8], seed: u8) {
    let mut encoded = Vec::new();
    let mut rest = content;
    let mut size = usize::from(seed % 37) + 1;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        let line = match size % 4 {
            0 => format!("{:x}\r\n", chunk.len()),
            1 => format!("{:X};a=\"b\\\"\"\r\n", chunk.len()),
            2 => format!("00{:x}\r\n", chunk.len()),
            _ => format!("{:X} ; c = d\r\n", chunk.len()),
        };
        encoded.extend_from_slice(line.as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
        rest = after;
        size = size * 5 % 61 + 1;
    }
    encoded.extend_from_slice(if seed.is_multiple_of(2) {
        b"0\r\n\r\n"
    } else {
        b"000\r\nTrailer: x\r\n\r\n"
    });
    let length = encoded.len();
    encoded.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let outcome = decode_cut(Framing::Chunked, &encoded, &[length / 2], content.len());
    assert_eq!(outcome, Some(Ok((content.to_vec(), length))));
}
