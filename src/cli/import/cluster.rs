//! What an import reads from a cluster. It only lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::cluster::{Cluster, ClusterOptions};
use crate::derive::kinds;
use crate::error::Error;
use crate::import::stripped;
use crate::object::Live;

/// Texts of all objects that federate the meshes of a cluster, each in a file of its own.
pub(super) async fn texts(options: &ClusterOptions) -> Result<BTreeMap<String, String>, Error> {
    let cluster = Cluster::connect(options).await?;
    let list = async |kind, namespace: Option<&str>| cluster.list(&kinds::kind(kind), namespace).await;
    let planes = list(kinds::CONTROL_PLANE, None).await?;
    let memberships = list(kinds::MEMBER, None).await?;
    let mut objects = [planes.clone(), memberships.clone()].concat();
    let joined: BTreeSet<&str> = memberships.iter().filter_map(|object| object.key.namespace.as_deref()).collect();
    let mut members: BTreeSet<String> = joined.iter().map(|name| (*name).to_owned()).collect();
    let homes: BTreeSet<&str> = planes.iter().filter_map(|plane| plane.key.namespace.as_deref()).collect();
    for home in &homes {
        for roll in list(kinds::MEMBER_ROLL, Some(home)).await? {
            let listed = names(&roll.value(), "/spec/members");
            members.extend(names(&roll.value(), "/status/configuredMembers"));
            members.extend(listed.iter().cloned());
            // The operator keeps a roll for memberships that are declared one by one.
            if !listed.iter().all(|name| joined.contains(name.as_str())) {
                objects.push(roll);
            }
        }
        let mut roots = BTreeSet::new();
        for kind in [kinds::PEER, kinds::EXPORTED, kinds::IMPORTED] {
            let found = list(kind, Some(home)).await?;
            roots.extend(found.iter().filter(|object| *object.key.kind == *kinds::PEER.1).map(|peer| roots_name(peer)));
            objects.extend(found);
        }
        let maps = if roots.is_empty() { Vec::new() } else { list(kinds::CONFIG_MAP, Some(home)).await? };
        objects.extend(maps.into_iter().filter(|map| roots.contains(&*map.key.name)));
    }
    let namespaces = homes.iter().copied().chain(members.iter().map(String::as_str)).collect::<BTreeSet<&str>>();
    for namespace in namespaces {
        for kind in [kinds::VIRTUAL_SERVICE, kinds::DESTINATION_RULE] {
            objects.extend(list(kind, Some(namespace)).await?);
        }
    }
    objects.iter().map(|object| Ok((path(object), text(object)?))).collect()
}

fn names(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

fn roots_name(peer: &Live) -> String {
    let named = peer.value().pointer("/spec/security/certificateChain/name").and_then(Value::as_str).map(str::to_owned);
    named.unwrap_or_else(|| kinds::roots_name(&peer.key.name))
}

fn path(object: &Live) -> String {
    let namespace = object.key.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}-{}.yaml", object.key.kind.to_lowercase(), object.key.name)
}

/// As somebody would write it; of a roll also whom the control plane took in.
fn text(object: &Arc<Live>) -> Result<String, Error> {
    let whole = object.value();
    let status = whole.get("status").filter(|_| *object.key.kind == *kinds::MEMBER_ROLL.1).cloned();
    let mut value = stripped(whole);
    if let (Some(status), Some(fields)) = (status, value.as_object_mut()) {
        fields.insert("status".to_owned(), status);
    }
    serde_saphyr::to_string(&value).map_err(Error::other)
}
