//! A server that means harm: what it sends ends in an error within the limits, and what was fetched before serves on.

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::repo::testing::{Lab, git};
use crate::repo::{Mirror, Options, RepoError};

/// Small enough to be reached soon, large enough for an honest fetch.
const MAX_FETCH: usize = 1 << 20;

/// As above.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3);

/// Answers each request, by method and target, for as long as it likes.
fn serve(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || -> std::io::Result<()> {
                // A client that hangs up ends it.
                loop {
                    match read(&stream)?.as_str() {
                        "" => return Ok(()),
                        line => answer(line, &mut stream)?,
                    }
                }
            });
        }
    });
    format!("http://{address}/fed.git")
}

/// Reads a request and gives its first line. What is asked for does not matter here.
fn read(stream: &TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(_) => {}
            None => break, // the empty line
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    Ok(first)
}

fn packet(content: &[u8]) -> Vec<u8> {
    [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
}

/// The body of an answer: what is written at once is one chunk of it.
struct Body<'a>(&'a mut TcpStream);

impl Body<'_> {
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }
}

fn head<'a>(stream: &'a mut TcpStream, kind: &str) -> std::io::Result<Body<'a>> {
    let kind = format!("Content-Type: application/x-git-upload-pack-{kind}");
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{kind}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes())?;
    Ok(Body(stream))
}

/// Says that `main` is at a commit that nobody has.
fn advertise(stream: &mut TcpStream, id: &str) -> std::io::Result<()> {
    let mut body = head(stream, "advertisement")?;
    body.send(&packet(b"# service=git-upload-pack\n"))?;
    body.send(b"0000")?;
    body.send(&packet(format!("{id} HEAD\0side-band-64k ofs-delta\n").as_bytes()))?;
    body.send(&packet(format!("{id} refs/heads/main\n").as_bytes()))?;
    body.send(b"0000")?;
    body.send(b"")
}

const NEWS: &str = "1234567890123456789012345678901234567890";

/// A server that advertises news and sends this as the pack, piece by piece, until it gives none.
fn sending(piece: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> String {
    serve(move |line, stream| {
        if line.starts_with("GET") {
            return advertise(stream, NEWS);
        }
        let mut body = head(stream, "result")?;
        body.send(&packet(b"NAK\n"))?;
        for piece in (0..).map_while(&piece) {
            body.send(&packet(&[b"\x01", piece.as_slice()].concat()))?;
        }
        body.send(b"0000")?;
        body.send(b"")
    })
}

/// The beginning of a pack of one object, which inflates to as many bytes (gitformat-pack).
fn pack_of(size: u64) -> Vec<u8> {
    let mut pack = b"PACK\x00\x00\x00\x02\x00\x00\x00\x01".to_vec();
    let (mut byte, mut rest) = (0x30 | u8::try_from(size & 15).unwrap(), size >> 4); // a blob
    while rest > 0 {
        pack.push(byte | 0x80);
        (byte, rest) = (u8::try_from(rest & 127).unwrap(), rest >> 7);
    }
    pack.push(byte);
    pack.extend(b"\x78\x01"); // zlib, stored blocks follow
    pack
}

/// A mirror that has fetched an honest repository, and then meets this server under the repository's name.
fn meet(lab: &Lab, url: &str) -> (Mirror, RepoError, Duration) {
    let honest = lab.options(&lab.file_url());
    Mirror::open(&honest).unwrap().fetch().unwrap();
    // The mirror of an address belongs to that address.
    let config = lab.temp.path().join("state/mirror.git/config");
    git(lab.temp.path(), &["config", "--file", config.to_str().unwrap(), "meshfed.origin", url]);
    let mut mirror = Mirror::open(&limited(lab, url)).unwrap();
    let started = Instant::now();
    let error = mirror.fetch().unwrap_err();
    (mirror, error, started.elapsed())
}

fn limited(lab: &Lab, url: &str) -> Options {
    Options { max_fetch: MAX_FETCH, transfer_timeout: TRANSFER_TIMEOUT, ..lab.options(url) }
}

fn held(lab: &Lab, url: &str, words: &[&str]) {
    let (mut mirror, error, took) = meet(lab, url);
    let message = error.to_string();
    assert!(words.iter().any(|word| message.contains(word)), "{message}");
    assert!(!message.contains('\n') && message.len() < 2000, "{message}");
    assert!(took < TRANSFER_TIMEOUT + Duration::from_secs(10), "{took:?}: {message}");
    let tip = lab.tip("main");
    assert_eq!(mirror.main().unwrap(), tip, "{message}");
    let snapshot = mirror.snapshot(tip, &|_| true).unwrap();
    assert_eq!(mirror.read(snapshot.entries["federation.yaml"]).unwrap(), b"name: f\n");
    let size = Command::new("du").args(["-sk", lab.temp.path().join("state").to_str().unwrap()]).output().unwrap().stdout;
    let kib: usize = String::from_utf8_lossy(&size).split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 4 * (MAX_FETCH >> 10), "{kib} KiB are left on the disk");
    // And again: nothing that it left behind gets in the way.
    assert!(mirror.fetch().is_err());
    assert_eq!(mirror.main().unwrap(), tip);
}

