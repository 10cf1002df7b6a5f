//! The stand-in treats two meshes whose objects were written by hand as their operators and clouds would.
//!
//! `west` imports `details` of `east`, which exports it as `details-v2`. All tests use the same two API servers, one test after the other.

use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::lab::cluster::Cluster;
use crate::lab::standin::net::Dns;
use crate::lab::standin::{Cloud, Options, Standin};

/// Far longer than anything takes; a machine that is busy with something else must not fail a test.
const DEADLINE: Duration = Duration::from_secs(60);

/// One cluster with its mesh, named alike.
struct Side {
    name: &'static str,
    peer: &'static str,
    client: Client,
    standin: Standin,
    /// Where the node ports of the cluster are.
    node: Ipv4Addr,
}

/// Both sides, for one test at a time.
struct World {
    east: Side,
    west: Side,
    _alone: MutexGuard<'static, ()>,
}

/// The clusters of all worlds.
fn clusters() -> &'static [Cluster; 2] {
    static CLUSTERS: OnceLock<[Cluster; 2]> = OnceLock::new();
    CLUSTERS.get_or_init(|| ["east", "west"].map(Cluster::start))
}

impl World {
    async fn enter() -> Self {
        Self::enter_with(|_| {}).await
    }

    async fn enter_with(change: impl Fn(&mut Options)) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let [east, west] = clusters();
        let dns = Dns::default();
        let options = |label: &str, cloud| {
            let mut options = Options::quick(label, cloud, &dns);
            change(&mut options);
            options
        };
        let (east, west) = tokio::join!(
            Side::enter("east", "west", east, options("east", Cloud::Hostname)),
            Side::enter("west", "east", west, options("west", Cloud::Ip)),
        );
        Self { east, west, _alone: alone }
    }

    /// Both control planes, members, and the service; nothing of federation but the gateways.
    async fn prepare(&self) {
        tokio::join!(self.east.prepare("stg"), self.west.prepare("prod"));
        self.east.apply(service("stg", "details")).await;
    }

    /// Everything, as it should be.
    async fn federate(&self) {
        self.prepare().await;
        self.east.trust(&self.west.root().await).await;
        self.west.trust(&self.east.root().await).await;
        self.east.apply(self.east.peer_object(&self.west.address().await)).await;
        self.west.apply(self.west.peer_object(&self.east.address().await)).await;
        self.east.apply(exports(&[("details", "details-v2")])).await;
        self.west.apply(imports()).await;
    }

    /// Waits until `west` has a live watch of `east`.
    async fn connected(&self) -> Value {
        eventually("west watches east", async || {
            let watch = self.west.watch().await;
            (watch["connected"] == true && watch["lastFullSync"].is_string()).then_some(watch)
        })
        .await
    }

    /// Waits until `west`'s last attempt to watch `east` has ended so.
    async fn disconnected_by(&self, status: &str) {
        eventually(status, async || (self.west.watch().await["lastDisconnectStatus"] == status).then_some(())).await;
    }

    /// Waits until `west` imports exactly these.
    async fn imported(&self, expected: &Value) {
        eventually(&expected.to_string(), async || {
            let set = self.west.get("ImportedServiceSet", "west", "east").await?;
            (set["status"]["importedServices"] == *expected).then_some(())
        })
        .await;
    }
}

