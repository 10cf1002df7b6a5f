//! Where the servers' binaries, Helm, the collector of traces, and custom resource definitions of others come from: pinned Go modules, built once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const LDFLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3";

/// Without them Helm takes its cluster for one of 1.20 where it does not ask.
const HELM_LDFLAGS: &str =
    "-s -w -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36";

const COLLECTOR_LDFLAGS: &str = "-s -w";

/// The module with the Prometheus Operator's custom resource definitions, and its hash as in a `go.sum`: nothing in it is compiled.
const OPERATOR: &str = "github.com/prometheus-operator/prometheus-operator@v0.85.0";
const OPERATOR_SUM: &str = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=";

/// The binaries that the build leaves behind.
const BINARIES: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];

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

/// The `helm` command.
pub fn helm() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            // helm/go.mod has the servers' versions of what both need, so that little is left to compile once these are built.
            binary("kubectl");
            once("helm", &pins("helm", HELM_LDFLAGS), |dir| build_tools("helm", dir, HELM_LDFLAGS))
        })
        .join("helm")
}

/// What receives traces: a main of our own around the OpenTelemetry Collector's receiver.
pub fn collector() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            binary("kubectl"); // as with Helm: collector/go.mod has the servers' versions of what both need
            let main = module_dir("collector").join("main.go");
            let main = fs::read_to_string(&main).unwrap_or_else(|e| panic!("cannot read {}: {e}", main.display()));
            once("collector", &(pins("collector", COLLECTOR_LDFLAGS) + &main), |dir| {
                let args = ["-ldflags", COLLECTOR_LDFLAGS, "."];
                go("collector", Command::new("go").args(["build", "-o"]).arg(dir.join("collector")).args(args));
            })
        })
        .join("collector")
}

/// Custom resource definitions of the Prometheus Operator: a directory with those of ServiceMonitors and PrometheusRules.
pub fn prometheus_crds() -> PathBuf {
    static FETCHED: OnceLock<PathBuf> = OnceLock::new();
    FETCHED.get_or_init(fetch_prometheus_crds).join("crds")
}

fn build() -> PathBuf {
    once("servers", &pins("servers", LDFLAGS), |dir| {
        eprintln!("building etcd, kube-apiserver, kube-controller-manager and kubectl: about five minutes the first time");
        build_tools("servers", dir, LDFLAGS);
        fs::rename(dir.join("server"), dir.join("etcd")).expect("the build made etcd under its package's name, `server`");
        for name in BINARIES {
            assert!(dir.join(name).is_file(), "`go build` made no {name} in {}", dir.display());
        }
    })
}

/// All tools of a module.
fn build_tools(module: &str, dir: &Path, ldflags: &str) {
    let mut into = dir.as_os_str().to_owned();
    into.push("/");
    go(module, Command::new("go").args(["build", "-o"]).arg(into).args(["-ldflags", ldflags, "tool"]));
}

fn fetch_istio_crds() -> PathBuf {
    let dir = once("istio", &pins("servers", LDFLAGS), |dir| {
        go("servers", Command::new("go").args(["mod", "download", "istio.io/api"]));
        let module = go("servers", Command::new("go").args(["list", "-m", "-f", "{{.Dir}}", "istio.io/api"]));
        let from = Path::new(module.trim()).join("kubernetes/customresourcedefinitions.gen.yaml");
        fs::copy(&from, dir.join("crds.yaml")).unwrap_or_else(|e| panic!("cannot copy {}: {e}", from.display()));
    });
    dir.join("crds.yaml")
}

fn fetch_prometheus_crds() -> PathBuf {
    once("prometheus-operator", OPERATOR_SUM, |dir| {
        let told = go("servers", Command::new("go").args(["mod", "download", "-json", OPERATOR]));
        let told: serde_json::Value = serde_json::from_str(&told).expect("go prints JSON");
        assert_eq!(told["Sum"], OPERATOR_SUM, "{OPERATOR} is not what it was");
        let from = Path::new(told["Dir"].as_str().expect("where it lies")).join("example/prometheus-operator-crd");
        fs::create_dir_all(dir.join("crds")).unwrap_or_else(|e| panic!("cannot make a folder in {}: {e}", dir.display()));
        for name in ["servicemonitors", "prometheusrules"] {
            let name = format!("monitoring.coreos.com_{name}.yaml");
            // Not `copy`: the files of a module are read-only, and a later version writes here again.
            let text = fs::read(from.join(&name)).unwrap_or_else(|e| panic!("cannot read {name} of {OPERATOR}: {e}"));
            fs::write(dir.join("crds").join(&name), text).unwrap_or_else(|e| panic!("cannot write {name}: {e}"));
        }
    })
}

/// Makes `<target>/lab/<name>` by `make` unless it was made from the same pins before; others who need it meanwhile wait.
pub(super) fn once(name: &str, pins: &str, make: impl FnOnce(&Path)) -> PathBuf {
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
fn pins(module: &str, ldflags: &str) -> String {
    let read = |name: &str| {
        let path = module_dir(module).join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
    };
    format!("{ldflags}\n{}\n{}", read("go.mod"), read("go.sum"))
}

fn module_dir(module: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(module)
}

/// Cargo tells tests of `<target>/tmp`; what lies beside it is removed by `cargo clean` only.
fn lab_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo's directory for tests lies in the target directory").join("lab")
}

fn go(module: &str, command: &mut Command) -> String {
    let output =
        command.current_dir(module_dir(module)).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap_or_else(|e| {
            panic!(
                "cannot run `go`: {e}. The tests run against real API servers, which are built from their Go modules: \
             install Go, or set KUBEBUILDER_ASSETS to a directory that holds {}",
                BINARIES.join(", ")
            )
        });
    assert!(output.status.success(), "{command:?} failed ({}); what it said stands above", output.status);
    String::from_utf8(output.stdout).expect("go prints UTF-8")
}
