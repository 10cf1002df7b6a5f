//! T14: documents made to exhaust whoever reads them. Each ends in a finding, soon, and memory stays flat.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::solo::{federation, mesh_file};
use crate::stage::binary;

/// What one hostile file may add to the memory of an honest run. A file has 4 MiB at most, and is in memory as bytes, as nodes and as text.
const MAX_GROWTH_KIB: u64 = 160 << 10;

/// Without optimisation the parser takes about twenty times as long as in a release, and the machine has other things to do.
const WITHIN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 1 });

/// One run of `meshfed check`.
struct Checked {
    code: Option<i32>,
    out: String,
    peak_kib: u64,
    took: Duration,
}

fn check(repo: &TempDir) -> Checked {
    let out = repo.path().join("out");
    let started = Instant::now();
    let mut child = Command::new(binary())
        .args(["check", "--output", "json", "."])
        .current_dir(repo.path())
        .env_clear()
        .stdout(File::create(&out).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    let code = loop {
        // The highest it has been so far (proc(5), VmHWM); gone with the process.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak_kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0).max(peak_kib);
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    Checked { code, out: fs::read_to_string(out).unwrap(), peak_kib, took: started.elapsed() }
}

fn repo() -> TempDir {
    let repo = TempDir::new().unwrap();
    fs::create_dir_all(repo.path().join("meshes/a/manifests")).unwrap();
    fs::write(repo.path().join("federation.yaml"), federation()).unwrap();
    fs::write(repo.path().join("meshes/a/mesh.yaml"), mesh_file("a", "  members: [apps]\n")).unwrap();
    repo
}

fn repeat(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{}", line(number)); // writing to a String cannot fail
        text
    })
}

fn laughs() -> String {
    let lines = repeat(9, |n| format!("l{}: &l{} [{}]", n + 1, n + 1, vec![format!("*l{n}"); 9].join(",")));
    format!("apiVersion: v1\nkind: ConfigMap\nl0: &l0 [lol,lol,lol]\n{lines}")
}

#[test]
fn t14_a_document_made_to_exhaust_its_reader_is_a_finding_within_the_limits() {
    let honest = check(&repo());
    assert_eq!((honest.code, honest.out.trim()), (Some(0), "[]"));
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: apps}\ndata:\n";
    let key = |n: usize| format!("  k{n}: v");
    // None of these is an object, or else it breaks a limit: so each must end in a finding.
    let hostile = [
        ("billion laughs", laughs()),
        ("a merge of merges", format!("a: &a {{x: 1}}\n{}", repeat(100_000, |_| "b: {<<: *a}".to_owned()))),
        ("nested lists", "[".repeat(1_000_000)),
        ("nested mappings", "{a: ".repeat(500_000)),
        ("nested blocks", repeat(1000, |n| format!("{}a:", " ".repeat(n)))),
        ("nested sequences", "- ".repeat(1_000_000)),
        ("a million keys", format!("{map}{}", repeat(1_000_000, key))),
        ("as many keys as a file has room for", format!("{map}{}", repeat(300_000, key))),
        ("a list of nothing", format!("[{}]", "1,".repeat(2_000_000))),
        ("one key over and over", repeat(1_000_000, |_| "a: 1".into())),
        ("documents of nothing", repeat(800_000, |_| "---".into())),
        ("documents that are no objects", repeat(9_000, |_| "---\na: 1".into())),
        ("anchors", repeat(300_000, |n| format!("- &a{n} x"))),
        ("one long word of base64", format!("a: {}", "LS0tLS1CRUdJTi".repeat(280_000))),
        ("beginnings of keys", format!("a: |\n{}", repeat(80_000, |_| "    -----BEGIN PRIVATE KEY-----".into()))),
        ("keys", format!("{map}  a: |\n{}", repeat(80_000, |_| "    -----BEGIN PRIVATE KEY-----MIIEvQIBADANBgkqhk".into()))),
        ("blanks", format!("a{}", " \n".repeat(2_000_000))),
        ("strings that are YAML that are strings", "\"Config users token ".repeat(100_000)),
        ("a tag", format!("!{} x", "a".repeat(4_000_000))),
        ("quotes", format!("a: \"{}\"", "\\\"".repeat(2_000_000))),
    ];
    // A document of ours is read in the same way: the first few will do.
    for (place, count) in [("manifests/x.yaml", hostile.len()), ("mesh.yaml", 5)] {
        for (name, text) in &hostile[..count] {
            let repo = repo();
            fs::write(repo.path().join("meshes/a").join(place), text).unwrap();
            let Checked { code, out, peak_kib, took } = check(&repo);
            println!("{name} in {place}: {} KiB more, {} ms", peak_kib.saturating_sub(honest.peak_kib), took.as_millis());
            assert_eq!(code, Some(1), "{name}: {out:.500}");
            assert!(out.contains(&format!("meshes/a/{place}")), "{name}: {out:.500}");
            assert!(took < WITHIN, "{name}: {took:?}");
            assert!(peak_kib < honest.peak_kib + MAX_GROWTH_KIB, "{name}: {peak_kib} KiB, {} without", honest.peak_kib);
        }
    }
}

#[test]
fn t14_a_file_of_a_gibibyte_is_refused_by_its_size() {
    let honest = check(&repo());
    let repo = repo();
    File::create(repo.path().join("meshes/a/manifests/huge.yaml")).unwrap().set_len(1 << 30).unwrap();
    let Checked { code, out, peak_kib, took } = check(&repo);
    assert_eq!(code, Some(1));
    assert!(out.contains("1073741824 bytes; files may have 4194304: split it"), "{out}");
    assert!(took < Duration::from_secs(5) && peak_kib < honest.peak_kib + (8 << 10), "{took:?}, {peak_kib} KiB");
}
