//! The verifier, `git verify-commit` and `ssh-keygen -Y verify` on the same commits: over a thousand, good and bad in many ways.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use meshfed::trust::{Id, Kind, Objects, Rule, Unreadable, Verifier};
use sha2::{Digest as _, Sha256};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::{KeyData, SkEd25519};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey, Signature, SshSig};

use super::repository::{POLICY, Work, feed, id, lines};
use crate::lab::git_store::git;

/// Commits made.
const COMMITS: usize = 1_100;

/// 2023-11-14T22:13:20Z
const NOW: &str = "1700000000";

/// Somebody who signs.
struct Person {
    name: &'static str,
    /// Options in `allowed_signers`; `None` if not listed.
    options: Option<&'static str>,
    key: Key,
}

enum Key {
    /// Signs here.
    Software(Box<PrivateKey>),
    /// Signs as a hardware key does, with these flags.
    Hardware(Box<PrivateKey>, u8),
    /// Signs by ssh-keygen: the library cannot make RSA signatures.
    File(std::path::PathBuf, PublicKey),
}

impl Person {
    fn new(name: &'static str, options: Option<&'static str>, key: Key) -> Self {
        Self { name, options, key }
    }

    fn public(&self) -> PublicKey {
        match &self.key {
            Key::Software(key) => key.public_key().clone(),
            Key::Hardware(key, _) => {
                PublicKey::from(KeyData::SkEd25519(SkEd25519::from(*key.public_key().key_data().ed25519().unwrap())))
            }
            Key::File(_, public) => public.clone(),
        }
    }

    fn sign(&self, namespace: &str, hash: HashAlg, content: &[u8], work: &Work) -> String {
        match &self.key {
            Key::Software(key) => key.sign(namespace, hash, content).unwrap().to_pem(LineEnding::LF).unwrap(),
            Key::Hardware(key, flags) => {
                // PROTOCOL.u2f: hash of the application, flags, counter, hash of the content.
                let trailer = [&[*flags][..], &9_u32.to_be_bytes()].concat();
                let signed = SshSig::signed_data(namespace, hash, content).unwrap();
                let message = [&Sha256::digest("ssh:")[..], &trailer, &Sha256::digest(signed)].concat();
                let bytes = [plainly(key.as_ref(), &message), trailer].concat();
                let signature = Signature::new(Algorithm::SkEd25519, bytes).unwrap();
                let signature = SshSig::new(self.public().key_data().clone(), namespace, hash, signature).unwrap();
                signature.to_pem(LineEnding::LF).unwrap()
            }
            Key::File(file, _) => {
                let content_file = work.scratch().join("to-sign");
                fs::write(&content_file, content).unwrap();
                let _ = fs::remove_file(content_file.with_extension("sig"));
                let mut command = Command::new("ssh-keygen");
                command
                    .args(["-q", "-Y", "sign", "-n", namespace, "-O", &format!("hashalg={hash}"), "-f"])
                    .arg(file)
                    .arg(&content_file);
                assert!(command.output().unwrap().status.success());
                fs::read_to_string(content_file.with_extension("sig")).unwrap()
            }
        }
    }
}

fn plainly(key: &impl ssh_key::SigningKey, message: &[u8]) -> Vec<u8> {
    key.try_sign(message).unwrap().as_bytes().to_vec()
}

fn people(work: &Work) -> Vec<Person> {
    let ed25519 = |seed| Box::new(PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])), "").unwrap());
    let random = |curve| Key::Software(Box::new(PrivateKey::random(&mut rand_core::OsRng, Algorithm::Ecdsa { curve }).unwrap()));
    let rsa = |name: &str, bits: &str| {
        let file = work.key_of_type(name, &["-t", "rsa", "-b", bits]);
        let public = fs::read_to_string(file.with_extension("key.pub")).unwrap().parse().unwrap();
        Key::File(file, public)
    };
    vec![
        Person::new("ed25519", Some("namespaces=\"git\""), Key::Software(ed25519(1))),
        Person::new("p256", Some(""), random(EcdsaCurve::NistP256)),
        Person::new("p384", Some(""), random(EcdsaCurve::NistP384)),
        Person::new("p521", Some(""), random(EcdsaCurve::NistP521)),
        Person::new("rsa", Some(""), rsa("rsa", "3072")),
        Person::new("hardware", Some(""), Key::Hardware(ed25519(2), 0x01)),
        Person::new("stranger", None, Key::Software(ed25519(3))),
        Person::new("until", Some("valid-before=\"20231114221320Z\""), Key::Software(ed25519(4))),
        Person::new("expired", Some("valid-before=\"20231114221319Z\""), Key::Software(ed25519(5))),
        Person::new("from", Some("NAMESPACES=\"git\",valid-after=\"202311142213Z\""), Key::Software(ed25519(6))),
        Person::new("early", Some("valid-after=\"20231115\""), Key::Software(ed25519(7))),
        Person::new("revoked", Some(""), Key::Software(ed25519(8))),
    ]
}

