//! Agents of several tenants behind policies, and one core's side of Postgres that asks for them without a
//! server in front, so that a test decides whose each request is.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pinion::api::{self, Api, Bound, Input, Setting, Settings, Transaction};
use pinion::config;
use pinion::error::Failure;
use pinion::guard::RequestId;
use pinion::guard::auth::{Claims, Identity, Scheme};
use pinion::metrics::{Places, Recorder};
use pinion::pg::execute::Running;
use pinion::pg::{Database, Opening, Session, Value, url};
use pinion::ring::{self, Ring};

use crate::support::PATIENCE;

/// `app` logs in and is above no policy; it may become `agent` and `auditor`, but not `outsider`.
pub const SCHEMA: &str = r"
create role agent;
create role auditor;
create role outsider;
create role app login;
grant agent, auditor to app;

create function tenant() returns text language sql stable as
  $$ select nullif(current_setting('request.jwt.claims', true), '')::json ->> 'tenant' $$;

create table agents (id int4 primary key, tenant text not null, name text not null);
insert into agents select n, 't' || n % 3, 'agent ' || n from generate_series(1, 90) n;
alter table agents enable row level security;
create policy own on agents to agent using (tenant = tenant());
create policy every on agents to auditor using (true);
grant select on agents to agent, auditor, app;

create table notes (id serial, key text not null, tenant text not null default tenant(),
                    writer text not null default current_user);
alter table notes enable row level security;
create policy own on notes to agent using (tenant = tenant());
grant select, insert on notes to agent;
grant usage on notes_id_seq to agent;
analyze agents;
";

pub const ROUTES: &str = r#"
[[route]]
name = "agents"
method = "GET"
path = "/agents"
result = "many"
sql = "select id, tenant, current_user::text as role from agents order by id"

[[route]]
name = "agent"
method = "GET"
path = "/agents/{id}"
result = "one"
sql = "select id, tenant, current_user::text as role from agents where id = :id"

[[route]]
name = "nested"
method = "GET"
path = "/nested"
result = "many"
batch = false
sql = "with a as materialized (select * from agents) select id, tenant, current_user::text as role from a"

[[route]]
name = "told"
method = "GET"
path = "/told"
result = "one"
batch = false
sql = '''
select current_setting('request.jwt.claims', true) as claims, current_setting('request.id', true) as id,
       current_setting('request.path', true) as path, current_user::text as role
'''

[[route]]
name = "nap"
method = "GET"
path = "/nap/{seconds}"
result = "one"
batch = false
sql = "select tenant() as tenant, current_user::text as role from pg_sleep(:seconds::float8)"

[[route]]
name = "cancellable_nap"
method = "GET"
path = "/cancellable/{seconds}"
result = "one"
cancel = true
sql = "select tenant() as tenant, current_user::text as role from pg_sleep(:seconds::float8)"

[[route]]
name = "divide"
method = "GET"
path = "/divide/{by}"
result = "one"
batch = false
sql = "select 1 / :by::int4 as one, tenant() as tenant, current_user::text as role"

[[route]]
name = "divide_batched"
method = "GET"
path = "/divide/batched/{by}"
result = "one"
sql = "select id, tenant, current_user::text as role from agents where id = 1 / :by::int4 + :id::int4"
params.id = { in = "query", default = 3 }

[[route]]
name = "note"
method = "POST"
path = "/notes/{key}"
result = "one"
sql = "insert into notes (key) values (:key) returning tenant, writer as role"

[[route]]
name = "public"
method = "GET"
path = "/public"
result = "one"
batch = false
sql = "select current_setting('request.jwt.claims', true) as claims, current_user::text as role"

[[route]]
name = "public_agents"
method = "GET"
path = "/public/agents"
result = "one"
sql = "select count(*) as count, current_user::text as role from agents where id <> :id"
params.id = { in = "query", default = 0 }
"#;

/// What is the same for all requests of one who asks.
pub const OF_IDENTITY: [Setting; 1] = [Setting::Claims];

/// The routes, with transactions: those that can be batched are told of the claims alone, `told` of
/// everything, public ones of nothing. All run as one of `roles`.
pub fn api(roles: &[&str]) -> Api {
    let mut api = api::load("routes.toml", ROUTES).expect("the routes");
    for route in &mut api.routes {
        let settings: Settings = match &*route.name {
            name if name.starts_with("public") => continue,
            "told" => Setting::ALL.into_iter().collect(),
            _ => OF_IDENTITY.into_iter().collect(),
        };
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        route.transaction = Some(Transaction::new(settings, roles));
    }
    api
}

