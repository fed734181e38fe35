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
