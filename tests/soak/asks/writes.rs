//! Requests that write, or would if they were not refused.

use super::{Ask, Asks, Expect};
use crate::allowed::Class;
use crate::schema::{ACCOUNTS, STOCK};
use crate::writes::{Write, shared_counters};

impl Asks<'_> {
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

    pub(super) fn refused_token(&mut self) -> Ask {
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

    pub(super) fn increase_shared(&mut self) -> Ask {
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

    pub(super) fn take(&mut self) -> Ask {
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
}
