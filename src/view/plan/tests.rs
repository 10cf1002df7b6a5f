use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::derive::{Derived, Inputs, Observed, derive};
use crate::model::testing::{Repo, example};
use crate::view::Look;

fn plans(meshes: Vec<Plan>) -> Plans {
    Plans { from: "9f2c1ab".into(), to: "feature/`x` | <b>".into(), meshes }
}

fn mk_plan() -> Plans {
    let planned = |object: &str, action, fields| Planned {
        object: object.into(),
        action,
        source: "meshes/a/traffic/x.yaml".into(),
        line: if action == Action::Change { 5 } else { 0 },
        warnings: if action == Action::Delete { vec!["ends the peering with b".into()] } else { vec![] },
        fields,
    };
    let field = Field {
        path: "spec.http".into(),
        from: Some(json!(20)),
        to: json!(["a", "b".repeat(80)]),
        owners: vec!["kubectl-edit".into()],
        line: 9,
    };
    let changes = vec![
        planned("ConfigMap/a/b-ca-root-cert", Action::Create, vec![]),
        planned("Namespace/n", Action::GiveBack, vec![]),
        planned("ServiceMeshPeer/a/b", Action::Delete, vec![]),
        planned("VirtualService/n/x", Action::Change, vec![field]),
    ];
    let holds = vec![Waiting { subject: "ServiceMeshPeer/a/c".into(), reason: "waits for @c, see [it](x)".into(), stuck: false }];
    let quiet = Plan { mesh: "b".into(), changes: vec![], holds: vec![] };
    plans(vec![Plan { mesh: "a".into(), changes, holds }, quiet])
}

#[test]
fn a_plan_reads_like_one() {
    insta::assert_snapshot!(render(&mk_plan(), Look::default()));
}

#[test]
fn a_plan_fits_into_a_merge_request() {
    insta::assert_snapshot!(markdown(&mk_plan()));
}

/// What a change of the example does in each mesh.
fn change(from: &Repo, to: &Repo) -> String {
    let before = from.load().0;
    let after = kept(to.load().0, &before);
    let derived = |federation: &crate::model::Federation, me: &str| match federation.meshes.get(me) {
        Some(folder) => {
            let observed = Observed::assumed(folder);
            derive(Inputs { federation, me, facts: &BTreeMap::new(), observed: &observed })
        }
        None => Derived::default(),
    };
    let meshes = before.meshes.keys().map(|mesh| {
        let (old, new) = (derived(&before, mesh), derived(&after, mesh));
        let half = |federation: &'_ crate::model::Federation| federation.meshes.get(mesh).cloned();
        let (from, folder) = (half(&before), half(&after));
        let text = |path: &str| to.files.get(path).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let (from, to) = (Half { folder: from.as_ref(), derived: &old }, Half { folder: folder.as_ref(), derived: &new });
        between(mesh, from, to, &after, &text)
    });
    render(&plans(meshes.collect()), Look::default())
}

const TRAFFIC: &str = "meshes/rosa-prod-mesh/traffic/details.yaml";
const MESH: &str = "meshes/rosa-prod-mesh/mesh.yaml";

#[test]
fn what_changes_comes_from_a_line() {
    let repo = example();
    assert_eq!(change(&repo, &repo).lines().last(), Some("0 to add, 0 to change, 0 to delete in 0 meshes; 0 waiting"));
    let manifest = "meshes/rosa-prod-mesh/manifests/details.yaml";
    let moved = repo
        .clone()
        .edit(TRAFFIC, "weight: 60", "weight: 50")
        .edit(TRAFFIC, "details-v3, weight: 20", "details-v3, weight: 30")
        .edit(manifest, "9080", "9081")
        .edit(MESH, "rosa-prod-mesh.local", "rosa.local");
    insta::assert_snapshot!(change(&repo, &moved));
}

#[test]
fn what_ends_is_said_aloud() {
    let repo = example();
    insta::assert_snapshot!(change(
        &repo,
        &repo
            .clone()
            .without("meshes/rosa-prod-mesh/peers/gcp")
            .edit(TRAFFIC, "  - {peer: gcp-dev-mesh, service: prod-bookinfo/details-v3, weight: 20}\n", "")
            .edit(TRAFFIC, "60", "80")
    ));
}

#[test]
fn a_broken_document_deletes_nothing() {
    let repo = example();
    let broken = repo.clone().edit("meshes/rosa-prod-mesh/peers/gcp-dev-mesh.yaml", "spec:", "sepc:");
    let text = change(&repo, &broken);
    assert!(text.contains("0 to add, 0 to change, 0 to delete in 0 meshes; "), "{text}");
    assert!(text.contains("peers/gcp-dev-mesh.yaml has an error; what is there stays"), "{text}");
}
