//! What the operator's admission webhook refuses (maistra/istio-operator, pkg/controller/servicemesh/webhooks/validation).

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};

use super::text;
use super::view::{Kind, View, as_json};

/// Gateways that the control plane has anyway.
const RESERVED: [&str; 2] = ["istio-ingressgateway", "istio-egressgateway"];

/// The control plane versions that operator 2.5 runs.
const VERSIONS: [&str; 4] = ["v2.2", "v2.3", "v2.4", "v2.5"];

/// Why a request of the API server is refused; `None` when it is not.
pub async fn refusal(request: &Value, view: &View) -> Option<String> {
    let namespace = text(request, "/namespace");
    match text(request, "/kind/kind") {
        "ServiceMeshControlPlane" => {
            let mut others = Vec::new();
            if text(request, "/operation") == "CREATE" {
                let list = view.api(Kind::ControlPlane, namespace).list(&ListParams::default()).await;
                others = list.map(|list| list.items).unwrap_or_default();
            }
            control_plane(&request["object"], !others.is_empty())
        }
        "ServiceMeshMember" => {
            if let Some(why) = member(&request["object"], &request["oldObject"]) {
                return Some(why);
            }
            let to = |field: &str| text(&request["object"], &format!("/spec/controlPlaneRef/{field}"));
            let (name, namespace) = (to("name"), to("namespace"));
            let use_ = json!({
                "verb": "use", "group": "maistra.io", "resource": "servicemeshcontrolplanes", "name": name, "namespace": namespace,
            });
            let refused = text(request, "/operation") == "CREATE" && !may(view, &request["userInfo"], &use_).await;
            refused.then(|| format!("user does not have permission to access ServiceMeshControlPlane {namespace}/{name}"))
        }
        "ServiceMeshMemberRoll" => {
            let rolls: Vec<_> = view.all(Kind::MemberRoll).iter().map(|roll| as_json(roll)).collect();
            if let Some(why) = member_roll(&request["object"], namespace, &rolls) {
                return Some(why);
            }
            let old = members(&request["oldObject"]);
            for member in members(&request["object"]).iter().filter(|member| !old.contains(member)) {
                let update = json!({ "verb": "update", "group": "", "resource": "pods", "namespace": member });
                if !may(view, &request["userInfo"], &update).await {
                    return Some(format!("user does not have permission to access namespace {}", text(member, "")));
                }
            }
            None
        }
        _ => None,
    }
}

fn control_plane(object: &Value, another_exists: bool) -> Option<String> {
    if another_exists {
        return Some("only one ServiceMeshControlPlane may exist per namespace".to_owned());
    }
    let version = text(object, "/spec/version");
    if !version.is_empty() && !VERSIONS.contains(&version) {
        return Some(format!("spec.version: invalid version {version}; supported versions are {}", VERSIONS.join(", ")));
    }
    match (text(object, "/spec/mode"), version) {
        ("", _) => {}
        (_, "v2.2" | "v2.3") => return Some(format!("spec.mode: not supported in {version}")),
        ("MultiTenant" | "ClusterWide", _) => {}
        (mode, _) => return Some(format!("spec.mode: {mode} is neither MultiTenant nor ClusterWide")),
    }
    let mut names = BTreeSet::new();
    for field in ["additionalIngress", "additionalEgress"] {
        let gateways = object.pointer(&format!("/spec/gateways/{field}")).and_then(Value::as_object);
        for (name, gateway) in gateways.into_iter().flatten() {
            if RESERVED.contains(&name.as_str()) {
                return Some(format!("spec.gateways.{field}: cannot define additional gateway named {name}"));
            }
            let namespace = match text(gateway, "/namespace") {
                "" => text(object, "/metadata/namespace"),
                given => given,
            };
            if !names.insert((namespace, name)) {
                return Some(format!("spec.gateways.{field}: multiple gateways defined for {namespace}/{name}"));
            }
        }
    }
    None
}

fn member(object: &Value, old: &Value) -> Option<String> {
    if text(object, "/metadata/name") != "default" {
        return Some("ServiceMeshMember must be named \"default\"".to_owned());
    }
    let reference = "/spec/controlPlaneRef";
    let moved = old.is_object() && old.pointer(reference) != object.pointer(reference);
    moved.then(|| "ServiceMeshMember's controlPlaneRef is immutable".to_owned())
}

fn member_roll(object: &Value, namespace: &str, rolls: &[Value]) -> Option<String> {
    if text(object, "/metadata/name") != "default" {
        return Some("ServiceMeshMemberRoll must be named \"default\"".to_owned());
    }
    let selectors = object.pointer("/spec/memberSelectors").and_then(Value::as_array);
    if !members(object).is_empty() && selectors.is_some_and(|selectors| !selectors.is_empty()) {
        return Some("spec: members and memberSelectors cannot both be given".to_owned());
    }
    let mut seen = BTreeSet::new();
    for member in &members(object) {
        let elsewhere = rolls.iter().any(|roll| text(roll, "/metadata/namespace") != namespace && members(roll).contains(member));
        let member = text(member, "");
        let valid =
            !member.is_empty() && member.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let problem = match () {
            () if member == namespace => "the control plane's own namespace cannot be a member",
            () if elsewhere => "is a member of another ServiceMeshMemberRoll",
            () if !valid => "is not a valid namespace name",
            () if !seen.insert(member) => "is listed twice",
            () => continue,
        };
        return Some(format!("spec.members: {member}: {problem}"));
    }
    None
}

fn members(roll: &Value) -> Vec<Value> {
    roll.pointer("/spec/members").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Whether the user who made a request may do something else as well; the API server is asked.
async fn may(view: &View, user: &Value, what: &Value) -> bool {
    let spec = json!({ "user": user["username"], "groups": user["groups"], "uid": user["uid"], "resourceAttributes": what });
    let review = json!({ "metadata": {}, "spec": spec });
    let Ok(review) = serde_json::from_value::<SubjectAccessReview>(review) else { return false };
    let answer = Api::all(view.client().clone()).create(&PostParams::default(), &review).await;
    answer.is_ok_and(|review: SubjectAccessReview| review.status.is_some_and(|status| status.allowed))
}
