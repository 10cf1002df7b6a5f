//! ExportedServiceSets and ImportedServiceSets: whom they are for, names that collide, and whether the two sides meet.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Scene;
use crate::derive::kinds;
use crate::lint::Plain;
use crate::model::names::closest;
use crate::model::{At, Code, Diagnostic, Export, Node, Peer, Span, is_placeholder};

pub(super) fn check(scene: &Scene, found: &mut Vec<Diagnostic>) {
    for plain in scene.of(kinds::EXPORTED).chain(scene.of(kinds::IMPORTED)) {
        peer(scene, plain, found);
    }
    for plain in scene.of(kinds::EXPORTED) {
        collisions(plain, &exported(plain), "exported", found);
        outside(scene, plain, found);
    }
    for plain in scene.of(kinds::IMPORTED) {
        rules(plain, found);
        collisions(plain, &imported(plain).into_iter().filter_map(|(_, name)| name).collect::<Vec<_>>(), "imported", found);
        meet(scene, plain, found);
    }
}

/// The control plane looks for a set by its peer's name.
fn peer(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let Some(name) = plain.name() else { return };
    let by_hand = scene.beside(plain, kinds::PEER).filter(|peer| peer.namespace() == plain.namespace());
    let mut peers: Vec<&str> = by_hand.filter_map(|peer| Some(peer.name()?.value)).collect();
    let folder = super::folder(plain).and_then(|mesh| scene.federation.meshes.get(mesh));
    peers.extend(folder.iter().flat_map(|folder| folder.peers.keys()).map(String::as_str));
    if peers.contains(&name.value) || !super::peers::is_placed(scene, plain) {
        return;
    }
    let message =
        format!("there is no ServiceMeshPeer `{}` beside this {}, so it is ignored", name.escape_debug(), plain.kind.kind);
    if !peers.is_empty() {
        found.push(plain.error(name.span, message, closest(&name, &peers)));
    } else if scene.own(plain).is_some() {
        // Its mesh is here, so its peer may be expected here too.
        found.push(plain.warning(name.span, message, "give it too: it says who the peer is and where"));
    }
}

/// A name `namespace/name` with its place; `None` where it depends on the cluster.
type Name = Option<At<String>>;

fn fixed<'a>(node: Option<&'a At<Node>>, field: &str) -> Option<At<&'a str>> {
    node?.get(field)?.located().filter(|text| !["", "*"].contains(&text.value))
}

/// What a selector takes, and under which name it goes on.
fn names(selector: &At<Node>) -> (Name, Name) {
    let alias = selector.get("alias");
    let (namespace, name) = (fixed(Some(selector), "namespace"), fixed(Some(selector), "name"));
    let join = |namespace: Option<At<&str>>, name: Option<At<&str>>| {
        let (namespace, name) = (namespace?, name?);
        Some(At { value: format!("{}/{}", namespace.value, name.value), span: name.span })
    };
    let from = join(namespace.clone(), name.clone());
    let to = join(fixed(alias, "namespace").or(namespace), fixed(alias, "name").or(name));
    (from, to)
}

fn selectors<'a>(plain: &'a Plain, list: &str) -> Vec<&'a At<Node>> {
    plain.items(&["spec", list]).iter().filter_map(|rule| rule.get("nameSelector")).collect()
}

pub(super) fn imported(plain: &Plain) -> Vec<(Name, Name)> {
    selectors(plain, "importRules").into_iter().map(names).collect()
}

/// Names that are exported for certain; a wildcard with a fixed alias gives one for many.
fn exported(plain: &Plain) -> Vec<At<String>> {
    selectors(plain, "exportRules").into_iter().filter_map(|selector| names(selector).1).collect()
}

/// Two services under one name stop the status of the whole peering ("Duplicate value").
fn collisions(plain: &Plain, all: &[At<String>], what: &str, found: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for name in all {
        if let Some(first) = seen.insert(name, name.span) {
            let message = format!("two services are {what} as `{}`", name.escape_debug());
            let finding =
                plain.error(name.span, message, "give one of them another alias; the API server refuses the status of both");
            found.push(finding.also(plain.path, first, "first here"));
        }
    }
    let list = if what == "exported" { "exportRules" } else { "importRules" };
    for selector in selectors(plain, list) {
        if let (None, Some(alias)) = (fixed(Some(selector), "name"), fixed(selector.get("alias"), "name")) {
            let message = format!("every service that this takes gets the one name `{}`", alias.escape_debug());
            found.push(plain.error(alias.span, message, "a fixed alias needs a fixed name"));
        }
    }
}

