//! Programs that are in no registry of Rust or Go, from Debian's packages: fetched and unpacked into the target directory, installed nowhere.

use super::servers::once;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root below which the newest `<name>` of this machine's Debian lies, as `usr/bin/…`; what it depends on is not there.
///
/// Fetched at the first call on a machine. Asks for no rights and leaves the system's lists of packages alone.
pub fn package(name: &str) -> PathBuf {
    packages(&[name])
}

/// The same for several in one root, named after the first.
pub fn packages(names: &[&str]) -> PathBuf {
    let dir = once(&format!("debian-{}", names[0]), &names.join(" "), |dir| {
        eprintln!("fetching from Debian's packages: {}", names.join(" "));
        // From an earlier attempt that broke off.
        let _ = fs::remove_dir_all(dir.join("root"));
        let _ = fs::remove_dir_all(dir.join("apt"));
        for state in ["apt/lists/partial", "apt/archives/partial", "download"] {
            fs::create_dir_all(dir.join(state)).unwrap_or_else(|e| panic!("cannot make {state} in {}: {e}", dir.display()));
        }
        apt(dir, &["update"]);
        apt(dir, &[&["download"], names].concat());
        for file in fs::read_dir(dir.join("download")).expect("it was made") {
            run(Command::new("dpkg-deb").arg("--extract").arg(file.expect("a name").path()).arg(dir.join("root")));
        }
        let _ = fs::remove_dir_all(dir.join("apt"));
    });
    dir.join("root")
}

/// With state of our own: the system's may be missing on a fresh machine, and only root may change it.
fn apt(dir: &Path, arguments: &[&str]) {
    let option = |key: &str, place: &str| format!("-o{key}={}", dir.join(place).display());
    let options = [
        option("Dir::State::Lists", "apt/lists"),
        option("Dir::Cache", "apt"),
        // Nobody but us may read our directories, least of all apt's own user.
        "-oAPT::Sandbox::User=".into(),
        "-oAcquire::Retries=3".into(),
        "-oAcquire::Languages=none".into(),
    ];
    run(Command::new("apt-get").args(options).arg("-qq").args(arguments).current_dir(dir.join("download")));
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| {
        panic!(
            "cannot run {}: {e}. Some tests take programs from Debian's packages and need apt-get and dpkg-deb",
            program(command)
        )
    });
    assert!(output.status.success(), "{command:?} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
