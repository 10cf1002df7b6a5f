//! How peers reach a mesh: its Mesh says it, or a finding says that none does.

use super::*;

/// Two meshes that peer; the gateway of `one` for the other, and how the other reaches it.
fn mk_pair(service: &str, remote: &str) -> [(&'static str, String); 2] {
    let one = mk_federated("one", "one", "two", &[]).replacen("service: {", &format!("service: {{{service}"), 1);
    let back = mk_peer("one", "two", "one", "two-egress").replace("addresses: [192.0.2.1]", remote);
    let one = format!("{one}---\n{}", mk_peer("two", "one", "two", "one-egress"));
    [("a/m.yaml", one), ("b/m.yaml", format!("{}---\n{back}", mk_federated("two", "two", "one", &[])))]
}

/// What the Mesh `one` says of its ingress.
fn said(imported: &Imported) -> String {
    let text = &imported.files["meshes/one/mesh.yaml"];
    text.split_once("  ingress:\n").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

#[test]
fn mapped_ports_of_a_load_balancer_are_said_with_their_addresses() {
    let remote = "addresses: [192.0.2.9], discoveryPort: 9443, servicePort: 443";
    let mapped = imported(&mk_pair("type: LoadBalancer, ", remote));
    assert_eq!(said(&mapped), "    addresses:\n    - \"192.0.2.9\"\n    discoveryPort: 9443\n    servicePort: 443\n");
    let usual = imported(&mk_pair("type: LoadBalancer, ", "addresses: [192.0.2.9]"));
    assert_eq!((said(&usual), messages(&usual)), (String::new(), Vec::new()));
}

#[test]
fn node_ports_make_a_mesh_of_that_type() {
    let remote = "addresses: [192.0.2.9, 192.0.2.8], discoveryPort: 30188, servicePort: 30443";
    let imported = imported(&mk_pair("type: NodePort, ", remote));
    let expected = "    type: NodePort\n    addresses:\n    - \"192.0.2.8\"\n    - \"192.0.2.9\"\n    discoveryPort: 30188\n    servicePort: 30443\n";
    assert_eq!(said(&imported), expected);
    let (federation, found) = load(&imported.files);
    assert_eq!((found, federation.mesh("one").map(|mesh| mesh.ingress.discovery_port)), (vec![], Some(30188)));
}

#[test]
fn what_peers_say_differently_is_told_at_their_ports() {
    let mut files = mk_pair("", "addresses: [192.0.2.9], discoveryPort: 9443, servicePort: 443").to_vec();
    files[0].1 = files[0].1.replacen(
        "additionalIngress: {",
        "additionalIngress: {three-ingress: {enabled: true, service: {ports: [{port: 15443}, {port: 8188}]}}, ",
        1,
    );
    files[0].1 = [&*files[0].1, "---\n", &mk_peer("three", "one", "three", "one-egress")].concat();
    let back = mk_peer("one", "three", "one", "three-egress");
    files.push(("c/m.yaml", format!("{}---\n{back}", mk_federated("three", "three", "one", &[]))));
    let imported = imported(&files);
    assert_eq!(said(&imported), "");
    let told: Vec<Diagnostic> = imported
        .found
        .into_iter()
        .filter(|finding| finding.message.starts_with("peers reach `one` at different ports"))
        .collect();
    let places: Vec<(&str, usize)> = told.iter().map(|finding| (finding.path.as_str(), finding.also.len())).collect();
    assert_eq!(places, [("b/m.yaml", 1)], "the other one dials what is published: {told:#?}");
    assert!(told[0].message.ends_with("no document says 9443 (discovery) and 443 (services)"), "{}", told[0].message);
}

#[test]
fn what_a_mesh_elsewhere_must_publish_is_told_unless_its_document_says_it() {
    let peer =
        mk_peer("two", "one", "two", "one-egress").replace("[192.0.2.1]", "[192.0.2.1], discoveryPort: 9443, servicePort: 443");
    let texts = BTreeMap::from([("m.yaml".to_owned(), format!("{}---\n{peer}", mk_federated("one", "one", "two", &[])))]);
    let told = |repository: &BTreeMap<String, String>| {
        let found = import(Inputs { texts: &texts, repository, mesh: None, adapt: false }).unwrap().found;
        found.iter().map(ToString::to_string).filter(|told| told.contains("no document says")).collect::<Vec<_>>()
    };
    let found = told(&BTreeMap::new());
    let [only] = found.as_slice() else { panic!("{found:#?}") };
    assert!(only.starts_with("m.yaml:20:51: warning[MF021]: no document says that `two` is reached at 9443"), "{only}");
    let mesh = "apiVersion: meshfed.dev/v1alpha1\nkind: Mesh\nmetadata: {name: two}\nspec:\n  trustDomain: two.local\n  \
                ingress: {discoveryPort: 9443, servicePort: 443}\n";
    assert_eq!(told(&BTreeMap::from([("meshes/two/mesh.yaml".to_owned(), mesh.to_owned())])), Vec::<String>::new());
}

#[test]
fn nodes_whose_addresses_nobody_says_are_told() {
    let [one, _] = mk_pair("type: NodePort, ", "addresses: [192.0.2.9]");
    let found = messages(&imported(&[one]));
    let [only] = found.as_slice() else { panic!("{found:#?}") };
    assert!(only.starts_with("a/m.yaml:8:70:"), "{only}");
    assert!(only.contains("no object says at which addresses peers reach the nodes of `one`"), "{only}");
}
