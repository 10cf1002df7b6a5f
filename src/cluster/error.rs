//! What can go wrong between us and the API server, told apart by what has to happen next.

use std::error::Error as StdError;
use std::fmt::Write;
use std::time::Duration;

use kube::client::AuthError;
use kube::core::Status;

use crate::object::Kind;
pub(super) use crate::words::one_line;

/// Most fields that a conflict names: somebody who took over an object owns dozens, and the first few tell who it was.
const OWNERS_SHOWN: usize = 5;

/// The admission policy of `deploy/components/fence` that lets only the holder of the Lease write. The API server sees a Lease that has passed on
/// a moment after us: a leader that is refused is let through with its next try.
const ONE_WRITER: &str = "ValidatingAdmissionPolicy 'meshfed-one-writer'";

/// Why a cluster cannot be worked with at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No usable configuration: a file, a context or the pod's service account is missing or broken.
    #[error("cannot configure the client: {0}")]
    Configuration(String),
    /// Nothing that speaks for the API server answered.
    #[error("cannot reach the API server at {url}: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        url: String,
        /// The innermost causes.
        reason: String,
    },
    /// The server does not know us: nothing else is worth asking.
    #[error("the API server at {url} does not accept the credentials")]
    Unauthenticated {
        /// Scheme, host and port.
        url: String,
    },
    /// The server knows us, and does not let us.
    #[error("the API server at {url} denies access: {message}")]
    Denied {
        /// Scheme, host and port.
        url: String,
        /// What the server says.
        message: String,
    },
    /// The server answered something else than what was asked for.
    #[error("the API server at {url} answered: {message}")]
    Unexpected {
        /// Scheme, host and port.
        url: String,
        /// What the server says.
        message: String,
    },
}

/// Why one object was not written. Each variant is one way to go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that we set to something else; waits for them, for the declaration, or for force.
    #[error("{}: remove the field there or in the declaration, or force it", list_owners(.owners))]
    Conflict {
        /// Field manager and field, as the server names them.
        owners: Vec<(String, String)>,
    },
    /// The object is not acceptable: trying again is of no use until the declaration or the cluster's rules change.
    #[error("refused by the API server ({reason}): {message}")]
    Refused {
        /// The server's machine-readable reason.
        reason: String,
        /// What the server says.
        message: String,
    },
    /// Our role lacks a verb.
    #[error("not permitted, extend the role of the agent: {message}")]
    Forbidden {
        /// Who lacks which verb on what.
        message: String,
    },
    /// The cluster does not serve this kind.
    #[error("the cluster does not serve {kind}: install its CustomResourceDefinition or operator")]
    KindMissing {
        /// Kind in the version that was asked for.
        kind: Kind,
    },
    /// The namespace does not exist.
    #[error("namespace {namespace} does not exist: declare it, or have it created")]
    NamespaceMissing {
        /// Its name.
        namespace: String,
    },
    /// The namespace is being deleted and accepts nothing new.
    #[error("namespace {namespace} is being deleted: nothing can be created in it until it is gone and made anew")]
    NamespaceTerminating {
        /// Its name.
        namespace: String,
    },
    /// Nobody's fault that a person could mend: will be tried again.
    #[error("for the moment not possible, will be tried again: {message}")]
    Transient {
        /// What happened.
        message: String,
        /// The shortest wait that the server asks for.
        retry_after: Option<Duration>,
    },
}

impl ApplyError {
    /// Whether the same request can succeed later although nothing was changed by anyone.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }
}

fn list_owners(owners: &[(String, String)]) -> String {
    let named = owners.iter().take(OWNERS_SHOWN).map(|(manager, field)| format!("`{field}` is owned by {manager}"));
    let mut list = named.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = owners.len().checked_sub(OWNERS_SHOWN) {
        let _ = write!(list, " and {more} more"); // writing to a String cannot fail
    }
    list
}

/// A request that gave no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered with a `Status`.
    Status(Box<Status>),
    /// There was no answer that could be understood.
    Network(String),
    /// The answer was longer than what is read of one.
    TooLarge,
}

impl Failure {
    /// From the client's error, without what may hold secrets.
    pub(super) fn new(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Status(status),
            other => Self::Network(innermost(&other)),
        }
    }

    /// HTTP status, or 0 if there was none.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Status(status) => status.code,
            Self::Network(_) | Self::TooLarge => 0,
        }
    }

    /// One line for people.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Status(status) => one_line(&status.message),
            Self::Network(message) => message.clone(),
            Self::TooLarge => "the answer is too large".to_owned(),
        }
    }

    /// As an error of the whole cluster.
    pub(super) fn of_cluster(self, url: &str) -> ClusterError {
        let (url, code, message) = (url.to_owned(), self.code(), self.message());
        match code {
            0 => ClusterError::Unreachable { url, reason: message },
            401 => ClusterError::Unauthenticated { url },
            403 => ClusterError::Denied { url, message },
            _ => ClusterError::Unexpected { url, message },
        }
    }

    /// As an error of one object of this kind in this namespace.
    pub(super) fn of_object(self, kind: &Kind, namespace: Option<&str>) -> ApplyError {
        match self {
            Self::Status(status) => classify(&status, kind, namespace),
            Self::Network(_) | Self::TooLarge => ApplyError::Transient { message: self.message(), retry_after: None },
        }
    }
}

