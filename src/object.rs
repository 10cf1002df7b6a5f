//! Kubernetes objects as plain data: what identifies one, what we want of one, what the cluster says of one.
//!
//! No client types here, so that everything that decides can be read and tested without a cluster.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The field manager under which everything is applied (Kubernetes API concepts, "Server-Side Apply").
pub const FIELD_MANAGER: &str = "meshfed";

/// Annotation with the digest of the object as last applied; tells a removed field from one that was never ours.
pub const APPLIED_ANNOTATION: &str = "meshfed.dev/applied";

/// Annotation with the repository path of the declaration that an object comes from.
pub const SOURCE_ANNOTATION: &str = "meshfed.dev/source";

/// Annotation with the verified commit of `main` that an object was applied at. A document cannot set it.
pub const MAIN_ANNOTATION: &str = "meshfed.dev/verified-main";

/// Annotation of an object that is about a peer: the verified commit of its published branch. On the control plane those of all peers, as
/// `<peer>=<commit>` with blanks between them. A document cannot set it.
pub const PUBLISHED_ANNOTATION: &str = "meshfed.dev/verified-published";

/// Label that names what is ours, after the `ApplySet` convention (KEP-3659).
pub const PART_OF_LABEL: &str = "applyset.kubernetes.io/part-of";

/// Name of the agent's own ConfigMap in the control plane's namespace, the parent of the set of all that is ours.
pub const STATE_NAME: &str = "meshfed";

/// The id of the set of objects whose parent is the agent's ConfigMap in this namespace: the value of [`PART_OF_LABEL`]
/// (KEP-3659: `applyset-<base64url(sha256(name.namespace.kind.group))>-v1`).
pub fn set_id(namespace: &str) -> String {
    let digest = Sha256::digest(format!("{STATE_NAME}.{namespace}.ConfigMap."));
    format!("applyset-{}-v1", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest))
}

/// An API kind in one version, as `apiVersion` and `kind` of a document give it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Version in the group, as `v1`.
    pub version: Arc<str>,
    /// Kind in `CamelCase`, as `ConfigMap`.
    pub kind: Arc<str>,
}

impl Kind {
    /// From the two fields that every Kubernetes document carries.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// `group/version`, or just `version` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The plural that the kind most probably has, by the rules of k8s.io/apimachinery `UnsafeGuessKindToResource`, but for `Gateway`; only
    /// the API server knows for certain.
    pub fn plural(&self) -> String {
        let name = self.kind.to_lowercase();
        match name.as_bytes() {
            _ if name.ends_with("endpoints") => name,
            [.., b's' | b'h' | b'x'] => format!("{name}es"),
            [.., before, b'y'] if !b"aeiou".contains(before) => format!("{}ies", &name[..name.len() - 1]),
            _ => format!("{name}s"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// Identity of an object in one cluster. The version is not part of it: one object is served in several versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Kind in `CamelCase`.
    pub kind: Arc<str>,
    /// `None` for cluster-scoped objects.
    pub namespace: Option<Arc<str>>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl Key {
    /// The identity of the object `namespace/name` of this kind.
    pub fn new(kind: &Kind, namespace: Option<&str>, name: &str) -> Self {
        Self { group: kind.group.clone(), kind: kind.kind.clone(), namespace: namespace.map(Into::into), name: name.into() }
    }
}

/// `Kind/name` or `Kind/namespace/name`; what people see in plans, holds and logs.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// What we want of one object: the fields that we apply, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Kind and version to apply it in.
    pub kind: Kind,
    /// Identity.
    pub key: Key,
    /// Canonical JSON (sorted keys, no blanks), sent as it is.
    pub body: Arc<[u8]>,
    /// First 16 hex digits of the SHA-256 of the body without the annotation that carries this very digest.
    pub digest: Arc<str>,
    /// Path in the repository of the declaration that it comes from.
    pub source: Arc<str>,
}

/// Why a document cannot be an object.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectError {
    /// A field that every object has is absent or not a string.
    #[error("`{0}` is missing or not a string")]
    Missing(&'static str),
    /// `metadata`, `metadata.labels` or `metadata.annotations` is something else than a mapping.
    #[error("`{0}` is not a mapping")]
    NotAMapping(&'static str),
}

impl Object {
    /// Takes a whole document, adds our label and annotations, and fixes its bytes.
    pub fn new(mut document: Value, set: &str, source: &str) -> Result<Self, ObjectError> {
        let text = |pointer: &'static str, name| {
            document.pointer(pointer).and_then(Value::as_str).map(str::to_owned).ok_or(ObjectError::Missing(name))
        };
        let kind = Kind::new(&text("/apiVersion", "apiVersion")?, &text("/kind", "kind")?);
        let name = text("/metadata/name", "metadata.name")?;
        let namespace = document.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
        let key = Key::new(&kind, namespace.as_deref(), &name);
        put(&mut document, "labels", "metadata.labels", PART_OF_LABEL, set)?;
        if let Some(annotations) = document.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| ![MAIN_ANNOTATION, PUBLISHED_ANNOTATION].contains(&name.as_str()));
        }
        put(&mut document, "annotations", "metadata.annotations", SOURCE_ANNOTATION, source)?;
        let digest = hex16(&Sha256::digest(document.to_string()));
        put(&mut document, "annotations", "metadata.annotations", APPLIED_ANNOTATION, &digest)?;
        Ok(Self { kind, key, body: document.to_string().into_bytes().into(), digest: digest.into(), source: source.into() })
    }

    /// The body as a tree.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default() // our own bytes: always JSON
    }

