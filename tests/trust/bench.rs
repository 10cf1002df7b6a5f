//! How fast a history of `main` is verified: `cargo bench --bench history`. Prints a table and writes `target/bench-history.json`.

#[path = "../bench/results.rs"]
mod results;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use git2::{ObjectType, Oid};
use meshfed::repo::{Mirror, Options};
use meshfed::trust::{Id, Verifier};
use results::{Goal, Results, median};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};

/// Meshes in the repository, each with a few files.
const MESHES: usize = 100;

const POLICY: &str = "apiVersion: meshfed.dev/v1alpha1
kind: TrustPolicy
spec:
  roles: {root: [root]}
  rules:
  - {paths: ['trust/**', federation.yaml], allow: [root]}
  - {paths: ['meshes/{mesh}/**'], allow: [root, '{mesh}']}
";

/// Commits verified from the first on, and how long that may take in seconds.
const COLD: (usize, f64) = (10_000, 5.0);

/// Commits under a new one, and how long that one may take in milliseconds.
const LONG: (usize, f64) = (100_000, 10.0);

/// Measurements of what is too short for one.
const TIMES: usize = 11;

fn main() {
    let mut results = Results::default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    results.add("load", load, "", Goal::None, "processes that wanted a processor in the minute before");

    let cold = History::new(COLD.0, COLD.0);
    let took = cold.verify(cold.anchor);
    results.add("cold_10000_s", took, "s", Goal::Below(COLD.1), "10,000 signed commits, nothing known of them");
    let rate = f64::from(u32::try_from(COLD.0).expect("few")) / took;
    results.add("commits_per_s", rate, "/s", Goal::Above(2_000.0), "the same as a rate");

    let long = History::new(LONG.0, 1);
    let took = median((0..TIMES).map(|_| long.verify(long.before_signed) * 1e3).collect());
    results.add("one_new_in_100000_ms", took, "ms", Goal::Below(LONG.1), "one new commit after 100,000 verified ones");

    let mut verifier = Verifier::new();
    let mut ask = || verifier.main(&long.mirror, long.before_signed, long.tip).expect("readable");
    let first = ask();
    let again = |_| {
        let start = Instant::now();
        assert_eq!(ask(), first);
        start.elapsed().as_secs_f64() * 1e6
    };
    let took = median((0..TIMES).map(again).collect());
    results.add("nothing_new_us", took, "µs", Goal::Below(10.0), "the same asked again: a poll that finds nothing");

    results.print();
    println!("\n{}", results.write("bench-history.json").display());
}

struct History {
    _temp: tempfile::TempDir,
    mirror: Mirror,
    anchor: Id,
    before_signed: Id,
    tip: Id,
}

impl History {
    /// One anchor and `commits` on top, the last `signed` of them with signatures.
    fn new(commits: usize, signed: usize) -> Self {
        let temp = tempfile::tempdir().expect("there is room");
        let path = temp.path().join("shared.git");
        git(temp.path(), &["init", "--quiet", "--bare", "-b", "main", "shared.git"]);
        let key = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[1; 32])), "").expect("a key");
        let anchor = import(&path, &key, commits - signed);
        let (before_signed, tip) = sign_on_top(&path, &key, signed);
        git(&path, &["repack", "-adq"]);
        let options = Options::new(format!("file://{}", path.display()), temp.path().join("state"));
        let mut mirror = Mirror::open(&options).expect("a mirror");
        mirror.fetch().expect("fetched");
        Self { _temp: temp, mirror, anchor, before_signed, tip }
    }

    /// Seconds that a verifier takes which knows nothing but the last verified commit.
    fn verify(&self, verified: Id) -> f64 {
        let start = Instant::now();
        let verdict = Verifier::new().main(&self.mirror, verified, self.tip).expect("readable");
        let took = start.elapsed();
        assert_eq!((verdict.verified, verdict.refusal), (Some(self.tip), None));
        took.as_secs_f64()
    }
}

