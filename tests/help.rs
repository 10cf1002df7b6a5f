//! What the commands say of themselves, and how shells, `man` and `kubectl` find them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use meshfed::cli::Cli;
use serde_json::Value;
use tempfile::TempDir;

/// Widest line of any help text.
const COLUMNS: usize = 100;

/// Every command that can be run, with the words that lead to it.
fn commands() -> Vec<(String, clap::Command)> {
    fn walk(words: &str, command: &clap::Command, all: &mut Vec<(String, clap::Command)>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let words = format!("{words} {}", sub.get_name());
            if sub.has_subcommands() {
                walk(&words, sub, all);
            } else {
                all.push((words.trim().to_owned(), sub.clone()));
            }
        }
    }
    let mut all = Vec::new();
    walk("", &Cli::command().term_width(COLUMNS), &mut all);
    all
}

#[test]
fn every_command_shows_an_example() {
    for (words, mut command) in commands() {
        let help = command.render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" "); // wherever lines are broken
        assert!(help.contains(&format!("Example: meshfed {words}")), "`meshfed help {words}` has no example:\n{help}");
    }
}

#[test]
fn every_setting_of_the_agent_is_in_the_guide() {
    let guide = ["agent", "git"]
        .map(|page| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{page}.md"))).unwrap())
        .concat();
    let (_, agent) = commands().into_iter().find(|(words, _)| words == "agent").unwrap();
    let settings = agent.get_arguments().filter(|setting| setting.get_env().is_some()).filter_map(clap::Arg::get_long);
    let missing: Vec<_> = settings.filter(|setting| !guide.contains(&format!("--{setting}"))).collect();
    assert!(missing.is_empty() && guide.contains("--mesh"), "{missing:?}");
}

fn run(program: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("COLUMNS", COLUMNS.to_string());
    let output = command.output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

fn meshfed() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_meshfed"))
}

#[test]
fn help_fits_the_screen() {
    for words in commands().iter().map(|(words, _)| words.as_str()).chain([""]) {
        let arguments: Vec<&str> = ["help"].into_iter().chain(words.split_whitespace()).collect();
        let (help, _) = run(meshfed(), &arguments);
        let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > COLUMNS).collect();
        assert!(!help.is_empty() && wide.is_empty(), "meshfed help {words}: {wide:?}");
    }
}

#[test]
fn help_reads_like_this() {
    insta::assert_snapshot!("help", run(meshfed(), &["help"]).0);
    for (words, _) in commands() {
        let arguments: Vec<&str> = ["help"].into_iter().chain(words.split(' ')).collect();
        insta::assert_snapshot!(format!("help_{}", words.replace(' ', "_")), run(meshfed(), &arguments).0);
    }
}

/// Of each command what it does, in a line, and more in sentences that end.
#[test]
fn help_is_in_sentences() {
    for (words, command) in commands() {
        let text = |words: Option<&clap::builder::StyledStr>| words.map(ToString::to_string).unwrap_or_default();
        let title = text(command.get_about());
        assert!(title.starts_with(char::is_uppercase) && !title.ends_with('.'), "{words}: {title}");
        let long = text(command.get_long_about());
        let more = long.strip_prefix(&title).unwrap_or_default().trim();
        let sentences = more.split("Example: ").next().unwrap().trim();
        assert!(sentences.is_empty() || sentences.ends_with(['.', ':', ')']), "{words}: {sentences}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = text(argument.get_help());
            assert!(
                help.starts_with(|c: char| c.is_uppercase()) && !help.ends_with('.'),
                "{words} {}: {help}",
                argument.get_id()
            );
        }
    }
}

#[test]
fn kubectl_finds_it_as_a_plugin() {
    let dir = TempDir::new().unwrap();
    let plugin = dir.path().join("kubectl-meshfed");
    symlink(meshfed(), &plugin).unwrap();
    let (help, code) = run(&plugin, &["check", "--help"]);
    assert!(code == Some(0) && help.contains("Usage: kubectl meshfed check"), "{help}");
    let (help, _) = run(meshfed(), &["check", "--help"]);
    assert!(help.contains("Usage: meshfed check"), "{help}");
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (script, code) = run(meshfed(), &["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        let missing: Vec<String> = commands()
            .into_iter()
            .map(|(words, _)| words)
            .filter(|words| words.split_whitespace().any(|word| !script.contains(word)))
            .collect();
        assert!(missing.is_empty(), "{shell} does not complete {missing:?}");
    }
    let check = Command::new("bash").args(["-n", "-c", &run(meshfed(), &["completions", "bash"]).0]).status();
    assert!(check.unwrap().success(), "bash cannot read its script");
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = TempDir::new().unwrap();
    let there = dir.path().join("man1");
    assert_eq!(run(meshfed(), &["man", there.to_str().unwrap()]).1, Some(0));
    for (words, _) in commands() {
        let page = fs::read_to_string(there.join(format!("meshfed-{}.1", words.replace(' ', "-")))).unwrap();
        assert!(page.contains(".TH") && page.contains("Example: meshfed"), "{words}: {page}");
    }
}

/// What Krew asks of a manifest (<https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/>).
#[test]
fn the_krew_manifest_can_be_filled_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/krew/meshfed.yaml");
    let mut text = fs::read_to_string(path).unwrap();
    let digest = "0".repeat(64);
    for (name, value) in [
        ("version", env!("CARGO_PKG_VERSION")),
        ("homepage", "https://example.com/meshfed"),
        ("archives", "https://example.com/archives"),
        ("sha256-linux-amd64", &digest),
        ("sha256-linux-arm64", &digest),
    ] {
        let place = format!("{{{{ {name} }}}}");
        assert!(text.contains(&place), "{name}");
        text = text.replace(&place, value);
    }
    let manifest: Value = serde_saphyr::from_str(&text).unwrap();
    let body = text.split_once("apiVersion").unwrap().1;
    assert!(!body.contains("{{"), "{text}");
    assert_eq!((&manifest["kind"], &manifest["metadata"]["name"]), (&"Plugin".into(), &"meshfed".into()));
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], format!("v{}", env!("CARGO_PKG_VERSION")));
    assert!(spec["shortDescription"].as_str().is_some_and(|words| words.len() <= 50 && !words.ends_with('.')), "{spec}");
    for platform in spec["platforms"].as_array().unwrap() {
        assert_eq!((&platform["bin"], platform["sha256"].as_str().map(str::len)), (&"kubectl-meshfed".into(), Some(64)));
        assert!(
            platform["uri"].as_str().is_some_and(|uri| uri.starts_with("https://") && uri.ends_with(".tar.gz")),
            "{platform}"
        );
        assert!(platform["selector"]["matchLabels"]["arch"].is_string(), "{platform}");
    }
}
