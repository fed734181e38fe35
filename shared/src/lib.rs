//! What the functions share.
