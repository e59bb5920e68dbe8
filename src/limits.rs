//! Every bound of the server: its unit, its value and the reason for the value.
//!
//! Those that an operator may want to change are only defaults here and have a flag of the same
//! name; the others are fixed. Nothing in the server grows past a bound that is not in this file.

use std::time::Duration;

// ---- HTTP ----

/// Bytes of a request head, request line and all header fields together (RFC 9112 §2.1); past it 431.
/// 16 KiB is what common proxies send at the most. Flag `--max-head-bytes`.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a request target (RFC 9112 §3.2); past it 414. RFC 9110 §4.1 asks for at least 8000.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Header fields of one request; past it 431. A browser behind two proxies sends about 30.
pub const HEADERS_MAX: usize = 100;

/// Empty lines before a request line that are skipped (RFC 9112 §2.2 asks for at least one); past it
/// 400. Old clients send one after a body that has its own length.
pub const EMPTY_LINES_MAX: usize = 2;

/// Bytes of a method name (RFC 9110 §9.1); past it 501 at once. The longest one registered has 16.
pub const METHOD_BYTES_MAX: usize = 32;

/// Bytes of a decoded request body; past it 413. Flag `--max-body-bytes`.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a chunk-size line with its extensions (RFC 9112 §7.1.1); past it 400.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Bytes of chunk extensions in all chunks of one body together (RFC 9112 §7.1.1); past it 400, so
/// that a body of one-byte chunks costs 21 bytes to read for each byte, not 260.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 16 * 1024;

/// Bytes of the trailer section of a chunked body (RFC 9112 §7.1.2); past it 431.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

// ---- Routes ----

/// Rows of a `many` result unless the route declares `max_rows`; more is an error, never a cut.
pub const ROWS_MAX: usize = 1000;

/// Parameters of one statement: the protocol counts them in 16 bits (Postgres §54.7, Bind).
pub const PARAMS_MAX: usize = u16::MAX as usize;

/// Requests in one batch of a route unless the route says otherwise (`batch.max`).
pub const BATCH_KEYS: usize = 128;
/// See [`BATCH_KEYS`]: what a route may declare. What one message to Postgres costs is shared well before.
pub const BATCH_KEYS_MAX: usize = 1024;

/// Bytes of the values of one batch of several requests. Larger values gain nothing from company.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Batches of one route that are on their way at a time on one core, unless the route says otherwise
/// (`batch.in_flight`). With one in flight the next one grows meanwhile, and large batches are what saves.
pub const BATCHES_IN_FLIGHT: usize = 1;
/// See [`BATCHES_IN_FLIGHT`]: what a route may declare.
pub const BATCHES_IN_FLIGHT_MAX: usize = 8;

/// What Postgres may estimate one key's plan to cost for the route to be batched unasked. A batch saves some
/// ten microseconds a request, but its keys are read one after the other and answered together. A look-up by
/// an index costs 8 and takes 4 µs; at 50 a full batch takes some 3 ms.
pub const BATCH_COST_MAX: f64 = 50.0;

/// How long a connection waits for what another one finds out about batching a route before it asks by
/// itself. Postgres plans the statement for it, which takes a few milliseconds.
pub const JUDGEMENT_PATIENCE: Duration = Duration::from_secs(1);

/// How old the answer may be for a connection that is opened, or whose statement is prepared again, not to
/// ask once more. A function may be made volatile under a route; `--recycle` bounds how long that is missed.
pub const JUDGEMENT_AGE: Duration = Duration::from_secs(1);

/// Nesting of a JSON document in a request body; past it 400.
pub const JSON_DEPTH_MAX: usize = 64;

// ---- Guards ----

/// Entries of `allow_origins`. Those with a `*` are looked through for each request of a page.
pub const CORS_ORIGINS_MAX: usize = 256;

/// Names in `allow_headers`, and in `expose_headers`: no request has more fields ([`HEADERS_MAX`]).
pub const CORS_NAMES_MAX: usize = HEADERS_MAX;

/// The longest `max_age` of `[cors]`: no browser keeps the answer to a preflight for longer than a day
/// (Firefox; Chromium keeps it for two hours).
pub const CORS_MAX_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

// ---- Postgres ----

/// How long a statement may run unless its route says otherwise. Flag `--statement-timeout`.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_millis(500);

