//! Histories of `main`: thieves, rewinds, forks, merges, revocations, and the ways out.

use meshfed::trust::{Refusal, Rule, Verdict, Verifier};

use super::repository::{POLICY, Work, id};
use crate::lab::git_store::run;

fn told(refusal: &Refusal) -> (Rule, Option<&str>, Option<&str>) {
    (refusal.rule, refusal.signer.as_deref(), refusal.path.as_deref())
}

#[test]
fn commits_of_people_with_the_right_are_verified() {
    let work = Work::new();
    work.change(Some("rosa"), "meshes/rosa/peers/aro.yaml", "a: 1\n");
    work.change(Some("aro"), "meshes/aro/peers/rosa.yaml", "a: 1\n");
    work.change(Some("root"), "policies/p.yaml", "a: 1\n");
    work.assert_verified();
}

#[test]
fn the_digest_is_what_peoples_own_tools_say() {
    let work = Work::new();
    work.change(Some("root"), "trust/sub folder/README.md", "words\n");
    let script = "git archive HEAD trust | tar -x -C .. && cd .. && find trust -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum";
    let printed = run(std::process::Command::new("sh").args(["-c", script]).current_dir(work.path()));
    let digest = format!("sha256:{}", printed.split_whitespace().next().unwrap());
    let mirror = work.mirror();
    assert_eq!(Verifier::digest(&mirror, work.head()).unwrap().to_string(), digest);
    let introduced = Verifier::new().introduce(&mirror, work.head(), digest.parse().unwrap()).unwrap();
    assert_eq!(introduced, Ok(()));
    let refusal = Verifier::new().introduce(&mirror, work.anchor, digest.parse().unwrap()).unwrap().unwrap_err();
    assert_eq!(refusal.rule, Rule::WrongDigest);
}

#[test]
fn t01_an_agents_key_is_nobodys_on_main() {
    let work = Work::new();
    let bad = work.change(Some("agent"), "meshes/rosa/mesh.yaml", "a: 2\n");
    let refusal = work.refusal(work.anchor, work.anchor, bad);
    assert_eq!(told(&refusal), (Rule::UnknownSigner, None, None));
}

#[test]
fn t02_unsigned_and_strangers_pushes_are_not_verified() {
    let work = Work::new();
    let good = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 2\n");
    let bad = work.change(None, "meshes/rosa/mesh.yaml", "a: evil\n");
    assert_eq!(work.refusal(work.anchor, good, bad).rule, Rule::Unsigned);
    work.reset(good);
    let bad = work.change(Some("stranger"), "meshes/rosa/mesh.yaml", "a: evil\n");
    assert_eq!(work.refusal(work.anchor, good, bad).rule, Rule::UnknownSigner);
    work.reset(good);
    // A good signature, carried over to another content.
    let signed = work.git(&["cat-file", "commit", &good.to_string()]) + "\n";
    let tree = work.git(&["rev-parse", &format!("{bad}^{{tree}}")]);
    let forged = format!("tree {tree}\n{}", signed.split_once('\n').unwrap().1);
    let bad = work.object("commit", forged.as_bytes());
    work.git(&["update-ref", "refs/heads/main", &bad.to_string()]);
    assert_eq!(work.refusal(work.anchor, work.anchor, bad).rule, Rule::BadSignature);
}

#[test]
fn t03_a_branch_that_goes_back_is_refused_and_may_come_again() {
    let work = Work::new();
    let old = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 2\n");
    let verified = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 3\n");
    work.assert_verified();
    work.reset(old);
    assert_eq!(work.refusal(verified, verified, old).rule, Rule::SourceRewound);
    let fork = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 4\n");
    assert_eq!(work.refusal(verified, verified, fork).rule, Rule::SourceForked);
    work.reset(verified);
    let next = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 4\n");
    assert_eq!(work.verdict(verified), Verdict { verified: Some(next), refusal: None });
}

#[test]
fn t04_two_views_are_two_forks_of_which_each_agent_follows_its_own() {
    let work = Work::new();
    let one = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "view: 1\n");
    work.reset(work.anchor);
    let other = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "view: 2\n");
    assert_eq!(work.refusal(one, one, other).rule, Rule::SourceForked);
    assert_eq!(work.verdict(other).refusal, None);
}

