//! JSON documents that end in the SHA-256 of their own bytes, so that any changed byte is found.

use serde::Serialize;
use sha2::{Digest, Sha256};

const HASH_FIELD: &str = "\"content_sha256\": \"";
const HASH_DIGITS: usize = 64;
const ENDING: &str = "\"\n}\n";

/// What stands in `content_sha256` while the checksum is computed.
pub fn zeros() -> String {
    "0".repeat(HASH_DIGITS)
}

/// The bytes of a document whose last field is `content_sha256`, with [`zeros`] in it, and that field filled in.
pub fn to_bytes(zeroed: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(zeroed).expect("a manifest has only JSON's types");
    bytes.push(b'\n');
    let digest = hex::encode(Sha256::digest(&bytes));
    let at = bytes.len() - ENDING.len() - HASH_DIGITS;
    bytes[at..at + HASH_DIGITS].copy_from_slice(digest.as_bytes());
    bytes
}

/// The checksum that a document's bytes end in.
pub fn content_sha256(bytes: &[u8]) -> Option<&str> {
    let end = bytes.len().checked_sub(ENDING.len())?;
    std::str::from_utf8(&bytes[end.checked_sub(HASH_DIGITS)?..end]).ok()
}

/// Proves that no byte of a document was changed.
///
/// # Errors
/// What is wrong with it.
pub fn prove_whole(bytes: &[u8]) -> Result<(), &'static str> {
    let tail = HASH_FIELD.len() + HASH_DIGITS + ENDING.len();
    let Some(at) = bytes.len().checked_sub(tail) else { return Err("it is cut short") };
    let ends_well = bytes[at..].starts_with(HASH_FIELD.as_bytes()) && bytes.ends_with(ENDING.as_bytes());
    if !ends_well {
        return Err("it does not end in its content_sha256");
    }
    let digits = at + HASH_FIELD.len();
    let mut hasher = Sha256::new();
    hasher.update(&bytes[..digits]);
    hasher.update([b'0'; HASH_DIGITS]);
    hasher.update(ENDING.as_bytes());
    if hex::encode(hasher.finalize()).as_bytes() == &bytes[digits..digits + HASH_DIGITS] {
        Ok(())
    } else {
        Err("its bytes do not match its content_sha256")
    }
}
