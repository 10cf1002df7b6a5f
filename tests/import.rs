//! A federation that was set up by hand moves into a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::commands::{Place, Ran, mk_root};
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
    let documents =
        written(&place).into_iter().filter(|(path, _)| !path.contains("/manifests/") && !path.contains("/not-applied/"));
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
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("meshes/rosa-prod-mesh/mesh.yaml") && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&mesh).unwrap(), "# mine\n");
    assert_eq!(import(&place, &["--force"]).code, Some(1));
    assert_eq!(written(&place), before);
}

#[test]
fn adapting_says_each_value_that_changes() {
    let place = Place::new();
    by_hand(&place);
    let ran = import(&place, &["--adapt", "-o", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let changes: Vec<String> = report["report"]["objects"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|object| object["changes"].as_array().into_iter().flatten().map(move |change| (object, change)))
        .map(|(object, change)| {
            let (object, field) = (object["object"].as_str().unwrap(), change["field"].as_str().unwrap());
            format!("{object} {field}: {} → {}", change["from"], change["to"])
        })
        .collect();
    insta::assert_snapshot!("what_adapting_changes", changes.join("\n"));
    let files = written(&place);
    assert!(files.contains_key("meshes/rosa-prod-mesh/peers/gcp-dev-mesh.yaml"), "{:?}", files.keys());
    assert!(!files.contains_key("meshes/rosa-prod-mesh/manifests/gcp-peer.yaml"), "{:?}", files.keys());
}

#[test]
fn facts_give_back_addresses_and_roots() {
    let place = Place::new();
    by_hand(&place);
    let path = place.path().join("by_hand/rosa/aro-peer.yaml");
    let pem = mk_root();
    let inner = pem.trim().replace('\n', "\n    ");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("{{ARO_MESH_CERT}}", &format!("|\n    {inner}")).replace("<ARO_INGRESS_IP>", "20.71.4.9"))
        .unwrap();
    let ran = import(&place, &["--facts", "facts"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let rendered = place.run(&["render", "--mesh", "rosa-prod-mesh", "repo", "--facts", "facts", "-o", "json"]);
    let list: Value = serde_json::from_str(&rendered.out).unwrap();
    let find = |kind: &str, name: &str| {
        let mut items = list["items"].as_array().unwrap().iter();
        let found = items.find(|item| item["kind"] == kind && item["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}: {}", rendered.err)).clone()
    };
    assert_eq!(find("ServiceMeshPeer", "aro-stg-mesh")["spec"]["remote"]["addresses"], serde_json::json!(["20.71.4.9"]));
    let roots = find("ConfigMap", "aro-stg-mesh-ca-root-cert")["data"]["root-cert.pem"].clone();
    assert_eq!(roots.as_str().unwrap().trim(), pem.trim());
}

#[test]
fn facts_are_written_with_the_rest_or_not_at_all() {
    let place = Place::new();
    by_hand(&place);
    fs::write(place.path().join("facts"), "in the way").unwrap();
    let refused = import(&place, &["--facts", "facts"]);
    assert_eq!(refused.code, Some(3), "{}", refused.err);
    assert!(!place.path().join("repo").exists(), "all or nothing: {}", refused.err);
    fs::remove_file(place.path().join("facts")).unwrap();
    assert_eq!(import(&place, &["--facts", "facts"]).code, Some(1));
    let facts = fs::read_to_string(place.path().join("facts/rosa-prod-mesh.yaml")).unwrap();
    assert!(facts.contains("aro-stg-mesh:") && facts.contains("3.121.10.7"), "{facts}");
    let again = import(&place, &["--facts", "facts"]);
    assert_eq!(again.code, Some(1), "the same again changes nothing: {}", again.err);
    fs::write(place.path().join("facts/rosa-prod-mesh.yaml"), "# mine\n").unwrap();
    let refused = import(&place, &["--facts", "facts"]);
    assert!(refused.code == Some(2) && refused.err.contains("facts/rosa-prod-mesh.yaml"), "{}", refused.err);
}

#[test]
fn a_chart_is_one_finding_and_stops_nothing() {
    let place = Place::new();
    by_hand(&place);
    let write = |path: &str, text: &str| {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("by_hand/chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 0.1.0\n");
    write("by_hand/chart/values.yaml", "mesh: one\n");
    write(
        "by_hand/chart/templates/peer.yaml",
        "kind: ServiceMeshPeer\nmetadata:\n  {{- if .Values.mesh }}\n  name: x\n  {{- end }}\n",
    );
    write("by_hand/of-all.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: openshift-operators}\n");
    let ran = import(&place, &[]);
    let about: Vec<&str> = ran.out.lines().filter(|line| line.contains("by_hand/chart")).collect();
    assert_eq!(about.len(), 2, "{}", ran.out); // where it is, and what to do
    assert!(about[1].contains("helm template by_hand/chart"), "{}", ran.out);
    let before = written(&place);
    assert!(before.contains_key("unassigned/of-all.yaml"), "{:?}", before.keys());
    assert_eq!(import(&place, &[]).code, Some(1), "the same again changes nothing");
    assert_eq!(written(&place), before);
    let check = place.run(&["check", "repo"]);
    assert!(check.out.contains("1 file in unassigned/ that no agent reads: of-all.yaml"), "{}", check.out);
}
