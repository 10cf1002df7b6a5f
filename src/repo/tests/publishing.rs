//! The agent's own branch: what a push makes, and what happens when it is refused.

use std::fs;
use std::path::Path;

use crate::repo::testing::{Lab, git, publication};
use crate::repo::{CommitId, Mirror, Outcome, PUSH_TRIES, RepoError, SigningKey};

const BRANCH: &str = "published/rosa";

fn key(lab: &Lab) -> SigningKey {
    SigningKey::load_or_create(&lab.temp.path().join("key")).unwrap().0
}

fn over(lab: &Lab, http: bool) -> Mirror {
    let mut mirror = Mirror::open(&lab.options(&if http { lab.serve() } else { lab.file_url() })).unwrap();
    mirror.fetch().unwrap();
    mirror
}

fn pushed(outcome: Outcome) -> CommitId {
    match outcome {
        Outcome::Pushed(id) => id,
        Outcome::Unchanged(id) => panic!("{id} was there"),
    }
}

fn show(lab: &Lab, format: &str) -> String {
    git(&lab.shared, &["log", &format!("--format={format}"), BRANCH])
}

#[test]
fn commits_form_a_signed_line_from_a_root_of_its_own() {
    for http in [false, true] {
        let lab = Lab::new();
        let (mut mirror, key) = (over(&lab, http), key(&lab));
        let first = pushed(mirror.publish(&publication("1"), &key).unwrap());
        let second = pushed(mirror.publish(&publication("2"), &key).unwrap());
        assert_eq!(mirror.publish(&publication("2"), &key).unwrap(), Outcome::Unchanged(second));
        assert_eq!(lab.tip(BRANCH), second);
        assert_eq!(show(&lab, "%H %P %s"), format!("{second} {first} rosa: fact is now 2\n{first}  rosa: fact is now 1"));
        assert_eq!(
            show(&lab, "%an <%ae> %ct").lines().next().unwrap(),
            "meshfed agent of rosa <rosa@meshfed.invalid> 1700000000"
        );
        assert_eq!(git(&lab.shared, &["ls-tree", "--name-only", BRANCH]), "published.yaml\nstatus.yaml");
        assert_eq!(git(&lab.shared, &["show", &format!("{BRANCH}:published.yaml")]), "fact: 2");
        assert_eq!(git(&lab.shared, &["for-each-ref", "--format=%(refname)"]), "refs/heads/main\nrefs/heads/published/rosa");
        git(&lab.shared, &["fsck", "--strict"]);
        assert_eq!(mirror.fetch().unwrap().published["rosa"], second);
    }
}

#[test]
fn git_verifies_the_signature() {
    let lab = Lab::new();
    let (mut mirror, key) = (over(&lab, false), key(&lab));
    pushed(mirror.publish(&publication("1"), &key).unwrap());
    let signers = lab.temp.path().join("allowed_signers");
    let verify = |line: String| {
        fs::write(&signers, line).unwrap();
        let file = format!("gpg.ssh.allowedSignersFile={}", signers.display());
        let args = ["-c", "gpg.format=ssh", "-c", &file, "log", "-1", "--format=%G?", BRANCH];
        git(&lab.shared, &args)
    };
    assert_eq!(verify(format!("rosa@meshfed.invalid {}\n", key.public_line("agent"))), "G");
    let other = SigningKey::load_or_create(&lab.temp.path().join("other")).unwrap().0;
    assert_ne!(verify(format!("rosa@meshfed.invalid {}\n", other.public_line("agent"))), "G");
}

#[test]
fn a_push_onto_a_branch_that_moved_is_built_again() {
    for http in [false, true] {
        let lab = Lab::new();
        let (mut mirror, key) = (over(&lab, http), key(&lab));
        let first = pushed(mirror.publish(&publication("1"), &key).unwrap());
        lab.intrude(BRANCH);
        let intruder = lab.tip(BRANCH);
        let second = pushed(mirror.publish(&publication("2"), &key).unwrap());
        assert_eq!(show(&lab, "%H"), format!("{second}\n{intruder}\n{first}"));
    }
}

