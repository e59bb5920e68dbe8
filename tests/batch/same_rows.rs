//! The statement of a batch against the declared one: key by key the same rows, in the same order.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use pinion::api::{self, BatchStatement, Bound, Input, Keyed, Plan};
use pinion::json::Raw;
use pinion::pg::statements;
use postgres::types::private::BytesMut;
use postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, NoTls, Statement};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::cases::{SCHEMA, STATEMENTS, TYPES};
use crate::support::{Postgres, Shared};

fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(SCHEMA))
}

type Row = Vec<Option<Vec<u8>>>;

/// A route whose parameters come from the query, prepared both ways.
struct Prepared {
    client: Client,
    text: String,
    plan: Plan,
    single: Statement,
    keyed: Keyed,
    batch: Statement,
}

impl Prepared {
    fn new(postgres: &Postgres, sql: &str) -> Prepared {
        let params = api::sql::Statement::parse(sql)
            .expect("one statement")
            .params;
        let params: String = params
            .iter()
            .map(|name| format!("params.{name} = {{ in = \"query\", nullable = true }}\n"))
            .collect();
        let text = format!(
            "[[route]]\nname = \"r\"\nmethod = \"GET\"\npath = \"/r\"\nresult = \"many\"\nsql = '''{sql}'''\n{params}"
        );
        let api = api::load("routes.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
        let route = &api.routes[0];
        let mut client = Client::connect(&postgres.url(), NoTls).expect("a connection");
        let text = &route.statement.text;
        let single = client
            .prepare_typed(text, &route.pinned_types())
            .expect(sql);
        let columns = statements::columns(&single);
        let Ok(plan) = route.plan(&api, single.params(), &columns) else {
            panic!("{sql}: no plan");
        };
        let Ok(BatchStatement::Keyed(keyed)) = BatchStatement::of(route, single.params(), &columns)
        else {
            panic!("{sql}: no batch");
        };
        let batch = client.prepare(&keyed.text).expect(sql);
        let fits = keyed.check(batch.params(), &statements::columns(&batch));
        assert_eq!(fits, Ok(()), "{sql}");
        Prepared {
            client,
            text: text.clone(),
            plan,
            single,
            keyed,
            batch,
        }
    }

    fn bind(&self, query: &str) -> Bound {
        let input = Input {
            captures: &[],
            query: Some(query),
            header: &|_| None,
            content_type: None,
            body: b"",
            claim: &|_| None,
        };
        let mut bound = Bound::default();
        self.plan.bind(&input, &mut bound).expect(query);
        bound
    }

    /// What each key gets alone.
    fn singly(&mut self, keys: &[Bound]) -> Vec<Vec<Row>> {
        let answers = keys.iter().map(|key| {
            let values: Vec<Sent<'_>> = (0..key.values.len())
                .map(|index| Sent(key.value(index)))
                .collect();
            rows(&mut self.client, &self.single, &values)
        });
        answers.collect()
    }

    /// What each key gets in a batch. Rows come key by key.
    fn together(&mut self, keys: &[Bound]) -> Vec<Vec<Row>> {
        let members: Vec<&Bound> = keys.iter().collect();
        let mut bytes = Vec::new();
        self.keyed.append_parameters(&members, &mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        let mut arrays = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk() {
            let (array, after) = after.split_at(i32::from_be_bytes(*length) as usize);
            arrays.push(Sent(Some(array)));
            rest = after;
        }
        let mut answers = vec![Vec::new(); keys.len()];
        let mut last = 0;
        for mut row in rows(&mut self.client, &self.batch, &arrays) {
            let ord = row.pop().flatten().expect("the number of the key");
            let ord = i64::from_be_bytes(ord.try_into().unwrap()) as usize - 1;
            assert!(ord >= last, "rows come key by key");
            last = ord;
            answers[ord].push(row);
        }
        answers
    }

    /// The scans of both generic plans: the node and the table, and whether it is read by key.
    fn scans(&mut self) -> [Vec<String>; 2] {
        let quoted = |ty: &Type| {
            let schema = ty.schema().replace('"', "\"\"");
            format!("\"{schema}\".\"{}\"", ty.name())
        };
        let types: Vec<String> = self.single.params().iter().map(quoted).collect();
        let single = format!("({}) as {}", types.join(", "), self.text);
        let batch = format!(" as {}", self.keyed.text);
        let nulls = vec!["null"; types.len()].join(", ");
        [single, batch].map(|prepare| {
            let script = format!(
                "set plan_cache_mode = force_generic_plan; prepare plan{prepare}; \
                 explain (costs off) execute plan({nulls}); deallocate plan; reset plan_cache_mode"
            );
            let messages = self.client.simple_query(&script).expect("a plan");
            let lines = messages.iter().filter_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            let scan = |line: &str| {
                let line = line.trim_start_matches([' ', '-', '>']);
                // The scan of a subquery reads nothing by itself.
                let is_scan = line.contains("Scan on ") || line.contains("Scan using ");
                let is_scan =
                    is_scan && !line.contains("pinion_key") && !line.starts_with("Subquery");
                let is_key = line.starts_with("Index Cond");
                (is_scan || is_key).then(|| line.split(": ").next().unwrap_or(line).to_owned())
            };
            lines.filter_map(scan).collect()
        })
    }
}

/// A parameter as it is.
#[derive(Debug)]
struct Sent<'a>(Option<&'a [u8]>);

impl ToSql for Sent<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(bytes) = self.0 else {
            return Ok(IsNull::Yes);
        };
        out.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}

