//! What is read, and what is refused, of each format.

use ssh_key::{Algorithm, EcdsaCurve, PrivateKey, Signature, SshSig};

use crate::trust::commit::Links;
use crate::trust::signature::verify;
use crate::trust::testing::*;
use crate::trust::*;

fn signers(text: &str) -> Result<Signers, String> {
    Signers::parse("trust/allowed_signers", text).map_err(|finding| finding.to_string())
}

#[test]
fn signers_are_read_as_openssh_does() {
    let [ada, bob, eve] = [1, 2, 3].map(|number| public(&key(number)));
    let text = format!(
        "# people\n\n  ada@example.com \t namespaces=\"git\" {ada} laptop, new\r\n\
         bob@example.com valid-after=\"20200101\",VALID-BEFORE=\"20301231235959Z\" {bob}\nada@example.com {eve}\n"
    );
    let read = signers(&text).unwrap();
    let found = |number| read.get(&public_key(&public(&key(number))).unwrap());
    assert_eq!(found(1).unwrap().name, "ada@example.com");
    assert_eq!(found(3).unwrap().name, "ada@example.com", "somebody may have several keys");
    assert!(found(4).is_none());
    let bob = found(2).unwrap();
    assert_eq!([1_577_836_799, 1_577_836_800, 1_924_991_999, 1_924_992_000].map(|at| bob.covers(at)), [false, true, true, false]);
}

