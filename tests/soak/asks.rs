//! Well-formed requests of every kind, each with the answer that it has to get.

use crate::Soak;
use crate::allowed::Class;
use crate::schema::{ACCOUNTS, BULKY, CHANGING, ITEMS, STOCK};
use crate::support::random::Random;
use crate::writes::{Write, shared_counters};

/// A request and what is known of its answer.
pub struct Ask {
    pub bytes: Vec<u8>,
    /// Where in `bytes` the body begins.
    pub head_bytes: usize,
    /// The answer has no body whatever its length says.
    pub head_only: bool,
    pub class: Class,
    pub expect: Expect,
    /// The answer says that the connection closes.
    pub closes: bool,
    /// The id that an error has to name.
    pub id: String,
    pub write: Option<Write>,
}

/// The right answer, where no fault excuses another one.
pub enum Expect {
    /// This status and body.
    Exactly(u16, Vec<u8>),
    /// 200 and one of these bodies.
    OneOf([Vec<u8>; 2]),
    /// The body of an error, with these words unless they are empty.
    Error(u16, String),
    /// The same for what is no request, and has no id of the client's.
    Fault(u16),
    /// 204 and these methods in Allow.
    Allow(&'static str),
    /// The value of a counter, at least this.
    Counter { id: usize, least: i64 },
    /// A reservation whose token may be there already.
    ReservedOrNot(u64),
    /// What is left of a stock, or that it is sold out.
    Stock(usize),
    /// Success with this body, or a deadlock.
    UnlessDeadlock(Vec<u8>),
}

impl Expect {
    fn json(body: impl Into<Vec<u8>>) -> Expect {
        Expect::Exactly(200, body.into())
    }

    fn error(status: u16, words: &str) -> Expect {
        Expect::Error(status, words.to_owned())
    }
}

/// Makes requests at random.
pub struct Asks<'a> {
    pub soak: &'a Soak,
    pub random: Random,
    name: String,
    number: usize,
}

type Make = for<'a, 'b> fn(&'a mut Asks<'b>) -> Ask;

/// Kinds that read, or are refused, and how often in proportion.
const READS: &[(usize, Make)] = &[
    (90, |asks| asks.health()),
    (20, |asks| asks.ready()),
    (220, |asks| asks.item()),
    (80, |asks| asks.slug()),
    (80, |asks| asks.tag()),
    (50, |asks| asks.ten_items()),
    (40, |asks| asks.mark()),
    (60, |asks| asks.alone()),
    (50, |asks| asks.look_up()),
    (15, |asks| asks.bulky()),
    (60, |asks| asks.changing()),
    (30, |asks| asks.refusal()),
    (25, |asks| asks.nap()),
    (50, |asks| asks.counter()),
    (20, |asks| asks.head()),
    (50, |asks| asks.no_such()),
    (20, |asks| asks.invalid()),
    (20, |asks| asks.malformed_document()),
];

/// Kinds that write.
const WRITES: &[(usize, Make)] = &[
    (20, |asks| asks.token()),
    (10, |asks| asks.refused_token()),
    (20, |asks| asks.increase_shared()),
    (20, |asks| asks.reserve()),
    (20, |asks| asks.take()),
];

/// Of 100 requests.
const WRITES_PERCENT: usize = 10;