#[test]
fn a_branch_that_another_made_first_is_continued() {
    for http in [false, true] {
        let lab = Lab::new();
        let (mut mirror, key) = (over(&lab, http), key(&lab));
        git(&lab.person, &["push", "--quiet", "origin", &format!("main:{BRANCH}")]);
        let id = pushed(mirror.publish(&publication("1"), &key).unwrap());
        assert_eq!(show(&lab, "%H"), format!("{id}\n{}", lab.tip("main")));
    }
}

#[test]
fn the_same_content_published_meanwhile_is_unchanged() {
    for http in [false, true] {
        let lab = Lab::new();
        let (mut mirror, key) = (over(&lab, http), key(&lab));
        let mut options = lab.options(&lab.file_url());
        options.state_dir = lab.temp.path().join("twin");
        let mut twin = Mirror::open(&options).unwrap();
        let id = pushed(twin.publish(&publication("1"), &key).unwrap());
        let later = super::super::Publication { at: jiff::Timestamp::UNIX_EPOCH, ..publication("1") };
        assert_eq!(mirror.publish(&later, &key).unwrap(), Outcome::Unchanged(id));
    }
}

#[test]
fn a_branch_deleted_meanwhile_starts_anew() {
    let lab = Lab::new();
    let (mut mirror, key) = (over(&lab, false), key(&lab));
    pushed(mirror.publish(&publication("1"), &key).unwrap());
    git(&lab.shared, &["update-ref", "-d", &format!("refs/heads/{BRANCH}")]);
    let id = pushed(mirror.publish(&publication("2"), &key).unwrap());
    assert_eq!(show(&lab, "%H"), id.to_string());
}

/// Moves the branch from inside the server, after it checked the push and before it sets the ref: the server then says
/// "failed to update ref" in a report, and libgit2's push returns Ok.
const RACE: &str = r#"
test "$1" = refs/heads/published/rosa || exit 0
count=$(cat tries 2>/dev/null || echo 0)
echo $((count + 1)) > tries
test $count -lt LIMIT || exit 0
unset GIT_QUARANTINE_PATH
tree=$(git rev-parse refs/heads/main^{tree})
rival=$(git commit-tree $tree -p "$1" -m "rival $count")
git update-ref "$1" $rival
"#;

#[test]
fn a_race_lost_inside_the_server_is_built_again() {
    let lab = Lab::new();
    let (mut mirror, key) = (over(&lab, true), key(&lab));
    pushed(mirror.publish(&publication("1"), &key).unwrap());
    git(&lab.shared, &["config", "user.name", "Rival"]);
    git(&lab.shared, &["config", "user.email", "rival@example.com"]);
    lab.hook("update", &RACE.replace("LIMIT", "2"));
    let id = pushed(mirror.publish(&publication("2"), &key).unwrap());
    assert_eq!(lab.tip(BRANCH), id);
    assert_eq!(tries(&lab.shared), "3");
    assert_eq!(
        show(&lab, "%s").lines().collect::<Vec<_>>(),
        ["rosa: fact is now 2", "rival 1", "rival 0", "rosa: fact is now 1"]
    );
}

#[test]
fn a_branch_that_keeps_moving_is_given_up_for_this_time() {
    let lab = Lab::new();
    let (mut mirror, key) = (over(&lab, true), key(&lab));
    pushed(mirror.publish(&publication("1"), &key).unwrap());
    lab.hook("update", &RACE.replace("LIMIT", "99"));
    git(&lab.shared, &["config", "user.name", "Rival"]);
    git(&lab.shared, &["config", "user.email", "rival@example.com"]);
    let error = mirror.publish(&publication("2"), &key).unwrap_err();
    assert!(matches!(error, RepoError::Contended { .. }) && error.is_transient(), "{error}");
    assert_eq!(tries(&lab.shared), PUSH_TRIES.to_string());
}

fn tries(shared: &Path) -> String {
    fs::read_to_string(shared.join("tries")).unwrap().trim().to_owned()
}

#[test]
fn a_hook_that_declines_is_quoted_and_not_asked_again() {
    let lab = Lab::new();
    let (mut mirror, key) = (over(&lab, true), key(&lab));
    lab.hook("pre-receive", "echo once >> tries; echo 'branch is frozen until Monday' >&2; exit 1");
    let error = mirror.publish(&publication("1"), &key).unwrap_err();
    assert!(matches!(error, RepoError::Refused { .. }) && !error.is_transient(), "{error}");
    let message = error.to_string();
    assert!(message.contains("pre-receive hook declined") && message.contains("frozen until Monday"), "{message}");
    assert_eq!(tries(&lab.shared), "once");
    assert_eq!(mirror.fetch().unwrap().published.len(), 0);
}

