//! A federation that was set up by hand moves into a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::commands::{Place, Ran};
use crate::schemas::files;

/// The example of three meshes with the mistakes that people make, copied to `by_hand/`.
fn by_hand(place: &Place) {
    for (path, file) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/by_hand")) {
        let to = place.path().join("by_hand").join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
}

fn import(place: &Place, arguments: &[&str]) -> Ran {
    place.run(&[&["import", "by_hand", "--repo", "repo"], arguments].concat())
}

/// Files of the repository that was written.
fn written(place: &Place) -> BTreeMap<String, String> {
    let read = |(path, file)| (path, fs::read_to_string(file).unwrap());
    files(&place.path().join("repo")).into_iter().map(read).collect()
}

#[test]
fn an_import_reads_like_this() {
    let place = Place::new();
    by_hand(&place);
    let ran = import(&place, &[]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.out);
    insta::assert_snapshot!("an_import_says_what_to_do", ran.err);
    let report = ran.out.lines().skip_while(|line| !line.contains("documents that say the same"));
    assert!(report.chain(ran.err.lines()).all(|line| line.chars().count() <= 100), "{}{}", ran.out, ran.err);
    let documents = written(&place).into_iter().filter(|(path, _)| !path.contains("/manifests/"));
    let text: String = documents.flat_map(|(path, text)| [format!("//- {path}\n"), text]).collect();
    insta::assert_snapshot!("documents_of_an_import", text);
}

#[test]
fn each_mistake_is_told_where_it_is() {
    let place = Place::new();
    by_hand(&place);
    let ran = import(&place, &["--dry-run", "-o", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let found: Vec<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| format!("{}:{} {}", found["path"].as_str().unwrap(), found["line"], found["code"].as_str().unwrap()))
        .collect();
    // The text of the line that each is about.
    let expected = [
        ("aro/peer.yaml", "3.121.10.7", "MF021"),
        ("gcp/exports.yaml", "      alias:\n        namespace: prod-bookinfo\n        name: ratings", "MF019"),
        ("rosa/aro-peer.yaml", "{{ARO_MESH_CERT}}", "MF001"),
        ("rosa/aro-peer.yaml", "<ARO_INGRESS_IP>", "MF021"),
        ("rosa/gcp-peer.yaml", "clientID: rosa-prod-mesh", "MF021"),
        ("rosa/gcp-peer.yaml", "elb.us-east-1", "MF021"),
        ("rosa/gcp-peer.yaml", "name: detail-v3", "MF021"),
        ("rosa/smcp.yaml", "- aro-network", "MF021"),
        ("rosa/traffic.yaml", "details-v3.prod-bookinfo.svc.gcp", "MF021"),
    ];
    for (path, text, code) in expected {
        let whole = fs::read_to_string(place.path().join("by_hand").join(path)).unwrap();
        let at = whole.find(text).unwrap_or_else(|| panic!("{path} has no {text}"));
        let line = whole[..at].matches('\n').count() + 1;
        assert!(found.contains(&format!("by_hand/{path}:{line} {code}")), "{path}:{line} {code}: {found:#?}");
    }
    assert!(found.contains(&"by_hand/rosa/traffic.yaml:42 MF006".to_owned()), "three of one name: {found:#?}");
    assert!(!place.path().join("repo").exists(), "a dry run writes nothing");
}

#[test]
fn nothing_is_replaced_without_consent() {
    let place = Place::new();
    by_hand(&place);
    let first = import(&place, &[]);
    assert_eq!(first.code, Some(1), "{}", first.err);
    let before = written(&place);
    assert_eq!(import(&place, &[]).code, Some(1), "the same again changes nothing");
    let mesh = place.path().join("repo/meshes/rosa-prod-mesh/mesh.yaml");
    fs::write(&mesh, "# mine\n").unwrap();
    let refused = import(&place, &[]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.err.contains("meshes/rosa-prod-mesh/mesh.yaml") && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&mesh).unwrap(), "# mine\n");
    assert_eq!(import(&place, &["--force"]).code, Some(1));
    assert_eq!(written(&place), before);
}
