//! Federations for tests of what people see.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::decide::{Mode, Phase, RotationStatus};
use crate::view::federation::{CommitView, FederationStatus, MeshView, PeeringView, RootView, ServiceView};

pub const NOW: &str = "2026-11-20T12:00:00Z";

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn mk_root(fingerprint: &str, not_after: &str) -> RootView {
    let fingerprint = format!("{fingerprint}:00:11:22:33:44:55:66:77:A9");
    RootView { fingerprint, not_after: time(not_after), retiring: false, announced: false }
}

pub fn mk_mesh(name: &str, platform: &str, address: &str) -> MeshView {
    MeshView {
        name: name.into(),
        platform: platform.into(),
        agent: Some("0.4.0".into()),
        mode: Mode::Active,
        applied: Some("9f2c1ab000000000000000000000000000000000".into()),
        behind: Some(0),
        published_at: Some(time("2026-11-20T11:58:00Z")),
        silent: false,
        objects: 12,
        ca_roots: vec![mk_root("7C:1E", "2027-09-28T12:00:00Z")],
        rotation: RotationStatus::default(),
        ingress: BTreeMap::from([("peer".into(), vec![address.into()])]),
        holds: vec![],
        suspicions: vec![],
        problems: vec![],
        warnings: vec![],
        conditions: vec![],
    }
}

pub fn mk_peering(peer: &str, why: &str, effective: u32) -> PeeringView {
    let service = ServiceView {
        exporter: peer.into(),
        importer: "rosa-prod-mesh".into(),
        service: "bookinfo/details".into(),
        imported_as: Some("prod-bookinfo/details-v2".into()),
        live: why.is_empty(),
        when: String::new(),
        declared_weight: Some(20),
        effective_weight: Some(effective),
        why: String::new(),
    };
    PeeringView {
        meshes: ["rosa-prod-mesh".into(), peer.into()],
        ready: why.is_empty(),
        declared_by_both: true,
        connected: [Some(why.is_empty()), Some(true)],
        suspended: false,
        why: why.into(),
        services: vec![service],
        conditions: vec![],
    }
}

pub fn mk_status() -> FederationStatus {
    let mut aro = mk_mesh("aro-stg-mesh", "azure", "20.71.4.9");
    let old = RootView { retiring: true, ..mk_root("41:0B", "2026-12-24T12:00:00Z") };
    aro.rotation = RotationStatus {
        phase: Phase::Overlap,
        from: old.fingerprint.clone(),
        to: aro.ca_roots[0].fingerprint.clone(),
        reported: vec!["rosa-prod-mesh".into()],
        missing: vec!["gcp-dev-mesh".into()],
        ..RotationStatus::default()
    };
    aro.ca_roots.push(old);
    let mut gcp = mk_mesh("gcp-dev-mesh", "gcp", "34.91.0.7");
    gcp.applied = Some("e01b77d000000000000000000000000000000000".into());
    gcp.behind = Some(2);
    gcp.published_at = Some(time("2026-11-19T05:00:00Z"));
    gcp.silent = true;
    gcp.ca_roots = vec![mk_root("C0:55", "2026-11-29T12:00:00Z")];
    gcp.ingress.insert("x".into(), vec!["34.91.0.8".into()]);
    let mut newcomer = mk_mesh("newcomer", "other", "");
    newcomer.agent = None;
    newcomer.applied = None;
    newcomer.behind = None;
    newcomer.published_at = None;
    newcomer.ca_roots.clear();
    newcomer.ingress.clear();
    let why = "rosa-prod-mesh: gcp-dev-mesh answers 503 Service Unavailable";
    FederationStatus {
        federation: Some("bookinfo".into()),
        repository: "https://git.example.com/x".into(),
        branch: "main".into(),
        commit: CommitView {
            id: "9f2c1ab000000000000000000000000000000000".into(),
            author: "platform@example.com".into(),
            committed_at: time("2026-11-20T11:56:00Z"),
            verification: "not verified (verification is off)".into(),
            verified: false,
        },
        degraded: true,
        meshes: vec![mk_mesh("rosa-prod-mesh", "aws", "a1b2.elb.example.com"), aro, gcp, newcomer],
        peerings: vec![mk_peering("aro-stg-mesh", "", 20), mk_peering("gcp-dev-mesh", why, 0)],
        attention: vec!["gcp-dev-mesh is 2 commits behind and silent: meshfed doctor --mesh gcp-dev-mesh".into()],
        live: None,
        leader: None,
    }
}

/// As many meshes on a ring, each a peer of the next and of one across; every third peering does not work.
pub fn mk_status_of(meshes: usize) -> FederationStatus {
    let name = |number: usize| format!("mesh-{}-in-region", number % meshes);
    let peering = |number: usize, to: usize| {
        let why = if number.is_multiple_of(3) { "it answers 503" } else { "" };
        let mut peering = mk_peering(&name(to), why, 0);
        peering.meshes[0] = name(number);
        peering
    };
    let pairs = (0..meshes).flat_map(|number| [(number, number + 1), (number, number + meshes / 2)]);
    FederationStatus {
        meshes: (0..meshes).map(|number| mk_mesh(&name(number), "gcp", "192.0.2.7")).collect(),
        peerings: pairs.map(|(a, b)| peering(a, b)).collect(),
        ..mk_status()
    }
}
