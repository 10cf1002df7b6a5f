//! What Git hosts do beside serving Git: they move repositories, want less traffic, and have rules.

use std::fs;

use meshfed::repo::{Access, Outcome, RepoError};

use super::{fill, mirror, publish};
use crate::lab::git_server::GitServer;
use crate::lab::process::Scratch;
use crate::stage::eventually;

fn serving(scratch: &Scratch) -> GitServer {
    let git = GitServer::start(&scratch.join("git"));
    fill(&git);
    git
}

#[test]
fn a_host_that_has_had_enough_is_left_alone_for_as_long_as_it_says() {
    let scratch = Scratch::new("host-busy");
    let git = serving(&scratch);
    let mut mirror = mirror(&scratch, &git.url(), Access::default());
    mirror.fetch().unwrap();
    git.answer(Some("429 Too Many Requests\r\nRetry-After: 1800"));
    let first = mirror.fetch().unwrap_err();
    assert!(matches!(first, RepoError::Busy { .. }) && first.is_transient(), "{first}");
    assert!(first.to_string().contains("left alone for 1800 s (http 429)"), "{first}");
    let asked = git.requests().len();
    git.answer(None);
    assert_eq!(mirror.fetch().unwrap_err().to_string(), first.to_string(), "the same words: no news");
    let published = publish(&scratch, &mut mirror, "one").unwrap_err();
    assert!(matches!(published, RepoError::Busy { .. }), "{published}");
    assert_eq!(git.requests().len(), asked, "not one request meanwhile");
}

#[test]
fn a_host_is_asked_again_when_its_pause_is_over() {
    let scratch = Scratch::new("host-again");
    let git = serving(&scratch);
    let mut mirror = mirror(&scratch, &git.url(), Access::default());
    git.answer(Some("503 Service Unavailable\r\nRetry-After: 1"));
    assert!(matches!(mirror.fetch(), Err(RepoError::Busy { .. })));
    git.answer(None);
    eventually("it is asked again", || mirror.fetch().map_err(|error| error.to_string()));
    git.answer(Some("429 Too Many Requests"));
    let error = mirror.fetch().unwrap_err().to_string();
    assert!(error.contains("the next request goes out after 30 s (http 429)"), "{error}");
}

#[test]
fn a_repository_that_moved_on_its_host_is_followed_and_told() {
    let scratch = Scratch::new("host-moved");
    let git = serving(&scratch);
    git.redirect("301 Moved Permanently", "/old/fed", "/repo.git");
    let mut mirror = mirror(&scratch, &git.url().replace("/repo.git", "/old/fed"), Access::default());
    assert_eq!(mirror.fetch().unwrap().main.map(|id| id.to_string()), git.head("main"));
    assert_eq!(mirror.moved(), Some(git.url()));
    publish(&scratch, &mut mirror, "one").unwrap();
    assert_eq!(git.show("published/a:published.yaml").as_deref(), Some("one"));
}

#[test]
fn a_page_in_place_of_a_repository_is_told() {
    let scratch = Scratch::new("host-page");
    let git = serving(&scratch);
    let error = |head: &str| {
        git.answer(Some(head));
        mirror(&scratch, &git.url(), Access::default()).fetch().unwrap_err().to_string()
    };
    let message = error("302 Found\r\nLocation: /users/sign_in");
    assert!(message.contains("/users/sign_in") && message.contains("a page to sign in"), "{message}");
    let message = error("200 OK\r\nContent-Type: text/html; charset=utf-8");
    assert!(message.contains("it answers with text/html"), "{message}");
    assert!(error("403 Forbidden").contains("refuses access: http 403"));
    assert!(error("404 Not Found").contains("or hides it from these credentials"));
    assert!(error("500 Internal Server Error").contains("500"));
    let elsewhere = error("301 Moved Permanently\r\nLocation: https://other.example/repo.git/info/refs?service=git-upload-pack");
    assert!(elsewhere.contains("redirects to https://other.example, which gets no credentials"), "{elsewhere}");
    let round = error("302 Found\r\nLocation: /repo.git/info/refs?service=git-upload-pack");
    assert!(round.contains("redirects more than 5 times"), "{round}");
}

