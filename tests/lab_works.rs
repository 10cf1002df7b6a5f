//! The lab itself does what the other tests rely on.

use crate::lab::cluster::Cluster;

#[test]
fn a_cluster_starts() {
    let start = std::time::Instant::now();
    let cluster = Cluster::start("first");
    eprintln!("{:?}", start.elapsed());
    let output = cluster.kubectl(&["get", "crds"]);
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success());
}