impl<'a> Asks<'a> {
    pub fn new(soak: &'a Soak, name: &str) -> Asks<'a> {
        Asks {
            soak,
            random: Random::stream(soak.seed, name),
            name: name.to_owned(),
            number: 0,
        }
    }

    /// A request of any kind.
    pub fn any(&mut self) -> Ask {
        match self.random.percent(WRITES_PERCENT) {
            true => self.one_of(WRITES),
            false => self.one_of(READS),
        }
    }

    /// A request that changes nothing.
    pub fn any_read(&mut self) -> Ask {
        self.one_of(READS)
    }

    fn one_of(&mut self, kinds: &[(usize, Make)]) -> Ask {
        let all = kinds.iter().map(|(weight, _)| weight).sum();
        let mut place = self.random.below(all);
        for (weight, make) in kinds {
            if place < *weight {
                return make(self);
            }
            place -= weight;
        }
        unreachable!("the place is below the sum of the weights")
    }

    pub fn health(&mut self) -> Ask {
        let expect = Expect::json("{\"status\":\"ok\"}");
        self.bare("GET", "/health", Class::Local, expect)
    }

    fn ready(&mut self) -> Ask {
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

    fn slug(&mut self) -> Ask {
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

    fn tag(&mut self) -> Ask {
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

    fn ten_items(&mut self) -> Ask {
        let first = self.random.between(1, ITEMS - 9);
        let bodies: Vec<String> = (first..first + 10).map(|id| self.item_body(id)).collect();
        let body = format!("[{}]", bodies.join(","));
        let target = format!("/items?first={first}");
        self.bare("GET", &target, Class::Read, Expect::json(body))
    }

    fn mark(&mut self) -> Ask {
        let id = self.random.between(1, ITEMS);
        let body = format!("\"{}\"", self.soak.mark(id));
        self.bare(
            "GET",
            &format!("/marks/{id}"),
            Class::Read,
            Expect::json(body),
        )
    }

    fn alone(&mut self) -> Ask {
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

    fn changing(&mut self) -> Ask {
        let id = self.random.between(1, CHANGING);
        let mark = self.soak.mark(id);
        let expect = Expect::OneOf([
            format!("{{\"id\":{id},\"mark\":\"{mark}\"}}").into(),
            format!("{{\"id\":{id},\"mark\":\"{mark}\",\"extra\":null}}").into(),
        ]);
        self.bare("GET", &format!("/changing/{id}"), Class::Changing, expect)
    }

    fn refusal(&mut self) -> Ask {
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

    fn head(&mut self) -> Ask {
        let mut ask = self.item();
        ask.bytes.splice(0..3, *b"HEAD");
        ask.head_bytes += 1;
        ask.head_only = true;
        ask
    }

    /// Answered without Postgres, or for lack of a row.
    fn no_such(&mut self) -> Ask {
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

    fn invalid(&mut self) -> Ask {
        let target = *self
            .random
            .pick(&["/items/abc", "/items?first=0", "/items", "/tags/x"]);
        let expect = Expect::error(422, "Validation failed");
        self.bare("GET", target, Class::Bound, expect)
    }

    fn malformed_document(&mut self) -> Ask {
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

    pub fn token(&mut self) -> Ask {
        let token = self.soak.writes.token();
        let target = format!("/tokens/{token}");
        let (method, expect) = match self.random.percent(50) {
            true => (
                "POST",
                Expect::Exactly(201, format!("{{\"token\":{token}}}").into()),
            ),
            false => ("PUT", Expect::Exactly(204, Vec::new())),
        };
        self.write(method, &target, Class::Write, expect, Write::Token(token))
    }

    fn refused_token(&mut self) -> Ask {
        let token = self.soak.writes.token();
        let expect = Expect::error(400, &format!("refused {token}"));
        let target = format!("/refused-tokens/{token}");
        self.write(
            "POST",
            &target,
            Class::Write,
            expect,
            Write::RefusedToken(token),
        )
    }

    fn increase_shared(&mut self) -> Ask {
        let id = self
            .random
            .between(shared_counters().start, shared_counters().end - 1);
        self.increase(id)
    }

    pub fn increase(&mut self, id: usize) -> Ask {
        let least = self.soak.writes.seen(id) + 1;
        let expect = Expect::Counter { id, least };
        let target = format!("/counters/{id}");
        self.write(
            "POST",
            &target,
            Class::CounterWrite,
            expect,
            Write::Increase(id),
        )
    }

    pub fn reserve(&mut self) -> Ask {
        let token = self.soak.writes.token();
        let expect = Expect::Exactly(201, format!("{{\"token\":{token}}}").into());
        self.reserve_token(token, expect)
    }

    /// A reservation of a token that was used before.
    pub fn reserve_again(&mut self, token: u64, known: bool) -> Ask {
        let expect = match known {
            true => Expect::error(409, "Reserved already"),
            false => Expect::ReservedOrNot(token),
        };
        self.reserve_token(token, expect)
    }

    fn reserve_token(&mut self, token: u64, expect: Expect) -> Ask {
        let target = format!("/reservations/{token}");
        self.write("POST", &target, Class::Write, expect, Write::Reserve(token))
    }

    fn take(&mut self) -> Ask {
        let sku = self.random.below(STOCK.len());
        let target = format!("/stock/{sku}");
        self.write(
            "POST",
            &target,
            Class::Write,
            Expect::Stock(sku),
            Write::Take(sku),
        )
    }

    pub fn transfer(&mut self) -> Ask {
        let source = self.random.below(ACCOUNTS);
        let target = (source + self.random.between(1, ACCOUNTS - 1)) % ACCOUNTS;
        let expect = Expect::UnlessDeadlock(format!("{{\"source\":{source}}}").into());
        let path = format!("/transfers/{source}/{target}");
        self.write(
            "POST",
            &path,
            Class::Transfer,
            expect,
            Write::Transfer(source, target),
        )
    }

    /// Asks for the end of the connection after a request.
    pub fn last(mut ask: Ask) -> Ask {
        let field = b"Connection: close\r\n";
        let end = ask
            .bytes
            .windows(2)
            .position(|it| it == b"\r\n")
            .expect("a line")
            + 2;
        ask.bytes.splice(end..end, *field);
        ask.head_bytes += field.len();
        ask.closes = true;
        ask
    }

    fn item_body(&self, id: usize) -> String {
        format!("{{\"id\":{id},\"mark\":\"{}\"}}", self.soak.mark(id))
    }

    fn write(
        &mut self,
        method: &str,
        target: &str,
        class: Class,
        expect: Expect,
        write: Write,
    ) -> Ask {
        self.soak.writes.begin(write);
        let mut ask = self.with_body(method, target, "", class, expect);
        ask.write = Some(write);
        ask
    }

    fn bare(&mut self, method: &str, target: &str, class: Class, expect: Expect) -> Ask {
        self.build(method, target, class, expect, ("", Vec::new()))
    }

    fn with_body(
        &mut self,
        method: &str,
        target: &str,
        body: &str,
        class: Class,
        expect: Expect,
    ) -> Ask {
        let json = "Content-Type: application/json\r\n";
        if self.random.percent(60) {
            let fields = format!("{json}Content-Length: {}\r\n", body.len());
            return self.build(method, target, class, expect, (&fields, body.into()));
        }
        let fields = format!("{json}Transfer-Encoding: chunked\r\n");
        let mut chunks = Vec::new();
        let mut rest = body.as_bytes();
        while !rest.is_empty() {
            let (chunk, others) = rest.split_at(self.random.between(1, rest.len()));
            let extension = *self.random.pick(&["", "", ";a=b", ";a"]);
            chunks.extend(format!("{:x}{extension}\r\n", chunk.len()).into_bytes());
            chunks.extend([chunk, b"\r\n"].concat());
            rest = others;
        }
        let trailer = *self.random.pick(&["", "", "X-Trailer: 1\r\n"]);
        chunks.extend(format!("0\r\n{trailer}\r\n").into_bytes());
        self.build(method, target, class, expect, (&fields, chunks))
    }

    fn build(
        &mut self,
        method: &str,
        target: &str,
        class: Class,
        expect: Expect,
        (fields, body): (&str, Vec<u8>),
    ) -> Ask {
        self.number += 1;
        let id = format!("{}-{}", self.name, self.number);
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: soak\r\nX-Request-ID: {id}\r\n{fields}\r\n"
        );
        Ask {
            head_bytes: head.len(),
            bytes: [head.into_bytes(), body].concat(),
            head_only: false,
            class,
            expect,
            closes: false,
            id,
            write: None,
        }
    }
}
