//! The lines of the readme.

use std::path::Path;
use std::process::Command;

use crate::dumps::Recorded;
use crate::support::{TempDir, handbook};

#[test]
fn each_line_of_the_readme_does_what_it_says() {
    let place = TempDir::new();
    for (name, listed) in [
        ("histograms", 20_000),
        ("before", 30_000),
        ("after", 49_000),
    ] {
        let routes = ["get_user", "list_products"];
        let mut recorded = Recorded::start(&place.path().join(name), &[0], &routes);
        recorded.core(0, |core| {
            core.totals("get_user", [1000; 100]);
            core.totals("list_products", [listed; 100]);
        });
        recorded.dump(60);
    }
    let readme = handbook::text("README.md");
    let lines = readme
        .lines()
        .filter(|line| line.starts_with("pinion report "));
    let said: Vec<String> = lines.map(|line| run(line, place.path())).collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    assert!(
        said.iter().all(|said| said.contains("get_user")),
        "{said:#?}"
    );
    assert!(place.path().join("p99.html").is_file());
    assert!(said[2].contains("\nAgainst "), "{}", said[2]);
    assert_eq!(said[3].matches("  met ").count(), 2, "{}", said[3]);
}

/// What a line of shell says, in a directory.
fn run(line: &str, directory: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_pinion"));
    let own = program.parent().expect("a directory").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(own).chain(std::env::split_paths(&path));
    let mut command = Command::new("sh");
    command.args(["-ec", line]).current_dir(directory);
    command.env("PATH", std::env::join_paths(path).expect("a path"));
    let output = command.output().expect("sh");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
