//! Findings in one document.

use super::{check, check_repo, pair};
use crate::model::Gating;
use crate::model::testing::{Repo, ca_roots};
use insta::assert_snapshot;
use jiff::SignedDuration;

#[test]
fn an_unknown_field_lists_what_is_allowed() {
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  export: []\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:5:3: error[MF001]: unknown field `export` (did you mean `exports`?)");
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  gate: []\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:5:3: error[MF001]: unknown field `gate` (did you mean `gateways`?)");
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b, annotations: {}}\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:3:21: error[MF001]: unknown field `annotations` (there are: name, labels)");
}

#[test]
fn a_key_that_is_said_twice_is_refused() {
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  exports: []\n  exports: []\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:6:3: error[MF001]: `exports` is said twice (remove one of them)");
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    let mesh = |spec: &str| check(&format!("//- meshes/a/mesh.yaml\nkind: Mesh\nmetadata: {{name: a}}\nspec:\n  {spec}\n"));
    assert_snapshot!(mesh("members: apps"), @"meshes/a/mesh.yaml:5:12: error[MF001]: a list belongs here (write `- item` lines or `[item, item]`)");
    assert_snapshot!(mesh("controlPlane: no"), @"meshes/a/mesh.yaml:5:17: error[MF001]: a mapping belongs here (write `key: value` lines)");
    assert_snapshot!(mesh("createNamespaces: yes"), @"meshes/a/mesh.yaml:5:21: error[MF001]: neither `true` nor `false` (write `true`)");
    assert_snapshot!(mesh("suspend: off"), @"meshes/a/mesh.yaml:5:12: error[MF001]: neither `true` nor `false` (write `false`)");
    assert_snapshot!(mesh("suspend: maybe"), @"meshes/a/mesh.yaml:5:12: error[MF001]: neither `true` nor `false`");
    assert_snapshot!(mesh("members: [{a: b}]"), @"meshes/a/mesh.yaml:5:13: error[MF001]: a text belongs here");
    assert_snapshot!(mesh("members: [~]"), @"meshes/a/mesh.yaml:5:13: error[MF001]: a value is missing");
    assert_snapshot!(mesh("suspend: maybe"), @"meshes/a/mesh.yaml:5:12: error[MF001]: neither `true` nor `false`");
    assert_snapshot!(mesh("ingress: {discoveryPort: 70000}"), @"meshes/a/mesh.yaml:5:28: error[MF001]: `70000` is no whole number that can stand here (digits alone, without sign, fraction or unit)");
    assert_snapshot!(mesh("platform: AWS"), @"meshes/a/mesh.yaml:5:13: error[MF001]: unknown value `AWS` (did you mean `aws`?)");
}

#[test]
fn a_document_of_another_kind_or_version_is_refused() {
    let found = check("//- meshes/a/peers/b.yaml\nkind: Mesh\nmetadata: {name: b}\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:2:7: error[MF001]: unknown value `Mesh` (the only one is `Peer`)");
    let found = check("//- meshes/a/peers/b.yaml\napiVersion: v1\nkind: Peer\nmetadata: {name: b}\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:1:13: error[MF001]: unknown value `v1` (the only one is `meshfed.dev/v1alpha1`)");
    let found = check("//- meshes/a/peers/b.yaml\n# no version\nkind: Peer\nmetadata: {name: b}\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:2:1: error[MF001]: `apiVersion` is missing (add `apiVersion: meshfed.dev/v1alpha1`)");
}

#[test]
fn what_is_not_yaml_is_refused_at_its_place() {
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b\nspec: x\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:4:5: error[MF001]: a `{` before this is not closed (add the `}`, or the `,` between two fields)");
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\n\tmetadata: x\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:2:7: error[MF001]: a tab indents this line (YAML is indented with blanks)");
    assert_snapshot!(check("//- meshes/a/peers/b.yaml\n"), @"meshes/a/peers/b.yaml:1:1: error[MF001]: the file is empty (write the document, or remove the file)");
    assert_snapshot!(check("//- meshes/a/peers/b.yaml\n- a\n"), @"meshes/a/peers/b.yaml:1:1: error[MF001]: a mapping belongs here (write `key: value` lines)");
}

#[test]
fn aliases_are_refused_because_they_can_be_bombs() {
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: &x {name: b}\nspec: *x\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:3:14: error[MF001]: YAML aliases (`*name`) are not read (write the value out)");
}

