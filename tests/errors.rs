//! Each number of a finding has a page, and the example on it gives exactly that number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meshfed::model::Code;
use serde_json::Value;
use tempfile::TempDir;

use crate::docs::{Block, blocks, commands};
use crate::lab::git_store::{GitStore, git, run};

/// The beginning of the list, with the federation that the examples change.
const INTRODUCTION: &str = "\
# Findings

Each kind of finding has a number, which is never given to another. `meshfed check --explain MF009` prints a page of these.

The examples change this federation of two meshes:

```yaml
# federation.yaml
apiVersion: meshfed.dev/v1alpha1
kind: Federation
metadata: {name: example}
```
```yaml
# meshes/a/mesh.yaml
apiVersion: meshfed.dev/v1alpha1
kind: Mesh
metadata: {name: a}
spec: {trustDomain: a.example, members: [apps]}
```
```yaml
# meshes/a/peers/b.yaml
apiVersion: meshfed.dev/v1alpha1
kind: Peer
metadata: {name: b}
```
```yaml
# meshes/b/mesh.yaml
apiVersion: meshfed.dev/v1alpha1
kind: Mesh
metadata: {name: b}
spec: {trustDomain: b.example, members: [shop]}
```
```yaml
# meshes/b/peers/a.yaml
apiVersion: meshfed.dev/v1alpha1
kind: Peer
metadata: {name: a}
```

";

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors")
}

fn list() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("| number | what is found |\n|---|---|\n");
    for code in Code::ALL {
        let _ = writeln!(text, "| [{0}]({0}.md) | {1} |", code.number(), code.title());
    }
    text
}

#[test]
fn the_list_of_findings_is_up_to_date() {
    let path = pages().join("README.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(&path, list()).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, list(), "docs/errors/README.md is stale: run this test with INSTA_UPDATE=always");
    let pages: BTreeSet<String> =
        fs::read_dir(pages()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let known = Code::ALL.iter().map(|code| format!("{}.md", code.number())).chain(["README.md".to_owned()]).collect();
    assert_eq!(pages, known);
}

/// A repository with these documents: files of `main`, and files of published branches where the path is `published/<mesh>: <file>`.
struct Repository {
    dir: TempDir,
    store: GitStore,
    /// A clone, where the example has commands, and what it checks in the end.
    clone: Option<String>,
}

impl Repository {
    fn new(blocks: &[Block]) -> Self {
        let (mut main, mut published, mut script) = (BTreeMap::new(), Vec::new(), Vec::new());
        for block in blocks {
            if block.language == "console" {
                script.extend(commands(&block.text).into_iter().map(|(command, _)| command));
                continue;
            }
            let (first, text) = block.text.split_once('\n').expect("a file has a path and a text");
            let path = first.strip_prefix("# ").expect("the first line of a file is its path");
            match path.split_once(": ") {
                Some((branch, file)) => published.push((branch, file, text)),
                None => _ = main.insert(path, text),
            }
        }
        main.entry("README.md").or_insert("A federation.\n");
        let dir = TempDir::new().unwrap();
        let store = GitStore::create(dir.path());
        store.commit("the example", &main.iter().map(|(path, text)| (*path, Some(*text))).collect::<Vec<_>>());
        for (branch, file, text) in published {
            store.commit_on(branch, "facts", &[(file, Some(text))]);
        }
        let mut repository = Self { dir, store, clone: None };
        repository.play(&script);
        repository
    }

    /// Runs the commands of an example in a clone, all but what it checks in the end.
    fn play(&mut self, script: &[&str]) {
        if script.is_empty() {
            return;
        }
        run(git(self.dir.path()).args(["clone", "--quiet"]).arg(self.store.path()).arg(self.dir.path().join("clone")));
        let (last, before) = script.split_last().unwrap();
        let checks = last.starts_with("meshfed check");
        for command in if checks { before } else { script } {
            let output = self.shell(command);
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.shell("git switch --quiet main");
        let check = if checks { last } else { "meshfed check" };
        self.clone = Some(check.to_owned());
    }

    /// A person's shell in the clone.
    fn shell(&self, command: &str) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_meshfed")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(binary).chain(std::env::split_paths(&path))).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.dir.path().join("clone"));
        shell.env_clear().env("PATH", path).env("HOME", self.dir.path()).env("GIT_CONFIG_SYSTEM", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
        }
        shell.output().unwrap()
    }

    fn check(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let output = match &self.clone {
            Some(check) => self.shell(&format!("{check} {}", arguments.join(" "))),
            None => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_meshfed"));
                command.args(["check", "--repo", &self.store.file_url()]).args(arguments);
                command.env_clear().env("HOME", self.dir.path()).output().unwrap()
            }
        };
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }

    /// The numbers that are found.
    fn codes(&self) -> BTreeSet<String> {
        let (out, _) = self.check(&["-o", "json"]);
        let found: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        found.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn each_example_gives_the_number_of_its_page() {
    let base = blocks(INTRODUCTION);
    assert_eq!(Repository::new(&base).codes(), BTreeSet::new(), "the examples change a federation without findings");
    let found = |code: &Code| Repository::new(&[base.clone(), blocks(code.page())].concat()).codes();
    let expected: Vec<_> = Code::ALL.iter().map(|code| BTreeSet::from([code.number().to_owned()])).collect();
    assert_eq!(Code::ALL.iter().map(found).collect::<Vec<_>>(), expected);
}

#[test]
fn each_page_says_what_it_means_why_and_how_to_mend_it() {
    for code in Code::ALL {
        let headings: Vec<&str> = code.page().lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, ["Example", "Why", "How to mend it"], "{}", code.number());
        let printed = Command::new(env!("CARGO_BIN_EXE_meshfed")).args(["check", "--explain", code.number()]).output().unwrap();
        assert_eq!((printed.status.code(), &*printed.stdout), (Some(0), code.page().as_bytes()));
    }
    let unknown = Command::new(env!("CARGO_BIN_EXE_meshfed")).args(["check", "--explain", "MF999"]).output().unwrap();
    let words = String::from_utf8(unknown.stderr).unwrap();
    assert!(unknown.status.code() == Some(2) && words.contains("MF009 an import that the peer does not export"), "{words}");
}

#[test]
fn a_finding_in_each_format() {
    let example = [blocks(INTRODUCTION), blocks(Code::NotExported.page())].concat();
    let repository = Repository::new(&example);
    let formats = ["text", "json", "github"].map(|format| repository.check(&["-o", format]).0);
    insta::assert_snapshot!(formats.join("\n"));
    let (sarif, code) = repository.check(&["-o", "sarif"]);
    let log: Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!((&log["version"], &log["runs"][0]["results"][0]["ruleId"]), (&"2.1.0".into(), &"MF009".into()));
    assert_eq!(code, Some(0), "a warning is no error");
}
