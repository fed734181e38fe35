//! The migrations are compiled in; a new file among them has to be seen.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