#[test]
fn what_openssh_takes_and_we_do_not_is_refused_with_its_line() {
    let (ada, bob) = (public(&key(1)), public(&key(2)));
    let cases = [
        (format!("a@b cert-authority {ada}"), "a certificate authority"),
        (format!("a@b cert-authority,namespaces=\"git\" {ada}"), "a certificate authority"),
        (format!("*@b {ada}"), "a pattern as a name"),
        (format!("a?b {ada}"), "a pattern as a name"),
        (format!("!a@b {ada}"), "a pattern as a name"),
        (format!("a@b,c@d {ada}"), "several names for one key"),
        (format!("\"a b\" {ada}"), "not plain ASCII"),
        (format!("b@x {bob}\na@b {ada}\nc@d {ada} other comment"), ":3:1: error[MF007]: the key of line 2, which belongs to a@b"),
        (format!("a@b namespaces=\"file\" {ada}"), "namespaces \"file\""),
        (format!("a@b namespaces=\"git,file\" {ada}"), "namespaces \"git,file\""),
        (format!("a@b namespaces=\"*\" {ada}"), "namespaces \"*\""),
        (format!("a@b namespaces=git {ada}"), "not in quotes"),
        (format!("a@b namespaces=\"git\",namespaces=\"git\" {ada}"), "stands twice"),
        (format!("a@b valid-before=\"tomorrow\" {ada}"), "is no time"),
        (format!("a@b valid-before=\"20201332\" {ada}"), "is no time"),
        (format!("a@b valid-after=\"20210101\",valid-before=\"20210101\" {ada}"), "not later"),
        (format!("a@b restrict {ada}"), "`restrict` is no option"),
        ("a@b".to_owned(), "a name alone"),
        ("a@b namespaces=\"git\"".to_owned(), "without a key"),
        ("a@b ssh-ed25519 AAAA".to_owned(), "not a public key"),
        (format!("a@b {}", ada.replace("ssh-ed25519", "ssh-rsa")), "not a public key"),
        (format!("a@b {}", ada.replace("NTE5AAAAI", "NTE5AAAAM")), "OpenSSH writes it otherwise"),
        (format!("a@b {}", ada.replace(' ', "\u{c}")), "a control character"),
        (format!("a@b {ada} comment\0more"), "a control character"),
        (format!("a@b {}", ada.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com")), "certificates are not taken"),
    ];
    for (text, expected) in cases {
        let said = signers(&text).unwrap_err();
        assert!(said.contains(expected) && said.starts_with("trust/allowed_signers:"), "{text}\n{said}");
    }
}

#[test]
fn revoked_keys_are_a_set_that_grows() {
    let (ada, bob) = (public(&key(1)), public(&key(2)));
    let parse = |text: &str| Revoked::parse("trust/revoked_keys", text).unwrap();
    let (one, two) = (parse(&ada), parse(&format!("# left\n{bob}\n{ada} hers\n")));
    assert_eq!(two.missing_from(&one), None);
    assert!(one.missing_from(&two).is_some_and(|key| two.contains(key)));
    let said = Revoked::parse("trust/revoked_keys", "\nSHA256:abc\n").unwrap_err().to_string();
    assert!(said.starts_with("trust/revoked_keys:2:1: error[MF007]: not a public key"), "{said}");
}

fn policy(rules: &str) -> Result<Policy, String> {
    let text = format!(
        "apiVersion: meshfed.dev/v1alpha1\nkind: TrustPolicy\nspec:\n  roles: {{root: [r], rosa: [a, b], aro: [c]}}\n  rules:\n{rules}"
    );
    Policy::parse("trust/policy.yaml", &text).map_err(|finding| finding.to_string())
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = policy(
        "  - {paths: [meshes/rosa/secret/**], allow: [root]}\n  - {paths: ['meshes/{mesh}/**'], allow: [root, '{mesh}']}\n  - {paths: ['**'], allow: [root]}",
    );
    let policy = policy.unwrap();
    let who = |path: &str| ["r", "a", "b", "c", "rosa"].into_iter().filter(|name| policy.allows(name, path)).collect::<String>();
    assert_eq!(who("federation.yaml"), "r");
    assert_eq!(who("meshes/rosa/mesh.yaml"), "rab");
    assert_eq!(who("meshes/rosa/peers/aro.yaml"), "rab");
    assert_eq!(who("meshes/rosa/secret/x"), "r", "a later rule takes nothing back");
    assert_eq!(who("meshes/aro/mesh.yaml"), "rc");
    assert_eq!(who("meshes/gcp/mesh.yaml"), "r", "no role is named so");
    assert_eq!(who("meshes/rosa"), "r", "a file, not in the folder");
    assert_eq!(who("Meshes/rosa/mesh.yaml"), "r", "case counts");
}

#[test]
fn patterns_match_whole_paths() {
    let cases = [
        ("federation.yaml", "federation.yaml", true),
        ("federation.yaml", "x/federation.yaml", false),
        ("trust/**", "trust/policy.yaml", true),
        ("trust/**", "trust/a/b", true),
        ("trust/**", "trust", false),
        ("trust/**", "trusty/a", false),
        ("trust/*", "trust/a/b", false),
        ("**/*.md", "README.md", true),
        ("**/*.md", "a/b/c.md", true),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a/**/b", "a/x/y/c", false),
        ("*.yaml", ".yaml", true),
        ("*.yaml", "a/b.yaml", false),
        ("a*b*c", "abc", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "ac", false),
        ("a*a", "a", false),
        ("**", "a", true),
    ];
    for (pattern, path, expected) in cases {
        let policy = policy(&format!("  - {{paths: ['{pattern}'], allow: [root]}}")).unwrap();
        assert_eq!(policy.allows("r", path), expected, "{pattern} {path}");
    }
}

#[test]
fn a_policy_that_says_something_else_is_refused_at_its_place() {
    let cases = [
        ("  - {paths: [a], allow: [nobody]}", "6:26: error[MF007]: \"nobody\" is no role"),
        ("  - {paths: [a], allow: ['{mesh}']}", "has no {mesh}"),
        ("  - {paths: ['{team}/**'], allow: [root]}", "has something other than names"),
        ("  - {paths: ['{mesh}/{mesh}'], allow: [root]}", "has {mesh} twice"),
        ("  - {paths: ['**/a/**'], allow: [root]}", "has ** twice"),
        ("  - {paths: ['a**'], allow: [root]}", "`**` is not a whole name"),
        ("  - {paths: ['/a'], allow: [root]}", "is not a path"),
        ("  - {paths: ['a/../b'], allow: [root]}", "is not a path"),
        ("  - {paths: ['[a]'], allow: [root]}", "has something other than names"),
        ("  - {paths: [a], allow: [root], deny: [rosa]}", "unknown field"),
        ("  - {paths: [a]}", "allow"),
    ];
    for (rules, expected) in cases {
        let said = policy(rules).unwrap_err();
        assert!(said.contains(expected) && said.starts_with("trust/policy.yaml:"), "{rules}\n{said}");
    }
}

/// What is wrong with a commit of these bytes.
fn commit(raw: &str) -> Result<(), Rule> {
    let mut store = Store::default();
    let id = store.put(Kind::Commit, raw.as_bytes());
    let rule = |fault| match fault {
        Fault::Violation(violation) => violation.rule,
        Fault::Unreadable(_) => unreachable!(),
    };
    Links::load(&store, id).and_then(|links| Ok(links.commit()?)).map(|_| ()).map_err(rule)
}

#[test]
fn commits_are_read_strictly() {
    let id = Id([7; 20]);
    let good = payload(id, &[id, id], "Say something\n\nwith a paragraph");
    let who = "Ada <a@example.com> 1 +0000";
    let with = |header: &str| good.replacen("\n\n", &format!("\n{header}\n\n"), 1);
    for raw in
        [&good, &with("encoding ISO-8859-1"), &with("mergetag object x\n type commit\nmergetag object y"), &with("gpgsig a\n b")]
    {
        assert_eq!(commit(raw), Ok(()), "{raw}");
    }
    let bad = [
        String::new(),
        good.replace("tree", "three"),
        good.replace("tree 07", "tree 7"),
        good.replace("author", "writer"),
        good.replace("committer Ada", "committee Ada"),
        good.replace("+0000", "+00"),
        good.replace("1700000000", "-1700000000"),
        good.replace("something", "some\0thing"),
        good.split("\n\n").next().unwrap().to_owned(),
        with(&format!("author {who}")),
        with(&format!("committer {who}")),
        with(&format!("parent {id}")),
        with(&format!("tree {id}")),
        with("encoding a\nencoding b"),
        with("gpgsig a\ngpgsig b"),
        with("novalue"),
        format!(" {good}"),
    ];
    for raw in bad {
        assert_eq!(commit(&raw), Err(Rule::Malformed), "{raw}");
    }
    assert_eq!(commit(&with("gpgsig-sha256 a\n b")), Err(Rule::BadSignature), "Git checks it without these lines");
    assert_eq!(commit(&with("gpgsigned a")), Err(Rule::BadSignature));
}

#[test]
fn trailers_are_in_the_last_paragraph() {
    let mut store = Store::default();
    let mut trailers = |message: &str| {
        let id = store.signed(&payload(Id([7; 20]), &[], message), None);
        let commit = Links::load(&store, id).unwrap().commit().unwrap();
        commit.trailers(ACCEPT).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(trailers("Accept\n\nMeshfed-Accept: a\nSigned-off-by: Ada\nMeshfed-Accept:b\n"), ["a", "b"]);
    assert!(trailers("Meshfed-Accept: a").is_empty(), "a subject is no trailer");
    assert!(trailers("Accept\n\nMeshfed-Accept: a\n\nMore words").is_empty());
    assert!(trailers("Accept\n\nmeshfed-accept: a\n Meshfed-Accept: b\nNot-Meshfed-Accept: c").is_empty());
}

#[test]
fn every_kind_of_key_that_people_have_is_taken() {
    let random = |algorithm| PrivateKey::random(&mut rand_core::OsRng, algorithm).unwrap();
    let curves = [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521];
    let mut keys: Vec<PrivateKey> = curves.map(|curve| random(Algorithm::Ecdsa { curve })).into();
    keys.push(key(1));
    for key in keys {
        let armour = sign(&key, "git", b"content");
        let found = verify(armour.as_bytes(), b"content").unwrap();
        assert_eq!(found, public_key(&public(&key)).unwrap());
        assert_eq!(verify(armour.as_bytes(), b"other").unwrap_err().rule, Rule::BadSignature);
        assert_eq!(verify(sign(&key, "file", b"content").as_bytes(), b"content").unwrap_err().rule, Rule::WrongNamespace);
        let narrow = armour.replace('\n', "").replace("-----BEGIN SSH SIGNATURE-----", "-----BEGIN SSH SIGNATURE-----\n");
        let narrow = narrow.replace("-----END", "\n-----END");
        assert!(verify(narrow.as_bytes(), b"content").is_ok(), "the width of lines says nothing");
    }
}

#[test]
fn armour_is_read_strictly() {
    let armour = sign(&key(1), "git", b"content");
    let broken = [
        format!("\n{armour}"),
        format!("{armour}x"),
        format!("{armour}{armour}"),
        armour.replace("SSH", "PGP"),
        armour.replace("U1NI", "U1NJ"),
        armour.replacen("MjU1MTkAAAAg", "MjU1MTkAAAAw", 1), // the key's length, which the library reads over
        armour.replacen('A', "", 1),
        armour.replace('=', ""),
    ];
    for armour in &broken {
        assert_eq!(verify(armour.as_bytes(), b"content").unwrap_err().rule, Rule::BadSignature, "{armour}");
    }
}

/// A signature as hardware makes it: flags and a counter are signed with the content's hash (`PROTOCOL.u2f`).
fn by_hardware(flags: u8, content: &[u8]) -> (String, String) {
    use sha2::{Digest as _, Sha256};
    use ssh_key::public::{KeyData, SkEd25519};
    let software = key(9);
    let public = KeyData::SkEd25519(SkEd25519::from(*software.public_key().key_data().ed25519().unwrap()));
    let trailer = [&[flags][..], &7_u32.to_be_bytes()].concat();
    let signed = SshSig::signed_data("git", ssh_key::HashAlg::Sha512, content).unwrap();
    let message = [&Sha256::digest("ssh:")[..], &trailer, &Sha256::digest(signed)].concat();
    let bytes = [plainly(&software, &message), trailer].concat();
    let signature = Signature::new(Algorithm::SkEd25519, bytes).unwrap();
    let armour = SshSig::new(public.clone(), "git", ssh_key::HashAlg::Sha512, signature).unwrap();
    (armour.to_pem(ssh_key::LineEnding::LF).unwrap(), ssh_key::PublicKey::from(public).to_openssh().unwrap())
}

/// A plain signature over bytes, without what OpenSSH puts around them.
fn plainly(key: &impl ssh_key::SigningKey, message: &[u8]) -> Vec<u8> {
    key.try_sign(message).unwrap().as_bytes().to_vec()
}

#[test]
fn hardware_keys_are_taken_when_somebody_touched_them() {
    let (armour, public) = by_hardware(0x01, b"content");
    assert_eq!(verify(armour.as_bytes(), b"content").unwrap(), public_key(&public).unwrap());
    assert_eq!(verify(armour.as_bytes(), b"other").unwrap_err().rule, Rule::BadSignature);
    let (untouched, _) = by_hardware(0x04, b"content");
    assert!(verify(untouched.as_bytes(), b"content").unwrap_err().detail.contains("nobody touched"));
}

#[test]
fn a_digest_reads_as_it_is_written() {
    let text = format!("sha256:{}", "0f".repeat(32));
    assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
    for wrong in ["", "sha256:", "0f", &text[..70], &text.replace("0f", "0é")] {
        assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
    }
}