fn rows(client: &mut Client, statement: &Statement, values: &[Sent<'_>]) -> Vec<Row> {
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    let rows = client.query(statement, &values).expect("rows");
    let column = |row: &postgres::Row, index| row.get::<_, Raw<'_>>(index).0.map(<[u8]>::to_vec);
    let row = |row| {
        (0..statement.columns().len())
            .map(|index| column(row, index))
            .collect()
    };
    rows.iter().map(row).collect()
}

#[test]
fn statements_of_all_shapes_give_each_key_its_own_rows_by_the_same_scans() {
    let postgres = postgres();
    for (sql, queries, count) in STATEMENTS {
        let mut prepared = Prepared::new(&postgres, sql);
        let keys: Vec<Bound> = queries.iter().map(|query| prepared.bind(query)).collect();
        let singly = prepared.singly(&keys);
        assert_eq!(singly.iter().map(Vec::len).sum::<usize>(), *count, "{sql}");
        assert_eq!(prepared.together(&keys), singly, "{sql}");
        let [single, batch] = prepared.scans();
        assert_eq!(batch, single, "{sql}");
    }
}

#[test]
fn values_of_all_types_and_nulls_arrive_as_they_are() {
    let postgres = postgres();
    for (ty, first, second) in TYPES {
        let sql = format!("select :v::{ty} as v, (:v::{ty})::text as written, :n as n");
        let mut prepared = Prepared::new(&postgres, &sql);
        let encoded = |value: &str| {
            let value =
                percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            format!("v={value}&n=x")
        };
        let keys = ["", &encoded(first), "n=", &encoded(second), &encoded(first)];
        let keys = keys.map(|query| prepared.bind(query));
        let singly = prepared.singly(&keys);
        assert_eq!(prepared.together(&keys), singly, "{ty}");
        let written: Vec<_> = singly.iter().map(|rows| rows[0][1].is_some()).collect();
        assert_eq!(written, [false, true, false, true, true], "{ty}");
    }
}

#[test]
fn a_domain_that_is_never_null() {
    let postgres = postgres();
    let mut prepared = Prepared::new(&postgres, "select :v::pressed as v");
    let keys = ["v=a", "v=b"].map(|query| prepared.bind(query));
    assert_eq!(prepared.together(&keys), prepared.singly(&keys));
}

/// A plan of its own for every small batch would cost more than the batch.
#[test]
fn small_batches_are_not_planned_anew() {
    let postgres = postgres();
    let mut prepared = Prepared::new(&postgres, "select * from parts where id = :id");
    let keys = ["id=1", "id=2"].map(|query| prepared.bind(query));
    for _ in 0..40 {
        prepared.together(&keys[..1]);
        prepared.together(&keys);
    }
    let plans =
        "select generic_plans, custom_plans from pg_prepared_statements where statement = $1";
    let plans = prepared
        .client
        .query_one(plans, &[&prepared.keyed.text])
        .unwrap();
    // Five are Postgres' custom before it compares.
    assert_eq!((plans.get(0), plans.get(1)), (75i64, 5i64));
}

#[test]
fn any_batch_gives_each_key_its_rows_in_their_order() {
    let postgres = postgres();
    let sql = "select id, name from parts where whole = :w and (:r::int4 is null or rating = :r)
                order by price desc limit :n";
    let prepared = Prepared::new(&postgres, sql);
    let key =
        (-1..52i64, proptest::option::of(0..7i32), 0..9u32).prop_map(|(whole, rating, limit)| {
            let rating = rating.map_or(String::new(), |rating| format!("r={rating}&"));
            format!("{rating}w={whole}&n={limit}")
        });
    let prepared = RefCell::new(prepared);
    let mut runner = TestRunner::new(Config::with_cases(60));
    let outcome = runner.run(&vec(key, 1..200), |queries| {
        let mut prepared = prepared.borrow_mut();
        let keys: Vec<Bound> = queries.iter().map(|query| prepared.bind(query)).collect();
        let (together, singly) = (prepared.together(&keys), prepared.singly(&keys));
        prop_assert_eq!(together, singly);
        Ok(())
    });
    outcome.unwrap();
}
