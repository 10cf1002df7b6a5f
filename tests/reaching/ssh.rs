//! Over SSH, to OpenSSH's server.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use meshfed::repo::{Access, RepoError, SshKey};

use super::{fill, mirror, publish, status};
use crate::lab::process::{Process, Scratch};
use crate::lab::ssh_server::{HOST_KEYS, SshServer, make_key};
use crate::stage::eventually;

fn serving(scratch: &Scratch) -> SshServer {
    let server = SshServer::start(scratch, &HOST_KEYS);
    fill(&server);
    server
}

fn access(key: &Path, known_hosts: PathBuf) -> Access {
    let ssh_key = Some(SshKey { file: key.to_owned(), passphrase_file: None });
    Access { ssh_key, known_hosts: Some(known_hosts), ..Access::default() }
}

#[test]
fn every_kind_of_key_is_taken_from_people_and_from_hosts() {
    let scratch = Scratch::new("ssh-kinds");
    let server = serving(&scratch);
    for kind in HOST_KEYS {
        let key = server.client_key(kind, kind, "");
        // The host has keys of every kind, and only this one is known.
        let known = scratch.write("known", &server.known_hosts(&[kind]));
        let mut mirror = mirror(&scratch, &server.url(), access(&key, known));
        let refs = mirror.fetch().unwrap();
        assert_eq!(refs.main.map(|id| id.to_string()), server.head("main"), "{kind}");
        publish(&scratch, &mut mirror, kind).unwrap();
        assert_eq!(server.show("published/a:published.yaml").as_deref(), Some(kind));
    }
}

#[test]
fn a_host_without_a_known_key_is_refused_with_its_fingerprint() {
    let scratch = Scratch::new("ssh-hosts");
    let server = SshServer::start(&scratch, &["ed25519", "ecdsa"]);
    fill(&server);
    let key = server.client_key("id", "ed25519", "").display().to_string();
    let other = scratch.join("other");
    make_key(&other, "ed25519", "");
    let wrong = format!("[127.0.0.1]:{} {}", server.port(), fs::read_to_string(other.with_extension("pub")).unwrap());
    let elsewhere = server.known_hosts(&["ed25519"]).replace("127.0.0.1", "git.example");
    let revoked = format!("{}@revoked * {}", server.known_hosts(&["ed25519"]), {
        let line = server.known_hosts(&["ed25519"]);
        line.split_once(' ').unwrap().1.to_owned()
    });
    let rsa = scratch.join("rsa");
    make_key(&rsa, "rsa", "");
    let other_kind = format!("[127.0.0.1]:{} {}", server.port(), fs::read_to_string(rsa.with_extension("pub")).unwrap());
    for (known, words) in [
        (String::new(), "has none for 127.0.0.1"),
        (elsewhere, "ssh-keyscan -p"),
        (wrong, "somebody may stand between"),
        (other_kind, "somebody may stand between"),
        (revoked, "lists as @revoked"),
    ] {
        let file = scratch.write("known", &known).display().to_string();
        let (code, said) = status(&scratch, &server.url(), &["--ssh-key", &key, "--ssh-known-hosts", &file], &[]);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("is not trusted") && said.contains("SHA256:") && said.contains(words), "{words}: {said}");
    }
    let missing = scratch.join("none").display().to_string();
    let (code, said) = status(&scratch, &server.url(), &["--ssh-key", &key, "--ssh-known-hosts", &missing], &[]);
    assert!(code == Some(3) && said.contains(&missing), "{said}");
    assert_eq!(server.logins(), 0, "nobody showed a key to a host that is not known");
}

#[test]
fn a_person_needs_no_flags() {
    let scratch = Scratch::new("ssh-person");
    let server = serving(&scratch);
    fs::create_dir(scratch.join(".ssh")).unwrap();
    fs::write(scratch.join(".ssh/known_hosts"), server.known_hosts(&HOST_KEYS)).unwrap();
    let (code, said) = status(&scratch, &server.url(), &[], &[]);
    assert!(code == Some(3) && said.contains("no key of ssh-agent or in ~/.ssh"), "{said}");
    fs::copy(server.client_key("own", "ed25519", ""), scratch.join(".ssh/id_ed25519")).unwrap();
    let (code, said) = status(&scratch, &server.url(), &[], &[]);
    assert_eq!(code, Some(1), "it reads that no agent has published yet: {said}");
    let by_name = server.url().replace("127.0.0.1", "localhost");
    let (code, said) = status(&scratch, &by_name, &[], &[]);
    assert!(code == Some(3) && said.contains("has none for localhost"), "{said}");
}

