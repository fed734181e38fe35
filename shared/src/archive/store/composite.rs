//! What S3 keeps of an object that went up in pieces (Amazon S3 User Guide, "Checking object integrity", checksum type
//! `COMPOSITE`): the SHA-256 of its pieces' SHA-256s, and their number.
//!
//! Whoever sent the pieces can work it out without the store, and whoever has it can ask the store whether the object
//! is still the one that was sent. It speaks for the bytes only as long as nobody stores them again in other pieces.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The SHA-256 of the SHA-256s of an object's pieces, written as S3 does: `<base64>-<pieces>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CompositeSha256 {
    digest: [u8; 32],
    pieces: u32,
}

impl CompositeSha256 {
    /// Of pieces with these digests, in their order.
    pub fn of(digests: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let (mut hasher, mut pieces) = (Sha256::new(), 0);
        for digest in digests {
            hasher.update(digest);
            pieces += 1;
        }
        Self { digest: hasher.finalize().into(), pieces }
    }
}

impl fmt::Display for CompositeSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", BASE64.encode(self.digest), self.pieces)
    }
}

/// A text that is no composite checksum.
#[derive(Debug, thiserror::Error)]
#[error("a composite SHA-256 is written <base64>-<pieces>")]
pub struct NotComposite;

impl FromStr for CompositeSha256 {
    type Err = NotComposite;

    fn from_str(text: &str) -> Result<Self, NotComposite> {
        let (digest, pieces) = text.rsplit_once('-').ok_or(NotComposite)?;
        let digest = BASE64.decode(digest).ok().and_then(|digest| digest.try_into().ok());
        let pieces = pieces.parse().ok().filter(|pieces| *pieces > 0);
        Ok(Self { digest: digest.ok_or(NotComposite)?, pieces: pieces.ok_or(NotComposite)? })
    }
}

impl TryFrom<String> for CompositeSha256 {
    type Error = NotComposite;

    fn try_from(text: String) -> Result<Self, NotComposite> {
        text.parse()
    }
}

impl From<CompositeSha256> for String {
    fn from(composite: CompositeSha256) -> Self {
        composite.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_digest_of_the_pieces_digests_and_their_number() {
        let pieces: [[u8; 32]; 2] = [Sha256::digest(b"one").into(), Sha256::digest(b"two").into()];
        let composite = CompositeSha256::of(pieces);
        let expected = BASE64.encode(Sha256::digest(pieces.concat()));
        assert_eq!(composite.to_string(), format!("{expected}-2"));
        assert_eq!(composite.to_string().parse::<CompositeSha256>().expect("its own text"), composite);
        assert_ne!(composite, CompositeSha256::of([pieces[1], pieces[0]]));
        for text in [&*expected, &format!("{expected}-"), &format!("{expected}-0"), "AAAA-2", "-2", ""] {
            assert!(text.parse::<CompositeSha256>().is_err(), "{text}");
        }
    }
}
