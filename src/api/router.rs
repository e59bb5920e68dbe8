//! Path templates and the routing table.
//!
//! A template is a path whose segments are either text or one `{parameter}`. Text goes before a parameter
//! where both fit, from the left: `/users/me` is not `/users/{user_id}`. A trailing slash makes another path.
//! Methods of one path may name its parameters differently: captures are counted, not named.

use std::fmt;

use super::tree::is_identifier;

/// Methods that a route can declare (RFC 9110 §9.3, RFC 5789). HEAD is answered by the GET route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET, and HEAD.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Method {
    /// All, in the order in which an `Allow` field lists them.
    pub const ALL: [Method; 5] = [
        Method::Get,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
    ];

    /// The method as HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// A path template: `/users/{user_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    params: Vec<String>,
    /// The template with parameters numbered, which is equal for templates that fit the same paths.
    shape: String,
}

impl Template {
    /// Reads a template; the fault is one line that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Template, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err("a path begins with \"/\"".to_owned());
        };
        let mut params: Vec<String> = Vec::new();
        let mut shape = String::with_capacity(text.len());
        let count = rest.split('/').count();
        for (index, segment) in rest.split('/').enumerate() {
            shape.push('/');
            if let Some(name) = segment
                .strip_prefix('{')
                .and_then(|inner| inner.strip_suffix('}'))
            {
                if !is_identifier(name) {
                    return Err(format!(
                        "\"{name}\" can't name a parameter (ASCII letters, digits and _)"
                    ));
                }
                if params.iter().any(|known| known == name) {
                    return Err(format!("{{{name}}} stands twice in this path"));
                }
                params.push(name.to_owned());
                shape.push_str(&format!("{{{}}}", params.len()));
                continue;
            }
            if segment.is_empty() && index + 1 < count {
                return Err("a path has no empty segments".to_owned());
            }
            check_text(segment)?;
            shape.push_str(segment);
        }
        Ok(Template {
            text: text.to_owned(),
            params,
            shape,
        })
    }

    /// The template as declared.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Names of its parameters, from the left.
    pub fn params(&self) -> &[String] {
        &self.params
    }
}

/// Text of a segment: what may stand there in a request (`pchar`, RFC 3986 §3.3).
fn check_text(segment: &str) -> Result<(), String> {
    if segment == "." || segment == ".." {
        return Err(format!("\"{segment}\" can't be a segment of a path"));
    }
    if segment.contains(['{', '}']) {
        return Err("a {parameter} takes a whole segment".to_owned());
    }
    let bytes = segment.as_bytes();
    for (index, &byte) in bytes.iter().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        let encoded = byte == b'%'
            && bytes
                .get(index + 1..index + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if !plain && !encoded {
            let character = segment[index..].chars().next().unwrap_or('%');
            return Err(format!(
                "{character:?} can't stand in a path, write it percent-encoded"
            ));
        }
    }
    Ok(())
}

/// Which route answers a method and a path. Each method has its own paths, so that `GET /users/me`
/// takes nothing from `DELETE /users/{id}`.
#[derive(Debug, Clone, Default)]
pub struct Router {
    methods: [matchit::Router<usize>; Method::ALL.len()],
    added: Vec<(Method, String, usize)>,
}

/// Why a route can't be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterFault {
    /// This route (by its index) answers the same method on the same paths.
    Duplicate(usize),
    /// The path can't be told apart from another, or can't be routed; the reason in one line.
    Path(String),
}

/// What was found for a path.
#[derive(Debug)]
pub enum Found<'p> {
    /// The route's index, and what stands in the path for the parameters.
    Route {
        /// Index of the route, as it was added.
        index: usize,
        /// Raw, percent-encoded captures, from the left.
        captures: Captures<'p>,
    },
    /// The path is known, but not with this method: 405.
    MethodNotAllowed {
        /// The `Allow` field (RFC 9110 §10.2.1), such as `GET, HEAD, POST, OPTIONS`.
        allow: String,
    },
    /// No such path: 404.
    NotFound,
}

