//! What READMEs and guide show is true: their commands are run, and their documents are loaded.
//!
//! In a block marked `console`, each line that begins with `$ ` is a command, and what follows it is what it prints; `…` stands for any text, on a
//! line of its own for any lines. A block's commands succeed, unless it is marked `console exit=1`: then the last one ends with that code. A `yaml` block
//! that begins with a path as a comment is a file of the repository. Blocks marked `sh` need a cluster or a network and are not run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use meshfed::model::{Cache, ContentId, load};

use crate::schemas::files;

const READMES: [&str; 2] = ["README.md", "repo-layout/README.md"];

/// Pages of the guide that show commands, with what has been done in the repository before.
const PAGES: [(&str, &str); 1] = [(
    "docs/keys.md",
    "git init --quiet --initial-branch main && git add --all && git commit --quiet --message Start \
     && meshfed trust keygen ../ada.key && meshfed trust introduce --name ada@example.com --key ../ada.key",
)];

/// A fenced block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    pub language: String,
    line: usize,
    pub text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fenced blocks of a text.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (i, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(language) if !open => {
                open = true;
                found.push(Block { language: language.trim().to_owned(), line: i + 1, text: String::new() });
            }
            Some(_) => open = false,
            None if open => {
                let block = found.last_mut().expect("a block was opened");
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "a fence is not closed");
    found
}

fn read(readme: &str) -> Vec<Block> {
    blocks(&fs::read_to_string(root().join(readme)).unwrap())
}

/// Path and text of a block that is a file of the repository.
fn document(block: &Block) -> Option<(&str, &str)> {
    let path = block.text.lines().next()?.strip_prefix("# ")?;
    (block.language == "yaml" && path.ends_with(".yaml") && !path.contains(' ')).then_some((path, &*block.text))
}

/// Whether `shown`, with `…` for anything, is `printed`.
fn matches(shown: &str, printed: &str) -> bool {
    match shown.split_once('…') {
        None => shown == printed,
        Some((start, rest)) => printed
            .strip_prefix(start)
            .is_some_and(|after| after.char_indices().map(|(i, _)| i).chain([after.len()]).any(|i| matches(rest, &after[i..]))),
    }
}

/// Commands of a `console` block with what each prints.
pub fn commands(text: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command, String::new())),
            (None, Some((_, output))) => {
                output.push_str(line);
                output.push('\n');
            }
            (None, None) => panic!("`{line}` comes before any command"),
        }
    }
    found
}

/// Runs a command in `directory` with nothing of whoever runs the test: output of both kinds, and exit code.
fn run(command: &str, directory: &Path, home: &Path) -> (String, i32) {
    let binary = Path::new(env!("CARGO_BIN_EXE_meshfed")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(binary.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(directory)
        .env_clear()
        .envs([("PATH", path.unwrap())])
        .envs([("HOME", home), ("GIT_CONFIG_NOSYSTEM", Path::new("1"))])
        .envs([("GIT_AUTHOR_NAME", "operator"), ("GIT_AUTHOR_EMAIL", "operator@example.com")])
        .envs([("GIT_COMMITTER_NAME", "operator"), ("GIT_COMMITTER_EMAIL", "operator@example.com")])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap_or(-1))
}

#[test]
fn commands_in_the_documents_do_what_they_show() {
    for (readme, before) in READMES.map(|readme| (readme, "")).into_iter().chain(PAGES) {
        let scratch = tempfile::tempdir().unwrap();
        let repository = scratch.path().join("federation");
        for (path, file) in files(&root().join("repo-layout")) {
            let copy = repository.join(path);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(file, copy).unwrap();
        }
        let (said, code) = run(before, &repository, scratch.path());
        assert_eq!(code, 0, "{readme}: {said}");
        let mut count = 0;
        for block in read(readme) {
            if let Some((path, text)) = document(&block) {
                fs::create_dir_all(repository.join(path).parent().unwrap()).unwrap();
                fs::write(repository.join(path), text).unwrap();
            }
            let Some(mark) = block.language.strip_prefix("console") else { continue };
            let last = mark.trim().strip_prefix("exit=").map_or(0, |code| code.parse().unwrap());
            let all = commands(&block.text);
            for (i, (command, shown)) in all.iter().enumerate() {
                let place = format!("{readme}:{}: $ {command}", block.line);
                assert!(
                    command.starts_with("meshfed ") || command.starts_with("git "),
                    "{place}: not a command that is run here"
                );
                let (printed, code) = run(command, &repository, scratch.path());
                assert_eq!(code, if i + 1 == all.len() { last } else { 0 }, "{place}\n{printed}");
                assert!(matches(shown, &printed), "{place}\nshows:\n{shown}\nprints:\n{printed}");
                count += 1;
            }
        }
        assert!(count > 0, "{readme} shows no command");
    }
}

#[test]
fn documents_in_the_readmes_are_valid() {
    for readme in READMES {
        let mut texts: BTreeMap<String, Vec<u8>> =
            files(&root().join("repo-layout")).into_iter().map(|(path, file)| (path, fs::read(file).unwrap())).collect();
        let blocks = read(readme);
        let documents: Vec<_> = blocks.iter().filter_map(document).collect();
        assert!(!documents.is_empty(), "{readme} shows no document");
        texts.extend(documents.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())));
        let entries = texts.keys().enumerate().map(|(i, path)| {
            let mut id = [0; 20];
            id[..8].copy_from_slice(&(i as u64).to_be_bytes());
            (path.clone(), ContentId(id))
        });
        let (_, found) = load(&entries.collect(), &mut |path, _| Ok(texts[path].clone()), &mut Cache::default());
        assert_eq!(found, [], "{readme}");
    }
}

/// The anchor that Git hosts give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let fixed =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "deploy/README.md", "policies/README.md", "repo-layout/README.md"];
    let guide = files(&root().join("docs")).into_keys().filter(|page| page.ends_with(".md")).map(|page| format!("docs/{page}"));
    for document in fixed.map(ToOwned::to_owned).into_iter().chain(guide) {
        let document = document.as_str();
        let text = fs::read_to_string(root().join(document)).unwrap();
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().unwrap_or_default();
            let (target, part) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") {
                continue;
            }
            let file =
                if target.is_empty() { root().join(document) } else { root().join(document).parent().unwrap().join(target) };
            assert!(file.exists(), "{document} links to {target}, which is not there");
            let headings = |text: &str| text.lines().filter(|line| line.starts_with('#')).map(anchor).collect::<Vec<_>>();
            let there = part.is_empty() || headings(&fs::read_to_string(&file).unwrap()).iter().any(|heading| heading == part);
            assert!(there, "{document} links to {link}, and there is no such heading");
        }
    }
}

#[test]
fn what_a_readme_shows_is_compared_with_wildcards() {
    assert!(matches("a …\n", "a b c\n") && matches("…\nend\n", "x\ny\nend\n") && matches("…\n", "x\n"));
    assert!(!matches("a\n", "b\n") && !matches("a …z\n", "a b\n"));
    let text = "x\n```console exit=1\n$ git a\nout\n$ meshfed b\n```\n";
    let found = blocks(text);
    assert_eq!((found[0].language.as_str(), found[0].line), ("console exit=1", 2));
    assert_eq!(commands(&found[0].text), [("git a", "out\n".to_owned()), ("meshfed b", String::new())]);
}
