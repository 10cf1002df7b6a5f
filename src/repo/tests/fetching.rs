//! What is fetched, what is read, and what a broken repository or server says.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use crate::repo::testing::{Lab, git, publication, yaml};
use crate::repo::{BlobId, Credentials, Mirror, RepoError, SigningKey, TRANSFER_TIMEOUT};

fn packs(lab: &Lab) -> usize {
    fs::read_dir(lab.temp.path().join("state/mirror.git/objects/pack")).map_or(0, Iterator::count)
}

const ALL: &dyn Fn(&str) -> bool = &|_| true;

#[test]
fn a_mirror_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Mirror>();
}

#[test]
fn a_fetch_brings_main_and_published_branches_and_nothing_else() {
    for http in [false, true] {
        let lab = Lab::new();
        git(&lab.person, &["push", "--quiet", "origin", "main:published/aro", "main:published/Not_A_Mesh", "main:refs/tags/t"]);
        git(&lab.person, &["checkout", "--quiet", "-b", "feature"]);
        git(&lab.person, &["commit", "--quiet", "--allow-empty", "-m", "unwanted"]);
        git(&lab.person, &["push", "--quiet", "origin", "feature"]);
        let mut mirror = Mirror::open(&lab.options(&if http { lab.serve() } else { lab.file_url() })).unwrap();
        assert!(matches!(mirror.main(), Err(RepoError::NotFetched { .. })));
        let refs = mirror.fetch().unwrap();
        assert_eq!(refs.main, Some(lab.tip("main")));
        assert_eq!(refs.published.keys().collect::<Vec<_>>(), ["aro"]);
        assert_eq!(refs.others, ["feature"]);
        assert!(matches!(mirror.commit(lab.tip("feature")), Err(RepoError::NoCommit { .. })));
    }
}

#[test]
fn nothing_new_transfers_nothing() {
    for http in [false, true] {
        let lab = Lab::new();
        let mut mirror = Mirror::open(&lab.options(&if http { lab.serve() } else { lab.file_url() })).unwrap();
        let first = mirror.fetch().unwrap();
        let before = packs(&lab);
        assert!(before > 0);
        assert_eq!(mirror.fetch().unwrap(), first);
        assert_eq!(packs(&lab), before);
        // A branch that moves to a commit we have needs no transfer either.
        git(&lab.person, &["push", "--quiet", "origin", "main:published/aro"]);
        assert_eq!(mirror.fetch().unwrap().published["aro"], first.main.unwrap());
        assert_eq!(packs(&lab), before);
    }
}

#[test]
fn vanished_branches_go_and_rewound_ones_follow() {
    let lab = Lab::new();
    let (old, mut mirror) = (lab.tip("main"), lab.mirror());
    git(&lab.person, &["push", "--quiet", "origin", "main:published/aro"]);
    let new = lab.commit("Second", &[("federation.yaml", "name: g\n")]);
    mirror.fetch().unwrap();
    assert_eq!((mirror.distance(old, new).unwrap(), mirror.distance(new, old).unwrap()), (Some(1), None));
    git(&lab.person, &["push", "--quiet", "--force", "origin", "main~1:main", ":published/aro"]);
    let refs = mirror.fetch().unwrap();
    assert_eq!(refs.main, Some(old));
    assert!(refs.published.is_empty());
    assert_eq!(lab.mirror().refs().published.len(), 0);
}

#[test]
fn an_earlier_run_is_remembered() {
    let lab = Lab::new();
    let refs = lab.mirror().fetch().unwrap();
    let mirror = lab.mirror();
    assert_eq!(*mirror.refs(), refs);
    assert_eq!(mirror.main().unwrap(), lab.tip("main"));
}

#[test]
fn a_snapshot_holds_what_was_asked_for() {
    let lab = Lab::new();
    symlink("/etc/passwd", lab.person.join("meshes/rosa/peer.yaml")).unwrap();
    symlink("rosa", lab.person.join("meshes/aro")).unwrap();
    let tip = lab
        .commit("Second\n\nBody", &[("meshes/gcp/mesh.yaml", "b: 1\n"), ("notes/x.yaml", "no: 1\n"), ("meshes/rosa/README", "")]);
    let mut mirror = lab.mirror();
    mirror.fetch().unwrap();
    let keep = |path: &str| match path.strip_prefix("meshes/") {
        Some(inside) => inside.is_empty() || path.ends_with('/') || Path::new(path).extension().is_some_and(|e| e == "yaml"),
        None => path == "federation.yaml",
    };
    let snapshot = mirror.snapshot(tip, &keep).unwrap();
    assert_eq!(yaml(&snapshot), ["federation.yaml", "meshes/gcp/mesh.yaml", "meshes/rosa/mesh.yaml"]);
    let refused: Vec<_> = snapshot.refused.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(refused, ["meshes/aro", "meshes/rosa/peer.yaml"]);
    assert!(snapshot.refused[0].1.contains("symbolic link"));
    assert_eq!(mirror.read(snapshot.entries["meshes/gcp/mesh.yaml"]).unwrap(), b"b: 1\n");
    let commit = &snapshot.commit;
    assert_eq!((commit.summary.as_str(), commit.author_name.as_str(), commit.parents.len()), ("Second", "Ada", 1));
    let summaries: Vec<_> = mirror.log(tip, 9).unwrap().into_iter().map(|commit| commit.summary).collect();
    assert_eq!(summaries, ["Second", "Start the federation"]);
}

