//! `federation.yaml` and `mesh.yaml`.

use humantime::format_duration;

use super::{Change, Topic, differing, moved, text};
use crate::model::{CaPolicy, Federation, Ingress, Locality, Mesh};
use crate::words::yes_or_no;

/// What a Federation says of all meshes.
pub(super) fn federation(before: &Federation, after: &Federation) -> Vec<Change> {
    if before.is_broken("federation.yaml") || after.is_broken("federation.yaml") {
        return Vec::new();
    }
    let (was, is) = match (&before.name, &after.name) {
        (None, None) => return Vec::new(),
        (None, Some(name)) => return vec![Change::new(Topic::Federation, format!("the federation {name} begins"))],
        (Some(name), None) => return vec![Change::new(Topic::Federation, format!("the federation {name} ends"))],
        (Some(was), Some(is)) => (was, is),
    };
    let percent = |share: u8| format!("{share} %");
    let ranges = |of: &Federation| of.allow_addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let policy = |of: &Federation| of.ca_policy.map(ca_policy).unwrap_or_default();
    let time = |of: &Federation, pick: fn(&crate::model::Gating) -> jiff::SignedDuration| {
        of.gating.as_ref().map(|gating| duration(pick(gating))).unwrap_or_default()
    };
    let settings = [
        moved("name", was, is),
        moved("addresses that may be published", &ranges(before), &ranges(after)),
        moved("CA policy", policy(before), policy(after)),
        moved("peerings that may go at once", &percent(before.guards.peerings), &percent(after.guards.peerings)),
        moved("objects that may go at once", &percent(before.guards.objects), &percent(after.guards.objects)),
        moved("stale after", &time(before, |gating| gating.stale_after), &time(after, |gating| gating.stale_after)),
        moved("weight comes back after", &time(before, |gating| gating.settle), &time(after, |gating| gating.settle)),
    ];
    settings.into_iter().flatten().map(|words| Change::new(Topic::Federation, format!("federation: {words}"))).collect()
}

/// What a Mesh says.
pub(super) fn mesh(name: &str, before: Option<&Mesh>, after: Option<&Mesh>) -> Vec<Change> {
    let (was, is) = match (before, after) {
        (None, None) => return Vec::new(),
        (None, Some(mesh)) => {
            let words = format!("{name} joins (trust domain {}, members {})", *mesh.trust_domain, mesh.members.join(", "));
            return vec![Change::new(Topic::Mesh, words).of(name)];
        }
        (Some(_), None) => return vec![Change::new(Topic::Mesh, format!("{name} leaves")).of(name)],
        (Some(was), Some(is)) => (was, is),
    };
    let mut changes = keys(name, was, is);
    changes.extend(roots(name, was, is));
    let mut say = |topic: Topic, words: Option<String>| {
        changes.extend(words.map(|words| Change::new(topic, format!("{name}: {words}")).of(name)));
    };
    let (joined, left) = differing(&was.members, &is.members);
    joined.iter().for_each(|member| say(Topic::Mesh, Some(format!("new member {member}"))));
    left.iter().for_each(|member| say(Topic::Mesh, Some(format!("{member} is no longer a member"))));
    let place = |mesh: &Mesh| format!("{}/{}", mesh.namespace, mesh.control_plane);
    let base = |mesh: &Mesh| {
        let Some(base) = &mesh.base else { return String::new() };
        format!("{:?}{:?}{:?}", base.labels, base.annotations, base.spec)
    };
    let operators = |mesh: &Mesh| {
        let all = mesh.operators.iter().map(|operator| format!("{} ({})", operator.name, operator.channel));
        all.collect::<Vec<_>>().join(", ")
    };
    for words in [
        moved("trust domain", &was.trust_domain, &is.trust_domain),
        moved("cluster", &text(was.cluster.as_ref()), &text(is.cluster.as_ref())),
        moved("cluster UID", &text(was.cluster_uid.as_ref()), &text(is.cluster_uid.as_ref())),
        moved("control plane", &place(was), &place(is)),
        moved("platform", was.platform.name(), is.platform.name()),
        moved("locality", &locality(was.locality.as_ref()), &locality(is.locality.as_ref())),
        moved("operators", &operators(was), &operators(is)),
        moved("missing namespaces are made", yes_or_no(was.create_namespaces), yes_or_no(is.create_namespaces)),
        (base(was) != base(is)).then(|| "the rest of its control plane (controlPlane.base) changed".to_owned()),
        suspension(was.suspend, is.suspend),
    ] {
        say(Topic::Mesh, words);
    }
    say(Topic::Ca, moved("a replaced CA root stays for", &duration(was.ca.overlap), &duration(is.ca.overlap)));
    for words in ingress(&was.ingress, &is.ingress) {
        say(Topic::Ingress, Some(words));
    }
    changes
}

