//! How somebody asks a running agent for a pass: by an annotation of its ConfigMap, which it answers by two others. A token tells one request from
//! the next, as in Flux' `reconcile.fluxcd.io/requestedAt` and `lastHandledReconcileAt`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::words::count;

/// Annotation of the agent's ConfigMap with the token of a request.
pub const REQUESTED: &str = "meshfed.dev/reconcile-requested-at";

/// Annotation with the token of the last request that was answered.
pub const HANDLED: &str = "meshfed.dev/reconcile-handled-at";

/// Annotation with the [`Reconciled`] of that request, as JSON.
pub const RESULT: &str = "meshfed.dev/reconcile-result";

/// How a pass went that somebody had asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reconciled {
    /// Why the repository could not be read; what was known of it stayed in use.
    pub error: Option<String>,
    /// The commit of `main` that was taken.
    pub commit: String,
    /// Objects looked after.
    pub objects: usize,
    /// What waits for something that comes by itself.
    pub waiting: usize,
    /// What waits for people.
    pub stuck: usize,
    /// Errors in documents.
    pub errors: usize,
}

impl Reconciled {
    /// Nothing is left for people to do.
    pub fn is_fine(&self) -> bool {
        self.error.is_none() && self.stuck == 0 && self.errors == 0
    }

    /// One line for people.
    pub fn words(&self) -> String {
        let Self { error, commit, objects, waiting, stuck, errors } = self;
        if let Some(error) = error {
            return error.clone();
        }
        let parts = [(*waiting, "waiting"), (*stuck, "stuck")];
        let holds = parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}"));
        let errors = (*errors > 0).then(|| count(*errors, "error") + " in documents");
        let rest: Vec<String> = holds.chain(errors).collect();
        let rest = if rest.is_empty() { "nothing waits".to_owned() } else { rest.join(", ") };
        format!("{} at {}; {rest}", count(*objects, "object"), commit.get(..7).unwrap_or("no commit"))
    }
}

/// An annotation of a live object.
pub fn annotation(object: &Value, name: &str) -> Option<String> {
    object["metadata"]["annotations"][name].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_is_left() {
        let fine = Reconciled { commit: "9f2c1ab0".into(), objects: 12, ..Reconciled::default() };
        assert_eq!((&*fine.words(), fine.is_fine()), ("12 objects at 9f2c1ab; nothing waits", true));
        let bad = Reconciled { waiting: 2, stuck: 1, errors: 1, ..fine.clone() };
        assert_eq!((&*bad.words(), bad.is_fine()), ("12 objects at 9f2c1ab; 2 waiting, 1 stuck, 1 error in documents", false));
        let blind = Reconciled { error: Some("away".into()), ..fine };
        assert_eq!((&*blind.words(), blind.is_fine()), ("away", false));
    }
}