#[test]
fn a_second_document_in_a_file_is_refused() {
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\n---\nkind: Peer\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:5:1: error[MF001]: a second document begins here (one document in each file)");
}

#[test]
fn a_file_that_is_too_large_or_not_text_is_refused() {
    let mut repo = pair();
    repo.files.insert("meshes/a/peers/b.yaml".into(), vec![b'#'; super::super::yaml::MAX_FILE_BYTES + 1]);
    assert_snapshot!(check_repo(&repo), @"meshes/a/peers/b.yaml: error[MF001]: 4194305 bytes; the limit is 4194304 (split the file)");
    repo.files.insert("meshes/a/peers/b.yaml".into(), vec![b'a', 0xff]);
    assert_snapshot!(check_repo(&repo), @"meshes/a/peers/b.yaml: error[MF001]: not UTF-8 text (save it as UTF-8)");
}

#[test]
fn names_follow_kubernetes_and_the_control_plane() {
    let found = check(
        "\
//- meshes/a/mesh.yaml
kind: Mesh
metadata: {name: A}
spec:
  trustDomain: cluster.local
  members: [Apps, a_b, apps, apps, cp]
  controlPlane: {namespace: cp, name: .x}
  operators: [{name: a/b}, {name: ok, namespace: N}, {name: twice}, {name: twice}]
",
    );
    assert_snapshot!(found, @r"
    meshes/a/mesh.yaml:3:18: error[MF003]: `A` is not a DNS label: lower-case letters, digits and `-`, at most 63, a letter or digit at both ends
    meshes/a/mesh.yaml:3:18: error[MF004]: this document is called `A` but its folder `a` (call it `a`, or rename the folder)
    meshes/a/mesh.yaml:5:16: error[MF015]: `cluster.local` is every mesh's default; a federated mesh needs a trust domain of its own
    meshes/a/mesh.yaml:6:13: error[MF003]: `Apps` is not a DNS label: lower-case letters, digits and `-`, at most 63, a letter or digit at both ends
    meshes/a/mesh.yaml:6:19: error[MF003]: `a_b` is not a DNS label: lower-case letters, digits and `-`, at most 63, a letter or digit at both ends
    meshes/a/mesh.yaml:6:30: error[MF006]: member `apps` is listed twice (remove one)
    meshes/a/mesh.yaml:6:36: error[MF007]: `cp` holds the control plane (the control plane's namespace is never a member)
    meshes/a/mesh.yaml:7:39: error[MF003]: `.x` is not a DNS label: lower-case letters, digits and `-`, at most 63, a letter or digit at both ends
    meshes/a/mesh.yaml:8:22: error[MF003]: `a/b` is not an operator's name
    meshes/a/mesh.yaml:8:50: error[MF003]: `N` is not a DNS label: lower-case letters, digits and `-`, at most 63, a letter or digit at both ends
    meshes/a/mesh.yaml:8:76: error[MF006]: operator `twice` is listed twice (remove one)
    ");
}

#[test]
fn a_mesh_needs_a_trust_domain() {
    assert_snapshot!(check("//- meshes/a/mesh.yaml\nkind: Mesh\nmetadata: {name: a}\nspec: {members: [apps]}\n"), @"meshes/a/mesh.yaml:3:18: error[MF015]: `spec.trustDomain` is missing (add `trustDomain: a.local`; it must be the control plane's)");
}

#[test]
fn a_long_mesh_name_is_refused_because_it_becomes_a_label() {
    let long = "m".repeat(56);
    let found = check(&format!("//- meshes/a/peers/{long}.yaml\nkind: Peer\nmetadata: {{name: {long}}}\n"));
    let about_the_name = found.lines().find(|line| line.contains("a mesh name has")).unwrap();
    assert_snapshot!(about_the_name, @"meshes/a/peers/mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm.yaml:3:18: error[MF003]: `mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm` has 56 characters; a mesh name has at most 55, because `network-mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm` becomes a label value");
}

#[test]
fn declared_ca_roots_are_ca_certificates_and_nothing_else() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    let key = KeyPair::generate().unwrap();
    let make = |is_ca| {
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        params.self_signed(&key).unwrap().pem()
    };
    let mesh = |roots: &[String], overlap: &str| {
        let roots = ca_roots(roots);
        format!(
            "//- meshes/a/mesh.yaml\nkind: Mesh\nmetadata: {{name: a}}\nspec:\n  trustDomain: a.example\n  ca:\n    overlap: \
             {overlap}\n{roots}"
        )
    };
    let root = make(IsCa::Ca(BasicConstraints::Unconstrained));
    let repo =
        Repo::new("//- federation.yaml\nkind: Federation\nmetadata: {name: f}\n").with(&mesh(std::slice::from_ref(&root), "36h"));
    let declared = &repo.valid().meshes["a"].mesh.clone().unwrap().ca;
    assert_eq!((declared.roots.len(), declared.overlap), (1, jiff::SignedDuration::from_hours(36)));
    assert!(declared.roots[0].self_issued);
    let bad = [root.clone(), root, make(IsCa::NoCa), key.serialize_pem(), "{{ROOT}}".to_owned()];
    let found = check(&mesh(&bad, "a while"));
    let expected = [
        "`a while` is not a duration (write it like `36h` or `2days`)",
        "is listed twice",
        "is not a CA certificate (basicConstraints CA:TRUE is missing)",
        "error[MF014]: this is a private key",
        "a CA root is unusable: a block is `PRIVATE KEY`, not a CERTIFICATE",
        "`{{ROOT}}` was never filled in",
    ];
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{found}");
    for (line, words) in lines.iter().zip(expected) {
        assert!(line.contains(words), "{words}\n{found}");
    }
}

#[test]
fn addresses_and_node_ports_are_checked() {
    let found = check(
        "\
//- meshes/a/mesh.yaml
kind: Mesh
metadata: {name: a}
spec:
  trustDomain: a.example
  members: [apps]
  ingress:
    type: NodePort
    addresses: ['https://a', '10.0.0.1:8188', \"a\\nb\"]
    servicePort: 15443
",
    );
    assert_snapshot!(found, @r"
    meshes/a/mesh.yaml:8:5: error[MF007]: `type: NodePort` needs `discoveryPort` too (the nodes' addresses, and two ports from 30000 to 32767 that are free on every node)
    meshes/a/mesh.yaml:9:17: error[MF007]: `https://a` is neither an IP address nor a DNS name (write a bare IP address or DNS name)
    meshes/a/mesh.yaml:9:30: error[MF007]: `10.0.0.1:8188` is neither an IP address nor a DNS name (write a bare IP address or DNS name)
    meshes/a/mesh.yaml:9:47: error[MF007]: `a\nb` is neither an IP address nor a DNS name (write a bare IP address or DNS name)
    meshes/a/mesh.yaml:10:18: error[MF007]: `type: NodePort` needs a `servicePort` from 30000 to 32767 (a port that is free on every node)
    ");
    let found = check(
        "\
//- meshes/a/mesh.yaml
kind: Mesh
metadata: {name: a}
spec:
  trustDomain: a.example
  members: [apps]
  ingress: {type: NodePort, addresses: [10.0.0.1], servicePort: 30443, discoveryPort: 30443}
",
    );
    assert_snapshot!(found, @"meshes/a/mesh.yaml:7:65: error[MF006]: port 30443 is both discovery and service port");
}

#[test]
fn a_guard_is_a_share() {
    let federation =
        |guards| format!("//- federation.yaml\nkind: Federation\nmetadata: {{name: test}}\nspec: {{guards: {guards}}}\n");
    assert_snapshot!(
        check(&federation("{peerings: 101%, objects: half}")),
        @r"
    federation.yaml:4:27: error[MF007]: `101%` is not a share (write it like `50%`)
    federation.yaml:4:42: error[MF007]: `half` is not a share (write it like `50%`)
    "
    );
    let (loaded, _) = Repo::new(&federation("{objects: 100%}")).load();
    assert_eq!((loaded.guards.peerings, loaded.guards.objects), (50, 100));
}

#[test]
fn a_range_of_addresses_must_be_one() {
    assert_snapshot!(
        check("//- federation.yaml\nkind: Federation\nmetadata: {name: test}\nspec: {allowAddresses: [10.0.0.0/8, 10.0.0.1]}\n"),
        @"federation.yaml:4:37: error[MF007]: `10.0.0.1` is not a range (write it like `127.0.0.0/8`)"
    );
}

#[test]
fn gating_is_in_lengths_of_time() {
    let gating =
        |spec: &str| format!("//- federation.yaml\nkind: Federation\nmetadata: {{name: test}}\nspec: {{gating: {spec}}}\n");
    let federation = Repo::new(&gating("{staleAfter: 10m}")).load().0;
    let expected = Gating { stale_after: SignedDuration::from_mins(10), ..Gating::default() };
    assert_eq!(federation.gating, Some(expected));
    let found = check(&gating("{settle: soon}"));
    assert!(found.contains("`soon` is not a length of time"), "{found}");
    let broken = Repo::new(&gating("{settle: soon}")).load().0;
    assert_eq!(broken.gating, None, "what cannot be read is not the default");
}

#[test]
fn a_region_is_what_a_label_can_say() {
    let found =
        check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  locality: {region: eu/west, zone: '*'}\n");
    assert_snapshot!(found, @r"
    meshes/a/peers/b.yaml:5:22: error[MF003]: `eu/west` cannot be the value of a label: letters, digits, `-`, `_` and `.`, at most 63, a letter or digit at both ends
    meshes/a/peers/b.yaml:5:37: error[MF003]: `*` cannot be the value of a label: letters, digits, `-`, `_` and `.`, at most 63, a letter or digit at both ends
    ");
}

#[test]
fn a_subzone_needs_a_zone() {
    let found = check("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  locality: {region: r, subzone: s}\n");
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:5:34: error[MF007]: a `subzone` needs a `zone` (add the zone that it lies in)");
}

#[test]
fn one_document_gives_all_its_findings() {
    let found = check(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: c}
spec:
  gateways: {ingress: gate, egress: gate}
  exports:
  - service: details
  - as: apps/x
  - service: apps/one
    aliases: [{service: apps/a, as: apps/b}]
  - {service: apps/two, as: Apps/x}
  - {service: apps/a, selector: {namespace: apps}}
  imports:
  - {service: '*', as: apps/x}
  - {service: a/b/c}
  - {service: shop/x, domainSuffix: svc.cluster.local}
  - {service: shop/y, asLocal: true, domainSuffix: -x}
",
    );
    assert_snapshot!(found, @r"
    meshes/a/peers/b.yaml:3:18: error[MF004]: this document is called `c` but its file `b` (call it `b`, or rename the file)
    meshes/a/peers/b.yaml:5:37: error[MF006]: `gate` is both ingress and egress (give them different names)
    meshes/a/peers/b.yaml:7:14: error[MF003]: `details` is not a service (write `namespace/name`)
    meshes/a/peers/b.yaml:8:9: error[MF007]: an export is either one service or one selector (give `service` (with `as`), or `selector` (with `aliases`))
    meshes/a/peers/b.yaml:10:25: error[MF007]: `aliases` goes with `selector` (use `as` for one service)
    meshes/a/peers/b.yaml:11:29: error[MF003]: `Apps` is not a DNS label: lower-case letters, digits and `-`, at most 63, a letter or digit at both ends (write `namespace/name`)
    meshes/a/peers/b.yaml:12:15: error[MF007]: an export is either one service or one selector (give `service` (with `as`), or `selector` (with `aliases`))
    meshes/a/peers/b.yaml:14:15: error[MF007]: `*` takes neither `as` nor `asLocal` (import the service by name)
    meshes/a/peers/b.yaml:15:15: error[MF003]: `a/b/c` is not a service (write `namespace/name`)
    meshes/a/peers/b.yaml:16:37: error[MF007]: `svc.cluster.local` is not allowed as a suffix (use `asLocal: true`)
    meshes/a/peers/b.yaml:17:15: error[MF010]: `shop/y` is in a namespace that is no member of `a` (`asLocal` joins a Service of this mesh)
    meshes/a/peers/b.yaml:17:52: error[MF003]: `-x` is not a DNS name
    meshes/a/peers/b.yaml:17:52: error[MF007]: `asLocal` takes no `domainSuffix` (remove one)
    ");
}

#[test]
fn a_peer_is_somebody_else() {
    assert_snapshot!(check("//- meshes/a/peers/a.yaml\nkind: Peer\nmetadata: {name: a}\n"), @"meshes/a/peers/a.yaml:3:18: error[MF007]: a mesh cannot be its own peer (remove the file)");
}

#[test]
fn tcp_ports_are_ports() {
    let found = check(
        "//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  imports: [{service: '*', tcpPorts: [0, 80, 80]}]\n",
    );
    assert_snapshot!(found, @r"
    meshes/a/peers/b.yaml:5:39: error[MF007]: 0 is no port (1 to 65535)
    meshes/a/peers/b.yaml:5:46: error[MF006]: port 80 is listed twice (remove one)
    ");
}
