//! The version of a control plane: since which one it federates, and since which it no longer does so with these objects.

use super::Scene;
use crate::derive::kinds;
use crate::model::Diagnostic;

/// The first with ServiceMeshPeers, and the major version that is the last with them (OpenShift Service Mesh 2.x, "Federation").
const FIRST: (u32, u32) = (2, 1);

/// The last that the operator of OSSM 2.6 knows. Newer ones of the same major version may come.
const LAST: (u32, u32) = (2, 6);

/// The API version of OSSM 1.x, which has no fields for federation (maistra/api core/v1).
const OLD: &str = "v1";

pub(super) fn check(scene: &Scene, found: &mut Vec<Diagnostic>) {
    for plain in scene.of(kinds::CONTROL_PLANE) {
        if *plain.kind.version == *OLD {
            let help = "take what the cluster makes of it: oc get servicemeshcontrolplanes.v2.maistra.io -o yaml";
            found.push(plain.error(plain.span(), "a control plane as maistra.io/v1 wrote it does not federate", help));
            continue;
        }
        let Some(given) = plain.text(&["spec", "version"]) else { continue };
        let shown = given.escape_debug();
        let (error, message, help) = match parse(&given) {
            None => (true, format!("`{shown}` is no version of a control plane"), "write it like v2.6"),
            Some(version) if version < FIRST => {
                let help = "federation needs v2.1 or newer; failover across meshes v2.2 or newer";
                (true, format!("a control plane of {shown} does not federate"), help)
            }
            Some((major, _)) if major > FIRST.0 => {
                let help = "OpenShift Service Mesh 3 federates in another way; stay at v2.x here";
                (true, format!("a control plane of {shown} has no ServiceMeshPeer, and service sets neither"), help)
            }
            Some(version) if version > LAST => {
                (false, format!("{shown} is not known: the operator may refuse it"), "v2.1 to v2.6 are known")
            }
            Some(_) => continue,
        };
        found.push(if error { plain.error(given.span, message, help) } else { plain.warning(given.span, message, help) });
    }
}

/// `v2.5`, as the operator writes its versions.
fn parse(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