#[test]
fn a_locked_ref_of_a_local_repository_is_a_lost_race() {
    let lab = Lab::new();
    let (mut mirror, key) = (over(&lab, false), key(&lab));
    pushed(mirror.publish(&publication("1"), &key).unwrap());
    let lock = lab.shared.join("refs/heads/published/rosa.lock");
    fs::write(&lock, "").unwrap();
    let unlock = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(80));
        fs::remove_file(lock).unwrap();
    });
    pushed(mirror.publish(&publication("2"), &key).unwrap());
    unlock.join().unwrap();
}

#[test]
fn names_that_are_no_mesh_or_file_are_refused() {
    let lab = Lab::new();
    let (mut mirror, key) = (over(&lab, false), key(&lab));
    let good = publication("1");
    for mesh in ["", "main/../x", "Rosa", "-a", "a b", &"a".repeat(64)] {
        let error = mirror.publish(&super::super::Publication { mesh: mesh.to_owned(), ..good.clone() }, &key).unwrap_err();
        assert!(matches!(error, RepoError::Invalid { .. }), "{mesh}: {error}");
    }
    for file in ["", ".git", "a/b"] {
        let files = [(file.to_owned(), Vec::new())].into();
        let error = mirror.publish(&super::super::Publication { files, ..good.clone() }, &key).unwrap_err();
        assert!(matches!(error, RepoError::Invalid { .. }), "{file}: {error}");
    }
}

#[test]
fn a_branch_that_went_back_is_continued_from_what_was_kept_of_it() {
    for (http, gone) in [(false, false), (true, false), (false, true), (true, true)] {
        let lab = Lab::new();
        let (mut mirror, key) = (over(&lab, http), key(&lab));
        let first = pushed(mirror.publish(&publication("1"), &key).unwrap());
        let second = pushed(mirror.publish(&publication("2"), &key).unwrap());
        mirror.keep(BRANCH, second).unwrap();
        if gone {
            git(&lab.shared, &["update-ref", "-d", &format!("refs/heads/{BRANCH}")]);
        } else {
            git(&lab.shared, &["update-ref", &format!("refs/heads/{BRANCH}"), &first.to_string()]);
        }
        git(&lab.shared, &["gc", "--quiet", "--prune=now"]);
        mirror.fetch().unwrap();
        let third = pushed(mirror.publish(&publication("3"), &key).unwrap());
        assert_eq!(show(&lab, "%H"), format!("{third}\n{second}\n{first}"));
        git(&lab.shared, &["fsck", "--strict"]);
        // Also where nothing new is to be said.
        git(&lab.shared, &["update-ref", &format!("refs/heads/{BRANCH}"), &first.to_string()]);
        mirror.keep(BRANCH, third).unwrap();
        mirror.fetch().unwrap();
        assert_eq!(mirror.publish(&publication("3"), &key).unwrap(), Outcome::Pushed(third));
        assert_eq!(lab.tip(BRANCH), third);
    }
}

#[test]
fn what_is_kept_outlives_the_host_and_a_mirror_that_is_made_anew() {
    let lab = Lab::new();
    let mut mirror = over(&lab, false);
    let (old, newest) = (lab.tip("main"), lab.commit("Second", &[("a", "1")]));
    mirror.fetch().unwrap();
    mirror.keep("main", newest).unwrap();
    git(&lab.shared, &["update-ref", "refs/heads/main", &old.to_string()]);
    git(&lab.shared, &["gc", "--quiet", "--prune=now"]);
    let _ = mirror.damaged(&git2::Error::from_str("for the test"));
    assert_eq!(mirror.fetch().unwrap().main, Some(old));
    assert_eq!(mirror.commit(newest).unwrap().summary, "Second");
    mirror.keep("main", old).unwrap();
    let _ = mirror.damaged(&git2::Error::from_str("for the test"));
    mirror.fetch().unwrap();
    assert!(mirror.commit(newest).is_err(), "one commit of a branch is kept");
}
