use super::*;

fn user_only(name: &str) -> Option<String> {
    (name == "USER").then(|| String::from("os-user"))
}

fn target(url: &str) -> Target {
    parse(url, &user_only, None).unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn fault(url: &str) -> String {
    parse(url, &user_only, None).unwrap_err().to_string()
}

fn addresses(url: &str) -> Vec<String> {
    target(url)
        .hosts
        .iter()
        .map(|host| host.address.to_string())
        .collect()
}

fn settings(pairs: &[(&'static str, &str)]) -> Settings {
    pairs
        .iter()
        .map(|(keyword, value)| (*keyword, String::from(*value)))
        .collect()
}

#[test]
fn hosts_become_addresses() {
    for (url, expected) in [
        (
            "postgres://user@/db?host=/socket/dir&port=5433",
            &["/socket/dir/.s.PGSQL.5433"][..],
        ),
        ("postgres://%2Frun%2Fpg/db", &["/run/pg/.s.PGSQL.5432"]),
        ("postgres://%2Frun%2Fpg:6543/db", &["/run/pg/.s.PGSQL.6543"]),
        ("host=/run/pg/", &["/run/pg/.s.PGSQL.5432"]),
        ("postgres://a,b:1,[::1]:2/", &["a:5432", "b:1", "[::1]:2"]),
        ("postgres://a:1,b", &["a:1", "b:5432"]),
        ("host=a,b port=7", &["a:7", "b:7"]),
        ("host=a,/run/pg port=7,8", &["a:7", "/run/pg/.s.PGSQL.8"]),
        ("host=db.example hostaddr=10.0.0.1", &["10.0.0.1:5432"]),
        ("hostaddr=::1,10.0.0.1 port=1,2", &["[::1]:1", "10.0.0.1:2"]),
        ("host=a,b hostaddr=,10.0.0.1", &["a:5432", "10.0.0.1:5432"]),
        ("host=a port=65535", &["a:65535"]),
    ] {
        assert_eq!(addresses(url), expected, "{url}");
    }
}

#[test]
fn wrong_hosts_are_refused() {
    for (url, expected) in [
        ("host=a port=0", "1 to 65535"),
        ("host=a port=65536", "1 to 65535"),
        ("host=a port=+5", "1 to 65535"),
        ("host=a port=x", "1 to 65535"),
        ("host=a,b port=1,2,3", "3 of port for 2 hosts"),
        ("host=a,b hostaddr=10.0.0.1", "1 of hostaddr for 2 hosts"),
        ("hostaddr=db.example", "numeric address"),
        ("host=@abstract", "abstract"),
    ] {
        assert!(fault(url).contains(expected), "{url}: {}", fault(url));
    }
    let directory = |path_bytes: usize| format!("host=/{}", "d".repeat(path_bytes - 15));
    assert_eq!(addresses(&directory(107))[0].len(), 107);
    assert!(fault(&directory(108)).contains("107 bytes"));
}

#[test]
fn without_a_host_the_first_socket_that_exists_is_taken() {
    let found = |existing: &[&str]| -> Vec<String> {
        let exists = |path: &Path| existing.contains(&path.to_str().unwrap());
        let hosts = hosts(&settings(&[("port", "5433")]), &exists).unwrap();
        hosts
            .iter()
            .map(|host| host.host.address.to_string())
            .collect()
    };
    assert_eq!(found(&[]), ["localhost:5433"]);
    assert_eq!(
        found(&["/tmp", "/tmp/.s.PGSQL.5433"]),
        ["/tmp/.s.PGSQL.5433"]
    );
    assert_eq!(
        found(&["/run/postgresql/.s.PGSQL.5433", "/tmp/.s.PGSQL.5433"]),
        ["/run/postgresql/.s.PGSQL.5433"]
    );
    // A server that is still to start will make its socket in the directory that waits for it.
    assert_eq!(
        found(&["/tmp", "/run/postgresql", "/run/postgresql/.s.PGSQL.5432"]),
        ["/run/postgresql/.s.PGSQL.5433", "localhost:5433"]
    );
}

#[test]
fn the_user_and_the_database_have_libpqs_defaults() {
    let of = |target: &Target| {
        let config = target.config(&target.hosts[0]);
        (
            config.get_user().unwrap().to_owned(),
            config.get_dbname().unwrap().to_owned(),
        )
    };
    let pair = |user: &str, database: &str| (user.to_owned(), database.to_owned());
    assert_eq!(of(&target("host=a")), pair("os-user", "os-user"));
    assert_eq!(of(&target("postgres://alice@a")), pair("alice", "alice"));
    assert_eq!(
        of(&target("postgres://alice@a/shop")),
        pair("alice", "shop")
    );
    let environment = |name: &str| match name {
        "PGUSER" => Some(String::from("pg-user")),
        "PGDATABASE" => Some(String::from("pg-database")),
        "PGPASSWORD" => Some(String::from("pg-password")),
        "PGAPPNAME" => Some(String::from("pg-app")),
        "PGOPTIONS" => Some(String::from("-c geqo=off")),
        "PGCONNECT_TIMEOUT" => Some(String::from("7")),
        "PGTARGETSESSIONATTRS" => Some(String::from("read-write")),
        other => user_only(other),
    };
    let from_environment = parse("host=a", &environment, None).unwrap();
    assert_eq!(of(&from_environment), pair("pg-user", "pg-database"));
    let config = from_environment.config(&from_environment.hosts[0]);
    assert_eq!(config.get_password(), Some(&b"pg-password"[..]));
    assert_eq!(config.get_application_name(), Some("pg-app"));
    assert_eq!(config.get_options(), Some("-c geqo=off"));
    assert_eq!(
        from_environment.connect_timeout,
        Some(Duration::from_secs(7))
    );
    assert_eq!(
        from_environment.target_session_attrs,
        TargetSessionAttrs::ReadWrite
    );
    let logname = |name: &str| (name == "LOGNAME").then(|| String::from("logged-in"));
    assert_eq!(
        of(&parse("host=a", &logname, None).unwrap()),
        pair("logged-in", "logged-in")
    );
}

#[test]
fn application_names_fall_back() {
    let name = |url: &str| {
        let target = target(url);
        target
            .config(&target.hosts[0])
            .get_application_name()
            .map(str::to_owned)
    };
    assert_eq!(name("host=a").as_deref(), Some("pinion"));
    assert_eq!(
        name("host=a fallback_application_name=b").as_deref(),
        Some("b")
    );
    assert_eq!(
        name("host=a fallback_application_name=b application_name=c").as_deref(),
        Some("c")
    );
}

#[test]
fn timeouts_and_keepalives_are_read() {
    let plain = target("host=a");
    assert_eq!(plain.connect_timeout, None);
    assert!(plain.tcp.keepalives);
    assert_eq!(plain.tcp.keepalives_idle, None);
    let set = target(
        "host=a connect_timeout=3 keepalives=0 keepalives_idle=30 keepalives_interval=5 \
         keepalives_count=4 tcp_user_timeout=1500 load_balance_hosts=random",
    );
    assert_eq!(set.connect_timeout, Some(Duration::from_secs(3)));
    let expected = TcpOptions {
        keepalives: false,
        keepalives_idle: Some(Duration::from_secs(30)),
        keepalives_interval: Some(Duration::from_secs(5)),
        keepalives_count: Some(4),
        user_timeout: Some(Duration::from_millis(1500)),
    };
    assert_eq!(set.tcp, expected);
    assert!(set.load_balance_hosts && !plain.load_balance_hosts);
    assert_eq!(target("host=a connect_timeout=0").connect_timeout, None);
    assert_eq!(target("host=a connect_timeout=-1").connect_timeout, None);
    for wrong in [
        "connect_timeout=x",
        "keepalives=yes",
        "keepalives_idle=1.5",
        "load_balance_hosts=x",
    ] {
        assert!(
            fault(&format!("host=a {wrong}")).contains("must be"),
            "{wrong}"
        );
    }
}

#[test]
fn session_attributes_are_those_of_libpq() {
    for (name, expected) in [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        ("read-only", TargetSessionAttrs::ReadOnly),
        ("primary", TargetSessionAttrs::Primary),
        ("standby", TargetSessionAttrs::Standby),
        ("prefer-standby", TargetSessionAttrs::PreferStandby),
    ] {
        let found = target(&format!("host=a target_session_attrs={name}"));
        assert_eq!(found.target_session_attrs, expected);
    }
    assert!(fault("host=a target_session_attrs=writable").contains("read-write"));
}

#[test]
fn gssapi_is_refused_where_it_is_required() {
    target("host=a gssencmode=prefer");
    assert!(fault("host=a gssencmode=require").contains("GSSAPI"));
}

#[test]
fn files_are_read_where_a_session_may_be_encrypted() {
    let broken = "sslmode=require sslcert=/etc/hostname";
    assert!(
        fault(&format!("host=a {broken}")).starts_with("sslcert /etc/hostname: no certificate")
    );
    target(&format!("host=/run/pg {broken}"));
    target("host=a sslmode=disable sslcert=/etc/hostname");
    // libpq goes on without TLS then.
    for mode in ["allow", "prefer"] {
        let warnings = target(&format!("host=a sslmode={mode} sslcert=/etc/hostname")).warnings;
        assert!(
            warnings[0].starts_with("no TLS to Postgres: sslcert"),
            "{warnings:?}"
        );
    }
    let missing = target("host=a sslmode=require sslrootcert=/none sslcert=/none");
    assert_eq!(missing.warnings.len(), 2, "{:?}", missing.warnings);
    assert!(fault("host=a sslmode=verify-ca sslrootcert=/none").contains("does not exist"));
    assert!(fault("host=a sslmode=verify-full").contains("no home directory"));
}

#[test]
fn a_host_keeps_the_name_that_certificates_are_compared_with() {
    let names = |url: &str| -> Vec<Option<String>> {
        let hosts = target(url).hosts;
        hosts.into_iter().map(|host| host.name).collect()
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(names("host=a,b"), [some("a"), some("b")]);
    assert_eq!(names("host=a hostaddr=10.0.0.1"), [some("a")]);
    assert_eq!(names("hostaddr=10.0.0.1"), [None]);
    assert_eq!(names("host=10.0.0.1"), [some("10.0.0.1")]);
    assert_eq!(names("host=/run/pg"), [None]);
}

#[test]
fn only_utf8_is_spoken() {
    for encoding in ["auto", "UTF8", "utf-8"] {
        target(&format!("host=a client_encoding={encoding}"));
    }
    assert!(fault("host=a client_encoding=LATIN1").contains("UTF8"));
}

#[test]
fn each_host_has_its_own_password_of_the_file() {
    let home = std::env::temp_dir().join(format!("pinion-home-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let file = home.join(".pgpass");
    let text = "a:5432:*:*:for-a\nlocalhost:*:*:*:for-socket\n/run/pg:*:*:*:for-dir\nname:*:*:*:for-name\n";
    std::fs::write(&file, text).unwrap();
    let set_mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&file, permissions).unwrap();
    };
    set_mode(0o600);
    let passwords = |url: &str| -> Vec<Option<String>> {
        let target = parse(url, &user_only, Some(&home)).unwrap();
        let password = |host| target.config(host).get_password().map(<[u8]>::to_vec);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        target
            .hosts
            .iter()
            .map(|host| password(host).map(text))
            .collect()
    };
    let some = |password: &str| Some(password.to_owned());
    assert_eq!(passwords("host=a,b"), [some("for-a"), None]);
    assert_eq!(passwords("host=a port=5433"), [None]);
    assert_eq!(passwords("host=/var/run/postgresql"), [some("for-socket")]);
    assert_eq!(passwords("host=/run/pg"), [some("for-dir")]);
    assert_eq!(passwords("host=name hostaddr=10.0.0.1"), [some("for-name")]);
    assert_eq!(passwords("host=a password=said"), [some("said")]);

    let elsewhere = format!("host=a passfile={}", file.display());
    let named = parse(&elsewhere, &user_only, None).unwrap();
    assert!(named.config(&named.hosts[0]).get_password().is_some());
    assert!(!format!("{named:?} {named}").contains("for-a"));

    set_mode(0o644);
    let open = parse("host=a", &user_only, Some(&home)).unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    assert_eq!(open.config(&open.hosts[0]).get_password(), None);
    assert!(
        open.warnings[0].contains("chmod 600"),
        "{:?}",
        open.warnings
    );
}

#[test]
fn no_password_is_ever_shown() {
    let target = target("postgres://alice:hunter2@a,[::1]:5433,%2Frun%2Fpg/shop");
    assert_eq!(
        target.to_string(),
        "shop as alice at a:5432, [::1]:5433, /run/pg/.s.PGSQL.5432"
    );
    assert!(!format!("{target:?}").contains("hunter2"));
    let bytes = format!("{:?}", b"hunter2");
    assert!(!format!("{target:?}").contains(bytes.trim_matches(['[', ']'])));
}
