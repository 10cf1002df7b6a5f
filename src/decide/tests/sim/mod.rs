//! A federation in memory: a repository, a cluster and an agent for each mesh, and a control plane that behaves like the real one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::json;

mod operators;

use super::history::History;
use super::server::Server;
use crate::decide::{
    Apply, Comparisons, Decision, Memory, Position, STATUS_PATH, Status, Trust, Unseen, Views, World, decide, patience,
    read_status,
};
use crate::derive::kinds;
use crate::facts::probe::Answers;
use crate::facts::{Facts, published};
use crate::model::defaults::GATING_SETTLE;
use crate::model::testing::{self, Repo};
use crate::model::{Diagnostic, Federation};
use crate::object::Live;
use crate::policy::{Cache, Loaded, Policies, load};

/// The example where somebody else makes the namespaces and control planes.
pub fn example() -> Repo {
    let own = "  createNamespaces: true\n  controlPlane:\n    base: # without it the agent waits for a control plane that somebody \
        else makes\n      spec: {version: v2.5}\n";
    let paths = ["rosa-prod-mesh", "aro-stg-mesh", "gcp-dev-mesh"].map(|mesh| format!("meshes/{mesh}/mesh.yaml"));
    paths.iter().fold(testing::example(), |repo, path| repo.edit(path, own, ""))
}

/// A repository with what its policies leave of it.
pub fn judged(repo: &Repo) -> Loaded {
    load(&repo.entries(), &[], &mut |path, _| Ok(repo.files[path].clone()), &mut Cache::default())
}

/// One mesh's cluster and agent.
#[derive(Debug, Default)]
pub struct Site {
    pub server: Server,
    /// UID of its `kube-system`, where it is not that of all the others.
    pub cluster_uid: Option<String>,
    /// Where its control plane runs, whatever the repository says.
    pub namespace: String,
    pub memory: Memory,
    pub comparisons: Comparisons,
    pub published: BTreeMap<String, String>,
    pub messages: Vec<String>,
    pub unseen: Unseen,
    pub log: Vec<String>,
    /// When its agent wants to decide again.
    pub wake_at: Option<Timestamp>,
    pub events: Vec<String>,
}

/// What an agent waits for longer than this is no part of settling: the heartbeat, the overlap of roots.
const SOON: SignedDuration = SignedDuration::from_secs(30);

pub struct Sim {
    pub repo: Repo,
    pub federation: Federation,
    pub problems: Vec<Diagnostic>,
    pub policies: Arc<Policies>,
    pub sites: BTreeMap<String, Site>,
    pub now: Timestamp,
    pub commit: String,
    pub history: History,
    /// All agents run with `--observe`.
    pub observing: bool,
    /// What verification says to all of them.
    pub trust: Trust,
    /// Addresses that the clouds have given out.
    balancers: usize,
    /// Watches that are down: (mesh, its peer).
    pub cut: BTreeSet<(String, String)>,
    /// Watches that say that they are connected and hear nothing: since when.
    pub frozen: BTreeMap<(String, String), Timestamp>,
    /// Where the commit lies, for a mesh, that its peer names: on the line of `main` where nothing is said.
    pub positions: BTreeMap<(String, String), Position>,
    /// What peers' ingresses have shown.
    pub probes: Answers,
    /// When `main` last moved.
    pub committed_at: Option<Timestamp>,
    /// Facts by their text: reading certificates takes most of the time here, and none of them ever expires.
    read: RefCell<HashMap<String, Facts>>,
}

/// A CA certificate; the same number gives the same.
pub fn ca(number: usize) -> String {
    static MADE: OnceLock<Vec<String>> = OnceLock::new();
    let make = |_| {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    };
    MADE.get_or_init(|| (0..8).map(make).collect())[number].clone()
}

