//! The cluster: does it answer, does it define what is needed, may we do it, is its control plane well.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::Doctor;
use crate::agent::inventory::Inventory;
use crate::agent::remembered;
use crate::agent::rights::{EVENT, rights};
use crate::cli::seen::Seen;
use crate::cluster::{Cluster, ClusterError, Review, Right};
use crate::decide::Presence;
use crate::derive::{fields, kinds};
use crate::object::{Kind, STATE_NAME};
use crate::view::doctor::{self as view, Check};

const CLOCK: &str = "clock of cluster";
const PERMISSIONS: &str = "permissions";
const CONTROL_PLANE: &str = "control plane";

/// Questions to the API server at a time: a hundred small ones should take a second, and not look like an attack.
const IN_FLIGHT: usize = 8;

impl Doctor {
    /// Looks at the cluster, as far as the declarations are known.
    pub(super) async fn cluster(&self, declared: Option<(&Seen, &Presence<'_>)>, checks: &mut Vec<Check>) {
        let options = self.cluster.options();
        if !options.name_one() {
            let why = "no cluster is given: --kubeconfig or --context, or run it in the agent's pod";
            checks.push(Check::skipped("cluster", why));
            return;
        }
        let cluster = match Cluster::connect(&options).await {
            Ok(cluster) => cluster,
            Err(error) => return over(&error, checks),
        };
        match cluster.uid().await {
            Ok(uid) => checks.push(self.identity(&cluster, &uid, declared)),
            Err(error @ ClusterError::Denied { .. }) => checks.push(refused(&error)), // others may be granted
            Err(error) => return over(&error, checks),
        }
        checks.push(match cluster.time().await {
            Ok(Some(theirs)) => view::clock(CLOCK, "that of the API server", Timestamp::now().duration_since(theirs)),
            Ok(None) => Check::unknown(CLOCK, "the API server does not say what time it is", ""),
            Err(error) => Check::unknown(CLOCK, error.to_string(), ""),
        });
        definitions(&cluster, declared.map(|(_, presence)| presence), checks).await;
        let Some((seen, presence)) = declared else {
            checks.push(Check::unknown(PERMISSIONS, "which are needed is in the repository, which could not be read", ""));
            return;
        };
        let Some((namespace, name)) = presence.control_plane() else {
            checks.push(Check::unknown(PERMISSIONS, format!("the repository has no mesh {}", self.mesh), ""));
            return;
        };
        self.permissions(&cluster, seen, presence, namespace, checks).await;
        let place = format!("{namespace}/{name}");
        let ours = matches!(presence, Presence::Declared(mesh) if mesh.base.is_some());
        checks.push(match cluster.read(&kinds::kind(kinds::CONTROL_PLANE), Some(namespace), name).await {
            Ok(live) => view::control_plane(&place, live.as_ref(), ours),
            Err(error) => Check::unknown(CONTROL_PLANE, error.to_string(), ""),
        });
    }

    /// Whether whoever asks may do all that the agent does.
    async fn permissions(
        &self,
        cluster: &Cluster,
        seen: &Seen,
        presence: &Presence<'_>,
        namespace: &str,
        checks: &mut Vec<Check>,
    ) {
        // What is looked after already may be of kinds that nothing declares any more.
        let state = cluster.read_state(namespace, STATE_NAME).await.ok().flatten();
        let inventory: Inventory = remembered::read(&state.map(|(data, _)| data).unwrap_or_default()).0.inventory;
        let lease = self.lease.as_ref().map(|place| (cluster.lease_namespace(place), place.name.as_str()));
        let needed = rights(&seen.federation, presence, &inventory, lease);
        let ask = async |right: Right| (cluster.may(&right).await, right);
        let answers: Vec<_> = stream::iter(needed).map(ask).buffer_unordered(IN_FLIGHT).collect().await;
        let asked = answers.len();
        let mut missing: BTreeMap<Right, (Vec<&str>, String)> = BTreeMap::new();
        for (answer, right) in answers {
            match answer {
                Ok(Some(Review { allowed: true, .. }) | None) => {} // what is not served is told above
                Ok(Some(Review { resource, .. })) => {
                    let verb = right.verb;
                    let (verbs, of) = missing.entry(Right { verb: "", ..right }).or_default();
                    verbs.push(verb);
                    *of = resource;
                }
                Err(error) => return checks.push(Check::unknown(PERMISSIONS, error.to_string(), "")),
            }
        }
        if missing.is_empty() {
            checks.push(view::granted(asked));
        }
        for (Right { kind, namespace, name, .. }, (mut verbs, resource)) in missing {
            verbs.sort_unstable();
            let one = name.as_ref().map_or_else(|| format!("{} objects", kind.kind), |name| format!("{} {name}", kind.kind));
            let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
            let names = name.map(|name| format!(", resourceNames: [{name}]")).unwrap_or_default();
            let rule =
                format!("{{apiGroups: [\"{}\"], resources: [{resource}]{names}, verbs: [{}]}}", kind.group, verbs.join(", "));
            checks.push(view::right(&format!("{one}{place}"), &verbs, &rule, kind == kinds::kind(EVENT)));
        }
    }

    fn identity(&self, cluster: &Cluster, uid: &str, declared: Option<(&Seen, &Presence<'_>)>) -> Check {
        let url = cluster.url();
        let mesh = declared.and_then(|(seen, _)| seen.federation.mesh(&self.mesh));
        match mesh.and_then(|mesh| mesh.cluster_uid.as_deref()) {
            Some(pinned) if pinned != uid => Check::failure(
                "cluster",
                format!("{url} is {uid}, but mesh.yaml of {} names {pinned}", self.mesh),
                "name the right cluster with --kubeconfig and --context, or change clusterUID",
            ),
            _ => Check::ok("cluster", format!("{url} answers")),
        }
    }
}

/// The cluster cannot be asked: said once, and not again for all that it would have been asked.
fn over(error: &ClusterError, checks: &mut Vec<Check>) {
    checks.push(refused(error));
    checks.extend([CLOCK, "definitions", PERMISSIONS, CONTROL_PLANE].map(|name| Check::skipped(name, "not tried")));
}

fn refused(error: &ClusterError) -> Check {
    let hint = match error {
        ClusterError::Configuration(_) => "name the cluster with --kubeconfig and --context",
        ClusterError::Unreachable { .. } => "check the address, the network and the server's certificate from here",
        ClusterError::Unauthenticated { .. } => "log in again, or name another context with --context",
        ClusterError::Denied { .. } => "bind deploy/base/cluster-role.yaml to this identity",
        ClusterError::Unexpected { .. } => "is this the address of an API server?",
    };
    Check::failure("cluster", error.to_string(), hint)
}

/// Whether the kinds are there as meshfed uses them.
async fn definitions(cluster: &Cluster, presence: Option<&Presence<'_>>, checks: &mut Vec<Check>) {
    for (of, used) in fields::USED {
        checks.push(definition(cluster, kinds::kind(of), used).await);
    }
    let operators = matches!(presence, Some(Presence::Declared(mesh)) if !mesh.operators.is_empty());
    if operators {
        checks.push(definition(cluster, kinds::kind(kinds::SUBSCRIPTION), &["spec.channel"]).await);
    }
}

async fn definition(cluster: &Cluster, kind: Kind, used: &[&str]) -> Check {
    match cluster.schema(&kind).await {
        Ok(schema) => view::definition(&kind, used, schema.as_ref()),
        Err(error) => Check::unknown(&format!("kind {}", kind.kind), error.to_string(), ""),
    }
}
