//! The request head: how the bytes are split never matters, the limits hold, and httparse reads the
//! same out of the same bytes.

use pinion::http::{
    Fault, Framing, Head, HeadLimits, Method, Parsed, Version, decode_segment, normalize_path,
};

/// Limits that an input of a few hundred bytes reaches.
const SMALL: HeadLimits = HeadLimits {
    head_bytes_max: 200,
    target_bytes_max: 40,
    headers_max: 6,
    secured: false,
};

/// All of it for one input.
pub fn check(input: &[u8]) {
    let _ = splits_do_not_matter(input, &SMALL);
    if let Ok(Some(said)) = splits_do_not_matter(input, &HeadLimits::default()) {
        decoding_agrees(&said);
    }
    same_as_httparse(input);
}

// ---- One head, in pieces ----

/// Everything that a complete head says, in values of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub bytes: usize,
    pub method: Method,
    pub version: Version,
    pub path: String,
    pub query: Option<String>,
    pub host: Option<String>,
    pub content_type: Option<Vec<u8>>,
    pub framing: Framing,
    pub keep_alive: bool,
    pub expects_continue: bool,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What the head says that was found complete in `input`.
pub fn said(head: &Head, input: &[u8]) -> Said {
    let request = head.request(input);
    Said {
        bytes: head.len(),
        method: request.method(),
        version: request.version(),
        path: request.path().to_owned(),
        query: request.query().map(str::to_owned),
        host: request.host().map(str::to_owned),
        content_type: request.content_type().map(<[u8]>::to_vec),
        framing: head.framing(),
        keep_alive: head.keep_alive(),
        expects_continue: head.expects_continue(),
        headers: request
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect(),
    }
}

/// Parses `input` as it arrives in pieces that end at `cuts`; `None` while incomplete.
///
/// Every piece comes in a buffer of its own, so that a place remembered by address would show.
pub fn parse_cut(input: &[u8], cuts: &[usize], limits: &HeadLimits) -> Result<Option<Said>, Fault> {
    let mut head = Head::new();
    for &cut in cuts.iter().chain([&input.len()]) {
        let arrived = input[..cut].to_vec();
        match head.parse(&arrived, limits) {
            // All that has been looked at is done with: bytes that trickle in cost no more.
            Ok(Parsed::Partial) => assert_eq!(head.len(), cut),
            Ok(Parsed::Complete) => {
                assert!(head.len() <= limits.head_bytes_max.min(cut));
                let again = head.parse(&arrived, limits);
                assert_eq!(again, Ok(Parsed::Complete), "stays complete");
                return Ok(Some(said(&head, &arrived)));
            }
            Err(fault) => {
                assert_eq!(head.parse(input, limits), Err(fault), "stays failed");
                return Err(fault);
            }
        }
    }
    Ok(None)
}

/// Parses whole, cut in two at every place of the first bytes, and byte by byte: always the same.
pub fn splits_do_not_matter(input: &[u8], limits: &HeadLimits) -> Result<Option<Said>, Fault> {
    let whole = parse_cut(input, &[], limits);
    // Every place of many bytes would take the square of them.
    let places = input.len().min(400);
    for cut in (0..=places).step_by(1 + places / 100) {
        let split = parse_cut(input, &[cut], limits);
        assert_eq!(split, whole, "cut at {cut} of {input:?}");
    }
    let every: Vec<usize> = (0..=places).collect();
    let pieces = parse_cut(input, &every, limits);
    assert_eq!(pieces, whole, "byte by byte of {input:?}");
    whole
}

// ---- Beside httparse ----

