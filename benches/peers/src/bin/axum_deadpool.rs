//! What a careful Rust team would write today for the same routes: axum on one tokio thread per
//! core, deadpool-postgres with cached prepared statements over the unix socket.
//!
//! It gets what Pinion gets: pinned cores with a listening socket each, the same allocator, the same
//! release profile, the same statements and the same answers.

use std::io;
use std::process::ExitCode;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use clap::Parser;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use pinion_bench_peers::arguments::Arguments;
use pinion_bench_peers::failure::{Failure, database};
use pinion_bench_peers::shop::{
    self, AGENTS, AgentsQuery, HEALTH, NOT_FOUND, PRODUCTS, ProductsQuery, USER, USER_NOT_FOUND,
};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "axum + deadpool-postgres, a peer of scripts/bench")]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
    /// Connections of each core's pool; each serves one request at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    pool_size: usize,
}

fn main() -> ExitCode {
    let Cli {
        arguments,
        pool_size,
    } = Cli::parse();
    match arguments.run_workers(move |arguments| run(arguments, pool_size)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_deadpool: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, pool_size: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(arguments, pool_size))
}

async fn serve(arguments: &Arguments, pool_size: usize) -> io::Result<()> {
    // Fast: a connection is handed out again without a query that asks whether it still lives.
    let config = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let url = arguments.database_url.parse().map_err(io::Error::other)?;
    let pool = Pool::builder(Manager::from_config(url, NoTls, config))
        .max_size(pool_size)
        .build()
        .map_err(io::Error::other)?;
    drop(pool.get().await.map_err(io::Error::other)?); // a wrong URL ends the start, not each request
    let app = Router::new()
        .route("/health", get(health))
        .route("/users/{user_id}", get(user))
        .route("/products", get(products))
        .route("/api/v1/agents", get(agents))
        .fallback(not_found)
        .with_state(pool);
    let listener = TcpListener::from_std(arguments.listener()?)?.tap_io(|stream| {
        // Without it only latency suffers, so a refusal is no reason to drop the connection.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}

async fn health() -> Response {
    json(StatusCode::OK, HEALTH)
}

async fn user(State(pool): State<Pool>, Path(user_id): Path<String>) -> Response {
    answer(find_user(&pool, &user_id).await)
}

async fn products(State(pool): State<Pool>, RawQuery(query): RawQuery) -> Response {
    answer(list_products(&pool, query.as_deref()).await)
}

async fn agents(State(pool): State<Pool>, RawQuery(query): RawQuery) -> Response {
    answer(list_agents(&pool, query.as_deref()).await)
}

async fn not_found() -> Response {
    answer(Err(NOT_FOUND))
}

async fn find_user(pool: &Pool, user_id: &str) -> Result<Vec<u8>, Failure> {
    let user_id = shop::user_id(user_id)?;
    let client = connection(pool).await?;
    let statement = client.prepare_cached(USER).await.map_err(database)?;
    let row = client.query_opt(&statement, &[&user_id]).await;
    shop::user_json(&row.map_err(database)?.ok_or(USER_NOT_FOUND)?)
}

async fn list_products(pool: &Pool, query: Option<&str>) -> Result<Vec<u8>, Failure> {
    let page = ProductsQuery::parse(query.unwrap_or_default())?;
    let client = connection(pool).await?;
    let statement = client.prepare_cached(PRODUCTS).await.map_err(database)?;
    let rows = client.query(&statement, &page.bindings()).await;
    shop::products_json(&rows.map_err(database)?)
}

async fn list_agents(pool: &Pool, query: Option<&str>) -> Result<Vec<u8>, Failure> {
    let wanted = AgentsQuery::parse(query.unwrap_or_default())?;
    let client = connection(pool).await?;
    let statement = client.prepare_cached(AGENTS).await.map_err(database)?;
    let rows = client.query(&statement, &wanted.bindings()).await;
    shop::agents_json(&rows.map_err(database)?)
}

async fn connection(pool: &Pool) -> Result<Object, Failure> {
    pool.get().await.map_err(database)
}

fn answer(outcome: Result<Vec<u8>, Failure>) -> Response {
    match outcome {
        Ok(body) => json(StatusCode::OK, body),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.status())
                .expect("a failure's status has three digits");
            json(status, failure.body())
        }
    }
}

fn json(status: StatusCode, body: impl IntoResponse) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
