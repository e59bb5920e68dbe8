//! xitca's HTTP service on io_uring with one pipelining xitca-postgres client per worker, as its
//! entries in public benchmarks have it.
//!
//! HTTP goes through io_uring. xitca-postgres' own io_uring driver needs a nightly compiler, so the
//! database's socket stays on epoll, in the same runtime (tokio-uring has both). The workers are
//! xitca's own and accept from one listening socket.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use pinion_bench_peers::arguments::{Arguments, BACKLOG, Pins};
use pinion_bench_peers::failure::{Failure, database};
use pinion_bench_peers::shop::{
    self, AGENTS, Agent, AgentsQuery, HEALTH, NOT_FOUND, PRODUCTS, Product, ProductsQuery, USER,
    USER_NOT_FOUND, User,
};
use serde_json::value::RawValue;
use tokio_postgres::config::Host;
use xitca_http::HttpServiceBuilder;
use xitca_http::body::Full;
use xitca_http::bytes::Bytes;
use xitca_http::h1::RequestBody;
use xitca_http::http::const_header_value::JSON;
use xitca_http::http::header::CONTENT_TYPE;
use xitca_http::http::{self, RequestExt, StatusCode};
use xitca_http::util::middleware::context::{Context, ContextBuilder};
use xitca_http::util::service::route::get;
use xitca_http::util::service::router::{Router, RouterError};
use xitca_postgres::iter::AsyncLendingIterator;
use xitca_postgres::types::Json;
use xitca_postgres::{Client, Config, Error, Execute, Postgres, Statement};
use xitca_service::{Service, ServiceExt, fn_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Request = http::Request<RequestExt<RequestBody>>;
type Response = http::Response<Full<Bytes>>;
type Ctx<'a> = Context<'a, Request, Shop>;

#[derive(Parser)]
#[command(about = "xitca-http + xitca-postgres, a peer of scripts/bench")]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    match run(Cli::parse().arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xitca_web: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    arguments.confine()?;
    let config = config(&arguments.database_url)?;
    try_database(config.clone())?;
    let pins = arguments.pins();
    let service = Router::new()
        .insert("/health", get(fn_service(health)))
        .insert("/users/{user_id}", get(fn_service(user)))
        .insert("/products", get(fn_service(products)))
        .insert("/api/v1/agents", get(fn_service(agents)))
        .enclosed_fn(failures)
        // Called once on each worker's thread.
        .enclosed(ContextBuilder::new(move || Shop::open(pins.clone(), config.clone())))
        .enclosed(HttpServiceBuilder::h1().io_uring());
    xitca_server::Builder::new()
        .worker_threads(arguments.cores.len())
        .backlog(BACKLOG as u32)
        .bind("shop", arguments.listen, service)?
        .build()
        .wait()
}

/// A wrong URL ends the start; the workers would only wait.
fn try_database(config: Config) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let opened = tokio::task::LocalSet::new().block_on(&runtime, Shop::connect(config));
    opened.map(drop).map_err(io::Error::other)
}

async fn health(_: Ctx<'_>) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, Bytes::from_static(HEALTH)))
}

async fn user(context: Ctx<'_>) -> Result<Response, Failure> {
    let (request, shop) = context.into_parts();
    let user_id = request.body().params().get("user_id").unwrap_or_default();
    Ok(found(shop.user(user_id).await?))
}

async fn products(context: Ctx<'_>) -> Result<Response, Failure> {
    let (request, shop) = context.into_parts();
    let query = request.uri().query().unwrap_or_default();
    Ok(found(shop.products(query).await?))
}

async fn agents(context: Ctx<'_>) -> Result<Response, Failure> {
    let (request, shop) = context.into_parts();
    let query = request.uri().query().unwrap_or_default();
    Ok(found(shop.agents(query).await?))
}