/// Listed, but taken by Git only: the verifier asks for longer keys and for a touch.
fn weak(work: &Work) -> Vec<Person> {
    let key = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[9; 32])), "").unwrap();
    let file = work.key_of_type("short", &["-t", "rsa", "-b", "2048"]);
    let public = fs::read_to_string(file.with_extension("key.pub")).unwrap().parse().unwrap();
    vec![Person::new("untouched", Some(""), Key::Hardware(Box::new(key), 0)), Person::new("short", None, Key::File(file, public))]
}

/// What is done to a commit, and whether Git may take it where the verifier does not.
const WAYS: [(&str, bool); 16] = [
    ("as it is", false),
    ("as it is", false),
    ("sha256", false),
    ("other content", false),
    ("other namespace", false),
    ("no signature", false),
    ("another's signature", false),
    ("cut short", false),
    ("PGP", false),
    ("bit flipped", false),
    ("encoding header", false),
    ("second signature", true),
    ("unsigned header", true),
    ("NUL", true),
    ("narrow armour", false),
    ("merge", false),
];

struct Made {
    person: usize,
    signer: usize,
    way: &'static str,
    lenient: bool,
    payload: Vec<u8>,
    armour: Option<String>,
    id: Id,
}

#[test]
fn the_verifier_agrees_with_git_and_openssh_on_a_thousand_commits() {
    let work = Work::new();
    let mut people = people(&work);
    people.extend(weak(&work));
    let lines: Vec<String> = people
        .iter()
        .filter_map(|person| Some(format!("{} {} {}\n", person.name, person.options?, person.public().to_openssh().unwrap())))
        .collect();
    let root = work.signer_line("root");
    work.write("trust/allowed_signers", &format!("{}{root}\n", lines.concat()));
    let revoked = people.iter().find(|person| person.name == "revoked").unwrap().public().to_openssh().unwrap();
    work.write("trust/revoked_keys", &format!("{revoked}\n"));
    let names: Vec<&str> = people.iter().map(|person| person.name).collect();
    let policy = POLICY.replace("aro: [aro@example.com]", &format!("all: [{}]", names.join(", ")));
    work.write("trust/policy.yaml", &policy.replace("allow: [root, '{mesh}']", "allow: [all]"));
    let parent = work.commit(Some("root"), "List everybody");

    let made = make(&work, &people, parent);
    let ours = verdicts(&work, parent, &made);
    let theirs = by_git(&work, &made);
    let openssh = by_openssh(&work, &people, &made);
    let mut counts: BTreeMap<(bool, bool), usize> = BTreeMap::new();
    for (index, commit) in made.iter().enumerate() {
        let who = people[commit.person].name;
        let (rule, git, ssh) = (&ours[index], theirs[&commit.id], openssh[index]);
        let told = format!("{index}: {who}, {}: ours {rule:?}, git {git}, ssh-keygen {ssh}", commit.way);
        assert!(rule.is_some() || (git && ssh), "we take what they do not: {told}");
        let lenient = commit.lenient || ["untouched", "short"].contains(&people[commit.signer].name);
        assert!(lenient || (rule.is_none() == git && git == ssh), "{told}");
        *counts.entry((rule.is_none(), git)).or_default() += 1;
    }
    assert_eq!(made.len(), COMMITS);
    let count = |both| counts.get(&both).copied().unwrap_or_default();
    assert!(count((true, true)) > 200 && count((false, false)) > 300 && count((false, true)) > 20, "{counts:?}");
}