impl Sim {
    /// Clusters for all meshes of a repository, with their control planes running and nothing of ours in them.
    pub fn new(repo: Repo) -> Self {
        let Loaded { federation, policies, problems } = judged(&repo);
        let mut sim = Self {
            repo,
            federation,
            problems,
            policies,
            sites: BTreeMap::new(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            commit: "c1".to_owned(),
            history: History::default(),
            observing: false,
            trust: Trust::default(),
            balancers: 0,
            cut: BTreeSet::new(),
            frozen: BTreeMap::new(),
            positions: BTreeMap::new(),
            committed_at: None,
            probes: Answers::new(),
            read: RefCell::default(),
        };
        sim.history.push("c1");
        let names: Vec<String> = sim.federation.meshes.keys().cloned().collect();
        for (number, name) in names.iter().enumerate() {
            let Some(mesh) = sim.federation.mesh(name) else { continue };
            let mut site = Site { namespace: mesh.namespace.clone(), ..Site::default() };
            for namespace in mesh.namespaces().filter(|_| !mesh.create_namespaces) {
                site.server.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}), "kubectl");
            }
            let (api_version, kind) = kinds::CONTROL_PLANE;
            let metadata = json!({"name": mesh.control_plane, "namespace": mesh.namespace});
            let document = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": {"version": "v2.5"}});
            if mesh.base.is_none() {
                site.server.create(document, "kubectl");
            }
            sim.sites.insert(name.clone(), site);
            sim.set_root(name, &ca(number));
        }
        sim
    }

    /// People commit.
    pub fn commit(&mut self, change: impl FnOnce(Repo) -> Repo) {
        self.repo = change(std::mem::take(&mut self.repo));
        let loaded = judged(&self.repo);
        (self.federation, self.policies, self.problems) = (loaded.federation, loaded.policies, loaded.problems);
        while self.history.knows(&self.commit) {
            self.commit.push('\'');
        }
        self.history.push(&self.commit);
    }

    /// The last commit has the trailer that allows deletions in a mesh.
    pub fn allow(&mut self, mesh: &str) {
        self.history.allow(mesh);
    }

    pub fn site(&mut self, mesh: &str) -> &mut Site {
        self.sites.get_mut(mesh).unwrap()
    }

    /// The control plane's CA has this root from now on.
    pub fn set_root(&mut self, mesh: &str, pem: &str) {
        let namespace = self.federation.mesh(mesh).unwrap().namespace.clone();
        let document = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": kinds::OWN_ROOTS_NAME, "namespace": namespace}, "data": {kinds::ROOTS_KEY: pem}});
        self.site(mesh).server.create(document, "istiod");
    }

    /// What the peers of a mesh published.
    pub fn facts(&self, me: &str) -> BTreeMap<String, Facts> {
        let others = self.sites.iter().filter(|(name, site)| *name != me && !site.published.is_empty());
        others.map(|(name, _)| (name.clone(), self.own_facts(name))).collect()
    }

    /// What the peers of a mesh said of themselves.
    pub fn statuses(&self, me: &str) -> BTreeMap<String, Status> {
        let others = self.sites.keys().filter(|name| *name != me);
        others.filter_map(|name| Some((name.clone(), self.status(name)?))).collect()
    }

    /// The status that a mesh published last.
    pub fn status(&self, name: &str) -> Option<Status> {
        let text = self.sites[name].published.get(STATUS_PATH)?;
        Some(read_status(STATUS_PATH, text).unwrap())
    }

    fn own_facts(&self, name: &str) -> Facts {
        match self.sites[name].published.get(published::FACTS_PATH) {
            Some(text) => {
                if let Some(facts) = self.read.borrow().get(text) {
                    return facts.clone();
                }
                let (facts, found) = published::read(name, "published.yaml", text, &self.federation.allow_addresses, self.now);
                assert_eq!(found, []);
                self.read.borrow_mut().insert(text.clone(), facts.clone());
                facts
            }
            None => Facts::default(),
        }
    }

    /// Decides one pass of a mesh without doing it.
    pub fn decide(&mut self, me: &str) -> Decision {
        let (facts, own_facts) = (self.facts(me), self.own_facts(me));
        let (statuses, own_status) = (self.statuses(me), self.status(me).unwrap_or_default());
        let applied =
            self.sites[me].memory.applied.as_ref().map_or(own_status.main.applied.clone(), |applied| applied.commit.clone());
        let main = self.history.line(me, Some(applied.as_str()).filter(|applied| !applied.is_empty()));
        let positions = self.positions.iter().filter(|((of, _), _)| of == me);
        let peers = positions.map(|((_, peer), position)| (peer.clone(), *position)).collect();
        let site = self.sites.get_mut(me).unwrap();
        let live = site.server.live();
        let world = World {
            federation: &self.federation,
            problems: &self.problems,
            policies: &self.policies,
            me,
            facts: &facts,
            statuses: &statuses,
            live: &live,
            unseen: &site.unseen,
            cluster_uid: site.cluster_uid.as_deref().unwrap_or("uid-of-kube-system"),
            commit: &self.commit,
            line: &main,
            views: &Views { peers, committed_at: self.committed_at },
            trust: &self.trust,
            throwaway_root: "nobody's root",
            probes: &self.probes,
            observing: self.observing,
            own_facts: &own_facts,
            own_status: &own_status,
            published: &site.published,
            patience: patience(SignedDuration::from_secs(30)),
            now: self.now,
        };
        decide(&world, &site.memory, &mut site.comparisons)
    }

    /// Performs a decision; of what goes to the cluster only what `keep` says, as when the agent dies in between.
    pub fn perform(&mut self, me: &str, decision: &Decision, mut keep: impl FnMut() -> bool) {
        let site = self.sites.get_mut(me).unwrap();
        site.memory.inventory.clone_from(&decision.inventory);
        site.memory.health.clone_from(&decision.health);
        site.memory.pending.clone_from(&decision.pending);
        site.memory.deletions.clone_from(&decision.deletions);
        site.memory.applied.clone_from(&decision.applied);
        site.memory.claimed = decision.claimed;
        site.memory.withdrawals.clone_from(&decision.withdrawals);
        site.server.now = self.now;
        site.wake_at = decision.wake_at;
        site.memory.addresses.clone_from(&decision.addresses);
        site.memory.views.clone_from(&decision.views);
        site.memory.tell(&decision.status);
        site.events.extend(decision.events.iter().map(|event| format!("{} {}: {}", event.about, event.reason, event.note)));
        site.memory.fights.forget(self.now);
        for Apply { object, force } in decision.apply.iter().filter(|_| keep()) {
            site.memory.fights.wrote(object, self.now);
            site.server.apply(object, *force).unwrap_or_else(|error| panic!("{me}: {}: {error}", object.key));
            site.log.push(format!("apply {}", object.key));
            let live = Live::new(site.server.get(&object.key).unwrap()).unwrap();
            site.comparisons.accept(object, &live);
        }
        for object in decision.renew.iter().filter(|_| keep()) {
            site.server.apply(object, false).unwrap_or_else(|error| panic!("{me}: {}: {error}", object.key));
            site.log.push(format!("mark {}", object.key));
        }
        for live in decision.delete.iter().filter(|_| keep()) {
            assert!(!site.server.would_hang(&live.key), "{me}: {} goes while services are exported to it", live.key);
            site.server.delete(live);
            site.log.push(format!("delete {}", live.key));
        }
        for (key, _) in decision.release.iter().filter(|_| keep()) {
            site.server.release(key);
            site.log.push(format!("release {key}"));
        }
        if let Some(publication) = &decision.publish {
            site.published.clone_from(&publication.files);
            site.messages.push(publication.message.clone());
        }
    }

    /// The agent of a mesh is started anew.
    pub fn restart(&mut self, me: &str) {
        let site = self.site(me);
        let Memory { inventory, deletions, .. } = std::mem::take(&mut site.memory);
        site.memory = Memory { inventory, deletions, ..Memory::default() };
        site.comparisons = Comparisons::default();
    }

    pub fn pass(&mut self, me: &str) -> Decision {
        self.synchronise(me);
        let decision = self.decide(me);
        self.perform(me, &decision, || true);
        decision
    }

    /// Every agent passes, and every control plane does its part, until nothing changes any more.
    pub fn settle(&mut self) {
        for _ in 0..120 {
            let before = self.marks();
            self.round();
            if self.marks() == before && self.sites.values().all(|site| site.memory.pending.is_none()) {
                let soon = self.now + SOON;
                match self.sites.values().filter_map(|site| site.wake_at).filter(|at| *at > self.now && *at < soon).min() {
                    Some(at) => self.now = at,
                    None if self.is_settling() => self.now += SignedDuration::from_secs(10),
                    None => return,
                }
            }
        }
        panic!("does not settle: {:#?}", self.sites.values().map(|site| &site.log).collect::<Vec<_>>());
    }

    /// Some peer is back and waits for its weight.
    fn is_settling(&self) -> bool {
        let settle = |flaps: u32| GATING_SETTLE * (1 << flaps);
        let mut lapses = self.sites.values().flat_map(|site| site.memory.health.lapses.values());
        lapses.any(|lapse| lapse.sound_since.is_some_and(|since| self.now < since + settle(lapse.flaps)))
    }

    fn marks(&self) -> Vec<(u64, BTreeMap<String, String>)> {
        self.sites.values().map(|site| (site.server.writes(), site.published.clone())).collect()
    }

    pub fn round(&mut self) {
        let names: Vec<String> = self.sites.keys().cloned().collect();
        for name in &names {
            self.pass(name);
        }
        self.operate();
        self.now = self.now.checked_add(SignedDuration::from_secs(1)).unwrap();
    }
}
