//! What an observation means: the rules of the checks.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Check;
use crate::decide::{FRESHNESS, Mode};
use crate::object::Kind;
use crate::view::federation::{MeshView, PeeringView};
use crate::view::status::age;
use crate::words::{count, one_line, some};

/// How far our clock may be from another one. A control plane tells every minute that it has synchronised, and counts as silent after three:
/// half a minute leaves that judgement right. The time in an HTTP answer is in whole seconds and some of them old.
pub const CLOCK_LIMIT: SignedDuration = SignedDuration::from_secs(30);

/// Oldest control plane that federates (OSSM 2.1), as its minor version.
const OLDEST_MINOR: u32 = 1;

/// Most fields or verbs named in one line.
const NAMED: usize = 4;

/// Our clock, which is so far ahead of another one.
pub fn clock(name: &str, whose: &str, off: SignedDuration) -> Check {
    let seconds = off.as_secs().abs();
    if off.abs() <= CLOCK_LIMIT {
        return Check::ok(name, format!("within {} s of {whose}", seconds.max(1)));
    }
    let side = if off.is_negative() { "behind" } else { "ahead of" };
    Check::failure(
        name,
        format!("our clock is {seconds} s {side} {whose}; {} s are allowed", CLOCK_LIMIT.as_secs()),
        "let both machines follow the same time (NTP): how fresh a control plane's word is, and whether a certificate is valid, is judged by it",
    )
}

/// Our clock and the newest commit, which nobody can have made later than now.
pub fn future(name: &str, now: Timestamp, newest: Timestamp) -> Check {
    let ahead = newest.duration_since(now);
    if ahead <= CLOCK_LIMIT {
        return Check::ok(name, "no commit is of the future");
    }
    Check::warning(
        name,
        format!("the newest commit was made {} s from now by its author's clock", ahead.as_secs()),
        "let this machine and those where people and agents commit follow the same time (NTP)",
    )
}

/// What the agent of the mesh last said.
pub fn agent(mesh: &MeshView, now: Timestamp) -> Check {
    let name = "agent";
    let logs = "see why: kubectl -n meshfed logs deployment/meshfed";
    let (Some(version), Some(at)) = (&mesh.agent, mesh.published_at) else {
        let hint = format!("start it: meshfed agent --mesh {}; where it runs and may not push, {logs}", mesh.name);
        return Check::failure(name, format!("it never published to published/{}", mesh.name), hint);
    };
    let behind = match mesh.behind {
        Some(0) => "at the tip".to_owned(),
        Some(behind) => format!("{} behind", count(behind, "commit")),
        None if mesh.applied.is_none() => "nothing applied yet".to_owned(),
        None => "at a commit that is not on this branch".to_owned(),
    };
    let said = format!("v{version}, {behind}, last word {} ago", age(now, at));
    if mesh.silent {
        return Check::failure(name, format!("{said}; one that works says something each {} h", FRESHNESS.as_hours()), logs);
    }
    if let Some(line) = mesh.suspicions.iter().chain(&mesh.problems).next() {
        let more = mesh.suspicions.len() + mesh.problems.len() + mesh.holds.len() - 1;
        let more = if more > 0 { format!(" (and {more} more: meshfed status --mesh {})", mesh.name) } else { String::new() };
        return Check::failure(name, format!("{said}: {}{more}", one_line(line)), "mend what it names");
    }
    if let Some(line) = mesh.warnings.first() {
        return Check::warning(name, format!("{said}: {}", one_line(line)), "mend what it names");
    }
    match mesh.mode {
        Mode::Suspended => return Check::warning(name, format!("{said}; suspended by mesh.yaml"), "take `suspend` out"),
        Mode::Observing => return Check::warning(name, format!("{said}; it only observes"), "start it without --observe"),
        Mode::Leaving | Mode::Left => {
            return Check::warning(
                name,
                format!("{said}; it leaves the mesh"),
                "commit the mesh's folder again if that is wrong",
            );
        }
        Mode::Active => {}
    }
    if mesh.is_late() {
        return Check::warning(name, said, logs);
    }
    if let Some(hold) = mesh.holds.first() {
        let held = format!(
            "{said}; {} {}: {}",
            mesh.holds.len(),
            if mesh.holds.len() == 1 { "thing waits" } else { "things wait" },
            one_line(hold)
        );
        return Check::warning(name, held, format!("see all: meshfed status --mesh {} -o wide", mesh.name));
    }
    Check::ok(name, said)
}

