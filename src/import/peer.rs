//! Half of a peering out of a ServiceMeshPeer and the service sets of its name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::documents::{Alias, Export, Gateways, Import, PeerSpec};
use super::meshes::text;
use crate::derive::kinds;
use crate::facts::{Endpoint, Root};
use crate::model::{address, defaults, is_shouted, root};

/// Why something cannot be said in a document.
pub(super) type Reason = String;

/// Why a half of a peering cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The service set that is the reason; without it the rest can be said.
    pub set: Option<(&'static str, &'static str)>,
    pub words: Reason,
}

impl From<Reason> for Refused {
    fn from(words: Reason) -> Self {
        Self { set: None, words }
    }
}

/// What the objects of one peer say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objects<'a> {
    pub peer: &'a Value,
    pub roots: Option<&'a Value>,
    pub exports: Option<&'a Value>,
    pub imports: Option<&'a Value>,
}

/// Who the peer is, as this side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub domain: String,
    pub namespace: String,
    pub egress: String,
}

impl Objects<'_> {
    /// The document.
    pub fn document(&self, name: &str) -> Result<PeerSpec, Refused> {
        let of = |set| move |words| Refused { set: Some(set), words };
        let gateway = |side: &str, default: String| {
            let given = text(self.peer, &format!("/spec/gateways/{side}/name"));
            let given = given.ok_or_else(|| format!("spec.gateways.{side}.name is missing"))?;
            Ok::<_, Reason>((given != default).then(|| given.to_owned()))
        };
        let gateways = Gateways {
            ingress: gateway("ingress", defaults::ingress_gateway(name))?,
            egress: gateway("egress", defaults::egress_gateway(name))?,
        };
        Ok(PeerSpec {
            gateways,
            exports: rules(self.exports, "exportRules", export).map_err(of(kinds::EXPORTED))?,
            imports: rules(self.imports, "importRules", import).map_err(of(kinds::IMPORTED))?,
            accept_roots: self.roots().into_iter().map(|root| root.fingerprint).collect(),
            locality: self.imports.and_then(|set| set.pointer("/spec/locality").cloned()),
        })
    }

    /// Who the peer is.
    pub fn identity(&self) -> Result<Identity, Reason> {
        let wrong =
            || "spec.security.clientID is not `<trust domain>/ns/<namespace>/sa/<egress gateway>-service-account`".to_owned();
        let domain = text(self.peer, "/spec/security/trustDomain").ok_or("spec.security.trustDomain is missing")?;
        let id = text(self.peer, "/spec/security/clientID").ok_or("spec.security.clientID is missing")?;
        let (_, rest) = id.split_once("/ns/").ok_or_else(wrong)?;
        let (namespace, account) = rest.split_once("/sa/").ok_or_else(wrong)?;
        let egress = account.strip_suffix("-service-account").ok_or_else(wrong)?;
        Ok(Identity { domain: domain.to_owned(), namespace: namespace.to_owned(), egress: egress.to_owned() })
    }

    /// Its roots, where they can be read.
    pub fn roots(&self) -> Vec<Root> {
        let pem = self.roots.and_then(|map| map.get("data")?.get(kinds::ROOTS_KEY)?.as_str());
        pem.and_then(|pem| root::read(pem).ok()).unwrap_or_default()
    }

    /// Where it is reached, if every address is one.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let given = self.peer.pointer("/spec/remote/addresses")?.as_array()?;
        let addresses: Vec<String> = given
            .iter()
            .map(|address| address::parse(address.as_str().filter(|address| !is_shouted(address))?).ok())
            .collect::<Option<_>>()?;
        let (discovery_port, service_port) = self.ports().unwrap_or((defaults::DISCOVERY_PORT, defaults::SERVICE_PORT));
        Some(Endpoint { addresses, discovery_port, service_port })
    }

    /// At which ports it is reached, for discovery and for services; `None` where nothing is said of how to reach it.
    pub fn ports(&self) -> Option<(u16, u16)> {
        let remote = self.peer.pointer("/spec/remote")?;
        let port = |field: &str, default: u16| {
            let given = remote.get(field).and_then(Value::as_u64);
            given.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(default)
        };
        Some((port("discoveryPort", defaults::DISCOVERY_PORT), port("servicePort", defaults::SERVICE_PORT)))
    }

    /// Names that are imported from it.
    pub fn imported(&self) -> BTreeSet<String> {
        let imports = rules(self.imports, "importRules", import).unwrap_or_default();
        imports.into_iter().map(|import| import.service).filter(|service| service != "*").collect()
    }
}

