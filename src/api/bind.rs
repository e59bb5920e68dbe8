//! A request's path, query, header fields, body and claims → the binary parameters of its statement.
//!
//! Every fault of every value is found before the answer is given. What is given and not declared is a fault
//! too (`extra_forbidden`): a misspelt filter must not silently select everything. A query parameter given
//! twice is a fault unless its type is an array, which takes them all. A route that declares nothing from the
//! body does not look at it; an empty body is one without members.
//!
//! A claim binds as a member of a body does. One that is missing, null where that is no value, or not what the
//! parameter takes, is nothing that the client could write in another way: whoever asks is not one of those
//! whom the route is for, and that comes before any fault of the request.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use percent_encoding::percent_decode;
use sonic_rs::LazyValue;

use super::detail::{Detail, Details};
use super::plan::{BodyPlan, Plan};
use super::scan::scan;

/// The parts of a request that parameters come from.
pub struct Input<'a> {
    /// Captures of the path, raw (percent-encoded), from the left.
    pub captures: &'a [&'a str],
    /// The query, raw, without its `?`.
    pub query: Option<&'a str>,
    /// The value of a header field by its name, in whichever case.
    pub header: &'a dyn Fn(&str) -> Option<&'a [u8]>,
    /// The `Content-Type` field.
    pub content_type: Option<&'a [u8]>,
    /// The decoded body.
    pub body: &'a [u8],
    /// The JSON text of a claim of whoever asks, by its name.
    pub claim: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// Bound values, kept from request to request so that their memory is too.
#[derive(Debug, Default)]
pub struct Bound {
    /// The values one after the other, in Postgres' binary form.
    pub bytes: Vec<u8>,
    /// For each `$n` its bytes, or `None` for NULL.
    pub values: Vec<Option<Range<u32>>>,
    /// For each `$n` whether the request gave a value, right or wrong.
    given: Vec<bool>,
}

impl Bound {
    /// The value of `$1` at index 0, and so on; `None` is NULL.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let range = self.values.get(index)?.as_ref()?;
        self.bytes.get(range.start as usize..range.end as usize)
    }

    fn reset(&mut self, params: usize) {
        self.bytes.clear();
        self.values.clear();
        self.values.resize(params, None);
        self.given.clear();
        self.given.resize(params, false);
    }

    /// Takes everything after `start` as the value of a parameter.
    fn set(&mut self, index: usize, start: usize) -> Result<(), BindFault> {
        let range = u32::try_from(start)
            .ok()
            .zip(u32::try_from(self.bytes.len()).ok());
        let (start, end) = range.ok_or(BindFault::Malformed(
            "The request is larger than a statement can take",
        ))?;
        self.values[index] = Some(start..end);
        Ok(())
    }
}

/// Equal when the values are, wherever they stand: two such requests of a route have the same answer.
impl PartialEq for Bound {
    fn eq(&self, other: &Bound) -> bool {
        let count = self.values.len();
        count == other.values.len()
            && (0..count).all(|index| self.value(index) == other.value(index))
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for index in 0..self.values.len() {
            self.value(index).hash(state);
        }
    }
}

/// Why a request can't be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindFault {
    /// The body is not JSON by its media type: 415.
    MediaType,
    /// The body has a content coding, and none is taken off here: 415 (RFC 9110 §8.4).
    ContentCoding,
    /// The request can't be read; the reason for people: 400.
    Malformed(&'static str),
    /// The request can be read, but its values are not what the route takes: 422.
    Invalid(Vec<Detail>),
    /// The claims are not what the route takes: 403. For the log, not for the client.
    Claims(Vec<Detail>),
}

impl BindFault {
    /// Whether a value is none of those that are known to be allowed.
    pub fn is_of_a_choice(&self) -> bool {
        match self {
            BindFault::MediaType | BindFault::ContentCoding | BindFault::Malformed(_) => false,
            BindFault::Invalid(details) | BindFault::Claims(details) => {
                details.iter().any(|detail| detail.kind == "enum")
            }
        }
    }
}

impl Plan {
    /// Binds a request. After a fault `out` holds nothing of use.
    pub fn bind(&self, input: &Input<'_>, out: &mut Bound) -> Result<(), BindFault> {
        out.reset(self.params.len());
        let mut binding = Binding {
            plan: self,
            out,
            details: Details::default(),
        };
        binding.claims(input.claim)?;
        binding.path(input.captures)?;
        if !self.query.is_empty() || input.query.is_some_and(|query| !query.is_empty()) {
            binding.query(input.query.unwrap_or_default())?;
        }
        for &index in &self.headers {
            binding.header(index, input.header)?;
        }
        binding.body(input)?;
        if binding.details.list.is_empty() {
            Ok(())
        } else {
            Err(BindFault::Invalid(binding.details.list))
        }
    }
}

const MISSING: (&str, &str) = ("missing", "Field required");
const EXTRA: (&str, &str) = ("extra_forbidden", "Extra inputs are not permitted");
const TWICE: (&str, &str) = ("duplicate", "Given more than once");

