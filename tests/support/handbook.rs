//! The commands of the handbook (`docs/`), to be run as they are written.

use std::path::Path;

/// One block of shell, and what is shown right below it.
pub struct Block {
    /// The heading that it is under.
    pub section: String,
    pub commands: String,
    /// Parts of what is seen, a line each; see [`matches`].
    pub shown: Vec<String>,
}

/// A file of the checkout.
pub fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The headings of a file that begin a section.
pub fn sections(path: &str) -> Vec<String> {
    let text = text(path);
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(str::to_owned).collect()
}

/// All blocks marked `sh`, in their order, each with the one marked `text` that follows at once.
pub fn blocks(path: &str) -> Vec<Block> {
    let text = text(path);
    let (mut lines, mut section) = (text.lines(), String::new());
    let mut blocks: Vec<Block> = Vec::new();
    let mut follows = false;
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut section);
        }
        // Within a list it is indented.
        let margin = line.len() - line.trim_start().len();
        let Some(language) = line.trim_start().strip_prefix("```") else {
            follows = false;
            continue;
        };
        let inside = lines.by_ref().take_while(|line| line.trim() != "```");
        let inside: Vec<&str> = inside
            .map(|line| line.get(margin..).unwrap_or(""))
            .collect();
        match (language, blocks.last_mut()) {
            ("text", Some(block)) if follows => {
                block.shown = inside.into_iter().map(str::to_owned).collect();
            }
            ("sh", _) => blocks.push(Block {
                section: section.clone(),
                commands: inside.iter().map(|line| format!("{line}\n")).collect(),
                shown: Vec::new(),
            }),
            _ => {}
        }
        follows = language == "sh";
    }
    blocks
}

impl Block {
    /// Only a host with systemd can run it.
    pub fn is_of_systemd(&self) -> bool {
        ["systemctl", "journalctl"]
            .iter()
            .any(|program| self.commands.contains(program))
    }
}

/// Whether a line has all of a pattern in its order, with anything for each `…`.
pub fn matches(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    pattern.split('…').all(|part| {
        let found = rest.find(part);
        rest = found.map_or("", |at| &rest[at + part.len()..]);
        found.is_some()
    })
}