/// The longest `timeout` of a route. What runs longer than an hour is a job, not a request.
pub const ROUTE_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Connections of one lane on one core; a core with more keeps Postgres from its work.
pub const LANE_CONNECTIONS_MAX: usize = 1000;

/// Requests that may wait for a lane on one core.
pub const LANE_QUEUE_MAX: usize = 1_000_000;

/// Faults listed in one 422 answer. A body may hold a hundred thousand of them; nobody reads past a few.
pub const DETAILS_MAX: usize = 100;

/// Bytes of a name of the client's (an unknown member or query parameter) shown in a 422 answer.
pub const DETAIL_NAME_BYTES_MAX: usize = 64;

/// Postgres connections of a core's default lane. Flag `--connections-per-core`.
pub const CONNECTIONS_PER_CORE: usize = 4;

/// Statements sent on one connection and not yet answered. Past it requests wait in the lane's
/// queue, where they can still be refused; what is sent can't be.
pub const PIPELINE_DEPTH_MAX: u32 = 64;

/// How long the statements of a route may take, in the mean of the last ones, for them to go out on a
/// connection that others are in flight on while another one is idle: with 32 before it, 8 ms.
pub const SWIFT_MAX: Duration = Duration::from_micros(250);

/// Statements in flight on such a connection at the most; past it the next one goes to another.
pub const COMPANY_MAX: u32 = 32;

/// How long ago such a connection may have answered for the last time: one that a slow statement
/// holds up gets no more.
pub const COMPANY_SILENCE_MAX: Duration = Duration::from_micros(500);

/// Requests that may wait for a place on a lane's connections, per core, unless the routes file
/// says otherwise (`queue`); past it 503 at once.
pub const LANE_QUEUE: usize = 1024;

/// How long a connection may not have answered what it has in flight for others to be preferred to it.
/// A statement behind one that runs for so long waits for more than its turn.
pub const STALLED: Duration = Duration::from_millis(50);

/// How long past the statement timeout a connection may stay silent with statements in flight before it
/// gets no more of them, and its routes' batches no longer wait for it. Postgres is late then, or frozen.
pub const OVERDUE_GRACE: Duration = Duration::from_millis(250);

/// How long a request may wait for Postgres while a lane or a batched route has more to do than it can, on
/// top of a statement's own time; who would wait longer is refused at once. Long enough to keep every
/// connection at work over a slow pass, and not much beside the time of a statement that is worth waiting
/// for. Flag `--queue-target`.
pub const QUEUE_TARGET: Duration = Duration::from_millis(20);

/// How often it is judged whether the wait is longer than [`QUEUE_TARGET`] (RFC 8289 §4.3 has the same 100 ms),
/// and how long nobody may have been refused for an overload to end.
pub const OVERLOAD_INTERVAL: Duration = Duration::from_millis(100);

/// Intervals in a row that have to be found too long for an overload to begin. Half a second: what is over
/// sooner is a burst, or a machine that stood still.
pub const OVERLOAD_INTERVALS: u32 = 5;

/// How many times [`QUEUE_TARGET`] a queue may last that does not grow: so many clients as wait for one answer
/// before they ask for the next make it, and none of them is better off with a refusal.
pub const OVERLOAD_STANDING: u32 = 5;

/// Requests that have to be waiting or in flight all the time for it to be an overload: what a few clients
/// ask for at a time is none, however long a machine stands still.
pub const OVERLOAD_LEAST: usize = 16;

/// Requests for each connection that are let in during an overload, however long they take: one that runs
/// and one that follows it.
pub const OVERLOAD_ROOM: usize = 2;

/// Statements in flight on one connection that are sent although they take longer than [`QUEUE_TARGET`]
/// together. What is not sent can go to the connection that is free first, and can be refused.
pub const PIPELINE_DEPTH_SLOW: u32 = 4;

/// Seconds of a `Retry-After` at the most (RFC 9110 §10.2.3).
pub const RETRY_AFTER_MAX: u32 = 8;

/// How often the log is told how many requests were refused, and why.
pub const SHEDS_TOLD_INTERVAL: Duration = Duration::from_secs(10);

/// How long past the statement timeout a connection may stay silent with statements in flight
/// before it is taken for dead. Postgres itself ends a statement at its timeout.
pub const SILENCE_GRACE: Duration = Duration::from_secs(2);

/// How long a connection without a statement timeout may stay silent before the server is asked for
/// another one. If it gives no answer to that either, the connection is taken for dead.
pub const SILENCE_ASKED_AFTER: Duration = Duration::from_secs(10);

