//! The program in the image finds its repository: names, certificates and keys, without anything that a system usually has.

use std::fs;

use super::container::{Container, USER, may_change_the_root};
use crate::lab::certs::Authority;
use crate::lab::cluster::Cluster;
use crate::lab::dns::Dns;
use crate::lab::process::Process;
use crate::lab::ssh_server::SshServer;
use crate::lab::tls;
use crate::solo::Solo;
use crate::stage::eventually;

/// Starts the agent of a mesh in a container, with the shared cluster.
fn agent(container: &Container, solo: &Solo, name: &str, repo: &str, settings: &[(&str, &str)]) -> Process {
    let kubeconfig = fs::read_to_string(Cluster::shared().kubeconfig_for(&solo.mesh, &["system:masters"])).unwrap();
    let kubeconfig = container.mount(&format!("/state/kubeconfig-{name}"), kubeconfig.as_bytes(), USER);
    let state = format!("/state/{name}");
    let arguments = ["agent", "--mesh", &solo.mesh, "--repo", repo, "--kubeconfig", &kubeconfig, "--verification", "off"];
    let mut command = container.command(USER, USER);
    command.args(arguments).args(["--interval", "1s", "--state-dir", &state]).envs(settings.iter().copied());
    Process::spawn(name, &command, &solo.scratch)
}

#[test]
fn it_finds_its_repository_by_name_over_https_and_ssh_as_any_user_without_writing_elsewhere() {
    if !may_change_the_root() {
        return;
    }
    let dns = Dns::start(&["git.lab.example"]).expect("root may listen on port 53");
    let solo = Solo::new("in-image");
    let container = Container::new(&solo.scratch, "root");
    container.mount("/etc/resolv.conf", dns.resolv_conf().as_bytes(), 0);
    container.mount("/etc/hosts", b"127.0.0.1 hosts.lab.example\n", 0);
    let before = container.outside_of_state();

    let authority = Authority::new("git-host");
    let port = tls::in_front(&authority, &solo.git.url(), None).port();
    let ca = container.mount("/state/ca.crt", authority.root().as_bytes(), USER);
    for host in ["git.lab.example", "hosts.lab.example"] {
        let before = solo.git.requests().len();
        let repo = format!("https://{host}:{port}/repo.git");
        let agent = agent(&container, &solo, &format!("https-{host}"), &repo, &[("MESHFED_HTTP_CA_FILE", &ca)]);
        eventually("the agent finds the repository by https and publishes", || {
            let published = solo.git.show(&format!("published/{}:status.yaml", solo.mesh));
            published.filter(|_| solo.git.requests().len() > before).ok_or_else(|| agent.log_tail())
        });
    }
    assert!(dns.asked().iter().any(|name| name == "git.lab.example"), "nobody asked for the name");

    let ssh = SshServer::start(&solo.scratch, &["ed25519"]);
    ssh.git(&["fetch", "--quiet", &solo.git.file_url(), "main:main"]);
    let key = fs::read(ssh.client_key("image", "ed25519", "")).unwrap();
    let key = container.mount("/state/ssh-privatekey", &key, USER);
    for host in ["git.lab.example", "hosts.lab.example"] {
        let known = ssh.known_hosts(&["ed25519"]).replace("127.0.0.1", host);
        let known = container.mount(&format!("/state/known_hosts-{host}"), known.as_bytes(), USER);
        let settings = [("MESHFED_SSH_KEY", key.as_str()), ("MESHFED_SSH_KNOWN_HOSTS", &known)];
        let before = ssh.logins();
        let agent = agent(&container, &solo, &format!("ssh-{host}"), &ssh.url().replace("127.0.0.1", host), &settings);
        eventually("the agent finds the repository by ssh and publishes", || {
            let published = ssh.show(&format!("published/{}:status.yaml", solo.mesh));
            published.filter(|_| ssh.logins() > before).ok_or_else(|| agent.log_tail())
        });
    }
    assert_eq!(container.outside_of_state(), before, "something was written outside of /state");
}