#[test]
fn submodules_are_refused_and_never_followed() {
    let lab = Lab::new();
    let id = lab.tip("main").to_string();
    git(&lab.person, &["update-index", "--add", "--cacheinfo", &format!("160000,{id},meshes/sub")]);
    git(&lab.person, &["commit", "--quiet", "-m", "Submodule"]);
    git(&lab.person, &["push", "--quiet", "origin", "main"]);
    let mut mirror = lab.mirror();
    let tip = mirror.fetch().unwrap().main.unwrap();
    let refused = mirror.snapshot(tip, ALL).unwrap().refused;
    assert_eq!(refused[0].0, "meshes/sub");
    assert!(refused[0].1.contains("submodule"));
}

#[test]
fn a_large_file_is_refused_before_it_is_read() {
    let lab = Lab::new();
    let tip = lab.commit("Large", &[("large.yaml", &"x".repeat(crate::model::yaml::MAX_FILE_BYTES + 1))]);
    let mut mirror = lab.mirror();
    mirror.fetch().unwrap();
    let id = mirror.snapshot(tip, ALL).unwrap().entries["large.yaml"];
    let error = mirror.read(id).unwrap_err();
    assert_eq!(error.to_string(), format!("blob {id} has 4194305 bytes; files may have 4194304: split it"));
}

#[test]
fn an_empty_repository_and_a_wrong_branch_are_told_apart() {
    for http in [false, true] {
        let lab = Lab::empty();
        let url = if http { lab.serve() } else { lab.file_url() };
        let mut mirror = Mirror::open(&lab.options(&url)).unwrap();
        mirror.fetch().unwrap();
        let message = mirror.main().unwrap_err().to_string();
        assert_eq!(message, format!("repository {url} is empty: commit federation.yaml to main first"));
        // An agent that published first makes it no less empty.
        let key = SigningKey::load_or_create(&lab.temp.path().join("key")).unwrap().0;
        mirror.publish(&publication("1"), &key).unwrap();
        mirror.fetch().unwrap();
        assert!(matches!(mirror.main(), Err(RepoError::Empty { .. })));
        git(&lab.person, &["commit", "--quiet", "--allow-empty", "-m", "x"]);
        git(&lab.person, &["push", "--quiet", "origin", "main:trunk"]);
        mirror.fetch().unwrap();
        let message = mirror.main().unwrap_err().to_string();
        assert_eq!(message, format!("branch main does not exist in {url}; the repository has: trunk"));
    }
}

#[test]
fn a_path_without_repository_says_so() {
    let lab = Lab::empty();
    let missing = lab.temp.path().join("nothing");
    let error = Mirror::open(&lab.options(missing.to_str().unwrap())).unwrap().fetch().unwrap_err();
    assert_eq!(error.to_string(), format!("there is no repository at {}: no such folder", missing.display()));
    let url = lab.serve().replace("shared", "other");
    let error = Mirror::open(&lab.options(&url)).unwrap().fetch().unwrap_err();
    assert!(error.to_string().contains("http 404"), "{error}");
}

#[test]
fn a_password_is_given_and_a_wrong_one_is_a_clear_error() {
    let lab = Lab::new();
    let url = lab.serve();
    let password_file = lab.temp.path().join("password");
    fs::write(&password_file, "s3cret\n").unwrap();
    let with_user = url.replace("http://", "http://bob:s3cret@");
    assert!(Mirror::open(&lab.options(&with_user)).unwrap().fetch().is_ok());
    let mut options = lab.options(&url);
    let error = Mirror::open(&options).unwrap().fetch().unwrap_err().to_string();
    assert!(error.contains("none are configured"), "{error}");
    options.access.credentials = Some(Credentials { username: "bob".to_owned(), password_file });
    let mut mirror = Mirror::open(&options).unwrap();
    assert!(mirror.fetch().is_ok());
    let error = Mirror::open(&lab.options(&url.replace("http://", "http://bob:wr0ng@"))).unwrap().fetch().unwrap_err();
    assert!(matches!(error, RepoError::Denied { .. }) && !error.is_transient(), "{error}");
    assert!(!error.to_string().contains("wr0ng"), "{error}");
    let config = fs::read_to_string(lab.temp.path().join("state/mirror.git/config")).unwrap();
    assert!(!config.contains("s3cret") && !config.contains("wr0ng"), "{config}");
}