#[test]
fn t07_who_grants_a_right_cannot_use_it_in_the_same_commit() {
    let work = Work::new();
    let wide = POLICY.replace("root: [root@example.com]", "root: [root@example.com, rosa@example.com]");
    work.write("federation.yaml", "kind: Federation # mine\n");
    let bad = work.change(Some("rosa"), "trust/policy.yaml", &wide);
    let refusal = work.refusal(work.anchor, work.anchor, bad);
    assert_eq!(told(&refusal), (Rule::PathDenied, Some("rosa@example.com"), Some("federation.yaml")));
    work.reset(work.anchor);
    let bad = work.change(Some("rosa"), "trust/policy.yaml", &wide);
    let refusal = work.refusal(work.anchor, work.anchor, bad);
    assert_eq!(told(&refusal), (Rule::PathDenied, Some("rosa@example.com"), Some("trust/policy.yaml")));
    // A new key does not vouch for the commit that lists it.
    work.reset(work.anchor);
    work.append("trust/allowed_signers", &work.signer_line("newcomer"));
    let bad = work.commit(Some("newcomer"), "List me");
    assert_eq!(work.refusal(work.anchor, work.anchor, bad).rule, Rule::UnknownSigner);
    // Root grants, and from then on it holds.
    work.reset(work.anchor);
    work.change(Some("root"), "trust/policy.yaml", &wide);
    work.change(Some("rosa"), "federation.yaml", "kind: Federation # ours\n");
    work.assert_verified();
}

#[test]
fn t08_a_bad_commit_under_good_ones_is_found() {
    let work = Work::new();
    let good = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 2\n");
    let bad = work.change(Some("rosa"), "meshes/aro/mesh.yaml", "a: evil\n");
    work.change(Some("aro"), "meshes/aro/mesh.yaml", "a: 1\n");
    work.change(Some("root"), "federation.yaml", "kind: Federation # new\n");
    let refusal = work.refusal(work.anchor, good, bad);
    assert_eq!(told(&refusal), (Rule::PathDenied, Some("rosa@example.com"), Some("meshes/aro/mesh.yaml")));
    let line = refusal.to_string();
    assert_eq!(
        line,
        format!("commit {bad} PathDenied: meshes/aro/mesh.yaml: rosa@example.com may not change it (signed by rosa@example.com)")
    );
}

#[test]
fn t09_who_signs_a_merge_answers_for_what_it_brings_in() {
    let work = Work::new();
    work.git(&["checkout", "--quiet", "-b", "side"]);
    work.change(None, "meshes/rosa/side.yaml", "a: 1\n");
    work.change(None, "meshes/rosa/side.yaml", "a: 2\n");
    work.git(&["checkout", "--quiet", "main"]);
    let before = work.change(Some("aro"), "meshes/aro/mesh.yaml", "a: 2\n");
    let merge = ["merge", "--quiet", "--no-ff", "-m", "Merge", "side"];
    work.signed(Some("rosa"), &merge, &[]);
    work.assert_verified();
    work.reset(before);
    let bad = work.signed(Some("aro"), &merge, &[]);
    let refusal = work.refusal(work.anchor, before, bad);
    assert_eq!(told(&refusal), (Rule::PathDenied, Some("aro@example.com"), Some("meshes/rosa/side.yaml")));
}

#[test]
fn t09_a_merge_cannot_bring_back_an_old_state() {
    let work = Work::new();
    work.git(&["branch", "old"]);
    let good = work.change(Some("root"), "federation.yaml", "kind: Federation # tightened\n");
    // Rosa's merge of what was keeps the old tree, as if that were how it came out.
    let evil = ["commit-tree", "-m", "Merge", "-p", "main", "-p", "old", "old^{tree}"];
    let unsigned = work.git(&evil);
    work.git(&["reset", "--quiet", "--hard", &unsigned]);
    let bad = work.signed(Some("rosa"), &["commit", "--quiet", "--amend", "--no-edit"], &[]);
    let refusal = work.refusal(work.anchor, good, bad);
    assert_eq!(told(&refusal), (Rule::PathDenied, Some("rosa@example.com"), Some("federation.yaml")));
    // With the parents swapped nothing differs from the first one, but what was verified is no longer on the line.
    work.reset(id(&work.git(&["rev-parse", "old"])));
    let swapped = work.git(&["commit-tree", "-m", "Merge", "-p", "old", "-p", &good.to_string(), "old^{tree}"]);
    work.git(&["reset", "--quiet", "--hard", &swapped]);
    let bad = work.signed(Some("rosa"), &["commit", "--quiet", "--amend", "--no-edit"], &[]);
    assert_eq!(work.refusal(good, good, bad).rule, Rule::SourceForked);
}

#[test]
fn t11_a_revoked_key_signs_nothing_more_whatever_date_it_writes() {
    let work = Work::new();
    work.append("trust/revoked_keys", &work.public("rosa"));
    let revoked = work.commit(Some("root"), "Revoke rosa's key");
    work.write("meshes/rosa/mesh.yaml", "a: evil\n");
    let past = [("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z"), ("GIT_AUTHOR_DATE", "2001-01-01T00:00:00Z")];
    let bad = work.commit_with(Some("rosa"), "Long ago", &past);
    assert_eq!(told(&work.refusal(work.anchor, revoked, bad)), (Rule::RevokedKey, Some("rosa@example.com"), None));
    // valid-before is kept as Git keeps it, by the commit's own date, and so does not revoke.
    work.reset(work.anchor);
    let line = work.signer_line("rosa").replace("\"git\"", "\"git\",valid-before=\"20200101Z\"");
    let signers = std::fs::read_to_string(work.path().join("trust/allowed_signers")).unwrap();
    let expired = work.change(Some("root"), "trust/allowed_signers", &signers.replace(&work.signer_line("rosa"), &line));
    let bad = work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 2\n");
    assert_eq!(work.refusal(work.anchor, expired, bad).rule, Rule::OutsideValidity);
    work.reset(expired);
    work.write("meshes/rosa/mesh.yaml", "a: 2\n");
    work.commit_with(Some("rosa"), "Long ago", &past);
    work.assert_verified();
}

