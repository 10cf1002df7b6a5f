//! Membership: members and the roll that lists them (maistra/istio-operator, pkg/controller/servicemesh/member and memberroll).

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::text;
use super::view::{Kind, View, is_code};

/// On a roll that the operator has made for the first member: it goes with the last.
const CREATED_BY: &str = "maistra.io/created-by";

/// On a namespace: the control plane that it belongs to.
const MEMBER_OF: &str = "maistra.io/member-of";

/// The only name that members and rolls may have.
const NAME: &str = "default";

/// The members that were put on a roll because of a `ServiceMeshMember`: namespace → namespace of the control plane.
pub type Joined = BTreeMap<String, String>;

/// Brings rolls and statuses in line with members.
pub async fn reconcile(view: &View, joined: &mut Joined, now: &str) -> Result<(), kube::Error> {
    let members = view.all(Kind::Member);
    let wanted: Joined = members
        .iter()
        .filter(|member| member.name_any() == NAME)
        .map(|member| (member.namespace().unwrap_or_default(), text(&member.data, "/spec/controlPlaneRef/namespace").to_owned()))
        .collect();

    let rolls: BTreeSet<String> = wanted.values().chain(joined.values()).cloned().collect();
    for namespace in rolls {
        let coming: BTreeSet<&String> = wanted.iter().filter(|(_, to)| **to == namespace).map(|(member, _)| member).collect();
        let leaving = |member: &String| joined.get(member) == Some(&namespace) && wanted.get(member) != Some(&namespace);
        write_roll(view, &namespace, &coming, leaving).await?;
    }
    joined.clone_from(&wanted);

    for roll in view.all(Kind::MemberRoll) {
        configure(view, &roll, now).await?;
    }
    for member in &members {
        let namespace = member.namespace().unwrap_or_default();
        let roll = view.get(Kind::MemberRoll, text(&member.data, "/spec/controlPlaneRef/namespace"), NAME);
        let configured = roll.is_some_and(|roll| list(&roll, "/status/configuredMembers").contains(&namespace));
        let ready = if configured { ("True", "Reconciled") } else { ("False", "MemberRollNotReconciled") };
        let conditions = super::conditions(member, &[("Reconciled", "True", "Reconciled"), ("Ready", ready.0, ready.1)], now);
        let status = json!({ "observedGeneration": member.metadata.generation.unwrap_or_default(), "conditions": conditions });
        view.set_status(Kind::Member, member, status).await?;
    }
    Ok(())
}

async fn write_roll(
    view: &View,
    namespace: &str,
    coming: &BTreeSet<&String>,
    leaving: impl Fn(&String) -> bool,
) -> Result<(), kube::Error> {
    // No control plane's namespace, no roll: the member waits.
    if view.get(Kind::Namespace, "", namespace).is_none() {
        return Ok(());
    }
    let Some(roll) = view.get(Kind::MemberRoll, namespace, NAME) else {
        if coming.is_empty() {
            return Ok(());
        }
        let resource = Kind::MemberRoll.resource();
        let mut roll = DynamicObject::new(NAME, &resource).within(namespace);
        roll.annotations_mut().insert(CREATED_BY.to_owned(), "servicemeshmember-controller".to_owned());
        roll.data = json!({ "spec": { "members": coming } });
        return match view.api(Kind::MemberRoll, namespace).create(&kube::api::PostParams::default(), &roll).await {
            Err(error) if !is_code(&error, 409) => Err(error),
            _ => Ok(()),
        };
    };
    let mut members = list(&roll, "/spec/members");
    members.retain(|member| !leaving(member));
    for member in coming {
        if !members.contains(member) {
            members.push(String::clone(member));
        }
    }
    if members.is_empty() && roll.annotations().contains_key(CREATED_BY) {
        return view.remove(Kind::MemberRoll, namespace, NAME).await;
    }
    view.merge(Kind::MemberRoll, &roll, &json!({ "spec": { "members": members } })).await
}

/// Writes the status of a roll, and labels the namespaces that are on it.
async fn configure(view: &View, roll: &DynamicObject, now: &str) -> Result<(), kube::Error> {
    let mesh = roll.namespace().unwrap_or_default();
    let mut members: BTreeSet<String> = list(roll, "/spec/members").into_iter().collect();
    let namespaces = view.all(Kind::Namespace);
    let selectors = roll.data.pointer("/spec/memberSelectors").and_then(Value::as_array).cloned().unwrap_or_default();
    for namespace in &namespaces {
        if selectors.iter().any(|selector| super::rules::labels_match(selector, namespace.labels())) {
            members.insert(namespace.name_any());
        }
    }
    let has_control_plane = !view.within(Kind::ControlPlane, &mesh).is_empty();
    let exists = |member: &String| namespaces.iter().any(|namespace| namespace.name_any() == *member);
    let (configured, pending): (BTreeSet<_>, BTreeSet<_>) =
        members.iter().cloned().partition(|member| has_control_plane && exists(member));

    for namespace in &namespaces {
        let label = namespace.labels().get(MEMBER_OF);
        if configured.contains(&namespace.name_any()) {
            view.merge(Kind::Namespace, namespace, &json!({ "metadata": { "labels": { MEMBER_OF: mesh } } })).await?;
        } else if label == Some(&mesh) {
            view.merge(Kind::Namespace, namespace, &json!({ "metadata": { "labels": { MEMBER_OF: null } } })).await?;
        }
    }
    let ready = match (has_control_plane, pending.is_empty()) {
        (false, _) => ("False", "SMCPMissing"),
        (true, true) => ("True", "Configured"),
        (true, false) => ("True", "MembersPending"),
    };
    let statuses = members.iter().map(|member| {
        let state = if configured.contains(member) { ("True", "Reconciled") } else { ("False", "NamespaceNotExists") };
        json!({ "namespace": member, "conditions": [{ "type": "Reconciled", "status": state.0, "reason": state.1 }] })
    });
    let status = json!({
        "observedGeneration": roll.metadata.generation,
        "members": members,
        "configuredMembers": configured,
        "pendingMembers": pending,
        "memberStatuses": statuses.collect::<Vec<_>>(),
        "conditions": super::conditions(roll, &[("Ready", ready.0, ready.1)], now),
    });
    view.set_status(Kind::MemberRoll, roll, status).await
}

fn list(object: &DynamicObject, path: &str) -> Vec<String> {
    let values = object.data.pointer(path).and_then(Value::as_array);
    values.into_iter().flatten().map(|value| text(value, "").to_owned()).collect()
}
