//! What a container runtime and a kubelet do with the image, as far as a test needs it: its files, what is mounted into them, its command as some
//! user. A user who owns nothing in it can write nowhere but where the mode lets everybody, as in a root file system that is read-only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{described, image, layer, run};
use crate::lab::cluster::Cluster;
use crate::lab::free_port;
use crate::lab::process::{Process, Scratch};

/// A user that no machine has, as OpenShift chooses them.
pub const USER: u32 = 1_000_680_000;

/// Whether tests may do what a container runtime does; says so if not.
pub fn may_change_the_root() -> bool {
    let root = run(Command::new("id").arg("-u")).trim() == "0";
    if !root {
        eprintln!("not run: only root may change the root directory");
    }
    root
}

/// The image's files in a folder of their own.
pub struct Container {
    root: PathBuf,
}

impl Container {
    /// Unpacks them below a scratch directory.
    pub fn new(scratch: &Scratch, name: &str) -> Self {
        let root = scratch.join(name);
        fs::create_dir(&root).unwrap();
        run(Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(layer(&image().0))
            .arg("--directory")
            .arg(&root)
            .arg("--preserve-permissions"));
        Self { root }
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Puts a file there that its owner and group may read; gives the path as the container sees it.
    pub fn mount(&self, path: &str, content: &[u8], owner: u32) -> String {
        let file = self.place(path);
        self.folder(Path::new(path).parent().unwrap().to_str().unwrap());
        fs::write(&file, content).unwrap();
        let mode = if path.starts_with("/etc/") { 0o444 } else { 0o440 };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        chown(&file, Some(owner), Some(owner)).unwrap();
        path.to_owned()
    }

    fn folder(&self, path: &str) {
        fs::create_dir_all(self.place(path)).unwrap();
    }

    /// Its command, as this user with this group, with the environment that the image says.
    pub fn command(&self, user: u32, group: u32) -> Command {
        let config = &described(&image().0).1["config"];
        // By its path, because the environment is the image's.
        let program = ["/usr/sbin/chroot", "/usr/bin/chroot"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.expect("every system has chroot"));
        command.arg(format!("--userspec={user}:{group}")).arg("--groups=").arg(&self.root).env_clear();
        command.arg(config["Entrypoint"][0].as_str().unwrap());
        for variable in config["Env"].as_array().unwrap() {
            let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
            command.env(name, value);
        }
        command
    }

    /// Every file outside of `/state`, with what would show that it was written.
    pub fn outside_of_state(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path == self.place("/state") {
                    continue;
                }
                let about = fs::symlink_metadata(&path).unwrap();
                found.insert(format!("{} {} {}.{:09}", path.display(), about.len(), about.mtime(), about.mtime_nsec()));
                if about.is_dir() {
                    folders.push(path);
                }
            }
        }
        found
    }
}

