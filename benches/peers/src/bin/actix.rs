//! actix-web with one pipelining tokio-postgres client per worker, as its entries in public
//! benchmarks and its `data_factory` documentation have it.
//!
//! The workers are actix's own: an accepting thread hands each connection to the next of them.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::http::KeepAlive;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use clap::Parser;
use pinion_bench_peers::arguments::{Arguments, BACKLOG};
use pinion_bench_peers::failure::Failure;
use pinion_bench_peers::shop::{HEALTH, NOT_FOUND, Shop};
use tokio_postgres::{Error, NoTls};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "actix-web + tokio-postgres, a peer of scripts/bench")]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    match run(Cli::parse().arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("actix: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    arguments.confine()?;
    actix_web::rt::System::new().block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    drop(
        connect(arguments.database_url.clone())
            .await
            .map_err(io::Error::other)?,
    );
    let pins = arguments.pins();
    let url = arguments.database_url.clone();
    // Called once on each worker's thread.
    let app = move || {
        if let Err(error) = pins.pin() {
            eprintln!("actix: {error}");
        }
        let url = url.clone();
        App::new()
            .data_factory(move || connect(url.clone()))
            .route("/health", web::get().to(health))
            .route("/users/{user_id}", web::get().to(user))
            .route("/products", web::get().to(products))
            .route("/api/v1/agents", web::get().to(agents))
            .default_service(web::to(not_found))
    };
    HttpServer::new(app)
        .workers(arguments.cores.len())
        .backlog(BACKLOG as u32)
        .tcp_nodelay(true)
        .keep_alive(KeepAlive::Os) // no timer per request
        .client_request_timeout(Duration::ZERO)
        .bind(arguments.listen)?
        .run()
        .await
}

async fn connect(url: String) -> Result<Shop, Error> {
    let (client, driver) = tokio_postgres::connect(&url, NoTls).await?;
    actix_web::rt::spawn(driver);
    Shop::prepare(client).await
}

async fn health() -> HttpResponse<Bytes> {
    json(StatusCode::OK, Bytes::from_static(HEALTH))
}

async fn user(shop: Data<Shop>, request: HttpRequest) -> HttpResponse<Bytes> {
    let user_id = request.match_info().get("user_id").unwrap_or_default();
    answer(shop.user(user_id).await)
}

async fn products(shop: Data<Shop>, request: HttpRequest) -> HttpResponse<Bytes> {
    answer(shop.products(request.query_string()).await)
}

async fn agents(shop: Data<Shop>, request: HttpRequest) -> HttpResponse<Bytes> {
    answer(shop.agents(request.query_string()).await)
}

async fn not_found() -> HttpResponse<Bytes> {
    answer(Err(NOT_FOUND))
}

fn answer(outcome: Result<Vec<u8>, Failure>) -> HttpResponse<Bytes> {
    match outcome {
        Ok(body) => json(StatusCode::OK, body.into()),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.status())
                .expect("a failure's status has three digits");
            json(status, failure.body().into())
        }
    }
}

fn json(status: StatusCode, body: Bytes) -> HttpResponse<Bytes> {
    let mut response = HttpResponse::with_body(status, body);
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
