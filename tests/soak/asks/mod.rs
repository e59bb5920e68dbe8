//! Well-formed requests of every kind, each with the answer that it has to get.

mod reads;
mod writes;

use crate::Soak;
use crate::allowed::Class;
use crate::guards::{Marks, TENANTS, credential};
use crate::support::random::Random;
use crate::ways::Way;
use crate::writes::Write;

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
    /// What the answer has to say beside it.
    pub marks: Marks,
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
    /// 200 and this body, or past the limit.
    Limited(Vec<u8>),
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
    pub way: Way,
    pub name: String,
    pub tenant: &'static str,
    /// The line that says so.
    pub credential: String,
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
    (60, |asks| asks.owned()),
    (20, |asks| asks.nobodys()),
    (25, |asks| asks.unauthorized()),
    (10, |asks| asks.preflight()),
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
    pub fn new(soak: &'a Soak, name: &str, way: Way) -> Asks<'a> {
        let tenant = TENANTS[name.bytes().map(usize::from).sum::<usize>() % TENANTS.len()];
        Asks {
            soak,
            way,
            tenant,
            credential: credential(tenant),
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
        let (origin, credential) = (self.origin(), &self.credential);
        let from = match origin {
            "" => String::new(),
            origin => format!("Origin: {origin}\r\n"),
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: soak\r\nX-Request-ID: {id}\r\n\
             {from}{credential}{fields}\r\n"
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
            marks: Marks::of(method, target, origin),
        }
    }
}