/// What hosts say when their rules do not let a push through, as their users see it.
const REFUSALS: [(&str, &str); 6] = [
    (
        "error: GH006: Protected branch update failed for refs/heads/published/a.\nerror: Changes must be made through a pull request.",
        "GH006: Protected branch update failed",
    ),
    (
        "error: GH013: Repository rule violations found for refs/heads/published/a.\n\n- GITHUB PUSH PROTECTION\n  - Push cannot contain secrets",
        "GH013: Repository rule violations",
    ),
    (
        "GitLab: You are not allowed to push code to protected branches on this project.",
        "GitLab: You are not allowed to push code",
    ),
    // Gitea 1.26, of a branch that others may push, and of one that asks for signatures which it does not know.
    (
        "error:\nerror: Not allowed to push to protected branch published/a\nerror:",
        "declined: Not allowed to push to protected branch",
    ),
    ("error:\nerror: Internal Server Error (no message for end users)\nerror:", "declined: Internal Server Error (no message"),
    ("Branch refs/heads/published/a can only be modified through pull requests.", "can only be modified through pull requests"),
];

#[test]
fn a_push_that_the_hosts_rules_refuse_is_told_in_its_words_and_not_repeated() {
    let scratch = Scratch::new("host-rules");
    let git = serving(&scratch);
    let mut mirror = mirror(&scratch, &git.url(), Access::default());
    mirror.fetch().unwrap();
    for (said, words) in REFUSALS {
        let text = scratch.write("words", said).display().to_string();
        git.hook("pre-receive", &format!("cat >/dev/null; cat {text} >&2; exit 1"));
        let before = git.requests().len();
        let error = publish(&scratch, &mut mirror, words).unwrap_err();
        assert!(matches!(error, RepoError::Refused { .. }) && !error.is_transient(), "{error}");
        let message = error.to_string();
        assert!(message.contains(words) && message.contains("pre-receive hook declined") && !message.contains('\n'), "{message}");
        assert_eq!(git.requests().len() - before, 2, "one push: {:?}", git.requests());
    }
    fs::remove_file(git.path().join("hooks/pre-receive")).unwrap();
    assert!(matches!(publish(&scratch, &mut mirror, "now"), Ok(Outcome::Pushed(_))));
}

#[test]
fn a_branch_that_the_host_deletes_after_a_merge_comes_back_with_its_history() {
    let scratch = Scratch::new("host-delete");
    let git = serving(&scratch);
    let mut mirror = mirror(&scratch, &git.url(), Access::default());
    mirror.fetch().unwrap();
    publish(&scratch, &mut mirror, "one").unwrap();
    let Ok(Outcome::Pushed(commit)) = publish(&scratch, &mut mirror, "two") else { panic!("nothing was pushed") };
    mirror.keep("published/a", commit).unwrap(); // as the agent does with what it has verified
    git.git(&["update-ref", "-d", "refs/heads/published/a"]);
    assert!(mirror.fetch().unwrap().published.is_empty());
    publish(&scratch, &mut mirror, "two").unwrap();
    assert_eq!(git.head("published/a"), Some(commit.to_string()));
    assert_eq!(git.log("published/a").len(), 2);
}

#[test]
fn a_host_that_offers_more_than_is_needed_serves_as_well() {
    let scratch = Scratch::new("host-options");
    let git = serving(&scratch);
    for (key, value) in
        [("receive.advertisePushOptions", "true"), ("receive.advertiseAtomic", "false"), ("transfer.advertiseSID", "true")]
    {
        git.configure(key, value);
        let mut mirror = mirror(&scratch, &git.url(), Access::default());
        mirror.fetch().unwrap();
        publish(&scratch, &mut mirror, key).unwrap();
        assert_eq!(git.show("published/a:published.yaml").as_deref(), Some(key));
    }
}
