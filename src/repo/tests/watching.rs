//! Waking up when a local repository's branches move.

use std::sync::mpsc;
use std::time::Duration;

use crate::repo::testing::{Lab, git};
use crate::repo::watch;

/// Longest a busy machine may take to deliver a change.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn moved_branches_wake_and_reading_does_not() {
    let lab = Lab::new();
    for folder in [&lab.shared, &lab.person] {
        let (sender, receiver) = mpsc::channel();
        let running = watch(folder.to_str().unwrap(), move || {
            let _ = sender.send(());
        })
        .unwrap();
        assert!(running.is_some());
        let wakes = || {
            let woken = receiver.recv_timeout(PATIENCE).is_ok();
            while receiver.recv_timeout(Duration::from_millis(300)).is_ok() {}
            woken
        };
        lab.commit("Next", &[("x.yaml", &folder.display().to_string())]);
        assert!(wakes(), "a commit");
        git(folder, &["update-ref", "refs/heads/published/aro", "main"]);
        assert!(wakes(), "a branch in a new folder");
        git(folder, &["update-ref", "refs/heads/published/aro", "main~1"]);
        assert!(wakes(), "a change in that folder");
        git(folder, &["pack-refs", "--all"]);
        assert!(wakes(), "packed refs");
        lab.mirror().fetch().unwrap();
        git(folder, &["log", "--all"]);
        assert!(receiver.recv_timeout(Duration::from_millis(300)).is_err(), "reading");
        drop(running);
        assert!(matches!(receiver.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected)));
    }
}

#[test]
fn a_remote_repository_is_not_watched() {
    for url in ["https://git.example/fed.git", "git@git.example:fed.git"] {
        assert!(watch(url, || ()).unwrap().is_none());
    }
    assert!(watch("/no/such/folder", || ()).is_err());
}
