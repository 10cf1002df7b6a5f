//! A Kubernetes API server of one's own: etcd, kube-apiserver and, if asked for, the controllers that finish deletions.

use super::audit::{self, Request};
use super::certs::{Authority, token_key};
use super::process::{Process, Scratch};
use super::{crds, free_port, kubeconfig, poll, servers};
use kube::Client;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// An API server is ready in one or two seconds; a machine that builds at the same time needs longer.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// What to start; made by [`Cluster::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    crds: bool,
    audit: bool,
    controllers: bool,
    durable: bool,
}

impl Builder {
    /// Leaves out all custom resource definitions.
    pub fn without_crds(mut self) -> Self {
        self.crds = false;
        self
    }

    /// Records every request, for [`Cluster::requests`].
    pub fn audit(mut self) -> Self {
        self.audit = true;
        self
    }

    /// Runs the controllers of namespaces, owner references and default service accounts, so that deletions finish as in life.
    pub fn controllers(mut self) -> Self {
        self.controllers = true;
        self
    }

    /// Waits for the disk at each write, as every real cluster does.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Starts it and waits until it serves everything; panics with the servers' last words if it cannot.
    pub fn start(self) -> Cluster {
        Cluster::new(self)
    }
}

/// A running cluster. Dropping it ends its processes and removes its files.
pub struct Cluster {
    wanted: Builder,
    authority: Authority,
    port: u16,
    kubeconfig: PathBuf,
    // Fields are dropped in this order: what depends on others goes first, the directory last.
    controllers: Option<Process>,
    apiserver: Option<Process>,
    etcd: Process,
    scratch: Scratch,
}

impl Cluster {
    /// Says what to start; by default an API server with the custom resource definitions of both meshes, nothing else.
    pub fn builder(name: &str) -> Builder {
        Builder { name: name.to_owned(), crds: true, audit: false, controllers: false, durable: false }
    }

    /// Starts a cluster with the custom resource definitions and nothing else.
    pub fn start(name: &str) -> Self {
        Self::builder(name).start()
    }

    /// One cluster (with controllers and an audit log) for all tests of this process that can share one; such tests keep to namespaces of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::builder("shared").controllers().audit().start())
    }

    fn new(wanted: Builder) -> Self {
        let scratch = Scratch::new(&wanted.name);
        let authority = Authority::new(&format!("{}-ca", wanted.name));
        write_certificates(&scratch, &authority);
        let etcd = start_etcd(&scratch, wanted.durable);
        let kubeconfig = scratch.join("admin.kubeconfig");
        let mut cluster = Self { wanted, authority, port: 0, kubeconfig, controllers: None, apiserver: None, etcd, scratch };
        cluster.start_apiserver_somewhere();
        if cluster.wanted.controllers {
            cluster.controllers = Some(cluster.start_controllers());
        }
        if cluster.wanted.crds {
            kubeconfig::block_on(async { crds::load(&cluster.client().await).await });
        }
        cluster
    }

    /// Its name, which is also its context in the kubeconfigs.
    pub fn name(&self) -> &str {
        &self.wanted.name
    }

    /// Where the API server listens.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The kubeconfig of somebody who may do everything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubeconfig of `user` in `groups`, who may do what the cluster's RBAC rules say.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> PathBuf {
        let identity = self.authority.client(user, groups);
        let content = kubeconfig::render(self.name(), self.port, &self.authority.root(), user, &identity);
        let file_name: String = user.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        self.scratch.write(&format!("user-{file_name}-{}.kubeconfig", groups.join("-").replace([':', '/'], "-")), &content)
    }

    /// A client that may do everything.
    pub async fn client(&self) -> Client {
        kubeconfig::client(&self.kubeconfig).await
    }

    /// Runs `kubectl` as somebody who may do everything.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_with(&self.kubeconfig, arguments)
    }

    /// Runs `kubectl` as whoever the kubeconfig says.
    pub fn kubectl_with(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        Command::new(servers::binary("kubectl"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .env("KUBECACHEDIR", self.scratch.join("kubectl-cache"))
            .output()
            .expect("kubectl was built and can be run")
    }

    /// The process ids of its servers.
    pub fn pids(&self) -> Vec<u32> {
        [Some(&self.etcd), self.apiserver.as_ref(), self.controllers.as_ref()].into_iter().flatten().map(Process::pid).collect()
    }

    /// A directory that goes away with the cluster.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// All requests since the start, in the order in which they were answered; asks for [`Builder::audit`].
    pub fn requests(&self) -> Vec<Request> {
        assert!(self.wanted.audit, "the cluster {} was not started with an audit log", self.name());
        audit::read(&self.scratch)
    }

    /// Those requests whose user agent starts with `user_agent`.
    pub fn requests_by(&self, user_agent: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.user_agent.starts_with(user_agent)).collect()
    }

    /// Takes the API server away, as an outage does; what is stored stays.
    pub fn stop(&mut self) {
        drop(self.apiserver.take());
    }

    /// Brings the API server back, at the same address and with the same contents.
    pub fn start_again(&mut self) {
        self.stop();
        if let Err(reason) = self.start_apiserver() {
            panic!("the API server of {} did not come back: {reason}", self.name());
        }
    }

    /// Another process may take the port between our choice and the server's start: then it is another port.
    fn start_apiserver_somewhere(&mut self) {
        for _ in 0..5 {
            self.port = free_port();
            let admin = self.authority.client("lab-admin", &["system:masters"]);
            let content = kubeconfig::render(self.name(), self.port, &self.authority.root(), "lab-admin", &admin);
            self.scratch.write("admin.kubeconfig", &content);
            match self.start_apiserver() {
                Ok(()) => return,
                Err(reason) if reason.contains("address already in use") => {}
                Err(reason) => panic!("the API server of {} does not start: {reason}", self.name()),
            }
        }
        panic!("the API server of {} found its port taken five times", self.name());
    }

    fn start_apiserver(&mut self) -> Result<(), String> {
        let file = |name: &str| self.scratch.join(name).display().to_string();
        let mut command = Command::new(servers::binary("kube-apiserver"));
        command.args([
            format!("--etcd-servers=unix://{}", file("etcd.sock")),
            format!("--secure-port={}", self.port),
            "--bind-address=127.0.0.1".into(),
            "--advertise-address=127.0.0.1".into(),
            "--endpoint-reconciler-type=none".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--authorization-mode=RBAC".into(),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("tokens.pub")),
            format!("--service-account-signing-key-file={}", file("tokens.key")),
            // It would refuse pods whose service account has not been made yet; nothing runs pods here.
            "--disable-admission-plugins=ServiceAccount".into(),
        ]);
        if self.wanted.audit {
            command.args(audit::flags(&self.scratch));
        }
        let mut process = Process::spawn("kube-apiserver", &command, &self.scratch);
        let kubeconfig = self.kubeconfig.clone();
        let outcome = kubeconfig::block_on(wait_until_ready(&kubeconfig, &mut process));
        self.apiserver = Some(process);
        outcome
    }

    fn start_controllers(&self) -> Process {
        let mut command = Command::new(servers::binary("kube-controller-manager"));
        command.args([
            format!("--kubeconfig={}", self.kubeconfig.display()),
            "--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller".into(),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
        ]);
        Process::spawn("kube-controller-manager", &command, &self.scratch)
    }
}

