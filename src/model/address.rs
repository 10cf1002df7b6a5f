//! Rules for addresses of ingress gateways (maistra/istio pkg/servicemesh/federation: `spec.remote.addresses`).

use std::net::IpAddr;

use super::names;
use super::network::Cidr;

/// Checks that an address is a bare IPv4 or IPv6 address or DNS name, and gives it in its usual spelling.
pub fn parse(text: &str) -> Result<String, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    let name = text.to_ascii_lowercase();
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit()));
    if numeric || names::dns_name(&name).is_err() {
        return Err(format!("`{}` is neither an IP address nor a DNS name", text.escape_debug()));
    }
    Ok(name)
}

/// Whether a peer may name this (already parsed) address: not the importer's own host, link or every host, unless people allow the range.
pub fn allowed(address: &str, ranges: &[Cidr]) -> Result<(), String> {
    let ip = match address.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical(), // ::ffff:127.0.0.1 is loopback too
        Err(_) if address == "localhost" || address.ends_with(".localhost") => IpAddr::from([127, 0, 0, 1]),
        Err(_) => return Ok(()),
    };
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let special = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local;
    if special && !ranges.iter().any(|range| range.contains(ip)) {
        return Err(format!("{address} leads back to whoever uses it (loopback, link-local, multicast or unspecified)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_bare() {
        for (text, parsed) in [("20.71.4.9", "20.71.4.9"), ("A1.elb.example.com", "a1.elb.example.com"), ("FE80::0:1", "fe80::1")]
        {
            assert_eq!(parse(text).as_deref(), Ok(parsed));
        }
        for bad in ["", "a:8188", "https://a", "a/b", "*.a", "a\nb", "1.2.3", "1.2.3.4.5", "{{ADDRESS}}", "a..b"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_peer_may_not_point_at_us() {
        for bad in ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "localhost", "::ffff:127.0.0.1", "fe80::1"] {
            assert!(allowed(bad, &[]).is_err(), "{bad}");
        }
        assert_eq!(allowed("127.0.2.1", &[Cidr::parse("127.0.0.0/8").unwrap()]), Ok(()));
        assert_eq!(allowed("10.0.0.1", &[]), Ok(()));
    }
}