#[test]
fn t16_a_corrupt_pack_is_an_error_and_the_old_state_serves() {
    let corrupt: [(&str, Vec<u8>); 6] = [
        ("nothing", Vec::new()),
        ("no pack", b"this is no pack at all".to_vec()),
        ("another version", b"PACK\x00\x00\x00\x09\x00\x00\x00\x01".to_vec()),
        ("more objects than there are", b"PACK\x00\x00\x00\x02\xff\xff\xff\xff".to_vec()),
        ("not zlib", [b"PACK\x00\x00\x00\x02\x00\x00\x00\x01\x35".as_slice(), &[0xaa; 64]].concat()),
        ("cut", [pack_of(100), b"\x00\x10\x00\xef\xffabc".to_vec()].concat()),
    ];
    for (name, pack) in corrupt {
        let lab = Lab::new();
        let url = sending(move |number| (number == 0).then(|| pack.clone()));
        println!("{name}");
        held(&lab, &url, &["cannot be reached", "not trusted", "damaged", "pack", "fetch"]);
    }
}

#[test]
fn t16_an_honest_pack_with_bits_flipped_is_an_error() {
    let lab = Lab::new();
    let pack = lab.temp.path().join("honest.pack");
    let make = format!("git rev-list --objects --all | git pack-objects --stdout > {}", pack.display());
    assert!(Command::new("sh").args(["-c", &make]).current_dir(&lab.person).status().unwrap().success());
    let honest = std::fs::read(&pack).unwrap();
    for place in [5, 11, 13, honest.len() / 2, honest.len() - 21, honest.len() - 1] {
        let mut flipped = honest.clone();
        flipped[place] ^= 0x10;
        held(
            &Lab::new(),
            &sending(move |number| (number == 0).then(|| flipped.clone())),
            &["cannot be reached", "pack", "fetch"],
        );
    }
}

#[test]
fn t16_an_endless_pack_ends_at_the_limit() {
    let block = |_| [b"\x00\x00\xf0\xff\x0f".as_slice(), &vec![7; 0xf000]].concat();
    let url = sending(move |number| Some(if number == 0 { pack_of(1 << 40) } else { block(number) }));
    held(&Lab::new(), &url, &["more than 1 MiB, the limit"]);
}

#[test]
fn t16_a_byte_a_second_ends_at_the_limit() {
    let trickle = |mut body: Body| -> std::io::Result<()> {
        loop {
            body.send(b"0")?;
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    let slow_news = serve(move |_, stream| trickle(head(stream, "advertisement")?));
    let slow_pack = serve(move |line, stream| {
        if line.starts_with("GET") {
            return advertise(stream, NEWS);
        }
        let mut body = head(stream, "result")?;
        body.send(b"0008NAK\nfff0\x01PACK")?;
        trickle(body)
    });
    for url in [slow_news, slow_pack] {
        held(&Lab::new(), &url, &["the transfer took more than 3 s"]);
    }
}

#[test]
fn t16_branches_without_end_end_at_the_limit() {
    let url = serve(|_, stream| {
        let mut body = head(stream, "advertisement")?;
        body.send(&packet(b"# service=git-upload-pack\n"))?;
        body.send(b"0000")?;
        for number in 0.. {
            body.send(&packet(format!("{NEWS} refs/heads/b{number}\n").as_bytes()))?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    held(&Lab::new(), &url, &["the transfer took more than 3 s"]);
}

#[test]
fn t16_an_ssh_server_that_is_silent_or_slow_is_given_up() {
    let listen = |speak: fn(TcpStream)| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ssh://{}/fed.git", listener.local_addr().unwrap());
        std::thread::spawn(move || listener.incoming().flatten().for_each(speak));
        url
    };
    let silent = listen(std::mem::forget);
    let slow = listen(|mut stream| {
        while stream.write_all(b"S").is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let endless = listen(|mut stream| while stream.write_all(b"before the banner may come any text\r\n").is_ok() {});
    for url in [silent, slow, endless] {
        let lab = Lab::new();
        let started = Instant::now();
        let mut mirror = Mirror::open(&limited(&lab, &url)).unwrap();
        let error = mirror.fetch().unwrap_err();
        assert!(matches!(error, RepoError::Unreachable { .. }), "{error}");
        assert!(started.elapsed() < TRANSFER_TIMEOUT + Duration::from_secs(10), "{url}: {error}");
        // The conversation has ended, not only our patience.
        while mirror.fetch().unwrap_err().to_string().contains("still holds an earlier conversation") {
            assert!(started.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