fn write_certificates(scratch: &Scratch, authority: &Authority) {
    scratch.write("ca.crt", &authority.root());
    let server = authority.server(&["127.0.0.1", "localhost"]);
    scratch.write("apiserver.crt", &server.certificate);
    scratch.write("apiserver.key", &server.key);
    let (private, public) = token_key();
    scratch.write("tokens.key", &private);
    scratch.write("tokens.pub", &public);
}

/// On sockets in the scratch directory: no port to be taken by somebody else, and nobody else can connect.
fn start_etcd(scratch: &Scratch, durable: bool) -> Process {
    let socket = |name: &str| format!("unix://{}", scratch.join(name).display());
    let length = scratch.path().as_os_str().len();
    assert!(length < 90, "{} is too long for a socket in it: set TMPDIR to a shorter one", scratch.path().display());
    let mut command = Command::new(servers::binary("etcd"));
    command.args([
        format!("--data-dir={}", scratch.join("etcd").display()),
        format!("--listen-client-urls={}", socket("etcd.sock")),
        format!("--listen-peer-urls={}", socket("peer.sock")),
        // What is advertised must look like an address; there is no other member that would ask there.
        "--advertise-client-urls=http://127.0.0.1:2379".into(),
        "--initial-advertise-peer-urls=http://127.0.0.1:2380".into(),
        "--initial-cluster=default=http://127.0.0.1:2380".into(),
    ]);
    if !durable {
        command.arg("--unsafe-no-fsync");
    }
    let mut process = Process::spawn("etcd", &command, scratch);
    let listening = poll(READY_WITHIN, || (scratch.join("etcd.sock").exists() || process.ended().is_some()).then_some(()));
    assert!(listening.is_some() && process.ended().is_none(), "etcd does not start: {}", process.log_tail());
    process
}

/// The system's namespaces come a little later than the readiness of everything else.
async fn wait_until_ready(kubeconfig: &Path, process: &mut Process) -> Result<(), String> {
    let start = Instant::now();
    let client = kubeconfig::client(kubeconfig).await;
    for path in ["/readyz", "/api/v1/namespaces/kube-system", "/api/v1/namespaces/default"] {
        loop {
            if process.ended().is_some() {
                return Err(process.log_tail());
            }
            let request = http::Request::get(path).body(Vec::new()).expect("a request without a body");
            let answer = tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await;
            match answer {
                Ok(Ok(_)) => break,
                _ if start.elapsed() < READY_WITHIN => tokio::time::sleep(Duration::from_millis(30)).await,
                answer => return Err(format!("no {path} after {READY_WITHIN:?} ({answer:?}): {}", process.log_tail())),
            }
        }
    }
    Ok(())
}