fn classify(status: &Status, kind: &Kind, namespace: Option<&str>) -> ApplyError {
    let message = one_line(&status.message);
    let namespace = || namespace.unwrap_or_default().to_owned();
    let details = status.details.as_ref();
    let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
    let retry_after = details.map(|details| u64::from(details.retry_after_seconds)).filter(|seconds| *seconds > 0);
    match status.code {
        409 if causes.iter().any(|cause| cause.reason == "FieldManagerConflict") => {
            ApplyError::Conflict { owners: causes.iter().map(|cause| (manager(&cause.message), cause.field.clone())).collect() }
        }
        403 if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") => {
            ApplyError::NamespaceTerminating { namespace: namespace() }
        }
        403 if message.contains(ONE_WRITER) => ApplyError::Transient { message, retry_after: None },
        // RBAC's own words; every other 403 is an admission rule that looked at the object.
        403 if message.contains(" cannot ") && message.contains(" resource ") => ApplyError::Forbidden { message },
        401 => ApplyError::Forbidden { message: "the API server does not accept our credentials".to_owned() },
        404 if details.is_some_and(|details| details.kind == "namespaces") => {
            ApplyError::NamespaceMissing { namespace: namespace() }
        }
        404 => ApplyError::KindMissing { kind: kind.clone() },
        // Server-side apply reports what does not fit the schema as an internal error (dependencies.md, A3.2).
        500 if message.contains("field not declared in schema") || message.contains("failed to create typed patch object") => {
            let message = message.split_once("): ").map_or(message.as_str(), |(_, rest)| rest).to_owned();
            ApplyError::Refused { reason: "Invalid".to_owned(), message }
        }
        408 | 409 | 429 | 500.. => ApplyError::Transient { message, retry_after: retry_after.map(Duration::from_secs) },
        code => {
            let reason = if status.reason.is_empty() { format!("HTTP {code}") } else { status.reason.clone() };
            ApplyError::Refused { reason, message }
        }
    }
}

/// The manager in `conflict with "kubectl" using v1`.
fn manager(message: &str) -> String {
    message.split('"').nth(1).unwrap_or(message).to_owned()
}

/// The two innermost causes: what is around them only says that there was a request.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(auth) = error.downcast_ref::<AuthError>() {
            return auth_error(auth);
        }
        chain.push(one_line(&error.to_string()));
        next = error.source();
    }
    chain.dedup();
    chain.split_off(chain.len().saturating_sub(2)).join(": ")
}

/// Without the output of the command, which may be a token.
fn auth_error(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { cmd, out } => format!("the credential command `{cmd}` failed with {}", out.status),
        AuthError::AuthExecStart(error) => format!("the credential command cannot be started: {error}"),
        AuthError::ReadTokenFile(error, path) => format!("cannot read the token in {}: {error}", path.display()),
        _ => "the configured credentials cannot be used".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn classified(status: Value) -> ApplyError {
        let status: Status = serde_json::from_value(status).unwrap();
        classify(&status, &Kind::new("v1", "ConfigMap"), Some("shop"))
    }

    #[test]
    fn a_conflict_names_manager_and_field() {
        let error = classified(json!({
            "code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict",
            "details": {"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using v1", "field": ".data.k"}]}
        }));
        assert_eq!(error.to_string(), "`.data.k` is owned by kubectl: remove the field there or in the declaration, or force it");
    }

    #[test]
    fn a_conflict_about_everything_stays_readable() {
        let owners: Vec<_> = (0..200).map(|field| ("kubectl".to_owned(), format!(".data.k{field}"))).collect();
        let message = ApplyError::Conflict { owners }.to_string();
        assert!(message.contains("`.data.k4` is owned by kubectl and 195 more: remove") && message.len() < 300, "{message}");
    }

    #[test]
    fn an_unknown_field_is_the_declarations_fault_although_the_status_is_500() {
        let message = "failed to create typed patch object (shop/a; /v1, Kind=ConfigMap): .dta: field not declared in schema";
        let error = classified(json!({"code": 500, "message": message}));
        assert_eq!(error.to_string(), "refused by the API server (Invalid): .dta: field not declared in schema");
        assert!(!error.is_transient());
    }

    #[test]
    fn each_status_has_its_own_way_on() {
        let rbac =
            r#"configmaps "a" is forbidden: User "x" cannot patch resource "configmaps" in API group "" in the namespace "shop""#;
        assert!(matches!(classified(json!({"code": 403, "message": rbac})), ApplyError::Forbidden { .. }));
        let webhook = "admission webhook \"smcp\" denied the request: no";
        assert!(matches!(classified(json!({"code": 403, "message": webhook})), ApplyError::Refused { .. }));
        let overtaken = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'meshfed-one-writer' with binding 'meshfed-one-writer' denied request: b writes";
        assert!(classified(json!({"code": 403, "message": overtaken})).is_transient());
        let terminating = json!({"code": 403, "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        assert_eq!(classified(terminating), ApplyError::NamespaceTerminating { namespace: "shop".into() });
        let missing = json!({"code": 404, "details": {"kind": "namespaces", "name": "shop"}});
        assert_eq!(classified(missing), ApplyError::NamespaceMissing { namespace: "shop".into() });
        assert!(matches!(classified(json!({"code": 404})), ApplyError::KindMissing { .. }));
        let busy = classified(json!({"code": 429, "message": "slow down", "details": {"retryAfterSeconds": 3}}));
        assert_eq!(busy, ApplyError::Transient { message: "slow down".into(), retry_after: Some(Duration::from_secs(3)) });
        let webhook_down = json!({"code": 500, "message": "failed calling webhook \"w\": connection refused"});
        assert!(classified(webhook_down).is_transient());
        assert!(matches!(classified(json!({"code": 422, "reason": "Invalid"})), ApplyError::Refused { .. }));
    }
}