impl Side {
    async fn enter(name: &'static str, peer: &'static str, cluster: &Cluster, options: Options) -> Self {
        let client = cluster.client().await;
        for namespace in [name, "stg", "prod"] {
            apply(&client, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } })).await;
        }
        for namespace in [name, "stg", "prod"] {
            for kind in KINDS {
                let (_, resource) = resource(kind);
                let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
                // Services cannot be deleted as a collection.
                for object in api.list(&ListParams::default()).await.expect("a list").items {
                    let name = object.metadata.name.expect("an object has a name");
                    api.delete(&name, &DeleteParams::default()).await.expect("it can be deleted");
                }
            }
        }
        let node = options.pool.node();
        let standin = Standin::start(client.clone(), options).await;
        Self { name, peer, client, standin, node }
    }

    async fn prepare(&self, member: &str) {
        self.apply(control_plane(self.name, self.peer)).await;
        self.apply(json!({
            "apiVersion": "maistra.io/v1", "kind": "ServiceMeshMember", "metadata": { "name": "default", "namespace": member },
            "spec": { "controlPlaneRef": { "name": "basic", "namespace": self.name } },
        }))
        .await;
    }

    fn peer_object(&self, address: &str) -> Value {
        let (name, peer) = (self.name, self.peer);
        json!({
            "apiVersion": "federation.maistra.io/v1", "kind": "ServiceMeshPeer", "metadata": { "name": peer, "namespace": name },
            "spec": {
                "remote": { "addresses": [address] },
                "gateways": { "ingress": { "name": format!("{peer}-ingress") }, "egress": { "name": format!("{peer}-egress") } },
                "security": {
                    "trustDomain": format!("{peer}.local"),
                    "clientID": format!("{peer}.local/ns/{peer}/sa/{name}-egress-service-account"),
                },
            },
        })
    }

    async fn trust(&self, root: &str) {
        let name = format!("{}-ca-root-cert", self.peer);
        let metadata = json!({ "name": name, "namespace": self.name });
        self.apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "root-cert.pem": root } }))
            .await;
    }

    async fn root(&self) -> String {
        eventually("the root certificate is published", async || {
            let map = self.get("ConfigMap", self.name, "istio-ca-root-cert").await?;
            map["data"]["root-cert.pem"].as_str().map(str::to_owned)
        })
        .await
    }

    async fn address(&self) -> String {
        eventually("the ingress gateway has an address", async || {
            let service = self.get("Service", self.name, &format!("{}-ingress", self.peer)).await?;
            let ingress = &service["status"]["loadBalancer"]["ingress"][0];
            ingress["ip"].as_str().or(ingress["hostname"].as_str()).map(str::to_owned)
        })
        .await
    }

    /// The one pod's part of the peer's discovery status.
    async fn discovery(&self) -> Value {
        let peer = self.get("ServiceMeshPeer", self.name, self.peer).await.unwrap_or_default();
        let status = &peer["status"]["discoveryStatus"];
        if status["active"][0].is_object() { status["active"][0].clone() } else { status["inactive"][0].clone() }
    }

    async fn watch(&self) -> Value {
        self.discovery().await["watch"].clone()
    }

    /// Waits until no full sync was noted for three resyncs.
    async fn stands_still(&self) -> Value {
        let mut last = (Value::Null, Instant::now());
        eventually("full syncs stand still", async || {
            let watch = self.watch().await;
            if watch["lastFullSync"] != last.0 {
                last = (watch["lastFullSync"].clone(), Instant::now());
            }
            (last.1.elapsed() > Duration::from_secs(3)).then_some(watch)
        })
        .await
    }

    async fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let (_, resource) = resource(kind);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let object = api.get_opt(name).await.expect("an answer")?;
        Some(serde_json::to_value(object).expect("an object is JSON"))
    }

    async fn apply(&self, object: Value) {
        apply(&self.client, object).await;
    }

    async fn delete(&self, kind: &str, name: &str) {
        let (_, resource) = resource(kind);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.name, &resource);
        api.delete(name, &DeleteParams::default()).await.expect("it can be deleted");
    }
}

/// All kinds that a test leaves behind.
const KINDS: [&str; 8] = [
    "ImportedServiceSet",
    "ExportedServiceSet",
    "ServiceMeshPeer",
    "ServiceMeshMember",
    "ServiceMeshMemberRoll",
    "ServiceMeshControlPlane",
    "ConfigMap",
    "Service",
];

fn resource(kind: &str) -> (bool, ApiResource) {
    let (group, version) = match kind {
        "ServiceMeshControlPlane" => ("maistra.io", "v2"),
        "ServiceMeshMember" | "ServiceMeshMemberRoll" => ("maistra.io", "v1"),
        "ServiceMeshPeer" | "ExportedServiceSet" | "ImportedServiceSet" => ("federation.maistra.io", "v1"),
        "ClusterRole" | "ClusterRoleBinding" => ("rbac.authorization.k8s.io", "v1"),
        _ => ("", "v1"),
    };
    let plural = format!("{}s", kind.to_lowercase());
    (
        matches!(kind, "Namespace" | "ClusterRole" | "ClusterRoleBinding"),
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural),
    )
}

async fn apply(client: &Client, object: Value) {
    try_apply(client, object).await.expect("the API server takes the object");
}

async fn try_apply(client: &Client, object: Value) -> Result<(), kube::Error> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (cluster_wide, resource) = resource(&text("/kind"));
    let api: Api<DynamicObject> = if cluster_wide {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &text("/metadata/namespace"), &resource)
    };
    api.patch(&text("/metadata/name"), &PatchParams::apply("by-hand").force(), &Patch::Apply(&object)).await.map(drop)
}

