//! Which document lies where in the repository.

/// Folder of a mesh for objects that its agent would refuse.
pub const NOT_APPLIED: &str = "not-applied";

/// Folder for objects of which nothing says whose they are.
pub const UNASSIGNED: &str = "unassigned";

/// What a path in the repository is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `federation.yaml`.
    Federation,
    /// `meshes/<mesh>/mesh.yaml`.
    Mesh(String),
    /// `meshes/<mesh>/peers/<file>.yaml`.
    Peer {
        /// Folder.
        mesh: String,
        /// File name without ending: the peer.
        file: String,
    },
    /// `meshes/<mesh>/traffic/<file>.yaml`.
    Traffic {
        /// Folder.
        mesh: String,
        /// File name without ending.
        file: String,
    },
    /// `meshes/<mesh>/manifests/**.yaml`.
    Manifests {
        /// Folder.
        mesh: String,
    },
    /// `policies/**.yaml`.
    Policy,
    /// `crds/**.yaml`: schemas of kinds, for `check` alone.
    Definition,
    /// `meshes/<mesh>/not-applied/**`, `unassigned/**`: what an import found and nobody applies until people decide about it.
    Waiting,
    /// Under `meshes/` or `policies/`, but nowhere that is read: probably a slip.
    Unknown {
        /// What to do about it.
        help: &'static str,
    },
    /// Not ours: README, CI, trust.
    Foreign,
}

impl Place {
    /// Looks at a path with `/` between its parts.
    pub fn of(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').collect();
        let yaml = |name: &str| name.strip_suffix(".yaml").map(str::to_owned);
        match parts.as_slice() {
            ["federation.yaml"] => Self::Federation,
            ["meshes", mesh, "mesh.yaml"] => Self::Mesh((*mesh).into()),
            ["meshes", mesh, folder @ ("peers" | "traffic"), name] => match (yaml(name), *folder) {
                (Some(file), "peers") => Self::Peer { mesh: (*mesh).into(), file },
                (Some(file), _) => Self::Traffic { mesh: (*mesh).into(), file },
                (None, _) => Self::Unknown { help: "name it *.yaml" },
            },
            ["meshes", mesh, "manifests", .., name]
                if name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json") =>
            {
                Self::Manifests { mesh: (*mesh).into() }
            }
            ["meshes", _, NOT_APPLIED, .., _] | [UNASSIGNED, .., _] => Self::Waiting,
            ["crds", .., name] if name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json") => {
                Self::Definition
            }
            ["policies", .., name] if name.ends_with(".yaml") || name.ends_with(".yml") => Self::Policy,
            [.., name] if name.to_ascii_lowercase().starts_with("readme") || name.starts_with('.') => Self::Foreign,
            ["meshes", _, "manifests", ..] | ["policies", ..] => Self::Unknown { help: "name it *.yaml" },
            ["meshes", ..] => Self::Unknown { help: "a mesh's folder has mesh.yaml, peers/, traffic/ and manifests/" },
            _ => Self::Foreign,
        }
    }

    /// The mesh whose folder it lies in.
    pub fn mesh(&self) -> Option<&str> {
        match self {
            Self::Mesh(mesh) | Self::Peer { mesh, .. } | Self::Traffic { mesh, .. } | Self::Manifests { mesh } => Some(mesh),
            Self::Federation | Self::Policy | Self::Definition | Self::Waiting | Self::Unknown { .. } | Self::Foreign => None,
        }
    }

    /// Whether the agent of `mesh` reads this path: its own folder, and of a peer's folder only what concerns it.
    pub fn concerns(&self, me: &str, peers: &[String]) -> bool {
        match self {
            Self::Federation | Self::Policy => true,
            Self::Mesh(mesh) => mesh == me || peers.contains(mesh),
            Self::Peer { mesh, file } => mesh == me || (file == me && peers.contains(mesh)),
            Self::Traffic { mesh, .. } | Self::Manifests { mesh } => mesh == me,
            Self::Definition | Self::Waiting | Self::Unknown { .. } | Self::Foreign => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_places() {
        let peer = Place::Peer { mesh: "a".into(), file: "b".into() };
        assert_eq!(Place::of("meshes/a/peers/b.yaml"), peer);
        assert_eq!(Place::of("meshes/a/manifests/x/y.yml"), Place::Manifests { mesh: "a".into() });
        assert_eq!(
            (Place::of("meshes/a/not-applied/x/y.yaml"), Place::of("unassigned/a.yaml")),
            (Place::Waiting, Place::Waiting)
        );
        assert!(matches!(Place::of("meshes/a/peers/b.yml"), Place::Unknown { .. }));
        assert!(matches!(Place::of("meshes/a/peer/b.yaml"), Place::Unknown { .. }));
        assert_eq!(Place::of("meshes/README.md"), Place::Foreign);
        assert_eq!(Place::of("trust/policy.yaml"), Place::Foreign);
        assert_eq!(Place::of("policies/a.yaml"), Place::Policy);
        assert_eq!(Place::of("policies/README.md"), Place::Foreign);
        assert!(matches!(Place::of("policies/a.json"), Place::Unknown { .. }));
        let peers = ["c".to_owned()];
        assert!(peer.concerns("a", &peers) && !peer.concerns("c", &peers) && !peer.concerns("b", &peers));
        assert!(peer.concerns("b", &["a".to_owned()]));
    }
}