impl Router {
    /// Adds a route under an index of the caller's.
    pub fn add(
        &mut self,
        method: Method,
        template: &Template,
        index: usize,
    ) -> Result<(), RouterFault> {
        let same = |(other, shape, _): &&(Method, String, usize)| {
            *other == method && *shape == template.shape
        };
        if let Some((_, _, other)) = self.added.iter().find(same) {
            return Err(RouterFault::Duplicate(*other));
        }
        self.methods[method as usize]
            .insert(template.shape.clone(), index)
            .map_err(|fault| RouterFault::Path(fault.to_string()))?;
        self.added.push((method, template.shape.clone(), index));
        Ok(())
    }

    /// Finds the route for a raw path (before percent-decoding, without its query). HEAD is asked for as
    /// `Get`; a method that no route can have is `None`.
    pub fn find<'p>(&self, method: Option<Method>, path: &'p str) -> Found<'p> {
        let routes = method.map(|method| &self.methods[method as usize]);
        if let Some(matched) = routes.and_then(|routes| routes.at(path).ok()) {
            return Found::Route {
                index: *matched.value,
                captures: Captures::new(&matched.params),
            };
        }
        match self.allow(path) {
            Some(allow) => Found::MethodNotAllowed { allow },
            None => Found::NotFound,
        }
    }

    /// The `Allow` field of a path, if any method knows it.
    fn allow(&self, path: &str) -> Option<String> {
        let mut allow = String::new();
        for method in Method::ALL {
            if self.methods[method as usize].at(path).is_ok() {
                allow.push_str(method.as_str());
                allow.push_str(", ");
                if method == Method::Get {
                    allow.push_str("HEAD, ");
                }
            }
        }
        if allow.is_empty() {
            return None;
        }
        allow.push_str("OPTIONS");
        Some(allow)
    }
}

/// Captures of one path. Up to four stand in place; more are allocated. (matchit itself allocates past three.)
#[derive(Debug)]
pub struct Captures<'p> {
    inline: [&'p str; CAPTURES_INLINE],
    len: usize,
    spilled: Vec<&'p str>,
}

const CAPTURES_INLINE: usize = 4;

