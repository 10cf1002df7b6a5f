//! Walks along histories in memory: what a step may be, where a branch freezes, and how it goes on.

use std::collections::BTreeSet;

use super::random::{ADA, Federation, ROSA};
use crate::trust::testing::*;
use crate::trust::*;

#[test]
fn nothing_new_reads_nothing_and_one_new_commit_reads_little() {
    let mut federation = Federation::new();
    let anchor = federation.tip;
    for number in 0..50 {
        federation.write(ROSA, "meshes/rosa/mesh.yaml", &format!("a: {number}"));
    }
    let mut verifier = Verifier::new();
    let tip = federation.tip;
    assert_eq!(verifier.main(&federation.store, anchor, tip).unwrap(), Verdict { verified: Some(tip), refusal: None });
    federation.store.reads.set(0);
    verifier.main(&federation.store, anchor, tip).unwrap();
    assert_eq!(federation.store.reads.get(), 0);
    federation.write(ROSA, "meshes/rosa/mesh.yaml", "a: new");
    verifier.main(&federation.store, tip, federation.tip).unwrap();
    assert!(federation.store.reads.get() < 20, "{}", federation.store.reads.get());
}

#[test]
fn the_anchor_is_known_by_its_digest() {
    let mut federation = Federation::new();
    let anchor = federation.tip;
    let digest = Verifier::digest(&federation.store, anchor).unwrap();
    let mut verifier = Verifier::new();
    assert_eq!(verifier.introduce(&federation.store, anchor, digest).unwrap(), Ok(()));
    federation.write(ADA, "trust/README.md", "words");
    let other = Verifier::digest(&federation.store, federation.tip).unwrap();
    assert_ne!(digest, other, "every file of the folder counts");
    let refusal = verifier.introduce(&federation.store, federation.tip, digest).unwrap().unwrap_err();
    assert_eq!((refusal.rule, refusal.commit), (Rule::WrongDigest, federation.tip));
    federation.files.insert("meshes/link".into(), "->../trust".into());
    let odd = federation.commit(Some(ADA), &[federation.tip], "link");
    let refusal = verifier.introduce(&federation.store, odd, other).unwrap().unwrap_err();
    assert_eq!((refusal.rule, refusal.path.as_deref()), (Rule::NotRegular, Some("meshes/link")));
}

#[test]
fn an_object_that_is_missing_is_no_verdict() {
    let mut federation = Federation::new();
    let anchor = federation.tip;
    federation.write(ROSA, "meshes/rosa/mesh.yaml", "a: 1");
    federation.store.remove(anchor);
    let error = Verifier::new().main(&federation.store, anchor, federation.tip).unwrap_err();
    assert_eq!(error.id, anchor);
}

#[test]
fn a_rewind_is_told_from_a_fork_also_when_the_host_hides_what_was_there() {
    let mut federation = Federation::new();
    let old = federation.tip;
    let verified = federation.write(ROSA, "meshes/rosa/mesh.yaml", "a: 1");
    let rule = |store: &Store, tip| Verifier::new().main(store, verified, tip).unwrap().refusal.unwrap().rule;
    assert_eq!(rule(&federation.store, old), Rule::SourceRewound);
    let fork = federation.commit(Some(ADA), &[old], "fork");
    assert_eq!(rule(&federation.store, fork), Rule::SourceForked);
    federation.store.remove(verified);
    assert_eq!(rule(&federation.store, old), Rule::SourceForked, "nobody can tell any more");
}

#[test]
fn trust_stays_readable_and_leaves_somebody_who_can_change_it() {
    let policy = Federation::new().files["trust/policy.yaml"].clone();
    let cases = [
        ("trust/policy.yaml", String::new()),
        ("trust/policy.yaml", policy.replace("root: [ada]", "root: []")),
        ("trust/policy.yaml", policy.replace("root: [ada]", "root: [nobody]")),
        ("trust/policy.yaml", policy.replacen("allow: [root]", "allow: [aro]", 1)),
        ("trust/policy.yaml", format!("{policy}    mode: lax\n")),
        ("trust/allowed_signers", format!("* {}", public(&key(ADA)))),
        ("trust/allowed_signers", "# nobody".to_owned()),
        ("trust/revoked_keys", "all of them".to_owned()),
        ("trust/revoked_keys", public(&key(ADA))),
    ];
    for (path, content) in cases {
        let mut federation = Federation::new();
        let anchor = federation.tip;
        let bad = federation.write(ADA, path, &content);
        // Trust was touched, so nobody can accept it.
        federation.accept(ADA, &[bad]);
        let verdict = Verifier::new().main(&federation.store, anchor, federation.tip).unwrap();
        let refusal = verdict.refusal.unwrap();
        assert_eq!((verdict.verified, refusal.rule, refusal.commit), (Some(anchor), Rule::TrustBroken, bad), "{path}\n{content}");
    }
    for path in ["trust/policy.yaml", "trust/allowed_signers"] {
        let mut federation = Federation::new();
        let anchor = federation.tip;
        federation.files.remove(path);
        federation.commit(Some(ADA), &[anchor], "remove");
        assert_eq!(federation.refusal(anchor).rule, Rule::TrustBroken);
    }
}

