//! Who follows a file of the handbook, block by block.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use pinion::demo::postgres::find_binaries;

use crate::support::handbook::{Block, blocks, matches};
use crate::support::{PATIENCE, Server, wait_until};

/// A file whose blocks are followed in the order of each section.
pub struct Reader {
    path: &'static str,
    /// With what was not followed yet.
    blocks: Vec<Block>,
    /// Names that the file defines, with values of the test.
    names: String,
}

impl Reader {
    /// `names`: what its first block defines, by other values. It has to define all of them and nothing else.
    pub fn of(path: &'static str, names: &[(&str, &str)]) -> Reader {
        Reader::of_blocks(path, blocks(path), names)
    }

    /// The same of a section.
    pub fn of_section(path: &'static str, section: &str, names: &[(&str, &str)]) -> Reader {
        let mut blocks = blocks(path);
        blocks.retain(|block| block.section == section);
        Reader::of_blocks(path, blocks, names)
    }

    fn of_blocks(path: &'static str, mut blocks: Vec<Block>, names: &[(&str, &str)]) -> Reader {
        let first = blocks.remove(0);
        let defined = first.commands.lines().map(|line| line.split_once('='));
        let defined: Vec<&str> = defined.map(|it| it.expect("NAME=VALUE").0).collect();
        let given: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        assert_eq!(defined, given, "the names that {path} defines");
        let lines = names
            .iter()
            .map(|(name, value)| format!("{name}='{value}'\n"));
        Reader {
            path,
            blocks,
            names: lines.collect(),
        }
    }

    /// Follows the next blocks of a section: each has to succeed and to show what the file says, in good time.
    /// What takes systemd is for `tests/packaging`, but for the lines of the log that it is to show.
    pub fn follow(&mut self, server: &mut Server, section: &str, count: usize) {
        for _ in 0..count {
            let next = self.blocks.iter().position(|it| it.section == section);
            let next = next.unwrap_or_else(|| panic!("{section} has no more blocks"));
            let block = self.blocks.remove(next);
            if block.is_of_systemd() {
                has_logged(server, &block);
            } else {
                self.run(&block);
            }
        }
    }

    /// All that is left of a section.
    pub fn follow_all(&mut self, server: &mut Server, section: &str) {
        let of_it = self.blocks.iter().filter(|it| it.section == section);
        let count = of_it.count();
        self.follow(server, section, count);
    }

    fn run(&self, block: &Block) {
        let Block {
            section,
            commands,
            shown,
        } = block;
        println!("{}, {section}:\n{commands}", self.path);
        let start = Instant::now();
        loop {
            let output = self.shell(commands);
            let seen = String::from_utf8_lossy(&output.stdout);
            let is_seen = |pattern: &String| seen.lines().any(|line| matches(pattern, line));
            if output.status.success() && shown.iter().all(is_seen) {
                return println!("{seen}");
            }
            // What a server tells of itself is a second old.
            assert!(
                start.elapsed() < PATIENCE,
                "{}, {section}: to be seen is {shown:#?}, but {} with\n{seen}",
                self.path,
                output.status
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn shell(&self, commands: &str) -> Output {
        let psql = find_binaries(None).expect("a Postgres").psql;
        let program = Path::new(env!("CARGO_BIN_EXE_pinion"));
        let own = [program, &psql].map(|it| it.parent().expect("a directory").to_owned());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = own.into_iter().chain(std::env::split_paths(&path));
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars() {
            if name.starts_with("PINION_") || name.starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
            .args(["-ec", &format!("exec 2>&1\n{}{commands}", self.names)])
            .env("PATH", std::env::join_paths(path).expect("a path"))
            .stdin(Stdio::null());
        command.output().expect("sh")
    }

    /// Nothing was forgotten.
    pub fn has_followed_all(self) {
        let left = self.blocks.iter().map(|it| &it.commands);
        let left: Vec<&String> = left.collect();
        assert!(left.is_empty(), "{}: not run: {left:#?}", self.path);
    }
}

fn has_logged(server: &mut Server, block: &Block) {
    for pattern in &block.shown {
        wait_until(pattern, || {
            let mut lines = server.log().iter();
            lines.any(|line| matches(pattern, line))
        });
    }
}
