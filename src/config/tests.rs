use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::file::parse;
use super::settle::settle;
use super::*;
use crate::cluster::LeasePlace;
use crate::trust::Introduction;

fn mk_args() -> AgentArgs {
    let verification = Some("off".into());
    AgentArgs { mesh: Some("a".into()), repo: Some("r".into()), verification, ..AgentArgs::default() }
}

fn home(name: &str) -> Option<OsString> {
    (name == "HOME").then(|| "/home/x".into())
}

fn settled(args: AgentArgs, file: &str) -> Result<AgentConfig, String> {
    settle(args, parse(file)?, &home).map_err(|error| error.message().unwrap())
}

#[test]
fn defaults_fill_what_nobody_says() {
    let config = settled(mk_args(), "").unwrap();
    assert_eq!(config.state_dir, Path::new("/home/x/.local/state/meshfed/a"));
    assert_eq!(config.signing_key, Path::new("/home/x/.local/state/meshfed/a/signing-key"));
    assert_eq!((&*config.branch, config.interval, config.once), ("main", DEFAULT_INTERVAL, false));
}

#[test]
fn what_is_given_wins_over_the_file_and_that_over_the_default() {
    let file = "mesh: b\ninterval: 2m\nonce: true\nobserve: true\nstateDir: /s\n";
    let config = settled(AgentArgs { once: Some(false), ..mk_args() }, file).unwrap();
    assert_eq!((&*config.mesh, config.interval, config.once), ("a", Duration::from_secs(120), false));
    assert_eq!((config.signing_key.as_path(), config.observe), (Path::new("/s/signing-key"), true));
    let config = settled(AgentArgs { mesh: Some(String::new()), ..mk_args() }, file).unwrap();
    assert_eq!(config.mesh, "b", "empty counts as not given");
}

#[test]
fn the_signing_key_is_no_credential() {
    let temp = tempfile::tempdir().unwrap();
    let (key, link) = (temp.path().join("key"), temp.path().join("link"));
    let resolved = |password: &Path| {
        let args = AgentArgs {
            signing_key: Some(key.clone()),
            state_dir: Some(temp.path().join("state")),
            access: AccessArgs { http_password_file: Some(password.to_owned()), ..AccessArgs::default() },
            ..mk_args()
        };
        args.resolve().map_err(|error| error.message().unwrap())
    };
    assert!(resolved(&key).unwrap_err().contains("is the signing key, which is for nothing else"));
    std::fs::write(&key, "x").unwrap();
    std::os::unix::fs::symlink(&key, &link).unwrap();
    assert!(resolved(&link).unwrap_err().contains("--http-password-file"));
    assert!(resolved(&temp.path().join("other")).is_ok());
}

#[test]
fn each_error_names_flag_variable_and_key() {
    let bad = [
        (AgentArgs { mesh: None, ..mk_args() }, "mesh"),
        (AgentArgs { mesh: Some("A b".into()), ..mk_args() }, "mesh"),
        (AgentArgs { repo: None, ..mk_args() }, "repo"),
        (AgentArgs { listen: Some("8080".into()), ..mk_args() }, "listen"),
        (AgentArgs { interval: Some("5x".into()), ..mk_args() }, "interval"),
        (AgentArgs { interval: Some("1ms".into()), ..mk_args() }, "interval"),
        (AgentArgs { interval: Some("2h".into()), ..mk_args() }, "interval"),
    ];
    for (args, key) in bad {
        let message = settled(args, "").unwrap_err();
        let (flag, variable) = (format!("--{key}"), format!("MESHFED_{}", key.to_uppercase()));
        for name in [flag, variable, format!("`{key}:`")] {
            assert!(message.contains(&name), "{message}");
        }
    }
    let webhook = AgentArgs { webhook_listen: Some("127.0.0.1:9".into()), ..mk_args() };
    assert!(settled(webhook, "").unwrap_err().contains("--webhook-secret-file"), "nothing is taken without a secret");
}

