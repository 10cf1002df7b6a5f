//! What does not fit the cloud that a mesh runs in.

use crate::model::documents::{Platform, ServiceType};
use crate::model::{Cidr, Code, Diagnostic, Federation, Mesh, address};

/// Chooses the kind of load balancer (Kubernetes cloud provider for AWS). A classic one, the default, does not pass on TLS as federation needs it.
pub const AWS_TYPE: &str = "service.beta.kubernetes.io/aws-load-balancer-type";

/// The one of layer 4.
pub(super) const NLB: &str = "nlb";

/// How names of load balancers of AWS end.
pub(super) const AWS_NAMES: &str = ".amazonaws.com";

pub(super) fn check(federation: &Federation, found: &mut Vec<Diagnostic>) {
    for folder in federation.meshes.values() {
        let Some(mesh) = &folder.mesh else { continue };
        load_balancer(mesh, found);
        addresses(mesh, &federation.allow_addresses, found);
    }
}

fn load_balancer(mesh: &Mesh, found: &mut Vec<Diagnostic>) {
    let Some(given) = mesh.ingress.annotations.get(AWS_TYPE) else { return };
    if mesh.platform == Platform::Aws && given != NLB {
        let message = format!("`{AWS_TYPE}: {}` replaces the network load balancer", given.escape_debug());
        let help = "federation needs a load balancer of layer 4: leave the annotation out";
        found.push(Diagnostic::warning(&mesh.path, mesh.ingress.span, Code::Suspicious, message, help));
    }
}

/// What no peer takes; and load balancers of AWS have names, those of Azure and Google have addresses.
fn addresses(mesh: &Mesh, ranges: &[Cidr], found: &mut Vec<Diagnostic>) {
    for address in &mesh.ingress.addresses {
        let refused = address::allowed(address, ranges).err().map(|message| (message, "no peer takes such an address"));
        // Nodes are reached at addresses, whatever load balancers there have.
        let platform = if mesh.ingress.service_type == ServiceType::LoadBalancer { mesh.platform } else { Platform::Other };
        if let Some((message, help)) = refused.or_else(|| odd(platform, address)) {
            found.push(Diagnostic::warning(&mesh.path, address.span, Code::Suspicious, message, help));
        }
    }
}

/// What is odd about an address of an ingress in this cloud.
pub(super) fn odd(platform: Platform, address: &str) -> Option<(String, &'static str)> {
    let is_ip = address.parse::<std::net::IpAddr>().is_ok();
    match platform {
        Platform::Aws if is_ip => Some((
            format!("{address} is an IP address, and load balancers of AWS have names whose addresses change"),
            "take `status.loadBalancer.ingress[].hostname` of the ingress Service",
        )),
        Platform::Azure | Platform::Gcp if !is_ip && (address.contains(".elb.") || address.ends_with(AWS_NAMES)) => Some((
            format!("{address} is a load balancer of AWS, and this mesh runs elsewhere"),
            "take `status.loadBalancer.ingress[].ip` of the ingress Service",
        )),
        _ => None,
    }
}
