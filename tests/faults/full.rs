//! A disk that is full, and what else goes wrong inside Postgres.

use crate::fixture::{lines, until};
use crate::support::Server;
use crate::support::cluster::Cluster;
use crate::support::load::{Load, ROUTES, SCHEMA};

/// A file system of its own that holds a megabyte, unmounted on drop.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(place: std::path::PathBuf) -> Disk {
        std::fs::create_dir(&place).expect("a directory");
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m", "pinion-test"])
            .arg(&place);
        let output = mount.output().expect("mount");
        assert!(
            output.status.success(),
            "this test has to mount a small disk: {output:?}"
        );
        Disk(place)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .output();
    }
}

const DISK_ROUTES: &str = r#"
[[route]]
name = "add_bulk"
method = "POST"
path = "/bulk/{key}"
result = "one"
status = 201
sql = "insert into bulk (key, filler) values (:key, repeat(md5(:key), 2000)) returning key"

[[route]]
name = "sorted"
method = "GET"
path = "/sorted/{count}"
result = "scalar"
sql = "select max(md5) from (select md5(n::text) from generate_series(1, :count) n order by 1 offset 10) s"

[[route]]
name = "fail_read"
method = "GET"
path = "/fail/{state}"
result = "scalar"
read_only = true
sql = "select fail(:state)"

[[route]]
name = "fail_write"
method = "POST"
path = "/fail/{state}"
result = "scalar"
sql = "select fail(:state)"
"#;

/// On the small disk, and not compressed.
const BULK: &str = "
create table bulk (key text, filler text) tablespace small;
alter table bulk alter column filler set storage external;
";

const FAIL: &str = "
create sequence calls;
create function fail(state text) returns int language plpgsql as $$
begin
  perform nextval('calls');
  insert into effects values ('failed');
  raise exception 'the database''s own words' using errcode = state;
end $$;
";

#[test]
fn a_full_disk_refuses_what_needs_room_and_nothing_else() {
    let cluster = Cluster::start("temp_file_limit = 100kB\nwork_mem = 64kB\n", SCHEMA);
    let disk = Disk::mount(cluster.sockets().with_file_name("disk"));
    cluster.give(&disk.0);
    cluster.sql(&format!(
        "create tablespace small location '{}'",
        disk.0.display()
    ));
    cluster.sql(BULK);
    let routes =
        format!("{ROUTES}{DISK_ROUTES}").replace("select fail(:state)", "select :state::int4");
    let flags = ["--statement-timeout", "10s"];
    let mut server = Server::start(&routes, &cluster.url(), &flags).ready();
    let ((done, refused), tally) = Load::during(server.address, || {
        let mut client = server.client();
        let (mut done, mut refused) = (0, 0);
        for number in 0..60 {
            let response = client.request("POST", &format!("/bulk/b{number}"), Some(""));
            match response.status {
                201 => done += 1,
                status => {
                    assert_eq!(status, 503, "{}", response.text());
                    assert_eq!(response.field("retry-after"), Some("1"));
                    assert!(!response.text().contains("disk"), "{}", response.text());
                    refused += 1;
                }
            }
            // A temporary file over its limit is the statement's own fault.
            if number % 20 == 0 {
                let sorted = client.request("GET", "/sorted/100000", None);
                assert_eq!(sorted.status, 500, "{}", sorted.text());
                assert_eq!(client.request("GET", "/sorted/100", None).status, 200);
            }
        }
        (done, refused)
    });
    println!("{done} writes had room, {refused} had none");
    assert!(done > 0 && refused > 10);
    assert_eq!(cluster.sql("select count(*) from bulk"), done.to_string());
    tally.expect(&[200], &[201]);
    tally.check_writes(&cluster);
    assert_eq!(
        lines(&mut server, "state=\"53100\""),
        1,
        "{:?}",
        server.log()
    );
    assert_eq!(
        lines(&mut server, "state=\"53400\""),
        1,
        "{:?}",
        server.log()
    );
    // There is room again, in a table that is another one of the same name.
    cluster.sql("drop table bulk");
    cluster.sql(BULK);
    until("it is taken", || {
        server.send("POST", "/bulk/again", "").status == 201
    });
}

#[test]
fn every_error_has_its_status_and_leaves_its_connection_as_it_was() {
    let cluster = Cluster::start("", &format!("{SCHEMA}{FAIL}"));
    let routes = format!("{ROUTES}{DISK_ROUTES}")
        .replace("insert into bulk", "insert into effects")
        .replace(
            "(key, filler) values (:key, repeat(md5(:key), 2000))",
            "(key) values (:key)",
        );
    let flags = ["--connections-per-core", "1"];
    let mut server = Server::start(&routes, &cluster.url(), &flags).ready();
    let before = cluster.backends("pinion");
    let states = [
        // Full, out of memory, too many, over a limit.
        ("53000", 503),
        ("53100", 503),
        ("53200", 503),
        ("53300", 503),
        ("53400", 500),
        // The system below, and Postgres itself.
        ("58000", 500),
        ("58030", 500),
        ("58P01", 500),
        ("XX000", 500),
        ("XX001", 500),
        ("XX002", 500),
        // Stopping, starting, gone; here only words, as the session goes on.
        ("57P01", 503),
        ("57P02", 503),
        ("57P03", 503),
        ("57P04", 503),
        ("57014", 504),
        ("08000", 503),
        ("08003", 503),
        ("08006", 503),
        ("08P01", 503),
        // Read-only, locked, in a failed transaction, in conflict.
        ("25006", 503),
        ("55P03", 503),
        ("25P02", 500),
        ("40001", 409),
        ("40P01", 409),
        ("42501", 403),
        ("42P01", 500),
        ("0A000", 500),
        ("23505", 409),
        ("22012", 422),
        ("P0002", 500),
    ];
    let ((), tally) = Load::during(server.address, || {
        for (state, status) in states {
            for method in ["GET", "POST"] {
                cluster.sql("select setval('calls', 1, false)");
                for _ in 0..3 {
                    let response = server.send(method, &format!("/fail/{state}"), "");
                    assert_eq!(
                        response.status,
                        status,
                        "{method} {state}: {}",
                        response.text()
                    );
                    let again = response.field("retry-after");
                    assert_eq!(again.is_some(), status == 503, "{method} {state}");
                    assert!(
                        !response.text().contains("own words"),
                        "{}",
                        response.text()
                    );
                }
                // Only a conflict is run again, and only a read.
                let calls = if status == 409 && state != "23505" && method == "GET" {
                    12
                } else {
                    3
                };
                let called = cluster.sql("select last_value from calls");
                assert_eq!(called, calls.to_string(), "{method} {state}");
            }
        }
    });
    tally.expect(&[200], &[201]);
    tally.check_writes(&cluster);
    assert_eq!(
        cluster.backends("pinion"),
        before,
        "the connection was kept"
    );
    assert_eq!(
        cluster.sql("select count(*) from effects where key = 'failed'"),
        "0"
    );
    let told = lines(&mut server, "statement failed route=");
    let causes = states.iter().filter(|(_, status)| *status >= 500).count();
    assert_eq!(told, 2 * causes, "{:?}", server.log());
}
