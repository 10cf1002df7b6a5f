//! Where the parts of a document stand of which a policy may forbid a single one.

use serde::Deserialize;
use serde_json::Value;

use crate::model::At;

/// Places in a document; whatever else it says is not looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Outline {
    metadata: Metadata,
    #[serde(default)]
    spec: Lists,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Lists {
    exports: Vec<At<Value>>,
    imports: Vec<At<Value>>,
    routes: Vec<At<Value>>,
    members: Vec<At<Value>>,
}

impl Outline {
    /// The document's name.
    pub fn name(&self) -> &At<String> {
        &self.metadata.name
    }

    /// Lists in its `spec`.
    pub fn lists(&self) -> [(&'static str, &[At<Value>]); 4] {
        let Lists { exports, imports, routes, members } = &self.spec;
        [("exports", exports), ("imports", imports), ("routes", routes), ("members", members)]
    }
}
