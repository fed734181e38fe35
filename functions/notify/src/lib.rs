//! `notify`: tells a chat (Slack, Mattermost, Google Chat, Discord's `/slack`) what somebody should look at: each alarm when it
//! begins to ring, and each drill that brought its backup back.
//!
//! It stands beside the work and not in it: the topic of alarms and Lambda's own destinations call it, so that a chat that
//! is down holds nothing up. It says names, times and counts, and nothing that a customer or Stripe sent.

mod chat;
mod incident;
mod request;

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use recoup::config::Env;
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{SecretStore, chat_url};
use serde::Serialize;

use crate::chat::Chat;
use crate::incident::{Incident, Told};
pub use crate::request::NotifyRequest;

/// The function.
pub struct Notify<S> {
    secrets: S,
    secret_id: String,
    chat: Chat,
    /// As long as this instance lives: SNS and Lambda deliver at least once.
    told: Mutex<Told>,
}

/// What it answers.
#[derive(Debug, Serialize)]
pub struct NotifyReply {
    /// `sent`, `nothing to tell`, `told already`, or `not configured` where the secret names no chat.
    status: &'static str,
    /// How many messages the chat took.
    messages: usize,
}

impl<S: SecretStore + Sync> Notify<S> {
    /// Reads the configuration. The secret is read anew by each invocation: there are few.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, secrets: S) -> Result<Self, Failure> {
        let secret_id = env.required("NOTIFY_WEBHOOK_SECRET_ID");
        env.finish()?;
        Ok(Self { secrets, secret_id, chat: Chat::new(), told: Mutex::default() })
    }

    fn told<T>(&self, ask: impl FnOnce(&mut Told) -> T) -> T {
        ask(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: SecretStore + Sync> Operation for Notify<S> {
    type Request = NotifyRequest;
    type Reply = NotifyReply;

    async fn run(&self, request: NotifyRequest, _deadline: SystemTime) -> Result<NotifyReply, Failure> {
        let incidents = request.incidents()?;
        if incidents.is_empty() {
            return Ok(NotifyReply { status: "nothing to tell", messages: 0 });
        }
        let Some(url) = chat_url(&self.secrets, &self.secret_id).await? else {
            return Ok(NotifyReply { status: "not configured", messages: 0 });
        };
        let mut messages = 0;
        for Incident { name, text } in incidents {
            if self.told(|told| told.knows(&name)) {
                continue;
            }
            self.chat.say(&url, &self.secret_id, &text).await?;
            // Only now: what the chat did not take is told when the invocation is repeated.
            self.told(|told| told.remember(name));
            messages += 1;
        }
        Ok(NotifyReply { status: if messages > 0 { "sent" } else { "told already" }, messages })
    }
}
