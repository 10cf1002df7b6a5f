use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::derive::{Derived, Inputs, Observed, derive};
use crate::model::testing::{Repo, example, pair};
use crate::view::Look;

fn plans(meshes: Vec<Plan>) -> Plans {
    let (errors, settings) = (
        vec!["meshes/a/mesh.yaml:3:1: error[MF020]: no".into()],
        vec!["federation: objects that may go at once: 50 → 10 %".into()],
    );
    Plans { from: "9f2c1ab".into(), to: "feature/`x` | <b>".into(), errors, settings, meshes }
}

fn mk_plan() -> Plans {
    let planned = |object: &str, action, fields| Planned {
        object: object.into(),
        action,
        held: false,
        cause: None,
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
        source: "meshes/a/traffic/x.yaml".into(),
        line: 9,
    };
    let changes = vec![
        planned("ConfigMap/a/b-ca-root-cert", Action::Create, vec![]),
        planned("Namespace/n", Action::GiveBack, vec![]),
        planned("ServiceMeshPeer/a/b", Action::Delete, vec![]),
        planned("VirtualService/n/x", Action::Change, vec![field]),
    ];
    let holds = vec![Waiting { subject: "ServiceMeshPeer/a/c".into(), reason: "waits for @c, see [it](x)".into(), stuck: false }];
    let quiet = Plan { mesh: "b".into(), settings: vec![], changes: vec![], holds: vec![] };
    plans(vec![Plan { mesh: "a".into(), settings: vec!["key of a's agent replaced".into()], changes, holds }, quiet])
}

#[test]
fn a_plan_reads_like_one() {
    insta::assert_snapshot!(render(&mk_plan(), Look::default()));
}

#[test]
fn a_plan_fits_into_a_merge_request() {
    insta::assert_snapshot!(markdown(&mk_plan()));
}

#[test]
fn many_meshes_are_told_in_what_people_read() {
    let quiet = |number: usize| Plan { mesh: format!("quiet-{number}"), settings: vec![], changes: vec![], holds: vec![] };
    let hold = |kind: &str, peer: &str| Waiting {
        subject: format!("{kind}/m/{peer}"),
        reason: format!("waits for the CA root of {peer}"),
        stuck: false,
    };
    let holds = vec![hold("ConfigMap", "a"), hold("ServiceMeshPeer", "a"), hold("ConfigMap", "b")];
    let busy = Plan { mesh: "busy".into(), settings: vec![], changes: vec![], holds };
    let mut all: Vec<Plan> = (0..60).map(quiet).collect();
    all.push(busy);
    let text = render(&plans(all), Look::default());
    assert!(text.contains("\n60 meshes (no change)\n") && !text.contains("quiet-"), "{text}");
    assert!(text.contains("  … ConfigMap/m/a, ServiceMeshPeer/m/a: waits for the CA root of a\n  … ConfigMap/m/b: "), "{text}");

    let object = |number: usize| Planned {
        object: format!("ConfigMap/apps/settings-{number}"),
        action: Action::Create,
        held: false,
        cause: None,
        source: "meshes/m/manifests/settings.yaml".into(),
        line: 1,
        warnings: vec![],
        fields: vec![],
    };
    let large = |number: usize| Plan {
        mesh: format!("m{number}"),
        settings: vec![],
        changes: (0..20).map(object).collect(),
        holds: vec![],
    };
    let comment = markdown(&plans((0..60).map(large).collect()));
    assert!(comment.chars().count() < 65_536, "{}", comment.len());
    assert!(comment.contains("A comment has no room for what changes in ") && comment.contains("`m59`"), "{comment}");
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
        let text = |path: &str| to.files.get(path).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let (from, then) = (Half { federation: &before, derived: &old }, Half { federation: &after, derived: &new });
        let held = held(mesh, from, then);
        between(mesh, from, then, held.as_ref(), &text)
    });
    let meshes = meshes.collect();
    let settings = settings(&before, &after, None);
    let text = render(&Plans { from: "9f2c1ab".into(), to: "feature".into(), errors: vec![], settings, meshes }, Look::default());
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    text
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
fn what_the_agent_did_not_make_is_given_back() {
    let leaves = |repo: Repo, folder: &str| change(&repo, &repo.clone().without(folder));
    let text = leaves(pair(), "meshes/a/");
    assert!(text.contains("< ServiceMeshControlPlane/a/") && !text.contains("takes the control plane away"), "{text}");
    let text = leaves(example(), "meshes/rosa-prod-mesh/");
    assert!(text.contains("< Namespace/prod-bookinfo") && text.contains("- ServiceMeshControlPlane/rosa-prod-mesh/"), "{text}");
}