async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn control_plane(name: &str, peer: &str) -> Value {
    let ports = |discovery: &str| json!([{ "name": "tls", "port": 15443 }, { "name": discovery, "port": 8188 }]);
    json!({
        "apiVersion": "maistra.io/v2", "kind": "ServiceMeshControlPlane", "metadata": { "name": "basic", "namespace": name },
        "spec": {
            "version": "v2.5",
            "security": { "trust": { "domain": format!("{name}.local") } },
            "gateways": {
                "additionalIngress": { format!("{peer}-ingress"): { "enabled": true, "service": {
                    "type": "LoadBalancer", "ports": ports("https-discovery"),
                    "metadata": {
                        "labels": { "federation.maistra.io/ingress-for": peer },
                        "annotations": { "service.beta.kubernetes.io/aws-load-balancer-type": "nlb" },
                    },
                } } },
                "additionalEgress": {
                    format!("{peer}-egress"): { "enabled": true, "service": { "ports": ports("http-discovery") } },
                    "not-rendered": { "service": { "ports": ports("http-discovery") } },
                },
            },
        },
    })
}

fn service(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": namespace, "labels": { "app": name } },
        "spec": { "ports": [{ "port": 9080, "protocol": "TCP" }] },
    })
}

/// What `east` exports to `west`: names and the names they get, in the namespace `prod`.
fn exports(services: &[(&str, &str)]) -> Value {
    let rule = |(name, alias): &(&str, &str)| {
        let selector = json!({ "namespace": "stg", "name": name, "alias": { "namespace": "prod", "name": alias } });
        json!({ "type": "NameSelector", "nameSelector": selector })
    };
    json!({
        "apiVersion": "federation.maistra.io/v1", "kind": "ExportedServiceSet", "metadata": { "name": "west", "namespace": "east" },
        "spec": { "exportRules": services.iter().map(rule).collect::<Vec<_>>() },
    })
}

fn imports() -> Value {
    json!({
        "apiVersion": "federation.maistra.io/v1", "kind": "ImportedServiceSet", "metadata": { "name": "east", "namespace": "west" },
        "spec": { "importRules": [{ "type": "NameSelector", "nameSelector": { "namespace": "prod", "name": "details-v2" } }] },
    })
}