/// One core's side of Postgres.
#[derive(Clone)]
pub struct Core {
    pub ring: Rc<Ring>,
    pub api: Arc<Api>,
    pub database: Rc<Database>,
}

/// Runs `test` on a ring with one connection (and one more for the route that is cancelled), once all
/// statements are prepared.
pub fn on_one_connection<F: Future<Output = ()> + 'static>(
    api: Api,
    url: &str,
    test: impl FnOnce(Core) -> F,
) {
    let target = url::parse(url, &|_| None, None).expect("its URL");
    let settings = config::Postgres {
        connections: 1,
        statement_timeout: Duration::from_millis(300),
        acquire_timeout: PATIENCE,
        queue_target: Duration::ZERO,
        recycle: Duration::ZERO,
    };
    let api = Arc::new(api);
    let outcome = ring::run(None, &ring::Options::default(), |ring| {
        let places = Places::of_first(api.routes.iter().map(|route| route.name.as_str()));
        let recorder = Rc::new(Recorder::new(0, places.names.clone(), 1));
        let target = Arc::new(target);
        let recording = (recorder, places);
        let all = Opening::All;
        let database = Database::start(&ring, api.clone(), target, &settings, recording, all);
        let core = Core {
            ring,
            api,
            database,
        };
        let testing = test(core.clone());
        async move {
            core.ready().await;
            testing.await;
        }
    });
    outcome.expect("a ring");
}

impl Core {
    /// Waits until every route can be answered.
    pub async fn ready(&self) {
        let start = self.ring.now();
        while !self.database.faults().is_empty() {
            let faults = self.database.faults();
            assert!(self.ring.now() - start < PATIENCE, "{faults:?}");
            self.ring.sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn route(&self, name: &str) -> usize {
        let mut routes = self.api.routes.iter();
        let found = routes.position(|route| route.name == name);
        found.unwrap_or_else(|| panic!("no route {name}"))
    }

    /// The session of a request, by the settings that its route has; none where it has none.
    pub fn session(&self, route: &str, who: &Who) -> Option<Rc<Session>> {
        let route = &self.api.routes[self.route(route)];
        let transaction = route.transaction.as_ref()?;
        Some(Session::new(
            transaction.settings,
            |setting| match setting {
                Setting::Claims => Value::ClaimsOf(who.identity.clone()),
                Setting::Role => Value::Text(who.role.as_str().into()),
                Setting::Id => Value::Text(who.id.as_str().into()),
                Setting::Path => Value::Word("/told"),
                Setting::Method => Value::Word("GET"),
                Setting::Headers => Value::Word("{}"),
            },
        ))
    }

    /// One request, of somebody or of nobody.
    pub async fn ask(&self, route: &str, capture: &str, who: &Who) -> Result<String, Failure> {
        self.ask_running(route, capture, who, None).await
    }

    pub async fn ask_running(
        &self,
        route: &str,
        capture: &str,
        who: &Who,
        running: Option<&Running>,
    ) -> Result<String, Failure> {
        let session = self.session(route, who);
        let index = self.route(route);
        let Some(description) = self.database.description(index) else {
            return Err(Failure::NotPrepared);
        };
        let captures = [capture];
        let captures = if capture.is_empty() {
            &[]
        } else {
            &captures[..]
        };
        let input = Input {
            captures,
            query: None,
            header: &|_| None,
            content_type: None,
            body: b"",
            claim: &|_| None,
        };
        let mut bound = Bound::default();
        let is_bound = description.plan.bind(&input, &mut bound).is_ok();
        assert!(is_bound, "{route}/{capture} does not bind");
        let id = RequestId::made(Duration::ZERO);
        let answered = self
            .database
            .execute(index, &id, description, bound, running, session)
            .await
            .map_err(|failed| failed.failure)?;
        Ok(String::from_utf8(answered.body).expect("text"))
    }
}

/// Who asks, and as whom it is to run.
#[derive(Clone)]
pub struct Who {
    pub identity: Rc<Identity>,
    pub tenant: String,
    pub role: String,
    pub id: String,
}

impl Who {
    pub fn new(tenant: &str, role: &str) -> Who {
        let claims = Claims::of_texts(&[("tenant", tenant), ("role", role)]);
        Who {
            identity: Rc::new(Identity::new(Scheme::Jwt, claims)),
            tenant: tenant.to_owned(),
            role: role.to_owned(),
            id: "one".to_owned(),
        }
    }
}

pub fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}