/// How old a connection has to be for a write that is refused as read-only to have it replaced: a server
/// that says of itself that it takes writes, and then doesn't, is not asked again for each of them.
pub const READ_ONLY_AGE_MIN: Duration = Duration::from_secs(1);

/// Pauses between attempts to reconnect, doubled from the first to the second, plus jitter.
pub const RECONNECT_MIN: Duration = Duration::from_millis(50);
/// See [`RECONNECT_MIN`]: recovery within a second of Postgres being back.
pub const RECONNECT_MAX: Duration = Duration::from_millis(800);

/// Pauses between cancellations of one statement until it has ended, doubled from the first to the
/// second: one that reaches a backend before its statement is ignored by it.
pub const CANCEL_AGAIN_MIN: Duration = Duration::from_millis(100);
/// See [`CANCEL_AGAIN_MIN`].
pub const CANCEL_AGAIN_MAX: Duration = Duration::from_secs(1);

/// How long one attempt to connect may take, unless `connect_timeout` says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a file of certificates or revocation lists for TLS to Postgres: a whole machine's trust
/// store is a quarter of a megabyte, an authority's list may be a few.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a lane without any connection lets its requests wait; from then on they get 503 at
/// once. Long enough to sit out one replaced connection.
pub const DOWN_PATIENCE: Duration = Duration::from_secs(1);

/// Pauses between attempts to prepare a route whose statement was refused on a running server (its
/// table is away), doubled from the first to the second: each attempt is a line in Postgres's log.
pub const PREPARE_AGAIN_MIN: Duration = Duration::from_millis(500);
/// See [`PREPARE_AGAIN_MIN`]: how long a route may stay away after its table is back, if nobody asks.
pub const PREPARE_AGAIN_MAX: Duration = Duration::from_secs(4);

/// How often a route's statement is prepared again at the most because requests are refused for a value
/// that its type may have by now (an enum's new label).
pub const DOUBT_INTERVAL: Duration = Duration::from_secs(1);

/// Times that a request is given another connection because the one that it was given had ended
/// before anything was sent on it. Each has been found usable at the time, so twice is an outage.
pub const UNSENT_RETRIES_MAX: u32 = 2;

/// Times that a read is run again after a serialization failure or deadlock (40001, 40P01).
pub const CONFLICT_RETRIES_MAX: u32 = 3;

/// How often the log is told that statements go on failing for a cause that it has been told of.
pub const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Causes (a route and a SQLSTATE) that a core tells apart in that time; more are counted together.
pub const CAUSES_TOLD_MAX: usize = 64;

/// Bytes of a response body; past it 500. A `many` result is bounded in rows, this bounds wide rows.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;

// ---- The server ----

/// Open client connections over all cores. Flag `--max-connections`.
pub const CONNECTIONS_MAX: usize = 100_000;

/// Requests being answered from Postgres at a time over all cores. Flag `--max-in-flight`.
pub const IN_FLIGHT_MAX: usize = 10_000;

/// Pipelined requests of one connection that are answered at a time; the rest waits in its input.
pub const PIPELINED_MAX: usize = 32;

/// Bytes of the answers of one connection that are ready or expected and can't be written yet; past it
/// its next request waits in its input until an answer has been written. 1 MiB is four times what is
/// written before all of it has to be sent.
pub const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that an answer is expected to have whose route has not answered yet; afterwards it is the
/// largest that it gave. So of a route that nothing is known of, four are in flight on a connection.
pub const ANSWER_BYTES_UNKNOWN: usize = PENDING_BYTES_MAX / 4;

/// After an error that ends a connection, how long the client may go on sending (and be ignored)
/// so that it gets to read the answer (RFC 9112 §9.6).
pub const LINGER: Duration = Duration::from_secs(2);
/// See [`LINGER`]: bytes that are ignored at the most.
pub const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

// ---- Guards ----

/// Networks of trusted proxies. Each request from one is held against all of them.
pub const TRUSTED_PROXIES_MAX: usize = 64;

// ---- TLS ----

/// Time that a pass gives to steps of TLS handshakes: once it is used up the next of them waits for the
/// pass after the next one, so that requests go between. One signature (P-256 30 µs, RSA-2048 1 ms)
/// uses it up.
pub const HANDSHAKE_TIME_PER_PASS: Duration = Duration::from_micros(25);

