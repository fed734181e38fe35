//! A password as Postgres keeps it: a verifier from which it can't be told. It is worked out here, so that the password
//! itself never stands in a statement, nor in a server's log (RFC 5802; PostgreSQL documentation, "pg_authid").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// As often as Postgres does it.
const ITERATIONS: u32 = 4096;

/// The verifier of a password under a new salt. The password is ASCII, for which RFC 4013's preparation does nothing.
pub fn verifier(password: &str) -> String {
    verifier_with(password, &rand::random::<[u8; 16]>(), ITERATIONS)
}

fn verifier_with(password: &str, salt: &[u8], iterations: u32) -> String {
    let salted = salted(password, salt, iterations);
    let stored = Sha256::digest(mac(&salted, b"Client Key"));
    let server = mac(&salted, b"Server Key");
    let [salt, stored, server] = [salt, stored.as_slice(), &server].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}")
}

/// RFC 5802's `Hi`: PBKDF2 for one block.
fn salted(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut block = mac(password.as_bytes(), &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = block;
    for _ in 1..iterations {
        block = mac(password.as_bytes(), &block);
        for (sum, byte) in sum.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    sum
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: what this verifier must accept, and answer.
    #[test]
    fn it_is_the_verifier_of_the_rfcs_example() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = verifier_with("pencil", &salt, 4096);
        let (head, keys) = verifier.rsplit_once('$').expect("keys");
        assert_eq!(head, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==");
        let (stored, server) = keys.split_once(':').expect("two keys");
        let [stored, server] = [stored, server].map(|key| STANDARD.decode(key).expect("base64"));
        let said = b"n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        assert_eq!(STANDARD.encode(mac(&server, said)), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").expect("base64");
        let client: Vec<u8> =
            proof.iter().zip(mac(&stored, said)).map(|(proof, sign)| proof ^ sign).collect();
        assert_eq!(Sha256::digest(client).as_slice(), stored);
    }

    #[test]
    fn each_has_a_salt_of_its_own() {
        assert_ne!(verifier("a"), verifier("a"));
    }
}