/// Answers what a route refused, and what no route took.
async fn failures<S>(service: &S, context: Ctx<'_>) -> Result<Response, std::convert::Infallible>
where
    S: for<'c> Service<Ctx<'c>, Response = Response, Error = RouterError<Failure>>,
{
    Ok(service.call(context).await.unwrap_or_else(|error| {
        let failure = match error {
            RouterError::Service(failure) => failure,
            RouterError::Match(_) | RouterError::NotAllowed(_) => NOT_FOUND,
        };
        let status =
            StatusCode::from_u16(failure.status()).expect("a failure's status has three digits");
        json(status, failure.body().into())
    }))
}

fn found(body: Vec<u8>) -> Response {
    json(StatusCode::OK, body.into())
}

fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// One connection that all requests of a worker share.
struct Shop {
    client: Client,
    user: Statement,
    products: Statement,
    agents: Statement,
}

impl Shop {
    async fn open(pins: Pins, config: Config) -> io::Result<Shop> {
        pins.pin()?;
        let opened = Shop::connect(config).await.map_err(io::Error::other);
        opened.inspect_err(|error| eprintln!("xitca_web: {error}"))
    }

    async fn connect(config: Config) -> Result<Shop, Error> {
        let (client, driver) = Postgres::new(config).connect().await?;
        tokio::task::spawn_local(driver.into_future());
        // Leaked: they end with the connection, not with the guard that borrows the client.
        let user = Statement::named(USER, &[]).execute(&client).await?.leak();
        let products = Statement::named(PRODUCTS, &[])
            .execute(&client)
            .await?
            .leak();
        let agents = Statement::named(AGENTS, &[]).execute(&client).await?.leak();
        Ok(Shop {
            client,
            user,
            products,
            agents,
        })
    }

    async fn user(&self, user_id: &str) -> Result<Vec<u8>, Failure> {
        let user_id = shop::user_id(user_id)?;
        let mut rows = self
            .user
            .bind([user_id])
            .query(&self.client)
            .await
            .map_err(database)?;
        let row = rows
            .try_next()
            .await
            .map_err(database)?
            .ok_or(USER_NOT_FOUND)?;
        shop::to_json(&User {
            user_id: row.try_get(0).map_err(database)?,
            username: row.try_get(1).map_err(database)?,
            email: row.try_get(2).map_err(database)?,
            last_active: row.try_get(3).map_err(database)?,
        })
    }

    async fn products(&self, query: &str) -> Result<Vec<u8>, Failure> {
        let page = ProductsQuery::parse(query)?;
        let bound = page.bindings();
        let mut rows = self
            .products
            .bind_dyn(&bound)
            .query(&self.client)
            .await
            .map_err(database)?;
        let mut body = JsonArray::default();
        while let Some(row) = rows.try_next().await.map_err(database)? {
            body.push(&Product {
                product_id: row.try_get(0).map_err(database)?,
                name: row.try_get(1).map_err(database)?,
                category: row.try_get(2).map_err(database)?,
                price: row.try_get(3).map_err(database)?,
                created_at: row.try_get(4).map_err(database)?,
            })?;
        }
        Ok(body.end())
    }

    async fn agents(&self, query: &str) -> Result<Vec<u8>, Failure> {
        let wanted = AgentsQuery::parse(query)?;
        let bound = wanted.bindings();
        let mut rows = self
            .agents
            .bind_dyn(&bound)
            .query(&self.client)
            .await
            .map_err(database)?;
        let mut body = JsonArray::default();
        while let Some(row) = rows.try_next().await.map_err(database)? {
            let Json::<&RawValue>(config) = row.try_get(6).map_err(database)?;
            body.push(&Agent {
                agent_id: row.try_get(0).map_err(database)?,
                tenant: row.try_get(1).map_err(database)?,
                name: row.try_get(2).map_err(database)?,
                model: row.try_get(3).map_err(database)?,
                status: row.try_get(4).map_err(database)?,
                capabilities: row.try_get(5).map_err(database)?,
                config,
                created_at: row.try_get(7).map_err(database)?,
            })?;
        }
        Ok(body.end())
    }
}

/// xitca-postgres connects to a host that is a path as it stands, where libpq takes it for the
/// directory that the socket is in.
fn config(url: &str) -> io::Result<Config> {
    let given: tokio_postgres::Config = url.parse().map_err(io::Error::other)?;
    let [Host::Unix(directory)] = given.get_hosts() else {
        return Config::try_from(url).map_err(io::Error::other);
    };
    let port = given.get_ports().first().copied().unwrap_or(5432);
    let mut config = Config::new();
    config.host_path(directory.join(format!(".s.PGSQL.{port}")));
    config.port(port); // not used for a path, and yet it must be there
    config.user(given.get_user().unwrap_or("postgres"));
    config.dbname(given.get_dbname().unwrap_or("shop"));
    if let Some(password) = given.get_password() {
        config.password(password);
    }
    Ok(config)
}

/// Rows live only until the next one is asked for, so each is written at once.
#[derive(Default)]
struct JsonArray(Vec<u8>);

impl JsonArray {
    fn push(&mut self, row: &impl serde::Serialize) -> Result<(), Failure> {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut self.0, row).map_err(database)
    }

    fn end(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'[');
        }
        self.0.push(b']');
        self.0
    }
}