/// Services in namespaces of no member: the control plane does not see them. Nothing is said where members come from elsewhere too.
fn outside(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let rolls: Vec<&Plain> =
        scene.beside(plain, kinds::MEMBER_ROLL).filter(|roll| roll.namespace() == plain.namespace()).collect();
    let lists = [&["spec", "members"][..], &["status", "configuredMembers"]];
    let listed: Vec<&At<Node>> = rolls.iter().flat_map(|roll| lists.iter().flat_map(|list| roll.items(list))).collect();
    let joined = scene.beside(plain, kinds::MEMBER).filter_map(|member| member.namespace());
    let declared = super::folder(plain).and_then(|mesh| scene.federation.mesh(mesh)).map(|mesh| mesh.members.as_slice());
    let members: Vec<&str> = listed
        .iter()
        .filter_map(|member| member.text())
        .chain(joined)
        .chain(declared.into_iter().flatten().map(String::as_str))
        .collect();
    let open = rolls.iter().any(|roll| roll.object.at(&["spec", "memberSelectors"]).is_some());
    // Of meshes in namespaces of one name each needs its roll here, or it is not known whose members these are.
    let homes = scene.sides.iter().filter(|side| plain.namespace() == Some(&*side.namespace)).count();
    let unknown = super::folder(plain).is_none() && rolls.len() < homes;
    if rolls.is_empty() || open || unknown || members.iter().any(|member| *member == "*" || is_placeholder(member)) {
        return;
    }
    for namespace in selectors(plain, "exportRules").into_iter().filter_map(|selector| fixed(Some(selector), "namespace")) {
        if plain.namespace() != Some(namespace.value) && !members.contains(&namespace.value) && !is_placeholder(&namespace) {
            let message = format!("`{}` is no member of the mesh, so nothing in it is exported", namespace.escape_debug());
            let help = if members.is_empty() { "add it to `spec.members`".into() } else { closest(&namespace, &members) };
            let finding = Diagnostic::warning(plain.path, namespace.span, Code::OutsideMesh, message, help);
            found.push(finding.also(rolls[0].path, rolls[0].span(), "the members"));
        }
    }
}

fn rules(plain: &Plain, found: &mut Vec<Diagnostic>) {
    for rule in plain.items(&["spec", "importRules"]) {
        let local = rule.get("importAsLocal").filter(|local| local.value == Node::Scalar(Value::Bool(true)));
        let alias = rule.at(&["nameSelector", "alias"]);
        if let (Some(local), None) = (local, fixed(alias, "namespace")) {
            let help = "write the namespace of the local Service under `alias.namespace`";
            found.push(plain.error(local.span, "`importAsLocal` without `alias.namespace`: the rule is skipped", help));
        }
    }
    let suffixes = plain.items(&["spec", "importRules"]).iter().map(|rule| rule.get("domainSuffix"));
    for suffix in suffixes.chain([plain.object.at(&["spec", "domainSuffix"])]).flatten().filter_map(At::<Node>::located) {
        if suffix.value == "svc.cluster.local" {
            found.push(plain.error(suffix.span, "a rule with this suffix is skipped", "write `importAsLocal: true`"));
        }
    }
}

/// Whether the other side exports what is imported: its set, its document, or both.
fn meet(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let set = other_side(scene, plain);
    let half = documents(scene, plain).map(|(_, theirs)| theirs);
    let offered: Vec<At<String>> = set.map(exported).unwrap_or_default();
    let Some((path, span)) = set
        .map(|set| (set.path, offered.first().map_or(set.span(), |name| name.span)))
        .or_else(|| half.filter(|half| tells_all(scene, plain, half)).map(|half| (half.path.as_str(), half.name.span)))
    else {
        return;
    };
    let documented = half.iter().flat_map(|half| &half.exports).filter_map(|export| export.exported_name());
    let documented: Vec<String> = documented.map(|name| name.value.to_string()).collect();
    let names: Vec<&str> = offered.iter().map(|name| name.value.as_str()).chain(documented.iter().map(String::as_str)).collect();
    let rules = set.map(|set| set.items(&["spec", "exportRules"])).unwrap_or_default();
    for wanted in imported(plain).into_iter().filter_map(|(from, _)| from) {
        let namespace = wanted.value.split('/').next().unwrap_or_default();
        let unknown = rules.iter().any(|rule| may_give(rule, namespace)) || half.is_some_and(|half| may_select(half, namespace));
        if !names.contains(&wanted.value.as_str()) && !unknown {
            let message = format!("nobody exports `{}` to this mesh", wanted.escape_debug());
            let help = set.filter(|_| names.is_empty()).map_or_else(|| closest(&wanted, &names), exported_into);
            found.push(plain.error(wanted.span, message, help).also(path, span, "the peer's exports"));
        }
    }
}