#[test]
fn a_lock_left_by_a_killed_agent_does_not_stop_the_next() {
    let lab = Lab::new();
    lab.mirror().fetch().unwrap();
    fs::write(lab.temp.path().join("state/mirror.git/refs/remotes/origin/main.lock"), "").unwrap();
    let mut mirror = lab.mirror();
    let tip = lab.commit("Next", &[("x.yaml", "")]);
    assert_eq!(mirror.fetch().unwrap().main, Some(tip));
    assert_eq!(lab.mirror().main().unwrap(), tip);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://bob:secret@{}/fed.git", listener.local_addr().unwrap());
    let mut mirror = Mirror::open(&lab.options(&url)).unwrap();
    let begun = Instant::now();
    let error = mirror.fetch().unwrap_err();
    assert!(begun.elapsed() < TRANSFER_TIMEOUT, "silence ends it, not the limit of all: {:?}", begun.elapsed());
    assert!(error.is_transient());
    let message = error.to_string();
    assert!(message.contains("cannot be reached") && !message.contains("secret") && !message.contains("bob"), "{message}");
}

#[test]
fn a_closed_port_is_an_unreachable_repository() {
    let lab = Lab::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Mirror::open(&lab.options(&format!("http://{address}/fed.git"))).unwrap().fetch().unwrap_err();
    assert!(matches!(error, RepoError::Unreachable { .. }), "{error}");
}

#[test]
fn a_mirror_of_another_repository_is_made_anew() {
    let (lab, other) = (Lab::new(), Lab::new());
    lab.commit("Only here", &[("x.yaml", "")]);
    lab.mirror().fetch().unwrap();
    other.commit("Other", &[("x.yaml", "")]);
    let mut mirror = Mirror::open(&lab.options(&other.file_url())).unwrap();
    assert_eq!(mirror.refs().main, None);
    assert_eq!(mirror.fetch().unwrap().main, Some(other.tip("main")));
    assert!(matches!(mirror.commit(lab.tip("main")), Err(RepoError::NoCommit { .. })));
}

#[test]
fn a_mirror_damaged_between_runs_is_made_anew() {
    for damage in ["HEAD", "objects"] {
        let lab = Lab::new();
        lab.mirror().fetch().unwrap();
        let victim = lab.temp.path().join("state/mirror.git").join(damage);
        if victim.is_dir() {
            fs::remove_dir_all(&victim).unwrap();
        } else {
            fs::write(&victim, "junk").unwrap();
        }
        let mut mirror = lab.mirror();
        let tip = mirror.fetch().unwrap().main.unwrap();
        assert_eq!(yaml(&mirror.snapshot(tip, ALL).unwrap()).len(), 2, "{damage}");
    }
}

#[test]
fn a_mirror_damaged_while_running_is_fetched_anew() {
    let lab = Lab::new();
    let mut mirror = lab.mirror();
    let tip = mirror.fetch().unwrap().main.unwrap();
    let lost: BlobId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    assert!(matches!(mirror.read(lost), Err(RepoError::Corrupt { .. })));
    fs::remove_dir_all(lab.temp.path().join("state/mirror.git")).unwrap();
    assert_eq!(mirror.fetch().unwrap().main, Some(tip));
    let id = mirror.snapshot(tip, ALL).unwrap().entries["federation.yaml"];
    assert_eq!(mirror.read(id).unwrap(), b"name: f\n");
    let left = fs::read_dir(lab.temp.path().join("state")).unwrap().count();
    assert_eq!(left, 1, "only the mirror is left");
}

#[test]
fn many_fetches_leave_few_packs() {
    let lab = Lab::new();
    let mut mirror = lab.mirror();
    let mut tips = Vec::new();
    for count in 0..105 {
        tips.push(lab.commit("Next", &[("federation.yaml", &format!("name: f{count}\n"))]));
        mirror.fetch().unwrap();
    }
    assert!(packs(&lab) < 2 * 20, "{}", packs(&lab));
    for tip in tips {
        let snapshot = mirror.snapshot(tip, ALL).unwrap();
        mirror.read(snapshot.entries["federation.yaml"]).unwrap();
    }
    assert_eq!(*lab.mirror().refs(), *mirror.refs());
}
