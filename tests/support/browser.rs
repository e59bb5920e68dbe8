//! A headless Chromium, and the pages that it is shown.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process_group};

use super::{PATIENCE, Signal, TempDir, send_group_signal};

/// How long a browser may take to start and to run a page's script: it is the largest program of the
/// tests by far, and others may be building beside it.
pub(super) const BROWSER_PATIENCE: Duration = PATIENCE.saturating_mul(4);

/// Known to `scripts/test` too.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

// ---- Pages ----

/// A server of one page, under every name and path. What the page's script posts to its own origin is a
/// report.
pub struct Pages {
    pub address: SocketAddr,
    page: Arc<Mutex<String>>,
    reports: Receiver<String>,
}

impl Pages {
    /// On a free port of 127.0.0.1.
    pub fn start() -> Pages {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let page = Arc::<Mutex<String>>::default();
        let (sender, reports) = channel();
        std::thread::spawn({
            let page = page.clone();
            // It ends with the tests' process: no page is left to be shown then.
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (page, sender) = (page.clone(), sender.clone());
                    std::thread::spawn(move || serve(stream, &page, &sender));
                }
            }
        });
        Pages {
            address,
            page,
            reports,
        }
    }

    /// Its origin under a name for this machine.
    pub fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    /// Shows HTML under a name for this machine and gives what its script reports.
    pub fn shown(&self, host: &str, html: &str) -> String {
        self.shown_in(host, html, &[])
    }

    /// The same in a browser that was given more arguments.
    pub fn shown_in(&self, host: &str, html: &str, arguments: &[&str]) -> String {
        html.clone_into(&mut self.page.lock().expect("no panic"));
        let browser = Browser::open(&self.origin(host), arguments);
        match self.reports.recv_timeout(BROWSER_PATIENCE) {
            Ok(report) => report,
            Err(_) => panic!("the page reports nothing: {}", browser.log()),
        }
    }
}

/// A picture (PNG) of a page of a file, in a browser that was given more arguments.
pub fn picture(page: &Path, arguments: &[&str]) -> Vec<u8> {
    let place = TempDir::new();
    let path = place.path().join("picture.png");
    let argument = format!("--screenshot={}", path.display());
    let url = format!("file://{}", page.display());
    let arguments = [arguments, &["--hide-scrollbars", &argument]].concat();
    let mut browser = Browser::open(&url, &arguments);
    let start = Instant::now();
    while browser.child.try_wait().expect("a child of ours").is_none() {
        assert!(
            start.elapsed() < BROWSER_PATIENCE,
            "no picture: {}",
            browser.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{error}: {}", browser.log()))
}

/// One request; the browser opens another connection for the next.
fn serve(stream: TcpStream, page: &Mutex<String>, reports: &Sender<String>) {
    let _ = stream.set_read_timeout(Some(BROWSER_PATIENCE));
    let mut reader = BufReader::new(stream);
    let mut request_line = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return, // opened in advance, and not used
            Ok(_) => {}
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
        if request_line.is_empty() {
            request_line = line;
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let page = page.lock().expect("no panic").clone();
    let (status, body) = if request_line.starts_with("POST ") {
        let report = String::from_utf8(body).expect("a report in UTF-8");
        let _ = reports.send(report);
        ("204 No Content", String::new())
    } else if request_line.starts_with("GET /favicon.ico ") {
        ("404 Not Found", String::new())
    } else {
        ("200 OK", page)
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _ = reader.get_mut().write_all((head + &body).as_bytes());
}

// ---- The browser ----

/// A headless Chromium with a profile of its own, ended on drop.
pub(super) struct Browser {
    pub(super) child: Child,
    profile: TempDir,
}

impl Browser {
    /// Shows a page.
    fn open(url: &str, arguments: &[&str]) -> Browser {
        let mut command = Command::new(program());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Browser::start(command, &[arguments, &[url]].concat())
    }

    /// Speaks the DevTools protocol over its input and output.
    pub(super) fn piped() -> Browser {
        // It reads from descriptor 3 and writes to 4.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(program())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Browser::start(command, &["--remote-debugging-pipe"])
    }

    fn start(mut command: Command, arguments: &[&str]) -> Browser {
        let profile = TempDir::new();
        let log = std::fs::File::create(profile.path().join("log")).expect("a log");
        let child = command
            .args(["--headless=new", "--disable-gpu", "--no-first-run"])
            // Root has no sandbox; the page is ours.
            .args(["--no-sandbox", "--disable-dev-shm-usage"])
            .args(["--disable-background-networking", "--disable-breakpad"])
            .args(["--disable-component-update", "--disable-sync"])
            .args(["--no-proxy-server", "--password-store=basic"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            // Nothing is left behind elsewhere.
            .envs(["HOME", "TMPDIR"].map(|name| (name, profile.path())))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .stderr(log)
            // So that all of its processes can be ended.
            .process_group(0)
            .spawn()
            .expect("Chromium");
        Browser { child, profile }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.profile.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Not waited for yet, so its id, which is that of its group, is no other's.
        send_group_signal(self.child.id(), Signal::KILL);
        let _ = self.child.wait();
        // The others write into the profile for as long as they live, and it is to be removed.
        let start = Instant::now();
        while group_lives(self.child.id()) && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn group_lives(leader: u32) -> bool {
    let leader = i32::try_from(leader).expect("the kernel's ids have 31 bits");
    Pid::from_raw(leader).is_some_and(|leader| test_kill_process_group(leader).is_ok())
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES
        .iter()
        .flat_map(|name| {
            directories
                .iter()
                .map(move |directory| directory.join(name))
        })
        .find(|program| program.is_file())
        .expect("the tests need Chromium (scripts/test installs it)")
}

// ---- What a browser sends ----

/// Carries connections to a server and notes what is sent to it.
pub struct Tap {
    pub address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    pub fn start(server: SocketAddr) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let sent = Arc::<Mutex<Vec<u8>>>::default();
        std::thread::spawn({
            let sent = sent.clone();
            move || {
                for client in listener.incoming().map_while(Result::ok) {
                    let server = TcpStream::connect(server).expect("a connection");
                    let back = (
                        server.try_clone().expect("a second handle"),
                        client.try_clone().expect("a second handle"),
                    );
                    let sent = sent.clone();
                    std::thread::spawn(move || {
                        carry(client, server, |bytes| {
                            sent.lock().expect("no panic").extend_from_slice(bytes);
                        });
                    });
                    std::thread::spawn(move || carry(back.0, back.1, |_| ()));
                }
            }
        });
        Tap { address, sent }
    }

    /// How many requests have had this method and target.
    pub fn count(&self, method: &str, target: &str) -> usize {
        // Behind a body there is no end of a line before it.
        let line = format!("{method} {target} HTTP/1.1\r\n");
        let sent = self.sent.lock().expect("no panic");
        String::from_utf8_lossy(&sent).matches(&line).count()
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut part = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut part) {
        note(&part[..count]);
        if to.write_all(&part[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
