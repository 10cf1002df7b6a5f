//! Two meshes of the example: rosa-prod-mesh sends some of its requests for `details` to aro-stg-mesh.

use serde_json::Value;

use crate::federation::steps::{ARO, ROSA, imported, split, weights};
use crate::lab::audit::Request;
use crate::lab::standin::Cloud;
use crate::stage::{Agent, Stage, eventually, example, example_under};

/// What rosa imports.
pub const HOST: &str = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";

/// Aro's gateway for rosa.
pub const INGRESS: &str = "rosa-prod-mesh-ingress";

/// Both, federated and running; the agents end before their clusters.
pub struct Pair {
    pub rosa: Agent,
    pub aro: Agent,
    pub stage: Stage,
}

impl Pair {
    /// Starts with a share for aro, in percent, and gating in the Federation's words.
    pub fn start(share: u64, gating: &str) -> Self {
        let stage = Stage::start(&[(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)]);
        let mut files = Vec::new();
        for (mesh, peer) in [(ROSA, ARO), (ARO, ROSA)] {
            files.extend([format!("meshes/{mesh}/mesh.yaml"), format!("meshes/{mesh}/peers/{peer}.yaml")]);
            files.extend(example_under(&format!("meshes/{mesh}/manifests")));
        }
        stage.commit_example("Two meshes", &files.iter().map(String::as_str).collect::<Vec<_>>());
        let (rosa, aro) = (stage.agent(ROSA), stage.agent(ARO));
        let pair = Self { rosa, aro, stage };
        pair.gate(gating);
        pair.commit_share(share);
        imported(&pair.stage, ROSA, ARO, HOST).unwrap();
        pair.split(share);
        pair
    }

    /// Commits other settings of gating.
    pub fn gate(&self, gating: &str) {
        let text = format!("{}\n  gating: {gating}\n", example("federation.yaml").trim_end());
        self.stage.git.commit(&format!("gating: {gating}"), &[("federation.yaml", Some(&text))]);
    }

    /// Commits another share for aro, in percent.
    pub fn commit_share(&self, share: u64) {
        let text = format!(
            "apiVersion: meshfed.dev/v1alpha1\nkind: Traffic\nmetadata: {{name: details}}\nspec:\n  service: prod-bookinfo/details\n  routes:\n  \
             - {{local: {{subset: v1}}, weight: {}}}\n  - {{peer: {ARO}, service: prod-bookinfo/details-v2, weight: {share}}}\n",
            100 - share
        );
        let path = format!("meshes/{ROSA}/traffic/details.yaml");
        self.stage.git.commit(&format!("{share} % to {ARO}"), &[(&path, Some(&text))]);
    }

    /// Waits until the live route gives aro this share, and all the rest to rosa.
    pub fn split(&self, share: u64) {
        let expected: &[u64] = match share {
            0 | 100 => &[100],
            share => &[100 - share, share],
        };
        split(&self.stage, expected).unwrap();
        let aro: u64 = weights(self.stage.site(ROSA)).iter().filter(|(host, _)| host == HOST).map(|(_, weight)| weight).sum();
        assert_eq!(aro, share);
    }

    /// Waits until rosa's published status says this of aro's share; gives the cause.
    pub fn published(&self, declared: u64, effective: u64) -> String {
        eventually(&format!("the published status says {declared} → {effective}"), || {
            let text = self.stage.git.show(&format!("published/{ROSA}:status.yaml")).unwrap_or_default();
            let document: Value = serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
            let routes = document["status"]["traffic"]["details"]["routes"].as_array().cloned().unwrap_or_default();
            let share = routes.iter().find(|route| route["to"] == ARO).cloned().unwrap_or_default();
            let found = (share["declared"].as_u64(), share["effective"].as_u64());
            let why = share["why"].as_str().unwrap_or_default().to_owned();
            if found == (Some(declared), Some(effective)) { Ok(why) } else { Err(format!("{share}")) }
        })
    }

    /// Messages of the commits on rosa's branch, the newest first.
    pub fn messages(&self) -> Vec<String> {
        self.stage.git.log(&format!("published/{ROSA}"))
    }

    /// How often rosa's agent has written a VirtualService, as its API server counted.
    pub fn route_writes(&self) -> usize {
        let requests = self.stage.site(ROSA).cluster.requests_by("meshfed");
        requests.iter().filter(|request| request.resource == "virtualservices" && Request::writes(request)).count()
    }

    /// Notes of the events about rosa's route, as often as each was told; what is told again is counted up in the first.
    pub fn route_events(&self) -> Vec<String> {
        let arguments = ["get", "events", "-n", "prod-bookinfo", "-o", "json", "--sort-by=.metadata.creationTimestamp"];
        let output = self.stage.site(ROSA).cluster.kubectl(&arguments);
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let events = list["items"].as_array().cloned().unwrap_or_default().into_iter();
        let about = events.filter(|event| event["involvedObject"]["kind"] == "VirtualService");
        let told = |event: Value| {
            let times = event["series"]["count"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
            let line =
                format!("{} {}", event["reason"].as_str().unwrap_or_default(), event["message"].as_str().unwrap_or_default());
            std::iter::repeat_n(line, times)
        };
        about.flat_map(told).collect()
    }
}