/// Starts a pod of the Deployment `meshfed` in the namespace `meshfed`, as the kubelet would: with its settings, its Secrets and its service account.
///
/// It has no network of its own, so that its address for operators gets another port; `hosts` are lines of `/etc/hosts`.
pub fn start_pod(cluster: &Cluster, scratch: &Scratch, name: &str, hosts: &str) -> Process {
    let deployment = get(cluster, "deployment/meshfed").expect("the Deployment is there");
    let pod = &deployment["spec"]["template"]["spec"];
    let agent = &pod["containers"][0];
    let number = |field: &str| pod["securityContext"][field].as_u64().map_or(USER, |number| u32::try_from(number).unwrap());
    let (user, group) = (number("runAsUser"), number("fsGroup"));
    let container = Container::new(scratch, name);
    container.mount("/etc/hosts", hosts.as_bytes(), 0);
    for volume in pod["volumes"].as_array().unwrap() {
        let mounts = agent["volumeMounts"].as_array().unwrap();
        let at = mounts.iter().find(|mount| mount["name"] == volume["name"]).unwrap()["mountPath"].as_str().unwrap();
        container.folder(at);
        for (file, content) in files(cluster, volume) {
            container.mount(&format!("{at}/{file}"), &content, group);
        }
    }
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    let token = pod_token(cluster, name, pod);
    container.mount(&format!("{account}/token"), token.as_bytes(), group);
    container.mount(&format!("{account}/ca.crt"), &fs::read(cluster.scratch().join("ca.crt")).unwrap(), group);
    container.mount(&format!("{account}/namespace"), b"meshfed", group);

    let mut command = container.command(user, group);
    command.args(agent["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()));
    command.envs(settings(cluster, agent, name)).env("MESHFED_LISTEN", format!("127.0.0.1:{}", free_port()));
    let url = cluster.url();
    let (_, port) = url.rsplit_once(':').unwrap();
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").env("KUBERNETES_SERVICE_PORT", port);
    Process::spawn(name, &command, scratch)
}

/// Makes a pod of the agent's namespace, which nobody schedules, and a token of its service account that is bound to it.
pub fn pod_token(cluster: &Cluster, name: &str, spec: &Value) -> String {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "meshfed"}, "spec": spec});
    let file = cluster.scratch().write(&format!("pod-{name}.json"), &pod.to_string()).display().to_string();
    let made = cluster.kubectl(&["apply", "--server-side", "--validate=strict", "--filename", &file]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bound = ["--bound-object-kind", "Pod", "--bound-object-name", name];
    let account = spec["serviceAccountName"].as_str().unwrap();
    let token = cluster.kubectl(&[&["create", "token", account, "--namespace", "meshfed"], &bound[..]].concat());
    assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
    String::from_utf8(token.stdout).unwrap().trim().to_owned()
}

/// An object of the agent's namespace.
fn get(cluster: &Cluster, name: &str) -> Option<Value> {
    let output = cluster.kubectl(&["get", name, "--namespace", "meshfed", "-o", "json"]);
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// The content of a Secret or a ConfigMap, to which a pod refers by `secret` or by the other.
fn content(cluster: &Cluster, secret: &Value, map: &Value) -> Vec<(String, Vec<u8>)> {
    let (kind, of) = if map.is_null() { ("secret", secret) } else { ("configmap", map) };
    let name = of["secretName"].as_str().or(of["name"].as_str()).unwrap();
    let object = get(cluster, &format!("{kind}/{name}"));
    assert!(object.is_some() || of["optional"] == true, "the pod waits for {of}");
    let object = object.unwrap_or_default();
    let decode = |(key, value): (&String, &Value)| {
        let text = value.as_str().unwrap().to_owned();
        (key.clone(), if kind == "secret" { BASE64_STANDARD.decode(text).unwrap() } else { text.into_bytes() })
    };
    object["data"].as_object().into_iter().flatten().map(decode).collect()
}

/// What a volume shows as files.
fn files(cluster: &Cluster, volume: &Value) -> BTreeMap<String, Vec<u8>> {
    let one = |source: &Value| content(cluster, &source["secret"], &source["configMap"]);
    match (&volume["emptyDir"], volume["projected"]["sources"].as_array()) {
        (Value::Null, None) => one(volume).into_iter().collect(),
        (_, sources) => sources.into_iter().flatten().flat_map(one).collect(),
    }
}

/// The variables of a container: those of ConfigMaps and Secrets, and its own.
fn settings(cluster: &Cluster, agent: &Value, pod: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for source in agent["envFrom"].as_array().unwrap() {
        let content = content(cluster, &source["secretRef"], &source["configMapRef"]);
        all.extend(content.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap())));
    }
    for variable in agent["env"].as_array().unwrap() {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.name") => pod,
            Some("metadata.namespace") => "meshfed",
            Some(other) => panic!("{other} is not played here"),
            None => variable["value"].as_str().unwrap(),
        };
        all.insert(variable["name"].as_str().unwrap().to_owned(), value.to_owned());
    }
    all
}
