//! may_minihttp, a small HTTP server on stackful coroutines, as in its own benchmark example. It has
//! `GET /health` and nothing else: what the leanest of the known Rust servers costs without a database.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use may_minihttp::{HttpServer, HttpService, Request, Response};
use pinion_bench_peers::arguments::Arguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "may_minihttp, a peer of scripts/bench")]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    match run(&Cli::parse().arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("may_minihttp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    arguments.confine()?; // may pins its workers to the cores that the process may use
    may::config().set_workers(arguments.cores.len());
    let server = HttpServer(Shop).start(arguments.listen)?;
    server
        .join()
        .map_err(|_| io::Error::other("the accepting coroutine panicked"))
}

#[derive(Clone)]
struct Shop;

impl HttpService for Shop {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        response.header("Content-Type: application/json");
        if request.path() == "/health" {
            response.body(r#"{"status":"ok"}"#);
        } else {
            response.status_code(404, "Not Found");
            response.body(r#"{"error":"Not found","code":404}"#);
        }
        Ok(())
    }
}
