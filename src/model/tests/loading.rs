//! Loading never fails, never stops at the first error, and parses only what changed.

use super::super::testing::{Repo, example, pair, show};
use super::super::yaml::MAX_FILE_BYTES;
use super::super::{Cache, ContentId, MAX_TOTAL_BYTES, load};
use insta::assert_snapshot;

const MANIFESTS: &str = "\
//- meshes/a/manifests/all.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: apps}
---
# a comment
kind: ConfigMap
metadata: {name: two, namespace: apps}

---
---
apiVersion: v1
kind: ConfigMap
metadata: {namespace: apps}
---

apiVersion: v1
kind: Service
metadata: {name: three, namespace: apps}
...
";

fn manifests(repo: &Repo) -> Vec<String> {
    let (federation, _) = repo.load();
    federation.meshes["a"].manifests.iter().map(|m| format!("{} {}", m.object.key, m.span.line)).collect()
}

#[test]
fn the_example_has_no_findings() {
    let federation = example().valid();
    assert_eq!(federation.meshes.len(), 3);
    assert_eq!(federation.name.as_deref(), Some("bookinfo"));
}

#[test]
fn every_file_is_looked_at_whatever_the_others_hold() {
    let repo = pair().with(
        "//- meshes/a/mesh.yaml\nkind: [\n//- meshes/b/peers/a.yaml\nkind: Peer\nmetadata: {name: z}\n//- federation.yaml\n",
    );
    let (federation, found) = repo.load();
    assert_snapshot!(show(&found), @r"
    federation.yaml:1:1: error[MF001]: the file is empty (write the document, or remove the file)
    meshes/a/mesh.yaml:2:7: error[MF001]: a text belongs here
    meshes/b/peers/a.yaml:3:18: error[MF004]: this document is called `z` but its file `a` (call it `a`, or rename the file)
    ");
    assert!(federation.mesh("a").is_none() && federation.mesh("b").is_some() && federation.peer("a", "b").is_some());
    assert!(federation.name.is_none() && federation.peer("b", "a").is_none());
}

#[test]
fn of_a_file_of_manifests_only_the_bad_objects_go_and_lines_count_from_its_start() {
    let repo = pair().with(MANIFESTS);
    let (federation, found) = repo.load();
    assert_snapshot!(show(&found), @r"
    meshes/a/manifests/all.yaml:6:1: error[MF007]: not a Kubernetes object: `apiVersion` is missing or not a string (every object has apiVersion, kind, metadata.name)
    meshes/a/manifests/all.yaml:11:1: error[MF007]: not a Kubernetes object: `metadata.name` is missing or not a string (every object has apiVersion, kind, metadata.name)
    ");
    assert_eq!(manifests(&repo), ["ConfigMap/apps/one 1", "Service/apps/three 16"]);
    assert!(federation.is_broken("meshes/a/manifests/all.yaml"), "what was declared there before stays");
}

#[test]
fn numbers_in_manifests_are_those_that_kubectl_sends() {
    let repo = pair().with(
        "//- meshes/a/manifests/x.yaml\n{apiVersion: v1, kind: X, metadata: {name: x, namespace: apps}, spec: [0644, 1.0, 1e3, 1.5, '0644', -0]}\n",
    );
    let value = repo.valid().meshes["a"].manifests[0].object.value();
    assert_eq!(value["spec"].to_string(), r#"[420,1,1000,1.5,"0644",0]"#);
}

#[test]
fn an_empty_repository_says_what_is_missing() {
    assert_snapshot!(show(&Repo::default().load().1), @"federation.yaml: error[MF013]: the file is missing (every federation has one: {apiVersion: meshfed.dev/v1alpha1, kind: Federation, metadata: {name: …}})");
}

#[test]
fn a_bad_document_takes_nothing_else_away() {
    let whole = example();
    let names = |repo: &Repo| -> Vec<String> {
        let (federation, _) = repo.load();
        let folder = |(name, folder): (&String, &super::super::MeshFolder)| {
            let mut names = vec![name.clone()];
            names.extend(folder.peers.keys().map(|peer| format!("{name}/{peer}")));
            names.extend(folder.traffic.keys().map(|traffic| format!("{name}:{traffic}")));
            names.extend(folder.manifests.iter().map(|m| m.object.key.to_string()));
            if folder.mesh.is_some() { names } else { names[1..].to_vec() }
        };
        federation.meshes.iter().flat_map(folder).collect()
    };
    let all = names(&whole);
    for path in whole.files.keys().filter(|path| path.starts_with("meshes/")) {
        let broken = Repo { files: whole.files.clone() }.with(&format!("//- {path}\nkind: [\n"));
        let left = names(&broken);
        let gone: Vec<&String> = all.iter().filter(|name| !left.contains(name)).collect();
        let objects = if path.contains("manifests") { 3 } else { 1 };
        assert_eq!(gone.len(), objects, "{path} took {gone:?}");
    }
}

#[test]
fn what_has_not_changed_is_not_parsed_again() {
    let repo =
        pair().with("//- meshes/a/manifests/x.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: apps}\n");
    let mut cache = Cache::default();
    let first = show(&repo.load_with(&mut cache).1);
    assert_eq!(cache.parsed(), 6);
    assert_eq!(show(&repo.load_with(&mut cache).1), first);
    assert_eq!(cache.parsed(), 6, "nothing has changed");
    let changed = repo.clone().edit("meshes/b/peers/a.yaml", "{name: a}", "{name: a} # a comment");
    changed.load_with(&mut cache);
    assert_eq!(cache.parsed(), 7, "one file has changed");
    let moved = changed.edit("meshes/a/mesh.yaml", "members", "controlPlane: {namespace: cp}\n  members");
    moved.load_with(&mut cache);
    assert_eq!(cache.parsed(), 9, "manifests carry the set of the control plane's namespace");
}

#[test]
fn a_file_that_could_not_be_read_is_read_again() {
    let repo = pair();
    let mut cache = Cache::default();
    let (_, found) = load(&repo.entries(), &mut |_, _| Err("the disk is full".into()), &mut cache);
    assert_eq!(found.len(), 5);
    assert_snapshot!(found[0], @"federation.yaml: error[MF001]: the disk is full");
    assert_eq!(repo.load_with(&mut cache).1, []);
}

#[test]
fn t14_what_all_documents_together_may_have_is_limited() {
    let repo = pair().with("//- meshes/a/manifests/z.yaml\napiVersion: v1\nkind: X\nmetadata: {name: x, namespace: apps}\n");
    let path = |number: usize| format!("meshes/a/manifests/{number:02}.yaml");
    let fit = MAX_TOTAL_BYTES / MAX_FILE_BYTES;
    let mut entries = repo.entries();
    entries.extend((0..fit + 2).map(|number| (path(number), ContentId([u8::try_from(number).unwrap(); 20]))));
    let large = vec![0xff; MAX_FILE_BYTES - 100]; // not text, which is soon found out
    let mut cache = Cache::default();
    for _ in 0..2 {
        let mut read = |path: &str, _: ContentId| Ok(repo.files.get(path).unwrap_or(&large).clone());
        let (federation, found) = load(&entries, &mut read, &mut cache);
        assert!(federation.mesh("a").is_some() && federation.mesh("b").is_some(), "meshes come first");
        let refused = found.iter().filter(|finding| finding.message.contains("all documents together"));
        assert_eq!(
            refused.map(|finding| finding.path.clone()).collect::<Vec<_>>(),
            [path(fit), path(fit + 1), "meshes/a/manifests/z.yaml".into()]
        );
        assert!(federation.is_broken("meshes/a/manifests/z.yaml"), "what it declared before stays");
    }
}