#[test]
fn a_key_that_cannot_be_used_is_told_by_what_is_wrong_with_it() {
    let scratch = Scratch::new("ssh-keys");
    let server = serving(&scratch);
    let known = scratch.write("known", &server.known_hosts(&HOST_KEYS)).display().to_string();
    let passphrase = scratch.write("passphrase", "correct horse\n").display().to_string();
    let wrong = scratch.write("wrong", "battery staple\n").display().to_string();
    let locked = server.client_key("locked", "ed25519", "correct horse").display().to_string();
    let stranger = scratch.join("stranger");
    make_key(&stranger, "ed25519", "");
    let (stranger, public) = (stranger.display().to_string(), format!("{}.pub", stranger.display()));
    let with = |arguments: &[&str]| status(&scratch, &server.url(), &[&["--ssh-known-hosts", &known], arguments].concat(), &[]);
    for (arguments, words) in [
        (&["--ssh-key", &*locked][..], "--ssh-key-passphrase-file"),
        (&["--ssh-key", &locked, "--ssh-key-passphrase-file", &wrong], "is not let in with it"),
        (&["--ssh-key", &stranger], "is not let in with it"),
        (&["--ssh-key", &public], "it is not a private key"),
        (&["--ssh-key", "/nowhere/key"], "/nowhere/key"),
    ] {
        let (code, said) = with(arguments);
        assert!(code == Some(3) && said.contains("refuses access") && said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("correct horse") && !said.contains("battery staple"), "{said}");
    }
    let (code, said) = with(&["--ssh-key", &locked, "--ssh-key-passphrase-file", &passphrase]);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn keys_of_an_ssh_agent_are_tried() {
    let scratch = Scratch::new("ssh-agent");
    let server = serving(&scratch);
    let known = scratch.write("known", &server.known_hosts(&HOST_KEYS)).display().to_string();
    let socket = scratch.join("agent.sock").display().to_string();
    let _agent = Process::spawn("ssh-agent", Command::new("ssh-agent").args(["-D", "-a", &socket]), &scratch);
    let stranger = scratch.join("stranger");
    make_key(&stranger, "ed25519", "");
    for key in [stranger, server.client_key("own", "rsa", "")] {
        let key = key.display().to_string();
        eventually("the agent takes a key", || {
            let output = Command::new("ssh-add").args(["-q", &key]).env("SSH_AUTH_SOCK", &socket).output().unwrap();
            if output.status.success() { Ok(()) } else { Err(format!("{output:?}")) }
        });
    }
    let (code, said) = status(&scratch, &server.url(), &["--ssh-known-hosts", &known], &[("SSH_AUTH_SOCK", &socket)]);
    assert_eq!(code, Some(1), "{said}");
}

/// Puts files in place as the kubelet does: a new folder, then one link to it replaced.
fn mount(volume: &Path, version: &str, files: &[(&str, String)]) {
    let data = volume.join(version);
    fs::create_dir_all(&data).unwrap();
    for (name, content) in files {
        fs::write(data.join(name), content).unwrap();
        let link = volume.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    symlink(version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[test]
fn a_key_and_known_hosts_replaced_on_disk_are_used_at_once() {
    let scratch = Scratch::new("ssh-swap");
    let server = serving(&scratch);
    let (first, volume) = (server.client_key("first", "ed25519", ""), scratch.join("secret"));
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    mount(&volume, "..1", &[("key", text(&first)), ("known_hosts", server.known_hosts(&HOST_KEYS))]);
    let mut mirror = mirror(&scratch, &server.url(), access(&volume.join("key"), volume.join("known_hosts")));
    mirror.fetch().unwrap();
    server.let_nobody_in();
    assert!(matches!(mirror.fetch(), Err(RepoError::Denied { .. })));
    let second = server.client_key("second", "rsa", "");
    mount(&volume, "..2", &[("key", text(&second)), ("known_hosts", server.known_hosts(&HOST_KEYS))]);
    mirror.fetch().unwrap();
    mount(&volume, "..3", &[("key", text(&second)), ("known_hosts", String::new())]);
    assert!(matches!(mirror.fetch(), Err(RepoError::Untrusted { .. })));
}

#[test]
fn a_repository_that_is_not_there_is_told_in_the_hosts_words() {
    let scratch = Scratch::new("ssh-missing");
    let server = serving(&scratch);
    let key = server.client_key("id", "ed25519", "");
    let known = scratch.write("known", &server.known_hosts(&HOST_KEYS));
    let url = server.url().replace("repo.git", "nothing.git");
    let error = mirror(&scratch, &url, access(&key, known)).fetch().unwrap_err();
    assert!(matches!(error, RepoError::Denied { .. }) && error.to_string().contains("nothing.git"), "{error}");
}

/// What Gitea 1.26 writes: an empty line in place of an answer, and its words, with a frame, beside it.
#[test]
fn a_host_that_refuses_in_words_is_told_in_them() {
    let scratch = Scratch::new("ssh-words");
    let server = serving(&scratch);
    let known = scratch.write("known", &server.known_hosts(&HOST_KEYS));
    let mut mirror = mirror(&scratch, &server.url(), access(&server.client_key("id", "ed25519", ""), known));
    mirror.fetch().unwrap();
    server.answer(r"echo; printf 'error:\nerror: Deploy Key: 2:ro is not authorized to write to platform/federation.\nerror:\n' >&2; exit 1");
    let error = publish(&scratch, &mut mirror, "one").unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, RepoError::Denied { .. }), "{message}");
    assert!(message.contains("the host says: Deploy Key: 2:ro is not authorized to write to platform/federation;"), "{message}");
}

/// CPU time of this process so far, in milliseconds (proc(5): clock ticks, of which Linux has 100 a second).
fn cpu_millis() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().unwrap() * 10).sum()
}

#[test]
fn a_poll_with_nothing_new_is_one_login() {
    const POLLS: usize = 20;
    let scratch = Scratch::new("ssh-poll");
    let server = serving(&scratch);
    let key = server.client_key("id", "ed25519", "");
    let known = scratch.write("known", &server.known_hosts(&["ed25519"]));
    let mut mirror = mirror(&scratch, &server.url(), access(&key, known));
    mirror.fetch().unwrap();
    let (logins, cpu, start) = (server.logins(), cpu_millis(), Instant::now());
    for _ in 0..POLLS {
        mirror.fetch().unwrap();
    }
    assert_eq!(server.logins() - logins, POLLS);
    println!("{POLLS} polls over SSH: {:?}, {} ms of CPU here (alone in its process)", start.elapsed(), cpu_millis() - cpu);
}