/// The anchor and unsigned commits, by fast-import.
fn import(path: &Path, key: &PrivateKey, unsigned: usize) -> Id {
    let stream = path.join("stream");
    let mut out = BufWriter::new(File::create(&stream).expect("a file"));
    let mut commit = |number: usize, files: &[(String, String)]| {
        writeln!(out, "commit refs/heads/main\ncommitter A <a@example.com> {} +0000\ndata 2\nc\n", 1_700_000_000 + number)
            .expect("written");
        for (path, content) in files {
            writeln!(out, "M 100644 inline {path}\ndata {}\n{content}", content.len()).expect("written");
        }
    };
    let signers = format!("root {}\n", key.public_key().to_openssh().expect("a key"));
    let mut files = vec![("trust/allowed_signers".to_owned(), signers), ("trust/policy.yaml".to_owned(), POLICY.to_owned())];
    for mesh in 0..MESHES {
        files.extend(
            (0..5).map(|peer| (format!("meshes/mesh-{mesh}/peers/p{peer}.yaml"), format!("mesh: {mesh}\npeer: {peer}\n"))),
        );
    }
    commit(0, &files);
    for number in 1..=unsigned {
        commit(number, &[(format!("meshes/mesh-{}/peers/p0.yaml", number % MESHES), format!("n: {number}\n"))]);
    }
    out.flush().expect("written");
    drop(out);
    let mut import = Command::new("git");
    let stdin = File::open(&stream).expect("the stream");
    let done = import.arg("-C").arg(path).args(["fast-import", "--quiet"]).stdin(Stdio::from(stdin)).status();
    assert!(done.expect("git runs").success());
    git(path, &["rev-list", "--max-parents=0", "main"]).parse().expect("a commit")
}

/// Signed commits on the tip, each with one file changed; gives the commit before the first and the last one.
fn sign_on_top(path: &Path, key: &PrivateKey, signed: usize) -> (Id, Id) {
    let repo = git2::Repository::open_bare(path).expect("a repository");
    let odb = repo.odb().expect("its objects");
    // In memory, and then as one pack: files of their own for all of them take minutes.
    let memory = odb.add_new_mempack_backend(1000).expect("memory");
    let before = repo.refname_to_id("refs/heads/main").expect("main");
    let (mut tip, mut tree) = (before, repo.find_commit(before).expect("a commit").tree_id());
    for number in 0..signed {
        tree = with_file(&repo, tree, &format!("meshes/mesh-{}/peers/p1.yaml", number % MESHES), &format!("n: {number}\n"));
        let who = format!("Root <root@example.com> {} +0000", 1_800_000_000 + number);
        let head = format!("tree {tree}\nparent {tip}\nauthor {who}\ncommitter {who}\n");
        let message = "\nChange a peer\n";
        let signature = key.sign("git", HashAlg::Sha512, format!("{head}{message}").as_bytes()).expect("signed");
        let armour = signature.to_pem(LineEnding::LF).expect("armoured");
        let raw = format!("{head}gpgsig {}\n{message}", armour.trim_end().replace('\n', "\n "));
        tip = odb.write(ObjectType::Commit, raw.as_bytes()).expect("written");
    }
    let mut pack = git2::Buf::new();
    memory.dump(&repo, &mut pack).expect("packed");
    let file = path.join("pack");
    std::fs::write(&file, &*pack).expect("written");
    let mut index = Command::new("git");
    index.arg("-C").arg(path).args(["index-pack", "--stdin"]).stdout(Stdio::null());
    assert!(index.stdin(File::open(&file).expect("the pack")).status().expect("git runs").success());
    repo.reference("refs/heads/main", tip, true, "bench").expect("moved");
    let id = |oid: Oid| oid.to_string().parse().expect("an id");
    (id(before), id(tip))
}

fn with_file(repo: &git2::Repository, tree: Oid, path: &str, content: &str) -> Oid {
    let old = repo.find_tree(tree).expect("a tree");
    let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let mut builder = repo.treebuilder(Some(&old)).expect("a builder");
    let (id, mode) = match rest {
        None => (repo.blob(content.as_bytes()).expect("written"), 0o100_644),
        Some(rest) => (with_file(repo, old.get_name(name).expect("the folder").id(), rest, content), 0o040_000),
    };
    builder.insert(name, id, mode).expect("inserted");
    builder.write().expect("written")
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").current_dir(folder).args(arguments).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
