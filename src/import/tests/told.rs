//! Reasons and findings: each at the object that it is about, in words that name only what is there.

use super::*;

fn reasons(imported: &Imported) -> Vec<(&str, &str)> {
    imported
        .objects
        .iter()
        .filter_map(|object| match &object.fate {
            Fate::Manifest { reason, .. } if !reason.is_empty() => Some((object.name.as_str(), reason.as_str())),
            _ => None,
        })
        .collect()
}

fn mk_rule(name: &str, host: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: apps}}\nspec:\n  host: {host}\n  \
         trafficPolicy: {{outlierDetection: {{interval: 5s}}}}\n"
    )
}

#[test]
fn two_rules_for_a_host_are_told_as_they_were_given() {
    let files = [
        ("m.yaml", mk_mesh("one", Some("one.local"), &["apps"])),
        ("x.yaml", format!("{}---\n{}", mk_rule("x", "x"), mk_rule("x-out", "x.apps.svc.cluster.local"))),
    ];
    let imported = imported(&files);
    let reason = "two DestinationRules are for host apps/x: x.yaml:1 and :8";
    let of_rules: Vec<_> = reasons(&imported).into_iter().filter(|(name, _)| name.starts_with("DestinationRule")).collect();
    assert_eq!(of_rules, [("DestinationRule/apps/x", reason), ("DestinationRule/apps/x-out", reason)]);
    let found = messages(&imported);
    let [only] = found.as_slice() else { panic!("{found:#?}") };
    let expected = "x.yaml:12:9: warning[MF021]: `x.apps.svc.cluster.local` has another DestinationRule in this namespace";
    assert!(only.starts_with(expected), "{only}");
}

#[test]
fn a_rule_beside_one_that_no_document_says_is_told_with_it() {
    let odd = mk_rule("x", "x").replace("trafficPolicy", "exportTo: ['.']\n  trafficPolicy");
    let files = [
        ("m.yaml", mk_mesh("one", Some("one.local"), &["apps"])),
        ("x.yaml", format!("{odd}---\n{}", mk_rule("x-out", "x.apps.svc.cluster.local"))),
    ];
    let imported = imported(&files);
    let reason = reasons(&imported).into_iter().find(|(name, _)| name.ends_with("x-out")).map(|(_, reason)| reason);
    assert_eq!(reason, Some("two DestinationRules are for host apps/x: x.yaml:1 and :9"));
}

#[test]
fn a_set_without_its_peer_says_so() {
    let set = mk_set("ExportedServiceSet", "two", "one", "[]");
    let imported = imported(&[("m.yaml", mk_mesh("one", Some("one.local"), &["apps"])), ("x.yaml", set)]);
    let of_set: Vec<_> = reasons(&imported).into_iter().filter(|(name, _)| name.starts_with("Exported")).collect();
    assert_eq!(of_set, [("ExportedServiceSet/one/two", "there is no ServiceMeshPeer `two` in `one` for it")]);
}

#[test]
fn a_reason_is_that_of_the_object_that_has_it() {
    let rules = "[{type: NameSelector, nameSelector: {namespace: shop, name: x}}]";
    let imports = mk_set("ImportedServiceSet", "two", "one", rules)
        .replace("{importRules", "{locality: {region: r, zones: z}, importRules");
    let exports = mk_set(
        "ExportedServiceSet",
        "two",
        "one",
        "[{type: NameSelector, nameSelector: {namespace: apps, name: y, alais: {name: z}}}]",
    );
    let one = [mk_federated("one", "one", "two", &["apps"]), mk_peer("two", "one", "two", "one-egress"), imports, exports];
    let back = mk_set("ExportedServiceSet", "one", "two", rules);
    let two = [mk_federated("two", "two", "one", &["shop"]), mk_peer("one", "two", "one", "two-egress"), back];
    let imported = imported(&[("a/m.yaml", one.join("---\n")), ("b/m.yaml", two.join("---\n"))]);
    let of = |name: &str| reasons(&imported).into_iter().find(|(object, _)| *object == name).map(|(_, reason)| reason.to_owned());
    assert_eq!(places(&imported, "ServiceMeshPeer/one")[0], "ServiceMeshPeer/one/two meshes/one/peers/two.yaml");
    let (zones, alais) = (of("ImportedServiceSet/one/two").unwrap(), of("ExportedServiceSet/one/two").unwrap());
    assert!(zones.contains("zones") && alais.contains("alais"), "{zones} / {alais}");
    assert!(of("ServiceMeshMemberRoll/one/default").unwrap().contains("makes no roll"));
}

#[test]
fn what_cannot_be_read_is_kept_and_told() {
    let broken = "kind: Service\n\tname: x\n";
    let files = [("m.yaml", mk_mesh("one", Some("one.local"), &["apps"])), ("a/x.yaml", broken.to_owned())];
    let imported = imported(&files);
    let kept: Vec<&Object> = imported.objects.iter().filter(|object| object.name == NO_OBJECT).collect();
    let [Object { path, fate: Fate::NotApplied { path: to, .. }, .. }] = kept.as_slice() else { panic!("{kept:#?}") };
    assert_eq!((path.as_str(), imported.files[to].as_str()), ("a/x.yaml", broken));
    assert_eq!(to, "unassigned/a/x.yaml");
    nothing_changes_again(&files, &imported);
}

#[test]
fn what_cannot_be_read_makes_nothing_else_unreadable() {
    let broken = "kind: Service\n\tname: x\n";
    let files = [
        ("one.yaml", mk_mesh("one", Some("one.local"), &["apps"])),
        ("other.yaml", mk_mesh("other", Some("other.local"), &["apps"])),
        ("x.yaml", format!("{}---\n{broken}", mk_map("apps"))),
    ];
    let imported = imported(&files);
    assert_eq!((&*imported.files["unassigned/x.yaml"], &*imported.files["unassigned/unread/x.yaml"]), (&*mk_map("apps"), broken));
    nothing_changes_again(&files, &imported);
}

fn nothing_changes_again(files: &[(&str, String)], first: &Imported) {
    let texts = files.iter().map(|(path, text)| ((*path).to_owned(), text.clone())).collect();
    let again = import(Inputs { texts: &texts, repository: &first.files, mesh: None, adapt: false }).unwrap();
    assert_eq!((again.files, again.beside), (BTreeMap::new(), Vec::new()));
}