/// Bytes of a file of certificates or of a key. A bundle of every public authority has some 250 KB.
pub const TLS_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How long before its end a certificate is warned of, at the start and at each reload.
pub const CERTIFICATE_NOTICE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often a core tells the log how many handshakes have failed, if any has.
pub const HANDSHAKE_FAULTS_INTERVAL: Duration = Duration::from_secs(60);

// ---- Rate limits ----

/// The longest `per` of a rate limit: a month.
pub const RATE_PER_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// The most `requests` and the largest `burst` of a rate limit: more than anybody counts.
pub const RATE_REQUESTS_MAX: i64 = 1_000_000_000;

/// The shortest time for one request that a rate limit may declare. More than a million a second is no
/// limit, and a nanosecond that is rounded up is less than a thousandth of it.
pub const RATE_INTERVAL_MIN: Duration = Duration::from_micros(1);

/// How long all of a burst may take to come back. A key is kept for as long; a year in nanoseconds is 2^55,
/// which leaves room for 500 years of uptime in 64 bits.
pub const RATE_RESET_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Keys (clients) of one rate limit that a core keeps at a time: 24 bytes each, 24 MiB when full, and half
/// as much again while it grows to that. Only keys that have used some of their burst and not got it back
/// count.
pub const RATE_KEYS_MAX: usize = 1 << 20;

/// How long a core waits for another one that owns a key to decide; then `on_store_failure` does. As long
/// as a core has to stand still to be called stuck.
pub const RATE_PATIENCE: Duration = Duration::from_secs(1);

/// How often the log is told of requests whose rate limit could not be decided.
pub const RATE_FAILURES_TOLD_INTERVAL: Duration = Duration::from_secs(10);

// ---- Reloading ----

/// How long a core may take to get the connections and statements of another API; then all stays as it
/// was.
pub const SUCCESSION_PATIENCE: Duration = Duration::from_secs(10);

/// How long the requests of the old API may keep the new one to one connection of each lane: Postgres may
/// have no room for all connections of both.
pub const SUCCESSION_OVERLAP: Duration = Duration::from_secs(1);

/// APIs that a core has ceased to serve and whose last requests have not ended: with more of them, no other
/// is taken.
pub const SUCCESSION_RETIRING_MAX: usize = 4;

// ---- Upgrading ----

/// When another process has taken over, clients have the drain timeout less this to ask once more on each
/// connection; what is idle then is closed.
pub const DISMISSAL_TIME: Duration = Duration::from_secs(2);

// ---- Redis ----

/// How long a decision of a rate limit by Redis may take; then `on_store_failure` decides. Many times what a
/// round trip within a data centre takes, and little beside what a request may. Flag `--redis-timeout`.
pub const REDIS_TIMEOUT: Duration = Duration::from_millis(5);
/// See [`REDIS_TIMEOUT`]: what the flag may say. Whoever would wait for longer has no need of a limit.
pub const REDIS_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Decisions in flight on a core's connection to Redis; past it `on_store_failure` decides at once. With 5 ms
/// for each it is reached at 800,000 a second, and Redis does fewer. About 1 MiB.
pub const REDIS_IN_FLIGHT_MAX: usize = 4096;

/// Bytes of one reply of Redis; past it the connection is ended. The longest that is asked for, an error,
/// has a few hundred.
pub const REDIS_REPLY_BYTES_MAX: usize = 64 * 1024;

/// Characters of an error of Redis that the log is told.
pub const REDIS_WORDS_MAX: usize = 200;

/// How long one attempt to connect to Redis may take, to its first decision.
pub const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How much longer than the time that a decision may take a connection to Redis with something in flight may
/// be silent before it is opened anew. Nobody waits meanwhile; a Redis that begins to save its data may pause
/// for some hundred milliseconds.
pub const REDIS_SILENCE_MAX: Duration = Duration::from_secs(1);

/// How long a connection to Redis is idle before the kernel asks after its other end.
pub const REDIS_KEEPALIVE: Duration = Duration::from_secs(60);

// ---- Authentication ----

/// Bytes of a token; past it 401. Half of what a request head may have; those of large directories that list
/// every group have 4 KiB.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Verified tokens that a core keeps, until they expire.
pub const TOKENS_CACHED_MAX: usize = 8192;

/// Bytes of them, about. Those of 1 KB fit in that number.
pub const TOKENS_CACHED_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Keys that one token is tried with: one that names no key costs so many signatures at the most.
pub const JWT_KEYS_TRIED_MAX: usize = 4;

