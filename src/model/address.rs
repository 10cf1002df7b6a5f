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

/// Where clouds answer questions about the machine that asks, credentials among the answers, outside of the link-local range (AWS over
/// IPv6, Azure, Alibaba Cloud, GCP; each cloud's documentation of its metadata service).
const METADATA: [&str; 4] = ["fd00:ec2::254", "168.63.129.16", "100.100.100.200", "metadata.google.internal"];

/// Ends of names that mean something else in each cluster (Kubernetes, "DNS for Services and Pods").
const OF_THE_CLUSTER: [&str; 3] = [".svc", ".cluster.local", ".localhost"];

/// Whether a name means something else in each cluster.
pub fn is_inside(address: &str) -> bool {
    !address.contains('.') || OF_THE_CLUSTER.iter().any(|end| address.ends_with(end))
}

/// Whether a peer may name this (already parsed) address: not the importer's own host, link or every host, unless people allow the range;
/// never a name that leads into the importer's own cluster, nor its cloud's metadata.
pub fn allowed(address: &str, ranges: &[Cidr]) -> Result<(), String> {
    if METADATA.contains(&address) {
        return Err(format!("{address} answers for the metadata of whoever's machine asks"));
    }
    let Ok(ip) = address.parse::<IpAddr>() else {
        return if is_inside(address) {
            Err(format!("{address} means something else in each cluster: publish a full DNS name"))
        } else {
            Ok(())
        };
    };
    let ip = plain(ip);
    let of_no_host = match ip {
        // RFC 1122: "this network", 0.0.0.0/8; reserved, 240.0.0.0/4.
        IpAddr::V4(ip) => ip.is_link_local() || ip.octets()[0] == 0 || ip.octets()[0] >= 240,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let special = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || of_no_host;
    if special && !ranges.iter().any(|range| range.contains(ip)) {
        return Err(format!("{address} leads back to whoever uses it (loopback, link-local, multicast or unspecified)"));
    }
    Ok(())
}

/// An IPv4 address that is written as one of IPv6, as itself: `::ffff:127.0.0.1`, `::127.0.0.1`, and through NAT64 (RFC 6052).
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip.to_canonical() else { return ip.to_canonical() };
    match six.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => IpAddr::V6(six), // unspecified and loopback, in the words of IPv6 itself
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            IpAddr::from(((u32::from(high) << 16) | u32::from(low)).to_be_bytes())
        }
        _ => IpAddr::V6(six),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t19_addresses_are_bare() {
        for (text, parsed) in [("20.71.4.9", "20.71.4.9"), ("A1.elb.example.com", "a1.elb.example.com"), ("FE80::0:1", "fe80::1")]
        {
            assert_eq!(parse(text).as_deref(), Ok(parsed));
        }
        for bad in [
            "",
            "a:8188",
            "https://a",
            "a/b",
            "*.a",
            "a\nb",
            "1.2.3",
            "1.2.3.4.5",
            "{{ADDRESS}}",
            "a..b",
            "1.2.3.4\n",
            "0x7f.1",
            "2130706433",
            "[::1]",
            "fe80::1%eth0",
            "a b",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn t19_a_peer_may_not_point_at_us() {
        let bad = [
            // this host, or every host
            "127.0.0.1",
            "127.255.0.9",
            "::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "255.255.255.255",
            "240.0.0.1",
            // this link
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "224.0.0.1",
            "239.1.1.1",
            "ff02::1",
            // the cloud's metadata
            "169.254.169.254",
            "fd00:ec2::254",
            "168.63.129.16",
            "100.100.100.200",
            "metadata.google.internal",
            // the same in other words
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            // this cluster
            "localhost",
            "a.localhost",
            "kubernetes",
            "kubernetes.default.svc",
            "istiod.istio-system.svc.cluster.local",
        ];
        for text in bad {
            let parsed = parse(text).unwrap();
            assert!(allowed(&parsed, &[]).is_err(), "{text}");
        }
        for good in ["20.71.4.9", "10.0.0.1", "fd12::5", "2600:1f18::1", "64:ff9b::1401:203", "a1.elb.eu-west-1.amazonaws.com"] {
            assert_eq!(allowed(&parse(good).unwrap(), &[]), Ok(()), "{good}");
        }
        assert_eq!(allowed("127.0.2.1", &[Cidr::parse("127.0.0.0/8").unwrap()]), Ok(()));
        assert_eq!(allowed("10.0.0.1", &[]), Ok(()));
    }
}
