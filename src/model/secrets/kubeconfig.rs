//! Kubeconfigs that let in whoever has them (kubernetes client-go `clientcmd/api/v1`).

use serde_json::Value;

use crate::model::yaml;

/// What lets in by itself. A path (`client-key`, `tokenFile`) or a program (`exec`) does not.
const CREDENTIALS: [&str; 3] = ["token", "password", "client-key-data"];

/// The same in the settings of an `auth-provider`.
const PROVIDER_CREDENTIALS: [&str; 4] = ["access-token", "id-token", "refresh-token", "client-secret"];

/// How deep a kubeconfig may lie in strings that are YAML themselves: in one of a ConfigMap, which a template may hold.
const MAX_STRINGS: usize = 2;

/// Whether a document is a kubeconfig with credentials.
pub(super) fn has_credentials(value: &Value) -> bool {
    let users = value["users"].as_array().into_iter().flatten().map(|entry| &entry["user"]);
    let given =
        |settings: &Value, names: &[&str]| names.iter().any(|name| settings[*name].as_str().is_some_and(|t| !t.is_empty()));
    let mut users =
        users.filter(|user| given(user, &CREDENTIALS) || given(&user["auth-provider"]["config"], &PROVIDER_CREDENTIALS));
    value["kind"] == "Config" && users.next().is_some()
}

/// Where in a text that is such a kubeconfig, or holds one in a string, its first credential stands.
pub(super) fn in_text(text: &str) -> Option<usize> {
    look(text, MAX_STRINGS)
}

fn look(text: &str, strings: usize) -> Option<usize> {
    let names = || CREDENTIALS.iter().chain(&PROVIDER_CREDENTIALS);
    // Most texts end here: reading YAML takes its time.
    if !(text.contains("Config") && text.contains("users") && names().any(|name| text.contains(name))) {
        return None;
    }
    let documents = yaml::documents("", text).ok()?;
    let holds = documents.iter().any(|document| anywhere(document, strings));
    holds.then(|| names().filter_map(|name| text.find(name)).min().unwrap_or_default())
}

/// In the value itself, or in any text in it.
fn anywhere(value: &Value, strings: usize) -> bool {
    match value {
        Value::String(text) => strings > 0 && look(text, strings - 1).is_some(),
        Value::Array(items) => items.iter().any(|item| anywhere(item, strings)),
        Value::Object(fields) => has_credentials(value) || fields.values().any(|field| anywhere(field, strings)),
        _ => false,
    }
}