/// One request being bound.
struct Binding<'b> {
    plan: &'b Plan,
    out: &'b mut Bound,
    details: Details,
}

impl Binding<'_> {
    fn claims<'a>(&mut self, claim: &dyn Fn(&str) -> Option<&'a str>) -> Result<(), BindFault> {
        for &index in &self.plan.claims {
            match claim(&self.plan.params[index].external) {
                None => self.absent(index)?,
                Some(raw) => match scan(raw.as_bytes()) {
                    Ok(found) => self.json(index, raw, found.holds_nul)?,
                    Err(message) => self.fault(index, "json_invalid", message),
                },
            }
        }
        match self.details.list.is_empty() {
            true => Ok(()),
            false => Err(BindFault::Claims(std::mem::take(&mut self.details.list))),
        }
    }

    fn path(&mut self, captures: &[&str]) -> Result<(), BindFault> {
        for (&index, raw) in self.plan.captures.iter().zip(captures) {
            let text = decode(raw, false)?;
            self.text(index, &text)?;
        }
        // Only a caller that mixes up routes could leave one out.
        for &index in self.plan.captures.iter().skip(captures.len()) {
            self.absent(index)?;
        }
        Ok(())
    }

    fn query(&mut self, query: &str) -> Result<(), BindFault> {
        for (name, value) in pairs(query) {
            let name = decode(name, true)?;
            let value = decode(value, true)?;
            let known = self.find(&self.plan.query, &name);
            match known {
                None => self.details.add("query", Some(&name), EXTRA.0, EXTRA.1),
                Some(index) if self.plan.params[index].is_array => {
                    if !self.out.given[index] {
                        self.list(index, query)?;
                    }
                }
                Some(index) if self.out.given[index] => self.fault(index, TWICE.0, TWICE.1),
                Some(index) => self.text(index, &value)?,
            }
        }
        self.absent_all(&self.plan.query)
    }

    /// All values of a repeated query parameter.
    fn list(&mut self, index: usize, query: &str) -> Result<(), BindFault> {
        let param = &self.plan.params[index];
        let mut texts = Vec::new();
        for (name, value) in pairs(query) {
            if decode(name, true)? == param.external {
                texts.push(decode(value, true)?);
            }
        }
        let texts: Vec<&str> = texts.iter().map(Cow::as_ref).collect();
        self.out.given[index] = true;
        let start = self.out.bytes.len();
        match param.decoder.text_list(&texts, &mut self.out.bytes) {
            Ok(()) => self.out.set(index, start)?,
            Err(fault) => self.fault(index, fault.kind, fault.message),
        }
        Ok(())
    }

    fn header<'a>(
        &mut self,
        index: usize,
        header: &dyn Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<(), BindFault> {
        match header(&self.plan.params[index].external).map(std::str::from_utf8) {
            None => self.absent(index),
            Some(Ok(text)) => self.text(index, text),
            Some(Err(_)) => {
                self.out.given[index] = true;
                self.fault(index, "string_unicode", "Input should be valid UTF-8 text");
                Ok(())
            }
        }
    }

    fn body(&mut self, input: &Input<'_>) -> Result<(), BindFault> {
        let params = match &self.plan.body {
            BodyPlan::Ignored => return Ok(()),
            BodyPlan::Members(params) => params.as_slice(),
            BodyPlan::Whole(param) => std::slice::from_ref(param),
        };
        if input.body.is_empty() {
            return self.absent_all(params);
        }
        if !input.content_type.is_some_and(is_json) {
            return Err(BindFault::MediaType);
        }
        if (input.header)("content-encoding").is_some_and(is_coded) {
            return Err(BindFault::ContentCoding);
        }
        let text = std::str::from_utf8(input.body)
            .map_err(|_| BindFault::Malformed("The body is not UTF-8"))?;
        let found = scan(input.body).map_err(BindFault::Malformed)?;
        // This checks the document as a whole; what follows may trust it.
        let document: LazyValue<'_> = sonic_rs::from_str(text).map_err(not_json)?;
        if let BodyPlan::Whole(index) = self.plan.body {
            return self.json(index, document.as_raw_str(), found.holds_nul);
        }
        let Some(members) = document.into_object_iter() else {
            self.details
                .add("body", None, "dict_type", "Input should be an object");
            return Ok(());
        };
        for member in members {
            let (name, value) = member.map_err(not_json)?;
            match self.find(params, &name) {
                None if self.details.is_full() => break,
                None => self.details.add("body", Some(&name), EXTRA.0, EXTRA.1),
                Some(index) if self.out.given[index] => self.fault(index, TWICE.0, TWICE.1),
                Some(index) => {
                    let raw = value.as_raw_str();
                    let holds_nul =
                        found.holds_nul && scan(raw.as_bytes()).is_ok_and(|scan| scan.holds_nul);
                    self.json(index, raw, holds_nul)?;
                }
            }
        }
        self.absent_all(params)
    }

    /// Takes the text of a value.
    fn text(&mut self, index: usize, text: &str) -> Result<(), BindFault> {
        let start = self.out.bytes.len();
        let decoded = self.plan.params[index]
            .decoder
            .text(text, &mut self.out.bytes);
        self.decoded(index, start, text, decoded)
    }

    /// Takes the raw text of a JSON value.
    fn json(&mut self, index: usize, raw: &str, holds_nul: bool) -> Result<(), BindFault> {
        let param = &self.plan.params[index];
        if raw == "null" {
            self.out.given[index] = true;
            if !param.nullable {
                self.fault(index, "null_forbidden", "Input should not be null");
            }
            return Ok(());
        }
        if holds_nul {
            self.out.given[index] = true;
            self.fault(index, "string_nul", "Input should not hold a NUL character");
            return Ok(());
        }
        let start = self.out.bytes.len();
        let decoded = param.decoder.json(raw, &mut self.out.bytes);
        self.decoded(index, start, raw, decoded)
    }

    /// Keeps a decoded value if it keeps to its constraints.
    fn decoded(
        &mut self,
        index: usize,
        start: usize,
        written: &str,
        decoded: Result<(), crate::json::DecodeFault>,
    ) -> Result<(), BindFault> {
        self.out.given[index] = true;
        if let Err(fault) = decoded {
            self.fault(index, fault.kind, fault.message);
            return Ok(());
        }
        match self.plan.params[index].check(written, &self.out.bytes[start..]) {
            Ok(()) => self.out.set(index, start),
            Err(violation) => {
                self.fault(index, violation.kind, violation.message);
                Ok(())
            }
        }
    }

    fn absent_all(&mut self, params: &[usize]) -> Result<(), BindFault> {
        for &index in params {
            if !self.out.given[index] {
                self.absent(index)?;
            }
        }
        Ok(())
    }

    /// The request has no value: the default, else NULL, else a fault.
    fn absent(&mut self, index: usize) -> Result<(), BindFault> {
        let param = &self.plan.params[index];
        if let Some(default) = &param.default_bytes {
            let start = self.out.bytes.len();
            self.out.bytes.extend_from_slice(default);
            return self.out.set(index, start);
        }
        if !param.nullable {
            self.fault(index, MISSING.0, MISSING.1);
        }
        Ok(())
    }

    fn fault(&mut self, index: usize, kind: &'static str, message: impl Into<Cow<'static, str>>) {
        let param = &self.plan.params[index];
        let name = (!param.whole).then_some(param.external.as_str());
        self.details.add(param.source.as_str(), name, kind, message);
    }

    /// The parameter with a name, of a few.
    fn find(&self, params: &[usize], name: &str) -> Option<usize> {
        params
            .iter()
            .copied()
            .find(|&index| self.plan.params[index].external == name)
    }
}