fn make(work: &Work, people: &[Person], parent: Id) -> Vec<Made> {
    let tree = work.git(&["rev-parse", "HEAD^{tree}"]);
    let mut made: Vec<Made> = (0..COMMITS)
        .map(|index| {
            let (person, (way, lenient)) = (index % people.len(), WAYS[index / people.len() % WAYS.len()]);
            let who = format!("Person {index} <p{index}@example.com> {NOW} +0000");
            let more_parents = if way == "merge" { format!("parent {}\n", work.anchor) } else { String::new() };
            let encoding = if way == "encoding header" { "encoding ISO-8859-1\n" } else { "" };
            let nul = if way == "NUL" { "\0" } else { "" };
            let payload = format!(
                "tree {tree}\nparent {parent}\n{more_parents}author {who}\ncommitter {who}\n{encoding}\nCommit {index}{nul}\n\nWith words.\n"
            );
            let signer = if way == "another's signature" { person + 1 } else { person } % people.len();
            let armour = armour(&people[signer], way, payload.as_bytes(), work);
            let raw = whole(&payload, armour.as_deref(), way);
            fs::write(work.scratch().join(format!("commit-{index}")), raw).unwrap();
            Made { person, signer, way, lenient, payload: payload.into_bytes(), armour, id: parent }
        })
        .collect();
    let paths = lines((0..COMMITS).map(|index| work.scratch().join(format!("commit-{index}")).display().to_string()));
    let mut command = git(work.scratch());
    command.arg("-C").arg(work.path()).args(["hash-object", "-t", "commit", "-w", "--literally", "--stdin-paths"]);
    let (written, ids) = feed(&mut command, paths.as_bytes());
    assert!(written);
    made.iter_mut().zip(ids.lines()).for_each(|(commit, line)| commit.id = id(line));
    made
}

fn armour(signer: &Person, way: &str, payload: &[u8], work: &Work) -> Option<String> {
    let hash = if way == "sha256" { HashAlg::Sha256 } else { HashAlg::Sha512 };
    let namespace = if way == "other namespace" { "file" } else { "git" };
    let content = if way == "other content" { &payload[1..] } else { payload };
    let armour = signer.sign(namespace, hash, content, work);
    Some(match way {
        "no signature" => return None,
        "cut short" => armour[..armour.len() / 2].to_owned(),
        "PGP" => armour.replace("SSH SIGNATURE", "PGP SIGNATURE"),
        "bit flipped" => {
            let at = armour.len() - 60;
            let flipped = if &armour[at..=at] == "A" { "B" } else { "A" };
            format!("{}{flipped}{}", &armour[..at], &armour[at + 1..])
        }
        "narrow armour" => {
            let mut lines = armour.lines();
            let (first, mut body) = (lines.next().unwrap(), lines.collect::<Vec<_>>());
            let (last, body) = (body.pop().unwrap(), body.concat());
            let narrow: Vec<String> = body.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            format!("{first}\n{}\n{last}\n", narrow.join("\n"))
        }
        _ => armour,
    })
}

fn whole(payload: &str, armour: Option<&str>, way: &str) -> String {
    let Some(armour) = armour else { return payload.to_owned() };
    let (head, message) = payload.split_once("\n\n").unwrap();
    let header = format!("gpgsig {}", armour.trim_end().replace('\n', "\n "));
    let more = match way {
        "second signature" => "\ngpgsig-sha256 x",
        "unsigned header" => "\ngpgsig-note this is not signed",
        _ => "",
    };
    format!("{head}\n{header}{more}\n\n{message}")
}

/// The rule that each commit breaks.
fn verdicts(work: &Work, parent: Id, made: &[Made]) -> Vec<Option<Rule>> {
    let ids = lines(made.iter().map(|commit| commit.id).chain([parent]));
    let store = Listed::of(work, &ids);
    let mut verifier = Verifier::new();
    made.iter().map(|commit| verifier.main(&store, parent, commit.id).unwrap().refusal.map(|refusal| refusal.rule)).collect()
}

