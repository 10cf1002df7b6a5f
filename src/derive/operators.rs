//! Step 1: OLM Subscriptions, only those that the Mesh lists. Other meshes in the cluster may use the operator, so they stay.

use serde_json::json;

use super::{Context, kinds};

pub(super) fn derive(context: &mut Context) {
    for operator in &context.mesh.operators {
        let (api_version, kind) = kinds::SUBSCRIPTION;
        let mut spec = json!({
            "name": operator.name,
            "channel": operator.channel,
            "source": operator.source,
            "sourceNamespace": operator.source_namespace,
        });
        if let Some(csv) = &operator.starting_csv {
            spec["startingCSV"] = json!(csv);
        }
        let metadata = json!({"name": operator.name, "namespace": operator.namespace});
        context.want(
            json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}),
            &context.mesh.path,
            vec![],
        );
    }
}