/// Public keys of the agent.
fn keys(name: &str, was: &Mesh, is: &Mesh) -> Vec<Change> {
    let words = match differing(&was.keys, &is.keys) {
        (new, gone) if new.is_empty() && gone.is_empty() => return Vec::new(),
        (new, gone) if new.is_empty() && is.keys.is_empty() => {
            let key = if gone.len() == 1 { "key" } else { "keys" };
            format!("{key} of {name}'s agent removed: it has none")
        }
        (new, _) if new.is_empty() => format!("a key of {name}'s agent removed"),
        (_, gone) if gone.is_empty() && was.keys.is_empty() => format!("key of {name}'s agent listed"),
        (_, gone) if gone.is_empty() => format!("another key of {name}'s agent listed"),
        _ => format!("key of {name}'s agent replaced"),
    };
    vec![Change::new(Topic::Key, words).of(name)]
}

/// Roots that people declare.
fn roots(name: &str, was: &Mesh, is: &Mesh) -> Vec<Change> {
    let short = |mesh: &'_ Mesh| mesh.ca.roots.iter().map(|root| root.short().to_owned()).collect::<Vec<_>>();
    let (new, gone) = differing(short(was), short(is));
    let new = new.into_iter().map(|root| format!("{name} declares CA root {root}"));
    let gone = gone.into_iter().map(|root| format!("{name} no longer declares CA root {root}"));
    new.chain(gone).map(|words| Change::new(Topic::Ca, words).of(name)).collect()
}

fn ingress(was: &Ingress, is: &Ingress) -> Vec<String> {
    let annotations =
        |of: &Ingress| of.annotations.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
    let service = |of: &Ingress| format!("{:?}", of.service_type);
    let addresses = |of: &Ingress| of.addresses.iter().map(|address| address.value.as_str()).collect::<Vec<_>>().join(", ");
    let ports = |of: &Ingress| format!("{}, {}", of.discovery_port, of.service_port);
    let settings = [
        moved("declared ingress addresses", &addresses(was), &addresses(is)),
        moved("ingress ports", &ports(was), &ports(is)),
        moved("ingress Services", &service(was), &service(is)),
        moved("annotations of ingress Services", &annotations(was), &annotations(is)),
    ];
    settings.into_iter().flatten().collect()
}

/// `suspended`, or `goes on again`.
pub(super) fn suspension(was: bool, is: bool) -> Option<String> {
    (was != is).then(|| if is { "suspended: nothing changes" } else { "no longer suspended" }.to_owned())
}

pub(super) fn locality(locality: Option<&Locality>) -> String {
    let Some(Locality { region, zone, subzone }) = locality else { return String::new() };
    std::iter::once(region).chain(zone).chain(subzone).map(String::as_str).collect::<Vec<_>>().join("/")
}

pub(super) fn ca_policy(policy: CaPolicy) -> &'static str {
    match policy {
        CaPolicy::Follow => "follow",
        CaPolicy::Continuous => "continuous",
        CaPolicy::Pinned => "pinned",
    }
}

fn duration(duration: jiff::SignedDuration) -> String {
    format_duration(duration.unsigned_abs()).to_string()
}