#[test]
fn structure_holds_for_what_is_added() {
    let long = "n".repeat(256);
    let deep = "d/".repeat(MAX_DEPTH) + "f";
    let cases = [
        ("meshes/rosa/link", "->mesh.yaml", Rule::NotRegular),
        ("meshes/rosa/.GIT/config", "x", Rule::BadName),
        ("meshes/rosa/git~1", "x", Rule::BadName),
        ("meshes/rosa/../x", "x", Rule::BadName),
        ("meshes/rosa/a\nb", "x", Rule::BadName),
        ("meshes/rosa/MESH.yaml", "x", Rule::CaseTwin),
        ("Meshes/rosa/x", "x", Rule::CaseTwin),
        (&format!("meshes/{long}"), "x", Rule::BadName),
        (&deep, "x", Rule::TooLarge),
        ("meshes/rosa/big", &"x".repeat(MAX_FILE_BYTES + 1), Rule::TooLarge),
    ];
    for (path, content, rule) in cases {
        let mut federation = Federation::new();
        let anchor = federation.tip;
        let bad = federation.write(ADA, path, content);
        assert_eq!((federation.refusal(anchor).rule, federation.refusal(anchor).commit), (rule, bad), "{path}");
        // It can be accepted, but its odd file must go.
        let in_vain = federation.accept(ADA, &[bad]);
        assert_eq!(federation.refusal(anchor).commit, bad, "{path}");
        federation.files.remove(path);
        // Where it is too deep to look into, so is its removal.
        let removal = federation.commit(Some(ADA), &[in_vain], "remove");
        federation.accept(ADA, &[bad, in_vain, removal]);
        assert_eq!(federation.verdict(anchor), Verdict { verified: Some(federation.tip), refusal: None }, "{path}");
    }
}

/// A commit of Ada's whose tree is made by hand.
fn with_tree(make: impl FnOnce(&mut Store) -> Id) -> Rule {
    let mut federation = Federation::new();
    let (anchor, tree) = (federation.tip, make(&mut federation.store));
    let payload = payload(tree, &[anchor], "odd");
    let signature = sign(&key(ADA), "git", payload.as_bytes());
    federation.tip = federation.store.signed(&payload, Some(&signature));
    federation.refusal(anchor).rule
}

#[test]
fn trees_that_git_does_not_write_are_refused() {
    let cases: [(&[(&str, &str)], Rule); 10] = [
        (&[("100644", "b"), ("100644", "a")], Rule::Malformed),
        (&[("100644", "a"), ("100644", "a")], Rule::Malformed),
        (&[("100644", "a"), ("100644", "a.b"), ("40000", "a")], Rule::CaseTwin),
        (&[("40000", "empty")], Rule::Malformed),
        (&[("40000", "file")], Rule::Malformed),
        (&[("100644", "folder")], Rule::Malformed),
        (&[("100664", "a")], Rule::NotRegular),
        (&[("040000", "a")], Rule::NotRegular),
        (&[("160000", "a")], Rule::NotRegular),
        (&[("100644", "a/b")], Rule::BadName),
    ];
    for (entries, rule) in cases {
        let found = with_tree(|store| {
            let (file, empty) = (store.put(Kind::Blob, b"x"), store.put(Kind::Tree, b""));
            let folder = store.raw_tree(&[("100644", "f", file)]);
            let object = |mode: &str, name: &str| match name {
                "empty" => empty,
                "file" => file,
                "folder" => folder,
                _ if mode.ends_with("40000") => folder,
                _ => file,
            };
            let entries: Vec<_> = entries.iter().map(|(mode, name)| (*mode, *name, object(mode, name))).collect();
            store.raw_tree(&entries)
        });
        assert_eq!(found, rule, "{entries:?}");
    }
}

#[test]
fn a_tree_that_refers_to_itself_many_times_over_ends_at_the_limit() {
    let found = with_tree(|store| {
        let file = store.put(Kind::Blob, b"x");
        let names: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
        (1..MAX_DEPTH).fold(store.raw_tree(&[("100644", "f", file)]), |tree, _| {
            let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_str(), tree)).collect();
            store.raw_tree(&entries)
        })
    });
    assert_eq!(found, Rule::TooLarge);
}

#[test]
fn only_root_accepts_and_only_what_it_names() {
    let mut federation = Federation::new();
    let anchor = federation.tip;
    federation.files.insert("meshes/rosa/mesh.yaml".into(), "unsigned".into());
    let bad = federation.commit(None, &[anchor], "unsigned");
    federation.write(ROSA, "meshes/rosa/x.yaml", "on top");
    assert_eq!((federation.verdict(anchor).verified, federation.refusal(anchor).rule), (Some(anchor), Rule::Unsigned));
    federation.accept(ROSA, &[bad]);
    assert_eq!(federation.refusal(anchor).commit, bad, "rosa is not root");
    federation.accept(ADA, &[federation.tip]);
    assert_eq!(federation.refusal(anchor).commit, bad, "another commit was named");
    federation.files.insert("federation.yaml".into(), "worse".into());
    let worse = federation.commit(Some(ROSA), &[federation.tip], "worse");
    federation.accept(ADA, &[bad]);
    let verdict = federation.verdict(anchor);
    assert_eq!((verdict.verified, verdict.refusal.unwrap().commit), (Some(anchor), worse), "each is accepted by itself");
    federation.accept(ADA, &[worse, bad]);
    assert_eq!(federation.verdict(anchor), Verdict { verified: Some(federation.tip), refusal: None });
}

