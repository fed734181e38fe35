//! The key for Stripe's API. Stripe has no call that makes one: the operator makes it in the dashboard and puts it into
//! the secret as pending. Here it is proven, before anyone uses it, and made current.

use recoup::failure::Failure;
use recoup::secrets::{stripe_api_key as read_api_key, stripe_api_key_in};
use recoup::stripe::{ApiKey, Asked, Client, StripeError};
use secrecy::SecretString;
use serde::Deserialize;

use crate::Rotate;
use crate::kind::Kind;
use crate::steps::Turn;
use crate::stripe_webhook::endpoints;
use crate::value::Fields;

/// The field of the current value that may hold the new key.
const PENDING_FIELD: &str = "pending_api_key";

/// What recoup reads at Stripe, a path for each right that a restricted key may lack.
const READ: [&str; 12] = [
    "/v1/events",
    "/v1/checkout/sessions",
    "/v1/payment_intents",
    "/v1/charges",
    "/v1/refunds",
    "/v1/disputes",
    "/v1/subscriptions",
    "/v1/invoices",
    "/v1/payouts",
    "/v1/balance_transactions",
    "/v1/prices",
    "/v1/webhook_endpoints",
];

/// An endpoint that nobody has. Whoever may write endpoints hears that it does not exist, everybody else that they may
/// not: so the right is proven and nothing is changed.
const NO_ENDPOINT: &str = "/v1/webhook_endpoints/we_recoup_asks_for_its_rights";

impl Rotate {
    /// The key that the operator has put there: as the pending version, or beside the current key.
    pub(crate) fn pending_key(&self, turn: &Turn, other: Option<SecretString>) -> Result<Fields, Failure> {
        if let Some(value) = other {
            return Fields::read(&turn.id, &value);
        }
        let Some(key) = turn.current.text(PENDING_FIELD).filter(|key| !key.is_empty()) else {
            return Err(Failure::new(
                "StripeKeyNotPending",
                format!(
                    "{}: there is no new key to promote, and only you can make one: in Stripe's dashboard, with the rights that \
                     README names; then aws secretsmanager put-secret-value --version-stages AWSPENDING with \
                     {{\"api_key\":\"…\"}}, and {{\"action\":\"rotate\",\"secret\":\"stripe_api_key\"}}. The current key stays",
                    turn.what()
                ),
            ));
        };
        let mut fields = turn.current.clone();
        fields.set("api_key", key);
        fields.remove(PENDING_FIELD);
        Ok(fields)
    }

    /// Refuses what would change nothing. Stripe knows the key already: there is nothing to set.
    pub(crate) fn check_new_key(&self, turn: &Turn, pending: &Fields) -> Result<(), Failure> {
        if turn.current.text("api_key") != pending.text("api_key") {
            return Ok(());
        }
        Err(Failure::new(
            "StripeKeyUnchanged",
            format!("{}: the pending key is the one that is current; put a new one there", turn.what()),
        ))
    }

    /// Proves the new key: its mode, its rights, and that it is of the same account.
    pub(crate) async fn test_key(
        &self,
        turn: &Turn,
        pending: &Fields,
        warnings: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let old = stripe_api_key_in(&turn.id, &turn.current.secret())?;
        let new = stripe_api_key_in(&turn.id, &pending.secret())?;
        let key = ApiKey::from(new);
        key.check_mode(self.livemode, &turn.id)?;
        let (masked, client) =
            (key.masked(), self.client_of(key).of_secret(&format!("{} (pending)", turn.id)));
        self.check_rights(turn, &client, &masked, warnings).await?;
        let old = self.client_of(old.into()).of_secret(&turn.id);
        self.check_account(turn, &old, &client, &masked).await
    }

    async fn check_rights(
        &self,
        turn: &Turn,
        client: &Client,
        masked: &str,
        warnings: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let accounts = self.has_accounts.then_some("/v1/accounts");
        let mut refused = Vec::new();
        for path in READ.into_iter().chain(accounts) {
            match client.get(&format!("{path}?limit=1"), None).await {
                Ok(_) => {}
                // The key itself is not good: what it may does not matter then.
                Err(error @ StripeError::KeyRefused { status, .. }) if status.as_u16() == 401 => {
                    return Err(error.into());
                }
                Err(StripeError::KeyRefused { .. }) => refused.push(path),
                Err(error) => return Err(error.into()),
            }
        }
        if !refused.is_empty() {
            return Err(Failure::new(
                "StripeKeyLacksRights",
                format!(
                    "{}: the pending key {masked} may not read {}; give it these rights in Stripe's dashboard, and run the \
                     rotation again. The current key stays",
                    turn.what(),
                    refused.join(", ")
                ),
            ));
        }
        match client.post(NO_ENDPOINT, "metadata[recoup]=", Asked::default()).await {
            Err(StripeError::KeyRefused { .. }) => warnings.push(format!(
                "the key {masked} may not write webhook endpoints: the signing secret cannot be rotated with it"
            )),
            Err(StripeError::Refused { .. }) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The same account: what both keys say of it, or, where the old key is dead, an endpoint that is ours.
    async fn check_account(
        &self,
        turn: &Turn,
        old: &Client,
        new: &Client,
        masked: &str,
    ) -> Result<(), Failure> {
        let proven = match (account(old).await?, account(new).await?) {
            (Some(old), Some(new)) => old == new,
            // One of them does not say: our endpoint is in our account alone.
            _ => match &self.webhook_url {
                Some(url) => endpoints::list(new).await?.iter().any(|endpoint| endpoint.url == *url),
                None => false,
            },
        };
        if proven {
            return Ok(());
        }
        Err(Failure::new(
            "StripeKeyOfOtherAccount",
            format!(
                "{}: the pending key {masked} is not proven to be of the same Stripe account: its account differs, or it cannot be \
                 read, and it has no endpoint with our URL; put a key of the same account there. The current key stays",
                turn.what()
            ),
        ))
    }

    /// Reads at Stripe with the key that everybody has now.
    pub(crate) async fn check_key(&self, turn: &Turn) -> Result<(), Failure> {
        let key = ApiKey::from(read_api_key(&self.secrets, self.ids.of(Kind::StripeApiKey)).await?);
        let client = self.client_of(key).of_secret(&turn.id);
        client.get("/v1/events?limit=1", None).await?;
        Ok(())
    }
}

/// The id of a key's account; `None` where the key is refused.
async fn account(client: &Client) -> Result<Option<String>, Failure> {
    #[derive(Deserialize)]
    struct Account {
        id: String,
    }
    match client.get("/v1/account", None).await {
        Ok(body) => Ok(serde_json::from_slice::<Account>(&body).ok().map(|account| account.id)),
        Err(StripeError::KeyRefused { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
