//! `meshfed log` and `meshfed explain`: a federation whose people sign, told from Git alone.

use crate::commands::Place;
use crate::trust::repository::Work;

const STATUS: &str = "apiVersion: meshfed.dev/v1alpha1\nkind: Status\nmetadata: {name: MESH}\nstatus:\n  agent: {version: 0.1.0}\n  main: {applied: COMMIT}\nREST";

/// Two meshes whose agents have keys, `rosa` with a share of its requests for `aro`.
struct Scene {
    work: Work,
    place: Place,
}

/// Minutes after ten o'clock, when somebody commits.
fn at(minute: u32) -> [(&'static str, String); 2] {
    ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"].map(|name| (name, format!("2026-11-20T10:{minute:02}:30Z")))
}

impl Scene {
    fn new() -> Self {
        let scene = Self { work: Work::new(), place: Place::new() };
        scene.work.git(&["rm", "--quiet", "-r", "meshes"]);
        for (mesh, members) in [("rosa", "apps"), ("aro", "shop")] {
            let key = scene.work.public(&format!("{mesh}-agent"));
            scene.document(
                &format!("meshes/{mesh}/mesh.yaml"),
                &format!("kind: Mesh\nmetadata: {{name: {mesh}}}\nspec:\n  trustDomain: {mesh}.example\n  members: [{members}]\n  agent: {{keys: ['{key}']}}\n"),
            );
        }
        scene.document("federation.yaml", "kind: Federation\nmetadata: {name: bookinfo}\n");
        scene.commit(Some("root"), 1, "Two meshes");
        let export = "kind: Peer\nmetadata: {name: rosa}\nspec:\n  exports:\n  - {service: shop/details, as: apps/details-v2}\n";
        scene.document("meshes/aro/peers/rosa.yaml", export);
        scene.commit(Some("aro"), 2, "Let rosa use details");
        scene.document(
            "meshes/rosa/peers/aro.yaml",
            "kind: Peer\nmetadata: {name: aro}\nspec:\n  imports:\n  - service: apps/details-v2\n",
        );
        scene.weigh(20);
        scene.commit(Some("rosa"), 3, "Use details of aro");
        scene
    }

    fn document(&self, path: &str, text: &str) {
        self.work.write(path, &format!("apiVersion: meshfed.dev/v1alpha1\n{text}"));
    }

    fn weigh(&self, weight: u32) {
        let text = format!(
            "kind: Traffic\nmetadata: {{name: details}}\nspec:\n  service: apps/details\n  routes:\n  - {{local: {{}}, weight: {}}}\n  \
             - {{peer: aro, service: apps/details-v2, weight: {weight}}}\n",
            100 - weight
        );
        self.document("meshes/rosa/traffic/details.yaml", &text);
    }

    fn commit(&self, signer: Option<&str>, minute: u32, message: &str) -> String {
        let dates = at(minute);
        let dates: Vec<(&str, &str)> = dates.iter().map(|(name, date)| (*name, date.as_str())).collect();
        self.work.commit_with(signer, message, &dates).to_string()
    }

    /// The agent of a mesh publishes that it has applied `main`.
    fn publish(&self, mesh: &str, signer: Option<&str>, minute: u32, rest: &str) {
        let branch = format!("published/{mesh}");
        let main = self.work.git(&["rev-parse", "main"]);
        if self.work.git(&["branch", "--list", &branch]).is_empty() {
            self.work.git(&["checkout", "--quiet", "--orphan", &branch]);
            self.work.git(&["rm", "--quiet", "-rf", "."]);
        } else {
            self.work.git(&["checkout", "--quiet", &branch]);
        }
        self.work.write("status.yaml", &STATUS.replace("MESH", mesh).replace("COMMIT", &main).replace("REST", rest));
        self.commit(signer, minute, &format!("{mesh}: news"));
        self.work.git(&["checkout", "--quiet", "main"]);
    }

    /// What `meshfed log` prints, with a number for each commit's id.
    fn log(&self, arguments: &[&str]) -> String {
        let repo = self.work.path().display().to_string();
        let ran = self.place.run(&[&["log", "--repo", &repo], arguments].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        self.numbered(ran.out)
    }

    /// A text with a number for each commit's id.
    fn numbered(&self, text: String) -> String {
        let ids = self.work.git(&["log", "--all", "--date-order", "--reverse", "--format=%H"]);
        let numbered = ids.lines().enumerate();
        numbered.fold(text, |text, (number, id)| text.replace(&id[..7], &format!("commit{number}")))
    }

    fn trusting(&self) -> Vec<String> {
        let anchor = self.work.anchor.to_string();
        let digest = meshfed::trust::Verifier::digest(&self.work.mirror(), self.work.anchor).unwrap().to_string();
        vec!["--trust-anchor".into(), anchor, "--trust-digest".into(), digest]
    }
}

/// The first commit is made now, which no picture can show.
const PAST: [&str; 2] = ["--until", "2026-11-20T12:00:00Z"];

const PEERING: &str = "  peerings:\n    aro: {ready: true}\n  traffic:\n    details: {service: apps/details, routes: [{to: aro, service: apps/details-v2, declared: 20, effective: EFFECT}]}\n";

#[test]
fn the_history_is_told_in_the_terms_of_a_federation() {
    let scene = Scene::new();
    scene.publish("rosa", Some("rosa-agent"), 4, &PEERING.replace("EFFECT", "20"));
    scene.publish("aro", Some("aro-agent"), 5, "");
    scene.weigh(40);
    scene.commit(Some("rosa"), 6, "Send more to aro");
    scene.publish("rosa", Some("rosa-agent"), 7, &PEERING.replace("EFFECT", "0, why: aro answers 503"));
    scene.publish("rosa", None, 8, "");
    scene.work.write("README.md", "words\n");
    scene.commit(None, 9, "Explain");
    let bad = scene.work.head();
    scene.document(
        "meshes/rosa/mesh.yaml",
        "kind: Mesh\nmetadata: {name: rosa}\nspec: {trustDomain: evil.example, members: [apps]}\n",
    );
    scene.commit(Some("aro"), 10, "Not mine to change");
    let worse = scene.work.head();
    scene.work.git(&["checkout", "--quiet", "HEAD~1", "--", "meshes/rosa/mesh.yaml"]);
    let accept = format!("Take them as they are\n\nMeshfed-Accept: {bad}\nMeshfed-Accept: {worse}");
    scene.commit(Some("root"), 11, &accept);
    scene.weigh(50);
    scene.commit(None, 12, "In a hurry");
    scene.weigh(60);
    scene.commit(Some("rosa"), 13, "On top of it");

    insta::assert_snapshot!("log", scene.log(&PAST));
    let trust = scene.trusting();
    let trust: Vec<&str> = trust.iter().map(String::as_str).collect();
    insta::assert_snapshot!("log_verified", scene.log(&[&PAST[..], &trust].concat()));

    let filtered = |arguments: &[&str]| scene.log(&[arguments, &["-o", "json"]].concat());
    let count =
        |arguments: &[&str]| serde_json::from_str::<serde_json::Value>(&filtered(arguments)).unwrap().as_array().unwrap().len();
    let all = count(&[]);
    for (arguments, fewer) in [
        (&["--mesh", "aro"][..], 11),
        (&["--peering", "aro:rosa"], 8),
        (&["--service", "details"], 6),
        (&["--service", "apps/details-v2"], 1),
        (&["--kind", "import", "--kind", "export"], 2),
        (&["--signer", "agent of aro"], 1),
        (&["--since", "2026-11-20T10:06:00Z", "--until", "2026-11-20T10:07:00Z"], 1),
        (&["--since", "1s"], 0),
        (&["-n", "2"], 2),
    ] {
        let found = count(arguments);
        assert!(found == fewer && found < all, "{arguments:?}: {found}\n{}", scene.log(arguments));
    }
    let json: serde_json::Value = serde_json::from_str(&filtered(&["--service", "apps/details-v2"])).unwrap();
    let (entry, change) = (&json[0], &json[0]["changes"][0]);
    assert_eq!((&entry["branch"], &entry["author"]), (&"main".into(), &"platform@example.com".into()), "{entry:#}");
    assert_eq!((&entry["verification"]["state"], &entry["applied"]["aro"]), (&"verified".into(), &"2026-11-20T10:05:30Z".into()));
    assert_eq!(
        (&change["topic"], &change["mesh"], &change["peer"]),
        (&"import".into(), &"rosa".into(), &"aro".into()),
        "{change:#}"
    );
}

#[test]
fn an_object_is_explained_down_to_who_wrote_which_line() {
    let scene = Scene::new();
    scene.weigh(40);
    scene.commit(Some("rosa"), 6, "Send more to aro");
    scene.publish("rosa", Some("rosa-agent"), 7, "  holds: ['ServiceMeshPeer/rosa/aro: waits for the CA root of aro']\n");
    let repo = scene.work.path().display().to_string();
    let explain = |arguments: &[&str]| scene.place.run(&[&["explain", "--repo", &repo, "--mesh", "rosa"], arguments].concat());
    for (object, picture) in [("vs/details", "explain_traffic"), ("servicemeshpeers/aro", "explain_peer")] {
        let ran = explain(&[object]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        insta::assert_snapshot!(picture, scene.numbered(ran.out));
    }
    let json: serde_json::Value =
        serde_json::from_str(&explain(&["VirtualService/apps/details", "-o", "json", "--field", "spec.http[0].route[1]"]).out)
            .unwrap();
    let parts = json["parts"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        parts.iter().map(|part| (part["place"].as_str().unwrap(), part["commit"]["subject"].as_str().unwrap())).collect();
    let expected =
        [("meshes/rosa/traffic/details.yaml:8", "Send more to aro"), ("meshes/rosa/peers/aro.yaml:6", "Use details of aro")];
    assert_eq!(told, expected, "{json:#}");
    let unknown = explain(&["smp/nobody"]);
    assert_eq!((unknown.code, &*unknown.out), (Some(3), ""));
    assert!(unknown.err.contains("there is: ServiceMeshPeer/rosa/aro"), "{}", unknown.err);
    assert_eq!(explain(&["nothing"]).code, Some(3));
    assert!(explain(&["smp/arro"]).err.contains("did you mean ServiceMeshPeer/rosa/aro?"));
}

#[test]
fn a_status_is_narrowed_and_waited_for() {
    let scene = Scene::new();
    let ready = "  peerings:\n    PEER: {ready: true, connected: true}\n";
    scene.publish("rosa", Some("rosa-agent"), 4, &ready.replace("PEER", "aro"));
    let repo = scene.work.path().display().to_string();
    let status = |arguments: &[&str]| scene.place.run(&[&["status", "--repo", &repo, "-o", "json"], arguments].concat());
    let code = |arguments: &[&str]| status(arguments).code;
    assert_eq!(code(&["--wait", "--timeout", "1ms"]), Some(1), "the agent of aro never published");
    assert_eq!(code(&["--wait=applied", "--mesh", "rosa", "--timeout", "1ms"]), Some(0), "but rosa has applied the tip");
    let json: serde_json::Value = serde_json::from_str(&status(&["--mesh", "rosa"]).out).unwrap();
    assert_eq!(json["meshes"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&json["peerings"][0]["declaredByBoth"], &json["peerings"][0]["connected"][1]),
        (&true.into(), &serde_json::Value::Null)
    );
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| code(&["--wait=applied", "--peering", "aro:rosa", "--timeout", "5m"]));
        scene.publish("aro", Some("aro-agent"), 5, &ready.replace("PEER", "rosa"));
        assert_eq!(waits.join().unwrap(), Some(0));
    });
    let graph = |format: &str| scene.place.run(&["graph", "--repo", &repo, "-o", format]);
    insta::assert_snapshot!("graph", graph("mermaid").out);
    assert!(graph("dot").out.contains("\"rosa\" -- \"aro\"") && graph("svg").out.contains(">rosa</text>"));
    assert_eq!(status(&["--mesh", "nobody"]).code, Some(3));
    assert_eq!(code(&["--watch", "--wait"]), Some(2));
}

#[test]
fn an_anchor_that_is_not_meant_is_no_answer() {
    let scene = Scene::new();
    let repo = scene.work.path().display().to_string();
    let digest = format!("sha256:{}", "0".repeat(64));
    let anchor = scene.work.anchor.to_string();
    let ran = scene.place.run(&["log", "--repo", &repo, "--trust-anchor", &anchor, "--trust-digest", &digest]);
    assert_eq!((ran.code, &*ran.out), (Some(3), ""), "{}", ran.err);
    assert!(ran.err.contains("WrongDigest"), "{}", ran.err);
    let ran = scene.place.run(&["log", "--repo", &repo, "--mesh", "nope"]);
    assert!(ran.code == Some(0) && ran.err.contains("nothing here is about a mesh `nope`"), "{}", ran.err);
    for arguments in [&["--trust-anchor", anchor.as_str()][..], &["--kind", "nothing"], &["--since", "soon"], &["--peering", "a"]]
    {
        let ran = scene.place.run(&[&["log", "--repo", &repo], arguments].concat());
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{arguments:?}: {}", ran.err);
    }
}