/// Whether a peer's document alone says what it exports. One without exports may leave them to a set that is elsewhere, and of a mesh that
/// is suspended often only its peers' objects are known.
fn tells_all(scene: &Scene, plain: &Plain, half: &Peer) -> bool {
    let mesh = plain.name().and_then(|name| scene.federation.mesh(name.value));
    !half.exports.is_empty() && mesh.is_some_and(|mesh| !mesh.suspend) && !scene.federation.is_broken(&half.path)
}

/// Whether a selector of a document may find something in a namespace, or give it a name there.
fn may_select(half: &Peer, namespace: &str) -> bool {
    half.exports.iter().any(|export| match export {
        Export::Selector { namespace: own, aliases, .. } => {
            own.value == namespace || aliases.iter().any(|(_, alias)| alias.namespace == namespace)
        }
        Export::Service { .. } => false,
    })
}

/// Where a set without names of its own exports to.
fn exported_into(set: &Plain) -> String {
    let alias = |rule: &At<Node>| {
        let list = rule.at(&["labelSelector", "aliases"]).map(|list| list.items()).unwrap_or_default();
        let of = |entry: &At<Node>| fixed(entry.get("alias"), "namespace").map(|into| into.value.to_owned());
        list.iter().chain(rule.get("nameSelector")).filter_map(of).collect::<Vec<_>>()
    };
    let mut into: Vec<String> = set.items(&["spec", "exportRules"]).iter().flat_map(alias).collect();
    into.sort();
    into.dedup();
    if into.is_empty() { String::new() } else { format!("what the peer exports is in {} there", into.join(", ")) }
}

/// Whether a rule may export something into a namespace under a name that is known in the cluster only.
fn may_give(rule: &At<Node>, namespace: &str) -> bool {
    let within = |selector: &At<Node>| fixed(Some(selector), "namespace").is_none_or(|own| own.value == namespace);
    if let Some(selector) = rule.get("labelSelector") {
        let aliases = selector.get("aliases").map(|aliases| aliases.items()).unwrap_or_default();
        let into = |alias: &At<Node>| fixed(alias.get("alias"), "namespace").is_none_or(|into| into.value == namespace);
        // One that takes whatever the selector finds leaves nothing its own namespace.
        let all = |alias: &At<Node>| ["namespace", "name"].iter().all(|part| fixed(Some(alias), part).is_none());
        return aliases.iter().any(into) || (within(selector) && !aliases.iter().any(all));
    }
    let Some(selector) = rule.get("nameSelector").filter(|selector| names(selector).1.is_none()) else { return false };
    fixed(selector.get("alias"), "namespace").map_or_else(|| within(selector), |into| into.value == namespace)
}

/// The two halves of the peering that a set belongs to, where documents have them.
fn documents<'a>(scene: &Scene<'a>, plain: &'a Plain<'a>) -> Option<(&'a str, &'a Peer)> {
    let mesh = super::folder(plain)?;
    let ours = scene.federation.peer(mesh, plain.name()?.value)?;
    Some((mesh, scene.federation.peer(&ours.name, mesh)?))
}

/// The ExportedServiceSet of the peer for this mesh: each side has its own name for the other.
fn other_side<'a>(scene: &Scene<'a>, plain: &'a Plain<'a>) -> Option<&'a Plain<'a>> {
    let name = plain.name()?;
    if let Some((mesh, _)) = documents(scene, plain) {
        let theirs = |set: &&Plain| super::folder(set) == Some(name.value) && set.name().is_some_and(|back| back.value == mesh);
        return scene.of(kinds::EXPORTED).find(theirs);
    }
    let domain_of = |peer: &'a Plain<'a>| peer.text(&["spec", "security", "trustDomain"]);
    let named = |peer: &&Plain| peer.namespace() == plain.namespace() && peer.name().is_some_and(|peer| peer.value == name.value);
    let peer = scene.beside(plain, kinds::PEER).find(named)?;
    let theirs = scene.trusting(domain_of(peer)?.value)?;
    let own = scene.own(plain)?;
    let back = scene.of(kinds::PEER).find(|back| {
        back.namespace() == Some(&*theirs.namespace) && domain_of(back).is_some_and(|domain| domain.value == own.trust_domain)
    })?;
    let set = |set: &&Plain| {
        set.namespace() == back.namespace() && set.name().map(|name| name.value) == back.name().map(|name| name.value)
    };
    scene.of(kinds::EXPORTED).find(set)
}