impl<'p> Captures<'p> {
    fn new(params: &matchit::Params<'_, 'p>) -> Captures<'p> {
        let mut captures = Captures {
            inline: [""; CAPTURES_INLINE],
            len: params.len(),
            spilled: Vec::new(),
        };
        if captures.len > CAPTURES_INLINE {
            captures.spilled = params.iter().map(|(_, value)| value).collect();
        } else {
            for (slot, (_, value)) in captures.inline.iter_mut().zip(params.iter()) {
                *slot = value;
            }
        }
        captures
    }

    /// The captures, from the left.
    pub fn as_slice(&self) -> &[&'p str] {
        if self.len > CAPTURES_INLINE {
            &self.spilled
        } else {
            &self.inline[..self.len]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[(Method, &str)]) -> Router {
        let mut router = Router::default();
        for (index, (method, path)) in routes.iter().enumerate() {
            router
                .add(*method, &Template::parse(path).unwrap(), index)
                .unwrap();
        }
        router
    }

    fn found(router: &Router, method: Option<Method>, path: &str) -> String {
        match router.find(method, path) {
            Found::Route { index, captures } => {
                format!("{index} {}", captures.as_slice().join(" "))
            }
            Found::MethodNotAllowed { allow } => format!("405 {allow}"),
            Found::NotFound => "404".to_owned(),
        }
    }

    #[test]
    fn paths_and_methods_find_their_route() {
        use Method::*;
        let router = router(&[
            (Get, "/"),
            (Get, "/users/{user_id}"),
            (Delete, "/users/{id}"),
            (Get, "/users/me"),
            (Post, "/a/{a}/b/{b}/c/{c}/d/{d}"),
            (Post, "/a/{a}/b/{b}/c/{c}/d/{d}/e/{e}"),
            (Get, "/a/{x}/b"),
            (Get, "/a/c/{y}"),
            (Get, "/slash/"),
        ]);
        for (method, path, expected) in [
            (Some(Get), "/", "0 "),
            (Some(Get), "/users/7", "1 7"),
            (Some(Delete), "/users/7", "2 7"),
            (Some(Get), "/users/a%2Fb", "1 a%2Fb"),
            (Some(Get), "/users/me", "3 "),
            (Some(Get), "/users/mee", "1 mee"),
            (Some(Put), "/users/7", "405 GET, HEAD, DELETE, OPTIONS"),
            (None, "/users/7", "405 GET, HEAD, DELETE, OPTIONS"),
            (Some(Get), "/users/", "404"),
            (Some(Get), "/users/7/", "404"),
            (Some(Get), "/users", "404"),
            (Some(Get), "", "404"),
            (Some(Get), "*", "404"),
            (Some(Post), "/a/1/b/2/c/3/d/4", "4 1 2 3 4"),
            (Some(Post), "/a/1/b/2/c/3/d/4/e/5", "5 1 2 3 4 5"),
            (Some(Get), "/a/1/b/2/c/3/d/4", "405 POST, OPTIONS"),
            (Some(Get), "/a/c/b", "7 b"),
            (Some(Get), "/a/d/b", "6 d"),
            (Some(Get), "/slash/", "8 "),
            (Some(Get), "/slash", "404"),
        ] {
            assert_eq!(found(&router, method, path), expected, "{method:?} {path}");
        }
    }

    #[test]
    fn the_same_method_on_the_same_paths_is_refused() {
        let mut router = router(&[(Method::Get, "/a/{x}")]);
        let add = |router: &mut Router, method, path| {
            router.add(method, &Template::parse(path).unwrap(), 9)
        };
        assert_eq!(
            add(&mut router, Method::Get, "/a/{y}"),
            Err(RouterFault::Duplicate(0))
        );
        assert_eq!(add(&mut router, Method::Post, "/a/{y}"), Ok(()));
        assert_eq!(add(&mut router, Method::Get, "/a/{y}/"), Ok(()));
    }

    #[test]
    fn templates_are_checked() {
        for (text, fault) in [
            ("users", "a path begins with \"/\""),
            ("", "a path begins with \"/\""),
            ("/a//b", "a path has no empty segments"),
            ("//", "a path has no empty segments"),
            ("/a/../b", "\"..\" can't be a segment of a path"),
            ("/a/x{id}", "a {parameter} takes a whole segment"),
            ("/a/{id}.json", "a {parameter} takes a whole segment"),
            ("/a/{id", "a {parameter} takes a whole segment"),
            (
                "/a/{}",
                "\"\" can't name a parameter (ASCII letters, digits and _)",
            ),
            (
                "/a/{*rest}",
                "\"*rest\" can't name a parameter (ASCII letters, digits and _)",
            ),
            ("/a/{x}/{x}", "{x} stands twice in this path"),
            (
                "/a b",
                "' ' can't stand in a path, write it percent-encoded",
            ),
            (
                "/a?b=1",
                "'?' can't stand in a path, write it percent-encoded",
            ),
            (
                "/a#b",
                "'#' can't stand in a path, write it percent-encoded",
            ),
            ("/é", "'é' can't stand in a path, write it percent-encoded"),
            ("/%2", "'%' can't stand in a path, write it percent-encoded"),
        ] {
            assert_eq!(Template::parse(text), Err(fault.to_owned()), "{text}");
        }
        for text in [
            "/",
            "/a",
            "/a/",
            "/%20",
            "/a-b_c.d~e",
            "/{a}/{b}",
            "/v1:do@x,y;z=1",
        ] {
            assert!(Template::parse(text).is_ok(), "{text}");
        }
    }
}