fn not_json(_: sonic_rs::Error) -> BindFault {
    BindFault::Malformed("The body is not valid JSON")
}

/// The pairs of a query: `a=1&b=2`. A name alone has an empty value; nothing between two `&` is no pair.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Percent-decoding (RFC 3986 §2.1); in a query `+` is a space as well (the URL standard's
/// application/x-www-form-urlencoded).
fn decode(raw: &str, plus_is_space: bool) -> Result<Cow<'_, str>, BindFault> {
    let bytes = raw.as_bytes();
    let has_plus = plus_is_space && memchr::memchr(b'+', bytes).is_some();
    let has_percent = memchr::memchr(b'%', bytes).is_some();
    if !has_plus && !has_percent {
        return Ok(Cow::Borrowed(raw));
    }
    for at in memchr::memchr_iter(b'%', bytes) {
        let digits = bytes.get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(BindFault::Malformed(
                "The request target has a % that encodes nothing",
            ));
        }
    }
    let spaced = if has_plus {
        Cow::Owned(raw.replace('+', " "))
    } else {
        Cow::Borrowed(raw)
    };
    let decoded: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
    match String::from_utf8(decoded) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(_) => Err(BindFault::Malformed("The request target is not UTF-8")),
    }
}

/// `application/json` or `application/…+json`, whatever its parameters (RFC 8259 §11, RFC 6839 §3.1).
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let Some((kind, subtype)) = essence.split_at_checked(b"application/".len()) else {
        return false;
    };
    let suffix_at = subtype.len().saturating_sub(b"+json".len());
    kind.eq_ignore_ascii_case(b"application/")
        && (subtype.eq_ignore_ascii_case(b"json")
            || (suffix_at > 0 && subtype[suffix_at..].eq_ignore_ascii_case(b"+json")))
}

/// Whether a `Content-Encoding` names anything but `identity`, which senders should not, and some do.
fn is_coded(content_encoding: &[u8]) -> bool {
    !content_encoding.is_empty() && !content_encoding.eq_ignore_ascii_case(b"identity")
}

#[cfg(test)]
mod tests;
