//! Forgets addresses that have sent nothing lately.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Progress, Tick};
use crate::edge::Edge;
use crate::error::StoreResult;

/// See the module's text.
#[derive(Debug)]
pub struct ForgetAddresses(pub Arc<Edge>);

#[async_trait]
impl Tick for ForgetAddresses {
    const NAME: &'static str = "addresses";

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        self.0.addresses.forget();
        Ok(Progress::Done)
    }
}