    /// The same object with more annotations, which do not count for its digest.
    #[must_use]
    pub fn annotated(&self, annotations: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let mut document = self.value();
        if let Some(map) = document.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            map.extend(annotations.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))));
        }
        self.said(&document)
    }

    /// The same object in other words: what it wants, and so its digest, is the same.
    #[must_use]
    pub fn said(&self, document: &Value) -> Self {
        Self { body: document.to_string().into_bytes().into(), ..self.clone() }
    }
}

fn put(document: &mut Value, map: &str, path: &'static str, key: &str, value: &str) -> Result<(), ObjectError> {
    let metadata = document.get_mut("metadata").and_then(Value::as_object_mut).ok_or(ObjectError::NotAMapping("metadata"))?;
    metadata
        .entry(map)
        .or_insert_with(|| Value::Object(serde_json::Map::new()))
        .as_object_mut()
        .ok_or(ObjectError::NotAMapping(path))?
        .insert(key.to_owned(), Value::String(value.to_owned()));
    Ok(())
}

/// Exactly so many bytes, from hexadecimal digits of either case.
pub fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    HEXLOWER_PERMISSIVE.decode(digits).ok()?.try_into().ok()
}

/// The first 16 hex digits of a digest: enough to tell contents apart, short enough to read.
pub fn hex16(digest: &[u8]) -> String {
    HEXLOWER.encode(&digest[..digest.len().min(8)])
}

/// What the cluster says of one object, kept as compact JSON because thousands of them stay in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Kind and version that it was read in.
    pub kind: Kind,
    /// Identity.
    pub key: Key,
    /// `metadata.uid`: tells a recreated object from the one before it.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`: changes with every write.
    pub resource_version: Arc<str>,
    /// A deletion was asked for and finalizers still run.
    pub deleting: bool,
    /// The whole object as compact JSON, `managedFields` and `status` included.
    pub body: Box<[u8]>,
}

impl Live {
    /// From the object as the API server gave it; `None` where it lacks what every stored object has.
    pub fn new(value: &Value) -> Option<Self> {
        let text = |pointer| value.pointer(pointer).and_then(Value::as_str);
        let kind = Kind::new(text("/apiVersion")?, text("/kind")?);
        let key = Key::new(&kind, text("/metadata/namespace"), text("/metadata/name")?);
        Some(Self {
            key,
            kind,
            uid: text("/metadata/uid")?.into(),
            resource_version: text("/metadata/resourceVersion")?.into(),
            deleting: text("/metadata/deletionTimestamp").is_some(),
            body: value.to_string().into_bytes().into(),
        })
    }

    /// Whether this text stands anywhere in it.
    pub fn mentions(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// The whole object as a tree, parsed anew at each call.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default() // written by `new`: always JSON
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config_map(data: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {"k": data}})
    }

    #[test]
    fn the_digest_follows_the_content() {
        let object = |data| Object::new(config_map(data), "set", "meshes/m/manifests/a.yaml").unwrap();
        assert_eq!(object("x").digest, object("x").digest);
        assert_ne!(object("x").digest, object("y").digest);
        assert_eq!(object("x").value()["metadata"]["annotations"][APPLIED_ANNOTATION], *object("x").digest);
    }

    #[test]
    fn marks_of_verification_are_ours_and_no_part_of_the_content() {
        let mut document = config_map("x");
        document["metadata"]["annotations"] = json!({MAIN_ANNOTATION: "forged", "a": "b"});
        let object = Object::new(document, "set", "path").unwrap();
        assert_eq!(object.value()["metadata"]["annotations"].get(MAIN_ANNOTATION), None);
        let marked = object.annotated([(MAIN_ANNOTATION, "1".to_owned())]);
        assert_eq!((&marked.digest, &marked.value()["metadata"]["annotations"][MAIN_ANNOTATION]), (&object.digest, &json!("1")));
        assert_eq!(marked.value()["metadata"]["annotations"]["a"], "b");
    }

    #[test]
    fn a_document_without_identity_is_refused() {
        assert_eq!(Object::new(json!({"kind": "ConfigMap"}), "s", "p"), Err(ObjectError::Missing("apiVersion")));
        let mut odd = config_map("x");
        odd["metadata"]["labels"] = json!("no");
        assert_eq!(Object::new(odd, "s", "p"), Err(ObjectError::NotAMapping("metadata.labels")));
    }
}
