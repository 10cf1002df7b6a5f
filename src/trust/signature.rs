//! OpenSSH signatures as Git has them in commits: `gpg.format = ssh`, OpenSSH's `PROTOCOL.sshsig` and `PROTOCOL.u2f`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ssh_key::{Algorithm, HashAlg, Signature, SshSig};

use super::refusal::{Rule, Violation};
use crate::model::PublicKey;

/// What a signature over a commit is made for (gitformat-signature(5)); the same key may sign other things for other names.
const NAMESPACE: &str = "git";

/// In the flags of a signature made by hardware: a person touched it (`PROTOCOL.u2f`).
const USER_PRESENT: u8 = 0x01;

/// Flags and counter that follow such a signature, in bytes.
const HARDWARE_TRAILER: usize = 5;

/// Checks an armoured signature over `payload` and gives the key that made it. Whether that key may sign is not asked here.
pub(super) fn verify(armour: &[u8], payload: &[u8]) -> Result<PublicKey, Violation> {
    let bad = |detail: &str| Violation::new(Rule::BadSignature, detail);
    let blob = dearmour(armour).ok_or_else(|| bad("its signature is not an OpenSSH signature (gpg.format = ssh)"))?;
    let parts = Parts::of(&blob).ok_or_else(|| bad("its signature is not whole"))?;
    if parts.namespace != NAMESPACE.as_bytes() {
        let found = String::from_utf8_lossy(&parts.namespace[..parts.namespace.len().min(40)]);
        let detail = format!("its signature was made for `{}`, not for `{NAMESPACE}`", found.escape_debug());
        return Err(Violation::new(Rule::WrongNamespace, detail));
    }
    let hash = match parts.hash {
        b"sha256" => HashAlg::Sha256,
        b"sha512" => HashAlg::Sha512,
        _ => return Err(bad("its signature names a hash other than sha256 and sha512")),
    };
    let key = ssh_key::PublicKey::from_bytes(parts.key).ok();
    let key = key.filter(|key| key.to_bytes().is_ok_and(|bytes| bytes == parts.key)); // else OpenSSH may read another one
    let key = key.ok_or_else(|| bad("its signature names a key that cannot be read"))?;
    let taken = PublicKey::new(key.key_data().clone()).map_err(|detail| Violation::new(Rule::WeakKey, detail))?;
    let signature = Signature::try_from(parts.signature).map_err(|_| bad("its signature cannot be read"))?;
    let same_kind = match (key.algorithm(), signature.algorithm()) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { hash }) => hash.is_some(), // without: SHA-1
        (key, signature) => key == signature,
    };
    if !same_kind {
        return Err(bad("its signature is of another kind than the key"));
    }
    if parts.hardware && signature.as_bytes().iter().rev().nth(HARDWARE_TRAILER - 1).is_none_or(|flags| flags & USER_PRESENT == 0)
    {
        // As sshd does unless told otherwise. `ssh-keygen -Y verify` does not ask for it.
        return Err(bad("its signature was made by hardware that nobody touched"));
    }
    let signature =
        SshSig::new(key.key_data().clone(), NAMESPACE, hash, signature).map_err(|_| bad("its signature cannot be read"))?;
    key.verify(NAMESPACE, payload, &signature).map_err(|_| bad("its signature does not fit its content"))?;
    Ok(taken)
}

/// The bytes between the two lines of armour, whatever the width of its lines.
fn dearmour(armour: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(armour).ok()?.trim_end();
    let body = text.strip_prefix("-----BEGIN SSH SIGNATURE-----\n")?.strip_suffix("\n-----END SSH SIGNATURE-----")?;
    BASE64_STANDARD.decode(body.replace('\n', "")).ok()
}

/// The fields of a signature (`PROTOCOL.sshsig`, "Blob format"). The reserved one is empty: OpenSSH reads it as if it were.
struct Parts<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    hash: &'a [u8],
    signature: &'a [u8],
    hardware: bool,
}

impl<'a> Parts<'a> {
    /// Takes them apart without a byte left over at any level, which the library does not ask for.
    fn of(blob: &'a [u8]) -> Option<Self> {
        let mut rest = blob.strip_prefix(b"SSHSIG\x00\x00\x00\x01")?;
        let [key, namespace, reserved, hash, signature] = [(); 5].map(|()| field(&mut rest));
        let mut inside = signature?;
        let [kind, _number] = [(); 2].map(|()| field(&mut inside));
        let hardware = kind?.starts_with(b"sk-");
        let whole = rest.is_empty() && reserved?.is_empty() && inside.len() == if hardware { HARDWARE_TRAILER } else { 0 };
        whole.then_some(Self { key: key?, namespace: namespace?, hash: hash?, signature: signature?, hardware })
    }
}

/// A length of four bytes and as many bytes (RFC 4251, section 5).
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (field, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = after;
    Some(field)
}
