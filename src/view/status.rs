//! One screen for the whole federation.

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::Timestamp;

use super::federation::{EXPIRES_SOON, FederationStatus, MeshView, PeeringView, ServiceView, never_published};
use super::live::{LeaderView, LiveView};
use super::table::{self, Cell};
use super::{Look, Tone};
use crate::decide::{Mode, Phase, RotationStatus};
use crate::words::{count, printable};

/// Lines about what needs attention that fit one screen; `wide` and the data formats have them all.
const MAX_ATTENTION: usize = 12;

/// Meshes whose agents were never seen that each have a line of their own.
const MAX_UNSEEN: usize = 3;

/// Columns from which on headings are spelt out.
const FULL_WIDTH: usize = 140;

/// The screen. `wide` shows whole names and every line.
pub fn render(status: &FederationStatus, now: Timestamp, wide: bool, look: Look) -> String {
    let FederationStatus { federation, repository: _, branch, commit, degraded: _, meshes, peerings, attention, live, leader: _ } =
        status;
    let name = federation.as_deref().unwrap_or("(federation.yaml is missing or has an error)");
    let short = commit.id.get(..7).unwrap_or_default();
    let verified = if commit.verified {
        look.paint(Tone::Good, &commit.verification)
    } else {
        look.paint(Tone::Bad, &format!("! {}", commit.verification))
    };
    let ready = peerings.iter().filter(|peering| peering.ready).count();
    let name = format!("{} {}", look.paint(Tone::Strong, "FEDERATION"), printable(name));
    let tip =
        format!("{}@{short} {verified}, {}, {} ago", printable(branch), printable(&commit.author), age(now, commit.committed_at));
    let sum = format!("{}, {ready} of {} ready", count_meshes(meshes.len()), count(peerings.len(), "peering"));
    // On a narrow screen the commit has a line of its own.
    let narrow = look.width.is_some_and(|width| width < FULL_WIDTH);
    let mut out = if narrow { format!("{name}   {sum}\n{tip}\n\n") } else { format!("{name}   {tip}   {sum}\n\n") };
    let rows: Vec<Vec<Cell>> = meshes.iter().map(|mesh| mesh_row(mesh, now, wide)).collect();
    let mut header = vec!["MESH", "CLOUD", "AGENT", "APPLIED", "PUBLISHED", "CA ROOT", "INGRESS"];
    if wide {
        header.push("OBJECTS");
    }
    // Addresses cannot be broken at blanks: where they do not fit, their middle is left out.
    let (rows, width) = if wide { (rows, None) } else { fitting(rows, &header, look) };
    out.push_str(&table::render(&header, &rows, Look { width, ..look }));
    if !peerings.is_empty() {
        let rows: Vec<Vec<Cell>> = peerings.iter().flat_map(|peering| peering_rows(peering, wide)).collect();
        out.push('\n');
        let weight = if narrow { "WEIGHT" } else { "WEIGHT (declared → effective)" };
        let header = ["PEERING", "READY", "EXPORTED → IMPORTED", weight, "WHY"];
        // Whole names may be wider than a screen; nothing of them is left out.
        let width = look.width.filter(|width| !wide || table::before_last(&header, &rows) <= *width);
        out.push_str(&table::render(&header, &rows, Look { width, ..look }));
    }
    if let Some(live) = live {
        out.push('\n');
        out.push_str(&live_lines(live, now, wide, look));
    }
    let attention = if wide { attention.clone() } else { gathered(attention, meshes) };
    let shown = if wide { attention.len() } else { attention.len().min(MAX_ATTENTION) };
    if shown > 0 {
        out.push('\n');
    }
    let room = look.width.filter(|_| !wide).map_or(usize::MAX, |width| width.saturating_sub(2));
    for line in &attention[..shown] {
        let line = table::wrap(&printable(line), room).join("\n  ");
        let _ = writeln!(out, "{} {line}", look.paint(Tone::Bad, "!")); // writing to a String cannot fail
    }
    if attention.len() > shown {
        let _ = writeln!(out, "… and {} more: meshfed status -o wide", attention.len() - shown); // the same
    }
    out
}

