//! T4: the repository's host shows one history to one mesh and another one to its peer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::lab::cluster::Cluster;
use crate::lab::git_server::GitServer;
use crate::lab::process::Scratch;
use crate::solo::{Solo, federation, mesh_file, peer_file};
use crate::stage::{Agent, eventually};

const PEER: &str = "view-b";

/// What a host that shows two histories does: published branches go from one to the other, `main` does not.
fn relay(from: &GitServer, mesh: &str, to: &GitServer) {
    if from.head(&format!("published/{mesh}")).is_some() {
        let branch = format!("+refs/heads/published/{mesh}:refs/heads/published/{mesh}");
        to.git(&["fetch", "--quiet", &from.file_url(), &branch]);
    }
}

#[test]
fn t04_two_agents_on_two_forks_suspect_the_host_name_both_commits_and_go_on() {
    let here = Solo::empty("view-a");
    let scratch = Scratch::new(PEER);
    let there = GitServer::start(&scratch.join("git"));
    let spec = |mesh: &str| {
        format!("  members: [{mesh}-apps]\n  createNamespaces: true\n  controlPlane: {{base: {{spec: {{version: v2.5}}}}}}\n")
    };
    let base = [
        ("federation.yaml".to_owned(), federation().to_owned()),
        (here.path("mesh.yaml"), mesh_file(&here.mesh, &spec(&here.mesh))),
        (here.path(&format!("peers/{PEER}.yaml")), peer_file(PEER, "  exports: []\n")),
        (format!("meshes/{PEER}/mesh.yaml"), mesh_file(PEER, &spec(PEER))),
        (format!("meshes/{PEER}/peers/{}.yaml", here.mesh), peer_file(&here.mesh, "  exports: []\n")),
    ];
    let base: Vec<(&str, Option<&str>)> = base.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    here.git.commit("A federation", &base);
    there.git(&["fetch", "--quiet", &here.git.file_url(), "+refs/heads/main:refs/heads/main"]);
    let mine = here.git.commit("Seen by one", &[("README.md", Some("one"))]);
    let theirs = there.commit("Seen by the other", &[("README.md", Some("two"))]);

    let agent = here.agent();
    let kubeconfig = Cluster::shared().kubeconfig_for(PEER, &["system:masters"]);
    let peer = Agent::start(PEER, &there.file_url(), &kubeconfig, &scratch, &[]);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                relay(&here.git, &here.mesh, &there);
                relay(&there, PEER, &here.git);
                thread::sleep(Duration::from_millis(300));
            }
        });
        // Without this the relay would go on for ever where an expectation fails.
        let _ended = End(&ended);
        for (agent, other, seen, own) in [(&agent, PEER, &theirs, &mine), (&peer, &*here.mesh, &mine, &theirs)] {
            let line = format!(
                "forked view suspected: {other} says that it saw {} of main, which is not on the line of {}, ours",
                &seen[..7],
                &own[..7]
            );
            agent.wait_for(&line);
        }
        eventually("the published status has it", || match here.status() {
            status if status.contains(&format!("theirs: {theirs}")) => Ok(()),
            status => Err(status),
        });
        eventually("and an event", || {
            let events = here.kubectl(&["get", "events.events.k8s.io", "-n", &here.mesh, "-o", "jsonpath={.items[*].reason}"]);
            if events.contains("ForkedView") { Ok(()) } else { Err(events) }
        });
        here.commit("manifests/all.yaml", Some(&here.config_map("a", "one")));
        here.wait_for_value("a", Some("one"));
    });
}

/// Ends the relay.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
