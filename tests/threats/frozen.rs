//! T1, T2, T3, T8, T9, T10, T11: what the real agent does about a history that does not verify. What was verified stays in use and is looked after,
//! nothing newer is taken, people are told, and the ways out work.

use std::fs;

use meshfed::trust::{Id, Verifier};
use serde_json::{Value, json};

use crate::lab::git_store::{git, run};
use crate::solo::{self, Solo};
use crate::stage::{Agent, eventually};
use crate::trust::repository::{Work, id};

/// A mesh whose people sign, and an agent that asks for it.
struct Signed {
    solo: Solo,
    work: Work,
}

impl Signed {
    fn new(mesh: &str) -> Self {
        let solo = Solo::empty(mesh);
        let work = Work::begin(|work| {
            work.write("federation.yaml", solo::federation());
            let keys = format!("  agent: {{keys: [{}]}}\n", work.public("agent"));
            work.write(&solo.path("mesh.yaml"), &(solo.mesh_file() + &keys));
        });
        Self { solo, work }
    }

    fn agent(&self) -> Agent {
        self.agent_with("agent", &[])
    }

    /// The agent with somebody's key, and more arguments.
    fn agent_with(&self, key: &str, more: &[&str]) -> Agent {
        let anchor = self.work.anchor.to_string();
        let digest = Verifier::digest(&self.work.mirror(), self.work.anchor).unwrap().to_string();
        let key = self.work.key(key).display().to_string();
        let introduction = ["--trust-anchor", &anchor, "--trust-digest", &digest, "--signing-key", &key];
        self.solo.agent_with(&self.work.url(), &[&introduction, more].concat())
    }

    /// Declares the whole of the mesh's ConfigMaps, by name and value.
    fn declare(&self, signer: Option<&str>, maps: &[(&str, &str)]) -> Id {
        let documents: String = maps.iter().map(|(name, value)| self.solo.config_map(name, value)).collect();
        self.work.change(signer, &self.solo.path("manifests/all.yaml"), &documents)
    }

    fn wait_for(&self, name: &str, value: &str) {
        self.solo.wait_for_value(name, Some(value));
    }