fn details_v2() -> Value {
    json!([{
        "exportedName": "details-v2.prod.svc.west-exports.local",
        "localService": { "name": "details-v2", "namespace": "prod", "hostname": "details-v2.prod.svc.east-imports.local" },
    }])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_meshes_meet_and_a_service_crosses() {
    let world = World::enter().await;
    world.federate().await;
    world.connected().await;
    world.imported(&details_v2()).await;

    // The exporter sees the importer's watch, under an address of the importer's.
    let remote = eventually("east sees west", async || {
        let remote = world.east.discovery().await["remotes"][0].clone();
        (remote["connected"] == true && remote["lastFullSync"].is_string()).then_some(remote)
    })
    .await;
    assert!(remote["source"].as_str().is_some_and(|source| source.starts_with("127.")), "{remote}");
    let set = world.east.get("ExportedServiceSet", "east", "west").await.expect("the set");
    assert_eq!(
        set["status"]["exportedServices"],
        json!([{
            "exportedName": "details-v2.prod.svc.west-exports.local",
            "localService": { "name": "details", "namespace": "stg", "hostname": "details.stg.svc.cluster.local" },
        }])
    );

    // What is exported in addition arrives at once, as an offer that no rule takes.
    world.east.apply(service("stg", "ratings")).await;
    world.east.apply(exports(&[("details", "details-v2"), ("ratings", "ratings")])).await;
    let mut both = details_v2();
    let offered = json!({ "exportedName": "ratings.prod.svc.west-exports.local", "localService": { "name": "", "namespace": "", "hostname": "" } });
    both.as_array_mut().expect("a list").push(offered);
    world.imported(&both).await;

    // A full sync is made again and again.
    let first = world.west.watch().await["lastFullSync"].clone();
    eventually("another full sync", async || (world.west.watch().await["lastFullSync"] != first).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_gets_its_gateways_and_members() {
    let world = World::enter().await;
    world.prepare().await;
    let east = &world.east;
    assert!(east.address().await.ends_with(".elb.east.test"), "AWS gives names");
    assert!(world.west.address().await.starts_with("127."), "Azure gives addresses");
    let service = east.get("Service", "east", "west-ingress").await.expect("the ingress gateway's Service");
    assert_eq!(service["metadata"]["labels"]["federation.maistra.io/ingress-for"], "west");
    assert!(east.get("ServiceAccount", "east", "west-egress-service-account").await.is_some());
    assert!(east.get("Service", "east", "not-rendered").await.is_none());

    eventually("the member is ready", async || {
        let member = east.get("ServiceMeshMember", "stg", "default").await?;
        let roll = east.get("ServiceMeshMemberRoll", "east", "default").await?;
        let ready = member["status"]["conditions"][1].get("status") == Some(&json!("True"));
        (ready && roll["status"]["configuredMembers"] == json!(["stg"])).then_some(())
    })
    .await;
    let root = east.root().await;
    eventually("members have the root", async || {
        let map = east.get("ConfigMap", "stg", "istio-ca-root-cert").await?;
        (map["data"]["root-cert.pem"] == root).then_some(())
    })
    .await;
    eventually("the control plane is ready", async || {
        let control_plane = east.get("ServiceMeshControlPlane", "east", "basic").await?;
        let conditions = control_plane["status"]["conditions"].as_array()?.clone();
        conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True").then_some(())
    })
    .await;

    let mut without = control_plane("east", "west");
    without["spec"].as_object_mut().expect("a map").remove("gateways");
    east.apply(without).await;
    eventually("the gateway is gone", async || east.get("Service", "east", "west-ingress").await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_the_named_one_is_forbidden() {
    let world = World::enter().await;
    world.federate().await;
    world.connected().await;

    // The running watch stays, and says that it is connected; only full syncs fail from now on.
    let mut object = world.east.peer_object(&world.west.address().await);
    object["spec"]["security"]["clientID"] = json!("spiffe://west.local/ns/west/sa/east-egress-service-account");
    world.east.apply(object).await;
    let frozen = world.west.stands_still().await;
    assert_eq!(frozen["connected"], true);

    world.west.standin.restart_istiod();
    world.disconnected_by("403 Forbidden").await;
    assert_eq!(world.west.watch().await["connected"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_works_without_the_right_root() {
    let world = World::enter().await;
    world.prepare().await;
    world.east.trust(&world.west.root().await).await;
    world.east.apply(world.east.peer_object("192.0.2.1")).await;
    world.west.apply(world.west.peer_object(&world.east.address().await)).await;
    world.west.trust(&world.west.root().await).await;
    world.disconnected_by("503 Service Unavailable").await;

    world.west.trust(&world.east.root().await).await;
    world.connected().await;
    // The exporter needs no address of the importer that works.
    assert_eq!(world.east.watch().await["connected"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_without_the_peer_calls_it_a_bad_request() {
    let world = World::enter().await;
    world.prepare().await;
    world.west.trust(&world.east.root().await).await;
    world.west.apply(world.west.peer_object(&world.east.address().await)).await;
    world.disconnected_by("400 Bad Request").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_that_is_replaced_is_reached_at_its_new_address_alone() {
    let world = World::enter().await;
    world.federate().await;
    world.connected().await;
    let old = world.east.address().await;
    world.east.standin.new_address("west-ingress");
    let new = eventually("another address", async || Some(world.east.address().await).filter(|new| *new != old)).await;
    world.disconnected_by("503 Service Unavailable").await;
    world.west.apply(world.west.peer_object(&new)).await;
    world.connected().await;

    world.east.standin.stop_ingress("west-ingress");
    eventually("west loses east", async || (world.west.watch().await["connected"] == false).then_some(())).await;
    eventually("the remote is pruned", async || (world.east.discovery().await["remotes"] == json!([])).then_some(())).await;
    world.east.standin.resume_ingress("west-ingress");
    world.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_ca_is_trusted_only_when_the_peer_knows_its_root() {
    let world = World::enter().await;
    world.federate().await;
    world.connected().await;
    let old = world.east.root().await;
    world.east.standin.replace_ca();
    let new = eventually("another root", async || Some(world.east.root().await).filter(|new| *new != old)).await;
    world.disconnected_by("503 Service Unavailable").await;
    world.west.trust(&format!("{new}{old}")).await;
    world.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_learns_of_a_new_root_in_time_loses_nothing() {
    let world = World::enter_with(|options| options.leaf_renewal = Duration::from_secs(5)).await;
    world.federate().await;
    world.connected().await;
    let old = world.east.root().await;
    world.east.standin.replace_ca();
    let new = eventually("another root", async || Some(world.east.root().await).filter(|new| *new != old)).await;
    world.west.trust(&format!("{new}{old}")).await;

    let before = world.west.watch().await["lastConnected"].clone();
    eventually("a watch of the renewed certificate", async || {
        let watch = world.west.watch().await;
        assert_ne!(watch["lastDisconnectStatus"], "503 Service Unavailable");
        (watch["connected"] == true && watch["lastConnected"] != before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_takes_its_time_and_may_vanish_for_a_moment() {
    let world = World::enter_with(|options| options.lb_delay = Duration::from_secs(1)).await;
    world.prepare().await;
    let addresses = async || {
        let service = world.west.get("Service", "west", "east-ingress").await?;
        Some(service["status"]["loadBalancer"]["ingress"].clone())
    };
    eventually("no address yet", async || addresses().await?.is_null().then_some(())).await;
    let address = world.west.address().await;
    world.west.standin.flap("east-ingress");
    eventually("no address for a moment", async || addresses().await?.is_null().then_some(())).await;
    assert_eq!(world.west.address().await, address);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_deleted_with_live_exports_hangs_the_controller_until_istiod_restarts() {
    let world = World::enter().await;
    world.federate().await;
    world.imported(&details_v2()).await;
    world.east.delete("ServiceMeshPeer", "west").await;
    world.disconnected_by("400 Bad Request").await;

    world.east.apply(world.east.peer_object(&world.west.address().await)).await;
    // Longer than two resyncs: nobody takes the new object up.
    let since = Instant::now();
    eventually("two resyncs have passed", async || (since.elapsed() > Duration::from_secs(3)).then_some(())).await;
    assert_eq!(world.east.discovery().await, Value::Null);
    assert_eq!(world.west.watch().await["connected"], false);

    world.east.standin.restart_istiod();
    world.connected().await;

    // In the right order nothing hangs: first the exports, then the peer.
    world.east.apply(exports(&[])).await;
    world.imported(&json!([])).await;
    world.east.delete("ExportedServiceSet", "west").await;
    world.east.delete("ServiceMeshPeer", "west").await;
    world.disconnected_by("400 Bad Request").await;
    world.east.apply(world.east.peer_object(&world.west.address().await)).await;
    world.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_under_one_name_freeze_the_statuses_of_the_peer() {
    let world = World::enter().await;
    world.federate().await;
    world.imported(&details_v2()).await;
    world.east.apply(service("stg", "ratings")).await;
    world.east.apply(exports(&[("details", "same"), ("ratings", "same")])).await;
    // The exporter's statuses stand still: also that of its own watch, which goes on.
    world.east.stands_still().await;
    let set = world.east.get("ExportedServiceSet", "east", "west").await.expect("the set");
    assert_eq!(set["status"]["exportedServices"].as_array().map(Vec::len), Some(1));
    world.east.apply(exports(&[("details", "details-v2")])).await;
    let frozen = world.east.watch().await["lastFullSync"].clone();
    eventually("the status moves again", async || (world.east.watch().await["lastFullSync"] != frozen).then_some(())).await;
    world.imported(&details_v2()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_for_two_peers_shuts_out_both() {
    let world = World::enter().await;
    world.federate().await;
    world.connected().await;
    let mut other = world.east.peer_object("192.0.2.1");
    other["metadata"]["name"] = json!("north");
    other["spec"]["security"] =
        json!({ "trustDomain": "north.local", "clientID": "north.local/ns/north/sa/east-egress-service-account" });
    let root = json!({ "name": "north-ca-root-cert", "namespace": "east" });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": root, "data": { "root-cert.pem": world.west.root().await } });
    world.east.apply(map).await;
    world.east.apply(other).await;
    eventually("north is reconciled", async || world.east.get("ServiceMeshPeer", "east", "north").await?.get("status").cloned())
        .await;
    world.west.standin.restart_istiod();
    world.disconnected_by("403 Forbidden").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_aws_only_a_network_load_balancer_passes_tls_on() {
    let world = World::enter().await;
    world.federate().await;
    world.connected().await;
    let network = world.east.address().await;
    let mut object = control_plane("east", "west");
    let service = "/spec/gateways/additionalIngress/west-ingress/service";
    // Without the field: an apply that owned keys of a map and now gives it empty makes it null, which no schema takes.
    let metadata = object.pointer_mut(&format!("{service}/metadata")).and_then(Value::as_object_mut).expect("the metadata");
    metadata.remove("annotations");
    world.east.apply(object.clone()).await;
    let classic =
        eventually("another load balancer", async || Some(world.east.address().await).filter(|new| *new != network)).await;
    world.west.apply(world.west.peer_object(&classic)).await;
    world.disconnected_by("503 Service Unavailable").await;

    // Without any load balancer the ports of the node remain.
    object.pointer_mut(service).expect("the service")["type"] = json!("NodePort");
    world.east.apply(object).await;
    let port = eventually("a node port", async || {
        let service = world.east.get("Service", "east", "west-ingress").await?;
        if service["spec"]["type"] != "NodePort" {
            return None;
        }
        service["spec"]["ports"].as_array()?.iter().find(|port| port["port"] == 8188)?["nodePort"].as_u64()
    })
    .await;
    let mut peer = world.west.peer_object(&world.east.node.to_string());
    peer["spec"]["remote"]["discoveryPort"] = json!(port);
    world.west.apply(peer).await;
    world.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_may_be_declared_only_by_who_may_use_the_control_plane() {
    let world = World::enter().await;
    world.prepare().await;
    let [east, _] = clusters();
    let grant = |resource: &str, verbs: &[&str]| json!({ "apiGroups": ["maistra.io"], "resources": [resource], "verbs": verbs });
    let role = |rules: Vec<Value>| {
        let metadata = json!({ "name": "joiner" });
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules })
    };
    let member_rule = grant("servicemeshmembers", &["get", "create", "patch"]);
    apply(&world.east.client, role(vec![member_rule.clone()])).await;
    let subject = json!({ "kind": "User", "name": "joiner", "apiGroup": "rbac.authorization.k8s.io" });
    let reference = json!({ "kind": "ClusterRole", "name": "joiner", "apiGroup": "rbac.authorization.k8s.io" });
    let metadata = json!({ "name": "joiner" });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata, "subjects": [subject],
        "roleRef": reference,
    });
    apply(&world.east.client, binding).await;

    let joiner = crate::lab::kubeconfig::client(&east.kubeconfig_for("joiner", &[])).await;
    let member = json!({
        "apiVersion": "maistra.io/v1", "kind": "ServiceMeshMember", "metadata": { "name": "default", "namespace": "prod" },
        "spec": { "controlPlaneRef": { "name": "basic", "namespace": "east" } },
    });
    // RBAC itself takes a moment to know of a role.
    eventually("the webhook refuses", async || {
        let error = try_apply(&joiner, member.clone()).await.expect_err("the user may not use the control plane");
        error.to_string().contains("does not have permission to access ServiceMeshControlPlane east/basic").then_some(())
    })
    .await;
    apply(&world.east.client, role(vec![member_rule, grant("servicemeshcontrolplanes", &["use"])])).await;
    eventually("the member is accepted", async || try_apply(&joiner, member.clone()).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_refuses_what_the_operators_does() {
    let world = World::enter().await;
    let client = &world.east.client;
    let refused = async |object: Value, why: &str| {
        let error = try_apply(client, object.clone()).await.expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
    };
    let gateway = json!({ "enabled": true });
    let with = |field: &str, value: Value| {
        let mut object = control_plane("prod", "x");
        *object.pointer_mut(field).expect("the field") = value;
        object
    };
    refused(with("/spec/version", json!("v2.1")), "invalid version v2.1").await;
    refused(with("/spec/gateways/additionalEgress", json!({ "x-ingress": gateway })), "multiple gateways").await;
    refused(with("/spec/gateways/additionalEgress", json!({ "istio-egressgateway": gateway })), "cannot define").await;

    apply(client, control_plane("prod", "x")).await;
    refused(with("/metadata/name", json!("second")), "only one ServiceMeshControlPlane").await;

    let member = |name: &str, mesh: &str| {
        let reference = json!({ "name": "basic", "namespace": mesh });
        let metadata = json!({ "name": name, "namespace": "stg" });
        json!({ "apiVersion": "maistra.io/v1", "kind": "ServiceMeshMember", "metadata": metadata, "spec": { "controlPlaneRef": reference } })
    };
    refused(member("another", "prod"), "must be named").await;
    apply(client, member("default", "prod")).await;
    refused(member("default", "east"), "immutable").await;

    let roll = |name: &str, members: &[&str]| {
        let metadata = json!({ "name": name, "namespace": "prod" });
        json!({ "apiVersion": "maistra.io/v1", "kind": "ServiceMeshMemberRoll", "metadata": metadata, "spec": { "members": members } })
    };
    refused(roll("another", &["stg"]), "must be named").await;
    refused(roll("default", &["prod"]), "own namespace").await;
}