#[test]
fn a_flood_of_bad_commits_is_not_judged_to_its_end() {
    let mut federation = Federation::new();
    let anchor = federation.tip;
    let mut bad = Vec::new();
    for number in 0..MAX_PENDING {
        federation.files.insert("meshes/rosa/mesh.yaml".into(), format!("evil: {number}"));
        bad.push(federation.commit(None, &[federation.tip], "unsigned"));
    }
    let full = federation.tip;
    federation.accept(ADA, &bad);
    assert_eq!(federation.verdict(anchor).refusal, None);
    federation.tip = full;
    bad.push(federation.commit(None, &[full], "one more"));
    let reads = |federation: &Federation| {
        federation.store.reads.set(0);
        assert_eq!(federation.refusal(anchor).commit, bad[0]);
        federation.store.reads.get()
    };
    let few = reads(&federation);
    for _ in 0..100 {
        federation.commit(None, &[federation.tip], "and more");
    }
    federation.accept(ADA, &bad);
    assert!(reads(&federation) - few < 110, "of the rest only the parents are read");
}

#[test]
fn an_accepting_commit_obeys_the_rules_itself() {
    let mut federation = Federation::new();
    let anchor = federation.tip;
    federation.files.insert("meshes/rosa/mesh.yaml".into(), "unsigned".into());
    let bad = federation.commit(None, &[anchor], "unsigned");
    let (tip, message) = (federation.tip, format!("Accept\n\n{ACCEPT}: {bad}"));
    federation.commit(None, &[tip], &message);
    assert_eq!(federation.refusal(anchor).commit, bad, "not signed");
    federation.files.insert("meshes/link".into(), "->x".into());
    federation.commit(Some(ADA), &[tip], &message);
    assert_eq!(federation.refusal(anchor).commit, bad, "brings in a link");
}

#[test]
fn a_published_branch_is_its_agents_alone_and_goes_forward() {
    let mut store = Store::default();
    let keys = BTreeSet::from([public_key(&public(&key(1))).unwrap()]);
    let publisher = Publisher { keys, ..Publisher::default() };
    let none = Revoked::default();
    let facts = |fact: &str| files(&[("published.yaml", fact), ("status.yaml", "s")]);
    let root = store.commit(&facts("1"), &[], "one", Some(&key(1)));
    let next = store.commit(&facts("2"), &[root], "two", Some(&key(1)));
    let verified = |tip| Verdict { verified: Some(tip), refusal: None };
    assert_eq!(published(&store, &publisher, &none, None, next).unwrap(), verified(next));
    assert_eq!(published(&store, &publisher, &none, Some(root), next).unwrap(), verified(next));
    assert_eq!(published(&store, &publisher, &none, Some(next), next).unwrap(), verified(next));

    let stranger = store.commit(&facts("3"), &[next], "three", Some(&key(2)));
    let on_top = store.commit(&facts("4"), &[stranger], "four", Some(&key(1)));
    let unsigned = store.commit(&facts("3"), &[next], "three", None);
    let other_file = store.commit(&files(&[("published.yaml", "5"), ("mesh.yaml", "m")]), &[next], "five", Some(&key(1)));
    let link = store.commit(&files(&[("published.yaml", "->status.yaml")]), &[next], "link", Some(&key(1)));
    let merge = store.commit(&facts("6"), &[next, root], "six", Some(&key(1)));
    let anew = store.commit(&facts("7"), &[], "seven", Some(&key(1)));
    let cases = [
        (stranger, Rule::UnknownSigner, stranger),
        (on_top, Rule::UnknownSigner, stranger),
        (unsigned, Rule::Unsigned, unsigned),
        (other_file, Rule::PathDenied, other_file),
        (link, Rule::NotRegular, link),
        (merge, Rule::NotLinear, merge),
        (anew, Rule::SourceForked, next),
        (root, Rule::SourceRewound, next),
    ];
    for (tip, rule, commit) in cases {
        let verdict = published(&store, &publisher, &none, Some(next), tip).unwrap();
        let refusal = verdict.refusal.unwrap();
        assert_eq!((verdict.verified, refusal.rule, refusal.commit), (Some(next), rule, commit), "{rule}");
    }
    let verdict = published(&store, &publisher, &none, None, other_file).unwrap();
    assert_eq!((verdict.verified, verdict.refusal.unwrap().rule), (None, Rule::PathDenied), "also when it is new");
    let revoked = Revoked::parse("trust/revoked_keys", &public(&key(1))).unwrap();
    assert_eq!(published(&store, &publisher, &revoked, Some(root), next).unwrap().refusal.unwrap().rule, Rule::RevokedKey);
}
