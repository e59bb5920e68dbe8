//! What a careful Rust team would write today for the same two routes: axum on one tokio thread,
//! deadpool-postgres with cached prepared statements over the unix socket.
//!
//! It gets what Pinion gets: one pinned core, the same allocator, the same release profile, the
//! same statement and the same answers.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use clap::Parser;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_postgres::NoTls;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The statement of the shop's `GET /users/{user_id}`.
const USER: &str = "
select user_id, username, email, extract(epoch from last_active)::float8 as last_active
  from users
 where user_id = $1 and deleted_at is null";

#[derive(Parser)]
#[command(about = "axum + deadpool-postgres on one core, a peer of scripts/bench")]
struct Arguments {
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8102")]
    listen: SocketAddr,
    /// Core that the one thread is pinned to
    #[arg(long, value_name = "N", default_value_t = 0)]
    core: usize,
    /// Database of the shop
    #[arg(long, value_name = "URL")]
    database_url: tokio_postgres::Config,
    /// Connections of the pool; each serves one request at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    pool_size: usize,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct User {
    user_id: i64,
    username: String,
    email: String,
    /// Unix time in seconds
    last_active: Option<f64>,
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    code: u16,
    request_id: String,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_deadpool: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: arguments.core }) {
        return Err(io::Error::other(format!(
            "cannot be pinned to core {}",
            arguments.core
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    // Fast: a connection is handed out again without a query that asks whether it still lives.
    let config = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_config(arguments.database_url, NoTls, config);
    let pool = Pool::builder(manager)
        .max_size(arguments.pool_size)
        .build()
        .map_err(io::Error::other)?;
    drop(pool.get().await.map_err(io::Error::other)?); // a wrong URL ends the start, not each request
    let app = Router::new()
        .route("/health", get(health))
        .route("/users/{user_id}", get(user))
        .with_state(pool);
    let listener = TcpListener::bind(arguments.listen).await?.tap_io(|stream| {
        // Without it only latency suffers, so a refusal is no reason to drop the connection.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}

async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

async fn user(State(pool): State<Pool>, Path(user_id): Path<i64>) -> Response {
    match find_user(&pool, user_id).await {
        Ok(Some(user)) => Json(user).into_response(),
        Ok(None) => failure(StatusCode::NOT_FOUND, "User not found"),
        Err(error) => {
            eprintln!("axum_deadpool: user {user_id}: {error}");
            failure(
                StatusCode::SERVICE_UNAVAILABLE,
                "The database is not available",
            )
        }
    }
}

async fn find_user(
    pool: &Pool,
    user_id: i64,
) -> Result<Option<User>, deadpool_postgres::PoolError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(USER).await?;
    let Some(row) = client.query_opt(&statement, &[&user_id]).await? else {
        return Ok(None);
    };
    Ok(Some(User {
        user_id: row.try_get(0)?,
        username: row.try_get(1)?,
        email: row.try_get(2)?,
        last_active: row.try_get(3)?,
    }))
}

fn failure(status: StatusCode, error: &'static str) -> Response {
    let request_id = uuid::Uuid::now_v7().to_string();
    (
        status,
        Json(ErrorBody {
            error,
            code: status.as_u16(),
            request_id,
        }),
    )
        .into_response()
}
