//! Which destinations may get requests, over time. A destination is a service that is imported from a peer.
//!
//! ```text
//!            sound                 unsound                sound                 settled                forget
//!  unknown ─────────▶ plain ─────────────────▶ away ─────────────────▶ settling ────────▶ back ─────────────────▶ plain
//!                     weight                   no weight  ▲            no weight           weight │
//!                                                         └──────── unsound: a flap more ─────────┘
//! ```
//! Sound is what can answer now: the import is live, and a watch of the peer is connected that has made a full synchronisation lately
//! (federation-rules of OSSM 2.x: `connected` alone lies). What is not sound loses its weight in the same pass. What comes back gets it
//! only after it has stayed for a while, and for longer each time that it goes away again. What was never used is not coming back: it gets
//! its weight at once, so that joining is fast. What cannot be seen changes nothing.
//!
//! Only destinations that are not plain are remembered, in the agent's ConfigMap, so that a restart neither forgets a lapse nor invents one.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::later;
use super::{Decision, Gap, World, report};
use crate::derive::{Health, Hold, Inputs, Observed, imported_host, kinds, not_imported, why_not_given};
use crate::model::defaults::GATING_DOUBLINGS;
use crate::model::{Destination, Gating, MeshFolder, ServiceName, Traffic};

/// A service under the name that it is imported as: its peer, and the name.
pub type Import = (String, ServiceName);

/// Destinations that went away and may have come back.
pub type Lapses = BTreeMap<Import, Lapse>;

/// What is remembered of a destination that went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// How often it went away again before the first time was forgotten; counted up to [`GATING_DOUBLINGS`].
    pub flaps: u32,
    /// Since when it is sound again; `None` while it is away.
    pub sound_since: Option<Timestamp>,
}

/// What outlives a pass.
#[derive(Clone, Debug, Default)]
pub struct HealthMemory {
    /// Outlives the process as well.
    pub lapses: Arc<Lapses>,
    /// Since when the control plane's word is heard without a gap; `None` where it is not.
    pub hearing_since: Option<Timestamp>,
}

/// What the cluster says of a destination now.
enum Seen {
    /// It can answer; it looks stale from then on if nothing new is heard.
    Sound(Option<Timestamp>),
    /// It cannot.
    Unsound(String),
    /// Nobody knows, so it stays as it was.
    Unknown {
        /// Why nobody knows.
        why: String,
        /// Look again then.
        until: Option<Timestamp>,
        /// Whether people should hear of it.
        told: bool,
    },
}

/// Judges every destination that a Traffic uses; changes memory only on transitions.
pub(super) fn assess(
    world: &World,
    folder: &MeshFolder,
    before: &HealthMemory,
    observed: &mut Observed,
    decision: &mut Decision,
) {
    decision.health = before.clone();
    let Some(mesh) = &folder.mesh else { return };
    let gap =
        [kinds::PEER, kinds::IMPORTED].into_iter().find_map(|of| world.unseen.outdated(&kinds::key(of, &mesh.namespace, "")));
    let hearing_since = if gap.is_some() { None } else { before.hearing_since.or(Some(world.now)) };
    let judge = Judge { world, observed, gap, hearing_since, gating: world.federation.gating.unwrap_or_default() };
    // While a document has an error its Traffic may be among what is not there: nothing of it is forgotten.
    let own = format!("meshes/{}/", world.me);
    let keep = world.federation.broken.iter().any(|path| path.starts_with(&own));
    let mut lapses = if keep { (*before.lapses).clone() } else { Lapses::new() };
    let mut health = BTreeMap::new();
    for (import, users) in imports(folder) {
        if why_not_given(judge.inputs(), &import.0, &import.1).is_some() {
            continue; // people took it away: that is no lapse
        }
        let seen = judge.look(&import, decision);
        let used = || judge.is_used(&import, &users);
        let (lapse, verdict) = judge.next(&import.0, before.lapses.get(&import).copied(), &seen, used, decision);
        lapses.remove(&import);
        if let Some(lapse) = lapse {
            lapses.insert(import.clone(), lapse);
        }
        let (peer, service) = import;
        health.insert(Destination::Imported { peer, service }, verdict);
    }
    let lapses = if lapses == *before.lapses { before.lapses.clone() } else { Arc::new(lapses) };
    decision.health = HealthMemory { lapses, hearing_since };
    observed.health = health;
}

/// Every destination with the Traffics that use it.
fn imports(folder: &MeshFolder) -> BTreeMap<Import, Vec<&Traffic>> {
    let mut imports: BTreeMap<Import, Vec<&Traffic>> = BTreeMap::new();
    for traffic in folder.traffic.values() {
        for (destination, ..) in traffic.destinations() {
            if let Destination::Imported { peer, service } = destination {
                imports.entry((peer.clone(), service.clone())).or_default().push(traffic);
            }
        }
    }
    imports
}

struct Judge<'a> {
    world: &'a World<'a>,
    observed: &'a Observed,
    gap: Option<&'a Gap>,
    hearing_since: Option<Timestamp>,
    gating: Gating,
}

