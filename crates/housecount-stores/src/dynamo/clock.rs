//! DynamoDB's clock, read from the `Date` header of every answer.

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use housecount_backend::clock::mono_ms;
use housecount_core::coarse_clock::CoarseClock;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

/// Knowledge of DynamoDB's clock. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct DateClock(Arc<Mutex<CoarseClock>>);

impl fmt::Debug for DateClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DateClock")
    }
}

impl DateClock {
    /// Returns the earliest and the latest time that the clock may show now; `None` before the
    /// first `Date`.
    pub(crate) fn bounds(&self) -> Option<(UnixMs, UnixMs)> {
        self.0.lock().bounds(mono_ms())
    }
}

/// Time at which an attempt was sent.
#[derive(Debug)]
struct SentAt(u64);

impl Storable for SentAt {
    type Storer = StoreReplace<SentAt>;
}

impl Intercept for DateClock {
    fn name(&self) -> &'static str {
        "DateClock"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(SentAt(mono_ms()));
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let (Some(date), Some(SentAt(sent_ms))) = (date, cfg.load::<SentAt>()) {
            let second = UnixMs(u64::try_from(date.secs()).unwrap_or(0).saturating_mul(1_000));
            self.0.lock().observe(*sent_ms, mono_ms(), second);
        }
        Ok(())
    }
}