/// The same bytes for this parser and for httparse: every difference has its reason here.
pub fn same_as_httparse(input: &[u8]) {
    let mine = parse_cut(input, &[], &HeadLimits::default());
    match (mine, httparse_says(input)) {
        (Ok(Some(mine)), Ok(Some(theirs))) => {
            assert_eq!(mine.bytes, theirs.bytes);
            assert_eq!(mine.method, theirs.method);
            assert_eq!(mine.version, theirs.version);
            assert_eq!(mine.headers, theirs.headers);
            let query = mine.query.map(|query| format!("?{query}"));
            let mine = mine.path + &query.unwrap_or_default();
            // An absolute-form is taken apart here, and one without a path has the path `/`.
            let rest = theirs.path.strip_suffix(&mine).or_else(|| {
                let no_path = mine.strip_prefix(['/', '*'])?;
                theirs.path.strip_suffix(no_path)
            });
            let rest = rest.expect("the target ends with path and query");
            assert!(rest.is_empty() || rest.contains("://"), "{rest}");
        }
        // It knows the minor versions 0 and 1 only (RFC 9110 §2.5 wants the others as 1.1), and says so
        // of other versions before their end is there.
        (Ok(mine), Err(httparse::Error::Version)) => {
            let text = String::from_utf8_lossy(input);
            let minor = |minor| text.contains(&format!(" HTTP/1.{minor}"));
            let version = text.rsplit(' ').next().unwrap_or_default();
            let unfinished = version.starts_with("HTTP/") && version.len() <= "HTTP/1.1".len();
            assert!((2..=9).any(minor) || mine.is_none() && unfinished);
        }
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        (Err(fault), Ok(_)) => assert!(only_refused_here(fault), "{fault:?}"),
        (mine, theirs) => panic!("{mine:?}, but httparse says {theirs:?}"),
    }
}

/// What httparse says, in the terms that both have.
pub fn httparse_says(input: &[u8]) -> Result<Option<Said>, httparse::Error> {
    let mut fields = [httparse::EMPTY_HEADER; pinion::limits::HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(bytes) = request.parse(input)? else {
        return Ok(None);
    };
    let method = request.method.unwrap_or_default().as_bytes();
    let headers = request.headers.iter();
    Ok(Some(Said {
        bytes,
        method: Method::from_name(method).unwrap_or(Method::Get),
        version: match request.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        },
        path: request.path.unwrap_or_default().to_owned(),
        query: None,
        host: None,
        content_type: None,
        framing: Framing::None,
        keep_alive: true,
        expects_continue: false,
        headers: headers
            .map(|field| (field.name.to_owned(), field.value.to_vec()))
            .collect(),
    }))
}

/// Whether httparse, which knows lines but not what they mean, may take what this parser refuses.
fn only_refused_here(fault: Fault) -> bool {
    match fault {
        // It takes a lone LF as the end of a line, and any number of empty lines.
        Fault::BareLineFeed | Fault::EmptyLines => true,
        // It takes any token as method, and any visible or non-ASCII octets as target.
        Fault::UnknownMethod
        | Fault::FragmentInTarget
        | Fault::MalformedTarget
        | Fault::UnsupportedTargetForm
        | Fault::MisdirectedTarget => true,
        // It has no limits but the number of fields that there is room for.
        Fault::TargetTooLong | Fault::HeadTooLarge => true,
        // It doesn't look into fields.
        Fault::MissingHost
        | Fault::RepeatedHost
        | Fault::InvalidHost
        | Fault::InvalidContentLength
        | Fault::RepeatedContentLength
        | Fault::AmbiguousLength
        | Fault::InvalidTransferEncoding
        | Fault::UnsupportedTransferCoding
        | Fault::UnknownExpectation => true,
        // `PRI` is a method to it; the version after it may be 1.1.
        Fault::UnsupportedVersion => true,
        _ => false,
    }
}

// ---- What is decoded from it ----

/// A path means the same before and after it is normalised, and no decoded text holds a NUL.
fn decoding_agrees(said: &Said) {
    let normalized = normalize_path(&said.path);
    let decoded = decode_segment(&said.path);
    assert_eq!(decode_segment(&normalized), decoded);
    assert_eq!(normalize_path(&normalized), normalized);
    assert!(!decoded.is_ok_and(|text| text.contains('\0')));
}