#[test]
fn t11_a_revocation_is_not_taken_back() {
    let work = Work::new();
    work.append("trust/revoked_keys", &format!("# left in May\n{} rosa", work.public("rosa")));
    let revoked = work.commit(Some("root"), "Revoke rosa's key");
    let bad = work.signed(Some("root"), &["revert", "--no-edit", "HEAD"], &[]);
    let refusal = work.refusal(work.anchor, revoked, bad);
    assert_eq!(told(&refusal), (Rule::RevocationShrunk, Some("root@example.com"), Some("trust/revoked_keys")));
    work.accept("root", &[bad]);
    work.refusal(work.anchor, revoked, bad); // what touches trust/ cannot be accepted
    work.reset(revoked);
    work.write("trust/revoked_keys", &format!("{}\n{}\n", work.public("aro"), work.public("rosa")));
    work.commit(Some("root"), "Revoke aro's key, and say nothing");
    work.assert_verified();
}

#[test]
fn t12_a_renamed_folder_is_a_removal_and_an_addition() {
    let work = Work::new();
    work.git(&["mv", "meshes/aro", "meshes/rosa/aro"]);
    let bad = work.commit(Some("rosa"), "Move");
    let refusal = work.refusal(work.anchor, work.anchor, bad);
    assert_eq!(told(&refusal), (Rule::PathDenied, Some("rosa@example.com"), Some("meshes/aro/mesh.yaml")));
    work.reset(work.anchor);
    work.git(&["rm", "--quiet", "-r", "meshes", "federation.yaml", "trust"]);
    let bad = work.commit(Some("root"), "Empty it");
    assert_eq!(work.refusal(work.anchor, work.anchor, bad).rule, Rule::TrustBroken);
}

#[test]
fn t21_a_key_under_two_names_is_refused_where_it_is_listed() {
    let work = Work::new();
    work.append("trust/allowed_signers", &format!("root@example.com {}", work.public("rosa")));
    let bad = work.commit(Some("root"), "Give rosa another name");
    let refusal = work.refusal(work.anchor, work.anchor, bad);
    assert_eq!(told(&refusal), (Rule::TrustBroken, Some("root@example.com"), Some("trust/allowed_signers")));
    assert!(refusal.detail.contains("allowed_signers:4:1") && refusal.detail.contains("line 2"), "{refusal}");
}

#[test]
fn t21_a_signature_for_another_namespace_is_none_for_git() {
    let work = Work::new();
    let unsigned = work.change(None, "meshes/rosa/mesh.yaml", "a: 2\n");
    let content = work.git(&["cat-file", "commit", &unsigned.to_string()]) + "\n";
    let file = work.scratch().join("content");
    std::fs::write(&file, &content).unwrap();
    let mut sign = std::process::Command::new("ssh-keygen");
    run(sign.args(["-q", "-Y", "sign", "-n", "file", "-f"]).arg(work.key("rosa")).arg(&file));
    let armour = std::fs::read_to_string(file.with_extension("sig")).unwrap();
    let header = format!("\ngpgsig {}\n\n", armour.trim_end().replace('\n', "\n "));
    let bad = work.object("commit", content.replacen("\n\n", &header, 1).as_bytes());
    work.git(&["update-ref", "refs/heads/main", &bad.to_string()]);
    assert_eq!(work.refusal(work.anchor, work.anchor, bad).rule, Rule::WrongNamespace);
}

#[test]
fn a_frozen_branch_goes_on_when_root_accepts_or_after_a_reset() {
    let work = Work::new();
    let bad = work.change(None, "meshes/rosa/mesh.yaml", "unsigned: true\n");
    let worse = work.change(Some("rosa"), "federation.yaml", "kind: Federation # by rosa\n");
    work.change(Some("aro"), "meshes/aro/mesh.yaml", "a: 2\n");
    work.refusal(work.anchor, work.anchor, bad);
    work.accept("rosa", &[bad, worse]);
    work.refusal(work.anchor, work.anchor, bad);
    work.accept("root", &[bad]);
    work.refusal(work.anchor, work.anchor, worse);
    work.accept("root", &[bad, worse]);
    work.assert_verified();
    work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 3\n");
    work.assert_verified();
    work.reset(work.anchor);
    work.change(Some("rosa"), "meshes/rosa/mesh.yaml", "a: 3\n");
    work.assert_verified();
}
