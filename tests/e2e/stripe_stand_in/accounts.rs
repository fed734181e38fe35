//! Connected accounts: separate data, events that name them.

use super::api::{Api, id, ids};
use super::receiver::Receiver;

#[tokio::test]
async fn connected_accounts_have_their_own_data() {
    let api = Api::start().await;
    let header = [("Stripe-Account", "acct_shop1")];
    let unknown = api.send("GET", "/v1/customers", "", &header).await;
    assert_eq!((unknown.status, unknown.error().1), (403, "account_invalid"));

    let shop = api.stripe.account("acct_shop1");
    let platform_hook = Receiver::start().await;
    let connect_hook = Receiver::start().await;
    api.stripe.add_endpoint(&platform_hook.url, "whsec_platform", &["*"]);
    api.stripe.add_connect_endpoint(&connect_hook.url, "whsec_connect", &["*"]);

    let own = api.make("/v1/customers", "name=Own").await;
    let theirs = api.send("POST", "/v1/customers", "name=Theirs", &header).await.json;
    assert_eq!(ids(&api.read("/v1/customers", "").await), [id(&own)]);
    assert_eq!(api.send("GET", "/v1/customers", "", &header).await.ids(), [id(&theirs)]);
    assert_eq!(api.get(&format!("/v1/customers/{}", id(&theirs)), "").await.status, 404);

    api.stripe.settle(std::time::Duration::from_secs(5)).await.expect("receivers answer 200");
    let (platform, connect) = (platform_hook.deliveries(), connect_hook.deliveries());
    assert_eq!((platform.len(), connect.len()), (1, 1));
    assert!(platform[0].event().get("account").is_none());
    assert_eq!(connect[0].event()["account"], "acct_shop1");
    assert_eq!(shop.events()[0]["account"], "acct_shop1");
    let listed = api.send("GET", "/v1/events", "", &header).await;
    assert_eq!(listed.ids(), [id(&connect[0].event())]);

    assert_eq!(api.read("/v1/account", "").await["id"], api.stripe.account_id());
    assert_eq!(api.send("GET", "/v1/account", "", &header).await.json["id"], "acct_shop1");
    assert_eq!(api.read("/v1/accounts/acct_shop1", "").await["object"], "account");
    assert_eq!(api.get("/v1/accounts/acct_x", "").await.status, 404);
}

#[tokio::test]
async fn an_account_is_restricted_until_it_is_verified_and_tells_so_itself() {
    let api = Api::start().await;
    let connect_hook = Receiver::start().await;
    api.stripe.add_connect_endpoint(&connect_hook.url, "whsec_connect", &["account.updated"]);
    let account = api.make("/v1/accounts", "type=custom&country=DE&metadata[tier]=silver").await;
    assert_eq!((&account["charges_enabled"], &account["country"]), (&false.into(), &"DE".into()));
    let path = format!("/v1/accounts/{}", id(&account));
    api.make(&path, "metadata[tier]=gold").await;
    api.make(&format!("/v1/test_helpers/accounts/{}/verify", id(&account)), "").await;
    assert_eq!(api.read(&path, "").await["requirements"]["currently_due"], serde_json::json!([]));
    api.make(&format!("/v1/test_helpers/accounts/{}/restrict", id(&account)), "").await;

    api.stripe.settle(std::time::Duration::from_secs(5)).await.expect("the receiver answers 200");
    let told = connect_hook.deliveries();
    let previous: Vec<_> =
        told.iter().map(|one| one.event()["data"]["previous_attributes"].clone()).collect();
    assert_eq!(previous.len(), 3);
    assert_eq!(previous[0], serde_json::json!({ "metadata": { "tier": "silver" } }));
    assert_eq!(previous[1]["charges_enabled"], false);
    assert_eq!(previous[2]["payouts_enabled"], true);
    assert!(told.iter().all(|one| one.event()["account"] == account["id"]));

    let second = api.make("/v1/accounts", "").await;
    assert_eq!(ids(&api.read("/v1/accounts", "").await), [id(&second), id(&account)]);
    assert_eq!(ids(&api.read("/v1/accounts", "limit=1&ending_before=").await), [id(&second)]);
    let own = api.send("GET", "/v1/account", "", &[("Stripe-Account", &id(&account))]).await;
    assert_eq!(own.json["metadata"]["tier"], "gold");
}