    fn status(&self) -> String {
        let object = format!("published/{}:status.yaml", self.solo.mesh);
        let mut command = git(self.work.scratch());
        let output = command.arg("-C").arg(self.work.path()).args(["cat-file", "-p", &object]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the published status has all of these words.
    fn wait_for_status(&self, words: &[&str]) -> String {
        eventually(&format!("{words:?} in the status"), || match self.status() {
            status if words.iter().all(|word| status.contains(word)) => Ok(status),
            status => Err(status),
        })
    }

    fn wait_until_thawed(&self) {
        eventually("main is verified", || match self.status() {
            status if status.contains("verified: verified") && !status.contains("frozen: ") => Ok(()),
            status => Err(status),
        });
    }

    /// What somebody edits by hand is as it was again.
    fn assert_drift_is_repaired(&self, name: &str, value: &str) {
        self.solo.kubectl(&[
            "patch",
            "configmap",
            name,
            "-n",
            &self.solo.apps,
            "--type=merge",
            "-p",
            r#"{"data":{"key":"drift"}}"#,
        ]);
        self.wait_for(name, value);
    }

    /// Reasons of the events about the control plane, oldest first.
    fn events(&self) -> Vec<String> {
        let list = self.solo.kubectl(&["get", "events", "-n", &self.solo.mesh, "-o", "json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let mut found: Vec<(String, String)> = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| event["involvedObject"]["kind"] == "ServiceMeshControlPlane")
            .map(|event| (event["eventTime"].to_string(), event["reason"].as_str().unwrap_or_default().to_owned()))
            .collect();
        found.sort();
        found.into_iter().map(|(_, reason)| reason).collect()
    }

    /// A peer whose agent signs with the key `agent-<peer>`, as people declare both sides.
    fn declare_peer(&self, peer: &str, agent: &str) {
        let Solo { mesh, .. } = &self.solo;
        let exports = format!("  exports: [{{service: {peer}-apps/details, as: shop/{peer}}}]\n");
        let mesh_file = solo::mesh_file(peer, &format!("  members: [{peer}-apps]\n{agent}"));
        self.work.write(&format!("meshes/{peer}/mesh.yaml"), &mesh_file);
        self.work.write(&format!("meshes/{peer}/peers/{mesh}.yaml"), &solo::peer_file(mesh, &exports));
        self.work.change(Some("root"), &self.solo.path(&format!("peers/{peer}.yaml")), &self.solo.peer_half(peer));
    }

    /// Its agent publishes an address, on the branch's tip.
    fn publish(&self, signer: &str, peer: &str, root: &str, address: &str) -> Id {
        let facts = json!({
            "apiVersion": "meshfed.dev/v1alpha1", "kind": "Published", "metadata": {"name": peer},
            "spec": {"caRoots": [root], "ingress": {
                &self.solo.mesh: {"addresses": [address], "discoveryPort": 8188, "servicePort": 15443}}},
        });
        let blob = self.work.object("blob", facts.to_string().as_bytes());
        let tree = self.work.object("tree", &[b"100644 published.yaml\0", blob.0.as_slice()].concat()).to_string();
        let branch = format!("refs/heads/published/{peer}");
        let tip = self.work.git(&["for-each-ref", "--format=%(objectname)", &branch]);
        let mut arguments = vec!["commit-tree", "-S", "-m", "Facts", &tree];
        if !tip.is_empty() {
            arguments.extend(["-p", &tip]);
        }
        let mut command = git(self.work.scratch());
        command.arg("-C").arg(self.work.path()).args(["-c", "gpg.format=ssh", "-c"]);
        let commit = run(command.arg(format!("user.signingkey={}", self.work.key(signer).display())).args(arguments));
        self.work.git(&["update-ref", &branch, &commit]);
        id(&commit)
    }

    fn wait_for_address(&self, peer: &str, address: &str) {
        eventually(&format!("{peer} is at {address}"), || {
            let found = self.solo.get("servicemeshpeer", peer).unwrap_or_default();
            let found = &found["spec"]["remote"]["addresses"];
            if *found == json!([address]) { Ok(()) } else { Err(found.to_string()) }
        });
    }

    /// Loses all that the agent remembers in its ConfigMap.
    fn forget_state(&self) {
        self.solo.kubectl(&["delete", "configmap", "meshfed", "-n", &self.solo.mesh]);
    }

    fn forget_mirror(&self) {
        fs::remove_dir_all(self.solo.scratch.join(&format!("state-{}", self.solo.mesh))).unwrap();
    }

    /// `main` is refused at this commit by this rule, and goes on when it is reset.
    fn assert_frozen_until_reset(&self, bad: Id, rule: &str, good: Id) {
        self.wait_for_status(&[&format!("main: commit {bad} {rule}"), &format!("origin {good}:main")]);
        self.work.reset(good);
        self.wait_until_thawed();
    }
}

#[test]
fn t02_unsigned_junk_freezes_and_a_word_of_root_lets_it_go_on() {
    let signed = Signed::new("frozen-junk");
    let agent = signed.agent();
    let good = signed.declare(Some("root"), &[("a", "one")]);
    signed.wait_for("a", "one");
    signed.wait_until_thawed();

    let bad = signed.declare(None, &[("a", "evil"), ("b", "new")]);
    let way_out = format!("meshfed trust accept {bad}");
    let reset = format!("git push --force-with-lease=main:{bad} origin {good}:main");
    signed.wait_for_status(&[&format!("main: commit {bad} Unsigned: it is not signed"), &way_out, &reset, "frozen: "]);
    agent.wait_for("main: frozen");
    signed.assert_drift_is_repaired("a", "one");
    eventually("an event at the control plane", || match signed.events() {
        events if events == ["Frozen"] => Ok(()),
        events => Err(format!("{events:?}")),
    });

    // It does not get better under a good commit.
    let on_top = signed.declare(Some("root"), &[("a", "evil"), ("b", "new"), ("c", "more")]);
    signed.wait_for_status(&[&format!("--force-with-lease=main:{on_top}")]);
    signed.assert_drift_is_repaired("a", "one");
    assert_eq!((signed.solo.value("b"), signed.solo.value("c")), (None, None));

    signed.work.accept("rosa", &[bad]);
    let tip = signed.declare(Some("root"), &[("a", "taken"), ("c", "more")]);
    signed.wait_for_status(&[&format!("--force-with-lease=main:{tip}"), &format!("main: commit {bad} Unsigned")]);
    signed.assert_drift_is_repaired("a", "one");
    signed.work.accept("root", &[bad]);
    signed.wait_for("a", "taken");
    signed.wait_for("c", "more");
    signed.wait_until_thawed();
    assert_eq!(signed.solo.value("b"), None, "what was never served was never applied");
    eventually("an event at the control plane", || match signed.events() {
        events if events == ["Frozen", "Thawed"] => Ok(()),
        events => Err(format!("{events:?}")),
    });
}

#[test]
fn t03_an_older_main_is_refused_whatever_is_lost() {
    let signed = Signed::new("frozen-rewound");
    let agent = signed.agent();
    let old = signed.declare(Some("root"), &[("a", "one")]);
    signed.wait_for("a", "one");
    let newest = signed.declare(Some("root"), &[("a", "two")]);
    signed.wait_for("a", "two");
    signed.wait_until_thawed();
    let rewind = || {
        signed.work.reset(old);
        signed.work.git(&["reflog", "expire", "--expire=now", "--all"]);
        signed.work.git(&["gc", "--quiet", "--prune=now"]);
    };
    signed.work.git(&["branch", "kept", &newest.to_string()]); // on the host; agents do not see it
    rewind();
    let rewound = format!("main: commit {old} SourceRewound");
    signed.wait_for_status(&[&rewound, &format!("origin {newest}:main")]);
    signed.assert_drift_is_repaired("a", "two");

    // Without the ConfigMap the objects tell.
    drop(agent);
    signed.forget_state();
    let agent = signed.agent();
    agent.wait_for("SourceRewound");
    signed.assert_drift_is_repaired("a", "two");

    // Without the mirror there is nothing to correct drift to, and still nothing older is applied.
    drop(agent);
    signed.forget_state();
    signed.forget_mirror();
    let agent = signed.agent();
    agent.wait_for(&format!("{newest}, which was verified, is no longer in the repository"));
    agent.wait_for("everything stays as it is");
    assert_eq!(signed.solo.value("a").as_deref(), Some("two"));
    signed.wait_for_status(&["frozen: ", "is no longer in the repository"]);

    signed.work.reset(newest);
    signed.wait_until_thawed();
    signed.declare(Some("root"), &[("a", "three")]);
    signed.wait_for("a", "three");
}

#[test]
fn an_agent_that_died_between_floor_and_apply_goes_on_from_the_floor() {
    let signed = Signed::new("frozen-crash");
    let agent = signed.agent();
    let old = signed.declare(Some("root"), &[("a", "one")]);
    signed.wait_for("a", "one");
    signed.wait_until_thawed();
    drop(agent);
    let newest = signed.declare(Some("root"), &[("a", "two")]);
    let floor = json!({"data": {"verified": format!("main {newest}\n")}}).to_string();
    signed.solo.kubectl(&["patch", "configmap", "meshfed", "-n", &signed.solo.mesh, "--type=merge", "-p", &floor]);
    signed.work.reset(old);
    let agent = signed.agent();
    agent.wait_for("SourceRewound");
    assert_eq!(signed.solo.value("a").as_deref(), Some("one"));
    signed.work.reset(newest);
    signed.wait_for("a", "two");
}

#[test]
fn t08_t09_t11_no_history_that_does_not_verify_is_applied() {
    let signed = Signed::new("frozen-histories");
    let agent = signed.agent();
    let good = signed.declare(Some("root"), &[("a", "one")]);
    signed.wait_for("a", "one");
    signed.wait_until_thawed();
    let work = &signed.work;
    let evil = [("a", "evil")];

    // T1: the key of an agent, on main. T2: somebody's own key.
    let bad = signed.declare(Some("agent"), &evil);
    signed.assert_frozen_until_reset(bad, "UnknownSigner", good);
    let bad = signed.declare(Some("stranger"), &evil);
    signed.assert_frozen_until_reset(bad, "UnknownSigner", good);
    // T7: who has a key, outside of her folder. T8: hidden under good ones.
    let bad = signed.declare(Some("rosa"), &evil);
    signed.declare(Some("root"), &[("a", "one")]);
    signed.declare(Some("root"), &[("a", "two")]);
    signed.assert_frozen_until_reset(bad, "PathDenied", good);
    // T9: a merge that brings in what its signer may not change.
    work.git(&["checkout", "--quiet", "-b", "side"]);
    signed.declare(None, &evil);
    work.git(&["checkout", "--quiet", "main"]);
    let bad = work.signed(Some("rosa"), &["merge", "--quiet", "--no-ff", "-m", "Merge", "side"], &[]);
    signed.assert_frozen_until_reset(bad, "PathDenied", good);
    // T11: a revoked key with an old date, and the revocation taken back.
    work.append("trust/revoked_keys", &work.public("rosa"));
    let revoked = work.commit(Some("root"), "Revoke rosa's key");
    work.write("meshes/rosa/mesh.yaml", "a: evil\n");
    let bad = work.commit_with(Some("rosa"), "Long ago", &[("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")]);
    signed.assert_frozen_until_reset(bad, "RevokedKey", revoked);
    let bad = work.signed(Some("root"), &["revert", "--no-edit", "HEAD"], &[]);
    signed.assert_frozen_until_reset(bad, "RevocationShrunk", revoked);

    signed.declare(Some("root"), &[("a", "last")]);
    signed.wait_for("a", "last");
    let applied = agent.events().into_iter().filter(|event| event["event"] == "applied");
    let maps = applied.filter(|event| event["object"] == format!("ConfigMap/{}/a", signed.solo.apps));
    assert_eq!(maps.count(), 2, "{}", agent.process.log_tail());
}

#[test]
fn an_agent_that_is_introduced_wrongly_changes_nothing_and_says_so() {
    let signed = Signed::new("frozen-stranger");
    let other = format!("sha256:{}", "0".repeat(64));
    let anchor = signed.work.anchor.to_string();
    let arguments = ["--trust-anchor", &anchor, "--trust-digest", &other, "--once"];
    let mut agent = signed.solo.agent_with(&signed.work.url(), &arguments);
    let status = agent.process.wait(crate::stage::DEADLINE).unwrap();
    assert_eq!(status.code(), Some(1));
    let log = agent.process.log();
    assert!(log.contains("WrongDigest") && log.contains("meshfed trust show --at"), "{log}");
    assert!(signed.solo.get("configmap", "meshfed").is_none());
}

#[test]
fn a_mode_that_warns_applies_and_tells() {
    let signed = Signed::new("frozen-warns");
    let _agent = signed.agent_with("agent", &["--verification", "warn"]);
    let bad = signed.declare(None, &[("a", "one")]);
    signed.wait_for("a", "one");
    signed.wait_for_status(&[&format!("main: commit {bad} Unsigned"), "not verified (verification only warns)"]);
    let state = signed.solo.get("configmap", "meshfed").unwrap();
    let floor = state["data"]["verified"].as_str().unwrap_or_default();
    assert!(floor.contains(&signed.work.anchor.to_string()) && !floor.contains(&bad.to_string()), "{floor}");
}

#[test]
fn t01_t10_what_an_agents_key_did_not_sign_concerns_that_peer_alone() {
    let signed = Signed::new("frozen-peers");
    let keys = |name: &str, more: &str| format!("  agent: {{keys: [{}]{more}}}\n", signed.work.public(name));
    signed.declare_peer("aro", &keys("agent-aro", ""));
    signed.declare_peer("gcp", &keys("agent-gcp", ""));
    signed.declare_peer("keyless", "");
    let root = solo::root();
    signed.publish("agent-keyless", "keyless", &root, "192.0.2.1");
    signed.publish("agent-gcp", "gcp", &root, "192.0.2.2");
    signed.publish("agent-aro", "aro", &root, "192.0.2.3");
    let agent = signed.agent();
    signed.wait_for_address("aro", "192.0.2.3");
    let keyless = signed.wait_for_status(&[
        "published/keyless: its newest commit UnknownSigner",
        "Nothing of that branch is believed",
        "lists no key",
    ]);
    assert!(!keyless.contains("published/aro"), "{keyless}");
    assert!(signed.solo.get("servicemeshpeer", "keyless").is_none());

    // T1: the key of one agent on the branch of another. The rest goes on.
    let bad = signed.publish("agent-gcp", "aro", &root, "192.0.2.66");
    signed.publish("agent-gcp", "gcp", &root, "192.0.2.4");
    signed.declare(Some("root"), &[("a", "one")]);
    signed.wait_for_status(&[&format!("published/aro: commit {bad} UnknownSigner"), "`spec.agent.disowned`"]);
    signed.wait_for_address("gcp", "192.0.2.4");
    signed.wait_for("a", "one");
    signed.wait_for_address("aro", "192.0.2.3");

    // Its people disown the commit, and its agent goes on where the branch is.
    signed.publish("agent-aro", "aro", &root, "192.0.2.5");
    signed.declare_peer("aro", &keys("agent-aro", &format!(", disowned: [{bad}]")));
    signed.wait_for_address("aro", "192.0.2.5");

    // T10: what was published once comes again. Without the ConfigMap the objects tell.
    signed.work.git(&["update-ref", "refs/heads/published/aro", &format!("{bad}~1")]);
    signed.wait_for_status(&["published/aro: commit", "SourceRewound"]);
    drop(agent);
    signed.forget_state();
    let agent = signed.agent();
    agent.wait_for("published/aro: commit");
    signed.declare(Some("root"), &[("a", "two")]);
    signed.wait_for("a", "two");
    signed.wait_for_address("aro", "192.0.2.5");
}

#[test]
fn an_agent_whose_key_nobody_lists_says_so_and_publishes_nothing() {
    let signed = Signed::new("frozen-unlisted");
    let agent = signed.agent_with("stranger", &[]);
    agent.wait_for("and nothing is published; list it there under `spec.agent.keys`");
    signed.declare(Some("root"), &[("a", "one")]);
    signed.wait_for("a", "one");
    drop(agent);
    assert_eq!(signed.status(), "", "it would freeze its branch for its peers");
}

#[test]
fn t10_an_agents_own_branch_that_goes_back_is_put_right_by_its_agent() {
    let signed = Signed::new("frozen-own");
    let agent = signed.agent();
    signed.declare(Some("root"), &[("a", "one")]);
    signed.wait_for("a", "one");
    signed.wait_until_thawed();
    let branch = format!("refs/heads/published/{}", signed.solo.mesh);
    signed.declare(Some("root"), &[("a", "two")]);
    let last = eventually("two commits", || {
        let count = signed.work.git(&["rev-list", "--count", &branch]);
        if count.parse::<u32>().unwrap() > 1 { Ok(signed.work.git(&["rev-parse", &branch])) } else { Err(count) }
    });
    // It has to be known to be verified: something new on main makes the agent look.
    signed.declare(Some("root"), &[("a", "three")]);
    eventually("the floor", || {
        let state = signed.solo.get("configmap", "meshfed").unwrap_or_default();
        let floor = state["data"]["verified"].as_str().unwrap_or_default();
        if floor.contains(&last) { Ok(()) } else { Err(floor.to_owned()) }
    });
    signed.work.git(&["update-ref", &branch, &format!("{last}~1")]);
    agent.wait_for("SourceRewound");
    eventually("the branch goes on from where it was", || {
        let base = signed.work.git(&["merge-base", &last, &branch]);
        if base == last { Ok(()) } else { Err(base) }
    });
    eventually("nothing is refused", || match signed.status() {
        status if status.contains("SourceRewound") => Err(status),
        _ => Ok(()),
    });
}