/// The lines, with one for all meshes whose agents were never seen, where these are many: before a federation runs, that is all of them.
fn gathered(attention: &[String], meshes: &[MeshView]) -> Vec<String> {
    let unseen: Vec<&str> = meshes.iter().filter(|mesh| mesh.agent.is_none()).map(|mesh| mesh.name.as_str()).collect();
    if unseen.len() <= MAX_UNSEEN {
        return attention.to_vec();
    }
    let lines: Vec<String> = unseen.iter().map(|name| never_published(name)).collect();
    let names = crate::words::some(&unseen, 2);
    let mut all = Some(format!("{} agents never published ({names}): meshfed doctor --mesh MESH", unseen.len()));
    attention.iter().filter_map(|line| if lines.contains(line) { all.take() } else { Some(line.clone()) }).collect()
}

/// What the cluster says now: each line marked `~` where it is not as its agent said, `!` where it is not as it should be.
fn live_lines(live: &LiveView, now: Timestamp, wide: bool, look: Look) -> String {
    let LiveView { mesh, cluster, differs, changes, leader } = live;
    let sum = match (differs.len(), changes.len()) {
        (0, 0) => look.paint(Tone::Good, "as its agent said, and as declared"),
        (_, 0) => "as declared".to_owned(),
        (_, changes) => {
            look.paint(Tone::Bad, &format!("{} to make: meshfed plan --live --mesh {mesh}", count(changes, "change")))
        }
    };
    let mut out = format!("{} {} at {}: {sum}\n", look.paint(Tone::Strong, "LIVE"), printable(mesh), printable(cluster));
    if let Some(leader) = leader {
        let _ = writeln!(out, "{}", leader_line(leader, now, look)); // writing to a String cannot fail
    }
    let lines: Vec<(&str, &String)> =
        differs.iter().map(|line| ("~", line)).chain(changes.iter().map(|line| ("!", line))).collect();
    let shown = if wide { lines.len() } else { lines.len().min(MAX_ATTENTION) };
    for (mark, line) in &lines[..shown] {
        let _ = writeln!(out, "{mark} {}", printable(line)); // writing to a String cannot fail
    }
    if lines.len() > shown {
        let _ = writeln!(out, "… and {} more: meshfed status -o wide", lines.len() - shown); // the same
    }
    out
}

/// Which replica writes, and since when.
fn leader_line(leader: &LeaderView, now: Timestamp, look: Look) -> String {
    let LeaderView { lease, holder, current, since, renewed } = leader;
    let ago = |time: &Option<Timestamp>| time.map_or("an unknown time".to_owned(), |time| age(now, time));
    match holder.as_deref().map(printable) {
        Some(holder) if *current => format!("{holder} has led for {}", ago(since)),
        Some(holder) => {
            let text = format!("! nobody writes: {holder} has not renewed the Lease {} for {}", printable(lease), ago(renewed));
            look.paint(Tone::Bad, &text)
        }
        None => look.paint(Tone::Bad, &format!("! nobody writes: nobody holds the Lease {}", printable(lease))),
    }
}

/// Fewest characters of an address that say anything.
const MIN_ADDRESS: usize = 12;

/// The rows with their last column cut to what the screen has left, and the width for the table that they make: none where they fit now.
fn fitting(mut rows: Vec<Vec<Cell>>, header: &[&str], look: Look) -> (Vec<Vec<Cell>>, Option<usize>) {
    let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(table::before_last(header, &rows)));
    if room < MIN_ADDRESS {
        let none = |cell: &&mut Cell| cell.is("-"); // below its row it would say nothing
        rows.iter_mut().filter_map(|row| row.last_mut()).filter(none).for_each(|cell| *cell = Cell::default());
        return (rows, look.width);
    }
    for cell in rows.iter_mut().filter_map(|row| row.last_mut()) {
        cell.shorten(room);
    }
    (rows, None)
}

fn count_meshes(number: usize) -> String {
    if number == 1 { "1 mesh".to_owned() } else { format!("{number} meshes") }
}