fn rules<T>(set: Option<&Value>, list: &str, rule: impl Fn(&Value) -> Result<T, Reason>) -> Result<Vec<T>, Reason> {
    let rules = set.and_then(|set| set.pointer(&format!("/spec/{list}"))?.as_array());
    let one = |(i, item): (usize, &Value)| rule(item).map_err(|reason| format!("spec.{list}[{i}]: {reason}"));
    rules.into_iter().flatten().enumerate().map(one).collect()
}

/// A part of a name; `None` where it takes all.
fn fixed<'a>(selector: &'a Value, field: &str) -> Option<&'a str> {
    selector.get(field)?.as_str().filter(|text| !["", "*"].contains(text))
}

/// The name that a selector takes, and the one under which it goes on, if it gives one.
fn names(selector: &Value) -> Option<(String, Option<String>)> {
    let (namespace, name) = (fixed(selector, "namespace")?, fixed(selector, "name")?);
    let alias = selector
        .get("alias")
        .map(|alias| format!("{}/{}", fixed(alias, "namespace").unwrap_or(namespace), fixed(alias, "name").unwrap_or(name)));
    Some((format!("{namespace}/{name}"), alias))
}

fn export(rule: &Value) -> Result<Export, Reason> {
    if let Some(selector) = rule.get("labelSelector").filter(|_| rule["type"] == "LabelSelector") {
        let mut selected = selector.get("selector").cloned().unwrap_or_default();
        let namespace = fixed(selector, "namespace").ok_or("a selector over all namespaces has no document: name one")?;
        selected["namespace"] = namespace.into();
        let alias = |entry: &Value| {
            let (service, alias) = names(entry).ok_or("an alias of more than one service has no document")?;
            Ok::<_, Reason>(Alias { alias: alias.unwrap_or_else(|| service.clone()), service })
        };
        let aliases = selector.get("aliases").and_then(Value::as_array).into_iter().flatten().map(alias);
        return Ok(Export { selector: Some(selected), aliases: aliases.collect::<Result<_, _>>()?, ..Export::default() });
    }
    let selector = rule.get("nameSelector").filter(|_| rule["type"] == "NameSelector");
    let selector = selector.ok_or("a rule has the type of its selector, `NameSelector` or `LabelSelector`")?;
    let (service, alias) = names(selector).ok_or("a name selector of more than one service has no document: name each")?;
    Ok(Export { service: Some(service), alias, ..Export::default() })
}

fn import(rule: &Value) -> Result<Import, Reason> {
    let selector = rule.get("nameSelector").filter(|_| rule["type"] == "NameSelector");
    let selector = selector.ok_or("an import rule has a `nameSelector`")?;
    let all = ["namespace", "name"].iter().all(|field| fixed(selector, field).is_none());
    let (service, alias) = match names(selector) {
        Some((service, alias)) => (service.clone(), alias.filter(|alias| *alias != service)),
        None if all && selector.get("alias").is_none() => ("*".to_owned(), None),
        None => return Err("a name selector of some services has no document: name each, or take all".to_owned()),
    };
    let as_local = rule.get("importAsLocal") == Some(&Value::Bool(true));
    Ok(Import { service, alias, as_local, domain_suffix: rule.get("domainSuffix").and_then(Value::as_str).map(str::to_owned) })
}
