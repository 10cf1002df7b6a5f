//! What may lie in the repository at all.

use meshfed::trust::{Id, MAX_FILE_BYTES, Rule};

use super::repository::{Work, id};

#[test]
fn t14_a_huge_file_is_refused_by_its_header() {
    let work = Work::new();
    let bad = work.change(Some("rosa"), "meshes/rosa/manifests/big.yaml", &"#".repeat(MAX_FILE_BYTES + 1));
    let refusal = work.refusal(work.anchor, work.anchor, bad);
    assert_eq!((refusal.rule, refusal.path.as_deref()), (Rule::TooLarge, Some("meshes/rosa/manifests/big.yaml")));
    work.reset(work.anchor);
    let message = "m".repeat(meshfed::trust::MAX_COMMIT_BYTES);
    let file = work.scratch().join("message");
    std::fs::write(&file, message).unwrap();
    let bad = work.signed(Some("rosa"), &["commit", "--quiet", "--allow-empty", "-F", file.to_str().unwrap()], &[]);
    assert_eq!(work.refusal(work.anchor, work.anchor, bad).rule, Rule::TooLarge);
}

/// CVE-2022-24877: a symbolic link that leads out of the repository.
#[test]
fn t15_symbolic_links_are_refused() {
    let work = Work::new();
    std::os::unix::fs::symlink("/etc/passwd", work.path().join("meshes/rosa/peers/aro.yaml")).unwrap();
    let bad = work.commit(Some("rosa"), "Link");
    let refusal = work.refusal(work.anchor, work.anchor, bad);
    assert_eq!((refusal.rule, refusal.path.as_deref()), (Rule::NotRegular, Some("meshes/rosa/peers/aro.yaml")));
    // A folder of another mesh, by a link to it.
    work.reset(work.anchor);
    work.git(&["rm", "--quiet", "-r", "meshes/rosa/peers"]);
    std::os::unix::fs::symlink("../aro/peers", work.path().join("meshes/rosa/peers")).unwrap();
    let bad = work.commit(Some("rosa"), "Link a folder");
    assert_eq!(work.refusal(work.anchor, work.anchor, bad).rule, Rule::NotRegular);
}

/// CVE-2022-31036: files of another repository, brought in by reference.
#[test]
fn t15_submodules_are_refused() {
    let work = Work::new();
    let entry = format!("160000,{},meshes/rosa/sub", work.anchor);
    work.git(&["update-index", "--add", "--cacheinfo", &entry]);
    let bad = work.signed(Some("rosa"), &["commit", "--quiet", "-m", "Submodule"], &[]);
    let refusal = work.refusal(work.anchor, work.anchor, bad);
    assert_eq!((refusal.rule, refusal.path.as_deref()), (Rule::NotRegular, Some("meshes/rosa/sub")));
}

/// CVE-2024-35186: names that lead out of the folder or into Git's own.
#[test]
fn t15_names_that_some_system_reads_differently_are_refused() {
    for name in ["..", ".git", ".GIT", "git~1", ".git ", ".g\u{200c}it", "a\\b", "C:x", "a\nb", "\u{202e}lmay.yaml"] {
        let work = Work::new();
        let bad = work.commit_tree("rosa", with_entry(&work, "100644", name.as_bytes()), work.anchor);
        let refusal = work.refusal(work.anchor, work.anchor, bad);
        assert_eq!(refusal.rule, Rule::BadName, "{name:?}");
        assert!(!refusal.to_string().chars().any(char::is_control), "{refusal}");
    }
    let work = Work::new();
    let bad = work.commit_tree("rosa", with_entry(&work, "100644", b"\xff\xfe"), work.anchor);
    assert_eq!(work.refusal(work.anchor, work.anchor, bad).rule, Rule::BadName);
}

#[test]
fn t15_odd_modes_and_case_twins_are_refused() {
    for (mode, name, rule) in [
        ("100664", "a", Rule::NotRegular),
        ("100600", "a", Rule::NotRegular),
        ("0100644", "a", Rule::NotRegular),
        ("100644", "MESH.yaml", Rule::CaseTwin),
    ] {
        let work = Work::new();
        let bad = work.commit_tree("rosa", with_entry(&work, mode, name.as_bytes()), work.anchor);
        assert_eq!(work.refusal(work.anchor, work.anchor, bad).rule, rule, "{mode} {name}");
    }
    let work = Work::new();
    work.git(&["update-index", "--chmod=+x", "meshes/rosa/mesh.yaml"]);
    work.signed(Some("rosa"), &["commit", "--quiet", "-m", "Executable"], &[]);
    work.assert_verified();
}

/// The anchor's tree with one more entry in `meshes/rosa`, which the work tree could not hold.
fn with_entry(work: &Work, mode: &str, name: &[u8]) -> Id {
    let blob = work.object("blob", b"evil: true\n");
    let mut entries = read_tree(work, "main:meshes/rosa");
    entries.push((mode.to_owned(), name.to_vec(), blob));
    let mut folder = write_tree(work, entries);
    for (parent, name) in [("main:meshes", "rosa"), ("main:", "meshes")] {
        let mut entries = read_tree(work, parent);
        entries.iter_mut().filter(|(_, entry, _)| entry == name.as_bytes()).for_each(|entry| entry.2 = folder);
        folder = write_tree(work, entries);
    }
    folder
}

type Entry = (String, Vec<u8>, Id);

fn read_tree(work: &Work, tree: &str) -> Vec<Entry> {
    let listed = work.git(&["ls-tree", tree]);
    let entry = |line: &str| {
        let (about, name) = line.split_once('\t').unwrap();
        let mut about = about.split(' ');
        let mode = about.next().unwrap().trim_start_matches('0').to_owned();
        (mode, name.as_bytes().to_vec(), id(about.nth(1).unwrap()))
    };
    listed.lines().map(entry).collect()
}

fn write_tree(work: &Work, mut entries: Vec<Entry>) -> Id {
    entries.sort_by_key(|(mode, name, _)| [name.as_slice(), if mode == "40000" { b"/" } else { b"" }].concat());
    let raw: Vec<u8> = entries.iter().flat_map(|(mode, name, id)| [mode.as_bytes(), b" ", name, b"\0", &id.0].concat()).collect();
    work.object("tree", &raw)
}