fn mesh_row(mesh: &MeshView, now: Timestamp, wide: bool) -> Vec<Cell> {
    let MeshView { name, platform, agent, mode, applied, behind, published_at, silent, objects, ingress, .. } = mesh;
    let agent = match agent {
        Some(version) if version.is_empty() => Cell::from("-"), // it has published no status
        Some(version) => Cell::from(format!("v{version}{}", doing(*mode))),
        None => Cell::new("never seen !", Tone::Bad),
    };
    let short = applied.as_deref().map_or("-", |commit| commit.get(..7).unwrap_or(commit));
    let applied = match behind {
        Some(0) => Cell::from(short),
        Some(behind) => Cell::new(&format!("{short} ▲{behind}"), Tone::Bad),
        None if applied.is_some() => Cell::new(&format!("{short} ?"), Tone::Bad),
        None => Cell::from("-"),
    };
    let published = match published_at {
        Some(at) if *silent => Cell::new(&format!("{} !", age(now, *at)), Tone::Bad),
        Some(at) => Cell::from(age(now, *at)),
        None => Cell::from("-"),
    };
    let addresses: BTreeSet<&str> = ingress.values().flatten().map(String::as_str).collect();
    let mut shown: Vec<&str> = addresses.iter().copied().take(if wide { usize::MAX } else { 1 }).collect();
    let more = format!("+{}", addresses.len() - shown.len());
    if shown.is_empty() {
        shown.push("-");
    } else if more != "+0" {
        shown.push(&more);
    }
    let mut row = vec![name.into(), platform.into(), agent, applied, published, roots(mesh, now, wide), shown.join(" ").into()];
    if wide {
        row.push(objects.to_string().into());
    }
    row
}

/// What an agent does, where it is not the usual.
fn doing(mode: Mode) -> &'static str {
    match mode {
        Mode::Active => "",
        Mode::Suspended => " suspended",
        Mode::Observing => " observing",
        Mode::Leaving => " leaving",
        Mode::Left => " left",
    }
}

/// `7C:1E…A9 for 312d`, or `rotating 2/4 41:0B→9D:77`: how many peers trust the new root.
fn roots(mesh: &MeshView, now: Timestamp, wide: bool) -> Cell {
    let arrow = if wide { " → " } else { "→" };
    let begin =
        |fingerprint: &str| if wide { fingerprint.to_owned() } else { fingerprint.get(..5).unwrap_or(fingerprint).to_owned() };
    let short = |fingerprint: &str| match (fingerprint.get(..5), fingerprint.get(fingerprint.len().saturating_sub(2)..)) {
        (Some(head), Some(tail)) if !wide => format!("{head}…{tail}"),
        _ => fingerprint.to_owned(),
    };
    let RotationStatus { phase, from, to, reported, missing, .. } = &mesh.rotation;
    let step = || format!("{}/{} {}{arrow}{}", reported.len(), reported.len() + missing.len(), begin(from), begin(to));
    match phase {
        Phase::Steady => {}
        Phase::Announced | Phase::Overlap => return Cell::from(format!("rotating {}", step())),
        Phase::Ready => return Cell::from(format!("ready {}", step())),
        Phase::Exposed => return Cell::new(&format!("exposed {} !", step()), Tone::Bad),
    }
    let current = mesh.ca_roots.iter().find(|root| !root.retiring && !root.announced);
    let Some(current) = current else { return Cell::from("-") };
    let left = current.not_after.duration_since(now);
    let expires = if wide { "expires in" } else { "for" };
    let text = format!("{} {expires} {}", short(&current.fingerprint), span(left.as_secs()));
    if left < EXPIRES_SOON { Cell::new(&format!("{text} !"), Tone::Bad) } else { Cell::from(text) }
}

fn peering_rows(peering: &PeeringView, wide: bool) -> Vec<Vec<Cell>> {
    let PeeringView { meshes: [first, second], ready, suspended, why, services, .. } = peering;
    let both_ways = services.iter().any(|service| service.importer != *first);
    let ready = match (ready, suspended) {
        (_, true) => Cell::from("suspended"),
        (true, _) => Cell::new("yes", Tone::Good),
        (false, _) => Cell::new("no", Tone::Bad),
    };
    let mut head = vec![format!("{first} <-> {second}").into(), ready];
    let mut why = why.clone();
    if services.is_empty() {
        head.extend([Cell::from("-"), Cell::from("-"), why.into()]);
        return vec![head];
    }
    let rows = services.iter().map(|service| {
        let mut row = if head.is_empty() { vec![Cell::default(), Cell::default()] } else { std::mem::take(&mut head) };
        // A peering can be ready while a service has not got its weight back.
        let why = std::mem::take(&mut why);
        let why = if why.is_empty() { &service.why } else { &why };
        row.extend([crossing(service, both_ways, wide), weight(service, wide), why.into()]);
        row
    });
    rows.collect()
}

