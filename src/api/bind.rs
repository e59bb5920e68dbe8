//! A request's path, query, header fields and body → the binary parameters of its statement.
//!
//! Every fault of every value is found before the answer is given. What is given and not declared is a fault
//! too (`extra_forbidden`): a misspelt filter must not silently select everything. A query parameter given
//! twice is a fault unless its type is an array, which takes them all. A route that declares nothing from the
//! body does not look at it; an empty body is one without members.

use std::borrow::Cow;
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

/// Why a request can't be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindFault {
    /// The body is not JSON by its media type: 415.
    MediaType,
    /// The request can't be read; the reason for people: 400.
    Malformed(&'static str),
    /// The request can be read, but its values are not what the route takes: 422.
    Invalid(Vec<Detail>),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_postgres::types::Type;

    use super::super::load;
    use super::*;
    use crate::limits;

    /// A route's plan: path `/r` or `/r/{…}`, its params table and the type of each parameter, by name.
    fn plan(path: &str, params: &str, types: &[(&str, Type)]) -> Plan {
        let names: Vec<String> = types.iter().map(|(name, _)| format!(":{name}")).collect();
        let text = format!(
            "[[route]]\nname = \"r\"\nmethod = \"POST\"\npath = \"{path}\"\nresult = \"exec\"\nsql = \"select f({})\"\n[route.params]\n{params}\n",
            names.join(", ")
        );
        let api = load("api.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
        let types: Vec<Type> = types.iter().map(|(_, ty)| ty.clone()).collect();
        match api.routes[0].plan(&api, &types, &[]) {
            Ok(plan) => plan,
            Err(faults) => panic!("{}", faults[0]),
        }
    }

    #[derive(Default, Clone, Copy)]
    struct Request<'a> {
        captures: &'a [&'a str],
        query: Option<&'a str>,
        header: Option<(&'a str, &'a [u8])>,
        content_type: Option<&'a str>,
        body: &'a [u8],
    }

    fn bind(plan: &Plan, request: Request<'_>) -> Result<Vec<Option<Vec<u8>>>, BindFault> {
        let header = |name: &str| {
            request
                .header
                .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        let input = Input {
            captures: request.captures,
            query: request.query,
            header: &header,
            content_type: request.content_type.map(str::as_bytes),
            body: request.body,
        };
        let mut out = Bound {
            bytes: vec![7; 9],
            values: vec![None; 3],
            given: vec![true; 5],
        };
        plan.bind(&input, &mut out)?;
        Ok((0..plan.params.len())
            .map(|index| out.value(index).map(<[u8]>::to_vec))
            .collect())
    }

    fn path<'a>(capture: &'a &'a str) -> Request<'a> {
        Request {
            captures: std::slice::from_ref(capture),
            ..Request::default()
        }
    }

    fn query(query: &str) -> Request<'_> {
        Request {
            query: Some(query),
            ..Request::default()
        }
    }

    fn body(body: &str) -> Request<'_> {
        Request {
            content_type: Some("application/json"),
            body: body.as_bytes(),
            ..Request::default()
        }
    }

    /// The faults in short: `loc.loc type`.
    fn invalid(plan: &Plan, request: Request<'_>) -> Vec<String> {
        match bind(plan, request) {
            Err(BindFault::Invalid(details)) => details
                .iter()
                .map(|detail| format!("{} {}", detail.loc.join("."), detail.kind))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn malformed(plan: &Plan, request: Request<'_>) -> &'static str {
        match bind(plan, request) {
            Err(BindFault::Malformed(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn text(value: &str) -> Option<Vec<u8>> {
        Some(value.as_bytes().to_vec())
    }

    fn int4(value: i32) -> Option<Vec<u8>> {
        Some(value.to_be_bytes().to_vec())
    }

    #[test]
    fn a_path_parameter() {
        let number = plan("/r/{id}", "", &[("id", Type::INT8)]);
        assert_eq!(
            bind(&number, path(&"7")),
            Ok(vec![Some(7i64.to_be_bytes().to_vec())])
        );
        assert_eq!(
            bind(&number, path(&"%37")),
            Ok(vec![Some(7i64.to_be_bytes().to_vec())])
        );
        assert_eq!(invalid(&number, path(&"x")), ["path.id int_parsing"]);
        assert_eq!(
            invalid(&number, path(&"9223372036854775808")),
            ["path.id int_parsing_size"]
        );
        let name = plan("/r/{id}", "", &[("id", Type::TEXT)]);
        assert_eq!(
            bind(&name, path(&"a%2Fb+c%20%C3%A9")),
            Ok(vec![text("a/b+c é")])
        );
        assert_eq!(invalid(&name, path(&"a%00b")), ["path.id string_nul"]);
        for bad in ["%", "%4", "%zz", "%%41", "a%2"] {
            assert_eq!(
                malformed(&name, path(&bad)),
                "The request target has a % that encodes nothing"
            );
        }
        assert_eq!(
            malformed(&name, path(&"%ff")),
            "The request target is not UTF-8"
        );
    }

    #[test]
    fn the_same_name_twice_in_the_sql_is_one_parameter() {
        let plan = plan("/r/{b}/{a}", "", &[("a", Type::TEXT), ("b", Type::TEXT)]);
        let request = Request {
            captures: &["first", "second"],
            ..Request::default()
        };
        assert_eq!(
            bind(&plan, request),
            Ok(vec![text("second"), text("first")])
        );
    }

    #[test]
    fn query_parameters() {
        let plan = plan(
            "/r",
            "q = { in = \"query\", min_length = 2, max_length = 3 }\nn = { in = \"query\", default = 50, ge = 1, le = 500 }\nz = { in = \"query\", nullable = true }",
            &[("q", Type::TEXT), ("n", Type::INT4), ("z", Type::DATE)],
        );
        assert_eq!(
            bind(&plan, query("q=ab")),
            Ok(vec![text("ab"), int4(50), None])
        );
        assert_eq!(
            bind(&plan, query("&q=a+b&&n=500&")),
            Ok(vec![text("a b"), int4(500), None])
        );
        assert_eq!(
            bind(&plan, query("%71=%2B%3D=&n=1")),
            Ok(vec![text("+=="), int4(1), None])
        );
        assert_eq!(
            bind(&plan, query("q=ab&z=2000-01-02")),
            Ok(vec![text("ab"), int4(50), int4(1)])
        );
        assert_eq!(
            invalid(&plan, query("q=a&n=0")),
            ["query.q string_too_short", "query.n greater_than_equal"]
        );
        assert_eq!(
            invalid(&plan, query("q=abcd&n=501")),
            ["query.q string_too_long", "query.n less_than_equal"]
        );
        assert_eq!(invalid(&plan, query("q")), ["query.q string_too_short"]);
        assert_eq!(
            invalid(&plan, query("Q=ab&x=1&=2&n=z")),
            [
                "query.Q extra_forbidden",
                "query.x extra_forbidden",
                "query. extra_forbidden",
                "query.n int_parsing",
                "query.q missing"
            ]
        );
        assert_eq!(invalid(&plan, query("q=ab&q=ab")), ["query.q duplicate"]);
        assert_eq!(invalid(&plan, Request::default()), ["query.q missing"]);
        assert_eq!(
            malformed(&plan, query("q=%")),
            "The request target has a % that encodes nothing"
        );
        assert_eq!(
            malformed(&plan, query("%ff=1")),
            "The request target is not UTF-8"
        );
    }

    #[test]
    fn a_route_without_query_parameters_refuses_them_too() {
        let plan = plan("/r/{id}", "", &[("id", Type::TEXT)]);
        let with = |query| Request {
            captures: &["a"],
            query: Some(query),
            ..Request::default()
        };
        assert_eq!(invalid(&plan, with("x=1")), ["query.x extra_forbidden"]);
        assert_eq!(bind(&plan, with("")), Ok(vec![text("a")]));
        assert_eq!(bind(&plan, with("&")), Ok(vec![text("a")]));
    }

    #[test]
    fn a_repeated_query_parameter_collects_into_an_array() {
        let plan = plan(
            "/r",
            "t = { in = \"query\", default = [\"x\"] }\nn = { in = \"query\", nullable = true }",
            &[("t", Type::TEXT_ARRAY), ("n", Type::INT4_ARRAY)],
        );
        let array = |oid: u32, items: &[&[u8]]| {
            let mut bytes: Vec<u8> = [1, 0, oid as i32, items.len() as i32, 1]
                .iter()
                .flat_map(|n| n.to_be_bytes())
                .collect();
            for item in items {
                bytes.extend((item.len() as i32).to_be_bytes());
                bytes.extend(*item);
            }
            Some(bytes)
        };
        assert_eq!(
            bind(&plan, query("t=a&n=1&t=b+c")),
            Ok(vec![
                array(25, &[b"a", b"b c"]),
                array(23, &[&[0, 0, 0, 1]])
            ])
        );
        assert_eq!(bind(&plan, query("")), Ok(vec![array(25, &[b"x"]), None]));
        assert_eq!(invalid(&plan, query("n=1&n=x")), ["query.n int_parsing"]);
    }

    #[test]
    fn header_fields() {
        let plan = plan(
            "/r",
            "x_tenant = { in = \"header\" }\nk = { in = \"header\", name = \"If-Match\", nullable = true }",
            &[("x_tenant", Type::INT4), ("k", Type::TEXT)],
        );
        let with = |name, value| Request {
            header: Some((name, value)),
            ..Request::default()
        };
        assert_eq!(bind(&plan, with("X-TENANT", b"5")), Ok(vec![int4(5), None]));
        assert_eq!(
            invalid(&plan, with("if-match", b"5")),
            ["header.x-tenant missing"]
        );
        assert_eq!(
            invalid(&plan, with("x-tenant", b"\xff")),
            ["header.x-tenant string_unicode"]
        );
        assert_eq!(
            invalid(&plan, with("x-tenant", b"")),
            ["header.x-tenant int_parsing"]
        );
    }

    fn members() -> Plan {
        plan(
            "/r",
            "q = { in = \"body\", ge = 1, le = 10 }\nnote = { in = \"body\", nullable = true, max_length = 3 }\nkind = { in = \"body\", default = \"a\", enum = [\"a\", \"b\"] }\ndoc = { in = \"body\", nullable = true }",
            &[
                ("q", Type::NUMERIC),
                ("note", Type::TEXT),
                ("kind", Type::TEXT),
                ("doc", Type::JSONB),
            ],
        )
    }

    #[test]
    fn members_of_a_body() {
        let plan = members();
        let bound = bind(&plan, body(" {\"q\": 1.0, \"note\": \"\\u00e9x\\n\", \"kind\":\"b\", \"doc\": {\"a\": [1]} }\n")).unwrap();
        assert_eq!(
            bound[1..],
            [text("éx\n"), text("b"), text("\u{1}{\"a\": [1]}")]
        );
        let bound = bind(&plan, body("{\"q\":10,\"note\":null,\"doc\":null}")).unwrap();
        assert_eq!(bound[1..], [None, text("a"), None]);
        assert!(bound[0].is_some());
        for (json, faults) in [
            ("{}", vec!["body.q missing"]),
            (
                "{\"q\":null,\"kind\":null}",
                vec!["body.q null_forbidden", "body.kind null_forbidden"],
            ),
            (
                "{\"q\":0.99999999999999999999}",
                vec!["body.q greater_than_equal"],
            ),
            (
                "{\"q\":\"10.00000000000000000001\"}",
                vec!["body.q less_than_equal"],
            ),
            ("{\"q\":true}", vec!["body.q decimal_type"]),
            (
                "{\"q\":1,\"note\":\"abcd\",\"kind\":\"c\"}",
                vec!["body.note string_too_long", "body.kind enum"],
            ),
            (
                "{\"q\":1,\"note\":\"\\u0000\"}",
                vec!["body.note string_nul"],
            ),
            (
                "{\"q\":1,\"doc\":{\"a\":\"\\u0000\"}}",
                vec!["body.doc string_nul"],
            ),
            (
                "{\"q\":1,\"doc\":1,\"x\":{},\"y\":null}",
                vec!["body.x extra_forbidden", "body.y extra_forbidden"],
            ),
            ("{\"q\":1,\"q\":2}", vec!["body.q duplicate"]),
            ("{\"q\":1,\"\\u0071\":2}", vec!["body.q duplicate"]),
            ("[]", vec!["body dict_type"]),
            ("null", vec!["body dict_type"]),
            ("\"{}\"", vec!["body dict_type"]),
        ] {
            assert_eq!(invalid(&plan, body(json)), faults, "{json}");
        }
        assert_eq!(invalid(&plan, Request::default()), ["body.q missing"]);
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        let plan = members();
        for json in [
            " ",
            "{",
            "}",
            "{\"q\":1",
            "{\"q\":1}}",
            "{\"q\":1} x",
            "{\"q\":1,}",
            "{,\"q\":1}",
            "{q:1}",
            "{'q':1}",
            "{\"q\":01}",
            "{\"q\":1.}",
            "{\"q\":.5}",
            "{\"q\":+1}",
            "{\"q\":-}",
            "{\"q\":1e}",
            "{\"q\":NaN}",
            "{\"q\":tru}",
            "{\"q\" 1}",
            "{\"q\":}",
            "{\"q\":1 \"note\":\"\"}",
            "{\"q\":[1,]}",
            "{\"note\":\"\t\"}",
            "{\"note\":\"\\x\"}",
            "{\"note\":\"\\u12\"}",
            "{\"note\":\"a}",
            "{\"doc\":[1}}",
            "{\"doc\":{\"a\":1]}",
            "{\"doc\":{\"a\"}}",
            "{\"doc\":[1 2]}",
            "\u{feff}{\"q\":1}",
            "/**/{\"q\":1}",
            "{\"q\":1}{\"q\":1}",
        ] {
            assert_eq!(
                malformed(&plan, body(json)),
                "The body is not valid JSON",
                "{json}"
            );
        }
        let request = Request {
            body: b"{\"note\":\"\xff\"}",
            ..body("")
        };
        assert_eq!(malformed(&plan, request), "The body is not UTF-8");
        assert_eq!(
            malformed(&plan, body("{\"note\":\"\\ud800\"}")),
            "The JSON document holds half a surrogate pair"
        );
        let nested = |depth: usize| {
            format!(
                "{{\"q\":1,\"doc\":{}{}}}",
                "[".repeat(depth),
                "]".repeat(depth)
            )
        };
        assert!(bind(&plan, body(&nested(limits::JSON_DEPTH_MAX - 1))).is_ok());
        assert_eq!(
            malformed(&plan, body(&nested(limits::JSON_DEPTH_MAX))),
            "The JSON document is nested too deeply"
        );
        assert_eq!(
            malformed(&plan, body(&"[".repeat(1_000_000))),
            "The JSON document is nested too deeply"
        );
    }

    #[test]
    fn media_types() {
        let plan = members();
        for (content_type, is_fine) in [
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/json ;x=y"), true),
            (Some("application/vnd.api+json"), true),
            (Some("application/+json"), false),
            (Some("application/jsonp"), false),
            (Some("application/"), false),
            (Some("text/json"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (Some(""), false),
            (None, false),
        ] {
            let bound = bind(
                &plan,
                Request {
                    content_type,
                    ..body("{\"q\":1}")
                },
            );
            let expected = if is_fine {
                Ok(())
            } else {
                Err(BindFault::MediaType)
            };
            assert_eq!(bound.map(|_| ()), expected, "{content_type:?}");
        }
    }

    #[test]
    fn the_whole_body() {
        let entry = |rest: &str| {
            plan(
                "/r",
                &format!("doc = {{ in = \"body\", whole = true{rest} }}"),
                &[("doc", Type::JSON)],
            )
        };
        let plan = entry("");
        for json in [
            "{\"a\": 1.50, \"a\": 2}",
            "[1, \"x\\n\"]",
            "\"x\"",
            "1e400",
            "true",
        ] {
            assert_eq!(
                bind(&plan, body(&format!(" {json}\n"))),
                Ok(vec![text(json)])
            );
        }
        assert_eq!(invalid(&plan, body("null")), ["body null_forbidden"]);
        assert_eq!(invalid(&plan, body("{\"\\u0000\":1}")), ["body string_nul"]);
        assert_eq!(invalid(&plan, Request::default()), ["body missing"]);
        assert_eq!(malformed(&plan, body("1 2")), "The body is not valid JSON");
        assert_eq!(
            bind(&entry(", nullable = true"), body(" null ")),
            Ok(vec![None])
        );
        assert_eq!(
            bind(&entry(", nullable = true"), Request::default()),
            Ok(vec![None])
        );
        assert_eq!(
            bind(&entry(", default = '{}'"), Request::default()),
            Ok(vec![text("{}")])
        );
    }

    #[test]
    fn a_body_that_nothing_is_taken_from_is_not_looked_at() {
        let plan = plan("/r/{id}", "", &[("id", Type::TEXT)]);
        let request = Request {
            captures: &["a"],
            body: b"not json",
            ..Request::default()
        };
        assert_eq!(bind(&plan, request), Ok(vec![text("a")]));
    }

    #[test]
    fn faults_of_all_places_come_together_and_never_hold_the_value() {
        let plan = plan(
            "/r/{id}",
            "q = { in = \"query\" }\nh = { in = \"header\" }\nb = { in = \"body\" }\nd = { in = \"query\", enum = [2024-01-01] }",
            &[
                ("id", Type::UUID),
                ("q", Type::BOOL),
                ("h", Type::FLOAT8),
                ("b", Type::TIMESTAMPTZ),
                ("d", Type::DATE),
            ],
        );
        let request = Request {
            captures: &["SECRET"],
            query: Some("q=SECRET&d=2024-01-02"),
            header: Some(("h", b"SECRET")),
            ..body("{\"b\":\"SECRET\"}")
        };
        let Err(BindFault::Invalid(details)) = bind(&plan, request) else {
            panic!("no fault")
        };
        let places: Vec<&str> = details
            .iter()
            .map(|detail| detail.loc[1].as_ref())
            .collect();
        assert_eq!(places, ["id", "q", "d", "h", "b"]);
        assert_eq!(details[2].msg, "Input should be '2024-01-01'");
        let mut out = Vec::new();
        Detail::write_all(&details, &mut out);
        assert!(!String::from_utf8(out).unwrap().contains("SECRET"));
    }

    #[test]
    fn a_body_of_faults_has_a_bounded_answer() {
        let many: Vec<String> = (0..5_000)
            .map(|index| format!("\"x{index}\":{index}"))
            .collect();
        let faults = invalid(&members(), body(&format!("{{{}}}", many.join(","))));
        assert_eq!(faults.len(), limits::DETAILS_MAX);
    }

    #[test]
    fn buffers_are_kept_from_request_to_request() {
        let plan = plan("/r/{id}", "", &[("id", Type::INT8)]);
        let input = Input {
            captures: &["12345"],
            query: None,
            header: &|_| None,
            content_type: None,
            body: b"",
        };
        let mut out = Bound::default();
        plan.bind(&input, &mut out).unwrap();
        let before = (out.bytes.as_ptr(), out.values.as_ptr(), out.given.as_ptr());
        plan.bind(&input, &mut out).unwrap();
        assert_eq!(
            before,
            (out.bytes.as_ptr(), out.values.as_ptr(), out.given.as_ptr())
        );
        assert_eq!(out.value(0), Some(&12345i64.to_be_bytes()[..]));
    }

    proptest! {
        #[test]
        fn text_survives_percent_encoding(text in "\\PC{0,20}") {
            let plan = plan("/r", "q = { in = \"query\" }", &[("q", Type::TEXT)]);
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(bind(&plan, query(&format!("q={encoded}"))), Ok(vec![Some(text.into_bytes())]));
        }

        #[test]
        fn no_request_panics(path in "[a-z0-9%+]{1,8}", raw in "[a-z%=&+0-9]{0,30}", json in "[{}\\[\\]\"\\\\:,0-9a-zu.-]{0,40}") {
            let plan = plan("/r/{id}", "q = { in = \"query\", nullable = true }\ndoc = { in = \"body\" }", &[("id", Type::TEXT), ("q", Type::INT4), ("doc", Type::JSONB)]);
            let captures = [path.as_str()];
            let request = Request { captures: &captures, query: Some(&raw), ..body(&json) };
            let _ = bind(&plan, request);
        }
    }
}
