//! Identifiers that look like Stripe's: a prefix that says the type, then random letters and digits.

use std::sync::Arc;

use rand::SeedableRng;
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::StdRng;

/// Makes identifiers. The same seed gives the same sequence.
pub struct Ids {
    random: StdRng,
}

impl Ids {
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed) }
    }

    /// `prefix` and `length` random letters and digits, e.g. `("cus_", 14)`.
    pub fn make(&mut self, prefix: &str, length: usize) -> Arc<str> {
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        Alphanumeric.append_string(&mut self.random, &mut id, length);
        id.into()
    }

    /// A version 4 UUID, the form of the idempotency keys that Stripe's own pages send.
    pub fn uuid(&mut self) -> Arc<str> {
        let bits: u128 = rand::Rng::random(&mut self.random);
        let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into()
    }
}
