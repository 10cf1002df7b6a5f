//! What the operator renders for the additional gateways of a `ServiceMeshControlPlane` (maistra/istio-operator, gateways chart).

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::text;
use super::view::{Kind, OWNER, View};
use super::wire::DISCOVERY_PORT;

/// What makes an AWS load balancer one that passes TLS on.
const AWS_TYPE: &str = "service.beta.kubernetes.io/aws-load-balancer-type";

/// The version that the operator says it has rendered.
const CHART_VERSION: &str = "2.5.1-0";

/// An additional gateway that is to exist.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its name, and that of its Service.
    pub name: String,
    /// Its namespace: that of the control plane unless the gateway gives another.
    pub namespace: String,
    /// Whether traffic comes in by it.
    pub ingress: bool,
    service: Value,
    /// The namespace of its control plane.
    pub owner: String,
    generation: i64,
}

/// How a gateway's Service is reached from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By a load balancer; with the kind of it that the cloud is asked for.
    LoadBalancer {
        /// Whether a network load balancer is asked for, as AWS needs for TLS to pass.
        network: bool,
    },
    /// By a port of the nodes.
    NodePort,
    /// Not at all.
    Cluster,
}

/// The additional gateways with an explicit `enabled: true`; without it nothing is rendered (`strategy_v2_5.go`).
pub fn declared(control_plane: &DynamicObject) -> Vec<Gateway> {
    let owner = control_plane.namespace().unwrap_or_default();
    let generation = control_plane.metadata.generation.unwrap_or_default();
    let mut gateways = Vec::new();
    for (field, ingress) in [("additionalIngress", true), ("additionalEgress", false)] {
        let entries = control_plane.data.pointer(&format!("/spec/gateways/{field}")).and_then(Value::as_object);
        for (name, entry) in entries.into_iter().flatten() {
            if entry.get("enabled") != Some(&Value::Bool(true)) {
                continue;
            }
            let namespace = match text(entry, "/namespace") {
                "" => owner.clone(),
                given => given.to_owned(),
            };
            let service = entry.get("service").cloned().unwrap_or_else(|| json!({}));
            gateways.push(Gateway { name: name.clone(), namespace, ingress, service, owner: owner.clone(), generation });
        }
    }
    gateways
}

impl Gateway {
    /// How it is reached.
    pub fn reach(&self) -> Reach {
        match text(&self.service, "/type") {
            "LoadBalancer" => {
                let annotations = self.service.pointer("/metadata/annotations");
                let kind = annotations.and_then(|annotations| annotations.get(AWS_TYPE)).and_then(Value::as_str);
                Reach::LoadBalancer { network: kind == Some("nlb") }
            }
            "NodePort" => Reach::NodePort,
            _ => Reach::Cluster,
        }
    }

    /// Makes its Service, service account and endpoints what they should be.
    pub async fn render(&self, view: &View, number: usize) -> Result<(), kube::Error> {
        view.ensure(Kind::ServiceAccount, &self.namespace, &self.account(), &json!({ "metadata": self.metadata() })).await?;
        view.ensure(Kind::Service, &self.namespace, &self.name, &self.service()).await?;
        view.ensure(Kind::EndpointSlice, &self.namespace, &self.slice(), &self.endpoints(number)).await
    }

    /// Whether an object that carries the operator's label is part of this gateway.
    pub fn includes(&self, kind: Kind, object: &DynamicObject) -> bool {
        let name = match kind {
            Kind::Service => self.name.clone(),
            Kind::ServiceAccount => self.account(),
            _ => self.slice(),
        };
        object.metadata.namespace.as_ref() == Some(&self.namespace) && object.name_any() == name
    }

    fn account(&self) -> String {
        format!("{}-service-account", self.name)
    }

    fn slice(&self) -> String {
        format!("{}-gw", self.name)
    }