impl Judge<'_> {
    fn inputs(&self) -> Inputs<'_> {
        let World { federation, me, facts, .. } = *self.world;
        Inputs { federation, me, facts, observed: self.observed }
    }

    fn look(&self, (peer, service): &Import, decision: &mut Decision) -> Seen {
        let seen = self.seen(peer, service);
        if let Seen::Unknown { why, told: true, .. } = &seen {
            let stuck = self.gap.is_some_and(|gap| gap.stuck);
            decision.hold(Hold { stuck, ..Hold::part(format!("weight of {peer}"), format!("stays as it is: {why}")) });
        }
        seen
    }

    fn seen(&self, peer: &str, service: &ServiceName) -> Seen {
        let Gating { stale_after, .. } = self.gating;
        let state = self.observed.peers.get(peer);
        if let Some(gap) = self.gap {
            // An interruption is worth a word only when what was seen last is too old to count.
            let until = state.and_then(|state| state.synced).map(|synced| later(synced, stale_after));
            let told = gap.stuck || until.is_some_and(|until| until <= self.world.now);
            return Seen::Unknown { why: gap.reason.clone(), until: until.filter(|_| !told), told };
        }
        if let Some(state) = state.filter(|state| !state.connected && !state.last_disconnect.is_empty()) {
            return Seen::Unsound(report::disconnected(peer, &state.last_disconnect));
        }
        if let Some(why) = not_imported(peer, service, self.inputs()) {
            return Seen::Unsound(why);
        }
        let Some(synced) = state.filter(|state| state.connected).and_then(|state| state.synced) else {
            return Seen::Unsound(format!("{peer} is not connected, or has not yet told all that it exports"));
        };
        if self.world.federation.gating.is_none() {
            return Seen::Sound(None); // how old is too old stands in a document that cannot be read
        }
        let stale_at = later(synced, stale_after);
        // Only silence that was listened to counts: after a gap the control plane's next word may be on its way.
        let heard_at = self.hearing_since.map_or(Timestamp::MAX, |since| later(since, stale_after));
        let old = || format!("the last full synchronisation with {peer} was at {}", seconds(synced));
        match self.world.now {
            now if now < stale_at => Seen::Sound(Some(stale_at)),
            now if now < heard_at => {
                let why = format!("{}, and the next may just not have been seen", old());
                Seen::Unknown { why, until: Some(heard_at), told: true }
            }
            _ => Seen::Unsound(format!("{}, though its watch says that it is connected", old())),
        }
    }

    /// Whether requests go there now: some live route names the host.
    fn is_used(&self, (peer, service): &Import, users: &[&Traffic]) -> bool {
        let host = format!("\"{}\"", imported_host(self.inputs(), peer, service));
        users.iter().any(|traffic| {
            let route = kinds::key(kinds::VIRTUAL_SERVICE, &traffic.service.namespace, &traffic.name);
            self.world.live.get(&route).is_some_and(|live| live.mentions(&host))
        })
    }

    /// One step of the machine above.
    fn next(
        &self,
        peer: &str,
        before: Option<Lapse>,
        seen: &Seen,
        used: impl Fn() -> bool,
        decision: &mut Decision,
    ) -> (Option<Lapse>, Health) {
        let now = self.world.now;
        let away = |flaps, why: &str| (Some(Lapse { flaps, sound_since: None }), Health::Unfit(why.to_owned()));
        match (seen, before) {
            (Seen::Unknown { why, until, .. }, before) => {
                until.iter().for_each(|until| decision.wake(*until));
                let fit = before.is_none_or(|lapse| lapse.sound_since.is_some()) && used();
                (before, if fit { Health::Fit } else { Health::Unfit(why.clone()) })
            }
            (Seen::Unsound(why), None) if used() => away(0, why),
            (Seen::Unsound(why), None) => (None, Health::Unfit(why.clone())),
            (Seen::Unsound(why), Some(Lapse { flaps, sound_since: None })) => away(flaps, why),
            (Seen::Unsound(why), Some(lapse)) => away((lapse.flaps + 1).min(GATING_DOUBLINGS), why),
            (Seen::Sound(stale_at), before) => {
                stale_at.iter().for_each(|stale_at| decision.wake(*stale_at));
                let Some(lapse) = before else { return (None, Health::Fit) };
                self.settle(peer, lapse.flaps, lapse.sound_since.unwrap_or(now), decision)
            }
        }
    }

    /// It is sound again: since when it may get its weight, and since when all is forgotten.
    fn settle(&self, peer: &str, flaps: u32, since: Timestamp, decision: &mut Decision) -> (Option<Lapse>, Health) {
        let Gating { settle, .. } = self.gating;
        let settled = later(since, doubled(settle, flaps));
        let forgotten = later(since, doubled(settle, GATING_DOUBLINGS + 1));
        if self.world.now >= forgotten {
            return (None, Health::Fit);
        }
        let lapse = Some(Lapse { flaps, sound_since: Some(since) });
        if self.world.now >= settled {
            decision.wake(forgotten);
            return (lapse, Health::Fit);
        }
        decision.wake(settled);
        let again = if flaps == 0 { String::new() } else { format!(", having gone away {} times", flaps + 1) };
        let (since, settled) = (seconds(since), seconds(settled));
        (lapse, Health::Unfit(format!("{peer} is back since {since}{again}, and gets its weight at {settled} if it stays")))
    }
}

fn doubled(wait: SignedDuration, times: u32) -> SignedDuration {
    wait.saturating_mul(1 << times)
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