/// `details → details-v2`, with what is special about it.
fn crossing(service: &ServiceView, both_ways: bool, wide: bool) -> Cell {
    let name = |name: &str| if wide { name.to_owned() } else { name.rsplit('/').next().unwrap_or(name).to_owned() };
    let from = if both_ways { format!("{}: ", service.exporter) } else { String::new() };
    let text = format!("{from}{}", name(&service.service));
    match &service.imported_as {
        None => Cell::from(format!("{text} (not imported)")),
        Some(imported) if service.live => Cell::from(format!("{text} → {}", name(imported))),
        Some(imported) => Cell::new(&format!("{text} → {} (not live)", name(imported)), Tone::Bad),
    }
}

/// Most characters of a match that the narrow table shows: one header and its value.
const MAX_WHEN: usize = 30;

/// `20 → 0`, with the requests that it is about where that is not all.
fn weight(service: &ServiceView, wide: bool) -> Cell {
    let when = match service.when.char_indices().nth(MAX_WHEN) {
        _ if service.when.is_empty() => String::new(),
        Some((end, _)) if !wide => format!(" where {}…", &service.when[..end]),
        _ => format!(" where {}", service.when),
    };
    match (service.declared_weight, service.effective_weight) {
        (None, _) => Cell::from("-"),
        (Some(declared), None) => Cell::from(format!("{declared} → ?{when}")),
        (Some(declared), Some(effective)) if declared == effective => Cell::from(format!("{declared} → {effective}{when}")),
        (Some(declared), Some(effective)) => Cell::new(&format!("{declared} → {effective}{when}"), Tone::Bad),
    }
}

pub(super) fn age(now: Timestamp, then: Timestamp) -> String {
    span(now.duration_since(then).as_secs())
}

/// `40s`, `11m`, `31h`, `312d`, `10y`: one number, large enough to matter.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds @ 172_800..63_072_000 => format!("{}d", seconds / 86_400),
        seconds => format!("{}y", seconds / 31_557_600),
    }
}

#[cfg(test)]
pub(super) mod testing;

#[cfg(test)]
mod tests {
    use super::testing::{NOW, mk_peering, mk_status, time};
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_federation_fits_one_screen() {
        insta::assert_snapshot!(render(&mk_status(), time(NOW), false, Look { width: Some(100), colour: false }));
    }

    #[test]
    fn a_long_address_loses_its_middle_and_wide_has_it_whole() {
        let mut status = mk_status();
        let address = "a1b2c3d4e5f60718293a4b5c6d7e8f90-0123456789abcdef.elb.eu-central-1.amazonaws.com";
        status.meshes[0].ingress = BTreeMap::from([("peer".into(), vec![address.into()])]);
        let look = Look { width: Some(100), colour: false };
        let screen = render(&status, time(NOW), false, look);
        assert!(screen.lines().all(|line| line.chars().count() <= 100), "{screen}");
        assert!(screen.contains(" a1b") && screen.contains("aws.com"), "{screen}");
        assert!(render(&status, time(NOW), true, look).contains(address));
    }

    #[test]
    fn nothing_of_a_screen_is_wider_than_it() {
        let mut status = mk_status();
        let long = "payments-and-orders-prod-aws-eu-central-1-mesh";
        for (number, mesh) in status.meshes.iter_mut().enumerate() {
            mesh.name = format!("{long}-{number}");
        }
        for peering in &mut status.peerings {
            peering.meshes = [format!("{long}-0"), format!("{long}-1")];
        }
        status.attention = vec![format!("{long}-0: {}", "waits for something that is told at length ".repeat(5))];
        for width in [80, 100] {
            let screen = render(&status, time(NOW), false, Look { width: Some(width), colour: false });
            assert!(screen.lines().all(|line| line.chars().count() <= width), "{screen}");
        }
        assert!(
            render(&status, time(NOW), true, Look { width: Some(100), colour: false })
                .contains(&format!("{long}-0 <-> {long}-1"))
        );
    }

