//! Where the servers' binaries and Istio's custom resource definitions come from: the Go modules pinned in `servers/go.mod`, built once; and
//! Debian's package of OpenSSH's server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const LDFLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3";

/// The binaries that the build leaves behind.
const BINARIES: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];

/// Debian's packages: the server, the library of it that no system has without, and what gives it a user of its own.
const PACKAGES: [&str; 3] = ["openssh-server", "libwrap0", "libnss-wrapper"];

/// The path of one of `etcd`, `kube-apiserver`, `kube-controller-manager`, `kubectl`.
///
/// `KUBEBUILDER_ASSETS` wins for those that it holds; the first call that needs another one builds all four.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS") {
        let path = Path::new(&assets).join(name);
        if path.is_file() {
            return path;
        }
    }
    BUILT.get_or_init(build).join(name)
}

/// Istio's custom resource definitions: one file with many documents.
pub fn istio_crds() -> PathBuf {
    static FETCHED: OnceLock<PathBuf> = OnceLock::new();
    FETCHED.get_or_init(fetch_istio_crds).clone()
}

fn build() -> PathBuf {
    once("servers", &pins(), |dir| {
        eprintln!("building etcd, kube-apiserver, kube-controller-manager and kubectl: about five minutes the first time");
        let mut into = dir.as_os_str().to_owned();
        into.push("/");
        go(Command::new("go").args(["build", "-o"]).arg(into).args(["-ldflags", LDFLAGS, "tool"]));
        fs::rename(dir.join("server"), dir.join("etcd")).expect("the build made etcd under its package's name, `server`");
        for name in BINARIES {
            assert!(dir.join(name).is_file(), "`go build` made no {name} in {}", dir.display());
        }
    })
}

fn fetch_istio_crds() -> PathBuf {
    let dir = once("istio", &pins(), |dir| {
        go(Command::new("go").args(["mod", "download", "istio.io/api"]));
        let module = go(Command::new("go").args(["list", "-m", "-f", "{{.Dir}}", "istio.io/api"]));
        let from = Path::new(module.trim()).join("kubernetes/customresourcedefinitions.gen.yaml");
        fs::copy(&from, dir.join("crds.yaml")).unwrap_or_else(|e| panic!("cannot copy {}: {e}", from.display()));
    });
    dir.join("crds.yaml")
}

/// OpenSSH's server.
pub struct OpenSsh {
    /// The program.
    pub program: PathBuf,
    /// Where its package was unpacked, if it is not installed.
    pub root: Option<PathBuf>,
}

/// OpenSSH's server: the system's, or from Debian's package, unpacked beside what else is built here.
pub fn openssh() -> &'static OpenSsh {
    static FOUND: OnceLock<OpenSsh> = OnceLock::new();
    FOUND.get_or_init(|| {
        let installed = PathBuf::from("/usr/sbin/sshd");
        if installed.is_file() {
            return OpenSsh { program: installed, root: None };
        }
        let root = once("openssh", &PACKAGES.join(" "), unpack_openssh).join("root");
        OpenSsh { program: root.join("usr/sbin/sshd"), root: Some(root) }
    })
}

/// Downloads packages and unpacks them without installing anything. A fresh machine has no list of packages yet.
fn unpack_openssh(dir: &Path) {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "APT::Sandbox::User=root"]).args(arguments).current_dir(dir).stdin(Stdio::null());
        command.output().unwrap_or_else(|e| panic!("cannot run apt-get: {e}. Install OpenSSH's server: the tests use it"))
    };
    let download = [&["download"], &PACKAGES[..]].concat();
    if !apt(&download).status.success() {
        apt(&["update"]);
        let output = apt(&download);
        assert!(output.status.success(), "apt-get download failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let packages = fs::read_dir(dir).expect("the folder was made above").flatten().map(|entry| entry.path());
    for package in packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
        let status = Command::new("dpkg-deb").arg("-x").arg(&package).arg(dir.join("root")).status();
        assert!(status.is_ok_and(|status| status.success()), "dpkg-deb cannot unpack {}", package.display());
    }
}

/// Makes `<target>/lab/<name>` by `make` unless it was made from the same pins before; others who need it meanwhile wait.
fn once(name: &str, pins: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let dir = lab_dir().join(name);
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
    let lock = dir.join("lock");
    let lock = File::create(&lock).unwrap_or_else(|e| panic!("cannot make {}: {e}", lock.display()));
    lock.lock().expect("the file system of the target directory supports locks");
    let stamp = dir.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == pins) {
        return dir;
    }
    let _ = fs::remove_file(&stamp);
    make(&dir);
    fs::write(&stamp, pins).unwrap_or_else(|e| panic!("cannot write {}: {e}", stamp.display()));
    dir
}

/// What decides about the result of a build, verbatim.
fn pins() -> String {
    let read = |name: &str| {
        let path = module_dir().join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
    };
    format!("{LDFLAGS}\n{}\n{}", read("go.mod"), read("go.sum"))
}

fn module_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/servers")
}

/// Cargo tells tests of `<target>/tmp`; what lies beside it is removed by `cargo clean` only.
fn lab_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo's directory for tests lies in the target directory").join("lab")
}

fn go(command: &mut Command) -> String {
    let output = command.current_dir(module_dir()).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap_or_else(|e| {
        panic!(
            "cannot run `go`: {e}. The tests run against real API servers, which are built from their Go modules: \
             install Go, or set KUBEBUILDER_ASSETS to a directory that holds {}",
            BINARIES.join(", ")
        )
    });
    assert!(output.status.success(), "{command:?} failed ({}); what it said stands above", output.status);
    String::from_utf8(output.stdout).expect("go prints UTF-8")
}
