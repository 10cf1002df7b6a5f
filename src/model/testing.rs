//! Repositories as text, for tests: many files in one string, each after a line `//- path`.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Cache, ContentId, Diagnostic, Federation, load};

/// A repository in memory.
#[derive(Clone, Debug, Default)]
pub struct Repo {
    /// Content by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What every document begins with, so that fixtures need not.
const API_VERSION: &str = "apiVersion: meshfed.dev/v1alpha1\n";

impl Repo {
    /// From a fixture. A document of ours that does not begin with `apiVersion` gets it as its first line.
    pub fn new(fixture: &str) -> Self {
        Self::default().with(fixture)
    }

    /// Adds files, or replaces them.
    pub fn with(mut self, fixture: &str) -> Self {
        for part in fixture.split("//- ").skip(1) {
            let (path, text) = part.split_once('\n').unwrap_or((part, ""));
            let ours = text.starts_with("kind: ") && !path.contains("/manifests/");
            let text = if ours { format!("{API_VERSION}{text}") } else { text.to_owned() };
            self.files.insert(path.trim().to_owned(), text.into_bytes());
        }
        self
    }

    /// Takes files away: all whose path begins with this.
    pub fn without(mut self, start: &str) -> Self {
        let before = self.files.len();
        self.files.retain(|path, _| !path.starts_with(start));
        assert!(self.files.len() < before, "nothing begins with {start}");
        self
    }

    /// Replaces a text that occurs in a file.
    pub fn edit(mut self, path: &str, from: &str, to: &str) -> Self {
        let text = String::from_utf8(self.files[path].clone()).unwrap();
        assert!(text.contains(from), "{path} does not contain {from}");
        self.files.insert(path.to_owned(), text.replace(from, to).into_bytes());
        self
    }

    /// Paths with the ids of their content.
    pub fn entries(&self) -> BTreeMap<String, ContentId> {
        self.files.iter().map(|(path, bytes)| (path.clone(), id(bytes))).collect()
    }

    /// Loads all files.
    pub fn load(&self) -> (Federation, Vec<Diagnostic>) {
        self.load_with(&mut Cache::default())
    }

    /// Loads all files with what was parsed before.
    pub fn load_with(&self, cache: &mut Cache) -> (Federation, Vec<Diagnostic>) {
        load(&self.entries(), &mut |path, _| Ok(self.files[path].clone()), cache)
    }

    /// Loads a repository without findings.
    pub fn valid(&self) -> Federation {
        let (federation, found) = self.load();
        assert_eq!(found, [], "{}", show(&found));
        federation
    }
}

fn id(bytes: &[u8]) -> ContentId {
    let mut id = [0; 20];
    id.copy_from_slice(&Sha256::digest(bytes)[..20]);
    ContentId(id)
}

/// Findings as people see them, a line each.
pub fn show(found: &[Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Lines of a Mesh's `spec.ca` that declare certificates.
pub fn ca_roots(certificates: &[String]) -> String {
    let mut text = String::from("    roots:\n");
    for pem in certificates {
        text.push_str("    - |\n");
        text.extend(pem.lines().flat_map(|line| ["      ", line, "\n"]));
    }
    text
}

/// The example in `repo-layout/`, as it is shipped.
pub fn example() -> Repo {
    let mut repo = Repo::default();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("repo-layout");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            if super::Place::of(&name) != super::Place::Foreign {
                repo.files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    repo
}

/// Two meshes that know of each other and nothing else; `a` has the member `apps`, `b` has `shop`.
pub fn pair() -> Repo {
    Repo::new(
        "\
//- federation.yaml
kind: Federation
metadata: {name: test}
//- meshes/a/mesh.yaml
kind: Mesh
metadata: {name: a}
spec:
  trustDomain: a.example
  members: [apps]
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
//- meshes/b/mesh.yaml
kind: Mesh
metadata: {name: b}
spec:
  trustDomain: b.example
  members: [shop]
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
",
    )
}