/// Usable keys of one JSON Web Key Set. Issuers publish two to ten.
pub const JWKS_KEYS_MAX: usize = 32;

/// Seconds by which `leeway` may let a token live longer than it says. More is no clock that is off.
pub const TOKEN_LEEWAY_MAX: Duration = Duration::from_secs(600);

/// `leeway` where the file does not say: clocks that are set by the network differ by less.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(30);

/// Bytes of a file with keys or their hashes.
pub const AUTH_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// API keys in one file, which are looked up by their hashes.
pub const API_KEYS_MAX: usize = 10_000;

/// Bytes of an API key as it is sent; past it 401.
pub const API_KEY_BYTES_MAX: usize = 512;

/// Bytes of the name of an API key.
pub const API_KEY_NAME_BYTES_MAX: usize = 128;

/// Time between two fetches of `jwks_url` at the least, whoever asks for keys that are not known.
pub const JWKS_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// Time after which the keys are fetched again although nobody has asked for another one: so long a key that the
/// issuer has withdrawn is still believed.
pub const JWKS_REFRESH: Duration = Duration::from_secs(600);

/// How long one fetch may take. The server does not listen before the first one has ended.
pub const JWKS_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the document. The largest known have 20 KB.
pub const JWKS_BYTES_MAX: u64 = 512 * 1024;

/// Roles that `database_roles` may list: all of them are looked for in Postgres whenever a connection is opened.
/// Tenants by the thousand are told apart by a claim in their policies, not by a role each.
pub const DATABASE_ROLES_MAX: usize = 1024;

// ---- Histograms ----

/// How often histograms are dumped: dashboards and people look at minutes, and a dump of some routes on some
/// cores is some hundred KB. Flag `--histogram-interval`.
pub const HISTOGRAM_INTERVAL: Duration = Duration::from_secs(60);
/// See [`HISTOGRAM_INTERVAL`]: the least that the flag may say. A dump waits for the disk.
pub const HISTOGRAM_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Dumps that are kept: a day of minutes. Flag `--histogram-keep`.
pub const HISTOGRAMS_KEPT: usize = 24 * 60;
/// See [`HISTOGRAMS_KEPT`]: what the flag may say. The directory is listed with each dump.
pub const HISTOGRAMS_KEPT_MAX: usize = 100_000;

/// How long they are kept: this week's can be compared with the last one's where they are rare. Flag
/// `--histogram-max-age`.
pub const HISTOGRAM_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

// ---- Logs ----

/// Bytes of log lines that wait to be written; past it lines are dropped and counted. Some 30,000 lines of the
/// access log.
pub const LOG_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long the end of the process waits for the log to be written, as nobody may be reading it.
pub const LOG_FLUSH_MAX: Duration = Duration::from_secs(2);

/// Lines of slow requests in [`TELL_AGAIN`], of one core; more are counted together. In an outage all are slow.
pub const SLOW_LINES_MAX: u32 = 10;

// ---- Reports ----

/// Logs of one set: two months of minutes of one core, or a day of them of 64 cores.
pub const REPORT_FILES_MAX: usize = 100_000;

/// Directories within directories that are looked through: a dump, of a host, of a place, of a day.
pub const REPORT_DEPTH_MAX: usize = 4;

/// Bytes of a line of a log: a histogram all of whose 16,384 counts have nine bytes has 200 KB in Base64.
pub const REPORT_LINE_BYTES_MAX: usize = 512 * 1024;

/// Routes of one set. Each has 10 histograms of 136 KB at the most.
pub const REPORT_ROUTES_MAX: usize = 1000;

/// Bytes of a route's name in a log.
pub const REPORT_NAME_BYTES_MAX: usize = 1024;

/// Points in time of one set's plots.
pub const REPORT_POINTS_MAX: u64 = 120;

// ---- The admin port ----

/// Connections of the admin port that are answered at a time, each by a thread of its own; who comes next waits
/// in its backlog. A browser has six.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;

/// Bytes of a request head there. Browsers send one or two thousand.
pub const ADMIN_HEAD_BYTES_MAX: usize = 8 * 1024;

/// How long a core stands still before `/livez` calls it stuck. An idle core has a hundred passes a second; a
/// machine that does not give it a CPU for so long serves nobody either.
pub const CORE_STUCK_AFTER: Duration = Duration::from_secs(3);