#[test]
fn verification_needs_an_introduction_or_an_open_word() {
    let (anchor, digest) = ("1".repeat(40), format!("sha256:{}", "2".repeat(64)));
    let settled = |verification: &str, anchor: &str, digest: &str| {
        let [verification, trust_anchor, trust_digest] = [verification, anchor, digest].map(|text| Some(text.to_owned()));
        settled(AgentArgs { verification, trust_anchor, trust_digest, ..mk_args() }, "").map(|config| config.verification)
    };
    let introduction = Introduction { anchor: anchor.parse().unwrap(), digest: digest.parse().unwrap() };
    assert_eq!(settled("", &anchor, &digest), Ok(Verification::Enforce(introduction)));
    assert_eq!(settled("warn", &anchor, &digest), Ok(Verification::Warn(introduction)));
    assert_eq!(settled("off", &anchor, ""), Ok(Verification::Off));
    let neither = settled("", "", "").unwrap_err();
    for way in
        ["--trust-anchor", "--trust-digest", "MESHFED_TRUST_ANCHOR", "`trustDigest:`", "meshfed trust show", "--verification off"]
    {
        assert!(neither.contains(way), "{neither}");
    }
    assert!(settled("enforce", &anchor, "").unwrap_err().contains("set --trust-digest"));
    for (verification, anchor, digest) in [("on", &*anchor, &*digest), ("warn", "main", &digest), ("warn", &anchor, "12")] {
        assert!(settled(verification, anchor, digest).is_err());
    }
}

#[test]
fn a_lease_has_a_name_and_terms_that_fit() {
    let named = |lease: &str| AgentArgs { lease: Some(lease.into()), identity: Some("pod".into()), ..mk_args() };
    let place = |lease: &str| settled(named(lease), "").map(|config| config.lease.map(|lease| lease.place));
    let expected = |namespace: Option<&str>| LeasePlace { namespace: namespace.map(str::to_owned), name: "a".into() };
    assert_eq!((place("a"), place("n/a")), (Ok(Some(expected(None))), Ok(Some(expected(Some("n"))))));
    assert_eq!(place(""), Ok(None), "alone");
    assert!(place("n/a/b").unwrap_err().contains("is not a DNS label"));
    let terms = settled(named("a"), "leaseDuration: 30s\nleaseRetry: 3s\n").unwrap().lease.unwrap().terms;
    assert_eq!((terms.duration.as_secs(), terms.renew_deadline.as_secs(), terms.retry.as_secs()), (30, 10, 3));
    let short = AgentArgs { lease_duration: Some("10s".into()), ..named("a") };
    assert!(settled(short, "").unwrap_err().contains("does not outlast the deadline of 10s by 1s"));
    let nameless = AgentArgs { identity: None, ..named("a") };
    assert!(settled(nameless.clone(), "").unwrap_err().contains("--identity"));
    let host =
        settle(nameless, ConfigFile::default(), &|name| (name == "HOSTNAME").then(|| "pod-1".into()).or_else(|| home(name)));
    assert_eq!(host.unwrap().lease.unwrap().identity, "pod-1");
}

#[test]
fn a_file_with_an_unknown_key_is_refused() {
    assert!(parse("mesh: a\nintervall: 3s\n").unwrap_err().contains("intervall"));
    assert!(parse("interval: soon\n").is_err());
    assert_eq!(parse("# nothing yet\n").unwrap().mesh, None);
}

#[test]
fn without_a_home_the_state_directory_must_be_given() {
    let error = settle(mk_args(), ConfigFile::default(), &|_| None).unwrap_err();
    assert!(error.message().unwrap().contains("--state-dir"));
    assert_eq!(cache_home(&|name| (name == "XDG_CACHE_HOME").then(|| "relative".into())), None);
}

#[test]
fn credentials_in_the_address_are_not_shown() {
    let config = AgentConfig { repo: "https://me:secret@git.example.com/x".into(), ..settled(mk_args(), "").unwrap() };
    assert!(!format!("{config:?}").contains("secret"));
}
