//! Continuity: a peer fails, and its share of the requests goes where they are answered; it comes back when it has stayed.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pair::{INGRESS, Pair};
use crate::federation::steps::{ARO, ROSA};
use crate::stage::eventually;

/// Kubernetes writes times in whole seconds.
const GRAIN: i64 = 1;

/// Within so long a share moves after the control plane has said that its peer is away: one pass, and a look at it on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Rosa's watch of aro, as its control plane writes it.
fn watch(pair: &Pair) -> Value {
    let peer = pair.stage.site(ROSA).get("servicemeshpeer", ROSA, ARO).unwrap_or_default();
    let status = &peer["status"]["discoveryStatus"];
    let pod = status["active"].get(0).or(status["inactive"].get(0)).cloned().unwrap_or_default();
    pod["watch"].clone()
}

fn seconds(time: &Value) -> i64 {
    let time: Timestamp = time.as_str().unwrap_or_default().parse().unwrap_or_else(|_| panic!("no time: {time}"));
    time.as_second()
}

/// Between aro's last connection and the last write of the live route, in seconds by the API server's clock.
fn settled_for(pair: &Pair) -> i64 {
    let arguments = ["get", "virtualservice", "details", "-n", "prod-bookinfo", "--show-managed-fields", "-o", "json"];
    let output = pair.stage.site(ROSA).cluster.kubectl(&arguments);
    let route: Value = serde_json::from_slice(&output.stdout).expect("there is a route");
    let managers = route["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let ours = managers.iter().find(|manager| manager["manager"] == "meshfed").expect("the agent has written it");
    seconds(&ours["time"]) - seconds(&watch(pair)["lastConnected"])
}

/// Aro's gateway dies; its share has to go at once.
fn fail(pair: &Pair) {
    pair.stage.site(ARO).standin.stop_ingress(INGRESS);
    eventually("rosa's control plane says that aro is away", || match watch(pair) {
        watch if watch["connected"] == false => Ok(()),
        watch => Err(watch.to_string()),
    });
    let away = Instant::now();
    pair.split(0);
    assert!(away.elapsed() < AT_ONCE, "{:?}", away.elapsed());
}

/// It lives again; its share comes back after no less than so many seconds.
fn heal(pair: &Pair, settle: i64) {
    pair.stage.site(ARO).standin.resume_ingress(INGRESS);
    pair.split(20);
    let settled = settled_for(pair);
    assert!(settled >= settle - GRAIN, "back after {settled} s instead of {settle}");
}

#[test]
fn the_share_of_a_peer_that_fails_moves_at_once_and_comes_back_when_it_has_stayed() {
    let mut pair = Pair::start(20, "{settle: 3s}");
    pair.published(20, 20);
    let (writes, events, commits) = (pair.route_writes(), pair.route_events().len(), pair.messages().len());

    fail(&pair);
    let why = pair.published(20, 0);
    assert!(why.contains("aro-stg-mesh"), "{why}");
    let told = |message: &String| message.contains("details: aro-stg-mesh 20 → 0 % (");
    assert!(pair.messages().iter().any(told), "{:?}", pair.messages());
    heal(&pair, 3);
    pair.published(20, 20);

    // Again, and longer; a restart of the agent in between makes it no shorter.
    fail(&pair);
    pair.stage.site(ARO).standin.resume_ingress(INGRESS);
    eventually("rosa's control plane says that aro is back", || match watch(&pair) {
        watch if watch["connected"] == true => Ok(()),
        watch => Err(watch.to_string()),
    });
    pair.rosa.process.kill();
    pair.rosa = pair.stage.agent(ROSA);
    heal(&pair, 6);
    let map = pair.stage.site(ROSA).get("configmap", ROSA, "meshfed").unwrap_or_default();
    let lines = map["data"]["destinations"].as_str().unwrap_or_default();
    assert!(lines.starts_with("aro-stg-mesh prod-bookinfo/details-v2 1 sound "), "{lines}");

    pair.published(20, 20);
    assert_eq!(pair.route_writes() - writes, 4, "two failures, two returns");
    let events = &eventually("an event for each move", || match pair.route_events() {
        all if all.len() - events >= 4 => Ok(all[events..].to_vec()),
        all => Err(format!("{all:#?}")),
    });
    assert!(events.iter().all(|event| event.starts_with("WeightsChanged aro-stg-mesh ")), "{events:#?}");
    // For each failure: the fall, another word of the control plane about it, the return of the connection, the return of the share.
    let made = pair.messages().len() - commits;
    assert!(made <= 2 * 4, "{made} commits: {:#?}", pair.messages());
}

#[test]
fn a_watch_that_says_connected_and_hears_nothing_loses_its_share() {
    let mut pair = Pair::start(20, "{settle: 2s, staleAfter: 10s}");
    // Without its agent nobody mends what breaks the handshake; a watch that is open stays open.
    pair.aro.process.kill();
    let aro = pair.stage.site(ARO);
    let client = aro.get("servicemeshpeer", ARO, ROSA).expect("aro has a peer")["spec"]["security"]["clientID"].clone();
    let admit = |client: &Value| aro.patch("servicemeshpeer", ARO, ROSA, &json!({"spec": {"security": {"clientID": client}}}));
    admit(&json!("nobody/ns/nowhere/sa/none"));
    pair.split(0);
    let watch = watch(&pair);
    assert_eq!(watch["connected"], true, "{watch}");
    let age = Timestamp::now().as_second() - seconds(&watch["lastFullSync"]);
    assert!(age >= 10 - GRAIN, "after {age} s");
    let why = pair.published(20, 0);
    assert!(why.starts_with("the last full synchronisation with aro-stg-mesh was at "), "{why}");
    admit(&client);
    pair.split(20);
    pair.published(20, 20);
}
