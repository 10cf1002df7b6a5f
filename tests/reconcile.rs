//! `meshfed reconcile` asks a running agent for a pass.

use std::process::{Command, Output};

use crate::lab::cluster::Cluster;
use crate::solo::Solo;
use crate::stage::binary;

fn reconcile(solo: &Solo, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.env_clear().args(["reconcile", "--mesh", &solo.mesh, "--kubeconfig"]).arg(Cluster::shared().kubeconfig());
    command.args(arguments).output().expect("the binary can be run")
}

/// What it printed and how it ended, without the commit.
fn seen(solo: &Solo, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = reconcile(solo, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let tip = solo.git.git(&["rev-parse", "--short=7", "main"]);
    let said = (text(stdout) + &text(stderr)).replace(tip.trim(), "COMMIT").replace(&Cluster::shared().url(), "URL");
    format!("{said}exit code {}\n", status.code().unwrap_or(-1))
}

#[test]
fn a_running_agent_passes_when_it_is_asked_to() {
    let solo = Solo::new("reconcile");
    let mut all = seen(&solo, &[]);
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    let agent = solo.agent_with(&solo.git.url(), &["--interval", "1h"]);
    solo.wait_for_value("a", Some("one"));
    agent.wait_for("published");

    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "two")));
    all += &seen(&solo, &["--wait", "--timeout", "2m"]);
    assert_eq!(solo.value("a").as_deref(), Some("two"), "{}", agent.process.log_tail());
    all += &seen(&solo, &["--wait", "--timeout", "2m"]); // nothing new is an answer too
    solo.commit("peers/nobody.yaml", Some(&solo.peer_half("nobody")));
    all += &seen(&solo, &["--wait", "--timeout", "2m"]);
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "three")));
    all += &seen(&solo, &[]);
    solo.wait_for_value("a", Some("three"));
    insta::assert_snapshot!(all);
}
