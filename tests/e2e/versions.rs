//! Every major version of Postgres: what the other tests show on the machine's own server, here in short on each.

mod archive;
mod schemas;

use stack::postgres::{Major, Postgres};

use crate::archive_stack::texts;

#[tokio::test]
async fn every_version_that_can_be_had_is_there_and_is_what_it_is_called() {
    for major in Major::EVERY.into_iter().filter(|major| major.can_be_had()) {
        let server = Postgres::of(major).await.unwrap_or_else(|error| panic!("{error}"));
        let said = texts(server.url(), "SELECT current_setting('server_version_num')").await.remove(0);
        assert_eq!(said.parse::<u32>().unwrap() / 10_000, major.number());
    }
}
