//! What is agreed on about Stripe's webhook endpoints.

/// The one type of events that an endpoint has while a rotation prepares it: of a device that accounts of online shops
/// have not, so that nothing is delivered before the receiver knows the endpoint's secret. (Stripe creates every endpoint
/// enabled, and with at least one type.)
pub const QUIET_EVENT: &str = "terminal.reader.action_failed";