    /// Labels by which the operator finds again what it made, and the generation that it is of, so that each change is rendered whole.
    fn metadata(&self) -> Value {
        json!({
            "labels": { OWNER: self.owner, "maistra.io/gateway": format!("{}.{}", self.name, self.namespace) },
            "annotations": { "maistra.io/mesh-generation": format!("{CHART_VERSION}-{}", self.generation) },
        })
    }

    /// The labels of the Service are those of the pods as well, beside the chart's own.
    fn pod_labels(&self) -> Value {
        let mut labels = json!({ "app": self.name, "istio": if self.ingress { "ingressgateway" } else { "egressgateway" } });
        merge(&mut labels, self.service.pointer("/metadata/labels"));
        labels
    }

    fn ports(&self) -> Vec<Value> {
        let given = self.service.get("ports").and_then(Value::as_array).cloned().unwrap_or_default();
        let ports = if given.is_empty() {
            vec![json!({ "name": "http2", "port": 80 }), json!({ "name": "https", "port": 443 })]
        } else {
            given
        };
        let with_protocol = ports.into_iter().map(|mut port| {
            if port.get("protocol").is_none() {
                port["protocol"] = "TCP".into();
            }
            port
        });
        with_protocol.collect()
    }

    fn service(&self) -> Value {
        let mut metadata = self.metadata();
        merge(&mut metadata["labels"], Some(&self.pod_labels()));
        merge(&mut metadata["annotations"], self.service.pointer("/metadata/annotations"));
        let mut selector = self.pod_labels();
        merge(&mut selector, self.service.get("selector"));
        let kind = match text(&self.service, "/type") {
            "" => "ClusterIP",
            given => given,
        };
        json!({ "metadata": metadata, "spec": { "type": kind, "selector": selector, "ports": self.ports() } })
    }

    fn endpoints(&self, number: usize) -> Value {
        let mut metadata = self.metadata();
        metadata["labels"]["kubernetes.io/service-name"] = self.name.as_str().into();
        let ports: Vec<_> = self
            .ports()
            .iter()
            .map(|port| json!({ "name": port["name"], "port": port["port"], "protocol": port["protocol"] }))
            .collect();
        json!({
            "metadata": metadata,
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [format!("10.131.{}.{}", number / 200, 10 + number % 200)], "conditions": { "ready": true } }],
            "ports": ports,
        })
    }

    /// The port of its Service at which discovery is reached from outside; `None` when the Service does not open it.
    pub fn discovery_port(&self, service: &DynamicObject) -> Option<u16> {
        let ports = service.data.pointer("/spec/ports")?.as_array()?;
        let port = ports.iter().find(|port| port["port"] == DISCOVERY_PORT)?;
        let number = if self.reach() == Reach::NodePort { port["nodePort"].as_u64()? } else { port["port"].as_u64()? };
        u16::try_from(number).ok()
    }
}

fn merge(into: &mut Value, from: Option<&Value>) {
    for (key, value) in from.and_then(Value::as_object).into_iter().flatten() {
        into[key] = value.clone();
    }
}

/// The status of a control plane whose gateways are `gateways`.
pub fn control_plane_status(control_plane: &DynamicObject, gateways: &[Gateway], istiod_is_up: bool, now: &str) -> Value {
    let mut components = vec!["istiod".to_owned()];
    components.extend(gateways.iter().map(|gateway| gateway.name.clone()));
    let (ready, unready) = if istiod_is_up { (components, vec![]) } else { (vec![], components) };
    let readiness = if istiod_is_up { ("True", "ComponentsReady") } else { ("False", "ComponentsNotReady") };
    let conditions = super::conditions(
        control_plane,
        &[
            ("Installed", "True", "InstallSuccessful"),
            ("Reconciled", "True", "UpdateSuccessful"),
            ("Ready", readiness.0, readiness.1),
        ],
        now,
    );
    json!({
        "observedGeneration": control_plane.metadata.generation,
        "chartVersion": CHART_VERSION,
        "operatorVersion": CHART_VERSION,
        "conditions": conditions,
        "readiness": { "components": { "ready": ready, "unready": unready, "pending": [] } },
    })
}