/// One peering, as the agents tell it.
pub fn peering(peering: &PeeringView, peer: &str) -> Check {
    let name = format!("peering with {peer}");
    if peering.suspended {
        return Check::warning(&name, "suspended", "take `suspend` out of the Peer or Mesh document");
    }
    if peering.ready {
        return Check::ok(&name, "ready on both sides");
    }
    let hint = HINTS.iter().find(|(words, _)| peering.why.contains(words)).map_or("", |(_, hint)| *hint);
    Check::failure(&name, one_line(&peering.why), hint)
}

/// What a control plane's answer to a watch means (maistra/istio pkg/servicemesh/federation; `lastDisconnectStatus`), and other causes.
const HINTS: [(&str, &str); 7] = [
    (
        "answers 403",
        "that side does not take us for who we are: its ServiceMeshPeer must have our egress gateway's clientID; is its agent up to date?",
    ),
    (
        "answers 400",
        "that side has no ServiceMeshPeer for us, or its istiod hangs after one was deleted: see its agent, then restart istiod",
    ),
    ("answers 404", "the egress route is not there yet: it comes within a minute, or istiod of this mesh has to be restarted"),
    (
        "answers 503",
        "the peer cannot be reached from the egress gateway, or one side does not trust the other's CA: see the checks of its ingress below",
    ),
    ("no such host", "the Service of our own egress gateway is missing: see ServiceMeshControlPlane and its operator"),
    ("connection refused", "our own egress gateway does not listen on 8188: see its Deployment"),
    ("does not declare", "the other team has to commit its half: meshfed peer"),
];

/// A kind as the cluster defines it: `schema` is its OpenAPI v3 document, `None` where the kind is not served.
pub fn definition(kind: &Kind, used: &[&str], schema: Option<&Value>) -> Check {
    let name = format!("kind {}", kind.kind);
    let from = match &*kind.group {
        "maistra.io" | "federation.maistra.io" => "install the OpenShift Service Mesh operator (2.1 or later)",
        "operators.coreos.com" => "install the Operator Lifecycle Manager",
        _ => "install what defines it",
    };
    let Some(schema) = schema else {
        return Check::failure(&name, format!("{} is not served", kind.api_version()), from);
    };
    let missing: Vec<&str> = used.iter().copied().filter(|path| !has(schema, path)).collect();
    if missing.is_empty() {
        return Check::ok(
            &name,
            format!("{} is served, with the {} that meshfed uses", kind.api_version(), count(used.len(), "field")),
        );
    }
    let found = format!("{} is served without {}", kind.api_version(), some(&missing, NAMED));
    Check::failure(&name, found, format!("the definition is too old or another one: {from}"))
}

/// Whether a schema knows a path; see [`crate::derive::fields`].
fn has(schema: &Value, path: &str) -> bool {
    let mut at = schema;
    for name in path.split('.') {
        while at["type"] == "array" {
            at = &at["items"];
        }
        let values = &at["additionalProperties"];
        at = match at["properties"].get(name) {
            Some(field) => field,
            None if values.is_object() => values,
            // Whatever is below is kept as it is.
            None => return at["x-kubernetes-preserve-unknown-fields"] == true || values == true,
        };
    }
    true
}

/// All permissions are there.
pub fn granted(asked: usize) -> Check {
    Check::ok("permissions", format!("all {asked} that the agent needs are granted"))
}

/// Verbs that are missing for objects of one kind in one place. `rule` is what a role has to say.
pub fn right(what: &str, verbs: &[&str], rule: &str, optional: bool) -> Check {
    let (name, found, hint) = ("permissions", format!("may not {} {what}", verbs.join(", ")), format!("add to the role: {rule}"));
    if optional { Check::warning(name, found, hint) } else { Check::failure(name, found, hint) }
}

