//! Routes whose statements wait at a gate, so that a test decides what is in flight at a time.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use postgres::NoTls;

use pinion::limits;

use crate::fixture::{get, until, with};
use crate::support::{Client, PATIENCE, Postgres, Response, Server, Shared, Signal};

/// What is declared stable is believed to be. `nextval` counts calls whatever becomes of them.
const SCHEMA: &str = "
create function pass(key int8) returns bool language plpgsql stable as $$
begin
  perform pg_advisory_lock_shared(key);
  perform pg_advisory_unlock_shared(key);
  return true;
end $$;
create function counted(id int8, sequence text) returns int8 language plpgsql stable as $$
begin
  perform nextval(sequence);
  if id = 666 then
    raise exception 'bad luck';
  end if;
  return id;
end $$;
create table things (id int8 primary key, name text not null);
insert into things select n, 'thing ' || n from generate_series(1, 1000) n;
analyze things;
";

fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(SCHEMA))
}

/// A server whose route `/things/{id}` waits while its gate is closed.
pub struct Gated {
    pub server: Server,
    pub postgres: Arc<Postgres>,
    name: &'static str,
    gate: i64,
    /// Holds the gate closed.
    keeper: postgres::Client,
}

impl Gated {
    /// With the gate closed. `name` and `gate` are the test's own; `settings` are the route's, `lanes` are
    /// declared above it.
    pub fn start(
        name: &'static str,
        gate: i64,
        lanes: &str,
        settings: &str,
        flags: &[&str],
    ) -> Gated {
        let postgres = postgres();
        let mut keeper = postgres::Client::connect(&postgres.url(), NoTls).expect("a connection");
        postgres.sql(&format!("create sequence {name}_calls"));
        let routes = format!(
            "{lanes}\n[[route]]\nname = \"{name}\"\nmethod = \"GET\"\npath = \"/things/{{id}}\"\nresult = \"one\"\n\
             sql = \"select counted(id, '{name}_calls') as id, name from things where id = :id and pass({gate})\"\n\
             {settings}\n\n[[route]]\nname = \"other\"\nmethod = \"GET\"\npath = \"/other/{{id}}\"\nresult = \"scalar\"\n\
             batch = false\nsql = \"select name from things where id = :id\"\n"
        );
        let url = with(&postgres.url(), &format!("application_name={name}"));
        let flags = [&["--log", "info,pinion::pg=debug"], flags].concat();
        let server = Server::start(&routes, &url, &flags).ready();
        let closed = keeper.execute("select pg_advisory_lock($1)", &[&gate]);
        closed.expect("the gate is closed");
        Gated {
            server,
            postgres,
            name,
            gate,
            keeper,
        }
    }

    pub fn open(&mut self) {
        let opened = self
            .keeper
            .execute("select pg_advisory_unlock($1)", &[&self.gate]);
        opened.expect("the gate is opened");
    }

    pub fn close(&mut self) {
        let closed = self
            .keeper
            .execute("select pg_advisory_lock($1)", &[&self.gate]);
        closed.expect("the gate is closed");
    }

    /// Waits until so many statements stand at the gate.
    pub fn wait_for(&self, count: usize) {
        until("the statements are there", || {
            self.at_the_gate().len() == count
        });
    }

    /// The statements at the gate: whether each is that of a batch.
    pub fn at_the_gate(&self) -> Vec<bool> {
        let rows = self.postgres.sql(&format!(
            "select query like '%with ordinality%' from pg_locks join pg_stat_activity using (pid) \
             where locktype = 'advisory' and not granted and application_name = '{}'",
            self.name
        ));
        rows.lines().map(|row| row == "t").collect()
    }

    /// Asks on connections of its own, without waiting for the answers: on each no more than go out of
    /// a route that has not answered yet.
    pub fn ask(&self, ids: &[u64]) -> Asked {
        let clients = ids.chunks(limits::PENDING_BYTES_MAX / limits::ANSWER_BYTES_UNKNOWN);
        let clients = clients.map(|ids| {
            let mut client = self.server.client();
            let requests: String = ids.iter().map(|id| get(&format!("/things/{id}"))).collect();
            client.send(requests);
            (client, ids.to_vec())
        });
        Asked {
            clients: clients.collect(),
        }
    }

    /// Asks once more on the same connection as before, after enough time for what was sent before to be
    /// in the server's hands.
    pub fn settle(&self) {
        // An answer to a later request shows that the core has been through a pass since.
        for _ in 0..3 {
            assert_eq!(self.server.get("/other/1").status, 200);
        }
    }

    /// Fails unless a lone request is answered well now. The gate has to be open.
    pub fn is_well(&self) {
        self.ask(&[7]).all_are(200);
    }

    /// Times that the function in the route's statement was called.
    pub fn calls(&self) -> usize {
        let count = format!(
            "select case when is_called then last_value else 0 end from {}_calls",
            self.name
        );
        self.postgres.sql(&count).parse().expect("a number")
    }
}

/// Requests that were sent.
pub struct Asked {
    pub clients: Vec<(Client, Vec<u64>)>,
}

impl Asked {
    /// Fails unless all answers have this status; those with 200 are of the row that was asked for.
    pub fn all_are(mut self, status: u16) -> Vec<Response> {
        let each = self.clients.iter_mut();
        let each = each.flat_map(|(client, ids)| ids.iter().map(|id| (*id, client.response())));
        let answers = each.map(|(id, response)| {
            assert_eq!(response.status, status, "{}", response.text());
            if status == 200 {
                let row = format!("{{\"id\":{id},\"name\":\"thing {id}\"}}");
                assert_eq!(response.text(), row);
            }
            response
        });
        answers.collect()
    }
}

/// What a server says of a route's batches when it ends: how many there were, of how many requests, and
/// the size of the largest.
pub fn batches(server: &mut Server, route: &str) -> (usize, usize, usize) {
    // Once: a second signal ends it at once, with what is not logged yet.
    if !server.log().iter().any(|line| line.contains(" stopping: ")) {
        server.signal(Signal::TERM);
    }
    let name = format!("route=\"{route}\"");
    let start = Instant::now();
    let line = loop {
        let mut lines = server.log().iter();
        if let Some(line) = lines.find(|line| line.contains(" batches of ") && line.contains(&name))
        {
            break line.clone();
        }
        assert!(
            start.elapsed() < PATIENCE,
            "nothing on the batches of {route}"
        );
        std::thread::sleep(Duration::from_millis(5));
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    // `4 batches of 9 requests: mean …, p50 …, p99 …, max 5 route=…`
    let after = |word: &str, steps: usize| {
        let place = words.iter().position(|known| *known == word);
        let number = words[place.expect("it is there") + steps];
        number.parse().expect("a number")
    };
    let count = words
        .iter()
        .position(|word| *word == "batches")
        .expect("it is there");
    let count = words[count - 1].parse().expect("a number");
    (count, after("batches", 2), after("max", 1))
}
