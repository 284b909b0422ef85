//! Problems of limited keys, and of stages whose counts are not public.

use axum::http::StatusCode;
use housecount_core::ids::StageId;

use crate::problem::Problem;

impl Problem {
    /// Creates the problem of a call that covers more than a limited key, and can't be filtered.
    pub fn key_limited() -> Problem {
        let detail = "this call covers all stages and can't be filtered, so it needs a key without `customer` and `stages`";
        Problem::new(StatusCode::FORBIDDEN, "key_limited", detail)
    }

    /// Creates the problem of a stream of all counts for a limited key.
    pub fn key_limited_to_named_stages() -> Problem {
        let detail = "a limited key follows named stages only: ?stage=A&stage=B, without totals";
        Problem::new(StatusCode::FORBIDDEN, "key_limited", detail)
    }

    /// Creates the problem of a stage that a limited key does not cover. It is the same whether the
    /// stage exists or not.
    pub fn outside_key(stage: &StageId) -> Problem {
        Problem::outside_key_because(format!("the key does not cover stage `{stage}`"))
    }

    /// Creates the problem of a stage that a limited key may not take or give away.
    pub fn other_customer() -> Problem {
        Problem::outside_key_because("the key does not cover stages of another customer")
    }

    /// Creates the problem of anything else that a limited key does not cover.
    pub fn outside_key_because(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "outside_key", detail)
    }

    /// Creates the problem of a stage without a public count, whether it exists or not.
    pub fn no_public_count(stage: &StageId) -> Problem {
        let detail = format!("stage `{stage}` has no public count");
        Problem::new(StatusCode::NOT_FOUND, "no_public_count", detail)
    }
}
