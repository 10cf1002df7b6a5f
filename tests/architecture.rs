//! The invariants of ARCHITECTURE.md that can be read off the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::schemas::files;

/// From the ground up. A module may use those of lower layers only; modules of one layer do not know each other.
const LAYERS: [&[&str]; 14] = [
    &["object", "words"],
    &["model"],
    &["facts"],
    &["derive"],
    &["lint"],
    &["import"],
    &["policy", "trust"],
    &["decide"],
    &["changes"],
    &["repo", "cluster", "view"],
    &["error"],
    &["config"],
    &["agent"],
    &["cli"],
];

/// Modules that compute and do nothing else.
const PURE: [&str; 12] =
    ["object", "words", "model", "facts", "derive", "lint", "import", "decide", "trust", "policy", "changes", "view"];

/// What only edges use: I/O, clocks, randomness, threads.
const IMPURE: [&str; 19] = [
    "kube::",
    "git2::",
    "tokio::",
    "notify::",
    "fs::",
    "env::",
    "process::",
    "thread::",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "Timestamp::now",
    "Zoned::now",
    "SystemTime",
    "Instant::now",
    "OsRng",
    "RandomState",
    "io::std",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program's sources without tests and comments: path under `src/` → code.
fn sources() -> BTreeMap<String, String> {
    let is_test = |path: &str| path.split('/').any(|part| ["tests", "tests.rs", "testing.rs"].contains(&part));
    let mut code = BTreeMap::new();
    for (path, file) in files(&root().join("src")) {
        if path.ends_with(".rs") && !is_test(&path) {
            let text = fs::read_to_string(file).unwrap();
            let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            code.insert(path, program.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n"));
        }
    }
    code
}

/// `model` of `model/load.rs` and of `object.rs`.
fn module(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn layer(module: &str) -> usize {
    LAYERS.iter().position(|modules| modules.contains(&module)).unwrap_or_else(|| {
        panic!("src has a module `{module}` that the layers here and in ARCHITECTURE.md do not know: add it to both")
    })
}

/// Whether `word` stands in `code`, not as the end of a longer name.
fn uses(code: &str, word: &str) -> bool {
    let inside_a_name = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| !inside_a_name(&code[..at]))
}

/// Modules named after `crate::`, also in braces.
fn imports(code: &str) -> Vec<String> {
    let first_name =
        |text: &str| text.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => found.push(first_name(rest)),
            Some(list) => {
                let mut depth = 0;
                let own = list.chars().map_while(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    (depth >= 0).then_some(if depth == 0 { c } else { ' ' })
                });
                found.extend(own.collect::<String>().split(',').map(first_name).filter(|name| !name.is_empty()));
            }
        }
    }
    found
}

#[test]
fn imports_point_one_way() {
    for (path, code) in sources() {
        if ["main.rs", "lib.rs"].contains(&path.as_str()) {
            continue;
        }
        for import in imports(&code) {
            let here = module(&path);
            assert!(
                import == here || layer(&import) < layer(here),
                "src/{path} imports crate::{import}, which is not below `{here}`"
            );
        }
    }
}

#[test]
fn imports_are_found_in_every_spelling() {
    let code = "use crate::model::Cidr;\nuse crate::{derive::{Hold, kinds}, facts::Facts};\nlet a = crate::object::X;";
    assert_eq!(imports(code), ["model", "derive", "facts", "object"]);
    assert!(uses("use kube::Client", "kube::") && !uses("mykube::Client", "kube::"));
}

#[test]
fn what_decides_does_no_io_and_reads_no_clock() {
    for (path, code) in sources() {
        if PURE.contains(&module(&path)) {
            let found: Vec<_> = IMPURE.iter().filter(|word| uses(&code, word)).collect();
            assert!(found.is_empty(), "src/{path} uses {found:?}; only the edges and the agent may");
        }
    }
}

#[test]
fn git2_and_kube_have_one_home_each() {
    for (path, code) in sources() {
        for (library, home) in [("git2::", "repo"), ("kube::", "cluster")] {
            assert!(module(&path) == home || !uses(&code, library), "src/{path} uses {library}; it belongs into src/{home}");
        }
    }
}

#[test]
fn unsafe_code_is_in_one_place() {
    let places: Vec<String> = sources().into_iter().filter(|(_, code)| code.contains("unsafe {")).map(|(path, _)| path).collect();
    assert_eq!(places, ["repo/transport.rs"], "libgit2's time limits can be set in no other way; nothing else needs it");
}

#[test]
fn the_lab_shares_no_code_with_the_program() {
    for (path, file) in files(&root().join("tests/lab")) {
        if path.ends_with(".rs") {
            assert!(!uses(&fs::read_to_string(file).unwrap(), "meshfed::"), "tests/lab/{path} uses the program that it tests");
        }
    }
}

#[test]
fn the_code_map_is_the_tree() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let map = text.split("## Code map").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("the code map is a fenced block");
    let shown: Vec<&str> = map.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for path in &shown {
        assert!(root().join(path).exists(), "the code map of ARCHITECTURE.md shows {path}, which is not there");
    }
    for path in sources().keys() {
        let entry = if path.contains('/') { format!("src/{}/", module(path)) } else { format!("src/{path}") };
        assert!(shown.contains(&entry.as_str()), "the code map of ARCHITECTURE.md lacks {entry}");
    }
}

/// What the program must withstand. The test of each begins with its number.
const THREATS: [(&str, &str); 23] = [
    ("t01", "an agent's key is stolen"),
    ("t02", "a credential of the Git host is stolen"),
    ("t03", "the host goes back to an older state"),
    ("t04", "the host shows two histories"),
    ("t05", "the host serves no more news"),
    ("t06", "a new agent is given an old but genuine history"),
    ("t07", "somebody widens their own rights"),
    ("t08", "a bad commit lies under a good tip"),
    ("t09", "a merge brings back an old state"),
    ("t10", "an old CA root is published again"),
    ("t11", "a backdated commit with a revoked key; a revocation taken back"),
    ("t12", "the repository is emptied, a folder renamed, the branch a wrong one"),
    ("t13", "a secret is committed"),
    ("t14", "documents made to exhaust their reader"),
    ("t15", "links, submodules and names that some system reads differently"),
    ("t16", "a corrupt pack, an endless transfer"),
    ("t17", "a flood of webhooks, or forged ones"),
    ("t18", "somebody sits between agent and host"),
    ("t19", "hostile facts"),
    ("t20", "the agent's pod is taken over"),
    ("t21", "a key under two names; a signature made for something else"),
    ("t22", "malformed roots of a peer"),
    ("t23", "two clusters claim one mesh"),
];

#[test]
fn each_threat_has_its_test() {
    let sources = ["src", "tests"].map(|folder| files(&root().join(folder)));
    let sources = sources.iter().flatten().filter(|(path, _)| path.ends_with(".rs"));
    let mut tests = Vec::new();
    for (_, file) in sources {
        let text = fs::read_to_string(file).unwrap();
        let names = text.split("#[test]").skip(1).filter_map(|after| after.trim_start().strip_prefix("fn "));
        tests.extend(names.map(|name| name.split('(').next().unwrap_or_default().to_owned()));
    }
    for (number, threat) in THREATS {
        assert!(tests.iter().any(|test| test.starts_with(&format!("{number}_"))), "no test begins with {number}_: {threat}");
    }
}