fn by_git(work: &Work, made: &[Made]) -> BTreeMap<Id, bool> {
    let option = |name: &str, file: &str| format!("gpg.ssh.{name}={}", work.path().join("trust").join(file).display());
    let ask = |mut commits: &[Made]| {
        let mut told = BTreeMap::new();
        while !commits.is_empty() {
            let ids = lines(commits.iter().map(|commit| commit.id));
            let mut command = git(work.scratch());
            command.env("TZ", "UTC").arg("-C").arg(work.path());
            command.arg("-c").arg(option("allowedSignersFile", "allowed_signers"));
            command.arg("-c").arg(option("revocationFile", "revoked_keys"));
            command.args(["log", "--no-walk=unsorted", "--stdin", "--format=%H %G?"]);
            let (whole, lines) = feed(&mut command, ids.as_bytes());
            let lines = lines.lines().map(|line| line.split_once(' ').unwrap());
            told.extend(lines.map(|(commit, word)| (id(commit), word == "G")));
            let answered = commits.iter().take_while(|commit| told.contains_key(&commit.id)).count();
            commits = &commits[answered..];
            if !whole {
                // Killed by SIGPIPE: ssh-keygen refused the signature before it had read what it is over.
                told.insert(commits[0].id, false);
                commits = &commits[1..];
            }
        }
        told
    };
    let (one, other) = made.split_at(made.len() / 2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| ask(other));
        ask(one).into_iter().chain(other.join().unwrap()).collect()
    })
}

/// What `ssh-keygen -Y verify` says of the signature, given what it is over.
fn by_openssh(work: &Work, people: &[Person], made: &[Made]) -> Vec<bool> {
    let trust = work.path().join("trust");
    let ask = |(index, commit): (usize, &Made)| {
        let Some(armour) = &commit.armour else { return false };
        let file = work.scratch().join(format!("signature-{index}"));
        fs::write(&file, armour).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.env("TZ", "UTC").args([
            "-q",
            "-Y",
            "verify",
            "-n",
            "git",
            "-O",
            "verify-time=20231114221320Z",
            "-I",
            people[commit.signer].name,
        ]);
        command.arg("-f").arg(trust.join("allowed_signers")).arg("-r").arg(trust.join("revoked_keys")).arg("-s").arg(&file);
        feed(&mut command, &commit.payload).0
    };
    let all: Vec<_> = made.iter().enumerate().collect();
    let (one, other) = all.split_at(all.len() / 2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| other.iter().map(|commit| ask(*commit)).collect::<Vec<_>>());
        let mut told: Vec<bool> = one.iter().map(|commit| ask(*commit)).collect();
        told.extend(other.join().unwrap());
        told
    })
}

/// Objects as `git cat-file` gives them: commits asked for, and the trees and files of all of them.
struct Listed(BTreeMap<Id, (Kind, Vec<u8>)>);

impl Listed {
    fn of(work: &Work, commits: &str) -> Self {
        let others = work.git(&["rev-list", "--objects", "HEAD"]);
        let ids = lines(others.lines().map(|line| &line[..40]));
        let file = work.scratch().join("objects");
        fs::write(&file, format!("{commits}{ids}")).unwrap();
        let mut command = git(work.scratch());
        let output =
            command.arg("-C").arg(work.path()).args(["cat-file", "--batch"]).stdin(fs::File::open(file).unwrap()).output();
        let (mut rest, mut objects) = (&output.unwrap().stdout[..], BTreeMap::new());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = str::from_utf8(&rest[..end]).unwrap();
            let [object, kind, size] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let kind = match kind {
                "commit" => Kind::Commit,
                "tree" => Kind::Tree,
                _ => Kind::Blob,
            };
            let size: usize = size.parse().unwrap();
            objects.insert(id(object), (kind, rest[end + 1..end + 1 + size].to_vec()));
            rest = &rest[end + 1 + size + 1..];
        }
        Self(objects)
    }
}

impl Objects for Listed {
    fn header(&self, id: Id) -> Result<(Kind, usize), Unreadable> {
        let missing = || Unreadable { id, reason: "not listed".to_owned() };
        self.0.get(&id).map(|(kind, content)| (*kind, content.len())).ok_or_else(missing)
    }

    fn read(&self, id: Id) -> Result<Vec<u8>, Unreadable> {
        self.header(id).map(|_| self.0[&id].1.clone())
    }
}
