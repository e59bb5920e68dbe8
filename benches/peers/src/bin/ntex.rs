//! ntex on its own runtime with the io_uring reactor (`neon-uring`), one pipelining tokio-postgres
//! client per worker.
//!
//! tokio's sockets don't exist in that runtime, so the database's socket is ntex' as well: `Wire`
//! makes of it what tokio-postgres reads and writes. The workers are ntex' own, fed by an accepting
//! thread.

use std::cmp::min;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll, ready};

use clap::Parser;
use ntex::SharedCfg;
use ntex::http::header::{CONTENT_TYPE, HeaderValue};
use ntex::http::{HttpServiceConfig, KeepAlive, StatusCode};
use ntex::io::{Io, IoConfig};
use ntex::time::Seconds;
use ntex::util::Bytes;
use ntex::web::types::State;
use ntex::web::{self, App, HttpRequest, HttpResponse, HttpServer};
use pinion_bench_peers::arguments::{Arguments, BACKLOG};
use pinion_bench_peers::failure::Failure;
use pinion_bench_peers::shop::{HEALTH, NOT_FOUND, Shop};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "ntex + tokio-postgres, a peer of scripts/bench")]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    match run(Cli::parse().arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ntex: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    arguments.confine()?;
    ntex::rt::System::new("ntex", ntex::rt::DefaultRuntime).block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    drop(connect(&arguments.database_url).await?); // a wrong URL ends the start
    let (pins, url) = (arguments.pins(), arguments.database_url.clone());
    // Called once on each worker's thread.
    let app = async move || {
        let opened = match pins.pin() {
            Ok(()) => connect(&url).await,
            Err(error) => Err(error),
        };
        let shop = opened.expect("it could be opened a moment ago");
        App::new()
            .state(shop)
            .route("/health", web::get().to(health))
            .route("/users/{user_id}", web::get().to(user))
            .route("/products", web::get().to(products))
            .route("/api/v1/agents", web::get().to(agents))
            .default_service(web::to(not_found))
    };
    let http = HttpServiceConfig::new()
        .set_keepalive(KeepAlive::Os) // no timer per request
        .set_client_timeout(Seconds::ZERO);
    HttpServer::new(app)
        .workers(arguments.cores.len())
        .backlog(BACKLOG)
        .config(SharedCfg::new("shop").add(http))
        .bind(arguments.listen)?
        .run()
        .await
}

async fn health() -> HttpResponse {
    json(StatusCode::OK, Bytes::from_static(HEALTH))
}

async fn user(shop: State<Shop>, request: HttpRequest) -> HttpResponse {
    let user_id = request.match_info().get("user_id").unwrap_or_default();
    answer(shop.user(user_id).await)
}

async fn products(shop: State<Shop>, request: HttpRequest) -> HttpResponse {
    answer(shop.products(request.query_string()).await)
}

async fn agents(shop: State<Shop>, request: HttpRequest) -> HttpResponse {
    answer(shop.agents(request.query_string()).await)
}

async fn not_found() -> HttpResponse {
    answer(Err(NOT_FOUND))
}

fn answer(outcome: Result<Vec<u8>, Failure>) -> HttpResponse {
    match outcome {
        Ok(body) => json(StatusCode::OK, body.into()),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.status())
                .expect("a failure's status has three digits");
            json(status, failure.body().into())
        }
    }
}

fn json(status: StatusCode, body: Bytes) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, body.into());
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

// ---- tokio-postgres over ntex' I/O ----

async fn connect(url: &str) -> io::Result<Shop> {
    let config: Config = url.parse().map_err(io::Error::other)?;
    let wire = Wire(open_socket(&config)?);
    let (client, driver) = config
        .connect_raw(wire, NoTls)
        .await
        .map_err(io::Error::other)?;
    ntex::rt::spawn(driver);
    Shop::prepare(client).await.map_err(io::Error::other)
}

fn open_socket(config: &Config) -> io::Result<Io> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Unix(directory)) => {
            let stream = UnixStream::connect(directory.join(format!(".s.PGSQL.{port}")))?;
            stream.set_nonblocking(true)?;
            ntex::rt::from_unix_stream(stream, wire())
        }
        Some(Host::Tcp(host)) => {
            let stream = std::net::TcpStream::connect((host.as_str(), port))?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            ntex::rt::from_tcp_stream(stream, wire())
        }
        None => Err(io::Error::other("the database's URL names no host")),
    }
}

/// Room for all that Postgres can send at once: in this version of ntex a socket that was paused at the
/// usual 16 KiB is now and then not read again.
fn wire() -> SharedCfg {
    const INPUT_BYTES: usize = 1024 * 1024;
    SharedCfg::new("wire")
        .add(IoConfig::new().set_read_buf(INPUT_BYTES, 1024, 16))
        .into()
}

struct Wire(Io);

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let taken = self.0.with_read_buf(|input| {
                let count = min(input.len(), wanted.remaining());
                wanted.put_slice(&input.split_to(count));
                count
            });
            if taken > 0 || wanted.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.0.poll_read_ready(context))?.is_none() {
                return Poll::Ready(Ok(())); // the end: nothing was taken
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.encode_slice(bytes)?; // it goes out with the reactor's next turn
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(context, false)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(context)
    }
}
