//! Requests that read, or are refused for what they ask.

use super::{Ask, Asks, Expect};
use crate::allowed::Class;
use crate::schema::{BULKY, CHANGING, ITEMS, OWNED};
use crate::writes::{Write, shared_counters};

impl Asks<'_> {
    pub fn health(&mut self) -> Ask {
        let expect = Expect::json("{\"status\":\"ok\"}");
        self.bare("GET", "/health", Class::Local, expect)
    }

    pub(super) fn ready(&mut self) -> Ask {
        let expect = Expect::json("{\"status\":\"ready\"}");
        self.bare("GET", "/ready", Class::Ready, expect)
    }

    pub fn item(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let body = self.item_body(id);
        self.bare(
            "GET",
            &format!("/items/{id}"),
            Class::Read,
            Expect::json(body),
        )
    }

    pub(super) fn slug(&mut self) -> Ask {
        let item = self.random.pick(&self.soak.items);
        let (slug, mark) = (&item.slug, &item.mark);
        let body = format!("{{\"slug\":\"{slug}\",\"mark\":\"{mark}\"}}");
        self.bare(
            "GET",
            &format!("/slugs/{slug}"),
            Class::Read,
            Expect::json(body),
        )
    }

    pub(super) fn tag(&mut self) -> Ask {
        let item = self.random.pick(&self.soak.items);
        let (tag, mark) = (&item.tag, &item.mark);
        let body = format!("{{\"tag\":\"{tag}\",\"mark\":\"{mark}\"}}");
        self.bare(
            "GET",
            &format!("/tags/{tag}"),
            Class::Read,
            Expect::json(body),
        )
    }

    pub(super) fn ten_items(&mut self) -> Ask {
        let first = self.random.between(1, ITEMS - 9);
        let bodies: Vec<String> = (first..first + 10).map(|id| self.item_body(id)).collect();
        let body = format!("[{}]", bodies.join(","));
        let target = format!("/items?first={first}");
        self.bare("GET", &target, Class::Read, Expect::json(body))
    }

    pub(super) fn mark(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let body = format!("\"{}\"", self.soak.mark(id));
        self.bare(
            "GET",
            &format!("/marks/{id}"),
            Class::Read,
            Expect::json(body),
        )
    }

    pub(super) fn alone(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let body = self.item_body(id);
        self.bare(
            "GET",
            &format!("/alone/{id}"),
            Class::Read,
            Expect::json(body),
        )
    }

    /// A read with a body, in either framing.
    pub fn look_up(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let note = "n".repeat(self.random.below(200));
        let mark = self.soak.mark(id);
        let expect = format!("{{\"id\":{id},\"mark\":\"{mark}\",\"note\":\"{note}\"}}");
        let body = format!("{{\"id\":{id},\"note\":\"{note}\"}}");
        self.with_body("POST", "/look-up", &body, Class::Read, Expect::json(expect))
    }

    pub fn bulky(&mut self) -> Ask {
        let id = self.random.between(1, BULKY);
        let body = self.soak.mark(id).repeat(1250);
        let body = format!("{{\"id\":{id},\"body\":\"{body}\"}}");
        self.bare(
            "GET",
            &format!("/bulky/{id}"),
            Class::Read,
            Expect::json(body),
        )
    }

    pub(super) fn changing(&mut self) -> Ask {
        let id = self.random.between(1, CHANGING);
        let mark = self.soak.mark(id);
        let expect = Expect::OneOf([
            format!("{{\"id\":{id},\"mark\":\"{mark}\"}}").into(),
            format!("{{\"id\":{id},\"mark\":\"{mark}\",\"extra\":null}}").into(),
        ]);
        self.bare("GET", &format!("/changing/{id}"), Class::Changing, expect)
    }

    pub(super) fn refusal(&mut self) -> Ask {
        let id = self.random.below(1_000_000);
        let expect = Expect::error(400, &format!("refused {id}"));
        self.bare("GET", &format!("/refusals/{id}"), Class::Read, expect)
    }

    pub fn nap(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let body = self.item_body(id);
        self.bare(
            "GET",
            &format!("/naps/{id}"),
            Class::Slow,
            Expect::json(body),
        )
    }

    /// In a lane whose queue is longer than what may be in flight.
    pub fn patient_nap(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let body = self.item_body(id);
        let target = format!("/patient-naps/{id}");
        self.bare("GET", &target, Class::Slow, Expect::json(body))
    }

    pub fn overdue(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let expect = Expect::error(504, "The database did not answer in time");
        self.bare("GET", &format!("/overdue/{id}"), Class::Slow, expect)
    }

    pub fn cancellable(&mut self, seconds: &str) -> Ask {
        let id = self.random.between(1, ITEMS);
        let body = self.item_body(id);
        let target = format!("/cancellable/{id}?seconds={seconds}");
        self.bare("GET", &target, Class::Slow, Expect::json(body))
    }

    pub fn counter(&mut self) -> Ask {
        let id = self
            .random
            .between(shared_counters().start, shared_counters().end - 1);
        let least = self.soak.writes.seen(id);
        let expect = Expect::Counter { id, least };
        self.bare("GET", &format!("/counters/{id}"), Class::Counter, expect)
    }

    /// A row that each tenant has one of.
    pub(super) fn owned(&mut self) -> Ask {
        let (id, tenant) = (self.random.between(1, OWNED), self.tenant);
        let body = format!(r#"{{"id":{id},"tenant":"{tenant}","mark":"{tenant}-mark-{id}"}}"#);
        let target = format!("/owned/{id}");
        self.bare("GET", &target, Class::Read, Expect::json(body))
    }

    /// The same rows for a role that sees none of them, whoever asks.
    pub(super) fn nobodys(&mut self) -> Ask {
        let target = format!("/nobodys/{}", self.random.between(1, OWNED));
        self.bare("GET", &target, Class::Read, Expect::json("0"))
    }

    /// With a limit that is reached.
    pub fn scarce(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let expect = Expect::Limited(self.item_body(id).into());
        self.bare("GET", &format!("/scarce/{id}"), Class::Read, expect)
    }

    /// Something for those alone who say who they are, by one who does not; what would be written is not.
    pub(super) fn unauthorized(&mut self) -> Ask {
        let wrong = self.no_credential();
        let right = std::mem::replace(&mut self.credential, wrong);
        let token = self.soak.writes.token();
        let (method, target) = *self.random.pick(&[
            ("GET", "/items/1"),
            ("GET", "/slugs/slug-1"),
            ("GET", "/owned/1"),
            ("GET", "/items/abc"),
            ("POST", "/tokens/"),
        ]);
        let expect = Expect::error(401, "Unauthorized");
        let ask = match method {
            "GET" => self.bare(method, target, Class::Local, expect),
            _ => {
                let target = format!("{target}{token}");
                let mut ask = self.with_body(method, &target, "", Class::Local, expect);
                ask.write = Some(Write::RefusedToken(token));
                ask
            }
        };
        self.credential = right;
        ask
    }

    /// A page asks whether it may ask.
    pub(super) fn preflight(&mut self) -> Ask {
        let expect = Expect::Exactly(204, Vec::new());
        let fields = "Access-Control-Request-Method: GET\r\n";
        let mut ask = self.build(
            "OPTIONS",
            "/items/1",
            Class::Local,
            expect,
            (fields, Vec::new()),
        );
        if ask.bytes.windows(7).all(|bytes| bytes != b"Origin:") {
            ask.expect = Expect::Allow("GET, HEAD, OPTIONS");
        } else if ask.marks.origin.is_none() {
            ask.expect = Expect::error(403, "CORS: origin not allowed");
        }
        ask
    }

    pub(super) fn head(&mut self) -> Ask {
        let mut ask = self.item();
        ask.bytes.splice(0..3, *b"HEAD");
        ask.head_bytes += 1;
        ask.head_only = true;
        ask
    }

    /// Answered without Postgres, or for lack of a row.
    pub(super) fn no_such(&mut self) -> Ask {
        match self.random.below(4) {
            0 => self.bare(
                "GET",
                "/nowhere",
                Class::Local,
                Expect::error(404, "Not found"),
            ),
            1 => {
                let expect = Expect::error(405, "Method not allowed");
                self.bare("DELETE", "/health", Class::Local, expect)
            }
            2 => self.bare(
                "OPTIONS",
                "/items/1",
                Class::Local,
                Expect::Allow("GET, HEAD, OPTIONS"),
            ),
            _ => {
                let expect = Expect::error(404, "No such item");
                self.bare("GET", "/items/1000001", Class::Read, expect)
            }
        }
    }

    pub(super) fn invalid(&mut self) -> Ask {
        let target = *self
            .random
            .pick(&["/items/abc", "/items?first=0", "/items", "/tags/x"]);
        let expect = Expect::error(422, "Validation failed");
        self.bare("GET", target, Class::Bound, expect)
    }

    pub(super) fn malformed_document(&mut self) -> Ask {
        if self.random.percent(50) {
            let mut ask = self.look_up();
            let text = String::from_utf8(ask.bytes).expect("it was a text");
            ask.head_bytes -= "application/json".len() - "text/plain".len();
            ask.bytes = text.replacen("application/json", "text/plain", 1).into();
            ask.class = Class::Bound;
            ask.expect = Expect::error(415, "The body has to be application/json");
            return ask;
        }
        let body = *self
            .random
            .pick(&["{", "{\"id\":1,}", "nonsense", "{\"id\" 1}"]);
        let expect = Expect::error(400, "");
        self.with_body("POST", "/look-up", body, Class::Bound, expect)
    }

    fn item_body(&self, id: usize) -> String {
        format!("{{\"id\":{id},\"mark\":\"{}\"}}", self.soak.mark(id))
    }
}