    #[test]
    fn agents_that_were_never_seen_are_told_together() {
        let mut status = mk_status();
        let one = status.meshes[0].clone();
        status.meshes = (0..60).map(|number| MeshView { name: format!("m{number}"), agent: None, ..one.clone() }).collect();
        status.attention = status.meshes.iter().map(|mesh| never_published(&mesh.name)).collect();
        let screen = render(&status, time(NOW), false, Look { width: Some(100), colour: false });
        let told: Vec<&str> = screen.lines().filter(|line| line.contains("never published")).collect();
        assert_eq!(told, ["! 60 agents never published (m0, m1 and 58 more): meshfed doctor --mesh MESH"]);
        assert_eq!(render(&status, time(NOW), true, Look::default()).matches("never published").count(), 60);
    }

    #[test]
    fn a_weight_that_is_not_back_yet_has_its_cause_beside_it() {
        let mut status = mk_status();
        let mut peering = mk_peering("aro-stg-mesh", "", 0);
        peering.services[0].why =
            "aro-stg-mesh is back since 2026-11-20T11:59:50Z, and gets its weight at 2026-11-20T12:00:20Z if it stays".into();
        status.peerings = vec![peering];
        let screen = render(&status, time(NOW), false, Look { width: Some(100), colour: false });
        let table: Vec<&str> =
            screen.lines().skip_while(|line| !line.starts_with("PEERING")).take_while(|line| !line.is_empty()).collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        PEERING                          READY  EXPORTED → IMPORTED   WEIGHT  WHY
        rosa-prod-mesh <-> aro-stg-mesh  yes    details → details-v2  20 → 0  aro-stg-mesh is back since
                                                                              2026-11-20T11:59:50Z, and gets
                                                                              its weight at
                                                                              2026-11-20T12:00:20Z if it
                                                                              stays
        ");
    }

    #[test]
    fn wide_shows_whole_names_and_every_line() {
        let mut status = mk_status();
        status.attention = (0..20).map(|i| format!("line {i}")).collect();
        let wide = render(&status, time(NOW), true, Look::default());
        for whole in ["bookinfo/details → prod-bookinfo/details-v2", "7C:1E:00:11", "34.91.0.7 34.91.0.8", "! line 19"] {
            assert!(wide.contains(whole), "{wide}");
        }
        assert!(render(&status, time(NOW), false, Look::default()).contains("… and 8 more"));
    }

    #[test]
    fn weights_of_a_match_say_which_requests() {
        let mut status = mk_status();
        let mut matched = status.peerings[0].services[0].clone();
        matched.when = "end-user = jason and x-group ~ (alpha|beta|gamma)".into();
        status.peerings[0].services.insert(0, matched);
        let narrow = render(&status, time(NOW), false, Look::default());
        assert!(narrow.contains("20 → 20 where end-user = jason and x-group ~…"), "{narrow}");
        assert!(narrow.lines().any(|line| line.trim_end().ends_with("20 → 20")), "{narrow}");
        assert!(render(&status, time(NOW), true, Look::default()).contains("x-group ~ (alpha|beta|gamma)"));
    }

    #[test]
    fn who_leads_is_told_and_that_nobody_does() {
        let leader = |holder: Option<&str>, current| LeaderView {
            lease: "meshfed/meshfed".into(),
            holder: holder.map(str::to_owned),
            current,
            since: Some(time("2026-11-20T09:00:00Z")),
            renewed: Some(time("2026-11-20T11:55:00Z")),
        };
        let line = |holder, current| {
            let leader = Some(leader(holder, current));
            let live = LiveView { mesh: "rosa".into(), cluster: "https://c".into(), differs: vec![], changes: vec![], leader };
            live_lines(&live, time(NOW), false, Look::default()).lines().nth(1).map(str::to_owned).unwrap()
        };
        assert_eq!(line(Some("meshfed-x_1"), true), "meshfed-x_1 has led for 3h");
        let silent = line(Some("meshfed-x_1"), false);
        assert_eq!(silent, "! nobody writes: meshfed-x_1 has not renewed the Lease meshfed/meshfed for 5m");
        assert_eq!(line(None, false), "! nobody writes: nobody holds the Lease meshfed/meshfed");
    }

    #[test]
    fn a_duration_is_one_number() {
        let spans = [-5, 40, 150, 111_600, 26_956_800, 315_360_000].map(span);
        assert_eq!(spans, ["0s", "40s", "2m", "31h", "312d", "9y"]);
    }
}
