//! A corpus of what must not be committed, and of what looks like it and may.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use insta::assert_snapshot;
use rcgen::KeyPair;

use crate::model::testing::{Repo, pair, show};

/// A key that was made for this and is nobody's.
fn key() -> String {
    KeyPair::generate().unwrap().serialize_pem()
}

/// The same as OpenSSH and others write theirs.
fn labelled(label: &str) -> String {
    key().replace("PRIVATE KEY", label)
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

fn map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: bad, namespace: apps}}\ndata:\n  {data}\n")
}

fn kubeconfig(user: &str) -> String {
    format!("apiVersion: v1\nkind: Config\nusers:\n- name: me\n  user: {user}\ncontexts: []\n")
}

/// A file of manifests that begins and ends with an object that is right.
fn with(document: &str) -> Repo {
    let fine = |name| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: apps}}\n");
    pair().with(&format!("//- meshes/a/manifests/x.yaml\n{}---\n{document}\n---\n{}", fine("first"), fine("last")))
}

/// Names of the objects that are used, and findings.
fn loaded(repo: &Repo) -> (Vec<String>, String) {
    let (federation, found) = repo.load();
    let names = federation.meshes["a"].manifests.iter().map(|m| m.object.key.name.to_string()).collect();
    (names, show(&found))
}

#[test]
fn t13_a_secret_is_refused_with_its_document_and_nothing_else() {
    let encoded = STANDARD.encode(key());
    let lines: Vec<_> = encoded.as_bytes().chunks(60).map(String::from_utf8_lossy).collect();
    let wrapped = format!("\n    {}", lines.join("\n    "));
    let in_comment = format!("# {}", key().trim_end().replace('\n', "\n# "));
    let with_token = kubeconfig("{token: abc}");
    let with_key = kubeconfig(&format!("{{client-key-data: {encoded}}}"));
    let secret = |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: bad, namespace: apps}}\n{rest}\n");
    let bad = [
        map(&format!("tls.key: |\n    {}", indented(&key()))),
        map(&format!("id_ed25519: |\n    {}", indented(&labelled("OPENSSH PRIVATE KEY")))),
        map(&format!("id_rsa: |\n    {}", indented(&labelled("RSA PRIVATE KEY")))),
        map(&format!("id_rsa: |\n    {}", indented(&labelled("ENCRYPTED PRIVATE KEY")))),
        map(&format!("one-line: {:?}", key())),
        map(&format!("escaped: {:?}", key()).replace("-----BEGIN", "\\x2d----BEGIN")),
        map(&format!("json: '{}'", serde_json::json!({ "key": key() }))),
        map(&format!("base64: {encoded}")),
        map(&format!("base64: |{wrapped}")),
        map(&format!("base64: |\n    certificate{wrapped}")),
        map(&format!("twice: {}", STANDARD.encode(&encoded))),
        map(&format!("after-words: {}", STANDARD.encode(format!("# mine\n{}", key())))),
        map(&format!("commented: x\n{in_comment}")),
        map(&format!("config: |\n    {}", indented(&with_token))),
        map(&format!("config: |\n    {}", indented(&with_key))),
        map(&format!("config: {}", STANDARD.encode(&with_token))),
        secret("stringData: {password: hunter2}"),
        secret("data: {password: aHVudGVyMg==}"),
        secret(&format!("type: kubernetes.io/tls\ndata: {{tls.key: {encoded}}}")),
        format!(
            "apiVersion: v1\nkind: List\nmetadata: {{name: bad}}\nitems:\n- {}",
            secret("data: {a: b}").replace('\n', "\n  ")
        ),
        with_token.clone(),
        kubeconfig("{auth-provider: {config: {refresh-token: abc}}}"),
    ];
    for document in &bad {
        let (names, found) = loaded(&with(document));
        assert!(found.lines().all(|line| line.contains("error[MF014]")) && !found.is_empty(), "{document}\n{found}");
        assert_eq!(names, ["first", "last"], "{document}");
        for line in key().lines().chain([encoded.as_str(), "hunter2"]) {
            assert!(!found.contains(line), "a finding shows the secret: {found}");
        }
    }
}

#[test]
fn t13_what_only_looks_like_a_secret_passes() {
    let certificate = labelled("CERTIFICATE");
    let public = STANDARD.encode(labelled("PUBLIC KEY"));
    let object = |kind: &str, rest: &str| format!("{kind}\nmetadata: {{name: bad, namespace: apps}}\n{rest}\n");
    let good = [
        map(&format!("ca.crt: |\n    {}", indented(&certificate))),
        map(&format!("key.pub: {public}")),
        map("script: 'grep -q -- \"-----BEGIN PRIVATE KEY-----\" file && echo found a private key'"),
        map("placeholder: \"-----BEGIN PRIVATE KEY-----\\n<yours>\\n-----END PRIVATE KEY-----\""),
        map(&format!("long: {}", STANDARD.encode([7; 3000]))),
        map(&format!("config: |\n    {}", indented(&kubeconfig("{exec: {command: aws}, tokenFile: /token}")))),
        map("words: 'Config users token'"),
        object("apiVersion: v1\nkind: Secret", "type: kubernetes.io/service-account-token"),
        object("apiVersion: v1\nkind: Secret", "data: {}\nstringData: {filled-in-the-cluster: \"\"}"),
        object("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret", "spec: {encryptedData: {password: AgBy3i4OJSWK}}"),
        object("apiVersion: external-secrets.io/v1\nkind: ExternalSecret", "spec: {data: [{secretKey: password}]}"),
    ];
    for document in &good {
        let (names, found) = loaded(&with(document));
        assert_eq!((names.len(), found.as_str()), (3, ""), "{document}");
    }
}

#[test]
fn t13_the_finding_says_where_and_what_to_do() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: bad, namespace: apps}\nstringData: {a: b}\n";
    let key = map(&format!("tls.key: |\n    {}", indented(&key())));
    let both = with(&format!("{secret}---\n{key}"));
    assert_snapshot!(loaded(&both).1, @r"
    meshes/a/manifests/x.yaml:6:1: error[MF014]: a Secret with its data lies open in the repository (take it out, and replace it if it was pushed, because history keeps it; make it in the cluster, or let an operator there decrypt or fetch it (SealedSecret, ExternalSecret))
    meshes/a/manifests/x.yaml:15:5: error[MF014]: this is a private key (take it out, and replace it if it was pushed, because history keeps it; make it in the cluster, or let an operator there decrypt or fetch it (SealedSecret, ExternalSecret))
    ");
}

#[test]
fn t13_a_key_in_any_document_is_found() {
    let key = key();
    for (path, field, line) in [("mesh.yaml", "spec:", 4), ("peers/b.yaml", "metadata:", 3)] {
        let comment = format!("# {}\n{field}", key.trim_end().replace('\n', "\n# "));
        let path = format!("meshes/a/{path}");
        let repo = pair();
        let (federation, found) = repo.edit(&path, field, &comment).load();
        assert!(show(&found).contains(&format!("{path}:{line}:3: error[MF014]")), "{}", show(&found));
        assert!(federation.is_broken(&path));
    }
    let annotation = format!("members: [apps]\n  ingress: {{annotations: {{key: {key:?}}}}}");
    let (federation, found) = pair().edit("meshes/a/mesh.yaml", "members: [apps]", &annotation).load();
    assert!(show(&found).contains("MF014") && federation.mesh("a").is_none() && federation.mesh("b").is_some());
}