#[test]
fn a_broken_document_deletes_nothing() {
    let repo = example();
    let broken = repo.clone().edit("meshes/rosa-prod-mesh/peers/gcp-dev-mesh.yaml", "spec:", "sepc:");
    let text = change(&repo, &broken);
    assert!(text.contains("0 to add, 0 to change, 0 to delete in 0 meshes; "), "{text}");
    assert!(text.contains("peers/gcp-dev-mesh.yaml has an error; what is there stays"), "{text}");
}

#[test]
fn what_no_object_shows_is_told_and_places_are_those_of_each_field() {
    let key = crate::trust::testing::public(&crate::trust::testing::key(1));
    let repo = example();
    let to = repo.clone().edit(MESH, "  members:", &format!("  agent: {{keys: [{key}]}}\n  suspend: true\n  members:")).edit(
        "federation.yaml",
        "spec:",
        "spec:\n  guards: {peerings: 10%}",
    );
    insta::assert_snapshot!(change(&repo, &to));
}

#[test]
fn nothing_is_wider_than_the_screen() {
    let mut plans = mk_plan();
    let field = |path: &str, from: &str, to: &str| Field {
        path: path.into(),
        from: Some(json!(from)),
        to: json!(to),
        owners: vec!["somebody-with-a-long-name".into()],
        source: format!("meshes/{}/mesh.yaml", "m".repeat(63)),
        line: 7,
    };
    let change = &mut plans.meshes[0].changes[3];
    change.object = format!("VirtualService/{}/{}", "n".repeat(63), "x".repeat(63));
    change.warnings = vec!["moves all of it ".repeat(20), "w".repeat(200)];
    change.fields = vec![
        field("spec.a", "short", "also short"),
        field("spec.a", &"long".repeat(40), "short"),
        field("spec.a", "short", &"long".repeat(40)),
        field(&format!("spec.{}", "deep.".repeat(17)), "1", "2"),
        field(&format!("spec.{}", "deep.".repeat(40)), &"long".repeat(40), &"other".repeat(40)),
    ];
    for width in [40, 72, 100, 160] {
        let text = render(&plans, Look { width: Some(width), colour: false });
        assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
    }
    insta::assert_snapshot!(render(&plans, Look::default()));
}

#[test]
fn the_kind_of_an_object_stays_readable() {
    let mut plans = mk_plan();
    plans.meshes[0].changes[3].object = format!("VirtualService/{}/{}", "n".repeat(63), "x".repeat(63));
    let text = render(&plans, Look { width: Some(80), colour: false });
    assert!(text.contains("\n  ~ VirtualService/…xxx"), "{text}");
}

#[test]
fn what_belongs_to_a_mesh_without_a_folder_stays_while_a_document_names_it() {
    let repo = example();
    let text = change(&repo, &repo.clone().without("meshes/gcp-dev-mesh"));
    let (gcp, rosa) = text.split_once("\nrosa-prod-mesh (").unwrap();
    let reason = "meshes/rosa-prod-mesh/peers/gcp-dev-mesh.yaml has an error; what is there stays";
    assert!(!rosa.contains("\n  - ") && rosa.contains(reason), "{text}");
    assert!(gcp.contains("(8 deletions held)") && gcp.contains("  held; gone from meshes/gcp-dev-mesh/mesh.yaml"), "{text}");
    let summary = text.lines().last().unwrap();
    assert!(summary.contains(" 0 to delete") && summary.contains(" deletions held, "), "{text}");
}

#[test]
fn a_peering_that_the_other_side_ends_says_so() {
    let repo = example();
    let text = change(&repo, &repo.clone().without("meshes/gcp-dev-mesh/peers/rosa"));
    let cause = "meshes/gcp-dev-mesh/peers/rosa-prod-mesh.yaml is gone, the other half of the peering";
    assert!(text.contains(cause) && !text.contains("gone from meshes/rosa-prod-mesh/peers/gcp-dev-mesh.yaml"), "{text}");
}

#[test]
fn what_the_guard_holds_is_said_once() {
    let repo = example();
    let leaves = |repo: Repo| repo.without("meshes/rosa-prod-mesh/peers/").without(TRAFFIC);
    let text = change(&repo, &leaves(repo.clone()));
    let rosa = text.split("\nrosa-prod-mesh (").nth(1).unwrap().replace("\n    ", " ");
    assert!(
        rosa.contains("! deletions: held until a commit on main has the trailer `Meshfed-Allow-Delete: rosa-prod-mesh`"),
        "{rosa}"
    );
    assert_eq!(rosa.matches("Meshfed-Allow-Delete").count(), 1, "{rosa}");
    assert!(rosa.contains("2 of 2 peerings (aro-stg-mesh, gcp-dev-mesh)"), "{rosa}");
    let all_held = rosa.lines().filter(|line| line.starts_with("  - ")).count() == rosa.matches("held; gone from").count();
    assert!(all_held && text.lines().last().unwrap().contains("deletions held"), "{rosa}");
}