/// The control plane: `live` is its ServiceMeshControlPlane, `ours` that the agent makes it.
pub fn control_plane(place: &str, live: Option<&Value>, ours: bool) -> Check {
    let name = "control plane";
    let Some(live) = live else {
        let found = format!("there is no ServiceMeshControlPlane {place}");
        return if ours {
            Check::warning(name, found, "the agent makes it (`controlPlane.base`): is it running?")
        } else {
            Check::failure(name, found, "make it, name another one in mesh.yaml (`controlPlane`), or give its `base` there")
        };
    };
    let version = live.pointer("/spec/version").and_then(Value::as_str).unwrap_or_default();
    let minor = version.strip_prefix("v2.").and_then(|minor| minor.parse::<u32>().ok());
    if !version.is_empty() && minor.is_none_or(|minor| minor < OLDEST_MINOR) {
        let found = format!("{place} is of version {}", one_line(version));
        return Check::failure(name, found, format!("federation needs v2.{OLDEST_MINOR} or a later v2: change spec.version"));
    }
    let of = if version.is_empty() { String::new() } else { format!(" of version {}", one_line(version)) };
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    match ready {
        Some(ready) if ready["status"] == "True" => Check::ok(name, format!("{place}{of} is ready")),
        Some(ready) => {
            let say = |field: &str| ready[field].as_str().map(one_line).unwrap_or_default();
            let found = format!("{place}{of} is not ready: {} {}", say("reason"), say("message"));
            Check::failure(
                name,
                found.trim_end().to_owned(),
                format!("kubectl describe servicemeshcontrolplane -n {}", namespace(place)),
            )
        }
        None => {
            let hint = "is the operator running? It writes status.conditions";
            Check::warning(name, format!("{place}{of} does not say whether it is ready"), hint)
        }
    }
}

fn namespace(place: &str) -> &str {
    place.split('/').next().unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Outcome;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_clock_may_be_off_by_half_a_minute() {
        for (off, outcome) in
            [(0, Outcome::Ok), (30, Outcome::Ok), (-30, Outcome::Ok), (31, Outcome::Failure), (-31, Outcome::Failure)]
        {
            assert_eq!(clock("clock", "the server's", SignedDuration::from_secs(off)).outcome, outcome, "{off}");
        }
        let found = clock("clock", "the server's", SignedDuration::from_secs(-90)).found;
        assert_eq!(found, "our clock is 90 s behind the server's; 30 s are allowed");
        assert_eq!(future("clock", at(0), at(31)).outcome, Outcome::Warning);
        assert_eq!(future("clock", at(0), at(-86_400)).outcome, Outcome::Ok);
    }

    #[test]
    fn a_definition_must_have_what_is_used() {
        let kind = Kind::new("federation.maistra.io/v1", "ServiceMeshPeer");
        let schema = json!({"type": "object", "properties": {"spec": {"properties": {
            "addresses": {"type": "array", "items": {"type": "string"}},
            "rules": {"type": "array", "items": {"type": "object", "properties": {"name": {}}}},
            "gateways": {"type": "object", "additionalProperties": {"properties": {"enabled": {}}}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}}});
        let used = ["spec.addresses", "spec.rules.name", "spec.gateways.*.enabled", "spec.open.any.thing"];
        assert_eq!(definition(&kind, &used, Some(&schema)).outcome, Outcome::Ok);
        let check = definition(&kind, &["spec.addresses", "spec.rules.nme", "spec.gateways.*.x", "spec.z.y"], Some(&schema));
        assert_eq!(check.found, "federation.maistra.io/v1 is served without spec.rules.nme, spec.gateways.*.x, spec.z.y");
        let check = definition(&kind, &used, None);
        assert_eq!((check.outcome, &*check.found), (Outcome::Failure, "federation.maistra.io/v1 is not served"));
    }

    #[test]
    fn a_control_plane_is_new_enough_and_ready() {
        let live = |version: &str, status: &str| {
            json!({"spec": {"version": version}, "status": {"conditions": [
                {"type": "Reconciled", "status": "True"}, {"type": "Ready", "status": status, "reason": "PausingUpgrade"}]}})
        };
        let outcome = |live: &Value| control_plane("istio-system/basic", Some(live), false).outcome;
        assert_eq!(outcome(&live("v2.5", "True")), Outcome::Ok);
        assert_eq!(outcome(&live("v2.0", "True")), Outcome::Failure);
        assert_eq!(outcome(&live("v3.0", "True")), Outcome::Failure);
        assert_eq!(outcome(&json!({"spec": {}})), Outcome::Warning);
        assert_eq!(control_plane("n/c", None, false).outcome, Outcome::Failure);
        assert_eq!(control_plane("n/c", None, true).outcome, Outcome::Warning);
        let check = control_plane("istio-system/basic", Some(&live("v2.6", "False")), false);
        assert_eq!(check.found, "istio-system/basic of version v2.6 is not ready: PausingUpgrade");
    }
}
