//! What commands print, whole, where no other test has it: whoever changes it sees what people will see.

use crate::commands::Place;
use crate::solo::{federation, mesh_file};
use crate::stage::binary;
use crate::trust::repository::Work;

/// Lines that fit the screen.
#[track_caller]
pub fn fits(text: &str) -> &str {
    let wide: Vec<&str> = text.lines().filter(|line| !line.starts_with("$ ") && line.chars().count() > 100).collect();
    assert!(wide.is_empty(), "{wide:?}");
    text
}

/// The text without what is another each time: keys and commits.
pub fn known(text: &str) -> String {
    let digits = |word: &str| word.len() >= 7 && word.chars().all(|c| c.is_ascii_hexdigit());
    let lines = text.lines().map(|line| {
        let line = line.rsplit_once(" (").filter(|(_, time)| time.ends_with(" ms)")).map_or(line, |(before, _)| before);
        let parts = line.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
        let masked = |word: &str| {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
            let rest = &word[bare.len()..];
            match bare {
                "ed25519" => word.to_owned(),
                _ if digits(bare) => format!("{}{rest}", if bare.len() > 7 { "COMMIT" } else { "SHORT" }),
                _ if bare.len() == 43 || bare.starts_with("AAAAC3") => format!("KEY{rest}"),
                _ => word.to_owned(),
            }
        };
        parts.map(masked).collect::<String>() + "\n"
    });
    lines.collect()
}

#[test]
fn check_of_documents() {
    let place = Place::new();
    let traffic = "meshes/rosa-prod-mesh/traffic/details.yaml";
    let importer = "meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml";
    place.example(&[
        (traffic, "weight: 60", "weight: 70"),
        (importer, "prod-bookinfo/details-v2", "prod-bookinfo/detials-v2"),
        ("meshes/gcp-dev-mesh/mesh.yaml", "platform: gcp", "platfrom: gcp"),
    ]);
    let ran = place.run(&["check", "repo"]);
    insta::assert_snapshot!(fits(&ran.out));
    assert!(ran.err.contains("errors"), "{}", ran.err);
}

#[test]
fn render_of_one_mesh() {
    let place = Place::new();
    place.example(&[]);
    let ran = place.run(&["render", "repo", "--mesh", "aro-stg-mesh"]);
    insta::assert_snapshot!(format!("{}\n--- said\n{}", ran.out, ran.err));
}

#[test]
fn trust_show_of_a_refused_commit() {
    let work = Work::begin(|work| {
        work.write("federation.yaml", federation());
        work.write("meshes/aro/mesh.yaml", &mesh_file("aro", ""));
    });
    work.change(Some("aro"), "federation.yaml", &format!("{}# mine\n", federation()));
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(binary());
        command.args(arguments).current_dir(work.path()).env_clear().env("HOME", work.scratch());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    insta::assert_snapshot!(known(&run(&["trust", "show"])));
    let found = run(&["check"]);
    let lines: Vec<&str> = fits(&found).lines().filter(|line| !line.starts_with("--> commit")).collect();
    insta::assert_snapshot!(known(&lines.join("\n")));
}
