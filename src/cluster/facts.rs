//! What a peer needs to know of our cluster, read from live objects. Pure; nothing is ever resolved or guessed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::object::Live;

/// Key of the CA roots in the `ConfigMap` that a control plane writes (federation-rules.md, section 7).
pub const CA_ROOTS_KEY: &str = "root-cert.pem";

/// Every load-balancer entry of a Service: its ip if it has one, else its hostname; sorted, each once.
pub fn load_balancer(service: &Live) -> Vec<String> {
    let service = service.value();
    let entries = service.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let text = |entry: &Value, field: &str| entry[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let addresses = entries.into_iter().flatten().filter_map(|entry| text(entry, "ip").or_else(|| text(entry, "hostname")));
    addresses.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Ports of a Service with the node port of each, by port; only those that have one.
pub fn node_ports(service: &Live) -> Vec<(u16, u16)> {
    let service = service.value();
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let number = |port: &Value, field: &str| port[field].as_u64().and_then(|number| u16::try_from(number).ok());
    let mut pairs: Vec<(u16, u16)> =
        ports.into_iter().flatten().filter_map(|port| Some((number(port, "port")?, number(port, "nodePort")?))).collect();
    pairs.sort_unstable();
    pairs
}

/// The CA roots as the control plane wrote them into `istio-ca-root-cert`, if it did.
pub fn ca_roots(config_map: &Live) -> Option<String> {
    let config_map = config_map.value();
    config_map["data"][CA_ROOTS_KEY].as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(content: &Value) -> Live {
        let mut object = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1"}});
        object.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        Live::new(&object).unwrap()
    }

    #[test]
    fn every_entry_counts_ip_first_sorted_and_once() {
        let service = live(&json!({"status": {"loadBalancer": {"ingress": [
            {"hostname": "z.elb.example"}, {"ip": "20.0.0.9", "hostname": "unused.example"}, {"ip": "20.0.0.9"}, {"ip": ""}, {}
        ]}}}));
        assert_eq!(load_balancer(&service), ["20.0.0.9", "z.elb.example"]);
        assert!(load_balancer(&live(&json!({"status": {"loadBalancer": {}}}))).is_empty());
    }

    #[test]
    fn node_ports_are_those_that_are_set() {
        let service = live(
            &json!({"spec": {"ports": [{"port": 15443, "nodePort": 31443}, {"port": 8188, "nodePort": 30188}, {"port": 80}]}}),
        );
        assert_eq!(node_ports(&service), [(8188, 30188), (15443, 31443)]);
    }

    #[test]
    fn roots_are_absent_until_the_control_plane_wrote_them() {
        assert_eq!(ca_roots(&live(&json!({"data": {CA_ROOTS_KEY: "PEM\n"}}))), Some("PEM\n".to_owned()));
        assert_eq!(ca_roots(&live(&json!({"data": {CA_ROOTS_KEY: " \n"}}))), None);
        assert_eq!(ca_roots(&live(&json!({}))), None);
    }
}
