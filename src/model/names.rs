//! Rules for names, each with its source.

/// Longest DNS-1123 label (RFC 1123 via Kubernetes "Object Names and IDs").
pub const MAX_LABEL: usize = 63;

/// Longest mesh name: it becomes the label value `network-<name>` (maistra/istio pkg/servicemesh/federation/discovery).
pub const MAX_MESH_NAME: usize = 55;

/// Gateway names that the control plane keeps for itself (maistra/istio-operator validation webhook).
pub const RESERVED_GATEWAYS: [&str; 2] = ["istio-ingressgateway", "istio-egressgateway"];

fn label_characters(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.iter().all(|c| inner(*c)) && edge(bytes.first()) && edge(bytes.last())
}

/// A DNS-1123 label: namespaces, services.
pub fn label(name: &str) -> Result<(), String> {
    if name.len() <= MAX_LABEL && label_characters(name) {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a DNS label: lower-case letters, digits and `-`, at most {MAX_LABEL}, a letter or digit at both ends",
        name.escape_debug()
    ))
}

/// A mesh name: a DNS-1123 label of at most [`MAX_MESH_NAME`] characters.
pub fn mesh(name: &str) -> Result<(), String> {
    label(name)?;
    if name.len() <= MAX_MESH_NAME {
        return Ok(());
    }
    Err(format!(
        "`{name}` has {} characters; a mesh name has at most {MAX_MESH_NAME}, because `network-{name}` becomes a label value",
        name.len()
    ))
}

/// A gateway name in a control-plane namespace: a DNS-1035 label, not reserved, and `<name>.<namespace>` fits a label value
/// (maistra/istio-operator labels gateway pods `maistra.io/gateway`).
pub fn gateway(name: &str, namespace: &str) -> Result<(), String> {
    label(name)?;
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(format!("`{name}` must begin with a letter, because it names a Service"));
    }
    if RESERVED_GATEWAYS.contains(&name) {
        return Err(format!("`{name}` is reserved by the control plane"));
    }
    let length = name.len() + namespace.len() + 1;
    if length > MAX_LABEL {
        return Err(format!("`{name}.{namespace}` has {length} characters; as a label value it has at most {MAX_LABEL}"));
    }
    Ok(())
}

/// A trust domain: DNS characters, and not `cluster.local`, the default that collides between meshes.
pub fn trust_domain(name: &str) -> Result<(), String> {
    if name == "cluster.local" {
        return Err("`cluster.local` is every mesh's default; a federated mesh needs a trust domain of its own".into());
    }
    dns_name(name).map_err(|()| format!("`{}` is not a trust domain: DNS labels joined by dots", name.escape_debug()))
}

/// A DNS name: labels joined by dots, 253 characters at most (RFC 1035).
pub fn dns_name(name: &str) -> Result<(), ()> {
    if name.len() <= 253 && !name.is_empty() && name.split('.').all(|part| part.len() <= MAX_LABEL && label_characters(part)) {
        Ok(())
    } else {
        Err(())
    }
}

/// A value of a label, as the nodes' topology labels have it (Kubernetes "Labels and Selectors").
pub fn label_value(value: &str) -> Result<(), String> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if value.len() <= MAX_LABEL && value.chars().all(inner) && edge(value.chars().next()) && edge(value.chars().next_back()) {
        return Ok(());
    }
    Err(format!(
        "`{}` cannot be the value of a label: letters, digits, `-`, `_` and `.`, at most {MAX_LABEL}, a letter or digit at both ends",
        value.escape_debug()
    ))
}

/// The name of an HTTP header, in the lower case that Envoy compares it in (RFC 9110 "token"; Istio `HTTPMatchRequest.headers`).
pub fn header(name: &str) -> Result<(), String> {
    let token = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "!#$%&'*+-.^_`|~".contains(c);
    if !name.is_empty() && name.chars().all(token) {
        return Ok(());
    }
    Err(format!("`{}` is not a header's name: lower-case letters, digits and `-`", name.escape_debug()))
}

/// Most names that a finding lists: more are no help.
pub const MAX_NAMED: usize = 10;

/// What a person may have meant, for the help of a finding.
pub fn closest<S: AsRef<str>>(wrong: &str, known: &[S]) -> String {
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    match known.as_slice() {
        [] => "there is none yet".into(),
        all => match similar(wrong, all) {
            Some(name) => format!("did you mean `{name}`?"),
            None if all.len() == 1 => format!("the only one is `{}`", all[0]),
            None if all.len() > MAX_NAMED => {
                format!("there are: {} and {} more", all[..MAX_NAMED].join(", "), all.len() - MAX_NAMED)
            }
            None => format!("there are: {}", all.join(", ")),
        },
    }
}

/// The name that is nearest: a third of its letters may be wrong, as with rustc, or only its end.
pub fn similar<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let begins_alike = |name: &str| name.bytes().zip(wrong.bytes()).take_while(|(a, b)| a == b).count() * 2 >= wrong.len();
    let distance = |name: &str| if wrong.eq_ignore_ascii_case(name) { 0 } else { strsim::damerau_levenshtein(wrong, name) };
    let scored = known.iter().map(|name| (distance(name), *name));
    let near = scored.filter(|(_, name)| is_slip(wrong, name) || begins_alike(name));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Whether at most a third of the letters is wrong.
pub fn is_slip(wrong: &str, name: &str) -> bool {
    wrong.eq_ignore_ascii_case(name) || strsim::damerau_levenshtein(wrong, name) * 3 <= wrong.chars().count().max(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_rfc_1123() {
        for good in ["a", "details-v2", "0a", "a".repeat(63).as_str()] {
            assert_eq!(label(good), Ok(()));
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "a\nb", "a".repeat(64).as_str()] {
            assert!(label(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn gateways_fit_the_pod_label_and_are_not_reserved() {
        assert_eq!(gateway("aro-stg-mesh-ingress", "rosa-prod-mesh"), Ok(()));
        assert!(gateway("istio-ingressgateway", "m").is_err());
        assert!(gateway("1a", "m").is_err());
        assert!(gateway(&"a".repeat(60), "rosa").is_err());
    }

    #[test]
    fn the_default_trust_domain_is_refused() {
        assert!(trust_domain("cluster.local").is_err());
        assert!(trust_domain("spiffe://a").is_err());
        assert_eq!(trust_domain("aro-stg-mesh.local"), Ok(()));
    }
}
